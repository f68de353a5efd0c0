"""A task's examples where all of them together would exceed the memory cap: built a part at a time, kept as a `LargeTable`.

Every input of a row is what was known at that row's own cutoff, so rows built in parts are the rows built at once. The tables
themselves, and entity and cutoff of every row, stay in memory. n = rows that are eligible, p = inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.batches import BATCH_ROWS, BYTES_PER_VALUE
from epic22.core.data.examples import Examples, build_examples_at, is_on_stride
from epic22.core.data.large_table import LargeTable, MatrixFile, find_centers, is_in_sample, refuse_full_disk
from epic22.core.data.point_in_time import Tables
from epic22.core.data.preprocess import Preprocessor
from epic22.core.task import Array, Task

BATCH_MEMORY_SHARE = 0.25
"""The share of the cap that the frames of one part may take."""

MIN_BATCH_ROWS = 1000
"""A part has at least this many rows: each costs a look at the whole tables."""


def estimate_memory(task: Task, n_rows: int) -> int:
    """About how many bytes of memory it takes to train on this many rows as a whole."""
    return n_rows * (len(task.input_columns) + 2) * BYTES_PER_VALUE["parquet"]


def compute_batch_rows(task: Task, cap: int) -> int:
    """How many rows are built at once under a cap in bytes."""
    return min(BATCH_ROWS, max(MIN_BATCH_ROWS, int(BATCH_MEMORY_SHARE * cap) // estimate_memory(task, 1)))


def select_eligible_rows(task: Task, tables: Tables, cutoffs: pl.DataFrame, batch_rows: int) -> pl.DataFrame:
    """The rows of the task at these cutoffs, frame [entity, cutoff], asked for a part at a time."""
    batches = [task.rows(tables.as_of(batch), batch) for batch in cutoffs.iter_slices(batch_rows)]
    return pl.concat(batches) if batches else cutoffs.clear()


def build_large_examples(
    task: Task, tables: Tables, at: pl.DataFrame, data_version: str, batch_rows: int, scratch: Path
) -> tuple[LargeTable, Examples]:
    """The examples at these eligible rows, a part built at a time: all as a table on disk, and those of its sample.

    Raises UserError where the disk has no room, ColumnError as `build_examples` does.
    """
    refuse_full_disk(scratch, at.height, len(task.input_columns))
    table, sample = _spool_examples(task, tables, at, _Spool(data_version, batch_rows, scratch))
    centers = find_centers(task.input_columns, sample.X)
    if centers:
        # Float32 would merge values that are large beside their spread; that is known once rows were built.
        table, sample = _spool_examples(task, tables, at, _Spool(data_version, batch_rows, scratch, centers))
    return table, sample


@dataclass(frozen=True)
class _Spool:
    """How rows are built: so many at once, into a folder, less the `centers` of columns."""

    data_version: str
    batch_rows: int
    scratch: Path
    centers: Mapping[str, float] = field(default_factory=dict)


def _spool_examples(task: Task, tables: Tables, at: pl.DataFrame, spool: _Spool) -> tuple[LargeTable, Examples]:
    n, columns = at.height, task.input_columns
    trainable = None if task.stride == 1 else is_on_stride(at["cutoff"], task.stride)
    levels: dict[str, dict[str, int]] = {c.name: {} for c in columns if c.dtype == "category"}
    y, samples, sample_rows, first = np.empty(n), [], [], 0
    with (spool.scratch / "rows.f32").open("wb") as stream:
        for part in at.iter_slices(spool.batch_rows):
            batch = build_examples_at(task, tables, part, spool.data_version)
            numbers = np.arange(first, first + len(batch))
            _encode_matrix(task, batch.X, levels, spool.centers).tofile(stream)
            y[numbers] = batch.y
            selected = numbers[is_in_sample(numbers, n)]
            samples.append(batch.take(selected - first))
            sample_rows.append(selected)
            first += len(batch)
    sample_row_numbers = np.concatenate(sample_rows)
    sample = replace(_concatenate(samples), trainable=None if trainable is None else trainable[sample_row_numbers])
    table = LargeTable(
        matrix_file=MatrixFile(spool.scratch / "rows.f32", n, len(columns)),
        columns=columns,
        levels={name: tuple(level_codes) for name, level_codes in levels.items()},
        y=y,
        at=at["cutoff"].cast(pl.Datetime("us")).to_numpy(),
        cluster_hash=at["entity"].hash(22).to_numpy(),
        sample=sample.X,
        sample_rows=sample_row_numbers,
        trainable=trainable,
        centers=spool.centers,
    )
    return table, sample


def drop_columns(table: LargeTable, names: set[str]) -> LargeTable:
    """The table without these columns, on disk too."""
    positions = [j for j, column in enumerate(table.columns) if column.name not in names]
    path = table.matrix_file.path.with_suffix(".kept")
    with path.open("wb") as stream:
        for _, X in table.matrix_file.iterate_blocks():
            np.ascontiguousarray(X[:, positions]).tofile(stream)
    path.replace(table.matrix_file.path)
    return replace(
        table,
        matrix_file=replace(table.matrix_file, n_columns=len(positions)),
        columns=tuple(table.columns[j] for j in positions),
        levels={name: levels for name, levels in table.levels.items() if name not in names},
        sample=table.sample.drop(names),
        centers={name: center for name, center in table.centers.items() if name not in names},
    )


def _encode_matrix(task: Task, X: pl.DataFrame, levels: dict[str, dict[str, int]], centers: Mapping[str, float]) -> Array:
    """The rows as float32 (m, p), less the centres of columns; levels get the next code where they are first met."""
    plain = tuple(column for column in task.input_columns if column.name not in levels)
    matrix = np.empty((X.height, len(task.input_columns)), dtype=np.float32)
    places = [j for j, c in enumerate(task.input_columns) if c.name not in levels]
    matrix[:, places] = Preprocessor(plain, {}, centers=centers).transform(X)
    for j, column in enumerate(task.input_columns):
        if column.name in levels:
            level_codes, text = levels[column.name], X[column.name].cast(pl.String)
            for level in text.drop_nulls().unique(maintain_order=True):
                level_codes.setdefault(level, len(level_codes))
            codes = (
                text.replace_strict(level_codes, default=None, return_dtype=pl.Float32) if level_codes else text.cast(pl.Float32)
            )
            matrix[:, j] = codes.to_numpy()
    return matrix


def _concatenate(parts: Sequence[Examples]) -> Examples:
    """The rows of all parts, in their order."""
    first = parts[0]

    names = ("Y", "entity", "at", "group", "incumbent", "stake", "cluster")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names if getattr(first, name) is not None
    }
    slices = None if first.slices is None else pl.concat([part.slices for part in parts if part.slices is not None])
    return Examples(X=pl.concat([part.X for part in parts]), slices=slices, data_version=first.data_version, **joined)
