"""From scores to values: the exponential, and what the scatter of logarithms adds to a mean (Duan 1983).

Broken once on purpose: with the median of exp(residual) for its mean, the smeared mean is too low.
"""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.lineage import canonical_json
from epic22.core.models.value_scale import (
    EXPONENTIAL,
    IDENTITY,
    MAX_SEGMENTS,
    MIN_ROWS,
    ValueScale,
    estimate_smearing,
    fit_smearing_scale,
)
from epic22.core.serialization import to_json
from epic22.core.task import Array


def logarithms(n: int, spread: Array | float, seed: int = 0) -> tuple[Array, Array]:
    """Scores from 0 to 3 in order, and labels that scatter about them by so many logarithms."""
    rng = np.random.default_rng(seed)
    raw = np.sort(rng.uniform(0, 3, n))
    return raw, np.exp(raw + spread * rng.normal(size=n))


def test_the_identity_gives_back_the_very_scores() -> None:
    raw = np.array([-2.0, 0.0, 7.5])
    assert IDENTITY(raw) is raw
    assert EXPONENTIAL(raw).tolist() == np.exp(raw).tolist()


def test_one_segment_multiplies_every_value_by_the_mean_of_the_exponentials_of_the_residuals() -> None:
    raw, y = np.array([0.0, 1.0, 2.0]), np.array([2.0, np.e, np.exp(2) / 2])
    scale = estimate_smearing(raw, y, 1)
    assert scale.centres == (1.0,)
    factor = (2.0 + 1.0 + 0.5) / 3
    assert scale(np.array([-5.0, 0.0, 9.0])).tolist() == pytest.approx((np.exp([-5.0, 0.0, 9.0]) * factor).tolist())


def test_between_two_centres_the_shift_goes_in_a_straight_line_and_beyond_them_it_stays() -> None:
    scale = ValueScale(True, (0.0, 2.0), (0.0, 1.0))
    assert np.log(scale(np.array([-3.0, 0.0, 1.0, 2.0, 5.0]))).tolist() == pytest.approx([-3.0, 0.0, 1.5, 3.0, 6.0])


def test_smearing_makes_the_exponential_of_a_mean_logarithm_the_mean() -> None:
    raw, y = logarithms(4000, 0.8)
    scale = fit_smearing_scale(raw, y)
    assert EXPONENTIAL(raw).mean() < 0.85 * y.mean()
    assert scale(raw).mean() == pytest.approx(y.mean(), rel=0.05)


def test_the_same_scatter_everywhere_gives_one_factor() -> None:
    raw, y = logarithms(400, 0.5)
    assert len(fit_smearing_scale(raw, y).centres) == 1


def test_a_scatter_that_grows_with_the_prediction_gives_a_factor_a_third() -> None:
    raw = np.sort(np.random.default_rng(1).uniform(0, 3, 900))
    y = np.exp(raw + 0.45 * raw * np.random.default_rng(2).normal(size=900))
    scale = fit_smearing_scale(raw, y)
    assert len(scale.centres) == MAX_SEGMENTS
    assert scale.shifts[0] < scale.shifts[1] < scale.shifts[2]
    # Each third is put right for itself, within what a mean of 300 such values scatters by.
    for third in np.array_split(np.arange(900), 3):
        assert scale(raw[third]).mean() == pytest.approx(y[third].mean(), rel=0.2)


def test_too_few_rows_are_given_one_factor_however_they_scatter() -> None:
    raw = np.linspace(0, 3, MIN_ROWS - 1)
    y = np.exp(raw + raw * np.random.default_rng(0).normal(size=len(raw)))
    assert len(fit_smearing_scale(raw, y).centres) == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 150))
def test_the_order_of_the_rows_changes_nothing(seed: int, n: int) -> None:
    raw, y = logarithms(n, 0.6, seed)
    order = np.random.default_rng(seed).permutation(n)
    assert fit_smearing_scale(raw[order], y[order]) == fit_smearing_scale(raw, y)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_labels_in_another_currency_are_predicted_in_it(seed: int, factor: float) -> None:
    raw, y = logarithms(80, 0.6, seed)
    plain, scaled = fit_smearing_scale(raw, y), fit_smearing_scale(raw + np.log(factor), y * factor)
    assert np.allclose(scaled(raw + np.log(factor)), factor * plain(raw), rtol=1e-6)


def test_a_scale_comes_back_from_json() -> None:
    scale = ValueScale(True, (0.5, 1.5, 2.5), (0.1, 0.2, 0.4))
    assert ValueScale.from_state(json.loads(canonical_json(to_json(scale)))) == scale
    assert ValueScale.from_state(json.loads(canonical_json(to_json(IDENTITY)))) == IDENTITY
