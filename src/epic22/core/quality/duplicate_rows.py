"""The same thing recorded twice: identical rows, versions that change nothing, the same content under a new id."""

import polars as pl
import scipy

from epic22.core.quality.finding import SIGNIFICANCE, DeclaredTables, Finding, format_share
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable

EVENTS = ("leases", "charges", "payments", "equipment", "work_orders", "messages", "ledger")
"""Tables in which equal content under two ids is two records of one event: they hold a time and, but for sensors, an id of their
own. Equal flats (`units`) are the rule, and tell nothing."""

MIN_DUPLICATES = 3
MIN_CONSTANT_SHARE = 0.005
"""A table with more twins than this in all its months is reported as such, though no month stands out."""


def audit_duplicates(declared: DeclaredTables) -> tuple[Finding, ...]:
    """Rows that occur more than once, per table."""
    findings: list[Finding | None] = []
    for table in CANONICAL:
        if table.name in declared.frames and declared.has_columns(table.name, *table.key, KNOWN_AT):
            frame = declared.frames[table.name]
            if frame.select(table.key).n_unique() < frame.height:
                findings += [_check_identical_rows(frame, table), _check_unchanged_versions(frame, table)]
            if table.name in EVENTS:
                findings.append(_check_new_ids(declared, table))
    return tuple(finding for finding in findings if finding is not None)


def _check_identical_rows(frame: pl.DataFrame, table: CanonicalTable) -> Finding | None:
    n_duplicates = frame.height - frame.n_unique()
    if not n_duplicates:
        return None
    return Finding(
        table.name,
        None,
        "duplicate row",
        f"{format_share(n_duplicates, frame.height)} equal another, known_at included.",
        rows=n_duplicates,
    )


def _check_unchanged_versions(frame: pl.DataFrame, table: CanonicalTable) -> Finding | None:
    """Versions that say what an earlier version of the same key said, next to one another in time."""
    content = [column.name for column in table.columns]
    distinct = frame.unique()
    counts = distinct.group_by(table.key).len()
    repeated = distinct.join(counts.filter(pl.col("len") > 1).select(table.key), on=list(table.key), how="semi")
    if repeated.is_empty():
        return None
    ordered = repeated.sort(*table.key, KNOWN_AT)
    says = ordered.select(pl.struct(content).hash(seed=0)).to_series()
    n_unchanged = int((says == says.shift(1)).sum())
    if n_unchanged < MIN_DUPLICATES:
        return None
    evidence = f"{format_share(n_unchanged, frame.height)} repeat the version of their key before them, with another known_at."
    return Finding(table.name, None, "version without a change", evidence, grave=False, rows=n_unchanged)


def _check_new_ids(declared: DeclaredTables, table: CanonicalTable) -> Finding | None:
    """Content that occurs under several ids, in one month far more often than in the others, or often in all."""
    content = [c.name for c in table.columns if c.name not in table.key and declared.has_columns(table.name, c.name)]
    if table.event_at not in content:
        return None
    first = declared.frames[table.name].sort(KNOWN_AT).unique(list(table.key), keep="first", maintain_order=True)
    rows = first.select(
        pl.struct(content).is_first_distinct().not_().alias("twin"), pl.col(KNOWN_AT).dt.truncate("1mo").alias("month")
    )
    twins = int(rows["twin"].sum())
    if twins < MIN_DUPLICATES:
        return None
    evidence = _describe_worst_month(rows, twins)
    if evidence is None and twins >= MIN_CONSTANT_SHARE * rows.height:
        evidence = f"{format_share(twins, rows.height)} say what another row says under another id."
    return None if evidence is None else Finding(table.name, None, "duplicate row under a new id", evidence)


def _describe_worst_month(rows: pl.DataFrame, twins: int) -> str | None:
    months = rows.group_by("month").agg(pl.col("twin").sum(), pl.len().alias("n")).sort("month")
    n, k = (months[name].cast(pl.Int64).to_numpy() for name in ("n", "twin"))
    others = (twins - k + 1) / (rows.height - n + 2)
    p_values = scipy.stats.binom.sf(k - 1, n, others) * len(n) * len(EVENTS)
    best = int(p_values.argmin())
    if p_values[best] > SIGNIFICANCE or k[best] < MIN_DUPLICATES:
        return None
    return (
        f"of those known in {months['month'][best]:%Y-%m}, {format_share(int(k[best]), int(n[best]))} say what another row says "
        f"under another id, against {format_share(int(twins - k[best]), int(rows.height - n[best]))} in the other months "
        f"(chance {max(p_values[best], 1e-99):.0e})."
    )
