"""A boosted forest as flat arrays: the same scores and SHAP values as XGBoost gives, at the speed of one row.

XGBoost's own way builds a matrix for every call; a company's backend asks for one row at a time. Compiled loops over flat
arrays give single rows and batches the same bits, for every row is summed in the same order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from epic22.core.errors import InternalError
from epic22.core.models.forest_tests import Tests
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

LEAF, BITS = -1, 32
SMALLEST_COVER = 1e-12
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Forest:
    """All nodes of all trees, tree by tree (m,), a parent before its children.

    `roots` (t,) are where trees begin, `output` (t,) their class.

    `feature` is -1 at a leaf, whose value is `leaf`; a row goes `left` where its value is below `threshold` (float32), or is not
    among the node's categories: bits in `words` from `begin`, `size` words, 0 for a node that has none. `parent`; `before`: the
    nearest node above whose way in tested the same feature, -1 where none did; `share`: what all tests of that feature
    on the way keep of the cover. `base` (k,) is the score before any tree, `average` (k,) the mean score by cover.
    """

    columns: int
    roots: Array
    output: Array
    feature: Array
    threshold: Array
    default_left: Array
    left: Array
    right: Array
    leaf: Array
    begin: Array
    size: Array
    words: Array
    parent: Array
    before: Array
    share: Array
    points: Array
    weights: Array
    base: Array
    average: Array

    def raw(self, X: Array, threads: int = 1) -> Array:
        """Scores before the link of X (n, p) float32: (n,) for one output, else (n, k)."""
        from epic22.core.models.forest_kernels import sum_leaves

        out, tests = np.tile(self.base, (len(X), 1)), self.tests

        def fill(part: slice) -> None:
            sum_leaves(X[part], self.output, self.words, *tests.scored, out[part])

        _spread(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    def contributions(self, X: Array, threads: int = 1) -> Array:
        """Exact path-dependent SHAP values and the average last, (n, p + 1) or (n, k, p + 1)."""
        from epic22.core.models.forest_kernels import add_shap

        out, tests = np.zeros((len(X), len(self.base), self.columns + 1)), self.tests
        out[:, :, -1] = self.average
        flat = out.reshape(len(X), len(self.base) * (self.columns + 1))

        def fill(part: slice) -> None:
            add_shap(X[part], self.words, *tests.explained, flat[part])

        _spread(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    def interactions(self, X: Array, threads: int = 1) -> Array:
        """SHAP interaction values off the diagonal, half a pair's in each place: (n, p, p), or (n, k, p, p)."""
        from epic22.core.models.forest_kernels import add_interactions

        out = np.zeros((len(X), len(self.base), self.columns, self.columns))

        def fill(part: slice) -> None:
            add_interactions(X[part], *self._nodes(), self.parent, self.before, self.share, self.points, self.weights, out[part])

        _spread(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    @cached_property
    def tests(self) -> Tests:
        """What scores and reasons are computed from, made when they are first asked for."""
        return Tests.of(self)

    def _nodes(self) -> tuple[Array, ...]:
        return (
            self.roots, self.output, self.feature, self.threshold, self.default_left, self.left, self.right, self.leaf,
            self.begin, self.size, self.words,
        )  # fmt: skip


def _spread(fill: Callable[[slice], None], rows: int, threads: int) -> None:
    parts = [slice(a, a + ROWS_AT_ONCE) for a in range(0, rows, ROWS_AT_ONCE)]
    if threads == 1 or len(parts) == 1:
        for part in parts:
            fill(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, parts))


def forest_of(booster: "xgboost.Booster") -> Forest:
    """The booster's trees as a forest.

    Raises InternalError for a booster that is not of trees, one value a leaf.
    """
    model = orjson.loads(bytes(booster.save_raw("json")))["learner"]
    gradient = model["gradient_booster"]
    if gradient["name"] != "gbtree":
        raise InternalError(f"a forest is made of gbtree boosters, not of {gradient['name']}.")
    trees = gradient["model"]["trees"]
    sizes = np.array([len(tree["left_children"]) for tree in trees], np.int64)
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(trees) else sizes
    start = np.repeat(roots, sizes)
    left, right = (_moved(_joined(trees, name, np.int64), start) for name in ("left_children", "right_children"))
    value = _joined(trees, "split_conditions", np.float32)
    nodes = Nodes(
        roots=roots,
        output=np.array(gradient["model"]["tree_info"], np.int64),
        split=_joined(trees, "split_indices", np.int64),
        threshold=value,
        default_left=_joined(trees, "default_left", np.bool_),
        left=left,
        right=right,
        leaf=value.astype(np.float64),
        cover=_joined(trees, "sum_hessian", np.float64),
    )
    return assembled(nodes, _categories(trees, roots, len(left)), int(model["learner_model_param"]["num_feature"]), _base(model))


@dataclass(frozen=True)
class Nodes:
    """The nodes (m,) of trees as a library tells them, a parent before its children, -1 for no child; see Forest.

    `leaf` counts where there are no children; `cover` is what of the training rows came by.
    """

    roots: Array
    output: Array
    split: Array
    threshold: Array
    default_left: Array
    left: Array
    right: Array
    leaf: Array
    cover: Array


def assembled(nodes: Nodes, categories: tuple[Array, Array, Array], columns: int, base: Array) -> Forest:
    """The forest of these nodes; `categories` as Forest has them: begin, size and words."""
    from epic22.core.models.forest_kernels import quadrature

    inside = nodes.left >= 0
    paths = _Paths.of(nodes.roots, nodes.left, nodes.right, nodes.split, np.maximum(nodes.cover, SMALLEST_COVER))
    average = base.copy()
    leaves = np.where(inside, 0.0, nodes.leaf)
    sizes = np.diff(np.append(nodes.roots, len(inside)))
    np.add.at(average, np.repeat(nodes.output, sizes), paths.reach * leaves)
    begin, size, words = categories
    points, weights = quadrature(paths.depth)
    return Forest(
        columns=columns,
        roots=nodes.roots,
        output=nodes.output,
        feature=np.where(inside, nodes.split, LEAF).astype(np.int32),
        threshold=nodes.threshold,
        default_left=nodes.default_left,
        left=nodes.left,
        right=nodes.right,
        leaf=leaves,
        begin=begin,
        size=size,
        words=words,
        parent=paths.parent,
        before=paths.before,
        share=paths.share,
        points=points,
        weights=weights,
        base=base,
        average=average,
    )


def bits_of(sets: Sequence[tuple[int, Array]], count: int) -> tuple[Array, Array, Array]:
    """Begin and size (count,) and words of the nodes that have a set of categories: (node, codes)."""
    begin, size, words = np.zeros(count, np.int64), np.zeros(count, np.int32), [np.zeros(0, np.uint32)]
    told = 0
    for node, codes in sets:
        bits = np.zeros(int(codes.max()) // BITS + 1, np.uint32)
        np.bitwise_or.at(bits, codes // BITS, np.uint32(1) << (codes % BITS).astype(np.uint32))
        begin[node], size[node] = told, len(bits)
        words.append(bits)
        told += len(bits)
    return begin, size, np.concatenate(words)


def just_above(bounds: Array) -> Array:
    """The least float32 above each bound: a float32 is at most the bound exactly where it is below this."""
    with np.errstate(over="ignore"):
        near = bounds.astype(np.float32)
        below = np.where(near.astype(np.float64) > bounds, np.nextafter(near, np.float32(-np.inf)), near)
        return np.nextafter(below, np.float32(np.inf))


def joined(forests: Sequence[Forest], weights: Sequence[float]) -> Forest:
    """One forest whose scores and SHAP values are the weighted sums of theirs, which have the same columns and outputs.

    A row's score is summed tree by tree, so that it may differ from the weighted sum in the last bits.
    """
    nodes = np.cumsum([0, *(len(f.feature) for f in forests)])[:-1]
    told = np.cumsum([0, *(len(f.words) for f in forests)])[:-1]
    deepest = max(forests, key=lambda f: len(f.points))

    def beside(name: str) -> Array:
        return np.concatenate([getattr(f, name) for f in forests])

    def moved(name: str) -> Array:
        return np.concatenate([_moved(getattr(f, name), at) for f, at in zip(forests, nodes, strict=True)])

    return Forest(
        columns=forests[0].columns,
        roots=moved("roots"),
        output=beside("output"),
        feature=beside("feature"),
        threshold=beside("threshold"),
        default_left=beside("default_left"),
        left=moved("left"),
        right=moved("right"),
        leaf=np.concatenate([f.leaf * w for f, w in zip(forests, weights, strict=True)]),
        begin=np.concatenate([f.begin + at for f, at in zip(forests, told, strict=True)]),
        size=beside("size"),
        words=beside("words"),
        parent=moved("parent"),
        before=moved("before"),
        share=beside("share"),
        points=deepest.points,
        weights=deepest.weights,
        base=np.sum([f.base * w for f, w in zip(forests, weights, strict=True)], axis=0),
        average=np.sum([f.average * w for f, w in zip(forests, weights, strict=True)], axis=0),
    )


def _joined(trees: list[dict[str, Any]], name: str, dtype: Any) -> Array:
    return np.concatenate([np.array(tree[name], dtype) for tree in trees]) if trees else np.zeros(0, dtype)


def _moved(child: Array, start: Array) -> Array:
    return np.where(child >= 0, child + start, -1)


def _base(model: dict[str, Any]) -> Array:
    """The score before any tree, (k,): the stated base score through the objective's link."""
    stated = model["learner_model_param"]["base_score"]
    values = np.atleast_1d(np.asarray(orjson.loads(stated), np.float64))
    objective = model["objective"]["name"]
    if objective in ("binary:logistic", "reg:logistic"):
        values = np.log(values / (1 - values))
    elif objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        values = np.log(values)
    outputs = max(1, int(model["learner_model_param"]["num_class"]))
    return np.broadcast_to(values, (outputs,)).astype(np.float64).copy()


@dataclass(frozen=True)
class _Paths:
    """Of each node (m,): its parent, the nearest node above with a test of the same feature, shares of cover; the depth of all.

    XGBoost numbers the nodes of a tree so that a parent comes before its children.
    """

    parent: Array
    before: Array
    share: Array
    reach: Array
    depth: int

    @classmethod
    def of(cls, roots: Array, left: Array, right: Array, split: Array, cover: Array) -> "_Paths":
        """Level by level, all trees at once."""
        count = len(left)
        parent, before = np.full(count, -1), np.full(count, -1)
        share, reach, level, depth = np.ones(count), np.zeros(count), roots, 0
        reach[roots] = 1.0
        while len(level := level[left[level] >= 0]):
            depth += 1
            both = np.concatenate([left[level], right[level]])
            above = np.concatenate([level, level])
            parent[both] = above
            kept = cover[both] / (cover[left[above]] + cover[right[above]])
            reach[both] = reach[above] * kept
            same = above.copy()
            for _ in range(depth):
                other = (parent[same] >= 0) & (split[parent[same]] != split[above])
                same = np.where(other, parent[same], same)
            tested = parent[same] >= 0
            before[both] = np.where(tested, same, -1)
            share[both] = kept * np.where(tested, share[same], 1.0)
            level = both
        return cls(parent, before, share, reach, max(depth, 1))


def _categories(trees: list[dict[str, Any]], roots: Array, count: int) -> tuple[Array, Array, Array]:
    """Where each node's categories begin among the words of bits, how many words they take, and the words."""
    sets = []
    for tree, root in zip(trees, roots, strict=True):
        segments = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
        sets += [(int(root + node), np.array(tree["categories"][at : at + many])) for node, at, many in segments]
    return bits_of(sets, count)
