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
AT_ONCE = 3
"""Points of a quadrature that are taken together; so many are exact for twice as many columns on a way."""


BLOCK = 128
"""Tests of several trees that are worked on together: enough for long loops, and all their figures stay in the nearest cache."""


@dataclass(frozen=True)
class Tests:
    """The tests (s,) of all trees, tree by tree, a test before those below it.

    `root` (t,) is the first test of a tree, and `leads` (s, 2) the test to the left and to the right; a leaf is stated as
    −1 − its number among the leaves (l,), whose values are `leaf`. A category's bits are in the forest's `words` from `begin`,
    `size` words, 0 for a number.

    Reasons take trees block by block, so many as have BLOCK tests, or the next one alone; those of block i begin at `first`
    (b + 1,). Its nodes have numbers of their own: `place`, `left` and `right` (s,), `leaf_place` (l,) from `first_leaf` (b + 1,),
    `root_place` (t,) from `first_root` (b + 1,). `coded` (c,) are the tests for categories, by number within their block, from
    `first_coded` (b + 1,). `slot` is where a test's part is added: output × (p + 1) + feature. `kept` is the share of cover
    that goes left. Where a test of the same feature is on the way, `earlier` says which turn there led here, 1 + 2 × its number
    in the block + (0 left, 1 right), and `share` what all such tests keep of the cover; 0 and 1 where there is none.

    `rounds` (b,) is how often AT_ONCE points are taken for a block; those of r rounds stand after those of all fewer, AT_ONCE ×
    r (r − 1) / 2 of them, in `points` and `weights`. `largest` is the number of nodes of the largest block.
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
    slot: Array
    place: Array
    left: Array
    right: Array
    earlier: Array
    share: Array
    kept: Array
    first_root: Array
    root_place: Array
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
            self.first, self.feature, self.threshold, self.default_left, self.begin, self.size, self.leaf, self.slot, self.place,
            self.left, self.right, self.earlier, self.share, self.kept, self.first_root, self.root_place, self.first_leaf,
            self.leaf_place, self.first_coded, self.coded, self.rounds, self.points, self.weights, self.largest,
        )  # fmt: skip

    @classmethod
    def of(cls, forest: "Forest") -> "Tests":
        """The tests of a forest."""
        trees = np.append(forest.roots, len(forest.feature))
        is_leaf = forest.feature == LEAF
        inner, leaves = np.flatnonzero(~is_leaf), np.flatnonzero(is_leaf)
        needed = _rounds(forest)
        first_root = _blocks(np.diff(np.searchsorted(inner, trees)), needed)
        bounds = trees[first_root]
        start = np.repeat(bounds[:-1], np.diff(bounds))
        test = np.cumsum(~is_leaf) - 1
        number = test - np.searchsorted(inner, start)
        node = np.where(is_leaf, -np.cumsum(is_leaf), test).astype(np.int32)
        output = np.repeat(forest.output, np.diff(trees))[inner]
        left, right = forest.left[inner], forest.right[inner]
        before = forest.before[left]
        above = forest.parent[np.maximum(before, 0)]
        share = np.where(before >= 0, forest.share[before], 1.0)
        coded = inner[forest.size[inner] > 0]
        points, weights = _rules(int(needed.max(initial=1)))
        return cls(
            first=np.searchsorted(inner, bounds),
            root=node[forest.roots],
            leads=np.stack([node[left], node[right]], axis=1),
            feature=forest.feature[inner].astype(np.uint32),
            threshold=forest.threshold[inner],
            default_left=forest.default_left[inner],
            begin=forest.begin[inner],
            size=forest.size[inner],
            leaf=forest.leaf[leaves],
            slot=(output * (forest.columns + 1) + forest.feature[inner]).astype(np.uint32),
            place=(inner - start[inner]).astype(np.uint32),
            left=(left - start[inner]).astype(np.uint32),
            right=(right - start[inner]).astype(np.uint32),
            earlier=np.where(before >= 0, 1 + 2 * number[above] + (forest.right[above] == before), 0).astype(np.uint32),
            share=share,
            kept=forest.share[left] / share,
            first_root=first_root,
            root_place=(forest.roots - start[forest.roots]).astype(np.uint32),
            first_leaf=np.searchsorted(leaves, bounds),
            leaf_place=(leaves - start[leaves]).astype(np.uint32),
            first_coded=np.searchsorted(coded, bounds),
            coded=number[coded],
            rounds=needed[first_root[:-1]],
            points=points,
            weights=weights,
            largest=int(np.diff(bounds).max(initial=1)),
        )


def _blocks(tests: Array, rounds: Array) -> Array:
    """Where each block's trees begin (b + 1,), for trees of so many tests and rounds (t,): one block has one number of rounds."""
    begins, held = [0] if len(tests) else [], 0
    for tree, (count, before, now) in enumerate(zip(tests, np.append(rounds[:1], rounds), rounds, strict=False)):
        if tree and (held + count > BLOCK or now != before):
            begins.append(tree)
            held = 0
        held += count
    return np.array([*begins, len(tests)], np.int64)


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
