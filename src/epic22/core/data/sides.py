"""Folds of a large table: which side of each fold a row is on, one byte a row, made when asked.

The same manner as `split`: rows with a time walk forward with a gap, groups and copies of a row stay whole. What `split` deals
out evenly is dealt by a hash here where there are many units.
"""

from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.large_table import LargeTable, mixed
from epic22.core.data.split import INNER_SHARE, FoldKind, Period, SplitRequest, forward_windows, periods, span_of
from epic22.core.errors import SplitError, UserError
from epic22.core.task import Array, Kind

OUT, TRAIN, WATCH, TEST, LATE = 0, 1, 2, 3, 4
"""LATE rows train, but not while others are watched: their labels were not known then."""

FOLDS = 3
"""Fewer than a small table gets: so many rows tell as much in three folds as in five."""

FEW_UNITS = 10_000
"""Up to so many units are dealt in turn, so that folds have equally many of them."""


NO_TIME = np.timedelta64(0, "us")


@dataclass(frozen=True, eq=False)
class SidesPlan:
    """The folds of a table: forward windows of time, or a fold number a row, `dealt` (n,). `gap` in days."""

    table: LargeTable
    kind: FoldKind
    why: str
    gap: float
    target: Kind
    seed: int
    windows: tuple[tuple[np.datetime64, np.datetime64], ...] = ()
    span: np.timedelta64 = NO_TIME
    dealt: Array | None = None
    folds: int = FOLDS
    period: Period | None = None

    def units(self) -> Array | None:
        """What was dealt whole, (n,); None where time splits."""
        if self.windows:
            return None
        return self.table.unit if self.period is None else _of_period(self.table.at, self.period)

    def sides(self, fold: int) -> Array:
        """The side of every row in a fold counted from 0, (n,) int8."""
        at = self.table.at
        if self.dealt is not None:
            side = np.where(self.dealt == fold, TEST, TRAIN).astype(np.int8)
            return self._watched(side)
        assert at is not None
        start, end = self.windows[fold]
        side = np.zeros(len(at), dtype=np.int8)
        side[(at < start) & (at + self.span <= start)] = TRAIN
        side[(at >= start) & (at < end)] = TEST
        return self._watched(side)

    def _watched(self, side: Array) -> Array:
        """The sides with the last fifth of the training rows watched where time splits, whole units otherwise."""
        if self.table.learned is not None:
            side[(side == TRAIN) & ~self.table.learned] = OUT
        train = np.flatnonzero(side == TRAIN)
        if self.windows and len(train):
            at = self.table.at[train]  # type: ignore[index]
            start = np.partition(at, int(len(at) * (1 - INNER_SHARE)))[int(len(at) * (1 - INNER_SHARE))]
            inner = np.where(at >= start, WATCH, np.where(at + self.span <= start, TRAIN, LATE)).astype(np.int8)
            if self._tells(train[inner == TRAIN]) and self._tells(train[inner == WATCH]):
                side[train] = inner
                return side
        units = self.units()
        watched = (
            mixed((self.table.unit if units is None else units)[train], self.seed + 7) % np.uint64(round(1 / INNER_SHARE)) == 0
        )
        side[train[watched]] = WATCH
        return side

    def _tells(self, rows: Array) -> bool:
        """Whether there are rows, and of every class."""
        return len(rows) > 0 and (self.target == "regression" or _classes(self.table.y[rows]) == _classes(self.table.y))


def plan_sides(table: LargeTable, kind: Kind, request: SplitRequest, whom: str | None, repeats: bool) -> SidesPlan:
    """The folds that are right for these rows; `whom` says whose rows stay together, `repeats` whether it comes more than once.

    Raises SplitError where no honest split exists, UserError for what is only done in memory.
    """
    if request.random_rows_despite_time or request.test_rows:
        raise UserError(
            "--random-rows-despite-time and --test are for tables that fit into memory; "
            "leave them out, use --holdout-from, or give a greater --memory-cap."
        )
    plan = _plan(table, kind, request, whom, repeats)
    for fold in range(plan.folds):
        _refuse_empty(plan, fold)
    return plan


def _plan(table: LargeTable, kind: Kind, request: SplitRequest, whom: str | None, repeats: bool) -> SidesPlan:
    gap = request.horizon + request.gap
    made = SidesPlan(table, "walk_forward", "", gap, kind, request.seed, span=span_of(request))
    timed = table.at is not None and table.at.min() != table.at.max()
    if request.group_by is not None:
        if not timed:
            raise SplitError(f"--group-by {request.group_by} needs --time.")
        unit = _of_period(table.at, request.group_by)
        return _dealt(replace(made, period=request.group_by), unit, "asked for with --group-by")
    held_out = request.holdout_from is not None or request.holdout_last is not None
    if timed:
        assert table.at is not None
        windows = _holdout(table, request) if held_out else tuple(forward_windows(table.at, FOLDS))
        why = f"everything from {str(windows[0][0])[:10]} is held out" if held_out else WHY_FORWARD
        return replace(made, kind="holdout" if held_out else "walk_forward", why=why, windows=windows, folds=len(windows))
    if held_out:
        raise SplitError("a holdout by time needs --time.")
    if whom is not None and repeats:
        return _dealt(made, table.unit, f"a {whom} is never on both sides")
    return _dealt(made, table.unit, "rows have neither time nor group; copies of a row stay together")


WHY_FORWARD = "rows have a time: training ends one gap before each test window"


def _holdout(table: LargeTable, request: SplitRequest) -> tuple[tuple[np.datetime64, np.datetime64], ...]:
    assert table.at is not None
    moments = np.unique(table.at)
    start = request.holdout_from
    if start is None:
        count = request.holdout_last or 1
        if not 0 < count < len(moments):
            raise SplitError(f"--holdout-last {count}: there are {len(moments)} distinct times; give a number below that.")
        start = np.datetime64(moments[-count])
    return ((start, np.datetime64(moments[-1] + np.timedelta64(1, "us"))),)


def _dealt(plan: SidesPlan, unit: Array, why: str) -> SidesPlan:
    """The plan whose folds are dealt by unit: in turn where there are few, by a hash otherwise."""
    distinct = np.unique(unit)
    if len(distinct) < 2:
        raise SplitError("all rows are of one group, so nothing can be tested on another; name another --group.")
    folds = min(FOLDS, len(distinct))
    if len(distinct) <= FEW_UNITS:
        turn = np.argsort(np.argsort(mixed(distinct, plan.seed), kind="stable"), kind="stable") % folds
        dealt = turn[np.searchsorted(distinct, unit)].astype(np.int8)
    else:
        dealt = (mixed(unit, plan.seed) % np.uint64(folds)).astype(np.int8)
    return replace(plan, kind="by_group", why=why, dealt=dealt, folds=folds)


def _of_period(at: Array | None, period: Period) -> Array:
    assert at is not None
    return periods(at, period).astype(np.int64)


def _refuse_empty(plan: SidesPlan, fold: int) -> None:
    side, y = plan.sides(fold), plan.table.y
    train, test = side == TRAIN, side == TEST
    if not train.any() or not test.any() or not (side == WATCH).any():
        raise SplitError(
            f"fold {fold + 1} has {int(train.sum()):,} training and {int(test.sum()):,} test rows; "
            "shorten --horizon or --gap, or bring more history."
        )
    if plan.target != "regression" and _classes(y[train]) != _classes(y):
        raise SplitError(
            f"the training part of fold {fold + 1} lacks a class; bring more rows of it, use --group-by month, "
            "or give a greater --memory-cap."
        )


def _classes(y: Array) -> int:
    return int((np.bincount(y.astype(np.int64)) > 0).sum())
