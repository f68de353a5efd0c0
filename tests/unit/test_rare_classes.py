"""Classes too rare for an honest split are named and left out, and the rest trains; where they are too many they are refused."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from epic22.bootstrap import audit_file
from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import SplitError
from epic22.core.tables.table import TIMELESS
from epic22.core.task import Array
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import TrainingSpec, build_spec

COMMON = ("parks", "roads", "water")


def make_examples(groups: Array | None, y: Array, rng: np.random.Generator) -> Examples:
    """Rows of two numbers with these labels, without times."""
    n = len(y)
    X = pl.DataFrame({name: rng.normal(size=n) for name in "ab"})
    at = np.full(n, np.datetime64(TIMELESS, "us"))
    return Examples(X, y[:, None], np.arange(n).astype(str), at, "0", group=groups)


def requests(folder: Path, rare: dict[int, str], classes: tuple[str, ...] = COMMON, n: int = 300) -> TrainingSpec:
    """Three rows a day with these classes in turn, but for the rows of `rare`."""
    rng = np.random.default_rng(3)
    lines = ["created,x,k,who,department"]
    for row in range(n):
        at = datetime(2023, 1, 1) + timedelta(hours=8 * row)
        name = rare.get(row, classes[int(rng.integers(len(classes)))])
        lines.append(f"{at:%Y-%m-%d %H:%M},{rng.normal():.3f},{rng.integers(90)},p{row % 30},{name}")
    path = folder / "requests.csv"
    path.write_text("\n".join(lines))
    return build_spec(csv=path, label="department", time=("created",), drop=("who",))


def test_a_class_of_one_period_is_named_left_out_and_the_rest_has_folds(tmp_path: Path) -> None:
    data = load_task_data(requests(tmp_path, {90: "zoo", 91: "zoo", 92: "zoo", 200: "mayor"}))
    assert data.task.target.classes == COMMON
    assert any("left out: 'mayor' (1 row in 1 week), 'zoo' (3 rows in 1 week)" in note for note in data.notes)
    examples = data.examples()
    assert len(examples) == 296
    assert plan_folds(examples, "multiclass", SplitRequest()).n_folds > 1


@pytest.mark.parametrize(("roles", "unit"), [({"group": "who"}, "group"), ({}, "row")])
def test_a_class_of_one_group_or_of_few_rows_is_left_out_too(tmp_path: Path, roles: dict[str, str], unit: str) -> None:
    path = requests(tmp_path, {5: "zoo", 35: "zoo"}).require_table()[0]
    dropped = ("created",) if roles else ("created", "who")
    data = load_task_data(build_spec(csv=path, label="department", drop=dropped, **roles))
    assert any("'zoo' (2 rows" in note and f"{unit}s with the class" in note for note in data.notes)
    plan_folds(data.examples(), "multiclass", SplitRequest())


def test_two_classes_remain_as_a_pair_with_a_positive_one(tmp_path: Path) -> None:
    data = load_task_data(requests(tmp_path, {90: "zoo"}, ("no", "yes")))
    assert (data.task.target.kind, data.task.target.classes) == ("binary", ("no", "yes"))


def test_a_class_with_many_rows_in_one_period_is_refused_by_its_name_and_the_audit_still_audits(tmp_path: Path) -> None:
    spec = requests(tmp_path, dict.fromkeys(range(87, 108), "zoo"))
    data, _ = audit_file(spec)
    assert "zoo" in data.task.target.classes
    assert any("class 'zoo' occurs in only 1 of" in note for note in data.notes)


def test_a_class_that_fills_no_group_but_occurs_in_several_has_folds() -> None:
    groups, rng = np.repeat(np.arange(20), 20), np.random.default_rng(0)
    y = np.where(groups % 2 == 0, 0.0, 1.0)
    y[[5, 105, 205]] = 2.0
    examples = make_examples(groups, y, rng)
    plan = plan_folds(examples, "multiclass", SplitRequest(classes=("a", "b", "c")))
    assert all(len(np.unique(y[fold.train])) == 3 for fold in plan.folds)


def test_the_rarest_class_is_named_where_rows_are_too_few() -> None:
    rng = np.random.default_rng(0)
    y = np.array([0.0] * 60 + [1.0] * 3)
    examples = make_examples(None, y, rng)
    with pytest.raises(SplitError, match=r"the rarest class has 3 distinct rows, fewer than 5 folds \(class 'yes'\)"):
        plan_folds(examples, "binary", SplitRequest(classes=("no", "yes")))


def test_a_rare_class_of_whole_numbers_may_be_a_value_to_predict() -> None:
    rng = np.random.default_rng(0)
    examples = make_examples(None, np.array([0.0] * 30 + [1.0] * 30 + [2.0] * 3), rng)
    with pytest.raises(SplitError, match=r"ask for fewer --folds; --kind regression predicts whole numbers as a value\."):
        plan_folds(examples, "multiclass", SplitRequest(classes=("0", "1", "2")))
    with pytest.raises(SplitError, match=r"ask for fewer --folds\."):
        plan_folds(examples, "multiclass", SplitRequest(classes=("a", "b", "c")))


def test_a_class_that_is_never_the_commonest_of_its_group_is_refused_under_no_seed() -> None:
    groups, rng = np.repeat(np.arange(40), 10), np.random.default_rng(0)
    y = np.where(groups % 2 == 0, 0.0, 1.0)
    y[[5, 105, 205]] = 2.0
    examples = make_examples(groups, y, rng)
    for seed in range(200):
        plan = plan_folds(examples, "multiclass", SplitRequest(classes=("a", "b", "c"), seed=seed))
        assert all(len(np.unique(y[fold.train])) == 3 for fold in plan.folds)


def test_a_class_of_one_group_alone_is_refused_with_how_many_groups_it_has() -> None:
    groups, rng = np.repeat(np.arange(40), 10), np.random.default_rng(0)
    y = np.where(groups % 2 == 0, 0.0, 1.0)
    y[5] = 2.0
    with pytest.raises(SplitError, match="class 'c' occurs in only 1 of 40 groups"):
        plan_folds(make_examples(groups, y, rng), "multiclass", SplitRequest(classes=("a", "b", "c")))
