"""Which detector of anomalies is used: today's residuals, unless another finds certainly more of what is planted.

Into copies of the series, in rows that no network had learned from when it scored them, one anomaly each is planted; a detector
finds it where it alarms within half a window. Detectors are compared at the same false-alarm rate: each at the p-value that
alarms that share of the rows of the series as they are, whatever its own claim. Series are drawn anew in a bootstrap (Efron
1979), which draws the thresholds with them, and intervals are corrected for the number of challengers (Bonferroni).

A planted row lies before the rows that are reported, and the networks that score it were fitted on rows before it; where a
network is due between the planted row and half a window later, it is the one of the unplanted series.

d = detectors, s = series, t = rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.anomaly import detect_anomalies
from epic22.core.evaluation.anomaly_detectors import FALSE_ALARM_RATE, RESIDUALS, DetectorData, FittedDetector, get_detector
from epic22.core.statistics import CONFIDENCE, Interval
from epic22.core.task import Array

MIN_SERIES = 6
"""Fewer series say nothing that a bootstrap of series could tell."""

MAX_SERIES = 200
TOTAL_PLANTS = 240
N_REPLICATES = 1000
VALUE_SIZE, LEVEL_SIZE, SPREAD = 5.0, 3.0, 3.0
"""Of an anomaly, in the usual residual of the series: a single value, a level; and by how much values spread more."""

Plant = Callable[[Array, int, int, float], Array]
"""What a series (t,) looks like with an anomaly from a row on, in so many rows, of a signed usual residual."""


def _shift_value(series: Array, start: int, rows: int, unit: float) -> Array:
    changed = series.copy()
    changed[start] += VALUE_SIZE * unit
    return changed


def _shift_level(series: Array, start: int, rows: int, unit: float) -> Array:
    changed = series.copy()
    changed[start:] += LEVEL_SIZE * unit
    return changed


def _freeze(series: Array, start: int, rows: int, unit: float) -> Array:
    changed = series.copy()
    past = series[:start][np.isfinite(series[:start])]
    changed[start : start + rows] = np.where(np.isfinite(series[start : start + rows]), past[-1], np.nan)
    return changed


def _stretch_around_median(factor: float) -> Plant:
    def plant(series: Array, start: int, rows: int, unit: float) -> Array:
        changed, middle = series.copy(), float(np.nanmedian(series[max(0, start - rows) : start]))
        changed[start : start + rows] = middle + factor * (series[start : start + rows] - middle)
        return changed

    return plant


PLANTS: tuple[tuple[str, Plant], ...] = (
    ("a value off", _shift_value),
    ("a level shifted", _shift_level),
    ("a value that does not change", _freeze),
    ("a shape turned over", _stretch_around_median(-1.0)),
    ("a wider spread", _stretch_around_median(SPREAD)),
)
"""The kinds of anomalies that are planted, by name."""


@dataclass(frozen=True)
class SeriesTrial:
    """p-values of one series by detector: of its rows as they are, (d, t), and the lowest of each plant, (d, plants)."""

    unplanted: Array
    planted: Array


@dataclass(frozen=True)
class DetectorEvidence:
    """What a detector found of planted anomalies, a share, at the common false-alarm rate, and its gain over the residuals there
    with a corrected interval; its share of alarms and of finds by its own p-values, as it is used."""

    detector: str
    recall: float
    gain: Interval
    own_rate: float
    own_recall: float

    def is_certainly_better(self, residuals: "DetectorEvidence") -> bool:
        """Whether it finds certainly more at the common rate, and not less by its own p-values."""
        return self.gain.low > 0 and self.own_recall >= residuals.own_recall


@dataclass(frozen=True)
class DetectorChoice:
    """The detector in use, why, those `tried` beside the residuals, and the evidence, the residuals first; none where nothing
    could be compared."""

    fitted: FittedDetector
    reason: str
    tried: tuple[str, ...] = ()
    evidence: tuple[DetectorEvidence, ...] = ()

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.fitted.name


def choose_detector(data: DetectorData, names: Sequence[str], end: int) -> DetectorChoice:
    """The detector of a panel among the residuals and those named, by anomalies planted before row `end`.

    Raises UserError for an unknown name, NotInstalledError for a library that is absent.
    """
    challengers = [get_detector(name) for name in dict.fromkeys(names) if name != RESIDUALS.name]
    for detector in challengers:
        detector.require_libraries()
    fitted = [detector.fit(data) for detector in (RESIDUALS, *challengers)]
    if not challengers:
        return DetectorChoice(fitted[0], "no other detector was named")
    evidence, reason = compare_detectors([one.name for one in fitted], run_trials(data, fitted, end))
    name = reason.partition(":")[0].removesuffix(" stay")
    used = next(one for one in fitted if one.name == name)
    return DetectorChoice(used, reason, tuple(one.name for one in challengers), evidence)


def run_trials(data: DetectorData, fitted: Sequence[FittedDetector], end: int) -> list[SeriesTrial]:
    """What the detectors say of each series of a panel, with and without planted anomalies, in the rows from where all of them
    can alarm to `end`; nothing where these are less than a window."""
    values, tolerance = data.values[:, :end], data.window // 2
    first = max(one.first_row for one in fitted)
    if end - first < data.window:
        return []
    first = int(first)
    eligible = np.flatnonzero(np.isfinite(values[:, :first]).sum(axis=1) >= data.window)
    eligible = eligible[np.linspace(0, len(eligible) - 1, min(len(eligible), MAX_SERIES)).astype(np.int64)]
    repeats = max(1, round(TOTAL_PLANTS / (len(PLANTS) * max(len(eligible), 1))))
    rng = np.random.default_rng([data.seed, 1])
    unplanted = [one.score(values) for one in fitted]
    trials = []
    for row in eligible:
        starts = _draw_starts(values[row], first, end - tolerance, repeats * len(PLANTS), rng)
        if not len(starts):
            continue
        copies = _plant_each(values[row], starts, rng, data)
        scored = [one.score(copies) for one in fitted]
        lowest = [[np.nanmin(p[i, s : s + tolerance + 1]) for i, s in enumerate(starts)] for p in scored]
        trials.append(SeriesTrial(np.array([p[row, first:end] for p in unplanted]), np.array(lowest)))
    return trials


def _draw_starts(series: Array, first: int, end: int, n: int, rng: np.random.Generator) -> Array:
    """Rows with a value at which an anomaly begins, (n,); none where there is no such row."""
    known = first + np.flatnonzero(np.isfinite(series[first:end]))
    return rng.choice(known, n) if len(known) else known


def _plant_each(series: Array, starts: Array, rng: np.random.Generator, data: DetectorData) -> Array:
    """A copy of the series for each start, with an anomaly of one kind after the other, (plants, t)."""
    known = np.flatnonzero(np.isfinite(series))
    findings = detect_anomalies(series[known[0] :], FALSE_ALARM_RATE, data.season)
    copies = []
    for i, start in enumerate(starts):
        sizes = np.abs(findings.residual[: start - known[0]])
        usual = float(np.nanmedian(sizes)) or float(np.nanmean(sizes)) or 1.0
        unit = 1.4826 * usual * rng.choice((-1.0, 1.0))
        copies.append(PLANTS[i % len(PLANTS)][1](series, int(start), data.window, unit))
    return np.array(copies)


def compare_detectors(names: Sequence[str], trials: Sequence[SeriesTrial]) -> tuple[tuple[DetectorEvidence, ...], str]:
    """The evidence by detector, the residuals first, and which is used and why: "NAME: …", or "residuals stay: …"."""
    if len(trials) < MIN_SERIES:
        return (), f"residuals stay: {len(trials)} series with rows enough to plant anomalies in, and {MIN_SERIES} are needed"
    recalls = compute_recalls(trials)
    rng = np.random.default_rng(0)
    draws = np.array(
        [compute_recalls([trials[i] for i in rng.integers(len(trials), size=len(trials))]) for _ in range(N_REPLICATES)]
    )
    tail = (1 - CONFIDENCE) / 2 / max(len(names) - 1, 1)
    unplanted, planted = (
        np.concatenate(parts, axis=1) for parts in zip(*((t.unplanted, t.planted) for t in trials), strict=True)
    )
    evidence = []
    for place, name in enumerate(names):
        low, high = np.quantile(draws[:, place] - draws[:, 0], (tail, 1 - tail))
        gain = Interval(recalls[place] - recalls[0], float(low), float(high))
        own_rate = float(np.mean(unplanted[place][np.isfinite(unplanted[place])] <= FALSE_ALARM_RATE))
        own_recall = float(np.mean(planted[place] <= FALSE_ALARM_RATE))
        evidence.append(DetectorEvidence(name, recalls[place], gain, own_rate, own_recall))
    residuals = evidence[0]
    best = max(evidence[1:], key=lambda one: (one.is_certainly_better(residuals), one.recall))
    return tuple(evidence), describe_choice(best, residuals, planted.shape[1], len(trials))


def describe_choice(best: DetectorEvidence, residuals: DetectorEvidence, plants: int, series: int) -> str:
    """Which detector is used, and why, in words."""
    figures = (
        f"of {plants} anomalies planted in earlier rows of {series} series {best.detector} found {100 * best.recall:.0f} %, the "
        f"residuals {100 * residuals.recall:.0f} %, at the same false-alarm rate of {100 * FALSE_ALARM_RATE:g} % (corrected 95 % "
        f"interval of the difference {100 * best.gain.low:+.0f} … {100 * best.gain.high:+.0f} %); as they are used "
        f"{100 * best.own_recall:.0f} % and {100 * residuals.own_recall:.0f} %"
    )
    if best.is_certainly_better(residuals):
        return f"{best.detector}: {figures}"
    return f"residuals stay: {figures}, which is {'less in use' if best.gain.low > 0 else 'not certainly more'}"


def compute_recalls(trials: Sequence[SeriesTrial], rate: float = FALSE_ALARM_RATE) -> list[float]:
    """The share of planted anomalies that each detector finds where a share `rate` of the unplanted rows is alarmed, (d,)."""
    unplanted = np.concatenate([trial.unplanted for trial in trials], axis=1)
    planted = np.concatenate([trial.planted for trial in trials], axis=1)
    recalls = []
    for of_rows, lowest in zip(unplanted, planted, strict=True):
        known = of_rows[np.isfinite(of_rows)]
        allowed = int(rate * len(known))
        threshold = np.partition(known, allowed)[allowed]
        recalls.append(float(np.mean(lowest < threshold)))
    return recalls
