"""A folder of tables with an index, read as sets: what `--folder` compares on.

`index.csv` has a row a table: `file` (CSV, gzipped or not), `kind` (binary or regression), `label`, and for a binary table
`positive`, the label's value that is class 1 (may be blank where the values are 0 and 1). `from` is shown on the page where it is
there; nothing else is read. One split a table; AUC or RMSE decides.

All systems get the same columns: text as text, ISO dates as times, true and false as 1 and 0; rows without a label and columns
without any value are left out. A table that cannot be compared on is named with the reason, and the others are compared.

Several classes are refused: the systems' scripts answer one number a row, and to change them would throw away every stored run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import polars as pl

from peers.collection import PUBLIC, Collection
from peers.sets import MISSING, DataSet, Kind, Metric, plain
from peers.splits import copy_codes, dealt

INDEX = "index.csv"
NEEDED = ("file", "kind", "label")
METRICS: Mapping[Kind, Metric] = {"binary": "roc_auc", "regression": "root_mean_squared_error"}
KINDS: Mapping[str, Kind] = {"binary": "binary", "regression": "regression"}
FEWEST_ROWS, FEWEST_OF_A_CLASS = 50, 10
SHOWN = 8
"""So many columns or values are listed in a sentence."""
UNREADABLE = (pl.exceptions.PolarsError, OSError, EOFError, UnicodeError)


class FolderError(ValueError):
    """The folder as a whole cannot be read; one sentence."""


class TableError(ValueError):
    """One table cannot be compared on; one sentence that begins with what the table does, as in "has no column 'y'"."""


@dataclass(frozen=True)
class TableReader:
    """Reads one table: `label` as the file's header has it, blanks around it aside; `positive` "" = 1 of 0 and 1."""

    label: str
    kind: Kind
    positive: str

    def __call__(self, path: Path) -> pl.DataFrame:
        """The table's rows that have a label, under plain and distinct names, the label first and as a number.

        Raises TableError.
        """
        frame = read_csv(path, self.label)
        names = distinct_names(frame.columns)
        frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
        label = frame[names[0]]
        values = is_positive(label, self.positive) if self.kind == "binary" else numbers(label)
        frame = frame.with_columns(values.alias(names[0])).filter(values.is_not_null())
        inputs = [name for name in names[1:] if frame[name].null_count() < frame.height]
        return frame.select(names[0], *(in_common_type(frame[name]) for name in inputs))


def read_folder(folder: Path, name: str | None = None) -> Collection:
    """The folder's tables as a collection called after the folder, or `name`.

    Raises FolderError where there is no index to go by, or none of its tables can be compared on.
    """
    entries = read_index(folder)
    called = plain(folder.resolve().name if name is None else name)
    if not called:
        raise FolderError(f"{name or folder.resolve().name!r} cannot name results: give a name of letters and digits by --name.")
    sets: list[DataSet] = []
    refused: list[str] = []
    for line, entry in enumerate(entries, start=2):
        try:
            sets.append(read_entry(folder, entry, [one.name for one in sets]))
        except TableError as error:
            refused.append(f"{entry['file'] or f'line {line} of {INDEX}'} {error}.")
    if not sets:
        raise FolderError(f"none of the {len(entries)} tables of {folder} can be compared on: {' '.join(refused)}")
    options = f"--folder {folder.resolve().name}" + ("" if name is None else f" --name {called}")
    return Collection(f"{PUBLIC}-{called}", f"Peers on the tables of {called}", options, folder, tuple(sets), tuple(refused))


def read_index(folder: Path) -> list[dict[str, str]]:
    """The index's rows, blanks around names and values taken off, "" for what is missing.

    Raises FolderError.
    """
    if not folder.is_dir():
        raise FolderError(f"there is no folder {folder}.")
    path = folder / INDEX
    if not path.is_file():
        raise FolderError(f"{folder} has no {INDEX}: it names each table by {', '.join(NEEDED)} and positive.")
    try:
        index = pl.read_csv(path, infer_schema=False)
    except UNREADABLE as error:
        raise FolderError(f"{path} cannot be read as CSV: {first_line(error)}.") from None
    index.columns = distinct([name.strip() for name in index.columns])
    lacking = [name for name in NEEDED if name not in index.columns]
    if lacking:
        raise FolderError(f"{path} has no column {' and no column '.join(lacking)}; it has {listed(index.columns)}.")
    if index.is_empty():
        raise FolderError(f"{path} names no table.")
    rows = index.with_columns(pl.all().fill_null("").str.strip_chars()).to_dicts()
    return [{"positive": "", "from": "", **row} for row in rows]


def read_entry(folder: Path, entry: Mapping[str, str], present: Iterable[str]) -> DataSet:
    """One row of the index as a set whose name is not among those `present`; the table is read once, to see that it serves.

    Raises TableError.
    """
    file, kind = entry["file"], KINDS.get(entry["kind"].lower())
    if not file:
        raise TableError("names no file")
    if PurePath(file).is_absolute() or ".." in PurePath(file).parts:
        raise TableError("is outside the folder")
    if not (folder / file).is_file():
        raise TableError("is not in the folder")
    if kind is None:
        raise TableError(f"is of kind {entry['kind']!r}, and only {' and '.join(KINDS)} tables are compared here")
    reader = TableReader(entry["label"], kind, entry["positive"])
    frame = reader(folder / file)
    check_rows(frame, kind)
    stem = PurePath(file).name.split(".")[0]
    (*_, name) = distinct([*present, plain(stem) or "table"])
    return DataSet(
        name,
        file,
        kind,
        frame.columns[0],
        METRICS[kind],
        reader,
        entry["from"] or file,
        repeats=1,
        read_by=repr(reader),
    )


def read_csv(path: Path, label: str) -> pl.DataFrame:
    """The table as it stands, its label first and as text, values that look like ISO dates as such.

    Raises TableError.
    """
    try:
        header = pl.read_csv(path, n_rows=0, infer_schema=False).columns
        written = next((name for name in header if name.strip() == label), None)
        if written is None:
            raise TableError(f"has no column {label!r} for its label; it has {listed(header)}")
        types = {written: pl.String}
        frame = pl.read_csv(
            path, null_values=list(MISSING), infer_schema_length=None, try_parse_dates=True, schema_overrides=types
        )
    except UNREADABLE as error:
        raise TableError(f"cannot be read as CSV: {first_line(error)}") from None
    if frame.width == 1:
        raise TableError("has no column beside its label")
    return frame.select(written, pl.exclude(written))


def is_positive(label: pl.Series, positive: str) -> pl.Series:
    """1 where a binary label is the positive value, 0 where it is the other one, null where it is missing.

    Raises TableError.
    """
    text = label.str.strip_chars().replace("", None)
    values = sorted(text.drop_nulls().unique())
    if len(values) != 2:
        raise TableError(f"has a binary label of {len(values)} values ({listed(values)}), not of two")
    if not positive and {_number(value) for value in values} != {0.0, 1.0}:
        raise TableError(f"needs the positive value of its label in {INDEX}; there are {listed(values)}")
    wanted = positive or "1"
    as_number = _number(wanted)
    equal = [value for value in values if as_number is not None and _number(value) == as_number]
    chosen = [value for value in values if value == wanted] or equal
    if len(chosen) != 1:
        raise TableError(f"has no label with the positive value {wanted!r}; there are {listed(values)}")
    positives: pl.Series = text == chosen[0]
    return positives.cast(pl.Int8)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def numbers(label: pl.Series) -> pl.Series:
    """A label of numbers, null where it is missing or not finite.

    Raises TableError.
    """
    values = label.str.strip_chars().cast(pl.Float64, strict=False)
    wrong = label.filter(values.is_null() & label.is_not_null())
    if len(wrong):
        raise TableError(f"has a regression label that is no number in {len(wrong)} rows, as in {wrong[0]!r}")
    finite = values.set(~values.is_finite(), None)
    if finite.n_unique() - int(finite.null_count() > 0) < 2:
        raise TableError("has a regression label that never changes")
    return finite


def in_common_type(column: pl.Series) -> pl.Series:
    """The column in a type that every system reads: times in microseconds of UTC, truths as numbers, hours of a day as text."""
    dtype = column.dtype
    if dtype == pl.Boolean:
        return column.cast(pl.Int8)
    if dtype == pl.Time:
        return column.cast(pl.String)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"))
    if isinstance(dtype, pl.Datetime):
        naive = column if dtype.time_zone is None else column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return naive.cast(pl.Datetime("us"))
    return column


def check_rows(frame: pl.DataFrame, kind: Kind) -> None:
    """Raise TableError where the rows with a label do not allow a training and a test part."""
    label, inputs = frame[:, 0], frame[:, 1:]
    if not inputs.width:
        raise TableError("has no value in any column beside its label")
    if frame.height < FEWEST_ROWS:
        raise TableError(f"has {frame.height} rows with a label, and at least {FEWEST_ROWS} are needed")
    by_class = kind == "binary"
    rarest = int(min(label.sum(), frame.height - label.sum())) if by_class else FEWEST_OF_A_CLASS
    if rarest < FEWEST_OF_A_CLASS:
        raise TableError(f"has {rarest} rows of its rarer class, and at least {FEWEST_OF_A_CLASS} are needed")
    tested = dealt(label.to_numpy(), copy_codes(inputs), by_class, 0)
    if any(len(np.unique(label.to_numpy()[part])) < 2 for part in (tested, ~tested)):
        raise TableError("has so few different rows that a training or test part holds one value of the label only")


def distinct_names(columns: Iterable[str]) -> list[str]:
    """Plain names, no two alike; a name without a letter or digit becomes that of its place.

    >>> distinct_names(["a b", "a (b)", "%"])
    ['a_b', 'a_b_2', 'column_3']
    """
    return distinct([plain(name) or f"column_{place}" for place, name in enumerate(columns, start=1)])


def distinct(names: Iterable[str]) -> list[str]:
    """The names, a later one that is there already with a number after it."""
    present: list[str] = []
    for name in names:
        numbered = (name if turn == 1 else f"{name}_{turn}" for turn in range(1, len(present) + 2))
        present.append(next(free for free in numbered if free not in present))
    return present


def listed(values: Iterable[str]) -> str:
    """The first few values in a sentence.

    >>> listed("abcdefghijk")
    'a, b, c, d, e, f, g, h and 3 more'
    """
    every = [str(value).strip() for value in values]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def first_line(error: Exception) -> str:
    """What went wrong, without the advice that follows."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".:")
