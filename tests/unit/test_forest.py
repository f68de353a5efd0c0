"""A forest gives what its booster gives, for one row as for many."""

from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.types import BaseNamedTuple

from epic22.core.errors import InternalError
from epic22.core.models.trees.forest import Forest, combine_forests, read_booster
from epic22.core.models.trees.forest_kernels import LANES, add_interactions, add_shap, add_shap_by_lanes, sum_leaves
from epic22.core.task import Array

COLUMNS, CATEGORY, SMALL_CATEGORY = 6, 2, 4
TYPES = ["c" if column in (CATEGORY, SMALL_CATEGORY) else "q" for column in range(COLUMNS)]


def rows(seed: int, n: int = 800) -> Array:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    X[:, CATEGORY], X[:, SMALL_CATEGORY] = rng.integers(0, 70, n), rng.integers(0, 3, n)
    X[rng.random(X.shape) < 0.08] = np.nan
    return X


def labels(X: Array, kind: str, seed: int) -> Array:
    clean = np.nan_to_num(X)
    score = clean[:, 0] + clean[:, 1] * clean[:, 3] + (clean[:, CATEGORY] % 3) - clean[:, SMALL_CATEGORY]
    score = score + np.random.default_rng(seed + 1).normal(size=len(X))
    if kind == "binary:logistic":
        return np.asarray(score > 0.5).astype(float)
    return np.asarray(np.digitize(score, [-0.5, 1.0]).astype(float) if kind == "multi:softprob" else score)


def boosted(seed: int = 0, kind: str = "binary:logistic", rounds: int = 12, **terms: Any) -> tuple[xgb.Booster, Array]:
    X = rows(seed)
    matrix = xgb.DMatrix(X, labels(X, kind, seed), feature_types=TYPES, enable_categorical=True)
    more = {"num_class": 3} if kind == "multi:softprob" else {}
    return xgb.train({"objective": kind, "nthread": 1, "seed": seed, **more, **terms}, matrix, rounds), X


def asked(booster: xgb.Booster, X: Array, **how: Any) -> Array:
    return np.asarray(booster.predict(xgb.DMatrix(X, feature_types=TYPES, enable_categorical=True), **how))


def strange_rows(X: Array) -> Array:
    """Rows with a category that was never seen, one below zero, and nothing but gaps."""
    strange = X[:60].copy()
    strange[0, CATEGORY], strange[1, CATEGORY], strange[2] = 90.0, -1.0, np.nan
    return strange


def agrees(forest: Forest, booster: xgb.Booster, X: Array) -> None:
    raw, found = forest.decision_function(X), forest.shap_values(X)
    np.testing.assert_allclose(raw, asked(booster, X, output_margin=True), atol=1e-5)
    np.testing.assert_allclose(found, asked(booster, X, pred_contribs=True), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), raw, atol=1e-9)
    pairs, theirs = forest.shap_interaction_values(X[:80]), asked(booster, X[:80], pred_interactions=True)[..., :-1, :-1]
    np.testing.assert_allclose(pairs, theirs * (1 - np.eye(COLUMNS)), atol=1e-5)


@pytest.mark.parametrize("kind", ["binary:logistic", "reg:squarederror", "multi:softprob", "count:poisson"])
def test_scores_and_reasons_are_the_boosters_own(kind: str) -> None:
    booster, X = boosted(kind="reg:squarederror") if kind == "count:poisson" else boosted(kind=kind)
    if kind == "count:poisson":
        matrix = xgb.DMatrix(X, np.abs(labels(X, "reg", 0)), feature_types=TYPES, enable_categorical=True)
        booster = xgb.train({"objective": kind, "nthread": 1}, matrix, 12)
    agrees(read_booster(booster), booster, strange_rows(X))


@pytest.mark.parametrize(
    "terms", [{"max_depth": 1}, {"max_depth": 11}, {"grow_policy": "lossguide", "max_leaves": 40, "max_depth": 0}]
)
def test_trees_of_any_shape_agree(terms: dict[str, Any]) -> None:
    booster, X = boosted(subsample=0.7, min_child_weight=0.1, **terms)
    agrees(read_booster(booster), booster, strange_rows(X))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 7), st.sampled_from([0.0, 0.5, 3.0]), st.sampled_from([0.3, 1.0]))
def test_any_booster_agrees(seed: int, depth: int, gamma: float, colsample: float) -> None:
    booster, X = boosted(seed, max_depth=depth, gamma=gamma, colsample_bynode=colsample, rounds=5)
    agrees(read_booster(booster), booster, X[:40])


def test_a_row_alone_gets_the_same_bits_as_in_a_batch_and_on_more_threads() -> None:
    booster, X = boosted(kind="multi:softprob")
    forest = read_booster(booster)
    raw, reasons = forest.decision_function(X), forest.shap_values(X, threads=2)
    assert (forest.decision_function(X, threads=2) == raw).all()
    for row in (0, 1, 300, len(X) - 1):
        assert (forest.decision_function(X[row : row + 1])[0] == raw[row]).all()
        assert (forest.shap_values(X[row : row + 1])[0] == reasons[row]).all()


@pytest.mark.parametrize("n", [1, LANES // 2, LANES - 1, LANES, LANES + 1, 2 * LANES, 300])
def test_rows_side_by_side_get_the_bits_of_each_alone(n: int) -> None:
    booster, X = boosted(kind="multi:softprob")
    deep, _, wide = wide_forest(11)
    for forest, different in ((read_booster(booster), strange_rows(X)), (deep, wide)):
        batch = np.resize(different, (n, different.shape[1]))
        alone = np.concatenate([forest.shap_values(batch[row : row + 1]) for row in range(n)])
        assert forest.shap_values(batch).tobytes() == alone.tobytes()


def test_a_booster_that_never_splits_gives_its_average() -> None:
    booster, X = boosted(gamma=1e9)
    agrees(read_booster(booster), booster, X[:5])
    assert not read_booster(booster).shap_values(X[:5])[:, :-1].any()


def test_no_rows_are_no_answers() -> None:
    booster, X = boosted()
    assert read_booster(booster).decision_function(X[:0]).shape == (0,)
    assert read_booster(booster).shap_values(X[:0]).shape == (0, COLUMNS + 1)


def test_a_linear_booster_is_refused() -> None:
    X = np.nan_to_num(rows(0))
    linear = xgb.train({"booster": "gblinear", "nthread": 1}, xgb.DMatrix(X, X[:, 0]), 2)
    with pytest.raises(InternalError, match="gblinear"):
        read_booster(linear)


def wide_forest(depth: int) -> tuple[Forest, xgb.Booster, Array]:
    """Small trees over twelve columns, whose ways have as many of them as the depth allows."""
    rng = np.random.default_rng(depth)
    X = rng.normal(size=(160, 12)).astype(np.float32)
    y = X @ np.linspace(0.5, 1.5, 12) + np.prod(np.sign(X[:, :3]), axis=1)
    terms = {"nthread": 1, "max_depth": depth, "min_child_weight": 0, "colsample_bynode": 0.3, "reg_lambda": 0.1}
    booster = xgb.train(terms, xgb.DMatrix(X, y), 8)
    return read_booster(booster), booster, X


def test_ways_of_many_columns_get_as_many_points_as_they_ask_for() -> None:
    forest, booster, X = wide_forest(11)
    assert forest.split_arrays.shap.rounds.max() > 1
    np.testing.assert_allclose(forest.shap_values(X), booster.predict(xgb.DMatrix(X), pred_contribs=True), atol=1e-5)


def test_shallow_and_deep_trees_side_by_side_give_the_sum_of_their_reasons() -> None:
    (shallow, _, X), (deep, _, _) = wide_forest(1), wide_forest(11)
    assert shallow.split_arrays.shap.rounds.max() < deep.split_arrays.shap.rounds.max()
    for order in ([shallow, deep], [deep, shallow]):
        parts = sum(0.5 * forest.shap_values(X) for forest in order)
        both = combine_forests(order, [0.5, 0.5])
        np.testing.assert_allclose(both.shap_values(X), parts, atol=1e-12)
        np.testing.assert_allclose(both.shap_values(X).sum(axis=1), both.decision_function(X), atol=1e-12)


def test_compiled_code_that_is_kept_names_no_class_of_the_package() -> None:
    """Another version of the package, which names its classes otherwise, could not read it, and no model would open."""
    forest = read_booster(boosted()[0])
    X = rows(3, 5)
    for compute in (forest.decision_function, forest.shap_values, forest.shap_interaction_values):
        compute(X)
    forest.shap_values(rows(3, LANES))
    for kernel in (sum_leaves, add_shap, add_shap_by_lanes, add_interactions):
        arguments = [argument for signature in vars(kernel)["overloads"] for argument in signature]
        assert arguments
        assert not any(isinstance(argument, BaseNamedTuple) for argument in arguments)
