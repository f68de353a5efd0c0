"""Engineered columns: fitted on training rows, out of fold for these rows themselves, alike for a row and a batch."""

import json
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.toy import COLUMNS, daily, inputs, toy

from epic22.core.data.feature_engineering import (
    CategoryEncoding,
    FeatureRecipe,
    compute_prior_strength,
    fit_encoding,
    propose_combinations,
    propose_dates,
)
from epic22.core.data.folds import SplitRequest
from epic22.core.data.formula import bind_formulas, parse_formula
from epic22.core.data.preprocess import MAX_LEVELS, PREPROCESSING_VIEWS, Preprocessor
from epic22.core.data.split import plan_folds
from epic22.core.errors import ColumnError
from epic22.core.evaluation.crossval import prepare_rows, split_target_encoding_folds
from epic22.core.experiment import Experiment
from epic22.core.serialization import to_json
from epic22.core.task import Array, Column, Formula

MEAN, SHARE = CategoryEncoding("maker", "target", 1), CategoryEncoding("maker", "share")
RECIPE = FeatureRecipe(
    ("wear", "maker"), (Formula("fit month", "month(fitted_on)"), Formula("push", "wear * load")), (SHARE, MEAN)
)


def test_a_level_s_mean_is_drawn_to_the_general_one_by_as_much_as_levels_differ_by_chance() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(50.0), 20)
    noise = (rng.uniform(size=1000) < 0.3).astype(float)
    told = (rng.uniform(size=1000) < np.repeat(rng.uniform(0.05, 0.95, 50), 20)).astype(float)
    spread = {name: np.ptp(fit_encoding(MEAN, 0, codes, y, 50).values) for name, y in (("noise", noise), ("told", told))}
    assert spread["noise"] < 0.15
    assert spread["told"] > 0.6
    counts, sums = np.bincount(codes.astype(int)), np.bincount(codes.astype(int), weights=told)
    assert compute_prior_strength(counts, sums, told, float(told.mean())) < 5


def test_rare_levels_are_drawn_further_and_unseen_ones_have_the_general_mean() -> None:
    codes = np.array([0.0] * 40 + [1.0] * 2 + [2.0] * 40 + [np.nan] * 4)
    y = np.array([1.0] * 36 + [0] * 4 + [1.0] * 2 + [0.0] * 38 + [1.0] * 2 + [0.0] * 4)
    lookup = fit_encoding(MEAN, 0, codes, y, 3)
    assert lookup.values[1] < 1.0
    assert lookup.row([np.nan]) == lookup.row([7.0]) == lookup.default == pytest.approx(y.mean())
    share = fit_encoding(SHARE, 0, codes, None, 3)
    assert share.values.tolist() == [40 / 86, 2 / 86, 40 / 86]
    assert np.isnan(share.row([np.nan]))


def test_an_engineered_row_has_the_bits_it_has_in_a_batch_and_survives_its_state() -> None:
    made = toy("binary", 300)
    fitted, _ = Preprocessor.fit_transform(COLUMNS, made.examples.X, made.examples.y, (), recipe=RECIPE)
    again = Preprocessor.restore(COLUMNS, json.loads(json.dumps(to_json(fitted, PREPROCESSING_VIEWS))))
    fresh = inputs(80, seed=9)
    rows: list[dict[str, Any]] = [*fresh.to_dicts(), {"maker": "never seen"}]
    batch = again.transform(pl.concat([fresh, pl.DataFrame(rows[-1:]).select(pl.col("maker"))], how="diagonal"))
    assert batch.tobytes() == np.vstack([fitted.transform_row(row) for row in rows]).tobytes()
    assert [c.name for c in again.outputs] == ["wear", "maker", "fit month", "push", "share of maker", "label by maker"]
    assert again.outputs == fitted.outputs


def test_levels_too_many_for_the_matrix_are_tallied_all_the_same() -> None:
    column, n = Column("c", "category"), MAX_LEVELS + 45
    X = pl.DataFrame({"c": [f"v{i % n:04d}" for i in range(3 * n)]})
    y = np.array([float(i % n >= MAX_LEVELS) for i in range(3 * n)])
    fitted = Preprocessor.fit((column,), X, y, recipe=FeatureRecipe(None, (), (CategoryEncoding("c", "target", 1),)))
    rare = fitted.transform_row({"c": f"v{n - 1:04d}"})[0]
    assert np.isnan(rare[0])
    assert rare[1] > 0.5
    assert fitted.transform(X)[-1].tobytes() == rare.tobytes()


def training_values(y: Array, at: Array | None = None, group: Array | None = None) -> Array:
    """The label means that training rows get, (n,)."""
    made = toy("binary", len(y), at=at, group=group)
    examples = made.examples.__class__(**{**made.examples.__dict__, "Y": y[:, None]})
    plan = plan_folds(examples, "binary", SplitRequest(repeats=1, horizon=0.0 if at is None else 5.0))
    train = np.arange(len(y))
    recipe = FeatureRecipe(None, (), (MEAN,))
    return prepare_rows(made.task, examples, recipe, split_target_encoding_folds(Experiment(made.task, examples, plan), train)).X[
        :, -1
    ]


def flipped(y: Array, rows: Array) -> Array:
    changed = y.copy()
    changed[rows] = 1 - changed[rows]
    return changed


Y = np.random.default_rng(1).integers(0, 2, 240).astype(float)


def test_a_training_row_s_value_never_holds_its_own_label() -> None:
    X, rows = toy("binary", 240).examples.X, np.arange(240)
    y = (X["maker"] == "brook").to_numpy().astype(float)
    parts = [(rows[rows % 4 != k], rows[rows % 4 == k]) for k in range(4)]

    def values(labels: Array) -> Array:
        return Preprocessor.fit_transform(COLUMNS, X, labels, parts, recipe=FeatureRecipe(None, (), (MEAN,)))[1][:, -1]

    before = values(y)
    assert np.isfinite(before).all()
    for row in range(0, 240, 30):
        after = values(flipped(y, np.array([row])))
        assert after[row] == before[row]
        assert not np.array_equal(after, before)


def test_values_of_timed_rows_hold_only_labels_that_were_known_by_then() -> None:
    at = daily(240, every_hours=12)
    before = training_values(Y, at=at)
    changed = training_values(flipped(Y, np.arange(150, 240)), at=at)
    same = np.isclose(before, changed, equal_nan=True)
    known = at + np.timedelta64(5, "D") <= at[150] + np.timedelta64(5, "D")
    assert same[known].all()
    assert not same.all()
    assert np.isnan(before[0])


def test_a_group_s_labels_never_reach_its_own_rows() -> None:
    group = np.array([f"g{i // 8}" for i in range(240)], dtype=object)
    y = np.tile([0.0, 1.0], 120)
    before = training_values(y, group=group)
    mine = np.flatnonzero(group == "g3")
    after = training_values(flipped(y, mine), group=group)
    assert np.array_equal(before[mine], after[mine])
    assert not np.array_equal(before, after)


def test_parts_of_a_time_are_those_of_its_calendar() -> None:
    columns = (Column("at", "time"), Column("load", "float"))
    formulas = tuple(parse_formula(f"{part} = {part}(at)") for part in ("month", "weekday", "hour"))
    moments = [
        datetime(1970, 1, 1),
        datetime(1969, 12, 31, 23, 59, 59),
        datetime(2024, 2, 29, 13),
        datetime(2025, 6, 1, 0, 0, 1),
        None,
    ]
    X = pl.DataFrame({"at": moments, "load": [1.0] * 5}, schema={"at": pl.Datetime("us"), "load": pl.Float64})
    fitted = Preprocessor.fit(columns, X, formulas=formulas)
    wanted = [(m.month, m.isoweekday(), m.hour) if m else (None,) * 3 for m in moments]
    assert fitted.derive(X).rows() == wanted
    assert fitted.transform(X).tobytes() == np.vstack([fitted.transform_row(row) for row in X.to_dicts()]).tobytes()
    with pytest.raises(ColumnError, match="part of a time"):
        bind_formulas([parse_formula("m = month(load)")], columns)


def test_proposals_can_all_be_computed() -> None:
    columns = (*COLUMNS, Column("due [d]", "time"), Column("a`b", "float"))
    formulas = (*propose_dates(columns), *propose_combinations(columns))
    assert len(bind_formulas(formulas, columns)) == len({f.name for f in formulas}) == 7 + 15
