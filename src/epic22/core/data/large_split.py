"""Folds of a large table: which side of each fold a row is on, one byte a row, made when asked.

The same manner as `split`: rows with a time walk forward with a gap, groups and copies of a row stay whole. What `split` deals
out evenly is assigned by a hash here where there are many units.
"""

from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.folds import FoldStrategy, Period, SplitRequest
from epic22.core.data.large_table import LargeTable, mix_bits
from epic22.core.data.split import VALIDATION_SHARE, compute_forward_windows, compute_period_starts, convert_days
from epic22.core.errors import SplitError, UserError
from epic22.core.targets import KINDS
from epic22.core.task import Array, Kind

UNUSED, TRAIN, VALIDATION, TEST, EMBARGO = 0, 1, 2, 3, 4
"""EMBARGO rows train, but not while others validate: their labels were not known then."""

N_FOLDS = 3
"""Fewer than a small table gets: this many rows tell as much in three folds as in five."""

MAX_TRIED_CLUSTERS = 100
"""Where a fifth of the units cannot validate, as they are few, one of these many is tried alone."""

MAX_BALANCED_CLUSTERS = 10_000
"""Up to this many units are assigned in turn, so that folds have equally many of them."""


@dataclass(frozen=True, eq=False)
class LargeFoldPlan:
    """The folds of a table: forward windows of time, or a fold number a row, `fold_numbers` (n,). `embargo` in days."""

    table: LargeTable
    strategy: FoldStrategy
    why: str
    embargo: float
    target: Kind
    seed: int
    windows: tuple[tuple[np.datetime64, np.datetime64], ...] = ()
    fold_numbers: Array | None = None
    n_folds: int = N_FOLDS
    period: Period | None = None

    def list_clusters(self) -> Array | None:
        """Codes (n,) of the rows that are kept together; None where time splits."""
        if self.windows:
            return None
        return self.table.cluster_hash if self.period is None else _compute_periods(self.table.at, self.period)

    def assign_rows(self, fold: int) -> Array:
        """The side of every row in a fold counted from 0, (n,) int8."""
        at = self.table.at
        if self.fold_numbers is not None:
            assignment = np.where(self.fold_numbers == fold, TEST, TRAIN).astype(np.int8)
            return self._mark_validation(assignment)
        assert at is not None
        start, end = self.windows[fold]
        assignment = np.zeros(len(at), dtype=np.int8)
        assignment[(at < start) & (at + convert_days(self.embargo) <= start)] = TRAIN
        assignment[(at >= start) & (at < end)] = TEST
        return self._mark_validation(assignment)

    def _mark_validation(self, assignment: Array) -> Array:
        """The sides with the last fifth of the training rows for validation where time splits, whole units otherwise."""
        if self.table.trainable is not None:
            assignment[(assignment == TRAIN) & ~self.table.trainable] = UNUSED
        train = np.flatnonzero(assignment == TRAIN)
        if self.windows and len(train):
            at = self.table.at[train]  # type: ignore[index]
            start = np.partition(at, int(len(at) * (1 - VALIDATION_SHARE)))[int(len(at) * (1 - VALIDATION_SHARE))]
            inner = np.where(at >= start, VALIDATION, np.where(at + convert_days(self.embargo) <= start, TRAIN, EMBARGO)).astype(
                np.int8
            )
            if self._has_all_classes(train[inner == TRAIN]) and self._has_all_classes(train[inner == VALIDATION]):
                assignment[train] = inner
                return assignment
        clusters = self.list_clusters()
        codes = (self.table.cluster_hash if clusters is None else clusters)[train]
        is_validation = mix_bits(codes, self.seed + 7) % np.uint64(round(1 / VALIDATION_SHARE)) == 0
        if not self._can_validate(train, is_validation):
            is_validation = self._leave_one_cluster_out(train, codes)
        assignment[train[is_validation]] = VALIDATION
        return assignment

    def _can_validate(self, train: Array, is_validation: Array) -> bool:
        """Whether there are rows to validate on, and the rest has every class of these training rows."""
        rest, y = train[~is_validation], self.table.y
        is_stratified = KINDS[self.target].is_stratified
        return bool(is_validation.any()) and len(rest) > 0 and (not is_stratified or _has_classes(y[rest], y[train]))

    def _leave_one_cluster_out(self, train: Array, codes: Array) -> Array:
        """The rows (of the training rows, a mask) of the first unit that can be left out; none where no unit can."""
        distinct = np.unique(codes)
        for code in distinct[np.argsort(mix_bits(distinct, self.seed + 7), kind="stable")][:MAX_TRIED_CLUSTERS]:
            if self._can_validate(train, codes == code):
                return np.asarray(codes == code)
        return np.zeros(len(train), dtype=bool)

    def _has_all_classes(self, rows: Array) -> bool:
        """Whether there are rows, and of every class."""
        return len(rows) > 0 and (
            not KINDS[self.target].is_stratified or _count_classes(self.table.y[rows]) == _count_classes(self.table.y)
        )


def plan_large_folds(
    table: LargeTable, kind: Kind, request: SplitRequest, group_column: str | None, group_repeats: bool
) -> LargeFoldPlan:
    """The folds that are right for these rows; `group_column` says whose rows stay together, `group_repeats` whether it comes
    more than once.

    Raises SplitError where no honest split exists, UserError for what is only done in memory, as groups that are kept apart in
    folds that go forward.
    """
    if request.random_rows_despite_time or request.test_rows:
        raise UserError(
            "--random-rows-despite-time and --test are for tables that fit into memory; "
            "leave them out, use --holdout-from, or give a greater --memory-cap."
        )
    plan = _choose_plan(table, kind, request, group_column, group_repeats)
    for fold in range(plan.n_folds):
        _refuse_empty_parts(plan, fold)
    return plan


def _choose_plan(
    table: LargeTable, kind: Kind, request: SplitRequest, group_column: str | None, group_repeats: bool
) -> LargeFoldPlan:
    base = LargeFoldPlan(table, "walk_forward", "", request.embargo, kind, request.seed)
    has_times = table.at is not None and table.at.min() != table.at.max()
    if has_times and request.separate_groups:
        raise UserError(
            "--group with --time keeps groups apart and goes forward in a table that fits into memory; give a greater "
            "--memory-cap, or leave --group or --time out."
        )
    if request.group_by is not None:
        if not has_times:
            raise SplitError(f"--group-by {request.group_by} needs --time.")
        periods = _compute_periods(table.at, request.group_by)
        return _plan_by_cluster(replace(base, period=request.group_by), periods, "requested with --group-by")
    is_holdout = request.holdout_from is not None or request.holdout_last is not None
    if has_times:
        assert table.at is not None
        windows = _find_holdout_window(table, request) if is_holdout else tuple(compute_forward_windows(table.at, N_FOLDS))
        why = f"everything from {str(windows[0][0])[:10]} is held out" if is_holdout else WHY_FORWARD
        return replace(base, strategy="holdout" if is_holdout else "walk_forward", why=why, windows=windows, n_folds=len(windows))
    if is_holdout:
        raise SplitError("a holdout by time needs --time.")
    if group_column is not None and group_repeats:
        return _plan_by_cluster(base, table.cluster_hash, f"a {group_column} is never in both training and test")
    return _plan_by_cluster(base, table.cluster_hash, "rows have neither time nor group; copies of a row stay together")


WHY_FORWARD = "rows have a time: training ends one gap before each test window"


def _find_holdout_window(table: LargeTable, request: SplitRequest) -> tuple[tuple[np.datetime64, np.datetime64], ...]:
    assert table.at is not None
    moments = np.unique(table.at)
    start = request.holdout_from
    if start is None:
        count = request.holdout_last or 1
        if not 0 < count < len(moments):
            raise SplitError(f"--holdout-last {count}: there are {len(moments)} distinct times; give a number below that.")
        start = np.datetime64(moments[-count])
    return ((start, np.datetime64(moments[-1] + np.timedelta64(1, "us"))),)


def _plan_by_cluster(plan: LargeFoldPlan, clusters: Array, why: str) -> LargeFoldPlan:
    """The plan whose folds are assigned by unit: in turn where there are few, by a hash otherwise."""
    distinct = np.unique(clusters)
    if len(distinct) < 2:
        raise SplitError("all rows are of one group, so nothing can be tested on another; name another --group.")
    n_folds = min(N_FOLDS, len(distinct))
    if len(distinct) <= MAX_BALANCED_CLUSTERS:
        turn = np.argsort(np.argsort(mix_bits(distinct, plan.seed), kind="stable"), kind="stable") % n_folds
        fold_numbers = turn[np.searchsorted(distinct, clusters)].astype(np.int8)
    else:
        fold_numbers = (mix_bits(clusters, plan.seed) % np.uint64(n_folds)).astype(np.int8)
    return replace(plan, strategy="by_group", why=why, fold_numbers=fold_numbers, n_folds=n_folds)


def _compute_periods(at: Array | None, period: Period) -> Array:
    assert at is not None
    return compute_period_starts(at, period).astype(np.int64)


def _refuse_empty_parts(plan: LargeFoldPlan, fold: int) -> None:
    assignment, y = plan.assign_rows(fold), plan.table.y
    train, test = assignment == TRAIN, assignment == TEST
    if plan.fold_numbers is not None and not (assignment == VALIDATION).any():
        raise SplitError(
            f"fold {fold + 1}: early stopping validates on groups that it does not learn from, which takes two groups in the "
            "training part, and every class in what is left without one of them; bring more groups, split another way, or give a "
            "greater --memory-cap."
        )
    if not train.any() or not test.any() or not (assignment == VALIDATION).any():
        raise SplitError(
            f"fold {fold + 1} has {int(train.sum()):,} training and {int(test.sum()):,} test rows; "
            "shorten --horizon or --gap, or bring more history."
        )
    if KINDS[plan.target].is_stratified and _count_classes(y[train]) != _count_classes(y):
        raise SplitError(
            f"the training part of fold {fold + 1} lacks a class; bring more rows of it, use --group-by month, "
            "or give a greater --memory-cap."
        )


def _has_classes(y: Array, of: Array) -> bool:
    return _count_classes(y) == _count_classes(of)


def _count_classes(y: Array) -> int:
    return int((np.bincount(y.astype(np.int64)) > 0).sum())
