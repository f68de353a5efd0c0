"""Forward folds that keep groups apart: no group has rows in the training and in the test part of a fold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.task import Array

MIN_TRAINING_SHARE = 0.5
"""Share of its training rows that each fold must keep for whole test windows to be tested."""

MIN_PARTS = 3
"""Parts that groups are divided into where they come again: the training part then has at least two thirds of them."""


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
    if all(len(kept.train) >= MIN_TRAINING_SHARE * len(fold.train) for kept, fold in zip(whole, folds, strict=True)):
        return SeparatedFolds(_drop_empty(whole), 1)
    n_parts = int(part_numbers.max()) + 1
    row_parts = part_numbers[groups]
    folds = [
        replace(fold, train=fold.train[row_parts[fold.train] != i % n_parts], test=fold.test[row_parts[fold.test] == i % n_parts])
        for i, fold in enumerate(folds)
    ]
    return SeparatedFolds(_drop_empty(folds), n_parts)


def drop_tested_groups(fold: Fold, groups: Array) -> Fold:
    """The fold whose training rows are of groups that its test part does not have."""
    return replace(fold, train=fold.train[~np.isin(groups[fold.train], groups[fold.test])])


def _drop_empty(folds: Sequence[Fold]) -> tuple[Fold, ...]:
    return tuple(fold for fold in folds if len(fold.train) and len(fold.test))
