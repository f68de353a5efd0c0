"""Folds: which rows train, which rows test. Time goes forward, groups stay whole, rows alone are stratified by class.

The kind follows the roles: rows with a time walk forward with a gap; where a forward fold would lack a class, whole
calendar periods become the groups; a group is never in both training and test, with a time or without; rows with
neither are split by class, five times over. Copies of a row always stay together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.core.data.copies import encode_copies
from epic22.core.data.examples import MICROSECONDS_PER_DAY, Examples
from epic22.core.data.folds import Fold, FoldPlan, FoldStrategy, Period, SplitRequest
from epic22.core.errors import SplitError
from epic22.core.targets import KINDS
from epic22.core.task import Array, Kind

MIN_DISTINCT_TIMES = 3
"""Two forward folds need three moments."""

MIN_TRAINING_SHARE = 0.5
"""Share of its training rows that each fold must keep for whole test windows to be tested."""

MIN_PARTS = 3
"""Parts that groups are divided into where they come again: the training part then has at least two thirds of them."""

MAX_DRAWS = 200
"""How often groups are dealt anew where a training part would lack a class."""

VALIDATION_SHARE = 0.2
"""Share of a training part that early stopping validates on."""


def plan_folds(examples: Examples, kind: Kind, request: SplitRequest) -> FoldPlan:
    """The folds that are right for these rows.

    Raises SplitError where no honest split exists: too few rows, groups or moments, or a class that one side would lack.
    """
    if len(examples) < 20:
        raise SplitError(f"{len(examples)} rows are too few to train and to test on; bring at least 20.")
    request = replace(request, horizon=KINDS[kind].get_label_horizon(request.horizon))
    plan = _choose_plan(examples, kind, request)
    if examples.trainable is not None:
        plan = replace(plan, folds=tuple(replace(f, train=f.train[examples.trainable[f.train]]) for f in plan.folds))
    _refuse_missing_classes(plan, examples, kind, request)
    groups = plan.clusters if plan.strategy == "by_group" else plan.groups
    if groups is not None:
        _refuse_inseparable_groups(plan.folds, groups, examples.y, kind)
    return plan


def find_test_start(examples: Examples, fold: Fold) -> np.datetime64 | None:
    """The moment from which a fold tests, where all it trains on comes before that; None where time does not part them."""
    if not examples.has_times or not len(fold.train) or examples.at[fold.train].max() >= examples.at[fold.test].min():
        return None
    return np.datetime64(examples.at[fold.test].min())


def _choose_plan(examples: Examples, kind: Kind, request: SplitRequest) -> FoldPlan:
    # Codes (n,) of the groups that timed folds must keep apart; None where they need not.
    groups = encode_values(examples.group) if request.separate_groups and examples.group is not None else None
    if request.test_rows:
        return _separate_holdout(_separate_copies(_plan_holdout(examples, request), examples), groups)
    if request.holdout_from is not None or request.holdout_last is not None:
        return _separate_holdout(_plan_holdout(examples, request), groups)
    if request.random_rows_despite_time and not examples.has_times:
        warning = "--random-rows-despite-time changed nothing: the rows have no time."
        return replace(_choose_plan(examples, kind, replace(request, random_rows_despite_time=False)), warnings=(warning,))
    if request.group_by is not None and groups is not None:
        raise SplitError(f"--group and --group-by {request.group_by} name two kinds of groups; leave one of them out.")
    if request.random_rows_despite_time:
        warning = "rows were split at random although they have a time: neighbours in time leak, the scores are too good."
        if groups is None:
            why = "requested with --random-rows-despite-time"
            return replace(_plan_stratified(examples, kind, request), why=why, warnings=(warning,))
        return replace(
            _plan_by_group(examples, kind, request, groups, "a group is never in both training and test"), warnings=(warning,)
        )
    if request.group_by is not None:
        return _plan_by_period(examples, kind, request, request.group_by, "requested with --group-by")
    if examples.has_times:
        if groups is not None:
            return _plan_forward_by_group(examples, kind, request, groups)
        return _plan_forward_or_by_period(examples, kind, request)
    if examples.group is not None:
        return _plan_by_group(
            examples, kind, request, encode_values(examples.group), "a group is never in both training and test"
        )
    return _plan_stratified(examples, kind, request)


def encode_values(values: Array) -> Array:
    """Integer codes of values, (n,), by order of value."""
    return np.unique(values, return_inverse=True)[1]


def _plan_forward_or_by_period(examples: Examples, kind: Kind, request: SplitRequest) -> FoldPlan:
    plan = plan_walk_forward(examples, request)
    lacking = _describe_missing_class(plan, examples) if KINDS[kind].is_classification else None
    if lacking is None:
        return plan
    why = f"forward folds would hold one class only ({lacking}), so whole {{}}s are the groups"
    return _plan_by_period(examples, kind, request, find_finest_period(examples.at), why)


def _separate_copies(plan: FoldPlan, examples: Examples) -> FoldPlan:
    """The holdout without training rows that are copies of tested ones, as a file has that was cut from the training's own."""
    fold, codes = plan.folds[0], encode_copies(examples.X)
    remaining = fold.train[~np.isin(codes[fold.train], codes[fold.test])]
    if not len(remaining):
        raise SplitError("every row to train on is a row of the test file too; give a test file of other rows.")
    n_copies = len(fold.train) - len(remaining)
    why = f"{plan.why}; {n_copies:,} rows that are copies of its rows do not train" if n_copies else plan.why
    return replace(plan, folds=(replace(fold, train=remaining),), why=why)


def _separate_holdout(plan: FoldPlan, groups: Array | None) -> FoldPlan:
    """The holdout without training rows of tested groups: which rows are tested was stated, so none of them is left out."""
    if groups is None:
        return plan
    fold = drop_tested_groups(plan.folds[0], groups)
    if not len(fold.train):
        raise SplitError("every training row is of a group that is held out too; leave --group out, or hold out other rows.")
    n_dropped = len(plan.folds[0].train) - len(fold.train)
    why = f"{plan.why}; {n_dropped:,} rows of its groups do not train" if n_dropped else plan.why
    return replace(plan, folds=(fold,), why=why, groups=groups)


def _plan_forward_by_group(examples: Examples, kind: Kind, request: SplitRequest, groups: Array) -> FoldPlan:
    """Test windows that move forward, and no group on both sides of a fold."""
    plan = plan_walk_forward(examples, request)
    separated = separate_forward_folds(plan.folds, examples, kind, groups, len(plan.folds), request.seed)
    folds = tuple(f for f in separated.folds if _can_leave_group_out(groups[f.train], examples.y[f.train], kind))
    plan = replace(plan, folds=folds, groups=groups, clusters=groups)
    lacking = _describe_missing_class(plan, examples) if KINDS[kind].is_classification else None
    if len(plan.folds) < 2 or lacking is not None:
        too_few = f"fewer than two folds ({len(folds)}) would have rows to test and two groups to learn from"
        what = f"{lacking} would lack a class" if lacking else too_few
        raise SplitError(
            f"--group with --time: where groups stay apart and time goes forward, {what}; bring more groups or a longer history, "
            "or leave --group or --time out."
        )
    tested = (
        "" if separated.n_parts == 1 else f"; groups come again, so each window tests one part in {separated.n_parts} of them"
    )
    return replace(plan, why=f"{plan.why}, and no group is in both training and test{tested}")


@dataclass(frozen=True)
class SeparatedFolds:
    """The folds that have rows on both sides, and in how many parts the groups were divided: 1 where whole windows are tested."""

    folds: tuple[Fold, ...]
    n_parts: int


def separate_groups(folds: Sequence[Fold], groups: Array, part_numbers: Array) -> SeparatedFolds:
    """The folds without the rows that would put a group on both sides.

    `groups` (rows,) are codes; `part_numbers` (groups,) say in which of at least `MIN_PARTS` parts each group is. Where at least
    half of every training part is of groups that its test part does not have, these rows train and the whole window is tested.
    Otherwise the same groups come again and again: the i-th fold tests the rows of one part, in turn, and trains on the others'.

    >>> fold = Fold(np.array([0, 1, 2]), np.array([3, 4]))
    >>> separate_groups([fold], np.array([0, 1, 2, 2, 3]), np.array([0, 1, 2, 0])).folds[0].train.tolist()
    [0, 1]
    """
    whole = [drop_tested_groups(fold, groups) for fold in folds]
    if all(len(separate.train) >= MIN_TRAINING_SHARE * len(fold.train) for separate, fold in zip(whole, folds, strict=True)):
        return SeparatedFolds(drop_empty_folds(whole), 1)
    n_parts = int(part_numbers.max()) + 1
    row_parts = part_numbers[groups]
    folds = [
        replace(fold, train=fold.train[row_parts[fold.train] != i % n_parts], test=fold.test[row_parts[fold.test] == i % n_parts])
        for i, fold in enumerate(folds)
    ]
    return SeparatedFolds(drop_empty_folds(folds), n_parts)


def drop_tested_groups(fold: Fold, groups: Array) -> Fold:
    """The fold whose training rows are of groups that its test part does not have."""
    return replace(fold, train=fold.train[~np.isin(groups[fold.train], groups[fold.test])])


def drop_empty_folds(folds: Iterable[Fold]) -> tuple[Fold, ...]:
    """The folds that have rows on both sides."""
    return tuple(fold for fold in folds if len(fold.train) and len(fold.test))


def separate_forward_folds(
    folds: Sequence[Fold], examples: Examples, kind: Kind, groups: Array, n_parts: int, seed: int
) -> SeparatedFolds:
    """The forward folds with groups apart; groups that come again are divided by class."""
    strata = compute_group_strata(KINDS[kind].get_outcomes(examples.y), groups, kind)
    part_numbers = assign_folds(strata, max(MIN_PARTS, n_parts), np.random.default_rng([seed, len(folds)]))
    return separate_groups(folds, groups, part_numbers)


def plan_walk_forward(examples: Examples, request: SplitRequest) -> FoldPlan:
    """Test windows of about equal size that move forward; training ends one embargo before each.

    A training row's label must have been known at the first test row: at + embargo <= start, embargo = horizon + label delay.
    """
    windows, embargo = compute_forward_windows(examples.at, request.n_folds), convert_days(request.embargo)
    folds = drop_empty_folds(build_forward_fold(examples.at, start, end, embargo) for start, end in windows)
    if len(folds) < 2:
        raise SplitError(
            "the gap leaves no training rows before the test rows; shorten --horizon or --gap, or bring more history."
        )
    why = "rows have a time: training ends one gap before each test window"
    return FoldPlan("walk_forward", folds, 1, request.embargo, why, clusters=find_clusters(examples))


def compute_forward_windows(at: Array, n: int) -> list[tuple[np.datetime64, np.datetime64]]:
    """The begin and the end (not in it) of up to n test windows of about equally many rows, from times (rows,)."""
    moments, counts = np.unique(at, return_counts=True)
    if len(moments) < MIN_DISTINCT_TIMES:
        raise SplitError(f"{len(moments)} distinct times are too few for forward folds; bring more or use --group.")
    # Few moments, as an insurer's years, make as many windows as have a moment before them.
    n = min(n, len(moments) - 1)
    ranks = (np.cumsum(counts) - counts) / len(at)
    positions = np.searchsorted(ranks, np.arange(1, n + 1) / (n + 1))
    starts = list(moments[np.minimum(positions, len(moments) - 1)])
    ends = [*starts[1:], moments[-1] + np.timedelta64(1, "us")]
    return list(zip(starts, ends, strict=True))


def convert_days(days: float) -> np.timedelta64:
    """This many days as a span of time, to the microsecond.

    >>> convert_days(0.5)
    np.timedelta64(43200000000,'us')
    """
    return np.timedelta64(round(days * MICROSECONDS_PER_DAY), "us")


def build_forward_fold(at: Array, start: np.datetime64, end: np.datetime64, embargo: np.timedelta64) -> Fold:
    """The rows in [start, end) as test part, and as training part those whose labels were known at its start."""
    train = np.flatnonzero((at < start) & (at + embargo <= start))
    return Fold(train, np.flatnonzero((at >= start) & (at < end)))


def _plan_holdout(examples: Examples, request: SplitRequest) -> FoldPlan:
    if request.test_rows:
        first = len(examples) - request.test_rows
        fold = Fold(np.arange(first), np.arange(first, len(examples)))
        return FoldPlan("holdout", (fold,), 1, 0.0, "tested on a file of its own", clusters=find_clusters(examples))
    if not examples.has_times:
        raise SplitError("a holdout by time needs --time; without one use --test FILE.")
    start = request.holdout_from if request.holdout_from is not None else _find_holdout_start(examples, request.holdout_last or 1)
    fold = build_forward_fold(examples.at, start, examples.at.max() + np.timedelta64(1, "us"), convert_days(request.embargo))
    if not len(fold.train) or not len(fold.test):
        raise SplitError(
            f"holding out from {start} leaves {len(fold.train)} training and {len(fold.test)} test rows; "
            f"the data runs from {examples.at.min()} to {examples.at.max()}."
        )
    why = f"everything from {str(start)[:10]} is held out"
    return FoldPlan("holdout", (fold,), 1, request.embargo, why, clusters=find_clusters(examples))


def _find_holdout_start(examples: Examples, count: int) -> np.datetime64:
    moments = np.unique(examples.at)
    if not 0 < count < len(moments):
        raise SplitError(f"--holdout-last {count}: there are {len(moments)} distinct times; give a number below that.")
    return np.datetime64(moments[-count])


def _plan_by_period(examples: Examples, kind: Kind, request: SplitRequest, period: Period, why: str) -> FoldPlan:
    if not examples.has_times:
        raise SplitError(f"--group-by {period} needs --time.")
    plan = _plan_by_group(examples, kind, request, encode_values(compute_period_starts(examples.at, period)), why.format(period))
    return replace(plan, period=period)


def compute_period_starts(at: Array, period: Period) -> Array:
    """The calendar period each moment lies in, as the moment it begins, (n,)."""
    interval = {"day": "1d", "week": "1w", "month": "1mo"}[period]
    return pl.Series(at).dt.truncate(interval).to_numpy()


def find_finest_period(at: Array) -> Period:
    """The shortest period that has ten rows or more on average, from times (n,)."""
    for period in ("day", "week", "month"):
        if len(np.unique(compute_period_starts(at, period))) <= len(at) / 10:
            return period
    return "month"


def _plan_by_group(examples: Examples, kind: Kind, request: SplitRequest, groups: Array, why: str) -> FoldPlan:
    count = int(groups.max()) + 1
    if count < 2:
        raise SplitError("all rows are of one group, so nothing can be tested on another; name another --group.")
    y = KINDS[kind].get_outcomes(examples.y)
    strata = compute_group_strata(y, groups, kind)
    n_fewest = int(np.bincount(strata).min())
    numbers = assign_folds(strata, min(request.n_folds, n_fewest), np.random.default_rng(request.seed))
    # A class that fills no group may have all of its groups in one test part.
    lacks_class = KINDS[kind].is_classification and not _leaves_all_classes(
        numbers, _find_occurrences(y, groups, examples.trainable)
    )
    if n_fewest < 2 or lacks_class:
        strata, n_groups = _stratify_by_rarest_class(y, groups)
        n_fewest = int(n_groups.min())
        if n_fewest < 2:
            name = request.name_class(np.unique(y)[n_groups.argmin()])
            raise SplitError(
                f"{name} occurs in only {n_fewest} of {count} groups, so either training or test would lack it; "
                "bring more groups of that class, give its rows another class, or use --test FILE."
            )
        occurs = _find_occurrences(y, groups, examples.trainable)
        numbers = _draw_folds(strata, min(request.n_folds, n_fewest), occurs, request.seed)
    folds = _build_folds(numbers[groups], int(numbers.max()) + 1, 0)
    return FoldPlan("by_group", folds, 1, request.embargo, why, clusters=groups)


def _draw_folds(strata: Array, n: int, occurs: Array, seed: int) -> Array:
    """A fold number for each group, dealt within their strata: of several draws the first that leaves every class to learn from,
    else the first."""
    draws = (assign_folds(strata, n, np.random.default_rng([seed, i] if i else seed)) for i in range(MAX_DRAWS))
    first = next(draws)
    return first if _leaves_all_classes(first, occurs) else next((d for d in draws if _leaves_all_classes(d, occurs)), first)


def _leaves_all_classes(numbers: Array, occurs: Array) -> bool:
    """Whether every class is in the groups of two folds at least, so that none of the training parts lacks it.

    >>> _leaves_all_classes(np.array([0, 0, 1]), np.array([[True, True], [True, False], [False, True]]))
    False
    """
    lowest = np.where(occurs, numbers[:, None], numbers.max() + 1).min(axis=0)
    highest = np.where(occurs, numbers[:, None], -1).max(axis=0)
    return bool((lowest < highest).all())


def compute_group_strata(y: Array, groups: Array, kind: Kind) -> Array:
    """The class that fills most of each group, (groups,); one stratum for values."""
    if not KINDS[kind].is_stratified:
        return np.zeros(int(groups.max()) + 1, dtype=np.int64)
    classes = encode_values(y)
    counts = np.zeros((int(groups.max()) + 1, int(classes.max()) + 1))
    np.add.at(counts, (groups, classes), 1)
    return encode_values(counts.argmax(axis=1))


def _find_occurrences(y: Array, groups: Array, rows: Array | None = None) -> Array:
    """Whether a group has a row of a class, (groups, k); only of those `rows` (n,), where they are given."""
    classes = encode_values(y)
    occurs = np.zeros((int(groups.max()) + 1, int(classes.max()) + 1), dtype=bool)
    occurs[(groups, classes) if rows is None else (groups[rows], classes[rows])] = True
    return occurs


def _stratify_by_rarest_class(y: Array, groups: Array) -> tuple[Array, Array]:
    """Of the classes in each group the one that occurs in the fewest, (groups,), and in how many groups each occurs, (k,)."""
    occurs = _find_occurrences(y, groups)
    n_groups = occurs.sum(axis=0)
    return encode_values(np.where(occurs, n_groups, len(occurs) + 1).argmin(axis=1)), n_groups


def _plan_stratified(examples: Examples, kind: Kind, request: SplitRequest) -> FoldPlan:
    duplicate_codes = encode_copies(examples.X)
    y, n = KINDS[kind].get_outcomes(examples.y), request.n_folds
    strata = compute_group_strata(y, duplicate_codes, kind)
    if KINDS[kind].is_stratified and np.bincount(strata).min() < n:
        rarest, n_rows = _find_rarest_class(y, duplicate_codes, request)
        raise SplitError(
            f"the rarest class has {n_rows} distinct rows, fewer than {n} folds ({rarest}); bring more of it, give its rows "
            f"another class, or ask for fewer --folds{request.advise_regression()}."
        )
    folds: list[Fold] = []
    for repeat in range(request.repeats):
        fold_numbers = assign_folds(strata, n, np.random.default_rng([request.seed, repeat]))[duplicate_codes]
        folds.extend(_build_folds(fold_numbers, n, repeat))
    name: FoldStrategy = "repeated_stratified" if KINDS[kind].is_stratified else "repeated"
    return FoldPlan(name, tuple(folds), request.repeats, 0.0, "rows have neither time nor group", clusters=duplicate_codes)


def _find_rarest_class(y: Array, clusters: Array, request: SplitRequest) -> tuple[str, int]:
    """The class that has the fewest distinct rows, and how many."""
    codes = np.unique(y)
    n_rows = [len(np.unique(clusters[y == code])) for code in codes]
    return request.name_class(codes[int(np.argmin(n_rows))]), min(n_rows)


def assign_folds(strata: Array, n: int, rng: np.random.Generator) -> Array:
    """A fold number for each cluster: shuffled, then assigned in turn within its stratum, going on where the last one ended."""
    fold_numbers = np.empty(len(strata), dtype=np.int64)
    shuffled = rng.permutation(len(strata))
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    fold_numbers[shuffled] = np.arange(len(strata)) % n
    return fold_numbers


def _build_folds(fold_numbers: Array, n: int, repeat: int) -> tuple[Fold, ...]:
    return tuple(Fold(np.flatnonzero(fold_numbers != i), np.flatnonzero(fold_numbers == i), repeat) for i in range(n))


def find_clusters(examples: Examples) -> Array | None:
    """Codes (n,) of rows that are resampled together where time splits: clusters, groups, else the longest period that comes 30
    times."""
    if examples.cluster is not None:
        return encode_values(examples.cluster)
    if examples.group is not None:
        return encode_values(examples.group)
    if not examples.has_times:
        return None
    for period in ("month", "week", "day"):
        periods = compute_period_starts(examples.at, period)
        if len(np.unique(periods)) >= 30:
            return encode_values(periods)
    return None


def can_fit_rest(rest: Array, y: Array, kind: Kind) -> bool:
    """Whether labels `rest`, what is left of `y`, can be learned from: there are some, of more than one class where `y` is."""
    if not len(rest) or not KINDS[kind].is_classification:
        return bool(len(rest))
    return bool(rest.min() < rest.max() or y.min() == y.max())


def holds_all_classes(rest: Array, y: Array, kind: Kind) -> bool:
    """Whether labels `rest`, what is left of `y`, hold every class that `y` has; of values there must be some."""
    return len(rest) > 0 and (not KINDS[kind].is_classification or bool(np.isin(np.unique(y), rest).all()))


def _can_leave_group_out(groups: Array, y: Array, kind: Kind) -> bool:
    """Whether the rows of all groups but one can be learned from, so that early stopping can validate on that one."""
    return any(can_fit_rest(y[groups != group], y, kind) for group in np.unique(groups))


def _refuse_inseparable_groups(folds: Sequence[Fold], groups: Array, y: Array, kind: Kind) -> None:
    takes = "two groups, and two classes in what is left without one of them" if KINDS[kind].is_classification else "two groups"
    for number, fold in enumerate(folds, start=1):
        if not _can_leave_group_out(groups[fold.train], y[fold.train], kind):
            raise SplitError(
                f"groups in the training part of fold {number}: {len(np.unique(groups[fold.train]))}. Early stopping validates "
                f"on groups that it does not learn from, which takes {takes}; bring more groups, or split another way."
            )


def _describe_missing_class(plan: FoldPlan, examples: Examples) -> str | None:
    """In words, the first fold side that lacks a class, or None."""
    n_classes = len(np.unique(examples.y))
    for number, fold in enumerate(plan.folds, start=1):
        for side, rows in (("training", fold.train), ("test", fold.test)):
            if len(np.unique(examples.y[rows])) < n_classes:
                return f"the {side} part of fold {number}"
    return None


def _refuse_missing_classes(plan: FoldPlan, examples: Examples, kind: Kind, request: SplitRequest) -> None:
    if not KINDS[kind].is_stratified:
        return
    if KINDS[kind].is_time_to_event:
        _refuse_missing_events(plan, examples)
        return
    classes = set(np.unique(examples.y))
    for number, fold in enumerate(plan.folds, start=1):
        missing = sorted(classes - set(np.unique(examples.y[fold.train])))
        if missing:
            raise SplitError(
                f"the training part of fold {number} lacks a class, {request.name_class(missing[0])}; bring more rows of it or "
                "split another way."
            )


def _refuse_missing_events(plan: FoldPlan, examples: Examples) -> None:
    """Raise SplitError where a hazard has too few events: it needs two in each training part that were known when the test part
    began, and one in each test part."""
    for number, fold in enumerate(plan.folds, start=1):
        training = examples.take(fold.train).censor_at(find_test_start(examples, fold), plan.embargo)
        n_training, n_test = int(training.Y[:, 1].sum()), int(examples.Y[fold.test, 1].sum())
        if n_training < 2 or n_test < 1:
            raise SplitError(
                f"fold {number}: {n_training} events were known when its test part began, {n_test} came in it; a hazard needs at "
                "least 2 to learn from and 1 to be tested on: bring a longer history or more entities."
            )
