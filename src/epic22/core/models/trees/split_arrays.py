"""A forest's tests by themselves, side by side in the order a compiled loop reads them: inner nodes apart from leaves.

All that a row cannot change is worked out once, when a forest is first asked.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from epic22.core.task import Array

if TYPE_CHECKING:
    from epic22.core.models.trees.forest import NodeArrays

LEAF, BITS = -1, 32
"""The feature of a leaf, and how many categories a word of a set has room for."""

POINTS_PER_ROUND = 3
"""Points of a quadrature that are taken together; this many are exact for twice as many columns on a way."""

BLOCK_TESTS = 128
"""Tests of several trees that are worked on together: enough for long loops, and all their figures stay in the nearest cache."""


class ScoreArrays(NamedTuple):
    """The tests (s,) of all trees, tree by tree, a test before those below it: what scores need, as the compiled loop takes it.

    `root` (t,) is the first test of a tree, `output` (t,) the output that it adds to, and `children` (s, 2) the test to the left
    and to the right; a leaf is stated as −1 − its number among the leaves (l,), whose values are `leaf`. A category's bits are
    in `words` from `begin`, `size` words, 0 for a number.
    """

    root: Array
    output: Array
    children: Array
    feature: Array
    threshold: Array
    default_left: Array
    begin: Array
    size: Array
    words: Array
    leaf: Array


class ShapArrays(NamedTuple):
    """What SHAP values need of the same tests beside ScoreArrays.

    They take trees block by block, as many as have BLOCK_TESTS tests, or the next one alone; those of block i begin at `first`
    (b + 1,). Its nodes have numbers of their own: `node_place`, `left` and `right` (s,), `leaf_place` (l,) from `first_leaf` (b
    + 1,), `root_place` (t,) from `first_root` (b + 1,). `category_tests` (c,) are the tests for categories, by number within
    their block, from `first_category_test` (b + 1,). `slot` is where a test's part is added: output × (p + 1) + feature.
    `left_share` is the share of cover that goes left. Where a test of the same feature is on the way, `earlier` says which turn
    there led here, 1 + 2 × its number in the block + (0 left, 1 right), and `share` what all such tests keep of the cover; 0 and
    1 where there is none.

    `rounds` (b,) is how often POINTS_PER_ROUND points are taken for a block; those of r rounds stand after those of all fewer,
    POINTS_PER_ROUND × r (r − 1) / 2 of them, in `points` and `weights`. `largest` is the number of nodes of the largest block.
    """

    first: Array
    slot: Array
    node_place: Array
    left: Array
    right: Array
    earlier: Array
    share: Array
    left_share: Array
    first_root: Array
    root_place: Array
    first_leaf: Array
    leaf_place: Array
    first_category_test: Array
    category_tests: Array
    rounds: Array
    points: Array
    weights: Array
    largest: int


@dataclass(frozen=True)
class SplitArrays:
    """A forest's tests by themselves."""

    scores: ScoreArrays
    shap: ShapArrays

    @classmethod
    def of(cls, nodes: "NodeArrays", n_columns: int) -> "SplitArrays":
        """The tests of a forest over this many columns."""
        trees = np.append(nodes.roots, len(nodes.feature))
        is_leaf = nodes.feature == LEAF
        inner, leaves = np.flatnonzero(~is_leaf), np.flatnonzero(is_leaf)
        n_rounds = _count_rounds(nodes)
        first_root = _split_blocks(np.diff(np.searchsorted(inner, trees)), n_rounds)
        bounds = trees[first_root]
        start = np.repeat(bounds[:-1], np.diff(bounds))
        test = np.cumsum(~is_leaf) - 1
        number = test - np.searchsorted(inner, start)
        node = np.where(is_leaf, -np.cumsum(is_leaf), test).astype(np.int32)
        output = np.repeat(nodes.output, np.diff(trees))[inner]
        left, right = nodes.left[inner], nodes.right[inner]
        before = nodes.before[left]
        above = nodes.parent[np.maximum(before, 0)]
        share = np.where(before >= 0, nodes.share[before], 1.0)
        coded = inner[nodes.size[inner] > 0]
        points, weights = _build_quadrature_rules(int(n_rounds.max(initial=1)))
        scores = ScoreArrays(
            root=node[nodes.roots],
            output=nodes.output,
            children=np.stack([node[left], node[right]], axis=1),
            feature=nodes.feature[inner].astype(np.uint32),
            threshold=nodes.threshold[inner],
            default_left=nodes.default_left[inner],
            begin=nodes.begin[inner],
            size=nodes.size[inner],
            words=nodes.words,
            leaf=nodes.leaf[leaves],
        )
        shap = ShapArrays(
            first=np.searchsorted(inner, bounds),
            slot=(output * (n_columns + 1) + nodes.feature[inner]).astype(np.uint32),
            node_place=(inner - start[inner]).astype(np.uint32),
            left=(left - start[inner]).astype(np.uint32),
            right=(right - start[inner]).astype(np.uint32),
            earlier=np.where(before >= 0, 1 + 2 * number[above] + (nodes.right[above] == before), 0).astype(np.uint32),
            share=share,
            left_share=nodes.share[left] / share,
            first_root=first_root,
            root_place=(nodes.roots - start[nodes.roots]).astype(np.uint32),
            first_leaf=np.searchsorted(leaves, bounds),
            leaf_place=(leaves - start[leaves]).astype(np.uint32),
            first_category_test=np.searchsorted(coded, bounds),
            category_tests=number[coded],
            rounds=n_rounds[first_root[:-1]],
            points=points,
            weights=weights,
            largest=int(np.diff(bounds).max(initial=1)),
        )
        return cls(scores, shap)


def _split_blocks(n_tests: Array, n_rounds: Array) -> Array:
    """Where each block's trees begin (b + 1,), for trees of so many tests and rounds (t,): one block has one number of rounds."""
    begins, block_tests = [0] if len(n_tests) else [], 0
    for tree, (count, before, now) in enumerate(zip(n_tests, np.append(n_rounds[:1], n_rounds), n_rounds, strict=False)):
        if tree and (block_tests + count > BLOCK_TESTS or now != before):
            begins.append(tree)
            block_tests = 0
        block_tests += count
    return np.array([*begins, len(n_tests)], np.int64)


def _count_rounds(nodes: "NodeArrays") -> Array:
    """How often POINTS_PER_ROUND points are taken for each tree, (t,): as the most columns on one of its ways ask for."""
    columns, level = np.zeros(len(nodes.feature), np.int64), nodes.roots
    while len(level := level[nodes.left[level] >= 0]):
        level = np.concatenate([nodes.left[level], nodes.right[level]])
        columns[level] = columns[nodes.parent[level]] + (nodes.before[level] < 0)
    max_columns = np.maximum.reduceat(columns, nodes.roots) if len(nodes.roots) else np.zeros(0, np.int64)
    return np.asarray(np.maximum(1, -(-max_columns // (2 * POINTS_PER_ROUND))))


def _build_quadrature_rules(max_rounds: int) -> tuple[Array, Array]:
    """Points and weights of the quadratures with 1 … `max_rounds` times POINTS_PER_ROUND points, one after another."""
    rules = [build_quadrature(2 * POINTS_PER_ROUND * times) for times in range(1, max_rounds + 1)]
    return np.concatenate([points for points, _ in rules]), np.concatenate([weights for _, weights in rules])


def build_quadrature(n_columns: int) -> tuple[Array, Array]:
    """Points and weights of Gauss and Legendre on (0, 1) that are exact for a way of this many columns: (q,), (q,)."""
    points, weights = np.polynomial.legendre.leggauss(max(1, (n_columns + 1) // 2))
    return (points + 1) / 2, weights / 2
