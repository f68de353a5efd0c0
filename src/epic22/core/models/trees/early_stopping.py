"""Boosting rounds until the loss on validation rows no longer falls, without asking XGBoost for it round by round.

After a round that was the best so far, training cannot end before `patience` more of them. So those are made first, and then
the validation rows walk through all their trees at once: the same rounds as with a look after each, none in vain, and in half the
time. Scores have XGBoost's bits; losses are summed in double, and do not depend on the number of threads.

Trees are read from Universal Binary JSON as XGBoost writes it, many times sooner than by text: draft 12 of the format
(https://ubjson.org) as far as XGBoost uses it. Numbers are big-endian.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.models.trees.boosting_rounds import add_round
from epic22.core.models.trees.forest import list_category_sets, pack_category_bits, run_batches
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

BATCH_ROWS = 4096
LOGISTIC, SQUARED = 0, 1
LOSS_CODES: Mapping[str, int] = {"binary:logistic": LOGISTIC, "reg:squarederror": SQUARED}
"""The objectives whose losses are known here, as the compiled loop names them."""

NUMBERS = {code: np.dtype(dtype) for code, dtype in zip("iUIlLdD", ("i1", "u1", ">i2", ">i4", ">i8", ">f4", ">f8"), strict=True)}

LENGTH_BYTES = 9
"""Bytes of a length: its type, always int64, and itself."""


@dataclass(frozen=True)
class ValidationRows:
    """Validation rows, X (m, p) float32 and y (m,), and how many threads may walk them."""

    X: Array
    y: Array
    threads: int


def train_with_early_stopping(
    params: Mapping[str, Any],
    dtrain: "xgboost.DMatrix",
    validation: ValidationRows,
    rounds: int,
    patience: int,
    expired: Callable[[], bool],
) -> tuple["xgboost.Booster", Array]:
    """The booster up to its best round, and the validation rows' scores before the link, (m,).

    Ends sooner, with the best round until then, when the time has `expired`.
    """
    import xgboost

    booster, loss = xgboost.Booster(dict(params), [dtrain]), LOSS_CODES[str(params["objective"])]
    n_scored = n_trained = best_round = 0
    min_loss, is_over, raw = np.inf, False, np.zeros(0, np.float32)
    best_scores, best_trees = raw, None
    while not is_over and n_trained < (max_round := min(rounds, best_round + patience + 1)):
        while not is_over and n_trained < max_round:
            add_round(booster, dtrain, n_trained)
            n_trained, is_over = n_trained + 1, expired()
        if not n_scored:
            raw = np.full(len(validation.y), _compute_base_score(booster, str(params["objective"])), np.float32)
        trees, batch_scores = TreeArrays.of(booster[n_scored:n_trained]), raw.copy()
        for round_number, round_loss in enumerate(_add_scores(trees, validation, raw, loss), n_scored):
            if round_loss < min_loss:
                best_round, min_loss = round_number, round_loss
        if best_round >= n_scored:
            best_scores, best_trees = batch_scores, trees.take_first(best_round - n_scored + 1)
        n_scored = n_trained
    # Scores after the best round are walked to again: keeping those of every round would cost memory.
    if best_trees is not None:
        _add_scores(best_trees, validation, best_scores, loss)
    return booster[: best_round + 1], best_scores


class TreeArrays(NamedTuple):
    """All nodes of some rounds' trees, one a round; a leaf's children are itself, `depth` the levels of each tree. See Forest."""

    roots: Array
    depth: Array
    feature: Array
    value: Array
    default_left: Array
    left: Array
    right: Array
    begin: Array
    size: Array
    words: Array

    @classmethod
    def of(cls, booster: "xgboost.Booster") -> "TreeArrays":
        """The booster's trees."""
        from epic22.core.models.trees.forest_kernels import compute_depths

        trees = read_ubj(bytes(booster.save_raw("ubj")))["learner"]["gradient_booster"]["model"]["trees"]
        sizes = np.array([len(tree["left_children"]) for tree in trees])
        roots = np.cumsum(sizes) - sizes

        def concatenate_field(name: str, dtype: Any) -> Array:
            return np.concatenate([tree[name] for tree in trees]).astype(dtype)

        start, node = np.repeat(roots, sizes), np.arange(sizes.sum())
        left, right = concatenate_field("left_children", np.int64), concatenate_field("right_children", np.int64)
        inside = left >= 0
        left, right = np.where(inside, left + start, node), np.where(inside, right + start, node)
        sets = [(int(root) + k, codes) for tree, root in zip(trees, roots, strict=True) for k, codes in list_category_sets(tree)]
        return cls(
            roots.astype(np.int32),
            compute_depths(roots, left, right),
            concatenate_field("split_indices", np.int32),
            concatenate_field("split_conditions", np.float32),
            concatenate_field("default_left", np.bool_),
            left.astype(np.int32),
            right.astype(np.int32),
            *pack_category_bits(sets, len(node)),
        )

    def take_first(self, n_trees: int) -> "TreeArrays":
        """The first n of them."""
        return self._replace(roots=self.roots[:n_trees], depth=self.depth[:n_trees])


def _add_scores(trees: TreeArrays, validation: ValidationRows, raw: Array, loss: int) -> Array:
    """Add the trees' leaves to raw (m,); the summed loss after each, (t,)."""
    from epic22.core.models.trees.forest_kernels import add_validation_scores

    losses = np.zeros((-(-len(raw) // BATCH_ROWS), len(trees.roots)))

    def fill(part: slice) -> None:
        own_losses = losses[part.start // BATCH_ROWS]
        add_validation_scores(validation.X[part], validation.y[part], tuple(trees), loss, raw[part], own_losses)

    run_batches(fill, len(raw), BATCH_ROWS, validation.threads)
    return np.asarray(losses.sum(axis=0))


def _compute_base_score(booster: "xgboost.Booster", objective: str) -> np.float32:
    """The score before any tree, by XGBoost's own steps in float32."""
    model_param = read_ubj(bytes(booster.save_raw("ubj")))["learner"]["learner_model_param"]["base_score"]
    base = np.float32(model_param.strip("[]"))
    return np.float32(-np.log(np.float32(1) / base - np.float32(1))) if objective == "binary:logistic" else base


def read_ubj(content: bytes) -> Any:
    """What the content says: objects as dicts, typed arrays as numpy's, which are views of it.

    Raises InternalError where it is not of the form above.
    """
    value, end = _read_value(content, 0)
    if end != len(content):
        raise InternalError(f"a model's bytes end at {end:,} of {len(content):,}.")
    return value


def _read_value(content: bytes, at: int) -> tuple[Any, int]:
    """The value that begins there, and where the next does."""
    code, at = chr(content[at]), at + 1
    if code == "{":
        return _read_object(content, at)
    if code == "[":
        return _read_array(content, at)
    if code == "S":
        return _read_text(content, at)
    if code in "TFZ":
        return {"T": True, "F": False, "Z": None}[code], at
    if code not in NUMBERS:
        raise InternalError(f"a model's bytes have a value of the unknown type {code!r} at {at - 1:,}.")
    return np.frombuffer(content, NUMBERS[code], 1, at)[0].item(), at + NUMBERS[code].itemsize


def _read_length(content: bytes, at: int) -> int:
    if content[at : at + 1] != b"L":
        raise InternalError(f"a model's bytes state no length at {at:,}.")
    return int.from_bytes(content[at + 1 : at + LENGTH_BYTES], "big")


def _read_text(content: bytes, at: int) -> tuple[str, int]:
    begin = at + LENGTH_BYTES
    end = begin + _read_length(content, at)
    return content[begin:end].decode(), end


def _read_object(content: bytes, at: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    while content[at : at + 1] != b"}":
        name, at = _read_text(content, at)
        values[name], at = _read_value(content, at)
    return values, at + 1


def _read_array(content: bytes, at: int) -> tuple[Any, int]:
    if content[at : at + 1] == b"$":
        dtype = NUMBERS[chr(content[at + 1])]
        count = _read_length(content, at + 3)
        values = np.frombuffer(content, dtype, count, at + 3 + LENGTH_BYTES)
        return values, at + 3 + LENGTH_BYTES + values.nbytes
    items = []
    count, at = _read_length(content, at + 1), at + 1 + LENGTH_BYTES
    for _ in range(count):
        value, at = _read_value(content, at)
        items.append(value)
    return items, at
