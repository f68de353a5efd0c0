"""The quality of a version as a JSON document of a fixed form, and the schema of that form.

`python -m epic22.reports.quality_document > docs/reference/quality.schema.json` writes the schema anew.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from epic22.core.quality.checks import Level
from epic22.core.quality.finding import FindingKind
from epic22.core.serialization import to_json
from epic22.services.quality import VersionQuality


@dataclass(frozen=True)
class FindingEntry:
    """A finding. `column` is null where it is about rows; `is_standing`: the parent has it too."""

    level: Level
    check: str
    table: str
    column: str | None
    what: FindingKind
    evidence: str
    rows: int | None
    is_standing: bool


@dataclass(frozen=True)
class TestEntry:
    """A test: its effect in the unit of the check's limit, its p and the p corrected over all tests (Holm)."""

    table: str
    column: str | None
    what: FindingKind
    effect: float
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class CheckEntry:
    """A check as it was made."""

    name: str
    level: Level
    limit: float | None
    unit: str


@dataclass(frozen=True)
class ColumnEntry:
    """Shares of missing cells in the parent and now."""

    missing_before: float | None
    missing: float


@dataclass(frozen=True)
class TableEntry:
    """How a table stands. `rows_by_version` has the version's number as key, `quarantined` the reason."""

    rows: int
    rows_by_version: dict[str, int]
    columns: dict[str, ColumnEntry]
    quarantined: dict[str, int]
    newest: str | None
    lag_days: float | None


@dataclass(frozen=True)
class QualityDocument:
    """The quality of a data version against its parent."""

    format: Literal[1]
    version: int
    parent: int | None
    end: str
    is_refused: bool
    alpha: float
    findings: list[FindingEntry]
    tests: list[TestEntry]
    untested: list[str]
    checks: list[CheckEntry]
    tables: dict[str, TableEntry]


def build_quality_document(quality: VersionQuality) -> dict[str, Any]:
    """The document as plain JSON values."""
    document: dict[str, Any] = to_json(_fill_document(quality))
    return document


def _fill_document(quality: VersionQuality) -> QualityDocument:
    return QualityDocument(
        format=1,
        version=quality.version.number,
        parent=None if quality.parent is None else quality.parent.number,
        end=quality.version.end.isoformat(),
        is_refused=quality.is_refused,
        alpha=quality.rules.alpha,
        findings=[
            FindingEntry(r.level, r.check, f.table, f.column, f.what, f.evidence, f.rows, r.is_standing)
            for r in quality.findings
            for f in (r.finding,)
        ],
        tests=[TestEntry(t.table, t.column, t.what, t.effect, t.p, _bound(t.p_adjusted)) for t in quality.tests],
        untested=list(quality.untested),
        checks=[CheckEntry(check.name, check.level, check.limit, check.unit) for check in quality.rules.checks],
        tables={
            table.name: TableEntry(
                table.rows,
                {str(number): rows for number, rows in table.rows_by_version},
                _list_columns(table.missing),
                dict(table.quarantined),
                None if table.newest is None else table.newest.isoformat(),
                table.lag_days,
            )
            for table in quality.tables
        },
    )


def _list_columns(missing: Mapping[str, tuple[float | None, float]]) -> dict[str, ColumnEntry]:
    return {name: ColumnEntry(before, now) for name, (before, now) in missing.items()}


def _bound(p: float) -> float:
    return 1.0 if math.isnan(p) else p


def build_quality_schema() -> dict[str, Any]:
    """The JSON schema of the document."""
    schema = TypeAdapter(QualityDocument).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Epic 22 data quality", **schema}


def format_quality_schema() -> str:
    """The schema as it is kept in the documents."""
    return json.dumps(build_quality_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(format_quality_schema())
