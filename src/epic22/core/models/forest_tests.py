"""A forest's tests by themselves, side by side in the order a compiled loop reads them: inner nodes apart from leaves.

All that a row cannot change is worked out once, when a forest is first asked.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from epic22.core.task import Array

if TYPE_CHECKING:
    from epic22.core.models.forest import Forest

LEAF = -1
AT_ONCE = 4
"""Points of a quadrature that are taken together; so many are exact for twice as many columns on a way."""


@dataclass(frozen=True)
class Tests:
    """The tests (s,) of all trees, tree by tree, a test before those below it; tree i's begin at `first` (t + 1,).

    `root` (t,) is the first test of a tree, and `leads` (s, 2) the test to the left and to the right; a leaf is stated as
    −1 − its number among the leaves (l,), whose values are `leaf`. `place`, `left` and `right` (s,) are the same nodes by number
    within their tree, as `leaf_place` (l,) are the leaves', from `first_leaf` (t + 1,).

    A category's bits are in the forest's `words` from `begin`, `size` words, 0 for a number; `coded` (c,) are the tests that have
    some, by number within their tree, from `first_coded` (t + 1,). `kept` is the share of cover that goes left. Where a test of
    the same feature is on the way, `earlier` says which turn there led here, 1 + 2 × number + (0 left, 1 right), and `share`
    what all such tests keep of the cover; 0 and 1 where there is none.

    `rounds` (t,) is how often AT_ONCE points are taken for a tree; those of `rounds` begin at 2 × rounds × (rounds − 1) among
    `points`. `largest` is the number of nodes of the largest tree.
    """

    first: Array
    root: Array
    leads: Array
    feature: Array
    threshold: Array
    default_left: Array
    begin: Array
    size: Array
    leaf: Array
    place: Array
    left: Array
    right: Array
    earlier: Array
    share: Array
    kept: Array
    first_leaf: Array
    leaf_place: Array
    first_coded: Array
    coded: Array
    rounds: Array
    points: Array
    weights: Array
    largest: int

    @property
    def scored(self) -> tuple[Array, ...]:
        """What `sum_leaves` takes, in its order."""
        return self.root, self.leads, self.feature, self.threshold, self.default_left, self.begin, self.size, self.leaf

    @property
    def explained(self) -> tuple[Array | int, ...]:
        """What `add_shap` takes, in its order."""
        return (
            self.first, self.feature, self.threshold, self.default_left, self.begin, self.size, self.leaf, self.place, self.left,
            self.right, self.earlier, self.share, self.kept, self.first_leaf, self.leaf_place, self.first_coded, self.coded,
            self.rounds, self.points, self.weights, self.largest,
        )  # fmt: skip

    @classmethod
    def of(cls, forest: "Forest") -> "Tests":
        """The tests of a forest."""
        bounds = np.append(forest.roots, len(forest.feature))
        start = np.repeat(forest.roots, np.diff(bounds))
        is_leaf = forest.feature == LEAF
        inner, leaves = np.flatnonzero(~is_leaf), np.flatnonzero(is_leaf)
        first = np.searchsorted(inner, bounds)
        test = np.cumsum(~is_leaf) - 1
        number = test - np.searchsorted(inner, start)
        node = np.where(is_leaf, -np.cumsum(is_leaf), test).astype(np.int32)
        left, right = forest.left[inner], forest.right[inner]
        before = forest.before[left]
        above = forest.parent[np.maximum(before, 0)]
        share = np.where(before >= 0, forest.share[before], 1.0)
        coded = inner[forest.size[inner] > 0]
        rounds = _rounds(forest)
        points, weights = _rules(int(rounds.max(initial=1)))
        return cls(
            first=first,
            root=node[forest.roots],
            leads=np.stack([node[left], node[right]], axis=1),
            feature=forest.feature[inner].astype(np.uint32),
            threshold=forest.threshold[inner],
            default_left=forest.default_left[inner],
            begin=forest.begin[inner],
            size=forest.size[inner],
            leaf=forest.leaf[leaves],
            place=(inner - start[inner]).astype(np.uint32),
            left=(left - start[inner]).astype(np.uint32),
            right=(right - start[inner]).astype(np.uint32),
            earlier=np.where(before >= 0, 1 + 2 * number[above] + (forest.right[above] == before), 0).astype(np.uint32),
            share=share,
            kept=forest.share[left] / share,
            first_leaf=np.searchsorted(leaves, bounds),
            leaf_place=(leaves - start[leaves]).astype(np.uint32),
            first_coded=np.searchsorted(coded, bounds),
            coded=number[coded],
            rounds=rounds,
            points=points,
            weights=weights,
            largest=int(np.diff(bounds).max(initial=1)),
        )


def _rounds(forest: "Forest") -> Array:
    """How often AT_ONCE points are taken for each tree, (t,): as the most columns on one of its ways ask for."""
    columns, level = np.zeros(len(forest.feature), np.int64), forest.roots
    while len(level := level[forest.left[level] >= 0]):
        level = np.concatenate([forest.left[level], forest.right[level]])
        columns[level] = columns[forest.parent[level]] + (forest.before[level] < 0)
    most = np.maximum.reduceat(columns, forest.roots) if len(forest.roots) else np.zeros(0, np.int64)
    return np.asarray(np.maximum(1, -(-most // (2 * AT_ONCE))))


def _rules(most: int) -> tuple[Array, Array]:
    """Points and weights on (0, 1) of Gauss and Legendre's rules with 1 … `most` times AT_ONCE points, one after another."""
    rules = [np.polynomial.legendre.leggauss(AT_ONCE * times) for times in range(1, most + 1)]
    return np.concatenate([(points + 1) / 2 for points, _ in rules]), np.concatenate([weights / 2 for _, weights in rules])
