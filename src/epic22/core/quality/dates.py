"""Dates and references across tables: what cannot have happened in that order."""

from dataclasses import dataclass

import polars as pl

from epic22.core.quality.finding import DeclaredTables, Finding, FindingKind, format_share
from epic22.core.tables.canonical import (
    CANONICAL,
    CHARGES,
    LEASES,
    PAYMENTS,
    CanonicalTable,
    Reference,
    RowRule,
    get_canonical_table,
)

WEEK = "7d"
"""What offices are given to enter a signature or an end after the fact."""


@dataclass(frozen=True)
class DateOrder:
    """Rows of `table` that break an order of dates with the table that `via` refers to."""

    table: str
    column: str
    words: str
    breaks: pl.Expr
    via: Reference


_LEASE = Reference("lease_id", "leases")
_EQUIPMENT = Reference("equipment_id", "equipment")

DATE_ORDERS = (
    DateOrder(
        "charges",
        "due_on",
        "rent falls due after the lease's ended_on",
        (pl.col("kind") == "rent") & (pl.col("due_on") > pl.col("leases.ended_on")),
        _LEASE,
    ),
    DateOrder(
        "messages",
        "sent_at",
        "messages were sent before the lease's signed_on",
        pl.col("sent_at") < pl.col("leases.signed_on").dt.offset_by(f"-{WEEK}"),
        _LEASE,
    ),
    DateOrder(
        "work_orders",
        "opened_at",
        "work orders were opened after the equipment's retired_on",
        pl.col("opened_at") > pl.col("equipment.retired_on").dt.offset_by(WEEK),
        _EQUIPMENT,
    ),
    DateOrder(
        "sensor_readings",
        "measured_at",
        "readings were taken after the equipment's retired_on",
        pl.col("measured_at") > pl.col("equipment.retired_on").dt.offset_by(WEEK),
        _EQUIPMENT,
    ),
)


def audit_dates(declared: DeclaredTables) -> tuple[Finding, ...]:
    """Rows that break the contract's rules, orders of dates across tables, leases that overlap, ids that refer to nothing."""
    findings: list[Finding | None] = []
    for table in CANONICAL:
        if table.name in declared.frames:
            findings += [_check_rule(declared, table, rule) for rule in table.rules]
            findings += [_check_reference(declared, table, reference) for reference in table.references]
    findings += [_check_date_order(declared, item) for item in DATE_ORDERS]
    findings += [_check_early_payments(declared), _check_overlaps(declared)]
    return tuple(finding for finding in findings if finding is not None)


def _join_reference(declared: DeclaredTables, table: CanonicalTable, via: Reference, names: list[str]) -> pl.DataFrame:
    """The newest rows' key and these columns, of the referred table as `table.column`; rows that refer to nothing fall away."""
    other = get_canonical_table(via.table)
    right = declared.select_newest(other).select(pl.all().name.prefix(f"{other.name}."))
    key = f"{other.name}.{via.column}"
    own_columns = dict.fromkeys([*table.key, via.column, *(name for name in names if "." not in name)])
    other_columns = dict.fromkeys([key, *(name for name in names if "." in name)])
    return (
        _select_rows(declared, table)
        .select(*own_columns)
        .join(right.select(*other_columns), left_on=via.column, right_on=key, how="inner")
    )


def _select_rows(declared: DeclaredTables, table: CanonicalTable) -> pl.DataFrame:
    """The newest version of each row; readings, of which there may be very many, are taken as they come."""
    return declared.frames[table.name] if table.name == "sensor_readings" else declared.select_newest(table)


def _list_columns(table: str, expression: pl.Expr) -> list[tuple[str, str]]:
    """(table, column) that an expression reads."""
    names = [name if "." in name else f"{table}.{name}" for name in expression.meta.root_names()]
    return [(name.split(".")[0], name.split(".")[1]) for name in names]


def _has_columns(declared: DeclaredTables, table: str, expression: pl.Expr, via: Reference | None) -> bool:
    columns = _list_columns(table, expression) + ([(table, via.column), (via.table, via.column)] if via else [])
    return all(declared.has_columns(name, column) for name, column in columns)


def _check_rule(declared: DeclaredTables, table: CanonicalTable, rule: RowRule) -> Finding | None:
    if not _has_columns(declared, table.name, rule.holds, rule.via):
        return None
    rows = (
        _select_rows(declared, table)
        if rule.via is None
        else _join_reference(declared, table, rule.via, rule.holds.meta.root_names())
    )
    columns = _list_columns(table.name, rule.holds)
    times = all(get_canonical_table(name).get_column(column).dtype == "time" for name, column in columns)
    what: FindingKind = "dates disagree" if times else "value out of contract"
    holds = rule.holds.fill_null(value=True)
    return _report_broken(table, columns[0][1], rows, ~holds, f" break the rule: {rule.words}", what)


def _report_broken(
    table: CanonicalTable, column: str, rows: pl.DataFrame, breaks: pl.Expr, words: str, what: FindingKind = "dates disagree"
) -> Finding | None:
    """How many of the rows break something, and the key of the first; None where none does."""
    broken = rows.filter(breaks)
    if broken.is_empty():
        return None
    first = ", ".join(f"{name} {broken[name][0]}" for name in table.key)
    return Finding(
        table.name, column, what, f"{format_share(broken.height, rows.height)}{words}; first {first}.", rows=broken.height
    )


def _check_reference(declared: DeclaredTables, table: CanonicalTable, reference: Reference) -> Finding | None:
    if not (declared.has_columns(table.name, reference.column) and declared.has_columns(reference.table, reference.column)):
        return None
    values = declared.frames[table.name][reference.column].drop_nulls()
    ids = declared.frames[reference.table][reference.column].unique()
    lost = values.filter(~values.is_in(ids.implode()))
    if lost.is_empty():
        return None
    evidence = (
        f"{format_share(len(lost), len(values))} refer to a {reference.column} that {reference.table} does not have: {lost[0]}."
    )
    return Finding(table.name, reference.column, "unknown reference", evidence, rows=len(lost))


def _check_date_order(declared: DeclaredTables, item: DateOrder) -> Finding | None:
    if not _has_columns(declared, item.table, item.breaks, item.via):
        return None
    table = get_canonical_table(item.table)
    rows = _join_reference(declared, table, item.via, item.breaks.meta.root_names())
    return _report_broken(table, item.column, rows, item.breaks.fill_null(value=False), f": {item.words}")


def _check_early_payments(declared: DeclaredTables) -> Finding | None:
    """Payments more than a week before the lease was signed."""
    needed = (
        ("payments", ("paid_on", "charge_id")),
        ("charges", ("charge_id", "lease_id")),
        ("leases", ("lease_id", "signed_on")),
    )
    if not all(declared.has_columns(table, *columns) for table, columns in needed):
        return None
    charges = declared.select_newest(CHARGES).select("charge_id", "lease_id")
    leases = declared.select_newest(LEASES).select("lease_id", "signed_on")
    rows = declared.select_newest(PAYMENTS).join(charges, on="charge_id").join(leases, on="lease_id")
    breaks = pl.col("paid_on") < pl.col("signed_on").dt.offset_by(f"-{WEEK}")
    return _report_broken(PAYMENTS, "paid_on", rows, breaks, f": paid_on lies more than {WEEK} before the lease's signed_on")


def _check_overlaps(declared: DeclaredTables) -> Finding | None:
    """Leases that begin while the one before in the same unit still runs."""
    if not declared.has_columns("leases", "lease_id", "unit_id", "start_date", "end_date", "ended_on"):
        return None
    leases = declared.select_newest(LEASES).sort("unit_id", "start_date", "lease_id")
    # After a notice a lease ends before its end_date, and on which day is known only then.
    planned_end = pl.when(pl.col("notice_on").is_null()).then("end_date")
    ran_to = pl.coalesce("ended_on", planned_end).shift(1).over("unit_id")
    breaks = pl.col("start_date").dt.offset_by("1d") < ran_to
    return _report_broken(LEASES, "start_date", leases, breaks, ": start_date lies before the end of the unit's lease before")
