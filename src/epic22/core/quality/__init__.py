"""The health of the canonical tables: what is wrong in them, by evidence, before anything is made of them."""

import polars as pl

from epic22.core.quality.dates import audit_dates
from epic22.core.quality.duplicate_rows import audit_duplicates
from epic22.core.quality.finding import DeclaredTables, Finding, Frames, cast_to_contract
from epic22.core.quality.known_at_checks import audit_known_at
from epic22.core.quality.post_event_values import audit_post_event_values
from epic22.core.quality.schema import audit_schema
from epic22.core.quality.sensor_drift import audit_drift
from epic22.core.quality.units import audit_units
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT

__all__ = ["DeclaredTables", "Finding", "Frames", "audit_tables"]


def audit_tables(frames: Frames, before: Frames | None = None) -> tuple[Finding, ...]:
    """All that is wrong in these tables (canonical name to frame of row versions), in the order of the contract's tables.

    `before` are the tables as of the ingest before: with them, a value that changed under the same `known_at` is certain. Absent
    tables are passed over, and frames whose columns differ from the contract are reported and then read as far as they go. The
    statistical checks accuse sound tables with a chance of about one in ten thousand each, all that they test taken together.
    """
    declared, findings = _declare(frames, before or {})
    findings += audit_dates(declared)
    findings += audit_known_at(declared, before)
    findings += audit_post_event_values(declared)
    findings += audit_duplicates(declared)
    in_proper_units, unit_findings = audit_units(declared)
    findings += unit_findings
    findings += audit_drift(in_proper_units)
    place = {table.name: i for i, table in enumerate(CANONICAL)}
    return tuple(sorted(findings, key=lambda finding: place[finding.table]))


def _declare(frames: Frames, before: Frames) -> tuple[DeclaredTables, list[Finding]]:
    """The frames in the contract's columns and types, and what had to be made up for that."""
    all_findings: list[Finding] = []
    ready: dict[str, pl.DataFrame] = {}
    absent: set[tuple[str, str]] = set()
    for table in CANONICAL:
        if table.name not in frames:
            continue
        frame, findings = audit_schema(frames[table.name], table, before.get(table.name))
        all_findings += findings
        expected = {column.name for column in table.columns} | {KNOWN_AT}
        absent |= {(table.name, name) for name in expected - set(frame.columns)}
        ready[table.name] = cast_to_contract(frame, table)
    return DeclaredTables(ready, frozenset(absent)), all_findings
