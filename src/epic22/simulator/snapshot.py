"""What the simulated company's system shows at a moment before the end, as an export of that day holds it."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from epic22.core.quality.window_samples import mask_later_columns
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable


def take_snapshot(tables: Mapping[str, pl.DataFrame], moment: datetime) -> dict[str, pl.DataFrame]:
    """Of each row the newest version known by the moment, without what happened later; `known_at` stays the simulator's own.

    An order that is closed later is open, as the company's system has it: no row's status is empty.
    """
    return {table.name: _show_table(table, tables[table.name], moment) for table in CANONICAL if table.name in tables}


def _show_table(table: CanonicalTable, frame: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    known = frame.filter(pl.col(KNOWN_AT) <= moment).sort(KNOWN_AT, maintain_order=True)
    newest = known.unique(list(table.key), keep="last", maintain_order=True)
    rows = mask_later_columns(newest, table, moment)
    if table.name != "work_orders":
        return rows
    is_closed_later = newest["completed_at"] > moment
    status = newest.select(pl.when(is_closed_later).then(pl.lit("open")).otherwise("status").alias("status")).to_series()
    return rows.with_columns(status)
