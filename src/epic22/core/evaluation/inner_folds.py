"""Folds within a training part: what early stopping, a search, means of labels and a learning curve are split by.

Each is split in the manner of the plan: forward in time with its gap where the plan goes forward, groups apart where it keeps
them so. Where no forward window has rows on both sides, of two classes to learn from where there are (for early stopping and a
search of all), and where the plan does not go forward, whole clusters are split at random, stratified by class: such a fold is
not forward in time and has no gap. Where no cluster can be left out, as one alone, rows are. That touches early stopping and what
is chosen within a training part; scores only where the folds of a search give them (`--no-nested`). Row numbers are those of the
examples; no row outside the training part is used.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from epic22.core.data.copies import encode_copies
from epic22.core.data.examples import censor_outcomes
from epic22.core.data.folds import Fold
from epic22.core.data.split import (
    VALIDATION_SHARE,
    assign_folds,
    build_forward_fold,
    can_fit_rest,
    compute_group_strata,
    convert_days,
    drop_empty_folds,
    encode_values,
    find_test_start,
    holds_all_classes,
    separate_forward_folds,
)
from epic22.core.errors import SplitError
from epic22.core.experiment import Experiment
from epic22.core.task import Array

LEARNING_CURVE_PARTS = 8
"""A learning curve is measured on this many parts of a training part."""

N_SEARCH_FOLDS = 5

SEARCH_WINDOW_ENDS = (0.6, 0.8, 1.0)
"""Where the windows end that a search validates on in timed rows: the last two fifths, one after the other."""

SEARCH_ROW_LIMITS = (50_000, 500_000)
"""From this many rows on, a search validates on three of its folds, and on two."""


def split_inner_fold(experiment: Experiment, train: Array) -> Fold:
    """The fold of a training part whose test part early stopping validates on."""
    target = experiment.task.target.traits
    if _goes_forward(experiment):
        at = experiment.examples.at[train]
        window = (np.sort(at)[int(len(at) * (1 - VALIDATION_SHARE))], _find_end(at))
        last = _separate_groups(experiment, drop_empty_folds(_build_windows(experiment, train, [window])))
        forward = last[0] if last else None
        if forward is not None and target.is_time_to_event:
            forward = _add_follow_up(experiment, forward)
        if forward is not None and (
            not target.is_stratified or _has_same_classes(_list_classes_at_test_start(experiment, forward), forward)
        ):
            return forward
    n = round(1 / VALIDATION_SHARE)
    return _split_clusters(experiment, _list_clusters(experiment)[train], train, n, [experiment.seed, len(train)])[0]


def split_inner_folds(experiment: Experiment, train: Array, n: int) -> tuple[Fold, ...]:
    """Up to n folds of a training part. Where the plan goes forward, the first rows are in no test part.

    A forward fold that would learn from fewer classes than the part has is left out, as long as others are not: what learns from
    one class alone is certain of it, and of another class its loss has no end.
    """
    if _goes_forward(experiment):
        forward = _separate_groups(experiment, _split_windows(experiment, train, n))
        y, kind = experiment.examples.y, experiment.task.target.kind
        for can_fit in (holds_all_classes, can_fit_rest):
            if folds := tuple(fold for fold in forward if can_fit(y[fold.train], y[train], kind)):
                return folds
    return _split_clusters(experiment, _list_clusters(experiment)[train], train, n, [experiment.seed, len(train), n])


def split_search_folds(experiment: Experiment, train: Array) -> tuple[Fold, ...]:
    """Folds of a training part for a search within it.

    Timed rows are validated on window after window, where every window has all classes; else whole clusters are split in five at
    random, fewer of which validate where there are many rows.
    """
    if _goes_forward(experiment):
        windows = _separate_groups(experiment, _split_search_windows(experiment, train))
        is_stratified, y = experiment.task.target.traits.is_stratified, experiment.examples.y
        if windows and (not is_stratified or all(_has_same_classes(y, fold) for fold in windows)):
            return windows
    clusters = _list_search_clusters(experiment)[train]
    n_folds = N_SEARCH_FOLDS if len(train) < SEARCH_ROW_LIMITS[0] else 3 if len(train) < SEARCH_ROW_LIMITS[1] else 2
    return _split_clusters(experiment, clusters, train, N_SEARCH_FOLDS, [experiment.seed, len(train), 1])[:n_folds]


def select_training_share(experiment: Experiment, train: Array, n_parts: int) -> Array:
    """This many eighths of a training part: the latest rows where the plan goes forward, else whole clusters stratified by class.

    Shares are nested: a smaller one lies within a larger.
    """
    if _goes_forward(experiment):
        count = round(len(train) * n_parts / LEARNING_CURVE_PARTS)
        return np.sort(train[np.argsort(experiment.examples.at[train], kind="stable")[len(train) - count :]])
    n, seed = LEARNING_CURVE_PARTS, [experiment.seed, len(train), LEARNING_CURVE_PARTS]
    return train[_assign_rows(experiment, experiment.get_clusters(train), train, n, seed) < n_parts]


def _goes_forward(experiment: Experiment) -> bool:
    return experiment.plan.strategy in ("walk_forward", "holdout") and experiment.examples.has_times


def _split_clusters(experiment: Experiment, clusters: Array, train: Array, n: int, seed: Sequence[int]) -> tuple[Fold, ...]:
    """Up to n folds of whole `clusters` (n of the part,), of rows where no cluster can be left out.

    A fold whose training rows lack a class is taken only where no other way is left: what it learns has no share of that class.
    """
    y, kind = experiment.examples.y, experiment.task.target.kind
    rows = np.arange(len(train))
    for codes, can_fit in (
        (clusters, holds_all_classes),
        (rows, holds_all_classes),
        (clusters, can_fit_rest),
        (rows, can_fit_rest),
    ):
        numbers = _assign_rows(experiment, codes, train, n, seed)
        folds = drop_empty_folds(Fold(train[numbers != i], train[numbers == i]) for i in range(n))
        if folds := tuple(fold for fold in folds if can_fit(y[fold.train], y[train], kind)):
            return folds
    raise SplitError(f"{len(train)} rows cannot be split into rows to learn from and rows to validate on; bring more.")


def _assign_rows(experiment: Experiment, clusters: Array, train: Array, n: int, seed: Sequence[int]) -> Array:
    """A fold number for each row of a training part, whole `clusters` (n of the part,) stratified by class."""
    kind, codes = experiment.task.target, encode_values(clusters)
    strata = compute_group_strata(kind.traits.get_outcomes(experiment.examples.y)[train], codes, kind.kind)
    return assign_folds(strata, n, np.random.default_rng(seed))[codes]


def _list_clusters(experiment: Experiment) -> Array:
    """Codes (n,) of the rows that stay together in a training part where time does not part them."""
    plan = experiment.plan
    if plan.groups is not None:
        return plan.groups
    return np.arange(len(experiment.examples)) if plan.clusters is None or plan.strategy == "holdout" else plan.clusters


def _list_search_clusters(experiment: Experiment) -> Array:
    """Codes (n,) of rows that must be on one side: the plan's clusters; of a holdout, groups, else copies of a row."""
    plan, examples = experiment.plan, experiment.examples
    if plan.strategy != "holdout" and plan.clusters is not None:
        return plan.clusters
    if examples.group is not None:
        return encode_values(examples.group)
    return encode_copies(examples.X)


def _separate_groups(experiment: Experiment, folds: Sequence[Fold]) -> tuple[Fold, ...]:
    """Forward folds with groups apart where the plan keeps them so; () where one has no rows on a side."""
    groups, kind = experiment.plan.groups, experiment.task.target.kind
    if groups is None or not folds:
        return tuple(folds)
    separated = separate_forward_folds(folds, experiment.examples, kind, groups, len(folds), experiment.seed).folds
    return separated if len(separated) == len(folds) else ()


def _build_windows(
    experiment: Experiment, train: Array, windows: Iterable[tuple[np.datetime64, np.datetime64]]
) -> tuple[Fold, ...]:
    """The forward folds of a training part that test these windows of time."""
    at, embargo = experiment.examples.at[train], convert_days(experiment.plan.embargo)
    folds = [build_forward_fold(at, start, end, embargo) for start, end in windows]
    return tuple(Fold(train[fold.train], train[fold.test]) for fold in folds)


def _find_end(at: Array) -> np.datetime64:
    """The moment after the last of these."""
    return np.datetime64(at.max() + np.timedelta64(1, "us"))


def _split_windows(experiment: Experiment, train: Array, n: int) -> tuple[Fold, ...]:
    at = experiment.examples.at[train]
    starts = np.unique(np.sort(at)[(len(at) * np.arange(1, n + 1)) // (n + 1)])
    return drop_empty_folds(_build_windows(experiment, train, zip(starts, [*starts[1:], _find_end(at)], strict=True)))


def _split_search_windows(experiment: Experiment, train: Array) -> tuple[Fold, ...]:
    """Forward windows, () where one lacks rows to fit or to validate on."""
    at = experiment.examples.at[train]
    ordered = np.sort(at)
    ends = [ordered[min(int(len(at) * share), len(at) - 1)] for share in SEARCH_WINDOW_ENDS]
    folds = _build_windows(experiment, train, itertools.pairwise([*ends[:-1], _find_end(at)]))
    return folds if len(drop_empty_folds(folds)) == len(folds) else ()


def _add_follow_up(experiment: Experiment, fold: Fold) -> Fold:
    """The fold with the days its training rows were followed before it tests."""
    examples, start = experiment.examples, find_test_start(experiment.examples, fold)
    if start is None:
        return fold
    return replace(fold, follow_up_days=examples.take(fold.train).censor_at(start, experiment.plan.embargo).follow_up_days)


def _list_classes_at_test_start(experiment: Experiment, fold: Fold) -> Array:
    """The classes of all rows, (n,), those of the training part as they were known when the test part began."""
    examples = experiment.examples
    classes = experiment.task.target.traits.get_outcomes(examples.y).copy()
    if fold.follow_up_days is not None:
        classes[fold.train] = censor_outcomes(examples.Y[fold.train], fold.follow_up_days)[:, 1]
    return classes


def _has_same_classes(y: Array, fold: Fold) -> bool:
    return set(np.unique(y[fold.train])) == set(np.unique(y[fold.test]))
