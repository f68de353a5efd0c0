"""Coverage and size of intervals and sets, overall, by group and by month; each row is evaluated by a state of other folds.

A fold's rows are evaluated by a state fitted, and chosen, on folds that do not contain it: all others, or with forward folds
those before whose labels were known. Rows that nothing could teach (the first of forward folds) are not judged. n = rows judged.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import NormalDist

import numpy as np
import polars as pl
import scipy

from epic22.core.data.examples import Examples
from epic22.core.data.split import compute_period_starts
from epic22.core.errors import ColumnError
from epic22.core.evaluation.bootstrap import compute_cluster_error
from epic22.core.evaluation.calibration import Calibration, OutOfFoldScores, choose_calibration
from epic22.core.evaluation.conformal import COVERAGE, expand_binary, fit_sets
from epic22.core.evaluation.interval_selection import choose_interval
from epic22.core.evaluation.predictions import OutOfFoldPredictions, OutOfFoldRows
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE, Interval
from epic22.core.targets import KINDS
from epic22.core.task import Array, Target

MIN_ROWS = 30
"""A group with fewer rows is listed, and never called the worst."""
MAX_LEVELS = 20
MONTH = "month"
OTHERS, MISSING = "(others)", "(missing)"


@dataclass(frozen=True)
class EvaluatedRows:
    """Rows judged by other folds: position in the examples, whether the outcome was inside, the interval's width or the number of
    classes in the set, and what the model said (the value, or the largest probability); all (n,)."""

    row: Array
    is_covered: Array
    size: Array
    prediction: Array


@dataclass(frozen=True)
class GroupCoverage:
    """A group's rows and clusters, the share of outcomes inside and the mean size, each with its 95 % interval.

    `short`: it is certain, at 5 % over all groups of its table, that less is covered than was stated.
    """

    name: str
    rows: int
    n_clusters: int
    share: Interval
    size: Interval
    short: bool = False


@dataclass(frozen=True)
class CoverageTable:
    """Coverage by one thing: the groups, in their order."""

    by: str
    groups: tuple[GroupCoverage, ...]


@dataclass(frozen=True)
class Coverage:
    """What intervals or sets covered beside the stated `level`."""

    level: float
    what: str
    overall: GroupCoverage
    tables: tuple[CoverageTable, ...]

    @property
    def comparable_groups(self) -> tuple[tuple[str, GroupCoverage], ...]:
        """Every group with at least MIN_ROWS rows, months aside, with what it is a group of."""
        return tuple((t.by, g) for t in self.tables if t.by != MONTH for g in t.groups if g.rows >= MIN_ROWS)

    @property
    def worst(self) -> tuple[str, GroupCoverage] | None:
        """The compared group whose coverage is furthest below the level, and what it is a group of."""
        return min(self.comparable_groups, key=lambda named_group: named_group[1].share.value, default=None)

    @property
    def short_months(self) -> tuple[GroupCoverage, ...]:
        """Months in which it is certain that less was covered than was stated."""
        return tuple(group for table in self.tables if table.by == MONTH for group in table.groups if group.short)

    @property
    def findings(self) -> tuple[str, ...]:
        """In words, the whole and the group that is furthest below."""
        overall = (
            f"The {self.level:.0%} {self.what} covered {_format_group(self.overall)} rows, each calibrated on folds "
            "that do not contain it; "
            f"mean {'number of classes' if self.what == 'set' else 'width'} {_format_size(self.overall.size.value)}."
        )
        if self.worst is None:
            return (overall,)
        by, group = self.worst
        if group.share.value >= self.level:
            return (
                overall,
                f"None of {len(self.comparable_groups)} groups with at least {MIN_ROWS} rows is below {self.level:.0%}.",
            )
        certainty = (
            "certain" if group.short else "within chance" if group.share.high >= self.level else "not certain, being the lowest"
        )
        return (
            overall,
            f"Lowest of {len(self.comparable_groups)} groups with at least {MIN_ROWS} rows: {by} = "
            f"{group.name}, {_format_group(group)} rows, "
            f"{(group.share.value - self.level) * 100:+.1f} points ({certainty}).",
        )

    @property
    def warning(self) -> str | None:
        """In words, the months in which coverage fell short; None where there are none."""
        if not self.short_months:
            return None
        months = "; ".join(f"{group.name}: {_format_group(group)} rows" for group in self.short_months)
        return (
            f"Coverage fell short in {months}. These months are unlike the rows of calibration (drift): "
            "do not rely on the nominal coverage, and train again."
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it in words."""
        return self.findings if self.warning is None else (*self.findings, self.warning)


def _format_size(size: float) -> str:
    return f"{size:,.0f}" if size >= 1000 else f"{size:.4g}"


def _format_group(group: GroupCoverage) -> str:
    return f"{group.share.value:.1%} ({group.share.low:.1%} … {group.share.high:.1%}) of {group.rows:,}"


def evaluate_intervals(rows: OutOfFoldPredictions, coverage: float = COVERAGE) -> EvaluatedRows | None:
    """Intervals of each fold by a kind chosen and fitted on the folds that teach it; None where nothing could be judged."""
    first_repeat = rows.first_repeat

    def evaluate_fold(calibration_rows: Array, evaluation_rows: Array) -> tuple[Array, Array] | None:
        interval, _ = choose_interval(first_repeat.take(calibration_rows), coverage)
        if interval is None:
            return None
        part = first_repeat.take(evaluation_rows)
        low, high = interval.compute_intervals(part.response.astype(np.float64), part.quantiles)
        y = part.y
        return (low <= y) & (y <= high), high - low

    return _evaluate_folds(first_repeat, evaluate_fold, first_repeat.response)


def evaluate_sets(rows: OutOfFoldPredictions, is_calibrated: bool, coverage: float = COVERAGE) -> EvaluatedRows | None:
    """Sets of each fold by thresholds of the folds that calibrate it; None as above.

    `is_calibrated`: of two classes after a calibration, as where the sets that serve are. Of one test part alone they are not,
    though it is cut into pieces here.
    """
    first_repeat = rows.first_repeat
    calibrated = is_calibrated and first_repeat.response.ndim == 1

    def evaluate_fold(calibration_rows: Array, evaluation_rows: Array) -> tuple[Array, Array] | None:
        calibration_part = first_repeat.take(calibration_rows)
        calibration = Calibration()
        if calibrated:
            columns = {field.name: getattr(calibration_part, field.name) for field in fields(OutOfFoldRows)}
            raw = KINDS["binary"].link(calibration_part.response)
            calibration = choose_calibration(OutOfFoldScores(raw=raw, **columns))[0]
        sets = fit_sets(
            compute_probabilities(calibration_part.response, calibration), calibration_part.y, calibration_part.weight, coverage
        )
        if sets is None:
            return None
        contained = sets.contains(compute_probabilities(first_repeat.response[evaluation_rows], calibration))
        return contained[np.arange(len(evaluation_rows)), first_repeat.y[evaluation_rows].astype(np.int64)], contained.sum(
            axis=1
        ).astype(np.float64)

    return _evaluate_folds(first_repeat, evaluate_fold, compute_probabilities(first_repeat.response, Calibration()).max(axis=1))


def compute_probabilities(response: Array, calibration: Calibration) -> Array:
    """Class probabilities (n, k): as they are, or of both classes after calibration."""
    return response if response.ndim == 2 else expand_binary(calibration.calibrate_probability(response))


def _evaluate_folds(
    rows: OutOfFoldPredictions, evaluate_fold: Callable[[Array, Array], tuple[Array, Array] | None], predictions: Array
) -> EvaluatedRows | None:
    evaluated = []
    for calibration_rows, evaluation_rows in rows.iterate_splits():
        outcome = evaluate_fold(calibration_rows, evaluation_rows) if len(calibration_rows) else None
        if outcome is not None:
            evaluated.append(EvaluatedRows(rows.row[evaluation_rows], *outcome, predictions[evaluation_rows]))
    if not evaluated:
        return None
    names = [field.name for field in fields(EvaluatedRows)]
    return EvaluatedRows(*(np.concatenate([getattr(part, name) for part in evaluated]) for name in names))


def compute_coverage(
    experiment: Experiment, evaluated: EvaluatedRows, by: Sequence[str] = (), level: float = COVERAGE
) -> Coverage:
    """The tables: by class, by thirds of what the model said, by protected columns, by the inputs named, and by month."""
    target, examples, cluster = experiment.task.target, experiment.examples, experiment.get_clusters(evaluated.row)
    tables = [
        compute_coverage_table(name, _name_groups(values), evaluated, cluster, level)
        for name, values in _list_groups(evaluated, target, examples, by)
    ]
    if examples.has_times:
        months = np.datetime_as_string(compute_period_starts(examples.at[evaluated.row], "month"), unit="M")
        tables.append(compute_coverage_table(MONTH, months, evaluated, _find_monthly_clusters(examples, evaluated.row), level))
    overall = compute_group_coverage("all", evaluated.is_covered, evaluated.size, cluster)
    return Coverage(level, "interval" if target.traits.is_regression else "set", overall, tuple(tables))


def _list_groups(evaluated: EvaluatedRows, target: Target, examples: Examples, by: Sequence[str]) -> list[tuple[str, Array]]:
    """What rows are grouped by, months aside: a name and a value a row, (n,) each."""
    rows, groups = evaluated.row, []
    if target.traits.is_regression:
        groups.append((f"predicted {target.name}", _assign_thirds(evaluated.prediction)))
    else:
        names = np.array([target.classes[int(code)] for code in examples.y[rows]], dtype=object)
        groups += [(target.name, names), ("largest probability", _assign_thirds(evaluated.prediction))]
    if examples.slices is not None:
        groups += [(name, examples.slices[name][rows].to_numpy()) for name in examples.slices.columns]
    return groups + [(name, examples.X[name][rows].to_numpy()) for name in by]


def check_groups(by: Sequence[str], inputs: pl.DataFrame) -> None:
    """Raise ColumnError for a column by which coverage is to be reported that is no input, or has too many levels."""
    for name in by:
        if name not in inputs.columns:
            raise ColumnError(f"--coverage-by {name}: no such input; there are {', '.join(inputs.columns)}.")
        n_levels = inputs[name].drop_nulls().n_unique()
        if n_levels > MAX_LEVELS:
            raise ColumnError(
                f"--coverage-by {name}: it has {n_levels:,} values, at most {MAX_LEVELS} can be shown; name one of few levels."
            )


def _assign_thirds(predictions: Array) -> Array:
    """Low, middle or high, (n,), by thirds of what the model said."""
    cuts = np.quantile(predictions, [1 / 3, 2 / 3])
    return np.array(["1 low", "2 middle", "3 high"])[np.searchsorted(cuts, predictions, side="left")]


def _name_groups(values: Array) -> Array:
    """Names of groups, (n,): a missing one is named so, and levels beyond the most frequent are one."""
    text = np.array([MISSING if v is None or v != v else str(v) for v in values], dtype=object)
    # As in `check_groups`, what is missing is no level.
    names, count = np.unique(text[text != MISSING], return_counts=True)
    frequent = {MISSING, *names[np.argsort(-count, kind="stable")[:MAX_LEVELS]]}
    return np.array([name if name in frequent else OTHERS for name in text], dtype=object)


def _find_monthly_clusters(examples: Examples, row: Array) -> Array:
    """The clusters of rows within one month, (n,): what the task or the user says does, else an entity's rows.

    Not the plan's blocks of time: a month may be one of them, and says of itself what it is.
    """
    named = examples.cluster if examples.cluster is not None else examples.group
    return np.asarray((examples.entity if named is None else named)[row])


def compute_coverage_table(by: str, names: Array, evaluated: EvaluatedRows, cluster: Array, level: float) -> CoverageTable:
    """A table by group names (n,); rows of a `cluster` (n,) are dependent."""
    group_names = np.unique(names)
    n_large_groups = sum(int((names == name).sum()) >= MIN_ROWS for name in group_names)
    groups = []
    for name in group_names:
        in_group = names == name
        group = compute_group_coverage(str(name), evaluated.is_covered[in_group], evaluated.size[in_group], cluster[in_group])
        strict = _compute_share_interval(
            evaluated.is_covered[in_group], cluster[in_group], 1 - 2 * (1 - CONFIDENCE) / max(n_large_groups, 1)
        )
        groups.append(replace(group, short=group.rows >= MIN_ROWS and strict[1] < level))
    return CoverageTable(by, tuple(groups))


def compute_group_coverage(name: str, is_covered: Array, size: Array, cluster: Array) -> GroupCoverage:
    """Coverage and mean size of some rows, with intervals that allow for clusters."""
    share = Interval(float(is_covered.mean()), *_compute_share_interval(is_covered, cluster, CONFIDENCE))
    mean, (error, n_clusters) = float(size.mean()), compute_cluster_error(size, cluster)
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n_clusters - 1)) * error if n_clusters > 1 else math.inf
    return GroupCoverage(name, len(is_covered), n_clusters, share, Interval.around(mean, half))


def _compute_share_interval(is_covered: Array, cluster: Array, confidence: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share, at the effective number of rows that clusters leave (Korn and Graubard 1998).

    Where all rows or none are inside, their scatter says nothing: each cluster then counts as one row.
    """
    share, n = float(is_covered.mean()), len(is_covered)
    error, n_clusters = compute_cluster_error(is_covered.astype(np.float64), cluster)
    effective = float(n_clusters)
    if n_clusters < 2:
        effective = 1.0
    elif error > 0:
        narrowed = (scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) / scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n_clusters - 1)) ** 2
        effective = min(share * (1 - share) / error**2, n) * float(narrowed)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle, scale = share + z * z / (2 * effective), 1 + z * z / effective
    spread = z * math.sqrt(share * (1 - share) / effective + z * z / (4 * effective * effective))
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
