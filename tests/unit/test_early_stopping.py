"""Early stopping: the rounds and scores that a round-by-round look at the validation rows gives."""

from typing import Any

import numpy as np
import pytest
import xgboost

from epic22.core.errors import InternalError
from epic22.core.models.base import FoldData
from epic22.core.models.trees.early_stopping import TreeArrays, ValidationRows, read_ubj, train_with_early_stopping
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.task import Array

PARAMS = {"tree_method": "hist", "nthread": 1, "learning_rate": 0.3, "subsample": 0.8, "colsample_bynode": 0.7, "seed": 3}
ROUNDS, PATIENCE = 150, 12


def rows(kind: str, count: int, seed: int) -> tuple[Array, Array]:
    """Numbers with gaps, and a category; labels that a few trees learn."""
    chance = np.random.default_rng(seed)
    X = chance.normal(size=(count, 5)).astype(np.float32)
    X[:, 4] = chance.integers(0, 40, count)
    signal = X[:, 0] + X[:, 1] * X[:, 2] + np.isin(X[:, 4], [3, 5, 33]) + chance.logistic(size=count)
    X[chance.random(X.shape) < 0.1] = np.nan
    return X, (signal > 0).astype(float) if kind == "binary" else 7 + signal


def both(kind: str, categories: bool = True, threads: int = 1, **more: Any) -> tuple[Any, Array, Any, Array]:
    """Our booster and scores, and XGBoost's own with early stopping."""
    objective, metric = ("binary:logistic", "logloss") if kind == "binary" else ("reg:squarederror", "rmse")
    params = {**PARAMS, "objective": objective, **more}
    types = ["q"] * 4 + ["c" if categories else "q"]
    (X, y), (X_watched, y_watched) = rows(kind, 900, 0), rows(kind, 9000, 1)
    matrix = xgboost.QuantileDMatrix(X, y, feature_types=types, enable_categorical=True)
    watched = xgboost.DMatrix(X_watched, y_watched, feature_types=types, enable_categorical=True)
    asked: list[None] = []
    watch = ValidationRows(X_watched, y_watched, threads)
    booster, scores = train_with_early_stopping(params, matrix, watch, ROUNDS, PATIENCE, lambda: bool(asked.append(None)))  # type: ignore[func-returns-value]
    theirs = xgboost.train(
        params | {"eval_metric": metric}, matrix, ROUNDS, evals=[(watched, "watched")],
        early_stopping_rounds=PATIENCE, verbose_eval=False,
    )  # fmt: skip
    assert len(asked) == theirs.num_boosted_rounds(), "a round was made in vain, or is missing"
    best = theirs[: theirs.best_iteration + 1]
    return booster, scores, best, best.predict(watched, output_margin=True)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 4, 9])
@pytest.mark.parametrize("categories", [True, False])
@pytest.mark.parametrize("kind", ["binary", "squared"])
def test_rounds_trees_and_scores_are_xgboosts_to_the_bit(kind: str, categories: bool, depth: int) -> None:
    booster, scores, theirs, wanted = both(kind, categories, max_depth=depth)
    assert 1 < booster.num_boosted_rounds() == theirs.num_boosted_rounds() < ROUNDS - PATIENCE
    assert booster.get_dump(with_stats=True) == theirs.get_dump(with_stats=True)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, wanted)


@pytest.mark.slow
def test_rounds_that_are_all_needed_are_all_made() -> None:
    booster, scores, theirs, wanted = both("binary", learning_rate=0.001, max_depth=3)
    assert booster.num_boosted_rounds() == theirs.num_boosted_rounds() == ROUNDS
    assert np.array_equal(scores, wanted)


@pytest.mark.slow
def test_threads_that_walk_change_nothing() -> None:
    booster, scores, _, _ = both("binary", threads=1)
    other, other_scores, _, _ = both("binary", threads=3)
    assert booster.save_raw() == other.save_raw()
    assert np.array_equal(scores, other_scores)


@pytest.mark.parametrize("rounds", [1, 20])
def test_time_that_is_up_leaves_the_best_round_until_then(rounds: int) -> None:
    X, y = rows_of_part = rows("binary", 500, 0)
    asked = iter(range(1, 1000))
    model = XGBoostEstimator("binary", (False,) * 4 + (True,), rounds=300, learning_rate=0.01)
    raw = model.fit_with_validation(FoldData(X, y, *rows_of_part), lambda: next(asked) >= rounds)
    assert model.rounds_ == model.booster_.num_boosted_rounds() == rounds
    assert np.allclose(raw, model.decision_function(X), atol=1e-6)
    assert next(asked) == rounds + 1


def test_levels_are_those_of_the_longest_way_down() -> None:
    X, y = rows("binary", 900, 0)
    booster = xgboost.train({**PARAMS, "max_depth": 5}, xgboost.DMatrix(X, y), 3)
    lone = xgboost.train({**PARAMS, "max_depth": 5, "gamma": 1e9}, xgboost.DMatrix(X, y), 2)
    assert TreeArrays.of(booster).depth.tolist() == [5, 5, 5]
    assert TreeArrays.of(lone).depth.tolist() == [0, 0]


def test_what_is_no_model_is_told_by_its_place() -> None:
    assert read_ubj(b"{L\x00\x00\x00\x00\x00\x00\x00\x01a[#L\x00\x00\x00\x00\x00\x00\x00\x02TZ}") == {"a": [True, None]}
    with pytest.raises(InternalError, match="unknown type 'X' at 0"):
        read_ubj(b"X")
    with pytest.raises(InternalError, match="state no length at 1"):
        read_ubj(b"S5")
    with pytest.raises(InternalError, match="end at 1 of 2"):
        read_ubj(b"TT")
