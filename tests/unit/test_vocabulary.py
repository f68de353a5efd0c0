"""The source speaks the field's words: names that were retired do not come back, and a public class name stands for one thing."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "epic22"
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


@pytest.mark.parametrize("standard", RETIRED)
def test_no_identifier_bears_a_retired_word(standard: str) -> None:
    retired = set(RETIRED[standard])
    names = {(path.as_posix(), name) for path, tree in MODULES.items() for name in (path.stem, *list_identifiers(tree))}
    assert {(path, name) for path, name in names if name.lstrip("_") in retired} == set(), f"say {standard}"


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
