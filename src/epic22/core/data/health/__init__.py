"""The health of the canonical tables: what is wrong in them, by evidence, before anything is made of them."""

import polars as pl

from epic22.core.data.canonical import CANONICAL, KNOWN_AT
from epic22.core.data.health.columns import audit_schema
from epic22.core.data.health.copies import audit_copies
from epic22.core.data.health.dates import audit_dates
from epic22.core.data.health.drift import audit_drift
from epic22.core.data.health.finding import Declared, Finding, Frames, as_declared
from epic22.core.data.health.hindsight import audit_hindsight
from epic22.core.data.health.knowledge import audit_knowledge
from epic22.core.data.health.units import audit_units

__all__ = ["Declared", "Finding", "Frames", "audit_tables"]


def audit_tables(frames: Frames, before: Frames | None = None) -> tuple[Finding, ...]:
    """All that is wrong in these tables (canonical name to frame of row versions), in the order of the contract's tables.

    `before` are the tables as of the ingest before: with them, a value that changed under the same `known_at` is certain. Absent
    tables are passed over, and frames whose columns differ from the contract are told and then read as far as they go. The
    statistical checks accuse sound tables with a chance of about one in ten thousand each, all that they test taken together.
    """
    declared, found = _declare(frames, before or {})
    found += audit_dates(declared)
    found += audit_knowledge(declared, before)
    found += audit_hindsight(declared)
    found += audit_copies(declared)
    proper, in_other_units = audit_units(declared)
    found += in_other_units
    found += audit_drift(proper)
    place = {table.name: i for i, table in enumerate(CANONICAL)}
    return tuple(sorted(found, key=lambda finding: place[finding.table]))


def _declare(frames: Frames, before: Frames) -> tuple[Declared, list[Finding]]:
    """The frames in the contract's columns and types, and what had to be made up for that."""
    found: list[Finding] = []
    ready: dict[str, pl.DataFrame] = {}
    absent: set[tuple[str, str]] = set()
    for table in CANONICAL:
        if table.name not in frames:
            continue
        frame, findings = audit_schema(frames[table.name], table, before.get(table.name))
        found += findings
        wanted = {column.name for column in table.columns} | {KNOWN_AT}
        absent |= {(table.name, name) for name in wanted - set(frame.columns)}
        ready[table.name] = as_declared(frame, table)
    return Declared(ready, frozenset(absent)), found
