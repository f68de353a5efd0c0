"""Boosting rounds until the loss on watched rows no longer falls, without asking XGBoost for it round by round.

After a round that was the best so far, training cannot end before `patience` more of them. So those are made first, and then
the watched rows walk through all their trees at once: the same rounds as with a look after each, none in vain, and in half the
time. Scores have XGBoost's bits; losses are summed in double, and do not depend on the number of threads.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from epic22.core.models.forest import bits_of
from epic22.core.models.ubj import read_ubj
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

ROWS_AT_ONCE = 4096
LOGISTIC, SQUARE = 0, 1
LOSSES: Mapping[str, int] = {"binary:logistic": LOGISTIC, "reg:squarederror": SQUARE}
"""The objectives whose losses are known here, as the compiled loop names them."""


@dataclass(frozen=True)
class Rows:
    """Rows to watch, X (m, p) float32 and y (m,), and how many threads may walk them."""

    X: Array
    y: Array
    threads: int


def train_watched(
    params: Mapping[str, Any],
    fitted: "xgboost.DMatrix",
    watched: Rows,
    rounds: int,
    patience: int,
    expired: Callable[[], bool],
) -> tuple["xgboost.Booster", Array]:
    """The booster up to its best round, and the watched rows' scores before the link, (m,).

    Ends sooner, with the best round until then, when the time has `expired`.
    """
    import xgboost

    booster, loss = xgboost.Booster(dict(params), [fitted]), LOSSES[str(params["objective"])]
    looked = made = best = 0
    least, over, raw = np.inf, False, np.zeros(0, np.float32)
    before, to_best = raw, None
    while not over and made < (until := min(rounds, best + patience + 1)):
        while not over and made < until:
            booster.update(fitted, made)
            made, over = made + 1, expired()
        if not looked:
            raw = np.full(len(watched.y), _base(booster, str(params["objective"])), np.float32)
        trees, begun = Trees.of(booster[looked:made]), raw.copy()
        for number, found in enumerate(_walk(trees, watched, raw, loss), looked):
            if found < least:
                best, least = number, found
        if best >= looked:
            before, to_best = begun, trees.first(best - looked + 1)
        looked = made
    # Scores after the best round are walked to again: keeping those of every round would cost memory.
    if to_best is not None:
        _walk(to_best, watched, before, loss)
    return booster[: best + 1], before


@dataclass(frozen=True)
class Trees:
    """All nodes of some rounds' trees, one a round; a leaf's children are itself, `deep` the levels of each tree. See Forest."""

    roots: Array
    deep: Array
    feature: Array
    value: Array
    default_left: Array
    left: Array
    right: Array
    begin: Array
    size: Array
    words: Array

    @classmethod
    def of(cls, booster: "xgboost.Booster") -> "Trees":
        """The booster's trees."""
        from epic22.core.models.watching_kernels import levels

        trees = read_ubj(bytes(booster.save_raw("ubj")))["learner"]["gradient_booster"]["model"]["trees"]
        sizes = np.array([len(tree["left_children"]) for tree in trees])
        roots = np.cumsum(sizes) - sizes

        def joined(name: str, dtype: Any) -> Array:
            return np.concatenate([tree[name] for tree in trees]).astype(dtype)

        start, node = np.repeat(roots, sizes), np.arange(sizes.sum())
        left, right = joined("left_children", np.int64), joined("right_children", np.int64)
        inside = left >= 0
        left, right = np.where(inside, left + start, node), np.where(inside, right + start, node)
        sets = []
        for tree, root in zip(trees, roots, strict=True):
            segments = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
            sets += [(int(root + k), tree["categories"][at : at + many].astype(np.int64)) for k, at, many in segments]
        return cls(
            roots.astype(np.int32),
            levels(roots, left, right),
            joined("split_indices", np.int32),
            joined("split_conditions", np.float32),
            joined("default_left", np.bool_),
            left.astype(np.int32),
            right.astype(np.int32),
            *bits_of(sets, len(node)),
        )

    def first(self, count: int) -> "Trees":
        """The first so many of them."""
        return replace(self, roots=self.roots[:count], deep=self.deep[:count])


def _walk(trees: Trees, watched: Rows, raw: Array, loss: int) -> Array:
    """Add the trees' leaves to raw (m,); the summed loss after each, (t,)."""
    from epic22.core.models.watching_kernels import add_watched

    arrays = (
        trees.roots, trees.deep, trees.feature, trees.value, trees.default_left, trees.left, trees.right,
        trees.begin, trees.size, trees.words,
    )  # fmt: skip
    begins = range(0, len(raw), ROWS_AT_ONCE)
    losses = np.zeros((len(begins), len(trees.roots)))

    def fill(number: int) -> None:
        part = slice(begins[number], begins[number] + ROWS_AT_ONCE)
        add_watched(watched.X[part], watched.y[part], *arrays, loss, raw[part], losses[number])

    if watched.threads == 1 or len(begins) == 1:
        for number in range(len(begins)):
            fill(number)
    else:
        with ThreadPoolExecutor(watched.threads) as pool:
            list(pool.map(fill, range(len(begins))))
    return np.asarray(losses.sum(axis=0))


def _base(booster: "xgboost.Booster", objective: str) -> np.float32:
    """The score before any tree, by XGBoost's own steps in float32."""
    stated = read_ubj(bytes(booster.save_raw("ubj")))["learner"]["learner_model_param"]["base_score"]
    base = np.float32(stated.strip("[]"))
    return np.float32(-np.log(np.float32(1) / base - np.float32(1))) if objective == "binary:logistic" else base
