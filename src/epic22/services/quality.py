"""The quality of a data version: all that is wrong in it, each by its level, and how its tables stand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

import polars as pl

from epic22.core.ports import TableStore
from epic22.core.quality import audit_tables
from epic22.core.quality.checks import ALARMS, LEVELS, Level, QualityRules
from epic22.core.quality.finding import Finding, Frames
from epic22.core.quality.movement_tests import MovementTest
from epic22.core.quality.version_comparison import VersionComparison, VersionPair, compare_versions
from epic22.core.quality.volume import find_rows_set_apart
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable
from epic22.core.tables.versions import LakeVersion

SHOWN_VERSIONS = 24
NOT_COMPARED = VersionComparison((), (), ())


@dataclass(frozen=True)
class RatedFinding:
    """A finding, the check that it belongs to and its level. `is_standing`: the parent has it too, no smaller."""

    finding: Finding
    check: str
    level: Level
    is_standing: bool = False


@dataclass(frozen=True)
class TableHealth:
    """How a table stands: rows by version (number, rows), shares of missing cells by column in the parent and now, rows in
    quarantine by reason, the newest known_at and how many days before the version's end that lies."""

    name: str
    rows: int
    rows_by_version: tuple[tuple[int, int], ...]
    missing: Mapping[str, tuple[float | None, float]]
    quarantined: Mapping[str, int]
    newest: datetime | None
    lag_days: float | None


@dataclass(frozen=True)
class VersionQuality:
    """The quality of a version against its parent, the gravest finding first. `untested`: what could not be tested, and why."""

    version: LakeVersion
    parent: LakeVersion | None
    findings: tuple[RatedFinding, ...]
    tests: tuple[MovementTest, ...]
    untested: tuple[str, ...]
    tables: tuple[TableHealth, ...]
    rules: QualityRules

    @property
    def alarms(self) -> tuple[RatedFinding, ...]:
        """The findings that are more than a note."""
        return tuple(one for one in self.findings if one.level in ALARMS)

    @property
    def is_refused(self) -> bool:
        """Whether an ingest would store nothing of it."""
        return any(one.level == "refuse" for one in self.findings)


def assess_quality(table_store: TableStore, number: int | None = None, rules: QualityRules = QualityRules()) -> VersionQuality:
    """The quality of a version (the newest where None) against the version that it was made from. Raises LakeError."""
    version = table_store.resolve_version(number)
    parent = None if version.parent is None else table_store.version(version.parent)
    now = _read_tables(table_store, version.number)
    before = {} if parent is None else _read_tables(table_store, parent.number)
    compared = NOT_COMPARED if parent is None else compare_versions(VersionPair(now, before, parent.end, version.end), rules)
    set_apart = find_rows_set_apart(version.sources, rules.get_limit("rows set apart"))
    findings = (*rate_audit(now, before, rules), *rate_findings((*compared.findings, *set_apart), rules))
    untested = ("the first version: nothing lies before it to compare with.",) if parent is None else compared.untested
    lineage = _list_lineage(table_store, version)
    quarantined = _count_quarantined(table_store.quarantine(version.number))
    tables = tuple(
        _describe_table(table, VersionTables(version, now, before), lineage, quarantined.get(table.name, {}))
        for table in CANONICAL
        if table.name in now
    )
    ordered = sorted(findings, key=lambda one: LEVELS.index(one.level))
    return VersionQuality(version, parent, tuple(ordered), compared.tests, untested, tables, rules)


@dataclass(frozen=True)
class VersionTables:
    """A version with its tables and those of its parent."""

    version: LakeVersion
    now: Frames
    before: Frames


def rate_audit(now: Frames, before: Frames, rules: QualityRules) -> tuple[RatedFinding, ...]:
    """What the audit finds in the tables, rated; what the parent has too, no smaller, is a note."""
    standing = {_name_place(finding): finding.rows for finding in audit_tables(before)} if before else {}
    rated = []
    for one in rate_findings(audit_tables(now, before or None), rules):
        place = _name_place(one.finding)
        if place in standing and (one.finding.rows or 0) <= (standing[place] or 0):
            one = replace(one, level="note", is_standing=True)
        rated.append(one)
    return tuple(rated)


def rate_findings(findings: Sequence[Finding], rules: QualityRules) -> tuple[RatedFinding, ...]:
    """The findings with their check and level; those that are off are left out."""
    rated = (RatedFinding(one, rules.find_check(one.what).name, rules.rate_finding(one)) for one in findings)
    return tuple(one for one in rated if one.level != "off")


def _name_place(finding: Finding) -> tuple[str, str | None, str]:
    return finding.table, finding.column, finding.what


def _read_tables(table_store: TableStore, number: int) -> dict[str, pl.DataFrame]:
    """The tables of a version that have rows."""
    frames = {table.name: table_store.scan(table.name, number).collect() for table in CANONICAL}
    return {name: frame for name, frame in frames.items() if frame.height}


def _list_lineage(table_store: TableStore, version: LakeVersion) -> tuple[LakeVersion, ...]:
    """The newest versions up to this one, oldest first."""
    until = list(takewhile(lambda one: one.number <= version.number, table_store.log()))
    return tuple(until[-SHOWN_VERSIONS:])


def _count_quarantined(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Rows set apart by table and reason; of the reason its first words, without the values."""
    counts: dict[str, Counter[str]] = {}
    for table, reason in rows.select("table", "reason").iter_rows():
        counts.setdefault(table, Counter())[reason.split(": ")[0]] += 1
    return {table: dict(by_reason.most_common()) for table, by_reason in counts.items()}


def _describe_table(
    table: CanonicalTable, tables: VersionTables, lineage: Sequence[LakeVersion], quarantined: Mapping[str, int]
) -> TableHealth:
    now, before = tables.now[table.name], tables.before.get(table.name)
    newest = now[KNOWN_AT].max()
    assert newest is None or isinstance(newest, datetime)
    counts = tuple((one.number, one.tables[table.name].rows) for one in lineage if table.name in one.tables)
    missing = {name: (_compute_missing_share(before, name), _compute_missing_share(now, name) or 0.0) for name in now.columns}
    lag = None if newest is None else (tables.version.end - newest) / timedelta(days=1)
    return TableHealth(table.name, now.height, counts, missing, quarantined, newest, lag)


def _compute_missing_share(frame: pl.DataFrame | None, name: str) -> float | None:
    return None if frame is None or name not in frame.columns else frame[name].null_count() / max(frame.height, 1)
