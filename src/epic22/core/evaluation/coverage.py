"""Did intervals and sets keep their word? Coverage and size overall, by group and by month, each row judged by other folds.

A fold's rows are judged by a state fitted, and chosen, on the folds that knew nothing of it: all others, or with forward folds
those before whose labels were known. Rows that nothing could teach (the first of forward folds) are not judged. n = rows judged.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import NormalDist

import numpy as np
import polars as pl
from scipy import stats

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan, periods
from epic22.core.errors import ColumnError
from epic22.core.evaluation.calibrate import Calibration, OutOfFold, choose_calibration, log_odds_of
from epic22.core.evaluation.conformal import COVERAGE, fit_sets, two_columns
from epic22.core.evaluation.held_out import FoldRows, HeldOut
from epic22.core.evaluation.interval_choice import choose_band
from epic22.core.task import Array, Target

CONFIDENCE = 0.95
LEAST_ROWS = 30
"""A group with fewer rows is listed, and never called the worst."""
MOST_LEVELS = 20
MONTH = "month"
OTHERS, MISSING = "(others)", "(missing)"


@dataclass(frozen=True)
class Judged:
    """Rows judged by other folds: position in the examples, whether the outcome was inside, the interval's width or the number of
    classes in the set, and what the model said (the value, or the largest probability); all (n,)."""

    row: Array
    inside: Array
    size: Array
    told: Array


@dataclass(frozen=True)
class GroupCoverage:
    """A group's rows and units of resampling, the share of outcomes inside and the mean size, each with its 95 % interval.

    `short`: it is certain, at 5 % over all groups of its table, that less is covered than was stated.
    """

    name: str
    rows: int
    units: int
    share: float
    low: float
    high: float
    size: float
    size_low: float
    size_high: float
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
    def compared(self) -> tuple[tuple[str, GroupCoverage], ...]:
        """Every group with at least LEAST_ROWS rows, months aside, with what it is a group of."""
        return tuple((t.by, g) for t in self.tables if t.by != MONTH for g in t.groups if g.rows >= LEAST_ROWS)

    @property
    def worst(self) -> tuple[str, GroupCoverage] | None:
        """The compared group whose coverage is furthest below the level, and what it is a group of."""
        return min(self.compared, key=lambda found: found[1].share, default=None)

    @property
    def short_months(self) -> tuple[GroupCoverage, ...]:
        """Months in which it is certain that less was covered than was stated."""
        return tuple(group for table in self.tables if table.by == MONTH for group in table.groups if group.short)

    @property
    def findings(self) -> tuple[str, ...]:
        """In words, the whole and the group that is furthest below."""
        said = (
            f"The {self.level:.0%} {self.what} held {_told(self.overall)} rows, each judged by folds that knew nothing of it; "
            f"mean {'number of classes' if self.what == 'set' else 'width'} {_size(self.overall.size)}."
        )
        if self.worst is None:
            return (said,)
        by, group = self.worst
        sure = "certain" if group.short else "within chance" if group.high >= self.level else "not certain, being the lowest"
        return (
            said,
            f"Lowest of {len(self.compared)} groups with at least {LEAST_ROWS} rows: {by} = {group.name}, {_told(group)} rows, "
            f"{(group.share - self.level) * 100:+.1f} points ({sure}).",
        )

    @property
    def shortfall(self) -> str | None:
        """In words, the months in which coverage fell short; None where there are none."""
        if not self.short_months:
            return None
        months = "; ".join(f"{group.name}: {_told(group)} rows" for group in self.short_months)
        return (
            f"Coverage fell short in {months}. These months were unlike the rows that taught (drift): "
            "do not take the stated share for granted, and train again."
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it in words."""
        return self.findings if self.shortfall is None else (*self.findings, self.shortfall)


def _size(size: float) -> str:
    return f"{size:,.0f}" if size >= 1000 else f"{size:.4g}"


def _told(group: GroupCoverage) -> str:
    return f"{group.share:.1%} ({group.low:.1%} … {group.high:.1%}) of {group.rows:,}"


def judge_intervals(rows: HeldOut, coverage: float = COVERAGE) -> Judged | None:
    """Intervals of each fold by a band chosen and fitted on the folds that teach it; None where nothing could be judged."""
    once = rows.once

    def by(teach: Array, judged: Array) -> tuple[Array, Array] | None:
        band, _ = choose_band(once.take(teach), coverage)
        if band is None:
            return None
        low, high = band.ends(once.response[judged].astype(np.float64))
        y = once.y[judged]
        return (low <= y) & (y <= high), high - low

    return _judged(once, by, once.response)


def judge_sets(rows: HeldOut, coverage: float = COVERAGE) -> Judged | None:
    """Sets of each fold by thresholds (for two classes after a calibration) of the folds that teach it; None as above."""
    once = rows.once
    calibrated = len(np.unique(once.fold)) > 1 and once.response.ndim == 1

    def by(teach: Array, judged: Array) -> tuple[Array, Array] | None:
        taught = once.take(teach)
        calibration = _calibration(taught) if calibrated else Calibration()
        sets = fit_sets(probabilities(taught.response, calibration), taught.y, taught.weight, coverage)
        if sets is None:
            return None
        holds = sets.holds(probabilities(once.response[judged], calibration))
        return holds[np.arange(len(judged)), once.y[judged].astype(np.int64)], holds.sum(axis=1).astype(np.float64)

    return _judged(once, by, probabilities(once.response, Calibration()).max(axis=1))


def probabilities(response: Array, calibration: Calibration) -> Array:
    """Class probabilities (n, k): as they are, or of both classes after calibration."""
    return response if response.ndim == 2 else two_columns(calibration.of_probability(response))


def _calibration(rows: HeldOut) -> Calibration:
    stands = {field.name: getattr(rows, field.name) for field in fields(FoldRows)}
    return choose_calibration(OutOfFold(raw=log_odds_of(rows.response), **stands))[0]


def _judged(rows: HeldOut, by: Callable[[Array, Array], tuple[Array, Array] | None], told: Array) -> Judged | None:
    made = []
    for teach, judged in rows.turns():
        found = by(teach, judged) if len(teach) else None
        if found is not None:
            made.append(Judged(rows.row[judged], *found, told[judged]))
    if not made:
        return None
    names = ("row", "inside", "size", "told")
    return Judged(*(np.concatenate([getattr(part, name) for part in made]) for name in names))


def coverage_of(
    judged: Judged, target: Target, examples: Examples, plan: FoldPlan, by: Sequence[str] = (), level: float = COVERAGE
) -> Coverage:
    """The tables: by class, by thirds of what the model said, by protected columns, by the inputs named, and by month."""
    classes = target.kind != "regression"
    cluster = judged.row if plan.clusters is None else plan.clusters[judged.row]
    tables = [table_by(name, _text(values), judged, cluster, level) for name, values in _groups(judged, target, examples, by)]
    if examples.timed:
        months = np.datetime_as_string(periods(examples.at[judged.row], "month"), unit="M")
        tables.append(table_by(MONTH, months, judged, _own_units(examples, judged.row), level))
    overall = group_coverage("all", judged.inside, judged.size, cluster)
    return Coverage(level, "set" if classes else "interval", overall, tuple(tables))


def _groups(judged: Judged, target: Target, examples: Examples, by: Sequence[str]) -> list[tuple[str, Array]]:
    """What rows are grouped by, months aside: a name and a value a row, (n,) each."""
    rows, made = judged.row, []
    if target.kind == "regression":
        made.append((f"predicted {target.name}", _thirds(judged.told)))
    else:
        names = np.array([target.classes[int(code)] for code in examples.y[rows]], dtype=object)
        made += [(target.name, names), ("largest probability", _thirds(judged.told))]
    if examples.slices is not None:
        made += [(name, examples.slices[name][rows].to_numpy()) for name in examples.slices.columns]
    return made + [(name, examples.X[name][rows].to_numpy()) for name in by]


def refuse_groups(by: Sequence[str], inputs: pl.DataFrame) -> None:
    """Raise ColumnError for a column by which coverage is to be told that is no input, or has too many levels."""
    for name in by:
        if name not in inputs.columns:
            raise ColumnError(f"--coverage-by {name}: no such input; there are {', '.join(inputs.columns)}.")
        count = inputs[name].drop_nulls().n_unique()
        if count > MOST_LEVELS:
            raise ColumnError(
                f"--coverage-by {name}: it has {count:,} values, at most {MOST_LEVELS} can be told; name one of few levels."
            )


def _thirds(told: Array) -> Array:
    """Low, middle or high, (n,), by thirds of what the model said."""
    cuts = np.quantile(told, [1 / 3, 2 / 3])
    return np.array(["1 low", "2 middle", "3 high"])[np.searchsorted(cuts, told, side="left")]


def _text(values: Array) -> Array:
    """Names of groups, (n,): a missing one is named so, and those beyond the most frequent are one."""
    text = np.array([MISSING if v is None or v != v else str(v) for v in values], dtype=object)
    names, count = np.unique(text, return_counts=True)
    kept = set(names[np.argsort(-count, kind="stable")[:MOST_LEVELS]])
    return np.array([name if name in kept else OTHERS for name in text], dtype=object)


def _own_units(examples: Examples, row: Array) -> Array:
    """What errs together within one month, (n,): what the task or the user says does, else an entity's rows.

    Not the plan's blocks of time: a month may be one of them, and says of itself what it is.
    """
    named = examples.cluster if examples.cluster is not None else examples.group
    return np.asarray((examples.entity if named is None else named)[row])


def table_by(by: str, names: Array, judged: Judged, cluster: Array, level: float) -> CoverageTable:
    """A table by group names (n,); rows of a cluster (n,) err together."""
    found = np.unique(names)
    enough = sum(int((names == name).sum()) >= LEAST_ROWS for name in found)
    groups = []
    for name in found:
        of = names == name
        group = group_coverage(str(name), judged.inside[of], judged.size[of], cluster[of])
        strict = _share_interval(judged.inside[of], cluster[of], 1 - 2 * (1 - CONFIDENCE) / max(enough, 1))
        groups.append(replace(group, short=group.rows >= LEAST_ROWS and strict[1] < level))
    return CoverageTable(by, tuple(groups))


def group_coverage(name: str, inside: Array, size: Array, cluster: Array) -> GroupCoverage:
    """Coverage and mean size of some rows, with intervals that know what errs together."""
    low, high = _share_interval(inside, cluster, CONFIDENCE)
    mean, (error, units) = float(size.mean()), _cluster_error(size, cluster)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, units - 1)) * error if units > 1 else math.inf
    return GroupCoverage(name, len(inside), units, float(inside.mean()), low, high, mean, mean - half, mean + half)


def _cluster_error(values: Array, cluster: Array) -> tuple[float, int]:
    """The standard error of a mean over rows when clusters are drawn, and how many clusters there are."""
    units = np.unique(cluster, return_inverse=True)[1]
    count = int(units.max()) + 1
    off = np.bincount(units, weights=values - values.mean())
    return math.sqrt(float((off**2).sum()) * count / max(count - 1, 1)) / len(values), count


def _share_interval(inside: Array, cluster: Array, confidence: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share, at the effective number of rows that clusters leave (Korn and Graubard 1998).

    Where all rows or none are inside, their scatter says nothing: each cluster then counts as one row.
    """
    share, n = float(inside.mean()), len(inside)
    error, units = _cluster_error(inside.astype(np.float64), cluster)
    effective = float(units)
    if units < 2:
        effective = 1.0
    elif error > 0:
        narrowed = (stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) / stats.t.ppf((1 + CONFIDENCE) / 2, units - 1)) ** 2
        effective = min(share * (1 - share) / error**2, n) * float(narrowed)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle, scale = share + z * z / (2 * effective), 1 + z * z / effective
    spread = z * math.sqrt(share * (1 - share) / effective + z * z / (4 * effective * effective))
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
