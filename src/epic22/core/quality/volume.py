"""How many rows became known, against the windows before; whether a table stopped; rows that are gone, or were set apart."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import scipy

from epic22.core.quality.finding import Finding, format_share
from epic22.core.quality.movement_tests import MovementTest
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable
from epic22.core.tables.versions import SourceFile

MIN_USUAL_ROWS = 5.0
MIN_GAPS = 10
YEAR = timedelta(days=365)
MIN_LAG_DAYS = 2.0
MIN_SET_APART = 5
"""Fewer rows in quarantine are no sign of a broken source, however few came."""


def compare_row_count(table: CanonicalTable, counts: Sequence[int], year_before: Sequence[int] = ()) -> MovementTest | None:
    """The rows of the newest window (first of `counts`) against those before; None where there are too few to say.

    The logarithms of the counts are judged by Student's t as one more of their kind, with no less spread than counts have by
    chance. `effect` is the ratio to the usual, or its inverse, and to that of a year before where that is nearer.
    """
    past = np.array(counts[1:], dtype=float)
    usual = float(past.mean())
    if usual < MIN_USUAL_ROWS:
        return None
    logs = np.log(past + 0.5)
    spread = math.hypot(float(logs.std(ddof=1)), math.sqrt(1 / usual))
    t = (math.log(counts[0] + 0.5) - float(logs.mean())) / (spread * math.sqrt(1 + 1 / len(past)))
    p = 2 * float(scipy.stats.t.sf(abs(t), len(past) - 1))
    against = [usual, *([float(np.mean([counts[i] for i in year_before]))] if year_before else [])]
    effect = min(math.exp(abs(math.log((counts[0] + 0.5) / (one + 0.5)))) for one in against)
    evidence = (
        f"{counts[0]:,} rows became known since the parent, usual are {usual:,.0f} ({past.min():,.0f} to {past.max():,.0f})."
    )
    return MovementTest(table.name, None, "row count moved", effect, p, evidence)


def find_stale_table(table: CanonicalTable, known_at: pl.Series, end: datetime, limit: float) -> Finding | None:
    """A table whose newest row lies further before the end than `limit` times its longest pause in a year."""
    days = known_at.filter(known_at.is_between(end - 2 * YEAR, end)).dt.truncate("1d").unique().sort()
    if len(days) <= MIN_GAPS:
        return None
    newest = days[-1]
    longest = days.filter(days > newest - YEAR).diff().max()
    assert isinstance(longest, timedelta)
    lag = (end - newest) / timedelta(days=1)
    usual = longest / timedelta(days=1)
    if lag <= max(limit * usual, MIN_LAG_DAYS):
        return None
    evidence = (
        f"the newest row became known on {newest:%Y-%m-%d}, {lag:,.0f} days before the version's end; within a year no pause was "
        f"longer than {usual:,.0f} {'day' if round(usual) == 1 else 'days'}."
    )
    return Finding(table.name, KNOWN_AT, "stale table", evidence)


def find_rows_after_end(table: CanonicalTable, known_at: pl.Series, end: datetime) -> Finding | None:
    """Rows that became known after the version's end."""
    late = known_at.filter(known_at > end)
    if late.is_empty():
        return None
    rows = format_share(late.len(), known_at.len())
    evidence = f"{rows} have a known_at after the version's end, {end:%Y-%m-%d}: up to {late.sort()[-1]}."
    return Finding(table.name, KNOWN_AT, "known after the end", evidence, rows=late.len())


def find_gone_rows(table: CanonicalTable, now: pl.DataFrame, before: pl.DataFrame, limit: float) -> Finding | None:
    """Keys of the parent that the version has no longer, where they are more than this share."""
    keys = list(table.key)
    stored = before.select(keys).unique()
    gone = stored.join(now.select(keys), on=keys, how="anti", nulls_equal=True).height
    return report_gone_rows(table, gone, stored.height, limit)


def report_gone_rows(table: CanonicalTable, gone: int, stored: int, limit: float) -> Finding | None:
    """That so many rows are gone, where they are more than this share."""
    if gone == 0 or gone <= limit * stored:
        return None
    evidence = f"{format_share(gone, stored)} of the parent are gone."
    return Finding(table.name, None, "rows gone", evidence, rows=gone)


def find_rows_set_apart(sources: Sequence[SourceFile], limit: float) -> tuple[Finding, ...]:
    """Tables of which more than this share of the rows that an ingest read are in quarantine.

    >>> find_rows_set_apart([SourceFile("units.csv", "0" * 64, "units", 100, 12)], 0.05)[0].evidence
    '12 of 100 rows (12.0%) that came were set apart; epic22 data quarantine says why of each.'
    """
    findings = []
    for table in CANONICAL:
        own = [source for source in sources if source.table == table.name]
        set_apart, came = sum(source.quarantined for source in own), sum(source.rows for source in own)
        if set_apart >= MIN_SET_APART and set_apart > limit * came:
            evidence = f"{format_share(set_apart, came)} that came were set apart; epic22 data quarantine says why of each."
            findings.append(Finding(table.name, None, "rows set apart", evidence, rows=set_apart))
    return tuple(findings)
