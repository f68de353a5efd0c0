"""A table that is larger than memory, read once into a matrix on disk: float32 rows, and beside them what is held a row.

In memory are the label, the time and the unit of every row (24 bytes together), and a sample of typed rows drawn by a hash of the
row's number. n = rows with a label, p = inputs. The order is that of the file, and the size of the batches changes nothing.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.data.batches import Batches
from epic22.core.data.copies import compute_alike_share, is_coincidence
from epic22.core.data.preprocess import MAX_LEVELS, Preprocessor
from epic22.core.data.profile import Profile
from epic22.core.errors import UserError
from epic22.core.fit_store import list_array_bytes
from epic22.core.lineage import sha256, sha256_of_sized_file
from epic22.core.task import Array, Column

SAMPLE_ROWS = 200_000
"""Rows of the sample: a quantile of this many is off by a tenth of a percent of the rows, a quarter of a bin."""

BLOCK_CELLS = 8_000_000
"""Cells that are read from the disk at once: 32 MB."""

GOLDEN, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The constants of SplitMix64 (Steele, Lea and Flood 2014)."""


def mix_bits(values: Array, seed: int = 0) -> Array:
    """64 well-mixed bits of 64-bit values, (n,) uint64; another seed, other bits."""
    out = values.astype(np.uint64) + np.uint64(int(GOLDEN) * (seed + 1) % (1 << 64))
    out = (out ^ (out >> np.uint64(30))) * FIRST
    out = (out ^ (out >> np.uint64(27))) * SECOND
    return np.asarray(out ^ (out >> np.uint64(31)))


def is_in_sample(numbers: Array, n_rows: int, max_rows: int = SAMPLE_ROWS) -> Array:
    """Which of these row numbers belong to the sample of about `max_rows` out of `n_rows`, (n,) booleans; all where there are
    fewer."""
    if n_rows <= max_rows:
        return np.ones(len(numbers), dtype=bool)
    return np.asarray(mix_bits(numbers, 1) < np.uint64(max_rows / n_rows * 2.0**64))


@dataclass(frozen=True)
class MatrixFile:
    """A matrix (rows, width) of float32 in a file."""

    path: Path
    n_rows: int
    n_columns: int

    @property
    def n_bytes(self) -> int:
        """How many bytes the file has."""
        return self.n_rows * self.n_columns * 4

    def iterate_blocks(self, block_rows: int | None = None) -> Iterator[tuple[slice, Array]]:
        """Which rows, and the matrix of them, from the first to the last."""
        size = block_rows or max(1, BLOCK_CELLS // max(1, self.n_columns))
        with self.path.open("rb") as stream:
            for first in range(0, self.n_rows, size):
                count = min(size, self.n_rows - first)
                block = np.fromfile(stream, dtype=np.float32, count=count * self.n_columns)
                yield slice(first, first + count), block.reshape(count, self.n_columns)


@dataclass(frozen=True, eq=False)
class LargeTable:
    """The rows of a table. `matrix_file` holds categories by their place in `levels` (a column's, by falling frequency, then
    name).

    `y` (n,) class codes or values; `at` (n,) datetime64[us] or None; `cluster_hash` (n,) uint64: a hash of whom the row is about,
    or of the row itself, equal for copies. `sample` holds the typed rows whose numbers are `sample_rows`, ascending.
    `trainable` (n,): rows that may train, None: all. `centers` are what was subtracted of columns in the matrix, by name.
    """

    matrix_file: MatrixFile
    columns: tuple[Column, ...]
    levels: Mapping[str, tuple[str, ...]]
    y: Array
    at: Array | None
    cluster_hash: Array
    sample: pl.DataFrame
    sample_rows: Array
    trainable: Array | None = None
    centers: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.matrix_file.n_rows

    @cached_property
    def digest(self) -> str:
        """The hash of all that models see of it: matrix, levels, centres, labels, times, and the rows of the sample."""
        how = ([column.name for column in self.columns], self.levels, self.centers)
        arrays = list_array_bytes(self.y, self.at, self.sample_rows, self.trainable)
        return sha256(sha256_of_sized_file(self.matrix_file.path).encode(), repr(how).encode(), *arrays)

    def fit_preprocessor(self, rows: Array | None = None) -> Preprocessor:
        """The map to a matrix fitted on the rows of a mask (n,), or on all: levels by falling frequency there, then by name."""
        counts = {name: np.zeros(len(levels), dtype=np.int64) for name, levels in self.levels.items()}
        place = {column.name: j for j, column in enumerate(self.columns)}
        if counts:
            for where, X in self.matrix_file.iterate_blocks():
                block = X if rows is None else X[rows[where]]
                for name, level_counts in counts.items():
                    codes = block[:, place[name]]
                    level_counts += np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(level_counts))
        return Preprocessor(
            self.columns,
            {name: _rank_levels(self.levels[name], level_counts) for name, level_counts in counts.items()},
            centers={column.name: self.centers[column.name] for column in self.columns if column.name in self.centers},
        )

    def iterate_matrices(
        self, preprocessor: Preprocessor, rows: Array | None = None, block_rows: int | None = None
    ) -> Iterator[tuple[Array, Array]]:
        """The row numbers of a mask (n,), all where None, and their matrix by a preprocessor of this table, block by block."""
        recoded = {
            j: np.array([*(preprocessor.levels[c.name].get(v, np.nan) for v in self.levels[c.name]), np.nan], dtype=np.float32)
            for j, c in enumerate(self.columns)
            if c.dtype == "category"
        }
        for where, X in self.matrix_file.iterate_blocks(block_rows):
            numbers = np.arange(where.start, where.stop)
            if rows is not None:
                numbers, X = numbers[rows[where]], X[rows[where]]
            for j, codes in recoded.items():
                X[:, j] = codes[np.where(np.isnan(X[:, j]), len(codes) - 1, X[:, j]).astype(np.int64)]
            if len(numbers):
                yield numbers, X


def _rank_levels(levels: tuple[str, ...], level_counts: Array) -> dict[str, int]:
    present = [place for place in range(len(levels)) if level_counts[place]]
    ranked = sorted(present, key=lambda place: (-int(level_counts[place]), levels[place]))
    return {levels[place]: code for code, place in enumerate(ranked[:MAX_LEVELS])}


@dataclass(frozen=True)
class LabelEncoder:
    """How a label becomes a code: `codes` of its values, or None for a number that stays what it is."""

    name: str
    codes: Mapping[object, float] | None

    def encode(self, series: pl.Series) -> Array:
        """Codes or values (n,) float64."""
        if self.codes is None:
            return series.cast(pl.Float64).to_numpy()
        return series.replace_strict(dict(self.codes), return_dtype=pl.Float64).to_numpy()


def read_large_table(
    profile: Profile, batches: Batches, columns: tuple[Column, ...], label_encoder: LabelEncoder, scratch: Path
) -> LargeTable:
    """Read the rows a second time: inputs into a spool in the folder `scratch`, the rest into arrays. And once more where the
    sample shows centres that the columns' ranges did not.

    Raises UserError where the disk has no room for them.
    """
    inputs = tuple(column for column in columns if column.role == "input")
    refuse_full_disk(scratch, profile.rows, len(inputs))
    centers = {c.name: profile.counts[c.name].choose_center() for c in inputs if c.dtype in ("int", "float")}
    centers = {name: center for name, center in centers.items() if center}
    table = _spool_rows(profile, batches, inputs, label_encoder, scratch, centers)
    of_sample = find_centers(inputs, table.sample)
    if set(of_sample) <= set(centers):
        return table
    return _spool_rows(profile, batches, inputs, label_encoder, scratch, {**of_sample, **centers})


def find_centers(columns: Sequence[Column], sample: pl.DataFrame) -> Mapping[str, float]:
    """What is to be subtracted of columns of numbers and times before they become float32, by a sample of their rows."""
    return Preprocessor.fit(tuple(c for c in columns if c.dtype in ("int", "float", "time")), sample).centers


def _spool_rows(
    profile: Profile,
    batches: Batches,
    inputs: tuple[Column, ...],
    label_encoder: LabelEncoder,
    scratch: Path,
    centers: Mapping[str, float],
) -> LargeTable:
    n, p = profile.rows, len(inputs)
    levels = {c.name: c.levels for c in inputs if c.dtype == "category"}
    plain = Preprocessor(
        inputs,
        {name: {v: code for code, v in enumerate(column_levels)} for name, column_levels in levels.items()},
        centers=centers,
    )
    y, cluster_hash = np.empty(n), np.empty(n, dtype=np.uint64)
    at = np.empty(n, dtype="datetime64[us]") if profile.roles.time else None
    group_column = profile.roles.group or profile.roles.id
    first, samples = 0, []
    with (scratch / "rows.f32").open("wb") as stream:
        for frame, times in profile.iterate_typed_rows(batches):
            rows = slice(first, first + frame.height)
            X = plain.transform(frame)
            np.ascontiguousarray(X).tofile(stream)
            y[rows] = label_encoder.encode(frame[label_encoder.name])
            cluster_hash[rows] = (
                _hash_matrix_rows(X)
                if group_column is None
                else frame[group_column].cast(pl.String).fill_null("missing").hash(22).to_numpy()
            )
            if at is not None and times is not None:
                at[rows] = times.cast(pl.Datetime("us")).to_numpy()
            numbers = np.arange(first, first + frame.height)
            selected = pl.Series("row", numbers[is_in_sample(numbers, n)])
            samples.append(frame[selected - first].with_columns(selected.alias(SAMPLE_ROW_COLUMN)))
            first += frame.height
    sample = pl.concat(samples)
    if group_column is None and _is_coincidence(cluster_hash, sample.select([column.name for column in inputs])):
        cluster_hash = mix_bits(np.arange(n, dtype=np.uint64))
    matrix_file = MatrixFile(scratch / "rows.f32", n, p)
    return LargeTable(
        matrix_file,
        inputs,
        levels,
        y,
        at,
        cluster_hash,
        sample.drop(SAMPLE_ROW_COLUMN),
        sample[SAMPLE_ROW_COLUMN].to_numpy(),
        centers=centers,
    )


SAMPLE_ROW_COLUMN = "\x1frow"


def _is_coincidence(row_hashes: Array, sample: pl.DataFrame) -> bool:
    """Whether rows that are alike are no copies, by the columns of a sample of them."""
    return is_coincidence(compute_alike_share(np.unique(row_hashes, return_counts=True)[1]), sample)


def _hash_matrix_rows(X: Array) -> Array:
    """A hash of each row, (n,) uint64: equal for copies, missing like missing."""
    bits = np.where(np.isnan(X), np.float32(np.nan), X + np.float32(0)).astype(np.float32).view(np.uint32)
    total = np.zeros(len(X), dtype=np.uint64)
    for j in range(X.shape[1]):
        total += mix_bits(bits[:, j], j)
    return mix_bits(total)


def refuse_full_disk(folder: Path, n_rows: int, n_columns: int) -> None:
    """Raise UserError where the disk of a folder has no room for this many rows while they train."""
    needed, free = n_rows * n_columns * 4, shutil.disk_usage(folder).free
    # A quantised cache may come on top, a byte a cell.
    if needed * 1.5 > free:
        raise UserError(
            f"{folder}: {n_rows:,} rows of {n_columns} inputs need {needed * 1.5 / 1e9:.1f} GB of disk while they train, "
            f"{free / 1e9:.1f} GB are free; free some, or set EPIC22_HOME to a larger disk."
        )
