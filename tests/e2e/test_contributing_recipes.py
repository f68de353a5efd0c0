"""CONTRIBUTING's recipes, followed word for word in a copy of the tree: what they add passes the contract tests that greet it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (Add a [^\n]+)\n(.*?)(?=^## |\Z)", CONTRIBUTING, re.MULTILINE | re.DOTALL))
FILE = re.compile(r"`((?:[\w]+/)+\w+\.py)`")
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
LISTED = re.compile(r"^(\w+): .*= \(\n    \.\.\.,\n(.*?)^\)", re.MULTILINE | re.DOTALL)


def read_steps(recipe: str) -> Iterator[tuple[str, str, str]]:
    """The recipe's blocks in order: language, code, and the file that the text before it named last."""
    begin = 0
    for block in BLOCK.finditer(recipe):
        names = FILE.findall(recipe[begin : block.start()])
        yield block[1], block[2], names[-1] if names else ""
        begin = block.end()


def follow(recipe: str, tree: Path) -> str:
    """Do what the recipe's blocks of Python say, and give the command with which it ends."""
    for language, code, name in read_steps(recipe):
        if language != "python":
            return code.strip()
        path = find_file(tree, name)
        if not path.exists():
            path.write_text(code)
        elif LISTED.search(code):
            path.write_text(add_to_list(path.read_text(), code))
        else:
            path.write_text(insert_before_first_class(path.read_text(), code))
    raise AssertionError("a recipe ends with the command that runs its contract tests")


def find_file(tree: Path, name: str) -> Path:
    """The file that a recipe names by the end of its path."""
    if name.startswith("tests/"):
        return tree / name
    folder = next(path for path in (tree / "src" / "epic22", tree / "src" / "epic22" / "core") if (path / name).parent.is_dir())
    return folder / name


def add_to_list(source: str, code: str) -> str:
    """The module with the block's import, and its entries at the end of the list that it names."""
    imports = re.findall(r"^from .*$", code, re.MULTILINE)
    name, entries = LISTED.search(code).groups()  # type: ignore[union-attr]
    changed, n = re.subn(rf"(^{name}: [^\n]*= \()(.*?)(,?\n?\)$)", rf"\1\2,\n{entries})", source, count=1, flags=re.M | re.S)
    assert n == 1, f"the recipe names a list {name}, which the module lacks"
    docstring_end = changed.index('"""\n', 3) + 4
    return changed[:docstring_end] + "\n" + "\n".join(imports) + "\n" + changed[docstring_end:]


def insert_before_first_class(source: str, code: str) -> str:
    """The test module with the block before its tests, where its own names are defined."""
    place = source.index("@pytest.fixture")
    return f"import sqlite3\nfrom contextlib import closing\n{source[:place]}{code}\n\n{source[place:]}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources and the tests."""
    ignored = shutil.ignore_patterns("__pycache__", "golden")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "n_lines"),
    [("Add a feature", 45), ("Add a model family", 23), ("Add a source", 25)],
)
def test_a_recipe_followed_word_for_word_passes_its_contract_tests(recipe: str, n_lines: int, tree: Path) -> None:
    module = next(code for language, code, _ in read_steps(RECIPES[recipe]) if language == "python")
    assert sum(bool(line.strip()) for line in module.splitlines()) <= n_lines
    command = shlex.split(follow(RECIPES[recipe], tree))
    assert command[:3] == [".venv/bin/python", "-m", "pytest"]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    done = subprocess.run(
        [sys.executable, *command[1:], "-q", "-p", "no:cacheprovider"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 7  # type: ignore[index]
