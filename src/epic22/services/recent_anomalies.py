"""Values of the last periods of a panel that are out of line, by the detector that the training chose."""

from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.anomaly import detect_anomalies
from epic22.core.evaluation.anomaly_detectors import FALSE_ALARM_RATE
from epic22.core.statistics import Interval
from epic22.services.training_run import SeriesRun

RECENT_PERIODS = 12
MIN_VALUES = 3 * RECENT_PERIODS
"""A series with fewer has no anomalies yet."""


@dataclass(frozen=True)
class Anomaly:
    """A value that is out of line: `expected` has the value and the interval of the one-step forecast."""

    series: str
    period: str
    expected: Interval


def find_recent_anomalies(run: SeriesRun, limit: int) -> tuple[Anomaly, ...]:
    """Alarms of the last RECENT_PERIODS periods, the newest `limit` first; a series with fewer than MIN_VALUES has none."""
    history, season = run.bundle.history, run.season if run.season > 1 else None
    values = history.build_known_values()
    alarms = run.detection.fitted.score(values) <= FALSE_ALARM_RATE
    anomalies = []
    for row in np.flatnonzero(np.isfinite(values).sum(axis=1) >= MIN_VALUES):
        begin, end = int(np.argmax(np.isfinite(values[row]))), int(history.end[row])
        known = values[row, begin:end]
        detection = detect_anomalies(known, FALSE_ALARM_RATE, season)
        for place in np.flatnonzero(alarms[row, begin:end][-RECENT_PERIODS:]) + len(known) - RECENT_PERIODS:
            period = run.frequency.label(history.first + begin + int(place))
            expected = Interval(float(known[place]), float(detection.low[place]), float(detection.high[place]))
            anomalies.append(Anomaly(str(history.entity[row]), period, expected))
    return tuple(sorted(anomalies, key=lambda one: (one.period, one.series), reverse=True)[:limit])
