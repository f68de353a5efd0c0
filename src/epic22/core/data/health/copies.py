"""The same thing recorded twice: identical rows, versions that change nothing, the same content under a new id."""

import polars as pl
from scipy import stats

from epic22.core.data.canonical import CANONICAL, KNOWN_AT, CanonicalTable
from epic22.core.data.health.finding import SIGNIFICANCE, Declared, Finding, share

EVENTS = ("leases", "charges", "payments", "equipment", "work_orders", "messages", "ledger")
"""Tables in which equal content under two ids is two records of one event: they hold a time and, but for sensors, an id of their
own. Equal flats (`units`) are the rule, and tell nothing."""

LEAST_COPIES = 3
CONSTANT_SHARE = 0.005
"""A table with more twins than this in all its months is told as such, though no month stands out."""


def audit_copies(declared: Declared) -> tuple[Finding, ...]:
    """Rows that occur more than once, per table."""
    found: list[Finding | None] = []
    for table in CANONICAL:
        if table.name in declared.frames and declared.has(table.name, *table.key, KNOWN_AT):
            frame = declared.frames[table.name]
            if frame.select(table.key).n_unique() < frame.height:
                found += [_identical(frame, table), _unchanged(frame, table)]
            if table.name in EVENTS:
                found.append(_twins(declared, table))
    return tuple(finding for finding in found if finding is not None)


def _identical(frame: pl.DataFrame, table: CanonicalTable) -> Finding | None:
    copies = frame.height - frame.n_unique()
    if not copies:
        return None
    return Finding(table.name, None, "row twice", f"{share(copies, frame.height)} are identical to another, known_at included.")


def _unchanged(frame: pl.DataFrame, table: CanonicalTable) -> Finding | None:
    """Versions that say what an earlier version of the same key said, next to one another in time."""
    content = [column.name for column in table.columns]
    distinct = frame.unique()
    counted = distinct.group_by(table.key).len()
    several = distinct.join(counted.filter(pl.col("len") > 1).select(table.key), on=list(table.key), how="semi")
    if several.is_empty():
        return None
    ordered = several.sort(*table.key, KNOWN_AT)
    says = ordered.select(pl.struct(content).hash(seed=0)).to_series()
    again = int((says == says.shift(1)).sum())
    if again < LEAST_COPIES:
        return None
    evidence = f"{share(again, frame.height)} repeat the version of their key before them, with another known_at."
    return Finding(table.name, None, "version without a change", evidence, grave=False)


def _twins(declared: Declared, table: CanonicalTable) -> Finding | None:
    """Content that occurs under several ids, in one month far more often than in the others, or often in all."""
    content = [c.name for c in table.columns if c.name not in table.key and declared.has(table.name, c.name)]
    if table.event_at not in content:
        return None
    first = declared.frames[table.name].sort(KNOWN_AT).unique(list(table.key), keep="first", maintain_order=True)
    rows = first.select(
        pl.struct(content).is_first_distinct().not_().alias("twin"), pl.col(KNOWN_AT).dt.truncate("1mo").alias("month")
    )
    twins = int(rows["twin"].sum())
    if twins < LEAST_COPIES:
        return None
    evidence = _outstanding_month(rows, twins) or _constant(rows, twins)
    return None if evidence is None else Finding(table.name, None, "row twice under a new id", evidence)


def _outstanding_month(rows: pl.DataFrame, twins: int) -> str | None:
    months = rows.group_by("month").agg(pl.col("twin").sum(), pl.len().alias("n")).sort("month")
    n, k = (months[name].cast(pl.Int64).to_numpy() for name in ("n", "twin"))
    others = (twins - k + 1) / (rows.height - n + 2)
    chance = stats.binom.sf(k - 1, n, others) * len(n) * len(EVENTS)
    best = int(chance.argmin())
    if chance[best] > SIGNIFICANCE or k[best] < LEAST_COPIES:
        return None
    return (
        f"of those known in {months['month'][best]:%Y-%m}, {share(int(k[best]), int(n[best]))} say what another row says "
        f"under another id, against {share(int(twins - k[best]), int(rows.height - n[best]))} in the other months "
        f"(chance {max(chance[best], 1e-99):.0e})."
    )


def _constant(rows: pl.DataFrame, twins: int) -> str | None:
    if twins < CONSTANT_SHARE * rows.height:
        return None
    return f"{share(twins, rows.height)} say what another row says under another id."
