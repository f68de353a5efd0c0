"""Metrics of many draws at once are those of one draw at a time."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from epic22.core.evaluation.bootstrap import RESAMPLERS, compute_replicates, draw_cluster_counts
from epic22.core.evaluation.metrics import (
    BRIER_SKILL_SCORE,
    EXPECTED_CALIBRATION_ERROR,
    KS_STATISTIC,
    METRICS,
    PRECISION_AT_TOP,
    RECALL_AT_TOP,
    TOP_DECILE_LIFT,
)
from epic22.core.evaluation.predictions import ClusteredPredictions
from epic22.core.task import Array, Kind, Metric, RowMetadata

DRAWS = 12


def one_by_one(metric: Metric, parts: list[ClusteredPredictions], seed: int) -> Array:
    """What draws_of is to equal: the metric called with weights, (DRAWS, parts)."""
    count = 1 + max(int(part.cluster.max()) for part in parts)
    rng = np.random.default_rng([seed, 22])
    made = np.empty((DRAWS, len(parts)))
    for draw in range(DRAWS):
        times = np.bincount(rng.integers(0, count, count), minlength=count).astype(float)
        for j, part in enumerate(parts):
            weight = times[part.cluster]
            made[draw, j] = metric.score(part.y, part.response, RowMetadata(weight=weight)) if weight.any() else math.nan
    return made


def part_of(kind: Kind, n: int, clusters: int, ties: bool, rng: np.random.Generator) -> ClusteredPredictions:
    """Random rows; with ties, responses have one decimal."""
    unit = rng.integers(0, clusters, n)
    if kind == "multiclass":
        response = rng.dirichlet([1, 1, 1], n)
        return ClusteredPredictions(rng.integers(0, 3, n).astype(float), np.round(response, 1) if ties else response, unit)
    if kind == "binary":
        response = rng.uniform(size=n)
        return ClusteredPredictions(rng.integers(0, 2, n).astype(float), np.round(response, 1) if ties else response, unit)
    y = rng.normal(5, 2, n)
    return ClusteredPredictions(y, np.round(y + rng.normal(size=n), 0 if ties else 12), unit)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@example("regression", 5, 2, False, 187)  # labels that are nearly equal: -4,471,293.55 both ways
@given(
    st.sampled_from(["binary", "multiclass", "regression"]),
    st.integers(1, 40),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_draws_equal_the_metric_called_draw_by_draw(kind: Kind, n: int, clusters: int, ties: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [part_of(kind, n, clusters, ties, rng) for _ in range(2)]
    of_two = [BRIER_SKILL_SCORE, EXPECTED_CALIBRATION_ERROR, TOP_DECILE_LIFT, KS_STATISTIC, RECALL_AT_TOP, PRECISION_AT_TOP]
    measured = (*METRICS[kind], *(of_two if kind == "binary" else []))
    found = compute_replicates(measured, parts, DRAWS, seed)
    for metric, values in zip(measured, found, strict=True):
        expected = one_by_one(metric, parts, seed)
        if metric.name == "r2":  # where a draw's labels are all equal, rounding decides whether there is any spread
            expected[(np.abs(expected) > 1e6) & np.isnan(values)] = np.nan
        assert np.allclose(values, expected, rtol=1e-9, atol=1e-9, equal_nan=True), metric.name


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_reported_metric_has_a_way_through_many_draws(kind: Kind) -> None:
    assert all(metric.score in RESAMPLERS for metric in METRICS[kind])


@pytest.mark.parametrize("two_columns", [False, True])
def test_a_metric_without_a_way_is_called_draw_by_draw(two_columns: bool) -> None:
    def worst(y: Array, response: Array, rows: RowMetadata) -> float:
        assert rows.weight is not None
        return float((rows.weight * y).max())

    rng = np.random.default_rng(3)
    parts = [part_of("binary", 30, 8, False, rng)]
    if two_columns:
        p = parts[0].response
        parts = [ClusteredPredictions(parts[0].y, np.column_stack([1 - p, p]), parts[0].cluster)]
        for metric in METRICS["multiclass"]:
            assert np.allclose(compute_replicates([metric], parts, DRAWS, 0)[0], one_by_one(metric, parts, 0), equal_nan=True)
    metric = Metric("worst", worst, False, "value")
    assert np.array_equal(compute_replicates([metric], parts, DRAWS, 0)[0], one_by_one(metric, parts, 0))


def test_a_part_of_which_nothing_was_drawn_is_undefined() -> None:
    rng = np.random.default_rng(0)
    far = ClusteredPredictions(np.array([0.0, 1.0]), np.array([0.2, 0.8]), np.array([0, 1]))
    near = ClusteredPredictions(rng.integers(0, 2, 50).astype(float), rng.uniform(size=50), 2 + np.arange(50))
    found = compute_replicates(METRICS["binary"], [far, near], 50, 1)
    nothing = np.concatenate(list(draw_cluster_counts(52, 50, 1, 50)))[:, :2].sum(axis=1) == 0
    assert nothing.any()
    assert np.isnan(found[:, nothing, 0]).all()
    assert not np.isnan(found[2, :, 1]).any()


def test_the_draws_do_not_depend_on_how_many_are_held_at_once() -> None:
    few, many = (np.concatenate(list(draw_cluster_counts(7, 9, 5, rows))) for rows in (1_500_000, 10))
    assert np.array_equal(few, many)
