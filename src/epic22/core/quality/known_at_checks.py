"""Whether `known_at` can be believed: not before the event, not the day of loading, and no value changed under it."""

import polars as pl

from epic22.core.quality.finding import DeclaredTables, Finding, Frames, cast_to_contract, format_share
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable

EVENT_COLUMNS = {
    "tenants": "created_at",
    "leases": "signed_on",
    "payments": "paid_on",
    "equipment": "installed_on",
    "work_orders": "opened_at",
    "sensor_readings": "measured_at",
    "messages": "sent_at",
    "ledger": "posted_on",
    "market": "published_at",
}
"""The event before which nobody can know of a row. A charge may be known before it falls due, so it has none."""

MIN_SPAN_DAYS = 60
MIN_ROWS = 20


def audit_known_at(declared: DeclaredTables, before: Frames | None = None) -> tuple[Finding, ...]:
    """Rows known before their event, tables known all at once, and values that changed since `before` under the same known_at."""
    findings: list[Finding | None] = []
    for table in CANONICAL:
        if not declared.has_columns(table.name, KNOWN_AT):
            continue
        frame = declared.frames[table.name]
        findings += [_check_known_before_event(frame, table, declared), _check_known_at_load(frame, table, declared)]
        if before is not None and table.name in before:
            findings += _check_overwritten_values(frame, cast_to_contract(before[table.name], table), table, declared)
    return tuple(finding for finding in findings if finding is not None)


def _check_known_before_event(frame: pl.DataFrame, table: CanonicalTable, declared: DeclaredTables) -> Finding | None:
    event = EVENT_COLUMNS.get(table.name)
    if event is None or not declared.has_columns(table.name, event):
        return None
    early = frame.filter(pl.col(KNOWN_AT) < pl.col(event))
    if early.is_empty():
        return None
    longest = early.select((pl.col(event) - pl.col(KNOWN_AT)).max()).item()
    evidence = (
        f"{format_share(early.height, frame.height)} have a known_at before their {event}, by up to "
        f"{longest.total_seconds() / 86400:.1f} days: a prediction would see them before they happened."
    )
    return Finding(table.name, KNOWN_AT, "known_at before the event", evidence, rows=early.height)


def _check_known_at_load(frame: pl.DataFrame, table: CanonicalTable, declared: DeclaredTables) -> Finding | None:
    """Nearly all versions known at one moment though their events lie far apart."""
    event = table.event_at
    if event == KNOWN_AT or not declared.has_columns(table.name, event) or frame.height < MIN_ROWS:
        return None
    counts = frame[KNOWN_AT].alias("at").value_counts(sort=True)
    n_rows, moment = int(counts["count"][0]), counts["at"][0]
    span = frame.select((pl.col(event).quantile(0.95) - pl.col(event).quantile(0.05)).dt.total_days()).item()
    if n_rows < 0.9 * frame.height or span is None or span < MIN_SPAN_DAYS:
        return None
    evidence = (
        f"{format_share(n_rows, frame.height)} have the known_at {moment:%Y-%m-%d %H:%M} though their {event} "
        f"spans {span:,} days: "
        "it is the moment of loading, and cutoffs before it see nothing; name the event column in the mapping."
    )
    return Finding(table.name, KNOWN_AT, "known at load", evidence, grave=False)


def _check_overwritten_values(
    frame: pl.DataFrame, before: pl.DataFrame, table: CanonicalTable, declared: DeclaredTables
) -> list[Finding]:
    """Columns whose values differ from `before` in versions that bear the same key and known_at.

    A column known later by declaration may be filled in a version (null before, a value now), and is not blamed for that.
    """
    keys = [*table.key, KNOWN_AT]
    unique = before.unique(keys, keep="first")
    same = frame.unique(keys, keep="first").join(unique, on=keys, how="inner", suffix=" before")
    findings = []
    for column in table.columns:
        if column.name in keys or not declared.has_columns(table.name, column.name):
            continue
        changed = ~pl.col(column.name).eq_missing(pl.col(f"{column.name} before"))
        if column.known_when is not None:
            changed &= pl.col(f"{column.known_when} before").is_not_null()
        rows = same.filter(changed).height
        if rows:
            filled = same.filter(changed & pl.col(f"{column.name} before").is_null()).height
            evidence = (
                f"{column.name} changed in {format_share(rows, same.height)} whose key and known_at are as before"
                f"{f' ({filled:,} were empty)' if filled else ''}: the past as known then no longer holds what was known."
            )
            findings.append(Finding(table.name, column.name, "value overwritten", evidence, rows=rows))
    return findings
