"""CONTRIBUTING's recipes, followed word for word in a copy of the tree: what they add passes the contract tests that greet it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (Add a [^\n]+)\n(.*?)(?=^## |\Z)", CONTRIBUTING, re.MULTILINE | re.DOTALL))
FILE = re.compile(r"`((?:[\w]+/)+\w+\.py)`")
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
ANCHOR = re.compile(r"above\s+`(\w+)`")
LISTED = re.compile(r"^(\w+): .*= \(\n    \.\.\.,\n(.*?)^\)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A block of a recipe, the file that the text named last, and the name above which it is put there, where one is said."""

    language: str
    code: str
    file: str
    anchor: str | None


def read_steps(recipe: str) -> Iterator[Step]:
    """The recipe's blocks in order."""
    begin, file = 0, ""
    for block in BLOCK.finditer(recipe):
        text = recipe[begin : block.start()]
        file = (FILE.findall(text) or [file])[-1]
        yield Step(block[1], block[2], file, (ANCHOR.findall(text) or [None])[-1])
        begin = block.end()


def follow(recipe: str, tree: Path) -> str:
    """Do what the recipe's blocks of Python say, and give the command with which it ends."""
    for step in read_steps(recipe):
        if step.language != "python":
            return step.code.strip()
        path = find_file(tree, step.file)
        if not path.exists():
            path.write_text(step.code)
        elif step.anchor is None:
            path.write_text(add_to_list(path.read_text(), step.code))
        else:
            path.write_text(insert_above(path.read_text(), step.anchor, step.code))
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


def insert_above(source: str, anchor: str, code: str) -> str:
    """The module with the block above the function, class or constant of that name."""
    place = re.search(rf"^(?:def |class )?{anchor}\b", source, re.MULTILINE)
    assert place is not None, f"the recipe names {anchor}, which the module lacks"
    return f"{source[: place.start()]}{code}\n\n{source[place.start() :]}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources and the tests."""
    ignored = shutil.ignore_patterns("golden", "*.egg-info")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "n_lines"),
    [("Add a feature", 40), ("Add a model family", 24), ("Add a source", 25), ("Add a metric", 10)],
)
def test_a_recipe_followed_word_for_word_passes_its_contract_tests(recipe: str, n_lines: int, tree: Path) -> None:
    module = next(step.code for step in read_steps(RECIPES[recipe]) if step.language == "python")
    assert sum(bool(line.strip()) for line in module.splitlines()) <= n_lines
    command = shlex.split(follow(RECIPES[recipe], tree))
    assert command[:3] == [".venv/bin/python", "-m", "pytest"]
    # Coverage would count the copy's lines beside the project's own.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment = {**unmeasured, "PYTHONPATH": str(tree / "src")}
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
