"""What is stored is read through its store: files have names in `adapters` alone, so that a database can take their place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from epic22.adapters import model_store, version_files
from epic22.adapters.tracking import mlflow_store

SOURCE = Path(__file__).parents[2] / "src" / "epic22"
NAMES = {
    model_store.POINTER,
    model_store.VERSION,
    model_store.PROMOTIONS_LOG,
    model_store.PROVENANCE,
    model_store.EXPLANATION,
    model_store.EVALUATION,
    model_store.HELD_OUT,
    mlflow_store.DATABASE,
    mlflow_store.ARTIFACTS,
    f"{version_files.VERSIONS}/",
    "receipts/",
    "lake/",
}
"""What a path to a file of a store has in it. `receipts`, `lake` and `models` alone are words of messages too."""
ELSEWHERE = [path for path in sorted(SOURCE.rglob("*.py")) if "adapters" not in path.relative_to(SOURCE).parts]


def iterate_texts(tree: ast.Module) -> Iterator[str]:
    """The texts of a module but for its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def find_stored_names(content: str) -> list[str]:
    """The texts of a module that name a stored file."""
    if not any(name in content for name in NAMES):
        return []
    return [text for text in iterate_texts(ast.parse(content)) if any(name in text for name in NAMES)]


def test_no_module_outside_the_adapters_names_a_stored_file() -> None:
    named = {path.relative_to(SOURCE).as_posix(): find_stored_names(path.read_text(encoding="utf-8")) for path in ELSEWHERE}
    assert {place: texts for place, texts in named.items() if texts} == {}


@pytest.mark.parametrize(
    "line", ['log = folder / "promotions.jsonl"', 'open(f"{home}/mlflow.db")', 'path = home / "lake/versions"']
)
def test_a_line_that_opens_a_stored_file_is_seen(line: str) -> None:
    assert find_stored_names(line)
