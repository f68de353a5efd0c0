"""The source speaks the field's words: names that were retired do not come back, and a public class name stands for one thing."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from click import Command, Group

from epic22.cli.main import VERBS, load_verb

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "epic22"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
RETIRED = {
    "bootstrap replicates": ("drawn", "way_of"),
    "supplementary tests, TestResult": ("opinion", "opinions"),
    "baselines, oracle": ("yardstick", "yardsticks", "ceiling", "best_possible"),
    "cost per 1,000": ("PerThousand",),
    "offset, log target": ("exposed", "logged"),
    "external trees, TrainingData": ("grown", "ground"),
    "early stopping, validation rows": ("watch", "watching", "watched"),
    "FoldExecutor, submit, fold": ("hands", "give", "crew"),
    "large split: VALIDATION, EMBARGO": ("WATCH", "LATE", "sides"),
    "future, as-of view": ("happened_later", "known_then", "Known", "Later", "knew"),
    "overrides, revisions, source": ("stated", "vintage", "vintages", "arrival"),
    "calibration and evaluation rows": ("taught", "teach", "judged"),
    "fold predictions, out of fold": ("FoldResponse", "held_out_part"),
    "SHAP samples, bin, dependence profile": ("explained", "Mark"),
    "near-duplicate columns": ("Copies",),
    "prediction intervals": ("promise", "promised"),
    "cumulative incidence, censoring weights": ("in_sight",),
    "Huber, delta": ("tamed", "bend"),
    "best_params, defaults_for": ("settled", "suiting"),
    "catboost, lightgbm": ("oblivious", "leafwise"),
    "residual quantiles": ("scattered",),
    "Candidate, evaluate_all, RunConfig": ("contender", "contenders", "starters", "race", "lined_up", "Entry"),
    "Experiment, prepare": ("laid_out", "course"),
    "Assessment": ("worth",),
    "SearchResult, weights, top trials": ("Found", "blend", "pool_of"),
    "target encoding, FeatureRecipe": ("tally", "tallies", "Recipe"),
    "post-event values, known_at checks": ("hindsight", "knowledge"),
    "emit_lineage, Progress": ("told",),
    "file reader": ("landing", "lands", "lake_change"),
    "group column, secondary metrics": ("whom", "guards"),
    "what it is": ("asked", "said", "taken", "wanted", "several", "plainly", "anew", "afresh", "mine", "ours"),
    "a present-day noun or verb": ("tells", "wants", "gives", "judges", "whose", "finder", "so_many", "kept", "sits", "lies"),
}
"""By what replaced them, words that no identifier of the source has among its own; one with a capital is a whole name."""


@cache
def parse_modules() -> dict[Path, ast.Module]:
    """The source's modules by path; not on import, for every process of the suite imports this file to collect it."""
    return {path.relative_to(SOURCE): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


@cache
def split_words(name: str) -> str:
    """The words of an identifier in small letters: `_fit_watched` and `FitWatched` are both "_fit_watched_"."""
    return f"_{'_'.join(re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+', name)).lower()}_"


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
    return {(path.as_posix(), name) for path, tree in parse_modules().items() for name in (path.stem, *list_identifiers(tree))}


@pytest.mark.parametrize("standard", RETIRED)
def test_no_identifier_bears_a_retired_word(standard: str, identifiers: set[tuple[str, str]]) -> None:
    names = {word for word in RETIRED[standard] if word != word.lower()}
    words = [f"_{word}_" for word in RETIRED[standard] if word not in names]
    retired = {(path, name) for path, name in identifiers if any(word in split_words(name) for word in words)}
    assert retired | {(path, name) for path, name in identifiers if name.lstrip("_") in names} == set(), f"say {standard}"


def test_a_word_is_refused_in_every_spelling_and_nowhere_else() -> None:
    assert "_watched_" in split_words("X_watched")
    assert "_watched_" in split_words("FitWatchedRows")
    assert "_race_" not in split_words("trace_lineage")
    assert "_in_sight_" not in split_words("insight")


def test_a_public_class_name_stands_for_one_thing() -> None:
    classes = Counter(
        node.name
        for tree in parse_modules().values()
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
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
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
BENCHMARK_OPTIONS = ("--allow-disturbed", "--name", "--validate")
FILE_NAME = re.compile(r".*\.(csv|html|json|jsonl|md|parquet|py|toml|yaml)")


@pytest.mark.slow
def test_every_name_that_a_page_says_in_backticks_exists() -> None:
    others = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    trees = [*parse_modules().values(), *(ast.parse(path.read_text(encoding="utf-8")) for path in others)]
    known = {path.stem for path in (*parse_modules(), *others)} | FOREIGN_NAMES | set().union(*map(list_words, trees))
    unknown = set()
    for page in PAGES:
        names = (re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", span) for span in read_code_spans(page))
        unknown |= {
            (page.name, name[0])
            for name in names
            if name and not FILE_NAME.fullmatch(name[1]) and not known.issuperset(name[1].split("."))
        }
    assert unknown == set()


FOREIGN_CONSTANTS = {"AWS_REGION", "EX_TEMPFAIL"}
"""What docstrings name of other programs."""


def test_every_constant_that_a_docstring_names_exists() -> None:
    trees = parse_modules().values()
    known = FOREIGN_CONSTANTS.union(*map(list_words, trees))
    expressions = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Expr))
    texts = [one.value for one in expressions if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    constants = {name for text in texts for name in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text)}
    assert len(constants) > 40
    assert constants - known == set()


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
