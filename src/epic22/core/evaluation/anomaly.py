"""Is this row odd? a one-step forecast, its calibrated interval, and an alarm where the row falls outside.

The forecast is the usual level: a mean that forgets exponentially (Brown 1959), slowly, because a level that follows quickly
takes an anomaly for normal within a few rows. Where the usual level lags behind the values all the time, by its tracking signal
(mean residual over mean absolute residual beyond ½: Trigg 1964), a quick level takes its place if it has erred less. Both also
run on top of a seasonal profile (Winters 1960; the quick one on the season before), taken where it has cut the error by a fifth.

The absolute residual is ranked among the past absolute residuals of the same forecast (split conformal prediction: Vovk et
al. 2005; on time series, with a sliding calibration window: Xu and Xie 2021; for anomalies: Laxhammar and Falkman 2014). So
whatever the noise, a share `false_alarm_rate` of rows is alarmed where the future is like the past: fewer while a season is
being learnt, more on a random walk, for which there is no usual level (give a `memory` of a few rows there). Beyond the largest
residual seen, ranks cannot tell bad from worse: there a Pareto tail through the largest ones decides (Hill 1975; the tail for
streams: Siffer et al. 2017).

n = rows. All arrays have shape (n,); forecast, interval and residual are in the unit of the values. What is said of row t depends
on rows up to t alone.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.errors import UserError
from epic22.core.evaluation.past_sizes import MIN_TAIL_ROWS, PastSizes
from epic22.core.task import Array

MEMORY = 5000
SHORT_MEMORY = 3
SEASONS_REMEMBERED = 10
LAGGING = 0.5
SEASON_GAIN = 0.8
WARM_UP = 20


@dataclass(frozen=True)
class AnomalyScores:
    """What was expected of each row before it came, and how odd the row then was.

    `score` is 1 − p, p the share of past residuals at least as large as this one (beyond the largest: by the tail). It is 0 in
    probation, and within `quiet` rows of a score at least as high; NaN where there is no value. Where `quiet` is 0, `alarm` says
    that the value lies outside `low` to `high`. The interval is NaN until two residuals are known.
    """

    forecast: Array
    half_width: Array
    residual: Array
    score: Array
    alarm: Array

    @property
    def low(self) -> Array:
        """The lower end of the interval, (n,)."""
        return np.asarray(self.forecast - self.half_width)

    @property
    def high(self) -> Array:
        """The upper end of the interval, (n,)."""
        return np.asarray(self.forecast + self.half_width)


def detect_anomalies(
    values: Sequence[float] | Array,
    false_alarm_rate: float = 0.01,
    season: int | None = None,
    probation: int | None = None,
    quiet: int = 0,
    memory: int = MEMORY,
) -> AnomalyScores:
    """Score each row of a series against the forecast from the rows before it.

    `season`: rows in a season (12 for months of a year). `probation`: rows at the start that are learnt and never alarmed
    (default 20). `quiet`: rows after a score during which only a higher one counts, so that one event is one alarm; it only
    ever lowers the share of alarms. `memory`: rows that the usual level remembers (the calibration: 5000). Values that are not
    finite get no score and are not learned from.

    Raises UserError for a rate outside (0, 1), a season below 2 rows, or a memory below 2 rows.

    >>> rent = [100.0, 101.0, 99.0] * 20 + [140.0]
    >>> found = detect_anomalies(rent, false_alarm_rate=0.02)
    >>> [int(row) for row in np.flatnonzero(found.alarm)]
    [60]
    """
    if not 0 < false_alarm_rate < 1 or (season is not None and season < 2) or memory < 2:
        raise UserError(
            f"Found false_alarm_rate={false_alarm_rate}, season={season}, memory={memory}; "
            "expected a rate between 0 and 1, and a season and a memory of at least 2 rows."
        )
    stream, start = _ForecastState(memory, season), WARM_UP if probation is None else probation
    rows = [stream.process_row(t, float(x), false_alarm_rate) for t, x in enumerate(np.asarray(values, dtype=float))]
    forecast, half, residual, score = np.array(rows, dtype=float).reshape(-1, 4).T
    score[:start] = np.where(np.isnan(score[:start]), np.nan, 0.0)
    score = suppress_repeats(score, quiet)
    alarm = (np.abs(residual) > half) & (score > 0)
    return AnomalyScores(forecast, half, residual, score, alarm)


def suppress_repeats(score: Array, quiet: int) -> Array:
    """The scores, 0 where one of the `quiet` rows before was at least as high; NaN stays.

    >>> suppress_repeats(np.array([0.5, 0.5, 0.9, 0.2, 0.3]), quiet=2).tolist()
    [0.5, 0.0, 0.9, 0.0, 0.0]
    """
    filtered, falling = score.copy(), deque[tuple[int, float]]()
    for t, x in enumerate(score if quiet else score[:0]):
        while falling and falling[0][0] < t - quiet:
            falling.popleft()
        if falling and x <= falling[0][1]:
            filtered[t] = 0.0
        if not math.isnan(x):
            while falling and falling[-1][1] <= x:
                falling.pop()
            falling.append((t, x))
    return filtered


@dataclass
class _Profile:
    """The mean of each place in the season over the last `seasons` of them."""

    seasons: int
    means: list[float]
    counts: list[int]

    def learn(self, place: int, x: float) -> None:
        self.counts[place] += 1
        self.means[place] += (x - self.means[place]) * max(1 / self.seasons, 1 / self.counts[place])


@dataclass
class _Level:
    """A mean that remembers `memory` rows, of the values or of what a seasonal profile leaves of them.

    `error` and `bias` are the mean absolute and the mean residual so far; their ratio is Trigg's tracking signal.
    """

    memory: int
    profile: _Profile | None
    calibration: PastSizes
    level: float = 0.0
    error: float = 0.0
    bias: float = 0.0
    rows: int = 0

    def forecast(self, place: int) -> float:
        return self.level + (self.profile.means[place] if self.profile else 0.0)

    def has_enough_rows(self, place: int) -> bool:
        return len(self.calibration.times) > MIN_TAIL_ROWS and (self.profile is None or self.profile.counts[place] > 0)

    def is_lagging(self) -> bool:
        return abs(self.bias) > LAGGING * self.error

    def learn(self, place: int, x: float) -> None:
        """Learn from a value; a place of the season that was never seen has no forecast to learn from."""
        if self.profile is None or self.profile.counts[place]:
            self._update_level(x - self.forecast(place))
        if self.profile:
            self.profile.learn(place, x)

    def _update_level(self, residual: float) -> None:
        self.level += residual * max(1 / self.memory, 1 / (self.rows + 1))
        if self.rows:
            self.calibration.learn(abs(residual))
            gain = 1 / len(self.calibration.times)
            self.error += (abs(residual) - self.error) * gain
            self.bias += (residual - self.bias) * gain
        self.rows += 1


class _ForecastState:
    """The state after the rows so far: a usual and a quick level, plain and, where there is a season, seasonal."""

    def __init__(self, memory: int, season: int | None) -> None:
        self.season, self.seen = season or 1, 0
        remembered = ((memory, SEASONS_REMEMBERED), (SHORT_MEMORY, 1))
        self.pairs = [tuple(_Level(m, None, PastSizes(MEMORY)) for m, _ in remembered)]
        if season:
            profiles = ((m, _Profile(k, [0.0] * season, [0] * season)) for m, k in remembered)
            self.pairs.append(tuple(_Level(m, profile, PastSizes(MEMORY)) for m, profile in profiles))

    def process_row(self, t: int, x: float, rate: float) -> tuple[float, float, float, float]:
        """Forecast, half width of the interval, residual, score; then learn the row."""
        place = t % self.season
        level_in_use = self._choose_level(place)
        forecast = level_in_use.forecast(place) if self.seen else math.nan
        half, residual, score = level_in_use.calibration.compute_half_width(rate), math.nan, math.nan
        if math.isfinite(x):
            residual = x - forecast
            score = 1 - level_in_use.calibration.compute_p_value(abs(residual)) if self.seen else 0.0
            self.seen += 1
            for level in (level for pair in self.pairs for level in pair):
                level.learn(place, x)
        return forecast, half, residual, score

    def _choose_level(self, place: int) -> _Level:
        """Decided by the rows before alone, so that the choice leaves the ranks of the residuals uniform."""
        plain, *seasonal = [quick if usual.is_lagging() and quick.error < usual.error else usual for usual, quick in self.pairs]
        proven = (level for level in seasonal if level.has_enough_rows(place) and level.error < SEASON_GAIN * plain.error)
        return next(proven, plain)
