"""Folds that go forward and keep groups apart: no group on both sides, nothing of the future in the training part."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.data.folds import Fold
from epic22.core.data.split import MIN_PARTS, drop_tested_groups, separate_groups
from epic22.core.task import Array


def forward_folds(n: int, n_folds: int) -> list[Fold]:
    """Growing training parts, each followed by its test part."""
    edges = np.linspace(0, n, n_folds + 2).astype(int)
    return [Fold(np.arange(edges[i + 1]), np.arange(edges[i + 1], edges[i + 2])) for i in range(n_folds)]


def parts(n_groups: int, n_parts: int = MIN_PARTS) -> Array:
    return np.arange(n_groups) % n_parts


def test_rows_of_tested_groups_leave_the_training_part_and_the_window_stays_whole() -> None:
    fold = Fold(np.arange(6), np.arange(6, 9))
    kept = drop_tested_groups(fold, np.array([0, 1, 2, 3, 4, 5, 5, 6, 7]))
    assert kept.train.tolist() == [0, 1, 2, 3, 4]
    assert kept.test.tolist() == [6, 7, 8]


def test_groups_that_do_not_come_again_are_tested_in_whole_windows() -> None:
    groups = np.repeat(np.arange(20), 3)
    separated = separate_groups(forward_folds(60, 4), groups, parts(20))
    assert separated.n_parts == 1
    assert [len(fold.test) for fold in separated.folds] == [12, 12, 12, 12]


def test_groups_that_come_again_and_again_are_divided_into_parts() -> None:
    groups = np.tile(np.arange(9), 10)
    folds = forward_folds(90, 4)
    separated = separate_groups(folds, groups, parts(9))
    assert separated.n_parts == 3
    for number, (fold, whole) in enumerate(zip(separated.folds, folds, strict=True)):
        assert set(groups[fold.test] % 3) == {number % 3}
        assert len(fold.train) == 2 / 3 * len(whole.train)


def test_a_fold_that_is_left_without_a_side_is_dropped() -> None:
    groups = np.zeros(30, dtype=int)
    assert separate_groups(forward_folds(30, 3), groups, np.array([0])).folds == ()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(10, 120),
    n_groups=st.integers(1, 40),
    n_parts=st.integers(MIN_PARTS, 6),
    n_folds=st.integers(1, 6),
)
def test_no_group_is_ever_on_both_sides_and_time_still_goes_forward(
    seed: int, n: int, n_groups: int, n_parts: int, n_folds: int
) -> None:
    groups = np.random.default_rng(seed).integers(0, n_groups, n)
    folds = forward_folds(n, n_folds)
    for fold in separate_groups(folds, groups, parts(n_groups, n_parts)).folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert fold.train.max() < fold.test.min()
        assert len(fold.train)
        assert len(fold.test)
        whole = next(one for one in folds if set(fold.test) <= set(one.test))
        assert set(fold.train) <= set(whole.train)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n_groups=st.integers(3, 30))
def test_no_row_is_tested_twice(seed: int, n_groups: int) -> None:
    groups = np.random.default_rng(seed).integers(0, n_groups, 100)
    separated = separate_groups(forward_folds(100, 5), groups, parts(n_groups))
    tested = [row for fold in separated.folds for row in fold.test.tolist()]
    assert len(tested) == len(set(tested))
