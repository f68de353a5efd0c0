"""Universal Binary JSON as XGBoost writes it: a model's trees as arrays, many times sooner than by text.

Draft 12 of the format (https://ubjson.org) as far as XGBoost uses it: objects, texts, numbers, and arrays with a
stated length, of one type or of any. Numbers are big-endian.
"""

from typing import Any

import numpy as np

from epic22.core.errors import InternalError

NUMBERS = {code: np.dtype(dtype) for code, dtype in zip("iUIlLdD", ("i1", "u1", ">i2", ">i4", ">i8", ">f4", ">f8"), strict=True)}
LENGTH_BYTES = 9
"""Bytes of a length: its type, always int64, and itself."""


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
