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
from epic22.core.models.trees.split_arrays import InteractionArrays, SplitArrays
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

LEAF, BITS = -1, 32
MIN_COVER = 1e-12
BATCH_ROWS = 256


@dataclass(frozen=True)
class Forest:
    """All nodes of all trees, tree by tree (m,), a parent before its children.

    `roots` (t,) are where trees begin, `output` (t,) their class.

    `feature` is -1 at a leaf, whose value is `leaf`; a row goes `left` where its value is below `threshold` (float32), or is not
    among the node's categories: bits in `words` from `begin`, `size` words, 0 for a node that has none. `parent`; `before`: the
    nearest node above whose way in tested the same feature, -1 where none did; `share`: what all tests of that feature
    on the way keep of the cover. `base` (k,) is the score before any tree, `average` (k,) the mean score by cover.
    """

    n_columns: int
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

    def decision_function(self, X: Array, threads: int = 1) -> Array:
        """Scores before the link of X (n, p) float32: (n,) for one output, else (n, k)."""
        from epic22.core.models.trees.forest_kernels import sum_leaves

        out, arrays = np.tile(self.base, (len(X), 1)), self.split_arrays

        def fill(part: slice) -> None:
            sum_leaves(X[part], arrays.scores, out[part])

        _fill_batches(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    def shap_values(self, X: Array, threads: int = 1) -> Array:
        """Exact path-dependent SHAP values and the average last, (n, p + 1) or (n, k, p + 1)."""
        from epic22.core.models.trees.forest_kernels import add_shap

        out, arrays = np.zeros((len(X), len(self.base), self.n_columns + 1)), self.split_arrays
        out[:, :, -1] = self.average
        flat = out.reshape(len(X), len(self.base) * (self.n_columns + 1))

        def fill(part: slice) -> None:
            add_shap(X[part], arrays.scores, arrays.shap, flat[part])

        _fill_batches(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    def shap_interaction_values(self, X: Array, threads: int = 1) -> Array:
        """SHAP interaction values off the diagonal, half a pair's in each place: (n, p, p), or (n, k, p, p)."""
        from epic22.core.models.trees.forest_kernels import add_interactions

        out = np.zeros((len(X), len(self.base), self.n_columns, self.n_columns))
        nodes = InteractionArrays(*(getattr(self, name) for name in InteractionArrays._fields))

        def fill(part: slice) -> None:
            add_interactions(X[part], nodes, out[part])

        _fill_batches(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    @cached_property
    def split_arrays(self) -> SplitArrays:
        """What scores and reasons are computed from, made when they are first asked for."""
        return SplitArrays.of(self)


def _fill_batches(fill: Callable[[slice], None], n_rows: int, threads: int) -> None:
    batches = [slice(a, a + BATCH_ROWS) for a in range(0, n_rows, BATCH_ROWS)]
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
    trees = gradient["model"]["trees"]
    sizes = np.array([len(tree["left_children"]) for tree in trees], np.int64)
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(trees) else sizes
    start = np.repeat(roots, sizes)
    left, right = (
        _shift_node_ids(_concatenate_field(trees, name, np.int64), start) for name in ("left_children", "right_children")
    )
    value = _concatenate_field(trees, "split_conditions", np.float32)
    nodes = Nodes(
        roots=roots,
        output=np.array(gradient["model"]["tree_info"], np.int64),
        split=_concatenate_field(trees, "split_indices", np.int64),
        threshold=value,
        default_left=_concatenate_field(trees, "default_left", np.bool_),
        left=left,
        right=right,
        leaf=value.astype(np.float64),
        cover=_concatenate_field(trees, "sum_hessian", np.float64),
    )
    return build_forest(
        nodes,
        _read_category_bits(trees, roots, len(left)),
        int(model["learner_model_param"]["num_feature"]),
        _compute_base_score(model),
    )


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


def build_forest(nodes: Nodes, categories: tuple[Array, Array, Array], n_columns: int, base: Array) -> Forest:
    """The forest of these nodes; `categories` as Forest has them: begin, size and words."""
    from epic22.core.models.trees.forest_kernels import build_quadrature

    inside = nodes.left >= 0
    paths = _Paths.of(nodes.roots, nodes.left, nodes.right, nodes.split, np.maximum(nodes.cover, MIN_COVER))
    average = base.copy()
    leaves = np.where(inside, 0.0, nodes.leaf)
    sizes = np.diff(np.append(nodes.roots, len(inside)))
    np.add.at(average, np.repeat(nodes.output, sizes), paths.reach * leaves)
    begin, size, words = categories
    points, weights = build_quadrature(paths.depth)
    return Forest(
        n_columns=n_columns,
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
    node_starts = np.cumsum([0, *(len(f.feature) for f in forests)])[:-1]
    word_starts = np.cumsum([0, *(len(f.words) for f in forests)])[:-1]
    deepest = max(forests, key=lambda f: len(f.points))

    def concatenate_field(name: str) -> Array:
        return np.concatenate([getattr(f, name) for f in forests])

    def concatenate_node_ids(name: str) -> Array:
        return np.concatenate([_shift_node_ids(getattr(f, name), at) for f, at in zip(forests, node_starts, strict=True)])

    return Forest(
        n_columns=forests[0].n_columns,
        roots=concatenate_node_ids("roots"),
        output=concatenate_field("output"),
        feature=concatenate_field("feature"),
        threshold=concatenate_field("threshold"),
        default_left=concatenate_field("default_left"),
        left=concatenate_node_ids("left"),
        right=concatenate_node_ids("right"),
        leaf=np.concatenate([f.leaf * w for f, w in zip(forests, weights, strict=True)]),
        begin=np.concatenate([f.begin + at for f, at in zip(forests, word_starts, strict=True)]),
        size=concatenate_field("size"),
        words=concatenate_field("words"),
        parent=concatenate_node_ids("parent"),
        before=concatenate_node_ids("before"),
        share=concatenate_field("share"),
        points=deepest.points,
        weights=deepest.weights,
        base=np.sum([f.base * w for f, w in zip(forests, weights, strict=True)], axis=0),
        average=np.sum([f.average * w for f, w in zip(forests, weights, strict=True)], axis=0),
    )


def _concatenate_field(trees: list[dict[str, Any]], name: str, dtype: Any) -> Array:
    return np.concatenate([np.array(tree[name], dtype) for tree in trees]) if trees else np.zeros(0, dtype)


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


def _read_category_bits(trees: list[dict[str, Any]], roots: Array, n_nodes: int) -> tuple[Array, Array, Array]:
    """Where each node's categories begin among the words of bits, how many words they take, and the words."""
    sets = []
    for tree, root in zip(trees, roots, strict=True):
        segments = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
        sets += [(int(root + node), np.array(tree["categories"][at : at + size])) for node, at, size in segments]
    return pack_category_bits(sets, n_nodes)
