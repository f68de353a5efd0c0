"""A hash of rows that is the same on every machine and in every release, and a sum of them that ignores order and batches.

Each value becomes 64 bits by its own meaning (text: its UTF-8 bytes; money: hundredths; time: microseconds; number: its IEEE
bits, with -0.0 as 0.0), is mixed with the column's name, and the columns are added up; null adds nothing, so a column that is
added later, empty, changes no hash. Two such lanes make 128 bits. Polars' own hash may differ between its releases; this one is
defined here, by integer arithmetic of NumPy alone, and compiled for many rows (`rowhash_kernels`, the same bits). It guards
against accidents, not against a forger.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Lanes = tuple[U64, U64]
Seeds = tuple[np.uint64, np.uint64]
LANES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
SEEDS = (np.uint64(LANES[0]), np.uint64(LANES[1]))
FIRST, SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
"""The multipliers of MurmurHash3's finaliser (Appleby, public domain)."""
MODULUS = 1 << 64
PART_ROWS = 1 << 15
"""Rows that are hashed at a time: what is computed on the way stays in a core's cache, which halves the time."""
COMPILED_ROWS = 200_000
"""Batches of so many rows are those of tables of millions, where compiled arithmetic saves more than it takes to load."""
LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)
"""Masks that keep the first n bytes of a word of eight."""


@dataclass(frozen=True)
class RowHashes:
    """Hashes of n rows, two lanes of 64 bits each: of the key, the key with `known_at`, all but `known_at`, the whole."""

    key: Lanes
    version: Lanes
    content: Lanes
    whole: Lanes


def hash_rows(frame: pl.DataFrame, key: Sequence[str], known_at: str = "known_at") -> RowHashes:
    """The hashes of a frame's rows, over all of its columns.

    >>> frame = pl.DataFrame({"id": ["a", "b"], "x": [1, None], "known_at": [0, 0]})
    >>> again = frame.reverse().select("known_at", "x", "id")
    >>> bool((hash_rows(frame, ["id"]).whole[0] == hash_rows(again, ["id"]).whole[0][::-1]).all())
    True
    """
    columns = {name: _read_column(frame[name]) for name in frame.columns}
    ids, last = [columns[name] for name in key], [columns[known_at]]
    rest = [column for name, column in columns.items() if name not in (*key, known_at)]
    if frame.height >= COMPILED_ROWS:
        return _hash_many_rows(frame.height, ids, rest, last)
    parts = [_hash_part(rows, ids, rest, last) for rows in _cut_rows(frame.height)]
    return parts[0] if len(parts) == 1 else _join_parts(parts)


def _cut_rows(n_rows: int) -> list[slice]:
    """The rows in parts; one empty part where there is none."""
    return [slice(begin, min(begin + PART_ROWS, n_rows)) for begin in range(0, max(n_rows, 1), PART_ROWS)]


def _hash_part(rows: slice, key: Sequence["_Column"], others: Sequence["_Column"], last: Sequence["_Column"]) -> RowHashes:
    ids, rest, known_at = (_sum_column_hashes(columns, rows) for columns in (key, others, last))
    return RowHashes(
        (_mix_bits(ids[0]), _mix_bits(ids[1])),
        (_mix_bits(ids[0] + known_at[0]), _mix_bits(ids[1] + known_at[1])),
        (_mix_bits(ids[0] + rest[0]), _mix_bits(ids[1] + rest[1])),
        (_mix_bits(ids[0] + rest[0] + known_at[0]), _mix_bits(ids[1] + rest[1] + known_at[1])),
    )


def _hash_many_rows(n_rows: int, key: Sequence["_Column"], others: Sequence["_Column"], last: Sequence["_Column"]) -> RowHashes:
    from epic22.core.tables.rowhash_kernels import mix_sums

    sums = [_sum_many_rows(columns, n_rows) for columns in (key, others, last)]
    hashes = np.empty((len(fields(RowHashes)), len(LANES), n_rows), dtype=np.uint64)
    for lane, of_lane in enumerate(zip(*sums, strict=True)):
        mix_sums(*of_lane, hashes[:, lane])
    return RowHashes(*((first, second) for first, second in hashes))


def _sum_many_rows(columns: Sequence["_Column"], n_rows: int) -> Lanes:
    """Per row, the sum of its columns' hashes, compiled."""
    sums = (np.zeros(n_rows, dtype=np.uint64), np.zeros(n_rows, dtype=np.uint64))
    for column in columns:
        column.values.add_hashes(np.zeros(0, dtype=np.uint64) if column.present is None else column.present, column.seeds, sums)
    return sums


def _join_parts(parts: Sequence[RowHashes]) -> RowHashes:
    def join(select: Callable[[RowHashes], Lanes]) -> Lanes:
        lanes = [select(part) for part in parts]
        return np.concatenate([a for a, _ in lanes]), np.concatenate([b for _, b in lanes])

    return RowHashes(*(join(attrgetter(name)) for name in ("key", "version", "content", "whole")))


def hash_keys(frame: pl.DataFrame, key: Sequence[str]) -> Lanes:
    """The hashes of the rows' keys, as `RowHashes.key` has them."""
    first, second = _sum_frame_hashes(frame, key)
    return _mix_bits(first), _mix_bits(second)


def hash_values(frame: pl.DataFrame, columns: Sequence[str]) -> U64:
    """One lane of hashes (n,) of the rows' values in these columns: numbers by their value, whatever type holds them.

    >>> whole = pl.DataFrame({"x": [1, 2], "y": ["a", None]})
    >>> bool((hash_values(whole, ["x", "y"]) == hash_values(whole.cast({"x": pl.Float64}), ["y", "x"])).all())
    True
    """
    plain = pl.DataFrame([_to_plain_type(frame[name]) for name in columns])
    return _mix_bits(_sum_frame_hashes(plain, columns)[0]) if columns else np.zeros(frame.height, dtype=np.uint64)


def _to_plain_type(series: pl.Series) -> pl.Series:
    """The values as numbers, moments or text."""
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.cast(pl.Float64).fill_nan(None)
    return series.cast(pl.Datetime("us")) if series.dtype.is_temporal() else series.cast(pl.String)


def _sum_frame_hashes(frame: pl.DataFrame, names: Sequence[str]) -> Lanes:
    """Per row of a frame, the sum of these columns' hashes."""
    columns = [_read_column(frame[name]) for name in names]
    if frame.height >= COMPILED_ROWS:
        return _sum_many_rows(columns, frame.height)
    parts = [_sum_column_hashes(columns, rows) for rows in _cut_rows(frame.height)]
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def _sum_column_hashes(columns: Sequence["_Column"], rows: slice) -> Lanes:
    """Per row of a part, the sum of its columns' hashes; null adds nothing."""
    n_rows = rows.stop - rows.start
    sums = (np.zeros(n_rows, dtype=np.uint64), np.zeros(n_rows, dtype=np.uint64))
    for column in columns:
        for total, seed, hashed in zip(sums, column.seeds, column.values.hash_part(rows), strict=True):
            hashes = _mix_bits(hashed ^ seed)
            if column.present is not None:
                hashes *= column.present[rows]
            total += hashes
    return sums


def digest_rows(lanes: Lanes) -> int:
    """The sum of the rows' hashes, each lane modulo 2⁶⁴, as one number below 2¹²⁸: adding rows adds to it."""
    return join_lanes(*(int(lane.sum(dtype=np.uint64)) for lane in lanes))


def join_lanes(high: int, low: int) -> int:
    """Two lanes as one number."""
    return (high % MODULUS) * MODULUS + low % MODULUS


def add_digests(numbers: Iterable[int]) -> int:
    """The sum of digests, lane by lane.

    >>> add_digests([MODULUS - 1, 1]) == 0
    True
    """
    listed = list(numbers)
    return join_lanes(sum(n // MODULUS for n in listed), sum(n % MODULUS for n in listed))


def subtract_digest(total: int, part: int) -> int:
    """The digest without that of some of its rows, lane by lane.

    >>> subtract_digest(add_digests([5, MODULUS - 1]), MODULUS - 1) == 5
    True
    """
    return join_lanes(total // MODULUS - part // MODULUS, total % MODULUS - part % MODULUS)


def _mix_bits(values: U64) -> U64:
    """MurmurHash3's 64-bit finaliser, in a fresh array."""
    out = values ^ (values >> np.uint64(33))
    out *= FIRST
    out ^= out >> np.uint64(33)
    out *= SECOND
    out ^= out >> np.uint64(33)
    return out


@dataclass(frozen=True)
class _Numbers:
    """Values of 64 bits each (n,); any where null."""

    bits: U64

    def hash_part(self, rows: slice) -> Lanes:
        bits = self.bits[rows]
        return _mix_bits(bits + np.uint64(LANES[0])), _mix_bits(bits + np.uint64(LANES[1]))

    def add_hashes(self, present: U64, seeds: Seeds, sums: Lanes) -> None:
        """Add the hashes of all values to the sums; those of a column's name in their `seeds`, without those not `present`."""
        from epic22.core.tables.rowhash_kernels import add_numbers

        add_numbers(_freeze(self.bits), _freeze(present), SEEDS, seeds, sums)


@dataclass(frozen=True)
class _Texts:
    """Values of text: all bytes in one run, as words of eight that begin at each byte, and where each value begins (n + 1,)."""

    words: U64
    offsets: NDArray[np.int64]

    def hash_part(self, rows: slice) -> Lanes:
        """Over the UTF-8 bytes, eight at a time, the length mixed in."""
        offsets = self.offsets[rows.start : rows.stop + 1]
        start, length = offsets[:-1], np.diff(offsets)
        lanes = [_mix_bits(length.view(np.uint64) + np.uint64(seed)) for seed in LANES]
        longest, shortest = int(length.max(initial=0)), int(length.min(initial=0))
        longer: NDArray[np.int64] | slice = slice(None)
        for at in range(0, longest, 8):
            if shortest <= at:
                longer = np.flatnonzero(length > at)
            word = self.words[start[longer] + at]
            if shortest < at + 8:
                word &= LOW_BYTES[np.minimum(length[longer] - at, 8)]
            for lane in lanes:
                lane[longer] = _mix_bits(lane[longer] ^ word) + np.uint64(LANES[0])
        return lanes[0], lanes[1]

    def add_hashes(self, present: U64, seeds: Seeds, sums: Lanes) -> None:
        """Add the hashes of all values to the sums; those of a column's name in their `seeds`, without those not `present`."""
        from epic22.core.tables.rowhash_kernels import add_texts

        add_texts(_freeze(self.words), _freeze(self.offsets), _freeze(present), SEEDS, seeds, sums)


def _freeze(values: NDArray[Any]) -> NDArray[Any]:
    """The same values, not to be written to: what may be written is another type for compiled code, which is compiled for one."""
    frozen = values.view()
    frozen.setflags(write=False)
    return frozen


@dataclass(frozen=True)
class _Column:
    """A column of n rows: what its name adds to each lane, which values are there (None: all), and the values."""

    seeds: Seeds
    present: U64 | None
    values: _Numbers | _Texts


def _read_column(series: pl.Series) -> _Column:
    """The column in NumPy, read at once: of parts each would pay for Polars' way there."""
    first, second = (hashlib.sha256(f"{lane}:{series.name}".encode()).digest()[:8] for lane in range(len(LANES)))
    seeds = np.uint64(int.from_bytes(first, "little")), np.uint64(int.from_bytes(second, "little"))
    present = series.is_not_null().cast(pl.UInt64).to_numpy() if series.null_count() else None
    return _Column(seeds, present, _read_texts(series) if series.dtype == pl.String else _Numbers(_to_bits(series)))


def _to_bits(series: pl.Series) -> U64:
    """64 bits of each value; any where null."""
    if series.dtype == pl.Float64:
        whole: NDArray[Any] = series.fill_null(0.0).to_numpy() + 0.0
    else:
        whole = series.to_physical().cast(pl.Int64).fill_null(0).to_numpy()
    return np.ascontiguousarray(whole).view(np.uint64)


def _read_texts(series: pl.Series) -> _Texts:
    array = series.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.concatenate([np.frombuffer(data_buffer or b"", dtype=np.uint8), np.zeros(8, dtype=np.uint8)])
    return _Texts(np.ndarray(shape=(len(data) - 7,), dtype="<u8", buffer=data, strides=(1,)), offsets)
