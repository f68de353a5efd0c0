"""Two folders of the Numenta Anomaly Benchmark, scored by the benchmark's own published rules.

Reads EPIC22_PUBLIC_DATA (default ../shared/data beside the repository), writes benchmarks/results/nab.json and prints the table.

The rules are those of Lavin and Ahmad 2015, "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly Benchmark",
as github.com/numenta/NAB carries them out (nab/sweeper.py, nab/scorer.py, nab/optimizer.py, nab/runner.py, nab/util.py), written
anew here: rows of the probation period are left out; the earliest detection in a window earns the scaled sigmoid of its place;
a window without one costs a miss; each detection outside costs by its distance behind the window before it; one threshold serves
all series. Two folders are not the whole benchmark: these scores don't compare with figures published for all of it.

The few constants of the residuals were settled while looking at these series, as the windowed Gaussian's window was by its
authors: their scores are of a known set. Those of the autoencoder and of the combination (`window_autoencoder`,
`anomaly_detectors`) were declared on simulated series before they were run here; season and one event a day are those of the
residuals. Which of the three is chosen is settled by anomalies planted in the rows of the probation, which no score is of: no
label is looked at. Two further rows say which part is due to the rule of one event a day alone.
"""

import csv
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epic22.core.evaluation.anomaly import detect_anomalies, suppress_repeats
from epic22.core.evaluation.anomaly_detectors import DetectorData, combine_p_values, get_detector, score_residuals
from epic22.core.selection.anomaly_choice import compare_detectors, run_trials

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("realAWSCloudwatch", "realKnownCause")
RESULT = ROOT / "benchmarks" / "results" / "nab.json"
FALSE_ALARM_RATE = 0.001
TP_WEIGHT, FP_WEIGHT, FN_WEIGHT = 1.0, 0.11, 1.0
"""The standard profile (config/profiles.json); its weight of true negatives, 1.0, enters no rule."""
PROBATION_SHARE, PROBATION_ROWS = 0.15, 5000
NO_DETECTION = 1.1
GAUSSIAN_WINDOW, GAUSSIAN_STEP = 6400, 100

Array = NDArray[Any]
Detector = Callable[["Series"], Array]


@dataclass(frozen=True)
class Series:
    """A series, its windows (first row, last row, both inside), and how many rows make a day."""

    folder: str
    name: str
    values: Array
    windows: tuple[tuple[int, int], ...]
    day: int

    @cached_property
    def residual_p(self) -> Array:
        """p-values of the residuals, (n,)."""
        return np.asarray(score_residuals(self.values[None], self.day)[0])

    @cached_property
    def autoencoder_p(self) -> Array:
        """p-values of the autoencoder, (n,), which is fitted here, on this series alone."""
        data = DetectorData(self.values[None], self.day)
        return np.asarray(data.autoencoder.compute_p_values(data.values)[0])

    @cached_property
    def combined_p(self) -> Array:
        """The smaller of both, doubled, (n,)."""
        return combine_p_values(self.residual_p, self.autoencoder_p)


@dataclass(frozen=True)
class Sweep:
    """The raw score of a set of series at every threshold, thresholds falling; `windows` counts those that can be found."""

    thresholds: Array
    totals: Array
    windows: int

    def best(self) -> float:
        """The threshold with the highest score, the highest of such."""
        return float(self.thresholds[int(np.argmax(self.totals))])

    def normalised(self, threshold: float) -> float:
        """100 · (raw − null) / (perfect − null), where rows scoring `threshold` or more are detections."""
        raw = self.totals[int((self.thresholds >= threshold).sum()) - 1] if threshold <= NO_DETECTION else self.totals[0]
        null, perfect = -FN_WEIGHT * self.windows, TP_WEIGHT * self.windows
        return float(100 * (raw - null) / (perfect - null))


def scaled_sigmoid(position: float) -> float:
    """2 / (1 + e^(5·position)) − 1: 0.987 at −1 (left end of the window), 0 at 0 (right end), −1 beyond 3."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def probation(rows: int) -> int:
    """Rows at the start that are not scored: 15 %, at most 750."""
    return int(min(math.floor(PROBATION_SHARE * rows), PROBATION_SHARE * PROBATION_ROWS))


def row_scores(rows: int, windows: Sequence[tuple[int, int]]) -> Array:
    """What a detection in each row is worth: inside a window if it is the earliest there, outside always."""
    worth, highest = np.full(rows, -FP_WEIGHT), scaled_sigmoid(-1.0)
    for first, last in windows:
        width = last - first + 1
        worth[first : last + 1] = [scaled_sigmoid(-(last - i + 1) / width) * TP_WEIGHT / highest for i in range(first, last + 1)]
        worth[last + 1 :] = [scaled_sigmoid((i - last) / (width - 1)) * FP_WEIGHT for i in range(last + 1, rows)]
    return worth


def sweep(series: Sequence[Series], scores: Sequence[Array]) -> Sweep:
    """The total over all series at every score that occurs, as threshold; rows scoring as much or more are detections."""
    parts, windows = [], 0
    for one, score in zip(series, scores, strict=True):
        gain, held = _gains(one, score)
        parts.append(gain)
        windows += held
    score, gain = np.concatenate(parts, axis=1)
    order = np.argsort(-score, kind="stable")
    score, total = score[order], np.cumsum(gain[order]) - FN_WEIGHT * windows
    last_of_ties = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    return Sweep(np.append(NO_DETECTION, score[last_of_ties]), np.append(-FN_WEIGHT * windows, total[last_of_ties]), windows)


def _gains(one: Series, score: Array) -> tuple[Array, int]:
    """Rows after probation as (score, what the total gains when the threshold falls below it), and how many windows they hold."""
    start, gain, held = probation(len(score)), row_scores(len(score), one.windows), 0
    for first, last in one.windows:
        if last < start:
            continue
        rows = np.arange(max(first, start), last + 1)
        falling = rows[np.argsort(-score[rows], kind="stable")]
        best_so_far = np.maximum.accumulate(np.append(-FN_WEIGHT, gain[falling]))
        gain[falling], held = np.diff(best_so_far), held + 1
    return np.stack([score[start:], gain[start:]]), held


def windowed_gaussian(series: Series) -> Array:
    """NAB's detectors/gaussian: 1 − the tail probability under the mean and deviation of 6400 rows, moved on by 100 at a time."""
    values, scores, first, last = series.values, np.zeros(len(series.values)), 0, 0
    mean, deviation = 0.0, 1.0
    for t, x in enumerate(values):
        if t:
            scores[t] = 1 - 0.5 * math.erfc(abs(x - mean) / deviation / math.sqrt(2))
        moved = t < GAUSSIAN_WINDOW or t + 1 - last == GAUSSIAN_STEP
        if moved:
            first, last = max(0, t + 1 - GAUSSIAN_WINDOW), t + 1
            mean, deviation = float(values[first:last].mean()), float(values[first:last].std()) or 0.000001
    return scores


def one_step(series: Series) -> Array:
    """Ours: the season is a day, and one event a day is told."""
    found = detect_anomalies(series.values, FALSE_ALARM_RATE, season=series.day, quiet=series.day)
    return np.nan_to_num(found.score)


def autoencoder(series: Series) -> Array:
    """Ours by an autoencoder of windows, one event a day."""
    return score_once_a_day(series, series.autoencoder_p)


def combined(series: Series) -> Array:
    """Both together, one event a day."""
    return score_once_a_day(series, series.combined_p)


def score_once_a_day(series: Series, p_values: Array, start: int = 0) -> Array:
    """1 − p of the rows from `start` on, told once a day; 0 where there is none."""
    scores = np.nan_to_num(1 - p_values)
    scores[:start] = 0.0
    return suppress_repeats(scores, series.day)


def one_step_repeated(series: Series) -> Array:
    """Ours with every row of an event told: what the calibrated score does alone."""
    return np.nan_to_num(detect_anomalies(series.values, FALSE_ALARM_RATE, season=series.day).score)


def gaussian_first(series: Series) -> Array:
    """The windowed Gaussian with our rule of one event a day: what that rule does alone."""
    return suppress_repeats(windowed_gaussian(series), series.day)


DETECTORS: dict[str, Detector] = {
    "one step ahead": one_step,
    "autoencoder": autoencoder,
    "combined": combined,
    "windowed Gaussian": windowed_gaussian,
    "one step ahead, every row told": one_step_repeated,
    "windowed Gaussian, one event a day": gaussian_first,
}


def load(root: Path) -> list[Series]:
    """The series of both folders, with rows in place of the times of the windows."""
    limits = json.loads((root / "combined_windows.json").read_text())
    return [
        _read(path, limits[f"{folder}/{path.name}"])
        for folder in FOLDERS
        for path in sorted((root / "data" / folder).glob("*.csv"))
    ]


def _read(path: Path, limits: list[list[str]]) -> Series:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    windows = tuple((times.index(datetime.fromisoformat(a)), times.index(datetime.fromisoformat(b))) for a, b in limits)
    step = float(np.median([(b - a).total_seconds() for a, b in pairwise(times)]))
    values = np.array([float(row["value"]) for row in rows])
    return Series(path.parent.name, path.stem, values, windows, round(86400 / step))


def scores_of(series: Sequence[Series], detector: Detector) -> dict[str, Any]:
    """A detector's scores: threshold chosen on both folders, and chosen on one for the other."""
    began = time.perf_counter()
    found = [detector(one) for one in series]
    seconds = time.perf_counter() - began
    whole = sweep(series, found)
    swept = {f: sweep(*zip(*((s, x) for s, x in zip(series, found, strict=True) if s.folder == f), strict=True)) for f in FOLDERS}
    other = {f: next(g for g in FOLDERS if g != f) for f in FOLDERS}
    foreign = {f: swept[f].normalised(swept[other[f]].best()) for f in FOLDERS}
    return {
        "corpus": whole.normalised(whole.best()),
        "threshold": whole.best(),
        "folder_at_corpus_threshold": {f: swept[f].normalised(whole.best()) for f in FOLDERS},
        "folder_at_threshold_of_the_other": foreign,
        "threshold_of_the_other": {f: swept[other[f]].best() for f in FOLDERS},
        "mean_at_threshold_of_the_other": float(np.mean(list(foreign.values()))),
        "seconds": round(seconds, 2),
    }


def score_detection(alarms: NDArray[np.bool_], windows: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Share of alarms that lie in a window, and share of windows (first row, last row, both in it) that hold an alarm.

    >>> score_detection(np.array([0, 1, 0, 1, 1], dtype=bool), [(3, 4)])["precision"]
    0.6666666666666666
    """
    in_window = np.zeros(len(alarms), dtype=bool)
    for first, last in windows:
        in_window[first : last + 1] = True
    n_alarms, n_detected = int(alarms.sum()), sum(bool(alarms[first : last + 1].any()) for first, last in windows)
    precision = float((alarms & in_window).sum() / n_alarms) if n_alarms else math.nan
    recall = n_detected / len(windows) if windows else math.nan
    return {"precision": precision, "recall": recall, "alarms": n_alarms, "windows": len(windows)}


OWN: dict[str, Callable[[Series], Array]] = {
    "one step ahead": lambda one: one.residual_p,
    "autoencoder": lambda one: one.autoencoder_p,
    "combined": lambda one: one.combined_p,
}
"""The detectors of ours and their p-values."""
NAMES = {"residuals": "one step ahead", "autoencoder": "autoencoder", "combined": "combined"}
"""What the detectors of the product are called here."""


def at_own_rate(series: Sequence[Series], p_values: Callable[[Series], Array]) -> dict[str, Any]:
    """Precision and recall of alarms at the calibrated rate, no label looked at; rows after the benchmark's probation."""
    alarms, windows, rows = [], [], 0
    for one in series:
        alarms.append(score_once_a_day(one, p_values(one), probation(len(one.values))) >= 1 - FALSE_ALARM_RATE)
        windows += [(first + rows, last + rows) for first, last in one.windows]
        rows += len(one.values)
    return {"false_alarm_rate": FALSE_ALARM_RATE} | score_detection(np.concatenate(alarms), windows)


def choose(series: Sequence[Series]) -> dict[str, Any]:
    """Which detector is chosen by anomalies planted in the probation's rows of all series, and by what evidence."""
    trials = []
    for one in series:
        data = DetectorData(one.values[None, : probation(len(one.values))], one.day)
        trials += run_trials(data, [get_detector(name).fit(data) for name in NAMES], data.values.shape[1])
    evidence, reason = compare_detectors(tuple(NAMES), trials)
    used = NAMES[reason.partition(":")[0].removesuffix(" stay")]
    return {"detector": used, "because": reason, "evidence": [asdict(one) for one in evidence]}


def table(result: dict[str, Any]) -> str:
    """The scores, a line a detector."""
    lines = [f"{'':36}{'corpus':>8}" + "".join(f"{f:>20}" for f in FOLDERS) + f"{'mean':>8}  (threshold from the other folder)"]
    for name, got in result["detectors"].items():
        foreign = "".join(f"{got['folder_at_threshold_of_the_other'][f]:20.1f}" for f in FOLDERS)
        lines.append(f"{name:36}{got['corpus']:8.1f}{foreign}{got['mean_at_threshold_of_the_other']:8.1f}")
    for name, own in result["at_own_rate"].items():
        lines.append(
            f"{name} at its own rate of {own['false_alarm_rate']:.1%}: precision {own['precision']:.2f} of {own['alarms']} "
            f"alarms, recall {own['recall']:.2f} of {own['windows']} windows."
        )
    lines.append(f"Chosen: {result['chosen']['detector']} ({result['chosen']['because']}).")
    return "\n".join(lines)


def main() -> int:
    """Score all detectors; 0 as well where the data is absent (said)."""
    root = Path(os.environ.get("EPIC22_PUBLIC_DATA") or ROOT.parent / "shared" / "data") / "reporting" / "nab"
    if not (root / "combined_windows.json").is_file():
        print("No benchmark data: set EPIC22_PUBLIC_DATA to the folder that holds reporting/nab.", file=sys.stderr)
        return 0
    series = load(root)
    result = {
        "series": len(series),
        "windows": sum(len(one.windows) for one in series),
        "detectors": {name: scores_of(series, detector) for name, detector in DETECTORS.items()},
        "at_own_rate": {name: at_own_rate(series, p_values) for name, p_values in OWN.items()},
        "chosen": choose(series),
        "machine": {
            "cpus": os.cpu_count(),
            "platform": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
