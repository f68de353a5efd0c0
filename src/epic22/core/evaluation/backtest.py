"""Forecasts from rolling origins: fitted on what was known at the first origin of a block, rolled forward through the block."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.errors import SplitError
from epic22.core.history import Array, Frequency
from epic22.core.lineage import sha256
from epic22.core.models.panel.base import LEVELS, Forecaster, PanelFamily

MOST_ORIGINS_A_FIT, LEAST_ORIGINS_A_FIT = 12, 4
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

    def blocks(self) -> list[Array]:
        """The origins in blocks of a year, counted so that a block begins at the first test origin."""
        every = min(max(self.frequency.season, LEAST_ORIGINS_A_FIT), MOST_ORIGINS_A_FIT)
        lead = len(self.earlier) % every
        cuts = [0, *([lead] if lead else []), *range(lead + every, len(self.origins), every)]
        return [self.origins[a:b] for a, b in zip(cuts, [*cuts[1:], len(self.origins)], strict=True) if b > a]

    def blocks_of(self, horizon: int, count: int) -> float:
        """How many independent stretches `count` origins are worth at a horizon: neighbours share all but one of its periods."""
        return count / max(1, horizon)

    def fingerprint(self, data_version: str) -> str:
        """Equal for two evaluations exactly when they saw the same origins of the same data."""
        return sha256(data_version.encode(), self.earlier.tobytes(), self.test.tobytes(), str(self.horizon).encode())


def plan_origins(first: int, last: int, horizon: int, frequency: Frequency, holdout: int | None, least: int) -> OriginPlan:
    """The origins for data that runs from period `first` to `last` (ordinals).

    Test origins are all those whose `horizon` periods lie in the last `holdout` (three horizons unless stated, less where the
    data is short). Before them go as many as there are, up to three horizons or 24, after `least` periods of history.

    Raises SplitError where there is no room.
    """
    periods = last - first + 1
    room = periods - least
    held = holdout if holdout is not None else min(3 * horizon, max(horizon + 1, room // 2))
    if held < horizon:
        raise SplitError(f"--holdout-last {held} is shorter than --horizon {horizon}: no origin has all of its targets in it.")
    if held >= room:
        raise SplitError(
            f"{frequency.noun_of(periods)} of data are too few for --horizon {horizon} with the last {held} held out: "
            f"a model needs {least} before the first origin. Bring more history, or a shorter --horizon or --holdout-last."
        )
    test = np.arange(last - held, last - horizon + 1)
    earlier = np.arange(max(first + least - 1, test[0] - max(3 * horizon, 24)), test[0])
    return OriginPlan(earlier, test, horizon, frequency)


@dataclass(frozen=True)
class Backtest:
    """A family's quantiles LEVELS at every row of the examples, (n, horizon, q). `fit_seconds` is the mean over blocks.

    `row_ms` is the time of forecasting one series alone, in milliseconds.
    """

    family: str
    quantiles: Array
    fit_seconds: float
    row_ms: float

    @property
    def median(self) -> Array:
        """The point forecasts, (n, horizon)."""
        return np.asarray(self.quantiles[:, :, LEVELS.index(0.5)])


def backtest(
    family: PanelFamily,
    examples: PanelExamples,
    plan: OriginPlan,
    season: int,
    seed: int,
    threads: int,
    progress: Callable[[], None] = lambda: None,
) -> Backtest:
    """The family's forecasts from every origin of the plan; `progress` is called after each block."""
    quantiles = np.full((len(examples), plan.horizon, len(LEVELS)), np.nan)
    seconds, row_ms = [], np.nan
    for block in plan.blocks():
        rows = np.flatnonzero(np.isin(examples.origin, block))
        began = time.perf_counter()
        forecaster = fit_at(family, examples, int(block[0]), plan.horizon, season, seed, threads)
        seconds.append(time.perf_counter() - began)
        if len(rows):
            quantiles[rows] = forecaster.predict_quantiles(examples.histories.take(rows))
            row_ms = _row_milliseconds(forecaster, examples, rows[:10])
        progress()
    return Backtest(family.name, quantiles, float(np.mean(seconds)), row_ms)


def fit_at(
    family: PanelFamily, examples: PanelExamples, origin: int, horizon: int, season: int, seed: int, threads: int
) -> Forecaster:
    """The family fitted on every series as it was known at that origin, and on nothing else."""
    rows = np.flatnonzero(examples.origin == origin)
    return family.build(season, seed, threads).fit(examples.histories.take(rows), horizon)


def _row_milliseconds(forecaster: Forecaster, examples: PanelExamples, rows: Array) -> float:
    taken = []
    for row in rows:
        began = time.perf_counter()
        forecaster.predict_quantiles(examples.histories.take(np.array([row])))
        taken.append((time.perf_counter() - began) * 1000)
    return float(np.median(taken))
