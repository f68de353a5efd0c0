"""Intervals and sets: they cover what they say on rows drawn alike, adapt where rows scatter differently, and survive storage."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from tests.small_rows import held

from epic22.core.evaluation.conformal import (
    CONFORMAL_VIEWS,
    COVERAGE,
    MIN_ROWS_PER_THRESHOLD,
    AdaptiveInterval,
    ClassSets,
    ConformalInterval,
    ConstantInterval,
    conformal_quantile,
    expand_binary,
    fit_sets,
    restore_interval,
)
from epic22.core.evaluation.interval_selection import (
    INTERVAL_KINDS,
    choose_interval,
    compute_interval_scores,
    fit_interval,
    fit_scatter,
)
from epic22.core.serialization import to_json
from epic22.core.task import Array

DRAWS = 400
BANDS: list[ConformalInterval] = [
    ConstantInterval(0.9, 1.5),
    AdaptiveInterval(0.9, "constant", 1.0, 2.0, floor=0.0),
    AdaptiveInterval(0.9, "scaled", 1.1, 1.3, (0.0, 1.0, 5.0), (0.5, 1.0, 1.0)),
    AdaptiveInterval(0.9, "relative", 0.2, 0.3, min_value=0.4, floor=0.0),
    AdaptiveInterval(0.9, "quantiles", -0.1, 0.2),
]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0.5, 0.99), st.integers(0, 2**32 - 1))
def test_the_quantile_is_the_rank_that_covers_or_infinite(n: int, level: float, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=n)
    rank = math.ceil(round((n + 1) * level, 6))
    found = conformal_quantile(scores, np.ones(n), level)
    assert found == (np.sort(scores)[rank - 1] if rank <= n else math.inf)


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 60), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_a_row_dealt_several_times_counts_once(n: int, dealings: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=n)
    again = np.tile(scores, dealings)
    assert conformal_quantile(again, np.full(n * dealings, 1 / dealings), 0.9) == conformal_quantile(scores, np.ones(n), 0.9)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.integers(25, 160), st.sampled_from(INTERVAL_KINDS), st.integers(0, 2**32 - 1))
def test_every_kind_covers_new_rows_drawn_alike(n: int, kind: tuple[str, bool], seed: int) -> None:
    """Over many draws of n rows and one new one: at least the level, less four standard errors of so many draws."""
    rng = np.random.default_rng(seed)
    hits = []
    for _ in range(DRAWS):
        value = rng.uniform(1, 4, n + 1)
        y = value * np.exp(rng.normal(0, 0.3, n + 1))
        band = fit_interval(held(value[:n], y[:n]), *kind)  # type: ignore[arg-type]
        if band is None:
            # Two bins of other folds' rows are needed for a scatter; these models state no quantiles of their own.
            assert kind[0] == "quantiles" or (kind[0] == "scaled" and n < 125)
            return
        low, high = band.compute_intervals(value[n:])
        hits.append(low[0] <= y[n] <= high[0])
    assert np.mean(hits) >= COVERAGE - 4 * math.sqrt(0.09 / DRAWS)


@pytest.mark.slow
def test_the_band_that_was_chosen_covers_too() -> None:
    """The choice among the kinds by the rows that fit them costs less than four standard errors over 60 draws."""
    shares = []
    for seed in range(60):
        band, _ = choose_interval(held(*fanning(200, seed)))
        assert band is not None
        value, y = fanning(500, 1000 + seed)
        low, high = band.compute_intervals(value)
        shares.append(np.mean((low <= y) & (y <= high)))
    assert np.mean(shares) >= COVERAGE - 4 * np.std(shares) / math.sqrt(60)
    assert np.mean(shares) <= 0.93


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(60, 200), st.integers(0, 2**32 - 1))
def test_sets_cover_every_class_of_new_rows_drawn_alike(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hit, of, cells = np.zeros(3), np.zeros(3), np.zeros(3)
    for _ in range(DRAWS):
        p = softmax(rng.normal(size=(n + 6, 3)) * 1.5 + np.array([1.0, 0.5, 0.0]), axis=1)
        y = (p.cumsum(axis=1) < rng.uniform(size=n + 6)[:, None]).sum(axis=1)
        sets = fit_sets(p[:n], y[:n], np.ones(n))
        assert sets is not None
        holds = sets.contains(p[n:])[np.arange(6), y[n:]]
        hit += np.bincount(y[n:], weights=holds, minlength=3)
        of += np.bincount(y[n:], minlength=3)
        cells = np.array(sets.threshold_groups)
    # Below LEAST_IN_CELL rows classes share a threshold, and the promise is for both together.
    for cell in np.unique(cells):
        share = hit[cells == cell].sum() / of[cells == cell].sum()
        assert share >= COVERAGE - 4 * math.sqrt(0.09 / of[cells == cell].sum()) - (0.05 if (cells == cell).sum() > 1 else 0)


def rare(n: int, seed: int) -> tuple[Array, Array]:
    """Probabilities and classes with about 4 % positives."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-4.2, 1.6, n)
    return expand_binary(1 / (1 + np.exp(-z))), (rng.uniform(size=n) < 1 / (1 + np.exp(-z))).astype(float)


def test_the_rare_class_is_covered_by_a_threshold_of_its_own_where_one_for_all_would_forget_it() -> None:
    p, y = rare(6000, 1)
    fresh, truth = rare(20_000, 2)
    sets = fit_sets(p, y, np.ones(len(y)))
    assert sets is not None
    assert len(set(sets.threshold_groups)) == 2
    own = p[np.arange(len(y)), y.astype(int)]
    pooled = ClassSets(0.9, (-conformal_quantile(-own, np.ones(len(y)), 0.9),) * 2, (0, 0))
    positives = truth == 1
    # Four standard errors of a threshold from some 250 positives.
    assert abs(sets.contains(fresh)[positives, 1].mean() - 0.9) < 4 * math.sqrt(0.09 / y.sum())
    assert sets.contains(fresh)[~positives, 0].mean() > 0.88
    assert pooled.contains(fresh)[positives, 1].mean() < 0.5


def test_classes_too_rare_for_a_threshold_share_one_with_the_next_rarer() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], [400, 8, 40, 3])
    sets = fit_sets(softmax(rng.normal(size=(len(y), 4)), axis=1), y, np.ones(len(y)))
    assert sets is not None
    assert sets.threshold_groups == (1, 0, 0, 0)
    assert (y == 2).sum() >= MIN_ROWS_PER_THRESHOLD


def test_a_class_that_too_few_rows_speak_of_is_in_every_set() -> None:
    sets = fit_sets(expand_binary(np.array([0.2, 0.4, 0.6])), np.array([0, 1, 1]), np.ones(3))
    assert sets is not None
    assert sets.contains(np.array([[1.0, 0.0]])).all()


def test_the_likeliest_class_is_in_every_set() -> None:
    """A rare class alone in a set would say what the probability denies."""
    assert ClassSets(0.9, (0.9, 0.9, 0.9), (0, 1, 2)).contains(np.array([[0.3, 0.4, 0.3]])).tolist() == [[False, True, False]]
    assert ClassSets(0.9, (0.98, 0.04), (0, 1)).contains(np.array([[0.95, 0.05]])).all()


def fanning(n: int, seed: int) -> tuple[Array, Array]:
    """Values whose outcomes scatter ten times as far at the top as at the bottom, and below zero too."""
    rng = np.random.default_rng(seed)
    value = rng.uniform(0, 10, n)
    return value, value + rng.normal(0, 0.3 + 0.3 * value, n)


def by_third(band: ConformalInterval, value: Array, y: Array) -> Array:
    """Coverage in each third of the value."""
    low, high = band.compute_intervals(value)
    inside, third = (low <= y) & (y <= high), np.minimum(value * 3 // 10, 2).astype(int)
    return np.bincount(third, weights=inside) / np.bincount(third)


def test_where_rows_scatter_differently_the_band_chosen_is_right_in_every_third_and_the_constant_one_is_not() -> None:
    rows, (value, y) = held(*fanning(2000, 3)), fanning(20_000, 4)
    band, table = choose_interval(rows)
    constant = fit_interval(rows, "constant", True)
    assert isinstance(band, AdaptiveInterval)
    assert band.kind == "scaled"
    assert constant is not None
    assert np.abs(by_third(band, value, y) - 0.9).max() < 0.03
    assert np.abs(by_third(constant, value, y) - 0.9).max() > 0.09
    best = min(table, key=lambda row: row.interval_score)
    assert (best.kind, best.gain > best.error) == ("scaled", True)


def test_a_fold_alone_chooses_a_band_by_its_pieces() -> None:
    rows = held(*fanning(2000, 3))
    alone = replace(rows, fold=np.zeros(len(rows), np.int64))
    forward = replace(
        alone, forward=True, at=np.arange(2000).astype("datetime64[s]"), label_known_at=np.arange(2000).astype("datetime64[s]")
    )
    for one in (alone, forward):
        band, _ = choose_interval(one)
        assert isinstance(band, AdaptiveInterval)
        assert band.kind == "scaled"


def test_rows_that_scatter_alike_keep_the_plain_band() -> None:
    rng = np.random.default_rng(5)
    value = rng.normal(0, 3, 1500)
    band, _ = choose_interval(held(value, value + rng.normal(size=1500)))
    assert isinstance(band, ConstantInterval)
    assert band.half_width == pytest.approx(1.645, abs=0.1)


def test_relative_errors_get_a_relative_band_that_stays_above_zero() -> None:
    rng = np.random.default_rng(6)
    value = np.exp(rng.normal(12, 1, 1500))
    band, _ = choose_interval(held(value, value * np.exp(rng.normal(0, 0.25, 1500))))
    assert isinstance(band, AdaptiveInterval)
    assert band.kind == "relative"
    low, high = band.compute_intervals(np.array([100_000.0, -5.0]))
    assert 55_000 < low[0] < 75_000
    assert 140_000 < high[0] < 165_000
    assert low[1] >= 0


def test_a_model_that_knows_which_rows_scatter_has_intervals_around_its_own_quantiles() -> None:
    """Its quantiles are too narrow by half, as of rows that it learned from; the value says nothing of the scatter."""
    rng = np.random.default_rng(9)
    value, scatter = rng.normal(0, 3, 2000), rng.choice([0.3, 3.0], 2000)
    y = value + scatter * rng.normal(size=2000)
    quantiles = np.stack([value - 0.8 * scatter, value, value + 0.8 * scatter], axis=1)
    learned, new = np.arange(1500), np.arange(1500, 2000)
    band, table = choose_interval(replace(held(value, y), quantiles=quantiles).take(learned))
    assert isinstance(band, AdaptiveInterval)
    assert band.kind == "quantiles"
    low, high = band.compute_intervals(value[new], quantiles[new])
    assert np.mean((low <= y[new]) & (y[new] <= high)) == pytest.approx(COVERAGE, abs=0.03)
    scores = {(row.kind, row.symmetric): row.interval_score for row in table}
    assert scores["quantiles", True] < 0.85 * min(score for (kind, _), score in scores.items() if kind != "quantiles")
    assert not any(row.kind == "quantiles" for row in choose_interval(held(value, y))[1])


def test_a_lopsided_error_gets_a_lopsided_band() -> None:
    rng = np.random.default_rng(7)
    value = rng.normal(0, 3, 1500)
    band, _ = choose_interval(held(value, value + rng.exponential(2.0, 1500) - 1))
    assert isinstance(band, AdaptiveInterval)
    assert band.upper_margin > 2 * band.lower_margin


def test_counts_have_no_end_below_zero() -> None:
    rng = np.random.default_rng(8)
    value = rng.uniform(0.1, 3, 800)
    rows = held(value, rng.poisson(value).astype(float))
    for kind in INTERVAL_KINDS:
        band = fit_interval(rows, *kind)
        if band is not None:
            low, high = band.compute_intervals(np.array([-0.5, 0.0, 0.2, 3.0]))
            assert (low >= 0).all()
            assert (high >= low).all()


def test_too_few_rows_give_no_interval_rather_than_a_wrong_one() -> None:
    value = np.arange(8.0)
    assert choose_interval(held(value, value + 1))[0] is None


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 400), st.integers(0, 2**32 - 1))
def test_the_scatter_is_monotone_and_above_nothing(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    value = np.round(rng.normal(size=n), int(rng.integers(0, 4)))
    scatter = fit_scatter(value, np.abs(rng.normal(size=n)), np.ones(n))
    if scatter is not None:
        steps = np.diff(scatter.sizes)
        assert (steps >= 0).all() or (steps <= 0).all()
        assert (np.diff(scatter.centres) > 0).all()
        assert min(scatter.sizes) > 0


def test_the_interval_score_is_the_width_and_twenty_times_what_is_missed() -> None:
    assert compute_interval_scores(np.array([0.5, 3.0]), np.zeros(2), np.full(2, 2.0)) == pytest.approx([2.0, 22.0])


@pytest.mark.parametrize("band", BANDS, ids=lambda band: getattr(band, "kind", "plain"))
def test_a_band_survives_json_and_one_value_gets_the_bits_it_gets_among_others(band: ConformalInterval) -> None:
    again = restore_interval(json.loads(json.dumps(to_json(band, CONFORMAL_VIEWS))))
    assert again == band
    values = np.random.default_rng(9).normal(2, 3, 997)
    low, high = band.compute_intervals(values)
    alone = [band.compute_intervals(values[i : i + 1]) for i in range(len(values))]
    assert [(float(a[0]), float(b[0])) for a, b in alone] == list(zip(low.tolist(), high.tolist(), strict=True))
    assert (low <= high).all()


def test_sets_survive_json_and_one_row_gets_the_set_it_gets_among_others() -> None:
    p = softmax(np.random.default_rng(10).normal(size=(500, 4)), axis=1)
    sets = ClassSets(0.9, (0.1, 0.25, 0.3, 0.2), (0, 1, 2, 3))
    assert ClassSets.restore(json.loads(json.dumps(to_json(sets, CONFORMAL_VIEWS)))) == sets
    assert np.array_equal(np.concatenate([sets.contains(row[None]) for row in p]), sets.contains(p))


def test_a_band_of_the_first_bundles_says_what_it_said() -> None:
    band = restore_interval({"coverage": 0.9, "half_width": 1.5})
    assert band == ConstantInterval(0.9, 1.5)
    assert np.concatenate(band.compute_intervals(np.array([2.0]))).tolist() == [0.5, 3.5]
    assert to_json(band, CONFORMAL_VIEWS) == {"coverage": 0.9, "half_width": 1.5}


@pytest.mark.parametrize(
    "state",
    [
        {"coverage": 0.9, "kind": "magic", "lower": 1.0, "upper": 1.0},
        {"coverage": 0.9, "kind": "scaled", "lower": 1.0, "upper": 1.0, "centres": [1.0], "scatter": []},
        {"coverage": 0.9, "kind": "relative", "lower": 1.0, "upper": 1.0},
    ],
)
def test_a_band_that_is_not_known_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not known"):
        restore_interval(state)


def test_sets_with_thresholds_for_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        ClassSets.restore({"coverage": 0.9, "thresholds": [0.1], "cells": [0, 1]})


def test_five_dealings_give_the_band_of_one_row_a_row() -> None:
    value, y = fanning(600, 11)
    once = held(value, y)
    five = replace(
        once,
        response=np.tile(value, 5),
        y=np.tile(y, 5),
        cluster=np.tile(once.cluster, 5),
        row=np.tile(once.row, 5),
        fold=np.concatenate([once.fold + 5 * i for i in range(5)]),
        repeat=np.repeat(np.arange(5), len(y)),
    )
    assert fit_interval(five, "constant", True) == fit_interval(once, "constant", True)
    one, many = fit_interval(once, "scaled", False), fit_interval(five, "scaled", False)
    assert one is not None
    assert many is not None
    assert (many.lower_margin, many.upper_margin) == pytest.approx((one.lower_margin, one.upper_margin))
    assert many.scatter == pytest.approx(one.scatter)
