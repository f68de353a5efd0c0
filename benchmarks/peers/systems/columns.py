"""Columns as XGBoost takes them: text as categories learned from training, times as days."""

from collections.abc import Mapping
from typing import Any


def levels_of(frame: Any) -> dict[str, list[Any]]:
    """The values of each text column in training."""
    return {name: sorted(frame[name].dropna().unique()) for name in frame.columns if is_text(frame[name])}


def is_text(column: Any) -> bool:
    """Whether a column is neither number, truth nor time."""
    return column.dtype.kind not in "iufbM"


def encoded(frame: Any, levels: Mapping[str, list[Any]]) -> Any:
    """The frame with categories (a value that training lacked is missing) and days since 1970."""
    import pandas

    made = {}
    for name in frame.columns:
        if name in levels:
            made[name] = pandas.Categorical(frame[name], categories=levels[name])
        elif frame[name].dtype.kind == "M":
            made[name] = (frame[name] - pandas.Timestamp(0)) / pandas.Timedelta(days=1)
        else:
            made[name] = frame[name]
    return pandas.DataFrame(made, index=frame.index)
