"""The gate of an ingest: what comes in against what is stored, before it becomes a version."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import polars as pl

from epic22.core.errors import QualityError
from epic22.core.ports import LakeTransaction
from epic22.core.quality.changed_rows import IMMUTABLE_COLUMNS, is_moved, pair_changed_rows
from epic22.core.quality.checks import QualityRules
from epic22.core.quality.finding import Finding
from epic22.core.quality.table_pair import TablePair, count_keys, read_former_versions
from epic22.core.quality.version_comparison import compare_tables
from epic22.core.quality.volume import find_rows_set_apart, report_gone_rows
from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable, get_canonical_table
from epic22.core.tables.versions import IngestCounts

READ_HISTORY = timedelta(days=800)
"""What is read of tables that grow by time alone, readings above all."""


@dataclass(frozen=True)
class QualityGate:
    """The rules by which an ingest is refused; `accepted_because` is the reason of who stores it all the same."""

    rules: QualityRules = field(default_factory=QualityRules)
    accepted_because: str | None = None


@dataclass(frozen=True)
class GateResult:
    """What the gate has to say for the version's notes, and the counts after it set rows apart."""

    notes: tuple[str, ...]
    counts: Mapping[str, IngestCounts]


def has_arrivals(transaction: LakeTransaction, counts: Mapping[str, IngestCounts]) -> bool:
    """Whether there is anything to compare: a version before, and rows that are new, changed or gone."""
    return transaction.parent is not None and any(one.new or one.changed or one.gone for one in counts.values())


def check_sources(transaction: LakeTransaction, gate: QualityGate, who: str) -> tuple[str, ...]:
    """What is to be noted of sources many of whose rows are broken, of a first version too.

    Raises QualityError where that is of level refuse, unless it is accepted.
    """
    return _judge(find_rows_set_apart(transaction.sources, gate.rules.get_limit("rows set apart")), gate, who)


def check_arrivals(
    transaction: LakeTransaction,
    gate: QualityGate,
    counts: Mapping[str, IngestCounts],
    as_of: datetime | None,
    who: str,
) -> GateResult:
    """Set rows apart whose key names another thing, and compare what arrived with what is stored, table by table.

    Raises QualityError for what is of level refuse, unless it is accepted.
    """
    if transaction.parent is None:
        return GateResult((), counts)
    tables = [get_canonical_table(name) for name in counts]
    before = {table.name: _scan_stored(transaction, table) for table in tables}
    remaining = dict(counts)
    if gate.rules.find_check("key reused").level == "quarantine":
        for table in tables:
            remaining[table.name] = reject_reused_keys(transaction, gate.rules, table, counts[table.name])
    findings = [
        *_find_gone_rows(remaining, before, gate.rules),
        *compare_tables(_pair_tables(transaction, before, as_of, gate.rules), gate.rules).findings,
    ]
    return GateResult(_judge(findings, gate, who), remaining)


def _judge(findings: Sequence[Finding], gate: QualityGate, who: str) -> tuple[str, ...]:
    """What is to be noted of findings. Raises QualityError for what is of level refuse, unless it is accepted."""
    rated = [(gate.rules.rate_finding(finding), finding) for finding in findings]
    refused = [describe_finding(finding) for level, finding in rated if level == "refuse"]
    if refused and gate.accepted_because is None:
        raise QualityError(
            f"{' '.join(refused)} Nothing was stored. Mend the source; or store it as it is with --accept-quality 'REASON', or "
            "set another level in a file of --checks."
        )
    accepted = [f"quality accepted by {who} ({gate.accepted_because}): {one}" for one in refused]
    warned = [f"quality: {describe_finding(finding)}" for level, finding in rated if level == "warn"]
    return (*accepted, *warned)


def describe_finding(finding: Finding) -> str:
    """A finding in one sentence that names its place.

    >>> describe_finding(Finding("payments", "method", "column emptied", "100 % of method is missing."))
    'payments.method, column emptied: 100 % of method is missing.'
    """
    place = finding.table if finding.column is None else f"{finding.table}.{finding.column}"
    return f"{place}, {finding.what}: {finding.evidence}"


def _scan_stored(transaction: LakeTransaction, table: CanonicalTable) -> pl.LazyFrame:
    """The stored rows; of tables with a time in their key, the newest."""
    rows = transaction.scan_stored(table.name)
    if transaction.parent is not None and any(table.get_column(name).dtype == "time" for name in table.key):
        rows = rows.filter(pl.col(KNOWN_AT) > transaction.parent.end - READ_HISTORY)
    return rows.select(list(table.schema))


def reject_reused_keys(
    transaction: LakeTransaction, rules: QualityRules, table: CanonicalTable, counts: IngestCounts
) -> IngestCounts:
    """The counts after the rows were set apart whose key is stored as another thing's."""
    if transaction.parent is None:
        return counts
    arrived = transaction.read_arrived(table)
    columns = [
        name
        for name in IMMUTABLE_COLUMNS.get(table.name, ())
        if rules.ignored.isdisjoint((table.name, f"{table.name}.{name}")) and name in arrived.columns
    ]
    if not columns or arrived.is_empty():
        return counts
    pairs = pair_changed_rows(table, arrived, read_former_versions(table, arrived, _scan_stored(transaction, table)))
    moved = pairs.filter(pl.any_horizontal(*(is_moved(name) for name in columns)))
    if moved.is_empty():
        return counts
    reason = f"{table.key[0]} names another thing than before: its {' or '.join(columns)} is another"
    n = transaction.reject_rows(table, moved.select(*table.key, KNOWN_AT), reason)
    return replace(counts, changed=max(0, counts.changed - n), quarantined=counts.quarantined + n)


def _find_gone_rows(counts: Mapping[str, IngestCounts], before: Mapping[str, pl.LazyFrame], rules: QualityRules) -> list[Finding]:
    """Tables of which a snapshot no longer has many of the stored rows."""
    findings = []
    for name, of_table in counts.items():
        table = get_canonical_table(name)
        stored = count_keys(table, before[name]) if of_table.gone else 0
        finding = report_gone_rows(table, of_table.gone, stored, rules.get_limit("rows gone"))
        findings += [] if finding is None else [finding]
    return findings


def _pair_tables(
    transaction: LakeTransaction, before: Mapping[str, pl.LazyFrame], as_of: datetime | None, rules: QualityRules
) -> Iterator[TablePair]:
    """The tables that have stored rows, one after the other, each with what arrived."""
    assert transaction.parent is not None
    end = transaction.compute_end(as_of)
    for name, stored in before.items():
        if name in rules.ignored or stored.limit(1).collect().is_empty():
            continue
        table = get_canonical_table(name)
        arrived = transaction.read_arrived(table).select(list(table.schema))
        now = pl.concat([stored, arrived.lazy()])
        yield TablePair(table, now, stored, arrived, transaction.parent.end, end)
