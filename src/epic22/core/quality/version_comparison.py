"""A version's tables against its parent's: what moved more than the tables move by themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from epic22.core.quality.changed_rows import (
    ChangedRows,
    find_changed_columns,
    find_reused_keys,
    pair_changed_rows,
    select_arrived_rows,
)
from epic22.core.quality.checks import QualityRules
from epic22.core.quality.column_tests import Samples, compare_columns
from epic22.core.quality.finding import Finding, Frames, cast_to_contract, select_newest
from epic22.core.quality.movement_tests import MovementTest, adjust_tests
from epic22.core.quality.table_history import TableHistory, count_rows
from epic22.core.quality.table_pair import TablePair
from epic22.core.quality.volume import compare_row_count, find_gone_rows, find_rows_after_end, find_stale_table
from epic22.core.quality.windows import MIN_WINDOWS
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable

STATE_TABLES = ("properties", "units", "equipment", "protected")
"""Tables of what there is, not of what happens: their newest rows are compared whole."""


@dataclass(frozen=True)
class VersionPair:
    """The tables of a version and of its parent, with the moments up to which they are complete."""

    now: Frames
    before: Frames
    begin: datetime
    end: datetime


@dataclass(frozen=True)
class VersionComparison:
    """What a comparison found, all tests that it made with their adjusted p, and why tables were not tested, a sentence each."""

    findings: tuple[Finding, ...]
    tests: tuple[MovementTest, ...]
    untested: tuple[str, ...]


def compare_versions(pair: VersionPair, rules: QualityRules = QualityRules()) -> VersionComparison:
    """What moved since the parent, in the order of the contract's tables; all tests are corrected together."""
    gone: list[Finding] = []
    untested: list[str] = []
    pairs: list[TablePair] = []
    for table in CANONICAL:
        if table.name in rules.ignored or not _has_rows(pair.before, table):
            continue
        if not _has_rows(pair.now, table):
            gone.append(_report_gone_table(table, select_newest(pair.before[table.name], table).height))
            continue
        now, before = (_select_common_columns(table, pair, frame) for frame in (pair.now[table.name], pair.before[table.name]))
        absent = [name for name in (*table.key, KNOWN_AT) if name not in now.columns]
        if absent:
            untested.append(f"{table.name}: without {', '.join(absent)} its rows cannot be told apart.")
            continue
        finding = find_gone_rows(table, now, before, rules.get_limit("rows gone"))
        gone += [] if finding is None else [finding]
        arrived = select_arrived_rows(table, now, before)
        pairs.append(TablePair(table, now.lazy(), before.lazy(), arrived, pair.begin, pair.end))
    compared = compare_tables(pairs, rules)
    return VersionComparison(_order((*gone, *compared.findings)), compared.tests, (*untested, *compared.untested))


def compare_tables(pairs: Iterable[TablePair], rules: QualityRules = QualityRules()) -> VersionComparison:
    """What moved in tables of which no row is gone, in the order of the contract's; all tests are corrected together."""
    findings: list[Finding] = []
    tests: list[MovementTest] = []
    untested: dict[str, list[str]] = {}
    for pair in pairs:
        findings += find_row_faults(pair, rules)
        movements, reason = compare_table(pair, rules)
        tests += movements
        if reason:
            untested.setdefault(reason, []).append(pair.table.name)
    notes = tuple(f"{', '.join(tables)}: {reason}" for reason, tables in untested.items())
    adjusted = adjust_tests(tests)
    return VersionComparison(_order((*findings, *rules.select_findings(adjusted))), adjusted, notes)


def _order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    place = {table.name: i for i, table in enumerate(CANONICAL)}
    return tuple(sorted(findings, key=lambda finding: place[finding.table]))


def _select_common_columns(table: CanonicalTable, pair: VersionPair, frame: pl.DataFrame) -> pl.DataFrame:
    """The declared columns that both versions have, in their types; what lacks or has another type is the schema's to report."""
    both = set(pair.now[table.name].columns) & set(pair.before[table.name].columns)
    return cast_to_contract(frame, table).select(name for name in table.schema if name in both)


def find_row_faults(pair: TablePair, rules: QualityRules) -> list[Finding]:
    """What rows by themselves show, without a test."""
    table, known_at = pair.table, pair.known_at
    findings = [
        find_rows_after_end(table, known_at, pair.end),
        find_stale_table(table, known_at, pair.end, rules.get_limit("stale table")) if table.name not in STATE_TABLES else None,
    ]
    changed = ChangedRows(table, pair_changed_rows(table, pair.arrived, pair.former), pair.before)
    return [
        *(finding for finding in findings if finding is not None),
        *find_reused_keys(changed),
        *find_changed_columns(changed, rules.get_limit("rows changed")),
    ]


def compare_table(pair: TablePair, rules: QualityRules) -> tuple[list[MovementTest], str]:
    """The tests of a table, and why none were made."""
    table = pair.table
    if table.name in STATE_TABLES:
        frames = [select_newest(rows.collect(), table) for rows in (pair.now, pair.before)]
        samples = Samples(table, frames, since="of the version", earlier="of its parent")
        return list(_select_tests(compare_columns(samples), rules)), ""
    history = TableHistory(pair)
    if not history.is_testable:
        if pair.end <= pair.begin:
            return [], "no time has passed since the parent, so there is nothing to compare with times before."
        n = max(0, len(history.windows) - 1)
        like = "window like the one since the parent lies" if n == 1 else "windows like the one since the parent lie"
        return [], f"only {n} {like} before it, {MIN_WINDOWS} are needed."
    tests: list[MovementTest] = []
    if (volume := compare_row_count(table, count_rows(history.samples[: len(history.windows)]), history.year_before)) is not None:
        tests.append(volume)
    tests += compare_columns(Samples(table, history.samples, history.year_before, len(history.same_days)))
    return list(_select_tests(iter(tests), rules)), ""


def _select_tests(tests: Iterator[MovementTest], rules: QualityRules) -> Iterator[MovementTest]:
    """Those that are to be made; what is off or ignored costs the others nothing."""
    return (
        test
        for test in tests
        if rules.find_check(test.what).level != "off" and f"{test.table}.{test.column}" not in rules.ignored
    )


def _has_rows(frames: Frames, table: CanonicalTable) -> bool:
    return table.name in frames and frames[table.name].height > 0


def _report_gone_table(table: CanonicalTable, rows: int) -> Finding:
    return Finding(table.name, None, "rows gone", f"the table is gone: all {rows:,} rows of the parent.", rows=rows)
