"""Risk bands: five, all reachable, each with what was observed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epic22.core.errors import UserError
from epic22.core.evaluation.risk_bands import BANDS, RiskBands, check_band_order, compute_band_figures, fit_bands
from epic22.core.serialization import to_json
from epic22.core.task import Array


def test_bands_hold_the_shares_asked_for() -> None:
    loss = np.random.default_rng(0).gamma(0.5, 500, 10000)
    counts = np.bincount(fit_bands(loss).assign(loss)) / 10000
    assert counts.tolist() == pytest.approx([0.40, 0.30, 0.18, 0.08, 0.04], abs=0.001)


@pytest.mark.slow
@given(arrays(np.float64, st.integers(5, 80), elements=st.sampled_from([0.0, 0.1, 1.0, 2.0, 7.0, 7.5, 900.0])))
def test_no_band_is_empty_however_many_ties(loss: Array) -> None:
    if len(np.unique(loss)) < 5:
        with pytest.raises(UserError, match="too few for 5 bands"):
            fit_bands(loss)
        return
    bands = fit_bands(loss)
    assert set(bands.assign(loss)) == set(range(5))
    assert RiskBands.restore(json.loads(json.dumps(to_json(bands)))) == bands
    assert (np.diff(bands.assign(np.sort(loss))) >= 0).all()


def test_neighbouring_floats_still_make_rising_cuts() -> None:
    loss = np.array([1.0])
    for _ in range(4):
        loss = np.append(loss, np.nextafter(loss[-1], 2))
    assert set(fit_bands(loss).assign(loss)) == set(range(5))


def test_figures_tell_what_was_predicted_and_what_happened() -> None:
    rng = np.random.default_rng(1)
    p, stake = rng.beta(1, 8, 20000), rng.uniform(1000, 6000, 20000)
    y = (rng.uniform(size=20000) < p).astype(int)
    figures = compute_band_figures(fit_bands(p * stake), p, stake, y)
    assert [band.name for band in figures] == list(BANDS)
    assert sum(band.n for band in figures) == 20000
    assert all(band.observed.low <= band.observed.value <= band.observed.high for band in figures)
    assert sum(band.observed.low <= band.predicted <= band.observed.high for band in figures) >= 4
    assert check_band_order(figures).rises


def test_an_order_that_fails_is_said_in_words() -> None:
    bands = RiskBands((1.0, 2.0, 3.0, 4.0))
    p, stake = np.array([0.5, 0.5, 0.5]), np.array([1.0, 3.0, 20.0])
    found = check_band_order(compute_band_figures(bands, p, stake, np.array([0, 1, 0])))
    assert not found.rises
    assert "critical lost 0 a row, low 3" in found.words
    assert "no rows in medium, high" in found.words


def test_cuts_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="rising cuts"):
        RiskBands.restore({"cuts": [1, 2, 2, 3]})
