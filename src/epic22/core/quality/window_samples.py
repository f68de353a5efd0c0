"""The rows of windows, read in one pass over a table, in no more columns than are tested."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import or_

import polars as pl

from epic22.core.quality.table_pair import build_key_hash, hash_keys
from epic22.core.quality.windows import Window
from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable

BATCH_ROWS = 500_000
FIRST_KNOWN = "first_known"


def read_samples(table: CanonicalTable, rows: pl.LazyFrame, windows: Sequence[Window]) -> tuple[pl.DataFrame, ...]:
    """The rows of each window: the last version known at its end of each key first known in it, later columns masked.

    Levels come as categories, and of the key no more than tests look at.
    """
    until = rows.filter(pl.col(KNOWN_AT) <= max(window.end for window in windows))
    names = _list_tested_columns(table, rows.collect_schema().names())
    revised_keys = _find_repeated(hash_keys(table, until))
    is_revised = build_key_hash(table).is_in(revised_keys.implode())
    once = until if revised_keys.is_empty() else until.filter(~is_revised)
    parts = _read_parts(once.select(names), windows)
    if not revised_keys.is_empty():
        versions = until.filter(is_revised).collect().with_columns(pl.col(KNOWN_AT).min().over(table.key).alias(FIRST_KNOWN))
        for part, window in zip(parts, windows, strict=True):
            part.append(_select_last_versions(table, versions, window).select(names))
    return tuple(mask_later_columns(pl.concat(part), table, window.end) for part, window in zip(parts, windows, strict=True))


def _read_parts(rows: pl.LazyFrame, windows: Sequence[Window]) -> list[list[pl.DataFrame]]:
    """Frames whose rows became known in each window, of which there is one version alone."""
    parts = [[rows.limit(0).collect()] for _ in windows]
    is_inside = reduce(or_, (_is_inside(window, KNOWN_AT) for window in windows))
    inside = rows.filter(pl.col(KNOWN_AT) > min(window.begin for window in windows), is_inside)
    for batch in inside.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False):
        for part, window in zip(parts, windows, strict=True):
            part.append(batch.filter(_is_inside(window, KNOWN_AT)))
    return parts


def prepare_sample(table: CanonicalTable, rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Rows as `read_samples` gives those of a window, in the same columns."""
    return mask_later_columns(rows.select(_list_tested_columns(table, rows.columns)), table, window.end)


def mask_later_columns(rows: pl.DataFrame, table: CanonicalTable, moment: datetime) -> pl.DataFrame:
    """The rows with what became known after the moment as null."""
    late = [c for c in table.columns if c.known_when in rows.columns and c.name in rows.columns]
    return rows.with_columns(pl.when(pl.col(c.known_when or "") <= moment).then(pl.col(c.name)).alias(c.name) for c in late)


def _select_last_versions(table: CanonicalTable, versions: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The last version known at the window's end of each key first known in it."""
    known = versions.filter(_is_inside(window, FIRST_KNOWN) & (pl.col(KNOWN_AT) <= window.end))
    return known.sort(KNOWN_AT, maintain_order=True).unique(list(table.key), keep="last", maintain_order=True)


def _is_inside(window: Window, name: str) -> pl.Expr:
    return pl.col(name).is_between(window.begin, window.end, closed="right")


def _find_repeated(numbers: pl.Series) -> pl.Series:
    """The numbers that are there more than once."""
    ordered = numbers.sort()
    return ordered.filter(ordered == ordered.shift(1)).unique()


def _list_tested_columns(table: CanonicalTable, there: Sequence[str]) -> list[pl.Expr]:
    """All columns but those of the key that only name a thing; levels as categories, which take a quarter of the room."""
    columns = [c for c in table.columns if c.name in there]
    levels = [c.name for c in columns if c.dtype == "category"]
    counted = [table.entity if table.entity in there else table.key[0]] if levels else []
    return [
        pl.col(c.name).cast(pl.Categorical) if c.name in (*levels, *counted) else pl.col(c.name)
        for c in columns
        if c.name not in table.key or c.name in (*levels, *counted)
    ] + [pl.col(KNOWN_AT)]
