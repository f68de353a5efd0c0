"""Frames of pandas and Polars as the files that trainings and models read, and errors in the words of the Python call."""

import io
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from epic22.adapters.home import translate_storage_faults, write_atomically
from epic22.core.data.column_reading import ReadingRules, infer_text_column
from epic22.core.data.names import strip_text_ends
from epic22.core.data.schema_inference import infer_text_dtype
from epic22.core.errors import UserError
from epic22.core.lineage import sha256
from epic22.spec.training_spec import FIELDS

CONVERSION_ERRORS = (ValueError, TypeError, NotImplementedError, OverflowError, pl.exceptions.PolarsError)
"""What pandas, Arrow and Polars raise for a column that they cannot convert; Arrow's own errors are among the first three."""

KEYWORDS = {field.key.option: field.parameter for field in FIELDS if field.key.option}


def is_pandas(table: Any) -> bool:
    """Whether it is a frame of pandas, which is not imported for the question."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(table, pandas.DataFrame)


def is_frame(table: Any) -> bool:
    """Whether a table is given as a frame, not as a file. Raises UserError for what is neither."""
    if table is None or isinstance(table, str | Path):
        return False
    if not (is_pandas(table) or isinstance(table, pl.DataFrame)):
        raise UserError(f"{type(table).__name__}: no table; give a frame of pandas or Polars, or a file's path.")
    return True


def write_frame(frame: Any) -> bytes:
    """A frame as the bytes of a Parquet file, categories as text. Raises UserError that names the column that does not fit."""
    names = Counter(str(name) for name in frame.columns)
    name, n = names.most_common(1)[0] if names else ("", 0)
    if n > 1:
        raise UserError(f"the frame has {n} columns named {name!r}; give each column a name of its own.")
    try:
        return _write_parquet(frame)
    except CONVERSION_ERRORS:
        raise UserError(_describe_misfit(frame)) from None


def list_categories(frame: Any, label: str | None = None) -> tuple[str, ...]:
    """The columns, as a file names them, that a frame declares to be categories without an order, and whose levels would be read
    as anything else.

    A zip code that its user made a category is a name, whatever its digits say. Rows without a `label` do not count.
    """
    if label is not None:
        frame = _drop_unlabelled(frame, label)
    if is_pandas(frame):
        names = [name for name, dtype in frame.dtypes.items() if _declares_categories(dtype)]
        used = [(str(name), frame[name].dropna().unique(), int(frame[name].count())) for name in names]
        columns = [(pl.Series(name, [str(level) for level in levels], dtype=pl.String), n) for name, levels, n in used]
    else:
        categories = [column.drop_nulls() for column in frame if column.dtype in (pl.Categorical, pl.Enum)]
        columns = [(column.unique().cast(pl.String), len(column)) for column in categories]
    return tuple(strip_text_ends(levels.name) for levels, n_present in columns if _is_read_otherwise(levels, n_present))


def _drop_unlabelled(frame: Any, label: str) -> Any:
    """The frame without the rows that have no label; the whole where it has no such column."""
    name = next((name for name in frame.columns if strip_text_ends(str(name)) == label), None)
    if name is None:
        return frame
    return frame[frame[name].notna()] if is_pandas(frame) else frame.drop_nulls(name)


def _declares_categories(dtype: Any) -> bool:
    """Whether a type of pandas is one of categories without an order: its own, or a dictionary of Arrow."""
    own = getattr(dtype, "pyarrow_dtype", dtype)
    return (hasattr(own, "categories") or hasattr(own, "index_type")) and not own.ordered


def _is_read_otherwise(levels: pl.Series, n_present: int) -> bool:
    """Whether levels are read as numbers, times or truth values, or do not go together; those that do not come again are ids."""
    if not len(levels) or infer_text_dtype(len(levels), n_present) != "category":
        return False
    column = infer_text_column(levels, ReadingRules())
    return column.problem is not None or column.values.dtype != pl.String


def _write_parquet(frame: Any) -> bytes:
    buffer = io.BytesIO()
    polars_frame: pl.DataFrame = pl.from_pandas(_write_plain_types(_write_mixed_offsets(frame))) if is_pandas(frame) else frame
    if any(isinstance(dtype, pl.BaseExtension) for dtype in polars_frame.dtypes):
        raise TypeError("intervals of pandas have no type of their own in a table")
    polars_frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).write_parquet(buffer)
    return buffer.getvalue()


def _write_mixed_offsets(frame: Any) -> Any:
    """The pandas frame with stamps of several offsets from UTC as text, for a column of times has one zone."""
    for name in frame.select_dtypes("object").columns:
        values = frame[name].dropna()
        if all(isinstance(value, datetime) for value in values) and len({value.utcoffset() for value in values}) > 1:
            frame = frame.copy(deep=False)
            frame[name] = frame[name].map(lambda value: value.isoformat(), na_action="ignore")
    return frame


def _write_plain_types(frame: Any) -> Any:
    """The pandas frame with sparse columns as dense ones, and periods as the times that they begin at."""
    plain = {name: "to_dense" for name, dtype in frame.dtypes.items() if hasattr(dtype, "fill_value")}
    plain |= {name: "to_timestamp" for name, dtype in frame.dtypes.items() if type(dtype).__name__ == "PeriodDtype"}
    frame = frame.copy(deep=False) if plain else frame
    for name, way in plain.items():
        column = frame[name]
        frame[name] = column.sparse.to_dense() if way == "to_dense" else column.dt.to_timestamp()
    return frame


def _describe_misfit(frame: Any) -> str:
    """The first column that cannot be written, with the types of its values."""
    for name in frame.columns:
        try:
            _write_parquet(frame[[name]])
        except CONVERSION_ERRORS:
            types = sorted({type(value).__name__ for value in frame[name]})
            return (
                f"column {str(name)!r} of the frame holds {', '.join(types)}; expected numbers, texts or times, all of one type "
                "(astype(str) makes texts of them)."
            )
    return "the frame cannot be written as a table; expected columns of numbers, texts or times."


def store_frame(frame: Any, home: Path) -> Path:
    """The frame as a file below `home`, named by its content, so that its task file can be trained with again.

    Raises StorageError where it cannot be written there.
    """
    content = write_frame(frame)
    path = home / "frames" / f"{sha256(content)[:16]}.parquet"
    with translate_storage_faults(home):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path


@contextmanager
def reword_errors(path: Path | None) -> Iterator[None]:
    """Let a UserError name keywords instead of options, and the frame instead of the file that it is in."""
    try:
        yield
    except UserError as error:
        text = str(error)
        if path is not None:
            text = text.replace(str(path), "the frame").replace(path.name, "the frame")
        error.args = (re.sub(r"--[a-z][a-z-]*", lambda option: KEYWORDS.get(option[0], option[0]), text),)
        raise
