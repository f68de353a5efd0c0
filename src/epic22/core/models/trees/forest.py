"""A boosted forest as flat arrays: the same scores and SHAP values as XGBoost gives, at the speed of one row.

XGBoost's own way builds a matrix for every call; a company's backend asks for one row at a time. Compiled loops over flat
arrays give single rows and batches the same bits, for every row is summed in the same order.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from epic22.core.errors import InternalError
from epic22.core.models.trees.split_arrays import BITS, LEAF, SplitArrays, build_quadrature
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

MIN_COVER = 1e-12
BATCH_ROWS = 256


class NodeArrays(NamedTuple):
    """All nodes of all trees, tree by tree (m,), a parent before its children, as compiled loops take them.

    `roots` (t,) are where trees begin, `output` (t,) their class.

    `feature` is -1 at a leaf, whose value is `leaf`; a row goes `left` where its value is below `threshold` (float32), or is not
    among the node's categories: bits in `words` from `begin`, `size` words, 0 for a node that has none. `parent`; `before`: the
    nearest node above whose way in tested the same feature, -1 where none did; `share`: what all tests of that feature
    on the way keep of the cover. `points` and `weights` are of the quadrature that is exact for the longest way.
    """

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


@dataclass(frozen=True)
class Forest:
    """Trees over `n_columns`; `base` (k,) is the score before any tree, `average` (k,) the mean score by cover."""

    n_columns: int
    nodes: NodeArrays
    base: Array
    average: Array

    def decision_function(self, X: Array, threads: int = 1) -> Array:
        """Scores before the link of X (n, p) float32: (n,) for one output, else (n, k)."""
        from epic22.core.models.trees.forest_kernels import sum_leaves

        out, arrays = np.tile(self.base, (len(X), 1)), self.split_arrays

        def fill(part: slice) -> None:
            sum_leaves(X[part], tuple(arrays.scores), out[part])

        run_batches(fill, len(X), BATCH_ROWS, threads)
        return out[:, 0] if len(self.base) == 1 else out

    def shap_values(self, X: Array, threads: int = 1) -> Array:
        """Exact path-dependent SHAP values and the average last, (n, p + 1) or (n, k, p + 1)."""
        from epic22.core.models.trees.forest_kernels import LANES, add_shap, add_shap_by_lanes

        out, arrays = np.zeros((len(X), len(self.base), self.n_columns + 1)), self.split_arrays
        out[:, :, -1] = self.average
        flat = out.reshape(len(X), len(self.base) * (self.n_columns + 1))

        def fill(part: slice) -> None:
            add = add_shap_by_lanes if 2 * len(X[part]) >= LANES else add_shap
            add(X[part], tuple(arrays.scores), tuple(arrays.shap), flat[part])

        run_batches(fill, len(X), BATCH_ROWS, threads)
        return out[:, 0] if len(self.base) == 1 else out

    def shap_interaction_values(self, X: Array, threads: int = 1) -> Array:
        """SHAP interaction values off the diagonal, half a pair's in each place: (n, p, p), or (n, k, p, p)."""
        from epic22.core.models.trees.forest_kernels import add_interactions

        out = np.zeros((len(X), len(self.base), self.n_columns, self.n_columns))

        def fill(part: slice) -> None:
            add_interactions(X[part], tuple(self.nodes), out[part])

        run_batches(fill, len(X), BATCH_ROWS, threads)
        return out[:, 0] if len(self.base) == 1 else out

    @cached_property
    def split_arrays(self) -> SplitArrays:
        """What scores and reasons are computed from, made when they are first asked for."""
        return SplitArrays.of(self.nodes, self.n_columns)


def run_batches(fill: Callable[[slice], None], n_rows: int, batch_rows: int, threads: int) -> None:
    """Have every batch of rows filled, side by side where there are several and threads for them."""
    batches = [slice(a, a + batch_rows) for a in range(0, n_rows, batch_rows)]
    if threads == 1 or len(batches) == 1:
        for part in batches:
            fill(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, batches))


def read_booster(booster: "xgboost.Booster") -> Forest:
    """The booster's trees as a forest.

    Raises InternalError for a booster that is not of trees, one value a leaf.
    """
    model = orjson.loads(bytes(booster.save_raw("json")))["learner"]
    gradient = model["gradient_booster"]
    if gradient["name"] != "gbtree":
        raise InternalError(f"a forest is made of gbtree boosters, not of {gradient['name']}.")
    trees = [
        ExternalTree(
            split=np.array(tree["split_indices"], np.int64),
            threshold=np.array(tree["split_conditions"], np.float32),
            default_left=np.array(tree["default_left"], np.bool_),
            left=np.array(tree["left_children"], np.int64),
            right=np.array(tree["right_children"], np.int64),
            leaf=np.array(tree["split_conditions"], np.float32).astype(np.float64),
            cover=np.array(tree["sum_hessian"], np.float64),
            sets=list_category_sets(tree),
        )
        for tree in gradient["model"]["trees"]
    ]
    output, n_columns = np.array(gradient["model"]["tree_info"], np.int64), int(model["learner_model_param"]["num_feature"])
    return build_forest(trees, output, n_columns, _compute_base_score(model))


@dataclass(frozen=True)
class ExternalTree:
    """The nodes (m,) of one tree as a library states them, numbered from its root, a parent before its children; see NodeArrays.

    Children are -1 at a leaf, whose value is `leaf`; `cover` is what of the training rows came by; `sets` are the categories
    that go right, by node.
    """

    split: Array
    threshold: Array
    default_left: Array
    left: Array
    right: Array
    leaf: Array
    cover: Array
    sets: Sequence[tuple[int, Array]]


def list_category_sets(tree: Mapping[str, Any]) -> list[tuple[int, Array]]:
    """The nodes of one of XGBoost's trees that ask for categories, and the codes of each."""
    segments = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    return [(int(node), np.asarray(tree["categories"][at : at + size], np.int64)) for node, at, size in segments]


def build_forest(trees: Sequence[ExternalTree], output: Array, n_columns: int, base: Array) -> Forest:
    """The forest of these trees, whose outputs are `output` (t,); `base` (k,) is the score before any of them."""
    sizes = np.array([len(tree.left) for tree in trees], np.int64)
    roots = np.cumsum(sizes) - sizes
    start = np.repeat(roots, sizes)
    split, left, right, leaf, cover, threshold, default_left = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("split", "left", "right", "leaf", "cover", "threshold", "default_left")
    )
    left, right, inside = _shift_node_ids(left, start), _shift_node_ids(right, start), left >= 0
    paths = _Paths.of(roots, left, right, split, np.maximum(cover, MIN_COVER))
    average, leaves = base.copy(), np.where(inside, 0.0, leaf)
    np.add.at(average, np.repeat(output, sizes), paths.reach * leaves)
    sets = [(int(root + node), codes) for tree, root in zip(trees, roots, strict=True) for node, codes in tree.sets]
    begin, size, words = pack_category_bits(sets, len(start))
    points, weights = build_quadrature(paths.depth)
    nodes = NodeArrays(
        roots=roots,
        output=output,
        feature=np.where(inside, split, LEAF).astype(np.int32),
        threshold=threshold,
        default_left=default_left,
        left=left,
        right=right,
        leaf=leaves,
        begin=begin,
        size=size,
        words=words,
        parent=paths.parent,
        before=paths.before,
        share=paths.share,
        points=points,
        weights=weights,
    )
    return Forest(n_columns, nodes, base, average)


def pack_category_bits(sets: Sequence[tuple[int, Array]], n_nodes: int) -> tuple[Array, Array, Array]:
    """Begin and size (count,) and words of the nodes that have a set of categories: (node, codes)."""
    begin, size, words = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int32), [np.zeros(0, np.uint32)]
    n_words = 0
    for node, codes in sets:
        bits = np.zeros(int(codes.max()) // BITS + 1, np.uint32)
        np.bitwise_or.at(bits, codes // BITS, np.uint32(1) << (codes % BITS).astype(np.uint32))
        begin[node], size[node] = n_words, len(bits)
        words.append(bits)
        n_words += len(bits)
    return begin, size, np.concatenate(words)


def next_float32_above(bounds: Array) -> Array:
    """The least float32 above each bound: a float32 is at most the bound exactly where it is below this."""
    with np.errstate(over="ignore"):
        near = bounds.astype(np.float32)
        below = np.where(near.astype(np.float64) > bounds, np.nextafter(near, np.float32(-np.inf)), near)
        return np.nextafter(below, np.float32(np.inf))


def combine_forests(forests: Sequence[Forest], weights: Sequence[float]) -> Forest:
    """One forest whose scores and SHAP values are the weighted sums of theirs, which have the same columns and outputs.

    A row's score is summed tree by tree, so that it may differ from the weighted sum in the last bits.
    """
    parts = [f.nodes for f in forests]
    node_starts = np.cumsum([0, *(len(nodes.feature) for nodes in parts)])[:-1]
    word_starts = np.cumsum([0, *(len(nodes.words) for nodes in parts)])[:-1]
    deepest = max(parts, key=lambda nodes: len(nodes.points))
    joined = {name: np.concatenate([getattr(nodes, name) for nodes in parts]) for name in NodeArrays._fields}
    for name in ("roots", "left", "right", "parent", "before"):
        own = [_shift_node_ids(getattr(nodes, name), at) for nodes, at in zip(parts, node_starts, strict=True)]
        joined[name] = np.concatenate(own)
    joined["leaf"] = np.concatenate([nodes.leaf * w for nodes, w in zip(parts, weights, strict=True)])
    joined["begin"] = np.concatenate([nodes.begin + at for nodes, at in zip(parts, word_starts, strict=True)])
    base, average = (
        np.sum([values * w for values, w in zip(one, weights, strict=True)], axis=0)
        for one in ([f.base for f in forests], [f.average for f in forests])
    )
    nodes = NodeArrays(**joined | {"points": deepest.points, "weights": deepest.weights})
    return Forest(forests[0].n_columns, nodes, base, average)


def _shift_node_ids(child: Array, start: Array) -> Array:
    return np.where(child >= 0, child + start, -1)


def _compute_base_score(model: dict[str, Any]) -> Array:
    """The score before any tree, (k,): the stated base score through the objective's link."""
    base_score = model["learner_model_param"]["base_score"]
    values = np.atleast_1d(np.asarray(orjson.loads(base_score), np.float64))
    objective = model["objective"]["name"]
    if objective in ("binary:logistic", "reg:logistic"):
        values = np.log(values / (1 - values))
    elif objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        # Of counts that are all 0 the logarithm is minus infinity, and the mean 0.
        with np.errstate(divide="ignore"):
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
        n_nodes = len(left)
        parent, before = np.full(n_nodes, -1), np.full(n_nodes, -1)
        share, reach, level, depth = np.ones(n_nodes), np.zeros(n_nodes), roots, 0
        reach[roots] = 1.0
        while len(level := level[left[level] >= 0]):
            depth += 1
            children = np.concatenate([left[level], right[level]])
            parents = np.concatenate([level, level])
            parent[children] = parents
            cover_share = cover[children] / (cover[left[parents]] + cover[right[parents]])
            reach[children] = reach[parents] * cover_share
            same = parents.copy()
            for _ in range(depth):
                other = (parent[same] >= 0) & (split[parent[same]] != split[parents])
                same = np.where(other, parent[same], same)
            tested = parent[same] >= 0
            before[children] = np.where(tested, same, -1)
            share[children] = cover_share * np.where(tested, share[same], 1.0)
            level = children
        return cls(parent, before, share, reach, max(depth, 1))
