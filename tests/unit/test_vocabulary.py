"""The source speaks the field's words: names that were retired do not come back, and a public class name stands for one thing."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Group

from epic22.cli.main import VERBS, load_verb

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "epic22"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
MODULES = {path.relative_to(SOURCE): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
RETIRED = {
    "bootstrap replicates": ("drawn", "way_of"),
    "supplementary tests": ("Opinion",),
    "baselines, oracle": ("yardsticks", "ceiling"),
    "cost per 1,000": ("thousand", "PerThousand"),
    "offset, log target": ("exposed", "Exposed", "logged"),
    "external trees": ("grown", "Ground"),
    "early stopping, validation": ("watching", "fit_watched", "X_watched", "watched"),
    "fold executor": ("hands", "Hands", "crew"),
    "large split": ("WATCH", "LATE"),
    "future, as-of view": ("HappenedLater", "KnownThen", "Known", "Later"),
    "overrides": ("stated", "vintages"),
    "fold predictions": ("FoldResponse",),
    "out of fold": ("held_out_part", "taught", "judged"),
    "prediction intervals": ("promised", "Promise"),
    "censoring weights": ("in_sight",),
    "Huber, delta": ("tamed",),
    "defaults_for": ("suiting",),
    "catboost, lightgbm": ("oblivious", "leafwise"),
    "residual quantiles": ("scattered", "Scattered"),
    "candidate, evaluate_all": ("Contender", "contenders", "starters", "Starters", "race", "lined_up"),
    "prepare": ("laid_out", "Course"),
    "assessment": ("worth", "Worth"),
    "search result": ("Found", "pool_of"),
    "target encoding": ("Tally",),
    "post-event values, known_at checks": ("hindsight", "knowledge"),
    "emit_lineage, progress": ("told", "Told", "Watch"),
    "file reader": ("landing", "lake_change"),
    "group column": ("whom",),
    "what it is": ("asked", "made", "held", "said", "taken", "wanted", "several", "plainly", "anew"),
}
"""By the word that replaced them, names that no identifier of the source bears."""


def list_identifiers(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines: functions, classes, parameters, variables, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.fixture(scope="module")
def identifiers() -> set[tuple[str, str]]:
    """The path of each module with the names that it defines."""
    return {(path.as_posix(), name) for path, tree in MODULES.items() for name in (path.stem, *list_identifiers(tree))}


@pytest.mark.parametrize("standard", RETIRED)
def test_no_identifier_bears_a_retired_word(standard: str, identifiers: set[tuple[str, str]]) -> None:
    retired = set(RETIRED[standard])
    assert {(path, name) for path, name in identifiers if name.lstrip("_") in retired} == set(), f"say {standard}"


def test_a_public_class_name_stands_for_one_thing() -> None:
    classes = Counter(
        node.name
        for tree in MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, n in classes.items() if n > 1} == set()


def test_the_vocabulary_is_a_page_and_says_each_word_once() -> None:
    lines = (ROOT / "docs" / "vocabulary.md").read_text(encoding="utf-8").splitlines()
    words = [part for line in lines if line.startswith("* ") for part in line.split("**")[1::2]]
    assert len(lines) <= 60
    assert [word for word, n in Counter(words).items() if n > 1] == []


def read_code_spans(page: Path) -> set[str]:
    """What a page says in backticks, outside its blocks of code; of the changelog the right column of its tables alone."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    if page.name == "CHANGELOG.md":
        text = "\n".join(re.findall(r"^\|.*\|(.*)\|$", text, re.MULTILINE))
    return set(re.findall(r"`([^`]+)`", text))


def list_words(tree: ast.Module) -> set[str]:
    """The identifiers of a module, used ones too, and the words of its texts but for docstrings."""
    words = set(list_identifiers(tree))
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.alias):
            words |= set(node.name.split("."))
        elif isinstance(node, ast.keyword) and node.arg:
            words.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            words |= set(re.findall(r"\w+", node.value))
    return words


FOREIGN_NAMES = {"BCcov", "NUMBA_CACHE_DIR", "RESTORE"}
"""What pages name of data and libraries."""
BENCHMARK_OPTIONS = ("--allow-disturbed", "--validate")
FILE_NAME = re.compile(r".*\.(csv|html|json|jsonl|md|parquet|py|toml|yaml)")


@pytest.mark.slow
def test_every_name_that_a_page_says_in_backticks_exists() -> None:
    others = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    trees = [*MODULES.values(), *(ast.parse(path.read_text(encoding="utf-8")) for path in others)]
    known = {path.stem for path in (*MODULES, *others)} | FOREIGN_NAMES | set().union(*map(list_words, trees))
    unknown = set()
    for page in PAGES:
        names = (re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", span) for span in read_code_spans(page))
        unknown |= {
            (page.name, name[0])
            for name in names
            if name and not FILE_NAME.fullmatch(name[1]) and not known.issuperset(name[1].split("."))
        }
    assert unknown == set()


def list_command_options(command: Command) -> set[str]:
    """The options of a command and of those below it."""
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    below = command.commands.values() if isinstance(command, Group) else ()
    return options.union(*map(list_command_options, below))


@pytest.mark.slow
def test_every_option_that_a_page_says_in_backticks_exists() -> None:
    options = {"--help", "--version", *BENCHMARK_OPTIONS}.union(*(list_command_options(load_verb(verb)) for verb in VERBS))
    options |= {f"--no-{option.removeprefix('--')}" for option in options}
    spans = {(page.name, span) for page in PAGES for span in read_code_spans(page) if span.startswith(("--", "epic22 "))}
    unknown = {(page, option) for page, span in spans for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}
    assert {(page, option) for page, option in unknown if option not in options} == set()
