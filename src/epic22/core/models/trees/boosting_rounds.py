"""Rounds of XGBoost by its C interface: the trees of its Python package to the bit, without what that does around each of them.

The package reads and compares the names and types of all columns before every round and every look at the validation rows. Of
a thousand rows that takes longer than the tree, and a booster that is given nothing but the matrices it was made with has nothing
to compare.
"""

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from epic22.core.errors import InternalError

if TYPE_CHECKING:
    import xgboost

VALIDATION = b"validation"
"""The name of the validation rows in what XGBoost says of them."""


@dataclass(frozen=True)
class BestRound:
    """How many rounds have the least loss on the validation rows, and that loss."""

    rounds: int
    loss: float


def train_rounds(params: Mapping[str, Any], dtrain: "xgboost.DMatrix", rounds: int) -> "xgboost.Booster":
    """The booster that `xgboost.train` makes of these rows in that many rounds."""
    import xgboost

    booster = xgboost.Booster(dict(params), [dtrain])
    for number in range(rounds):
        add_round(booster, dtrain, number)
    return booster.reset()


def find_best_round(
    params: Mapping[str, Any], dtrain: "xgboost.DMatrix", dvalid: "xgboost.DMatrix", rounds: int, patience: int
) -> BestRound:
    """The round after which the loss on the validation rows did not fall for `patience` rounds: XGBoost's own early stopping."""
    import xgboost

    booster = xgboost.Booster(dict(params), [dtrain, dvalid])
    best = BestRound(0, math.inf)
    for number in range(rounds):
        add_round(booster, dtrain, number)
        loss = _compute_loss(booster, dvalid, number)
        if loss < best.loss or not best.rounds:
            best = BestRound(number + 1, loss)
        elif number + 1 - best.rounds >= patience:
            break
    return best


def add_round(booster: "xgboost.Booster", dtrain: "xgboost.DMatrix", number: int) -> None:
    """Have the booster learn round `number` of the rows that it was made with."""
    library = _load_library()
    _check(library.XGBoosterUpdateOneIter(booster.handle, ctypes.c_int(number), dtrain.handle))


def _compute_loss(booster: "xgboost.Booster", dvalid: "xgboost.DMatrix", number: int) -> float:
    """The loss after round `number` on validation rows that the booster was made with."""
    matrices, names, text = (ctypes.c_void_p * 1)(dvalid.handle), (ctypes.c_char_p * 1)(VALIDATION), ctypes.c_char_p()
    library = _load_library()
    _check(
        library.XGBoosterEvalOneIter(
            booster.handle, ctypes.c_int(number), matrices, names, ctypes.c_uint64(1), ctypes.byref(text)
        )
    )
    return float((text.value or b"").rpartition(b":")[2])


@cache
def _load_library() -> ctypes.CDLL:
    """The library that the Python package has loaded."""
    from xgboost.libpath import find_lib_path

    library = ctypes.CDLL(find_lib_path()[0])
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


def _check(status: int) -> None:
    if status:
        raise InternalError(f"XGBoost: {_load_library().XGBGetLastError().decode()}")
