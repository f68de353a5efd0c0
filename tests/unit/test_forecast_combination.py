"""Weights that trust evidence as far as there is some, and intervals that follow a shock and forget it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.panels import known, lines

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.adaptive_conformal import AdaptiveState, adapt_intervals, compute_half_widths
from epic22.core.evaluation.backtest import OriginPlan
from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS
from epic22.core.selection.ensemble import compute_combination_weights
from epic22.core.time_series import MONTHLY, Array


@given(st.integers(1, 5), st.integers(1, 30), st.floats(0, 50), st.integers(0, 1000))
def test_weights_are_a_share_each_or_none_at_all(members: int, n: int, blocks: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = compute_combination_weights(rng.normal(size=(members, n)), rng.normal(size=n), blocks)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0) or weights.sum() == 0.0


def test_little_evidence_leaves_weights_equal_and_much_moves_them_to_the_best() -> None:
    rng = np.random.default_rng(0)
    errors = np.stack([rng.normal(0, 0.5, 200), rng.normal(0, 1.5, 200)])
    naive = rng.normal(0, 5, 200)
    assert compute_combination_weights(errors, naive, n_blocks=2.0).tolist() == [0.5, 0.5]
    assert compute_combination_weights(errors, naive, n_blocks=40.0)[0] > 0.85


def test_errors_that_cancel_are_mixed() -> None:
    errors = np.array([[1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, -1.0]])
    assert compute_combination_weights(errors, np.full(4, 9.0), n_blocks=100.0) == pytest.approx([0.5, 0.5])


def test_a_member_that_doing_nothing_beats_is_out() -> None:
    errors = np.array([[0.5, 0.5], [3.0, 3.0]])
    assert compute_combination_weights(errors, np.array([1.0, 1.0]), n_blocks=1.0).tolist() == [1.0, 0.0]
    assert compute_combination_weights(errors, np.array([0.1, 0.1]), n_blocks=1.0).tolist() == [0.0, 0.0]


H = 3


def setting(periods: int = 90, shock_at: int | None = None) -> tuple[Array, Array, PanelExamples, OriginPlan]:
    """Medians, members, examples and plan; errors are 1, and 2 for outcomes from `shock_at` on."""
    plan = OriginPlan(np.arange(540 + 24, 540 + 50), np.arange(540 + 50, 540 + periods - H), H, MONTHLY)
    series = 40
    histories = known(lines(series, periods))
    ends = np.repeat(plan.origins - 540 + 1, series)
    rows = histories.take(np.tile(np.arange(series), len(plan.origins)))
    rows = rows.shift_back(periods - ends)
    rng = np.random.default_rng(0)
    due = rows.origin[:, None] + np.arange(1, H + 1)[None, :] - 540
    size = np.where(due >= shock_at, 2.0, 1.0) if shock_at is not None else np.ones_like(due)
    median = np.full((len(rows), H), 100.0)
    Y = median + rng.normal(0, 1, median.shape) * size
    half = np.full_like(median, 1.2816 / 0.75)
    members = np.stack([np.stack([median - half, median - half / 2, median, median + half / 2, median + half], axis=2)] * 2)
    return median, members, PanelExamples(rows, Y, "v"), plan


def covered(quantiles: Array, examples: PanelExamples, origins: Array) -> float:
    rows = np.isin(examples.origin, origins)
    inside = (quantiles[:, :, 0] <= examples.Y) & (quantiles[:, :, -1] >= examples.Y)
    return float(inside[rows].mean())


def test_right_widths_stay_as_they_are() -> None:
    median, members, examples, plan = setting()
    adapted = adapt_intervals(median, members, examples, plan)
    assert covered(adapted.compute_quantiles(median), examples, plan.test) == pytest.approx(0.8, abs=0.03)
    assert adapted.half_width == pytest.approx(compute_half_widths(members), rel=0.1)


def test_a_shock_widens_the_intervals_and_calibrating_once_does_not_notice() -> None:
    median, members, examples, plan = setting(shock_at=60)
    late = plan.test[plan.test >= 540 + 66]
    moved = covered(adapt_intervals(median, members, examples, plan).compute_quantiles(median), examples, late)
    fixed = covered(adapt_intervals(median, members, examples, plan, adaptive=False).compute_quantiles(median), examples, late)
    assert fixed < 0.55
    assert moved > fixed + 0.06


def test_the_interval_at_an_origin_knows_no_outcome_after_it() -> None:
    median, members, examples, plan = setting()
    cut = int(plan.test[10])
    due = examples.origin[:, None] + np.arange(1, H + 1)[None, :]
    changed = PanelExamples(examples.histories, np.where(due > cut, 1e6, examples.Y), "v")
    one, other = adapt_intervals(median, members, examples, plan), adapt_intervals(median, members, changed, plan)
    rows = examples.origin <= cut
    assert np.array_equal(one.half_width[rows], other.half_width[rows])
    assert not np.array_equal(one.half_width, other.half_width)


def test_disagreement_of_the_members_widens_the_interval() -> None:
    _, members, _, _ = setting()
    apart = members.copy()
    apart[0] += 3.0
    assert (compute_half_widths(apart) > compute_half_widths(members)).all()


def test_quantiles_around_a_median_ascend_and_keep_it() -> None:
    state = AdaptiveState((1.0, 2.0))
    quantiles = state.compute_quantiles(np.array([[5.0, 6.0]]), np.array([[1.0, 1.0]]))
    assert quantiles[0, :, MEDIAN_INDEX].tolist() == [5.0, 6.0]
    assert quantiles[0, :, -1] == pytest.approx([6.0, 8.0])
    assert quantiles.shape[-1] == len(QUANTILE_LEVELS)
