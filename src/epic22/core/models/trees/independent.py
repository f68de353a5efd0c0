"""Trees grown each by itself, by scikit-learn, with leaves of our own; and the arrays in which a bundle keeps them."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from epic22.core.models.trees.forest import ExternalTree, Forest, build_forest
from epic22.core.models.trees.level_order import LevelOrder, restore_levels
from epic22.core.task import Array

LeafScores = Callable[[Array, int], Array]
"""Scores (m, k) of a tree's m nodes, by the leaf of each training row (n,); those of inner nodes are not looked at."""


DEEP_TREES = 25
"""The tests that there may be are those of so many trees as deep as can be: fewer deep ones beat more that are less so."""


@dataclass(frozen=True)
class Growth:
    """How trees grow: up to `n_trees` of at most `max_splits` tests together, on `max_rows` rows at most each, as deep as the
    tests that it has and `min_samples_leaf` let it; at every test a share of `max_features` of the columns is looked at.
    `draws_thresholds`: one by chance a column in place of the best of all, and rows without replacement, where not all are
    taken."""

    n_trees: int
    max_splits: int
    max_rows: int
    min_samples_leaf: int
    max_features: float
    criterion: str
    draws_thresholds: bool
    seed: int
    threads: int


@dataclass(frozen=True)
class IndependentTrees:
    """Nodes of all trees, tree by tree, as many as `n_nodes` (t,) says, a parent before its children.

    A row goes `left` where its value in column `split` is at most the `bound`, a missing one where `default_left` says; children
    are -1 at a leaf. Categories are asked for by their rank. `cover` is how many training rows came by, `leaf` (m, k) the scores.
    """

    n_nodes: Array
    split: Array
    bound: Array
    default_left: Array
    left: Array
    right: Array
    cover: Array
    leaf: Array

    @classmethod
    def join(cls, trees: list["IndependentTrees"]) -> "IndependentTrees":
        """All of them as one."""
        return cls(*(np.concatenate([getattr(tree, field.name) for tree in trees]) for field in fields(cls)))

    def average(self, order: LevelOrder) -> Forest:
        """The forest whose scores are the means of theirs, over columns whose codes stand in this order."""
        n_outputs, ends = self.leaf.shape[1], np.cumsum(self.n_nodes)
        trees = [
            self._slice_tree(slice(end - size, end), output, order)
            for size, end in zip(self.n_nodes, ends, strict=True)
            for output in range(n_outputs)
        ]
        return build_forest(trees, np.arange(len(trees)) % n_outputs, len(order), np.zeros(n_outputs))

    def _slice_tree(self, nodes: slice, output: int, order: LevelOrder) -> ExternalTree:
        tree = ExternalTree(
            self.split[nodes].astype(np.int64),
            np.zeros(nodes.stop - nodes.start, np.float32),
            self.default_left[nodes],
            self.left[nodes].astype(np.int64),
            self.right[nodes].astype(np.int64),
            self.leaf[nodes, output] / len(self.n_nodes),
            self.cover[nodes],
            (),
        )
        return restore_levels(tree, self.bound[nodes], order)

    def to_bytes(self) -> bytes:
        """All arrays as one npz file, alike whenever it is written."""
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)})
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))


def grow_trees(growth: Growth, X: Array, y: Array, score_leaves: LeafScores, expired: Callable[[], bool]) -> IndependentTrees:
    """Trees of X (n, p) float32, categories as ranks, and y (n,), a label's codes or values; the first at least, and others
    while there are tests left and the time has not `expired`.

    Each tree has its own seed, so that neither threads nor an early end change those that are grown.
    """
    trees: list[IndependentTrees] = []
    with ThreadPoolExecutor(growth.threads) as pool:
        for numbers in _split_turns(growth.n_trees, growth.threads):
            trees += pool.map(lambda number: _grow_tree(growth, number, X, y, score_leaves), numbers)
            n_splits = np.cumsum([(len(tree.left) - 1) // 2 for tree in trees])
            if n_splits[-1] >= growth.max_splits or expired():
                break
    return IndependentTrees.join(trees[: max(1, int(np.searchsorted(n_splits, growth.max_splits, side="right")))])


def _split_turns(n_trees: int, threads: int) -> Iterator[range]:
    for first in range(0, n_trees, threads):
        yield range(first, min(first + threads, n_trees))


def _grow_tree(growth: Growth, number: int, X: Array, y: Array, score_leaves: LeafScores) -> IndependentTrees:
    rng = np.random.default_rng([growth.seed, number])
    rows, weight = _draw_rows(growth, len(y), rng)
    estimator = _build_tree(growth, int(rng.integers(2**31)))
    estimator.fit(X if rows is None else X[rows], y if rows is None else y[rows], weight)
    tree = estimator.tree_
    inside = tree.children_left >= 0
    return IndependentTrees(
        n_nodes=np.array([tree.node_count]),
        split=np.where(inside, tree.feature, -1).astype(np.int32),
        bound=np.where(inside, tree.threshold, 0.0),
        default_left=tree.missing_go_to_left.astype(np.bool_) & inside,
        left=tree.children_left.astype(np.int32),
        right=tree.children_right.astype(np.int32),
        cover=np.array(tree.weighted_n_node_samples),
        leaf=score_leaves(tree.apply(X), tree.node_count),
    )


def _draw_rows(growth: Growth, n_rows: int, rng: np.random.Generator) -> tuple[Array | None, Array | None]:
    """Positions of the rows that a tree grows on and what each counts for; None: all of them, alike."""
    if growth.draws_thresholds:
        return (None if n_rows <= growth.max_rows else np.sort(rng.choice(n_rows, growth.max_rows, replace=False))), None
    counts = np.bincount(rng.integers(0, n_rows, min(n_rows, growth.max_rows)), minlength=n_rows)
    rows = np.flatnonzero(counts)
    return rows, counts[rows].astype(np.float64)


def _build_tree(growth: Growth, seed: int) -> Any:
    from sklearn import tree

    is_classifier = growth.criterion == "gini"
    build = (
        (tree.ExtraTreeClassifier if is_classifier else tree.ExtraTreeRegressor)
        if growth.draws_thresholds
        else (tree.DecisionTreeClassifier if is_classifier else tree.DecisionTreeRegressor)
    )
    return build(
        criterion=growth.criterion,
        max_leaf_nodes=max(2, growth.max_splits // DEEP_TREES + 1),
        min_samples_leaf=growth.min_samples_leaf,
        max_features=growth.max_features,
        random_state=seed,
    )
