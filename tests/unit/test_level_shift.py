"""Where a label stands at the end of training."""

from dataclasses import replace

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.models.ensemble import Ensemble, Member, restore_ensemble
from epic22.core.models.linear import FAMILY as LINEAR
from epic22.core.models.linear import Linear
from epic22.core.selection.level_shift import LevelShift, estimate_level_shift, fit_local_level
from epic22.core.task import Array

AT = np.arange(1000).astype("datetime64[h]")
RISE = np.maximum(np.arange(1000) - 500, 0) / 5000
"""Up by a tenth over the second half."""


def noise(scale: float = 0.15, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, scale, 1000)


def test_a_label_that_rises_late_is_followed_to_where_it_stands() -> None:
    found = estimate_level_shift(noise() + RISE, AT, share=0.4, is_mean_added=False)
    assert found is not None
    assert found.mean < 0.03 < found.last < 0.1
    assert found.shift == pytest.approx(found.last - 0.4 * found.mean)
    meant = estimate_level_shift(noise() + RISE, AT, share=0.4, is_mean_added=True)
    assert meant is not None
    assert meant.shift == pytest.approx(found.shift - found.mean)


def test_the_order_of_the_rows_does_not_matter_their_time_does() -> None:
    order = np.random.default_rng(1).permutation(1000)
    residuals = noise() + RISE
    found, shuffled = (
        estimate_level_shift(residuals, AT, 0.4, False),
        estimate_level_shift(residuals[order], AT[order], 0.4, False),
    )
    assert found is not None
    assert shuffled is not None
    assert shuffled.shift == pytest.approx(found.shift)
    assert estimate_level_shift(residuals[order], AT, 0.4, False) is None


def test_a_level_that_stays_is_left_in_nineteen_of_twenty_tables() -> None:
    followed = [estimate_level_shift(noise(seed=seed) + 0.02, AT, 0.4, False) is not None for seed in range(200)]
    assert sum(followed) <= 16


def test_a_single_enormous_row_neither_moves_a_level_nor_hides_one() -> None:
    residuals = noise()
    residuals[-1] = 50.0
    assert estimate_level_shift(residuals, AT, 0.4, False) is None
    hidden = noise() + RISE
    hidden[3] = -50.0
    found = estimate_level_shift(hidden, AT, 0.4, False)
    assert found is not None
    assert found.last > 0.03


def test_few_rows_say_nothing_of_a_level() -> None:
    assert estimate_level_shift(np.arange(150.0), AT[:150], 0.4, False) is None


def test_a_level_is_told_in_the_labels_unit_and_of_logarithms_in_hundredths() -> None:
    target = replace(toy("regression", 50).task.target, name="price", unit="$")
    level = LevelShift(-1500.0, -2000.0, -900.0, 12.3)
    assert level.describe(target).startswith("price moves: at the end of training it stood 2,000 $ below held-out predictions")
    assert level.describe(target).endswith("Predictions are lowered by 1,500 $")
    logs = LevelShift(0.015, 0.02, 0.009, 12.3).describe(replace(target, log=True))
    assert "stood 2 % above" in logs
    assert logs.endswith("raised by 1.5 %")


def test_the_filter_weighs_recent_means_more_the_longer_the_steps() -> None:
    means = np.array([0.0, 0.0, 0.0, 1.0])
    levels = [fit_local_level(means, np.ones(4), step)[1] for step in (0.0, 0.1, 1.0, 100.0)]
    assert levels == sorted(levels)
    assert levels[0] == pytest.approx(0.25)
    assert levels[-1] > 0.95


def test_a_level_is_added_to_score_and_average_and_kept_in_the_bundle() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)).astype(np.float32)
    member = Member("linear", 1.0, Linear("regression", (False, False)).fit(X, X[:, 0] + 3))
    plain, moved = Ensemble("regression", (member,)), Ensemble("regression", (member,), level_shift=0.5)
    assert np.allclose(moved.decision_function(X), plain.decision_function(X) + 0.5)
    told = moved.shap_values(X)
    assert np.allclose(told.sum(axis=1), moved.decision_function(X))
    assert np.allclose(told[:, :-1], plain.shap_values(X)[:, :-1])
    again = restore_ensemble(moved.files(), (LINEAR,))
    assert np.array_equal(again.decision_function(X), moved.decision_function(X))
    assert moved.files().keys() == plain.files().keys()
    assert moved.files() != plain.files()
