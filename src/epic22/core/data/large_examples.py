"""A task's examples where all of them together would exceed the memory cap: built a part at a time, kept as a `LargeTable`.

Every input of a row is what was known at that row's own cutoff, so rows built in parts are the rows built at once. The tables
themselves, and entity and cutoff of every row, stay in memory. n = rows that are eligible, p = inputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.data.batches import BATCH_ROWS, BYTES_A_VALUE
from epic22.core.data.examples import Examples, every, examples_at
from epic22.core.data.large_table import LargeTable, Spool, refuse_full_disk, sampled
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.tables import Tables
from epic22.core.task import Array, Task

PART_SHARE = 0.25
"""The share of the cap that the frames of one part may take."""

FEWEST_ROWS = 1000
"""A part has at least so many rows: each costs a look at the whole tables."""


def memory_of(task: Task, rows: int) -> int:
    """About how many bytes of memory it takes to train on so many rows as a whole."""
    return rows * (len(task.input_columns) + 2) * BYTES_A_VALUE["parquet"]


def rows_a_part(task: Task, cap: int) -> int:
    """How many rows are built at once under a cap in bytes."""
    return min(BATCH_ROWS, max(FEWEST_ROWS, int(PART_SHARE * cap) // memory_of(task, 1)))


def eligible(task: Task, tables: Tables, cutoffs: pl.DataFrame, rows: int) -> pl.DataFrame:
    """The rows of the task at these cutoffs, frame [entity, cutoff], asked for so many at a time."""
    found = [task.rows(tables.as_of(part), part) for part in cutoffs.iter_slices(rows)]
    return pl.concat(found) if found else cutoffs.clear()


def spool_examples(
    task: Task, tables: Tables, at: pl.DataFrame, data_version: str, rows: int, scratch: Path
) -> tuple[LargeTable, Examples]:
    """The examples at these eligible rows, so many built at once: all as a table on disk, and those of its sample.

    Raises UserError where the disk has no room, ColumnError as `build_examples` does.
    """
    n, columns = at.height, task.input_columns
    refuse_full_disk(scratch, n, len(columns))
    learned = None if task.stride == 1 else every(at["cutoff"], task.stride)
    levels: dict[str, dict[str, int]] = {c.name: {} for c in columns if c.dtype == "category"}
    y, drawn, places, first = np.empty(n), [], [], 0
    with (scratch / "rows.f32").open("wb") as stream:
        for part in _parts(task, tables, at, data_version, rows):
            numbers = np.arange(first, first + len(part))
            _matrix(task, part.X, levels).tofile(stream)
            y[numbers] = part.y
            taken = numbers[sampled(numbers, n)]
            drawn.append(part.take(taken - first))
            places.append(taken)
            first += len(part)
    place = np.concatenate(places)
    sample = replace(_joined(drawn), learned=None if learned is None else learned[place])
    table = LargeTable(
        spool=Spool(scratch / "rows.f32", n, len(columns)),
        columns=columns,
        levels={name: tuple(known) for name, known in levels.items()},
        y=y,
        at=at["cutoff"].cast(pl.Datetime("us")).to_numpy(),
        unit=at["entity"].hash(22).to_numpy(),
        sample=sample.X,
        places=place,
        learned=learned,
    )
    return table, sample


def without_columns(table: LargeTable, names: set[str]) -> LargeTable:
    """The table without these columns, on disk too."""
    kept = [j for j, column in enumerate(table.columns) if column.name not in names]
    path = table.spool.path.with_suffix(".kept")
    with path.open("wb") as stream:
        for _, X in table.spool.blocks():
            np.ascontiguousarray(X[:, kept]).tofile(stream)
    path.replace(table.spool.path)
    return replace(
        table,
        spool=replace(table.spool, width=len(kept)),
        columns=tuple(table.columns[j] for j in kept),
        levels={name: levels for name, levels in table.levels.items() if name not in names},
        sample=table.sample.drop(names),
    )


def _parts(task: Task, tables: Tables, at: pl.DataFrame, data_version: str, rows: int) -> Iterator[Examples]:
    for part in at.iter_slices(rows):
        yield examples_at(task, tables, part, data_version)


def _matrix(task: Task, X: pl.DataFrame, levels: dict[str, dict[str, int]]) -> Array:
    """The rows as float32 (m, p); levels get the next code where they are first met."""
    plain = tuple(column for column in task.input_columns if column.name not in levels)
    matrix = np.empty((X.height, len(task.input_columns)), dtype=np.float32)
    matrix[:, [j for j, c in enumerate(task.input_columns) if c.name not in levels]] = Preprocessor(plain, {}).transform(X)
    for j, column in enumerate(task.input_columns):
        if column.name in levels:
            known, text = levels[column.name], X[column.name].cast(pl.String)
            for level in text.drop_nulls().unique(maintain_order=True):
                known.setdefault(level, len(known))
            codes = text.replace_strict(known, default=None, return_dtype=pl.Float32) if known else text.cast(pl.Float32)
            matrix[:, j] = codes.to_numpy()
    return matrix


def _joined(parts: Sequence[Examples]) -> Examples:
    """The rows of all parts, in their order."""
    first = parts[0]

    def along(name: str) -> Array | None:
        return None if getattr(first, name) is None else np.concatenate([getattr(part, name) for part in parts])

    return Examples(
        X=pl.concat([part.X for part in parts]),
        Y=np.concatenate([part.Y for part in parts]),
        entity=np.concatenate([part.entity for part in parts]),
        at=np.concatenate([part.at for part in parts]),
        data_version=first.data_version,
        group=along("group"),
        slices=None if first.slices is None else pl.concat([part.slices for part in parts if part.slices is not None]),
        incumbent=along("incumbent"),
        exposure=along("exposure"),
        cluster=along("cluster"),
    )
