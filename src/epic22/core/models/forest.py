"""A boosted forest as flat arrays: the same scores and SHAP values as XGBoost gives, at the speed of one row.

XGBoost's own way builds a matrix for every call; a company's backend asks for one row at a time. Compiled loops over flat
arrays give single rows and batches the same bits, for every row is summed in the same order.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

LEAF = -1
BITS = 32
SMALLEST_SHARE = 1e-300
ROWS_A_THREAD = 512


@dataclass(frozen=True)
class Forest:
    """All nodes of all trees, tree by tree in preorder (m,). `roots` (t,) are where trees begin, `output` (t,) their class.

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

        out = np.tile(self.base, (len(X), 1))

        def fill(part: slice) -> None:
            sum_leaves(X[part], *self._tests(), out[part])

        _spread(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    def contributions(self, X: Array, threads: int = 1) -> Array:
        """Exact path-dependent SHAP values and the average last, (n, p + 1) or (n, k, p + 1)."""
        from epic22.core.models.forest_kernels import add_shap

        out = np.zeros((len(X), len(self.base), self.columns + 1))
        out[:, :, -1] = self.average

        def fill(part: slice) -> None:
            add_shap(X[part], *self._tests(), self.parent, self.before, self.share, self.points, self.weights, out[part])

        _spread(fill, len(X), threads)
        return out[:, 0] if len(self.base) == 1 else out

    def _tests(self) -> tuple[Array, ...]:
        return (
            self.roots, self.output, self.feature, self.threshold, self.default_left, self.left, self.right, self.leaf,
            self.begin, self.size, self.words,
        )  # fmt: skip


def _spread(fill: "Any", rows: int, threads: int) -> None:
    parts = [slice(a, a + ROWS_A_THREAD) for a in range(0, rows, ROWS_A_THREAD)]
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
    model = json.loads(booster.save_raw("json"))["learner"]
    gradient = model["gradient_booster"]
    if gradient["name"] != "gbtree":
        raise InternalError(f"a forest is made of gbtree boosters, not of {gradient['name']}.")
    trees = gradient["model"]["trees"]
    outputs = max(1, int(model["learner_model_param"]["num_class"]))
    columns = int(model["learner_model_param"]["num_feature"])
    flat = [_Flat.of(tree) for tree in trees]
    sizes = np.array([len(tree.feature) for tree in flat], np.int64)
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    words_at = np.concatenate([[0], np.cumsum([len(t.words) for t in flat])])
    output = np.array(gradient["model"]["tree_info"], np.int64)
    base = base_of(booster, model, outputs)
    average = base.copy()
    np.add.at(average, output, np.array([tree.average for tree in flat]))
    depth = max((tree.depth for tree in flat), default=1)
    from epic22.core.models.forest_kernels import quadrature

    points, weights = quadrature(depth)

    def joined(name: str, dtype: Any) -> Array:
        return np.concatenate([getattr(tree, name) for tree in flat]).astype(dtype)

    def moved(name: str) -> Array:
        parts = [np.where((a := getattr(tree, name)) >= 0, a + root, -1) for tree, root in zip(flat, roots, strict=True)]
        return np.concatenate(parts).astype(np.int64)

    return Forest(
        columns=columns, roots=roots, output=output, feature=joined("feature", np.int32), threshold=joined("threshold", np.float32),
        default_left=joined("default_left", np.bool_), left=moved("left"), right=moved("right"), leaf=joined("leaf", np.float64),
        begin=np.concatenate([tree.begin + at for tree, at in zip(flat, words_at, strict=False)]).astype(np.int64),
        size=joined("size", np.int32), words=joined("words", np.uint32), parent=moved("parent"), before=moved("before"),
        share=joined("share", np.float64), points=points, weights=weights, base=base, average=average,
    )  # fmt: skip


def base_of(booster: "xgboost.Booster", model: dict[str, Any], outputs: int) -> Array:
    """The score before any tree, (k,): what the booster gives without trees."""
    stated = json.loads(model["learner_model_param"]["base_score"]) if "[" in model["learner_model_param"]["base_score"] else [
        float(model["learner_model_param"]["base_score"])
    ]
    values = np.asarray(stated, np.float64)
    if model["objective"]["name"] in ("binary:logistic", "reg:logistic"):
        values = np.log(values / (1 - values))
    elif model["objective"]["name"] in ("count:poisson", "reg:gamma", "reg:tweedie"):
        values = np.log(values)
    return np.broadcast_to(values, (outputs,)).astype(np.float64).copy()


@dataclass(frozen=True)
class _Flat:
    """One tree in preorder."""

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
    average: float
    depth: int

    @classmethod
    def of(cls, tree: dict[str, Any]) -> "_Flat":
        """The tree as XGBoost's JSON has it."""
        lefts, rights = tree["left_children"], tree["right_children"]
        order = list(_preorder(lefts, rights))
        place = {node: number for number, node in enumerate(order)}
        n = len(order)
        inside = np.array([lefts[node] != -1 for node in order])
        picked = np.array(order)
        cover = np.maximum(np.array(tree["sum_hessian"], np.float64)[picked], SMALLEST_SHARE)
        split = np.array(tree["split_indices"])[picked]
        conditions = np.array(tree["split_conditions"], np.float32)[picked]
        sets = _sets(tree)
        begin, size, words = np.zeros(n, np.int64), np.zeros(n, np.int32), []
        for number, node in enumerate(order):
            if node in sets:
                begin[number], size[number] = sum(len(w) for w in words), len(sets[node])
                words.append(sets[node])
        parent, before, share = np.full(n, -1), np.full(n, -1), np.ones(n)
        reach, depth, average = np.ones(n), np.zeros(n, int), 0.0
        for number, node in enumerate(order):
            if not inside[number]:
                average += reach[number] * float(conditions[number])
                continue
            for child in (place[lefts[node]], place[rights[node]]):
                kept = cover[child] / (cover[place[lefts[node]]] + cover[place[rights[node]]])
                parent[child], reach[child], depth[child] = number, reach[number] * kept, depth[number] + 1
                same = number
                while same > 0 and split[parent[same]] != split[number]:
                    same = parent[same]
                before[child] = same if same > 0 else -1
                share[child] = kept * (share[same] if same > 0 else 1.0)
        empty = np.zeros(0, np.uint32)
        return cls(
            np.where(inside, split, LEAF), conditions, np.array(tree["default_left"], bool)[picked],
            np.array([place[lefts[v]] if lefts[v] != -1 else -1 for v in order]),
            np.array([place[rights[v]] if rights[v] != -1 else -1 for v in order]),
            np.where(inside, 0.0, conditions.astype(np.float64)), begin, size,
            np.concatenate(words) if words else empty, parent, before, share, float(average), int(depth.max()),
        )  # fmt: skip


def _preorder(lefts: list[int], rights: list[int]) -> Iterator[int]:
    waiting = [0]
    while waiting:
        node = waiting.pop()
        yield node
        if lefts[node] != -1:
            waiting += [rights[node], lefts[node]]


def _sets(tree: dict[str, Any]) -> dict[int, Array]:
    """The categories of each node that has any, as bits."""
    found = {}
    for node, at, many in zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True):
        codes = np.array(tree["categories"][at : at + many])
        words = np.zeros(int(codes.max()) // BITS + 1, np.uint32)
        np.bitwise_or.at(words, codes // BITS, (np.uint32(1) << (codes % BITS).astype(np.uint32)))
        found[node] = words
    return found
