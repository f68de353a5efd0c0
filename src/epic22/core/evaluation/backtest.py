"""Forecasts from rolling origins: fitted on what was known at the first origin of a block, rolled forward through the block."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.errors import SplitError
from epic22.core.lineage import sha256
from epic22.core.models.panel.base import QUANTILE_LEVELS, Forecaster, ForecasterSetup
from epic22.core.time_series import Array, Frequency

MAX_ORIGINS_PER_FIT, MIN_ORIGINS_PER_FIT = 12, 4
"""Orders and parameters are estimated once a year of origins, within these bounds, and rolled forward between."""


@dataclass(frozen=True)
class OriginPlan:
    """Rolling origins (ordinals, ascending): `earlier` ones, which choose and calibrate, and `test` ones, which judge.

    Nothing learned, chosen or calibrated for an origin uses a value that was not over at it, so no gap is needed.
    """

    earlier: Array
    test: Array
    horizon: int
    frequency: Frequency

    @property
    def origins(self) -> Array:
        """All origins, ascending."""
        return np.concatenate([self.earlier, self.test])

    def split_blocks(self) -> list[Array]:
        """The origins in blocks of a year, counted so that a block begins at the first test origin."""
        every = min(max(self.frequency.season, MIN_ORIGINS_PER_FIT), MAX_ORIGINS_PER_FIT)
        lead = len(self.earlier) % every
        cuts = [0, *([lead] if lead else []), *range(lead + every, len(self.origins), every)]
        return [self.origins[a:b] for a, b in zip(cuts, [*cuts[1:], len(self.origins)], strict=True) if b > a]

    def count_effective_blocks(self, horizon: int, n_origins: int) -> float:
        """How many independent stretches `n_origins` origins are worth at a horizon: neighbours share all but one of its
        periods."""
        return n_origins / max(1, horizon)

    def fingerprint(self, data_version: str) -> str:
        """Equal for two evaluations exactly when they saw the same origins of the same data."""
        return sha256(data_version.encode(), self.earlier.tobytes(), self.test.tobytes(), str(self.horizon).encode())


def plan_origins(first: int, last: int, horizon: int, frequency: Frequency, holdout: int | None, min_history: int) -> OriginPlan:
    """The origins for data that runs from period `first` to `last` (ordinals).

    Test origins are all those whose `horizon` periods lie in the last `holdout` (three horizons unless stated, less where the
    data is short). Before them go as many as there are, up to three horizons or 24, after `min_history` periods of history.

    Raises SplitError where there is no room.
    """
    periods = last - first + 1
    room = periods - min_history
    n_held_out = holdout if holdout is not None else min(3 * horizon, max(horizon + 1, room // 2))
    if n_held_out < horizon:
        raise SplitError(
            f"--holdout-last {n_held_out} is shorter than --horizon {horizon}: no origin has all of its targets in it."
        )
    if n_held_out >= room:
        raise SplitError(
            f"{frequency.format_periods(periods)} of data are too few for --horizon {horizon} with the last "
            f"{n_held_out} held out: "
            f"a model needs {min_history} before the first origin. Bring more history, or a shorter --horizon or --holdout-last."
        )
    test = np.arange(last - n_held_out, last - horizon + 1)
    earlier = np.arange(max(first + min_history - 1, test[0] - max(3 * horizon, 24)), test[0])
    return OriginPlan(earlier, test, horizon, frequency)


@dataclass(frozen=True)
class Backtest:
    """A family's QUANTILE_LEVELS at every row of the examples, (n, horizon, q). `fit_seconds` is the mean over blocks.

    `ms_per_row` is the time of forecasting one series alone, in milliseconds.
    """

    family: str
    quantiles: Array
    fit_seconds: float
    ms_per_row: float

    @property
    def median(self) -> Array:
        """The point forecasts, (n, horizon)."""
        return np.asarray(self.quantiles[:, :, QUANTILE_LEVELS.index(0.5)])


def backtest(
    setup: ForecasterSetup,
    examples: PanelExamples,
    plan: OriginPlan,
    progress: Callable[[], None] = lambda: None,
) -> Backtest:
    """A family's forecasts from every origin of the plan; `progress` is called after each block.

    Each block has a forecaster of its own, fitted on every series as it was known at the block's first origin, and on nothing
    else.
    """
    quantiles = np.full((len(examples), plan.horizon, len(QUANTILE_LEVELS)), np.nan)
    seconds, ms_per_row = [], np.nan
    for block in plan.split_blocks():
        rows = np.flatnonzero(np.isin(examples.origin, block))
        fitted = setup.fit(examples.histories.take(np.flatnonzero(examples.origin == block[0])), plan.horizon)
        seconds.append(fitted.seconds)
        if len(rows):
            quantiles[rows] = fitted.value.predict_quantiles(examples.histories.take(rows))
            ms_per_row = _measure_ms_per_row(fitted.value, examples, rows[:10])
        progress()
    return Backtest(setup.family.name, quantiles, float(np.mean(seconds)), ms_per_row)


def _measure_ms_per_row(forecaster: Forecaster, examples: PanelExamples, rows: Array) -> float:
    durations = []
    for row in rows:
        began = time.perf_counter()
        forecaster.predict_quantiles(examples.histories.take(np.array([row])))
        durations.append((time.perf_counter() - began) * 1000)
    return float(np.median(durations))
