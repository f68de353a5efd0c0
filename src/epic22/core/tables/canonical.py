"""The canonical tables of a property company, as declared contracts: columns, keys, references, and when each column is known.

Keys are text, times UTC, money a decimal in the portfolio's currency, rates fractions (0.05, never 5). Every table also has
`known_at`, the moment this version of the row became known to the company, which is not listed here. The key of a version is
(`key`, `known_at`); a column with `known_when` is null in any view whose cutoff lies before that column's time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.tables.table import Table
from epic22.core.task import Column, Dtype

MONEY = pl.Decimal(18, 2)
DTYPES: dict[Dtype, pl.DataType] = {
    "float": pl.Float64(),
    "int": pl.Int64(),
    "bool": pl.Boolean(),
    "money": MONEY,
    "category": pl.String(),
    "text": pl.String(),
    "time": pl.Datetime("us"),
}
"""What each dtype is stored as."""

KNOWN_AT = "known_at"


@dataclass(frozen=True)
class Reference:
    """Values of `column` must be found in the column of the same name that is the key of `table`, where they are not null."""

    column: str
    table: str


@dataclass(frozen=True)
class RowRule:
    """A statement that every row must fulfil; null counts as fulfilled.

    With `via`, columns of the referenced table may be named with a dot, as `equipment.installed_on`, and the rule looks at its
    latest version. `words` complete the sentence "expected …".
    """

    words: str
    holds: pl.Expr
    via: Reference | None = None


@dataclass(frozen=True)
class CanonicalTable:
    """The contract of one table.

    `entity` is the column whose values the rows are about by default; `event_at` is when the thing happened; it is `known_at`
    for tables that describe a state. Columns that are not `optional` may not be null. `extra_columns`: what columns beyond the
    declared ones are taken for; without it they are refused.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    entity: str
    event_at: str = KNOWN_AT
    references: tuple[Reference, ...] = ()
    rules: tuple[RowRule, ...] = ()
    extra_columns: Column | None = None
    about: str = ""

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Columns and their stored types, `known_at` last."""
        return {c.name: DTYPES[c.dtype] for c in self.columns} | {KNOWN_AT: pl.Datetime("us")}

    def get_column(self, name: str) -> Column:
        """The column of that name. Raises ColumnError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ColumnError(f"table {self.name}: no column {name}; there are {', '.join(c.name for c in self.columns)}.")


def _id_column(name: str, optional: bool = False) -> Column:
    return Column(name, "text", optional=optional, role="id")


PERIOD = "month"
"""The unit of a time that stands for a whole month: the one that is written, whatever its offset from UTC."""


def _time_column(name: str, optional: bool = False, known_when: str | None = None, about: str = "") -> Column:
    return Column(name, "time", optional=optional, role="time", known_when=known_when, about=about)


def _money_column(
    name: str, optional: bool = False, low: float | None = 0.0, known_when: str | None = None, about: str = ""
) -> Column:
    return Column(name, "money", low=low, optional=optional, known_when=known_when, about=about)


def _category_column(name: str, *levels: str, optional: bool = False, known_when: str | None = None) -> Column:
    return Column(name, "category", levels=levels, optional=optional, known_when=known_when)


PROPERTY_TYPES = ("apartment", "house", "condo", "townhouse", "commercial")
RISKS = ("low", "medium", "high")
EQUIPMENT_KINDS = ("hvac", "plumbing", "electrical", "roofing", "appliance", "elevator", "structural", "security", "other")
WORK_CATEGORIES = (
    "plumbing",
    "electrical",
    "hvac",
    "roofing",
    "appliance",
    "structural",
    "painting",
    "flooring",
    "pest_control",
    "landscaping",
    "security",
    "other",
)
ACCOUNTS = ("rent", "other_income", "repairs", "utilities", "taxes", "insurance", "payroll", "capital", "other")
PROVENANCES = ("own", "public", "nonpublic_competitor")

PROPERTIES = CanonicalTable(
    "properties",
    (
        _id_column("property_id"),
        Column("name", "text", role="protected", about="the property's name"),
        Column("city", "category"),
        Column("state", "category"),
        Column("zip_code", "category", about="its zip code"),
        _category_column("property_type", *PROPERTY_TYPES),
        Column("year_built", "int", unit="year", low=1600, high=2100, optional=True),
        Column("total_units", "int", unit="units", low=1, high=100_000),
        _money_column("market_value", optional=True),
        Column("latitude", "float", unit="°", low=-90, high=90, optional=True),
        Column("longitude", "float", unit="°", low=-180, high=180, optional=True),
    ),
    key=("property_id",),
    entity="property_id",
    about="buildings",
)

UNITS = CanonicalTable(
    "units",
    (
        _id_column("unit_id"),
        _id_column("property_id"),
        Column("bedrooms", "int", low=0, high=20),
        Column("bathrooms", "float", low=0, high=20),
        Column("area_sqft", "float", unit="sq ft", low=50, high=100_000),
        Column("floor", "int", low=-10, high=200, optional=True),
    ),
    key=("unit_id",),
    entity="unit_id",
    references=(Reference("property_id", "properties"),),
    about="what is let",
)

TENANTS = CanonicalTable(
    "tenants",
    (
        _id_column("tenant_id"),
        _category_column("screening_risk", *RISKS, optional=True),
        _money_column("household_income", optional=True, about="household income a year"),
        _time_column("created_at"),
    ),
    key=("tenant_id",),
    entity="tenant_id",
    event_at="created_at",
    about="who rents, by pseudonym",
)

LEASES = CanonicalTable(
    "leases",
    (
        _id_column("lease_id"),
        _id_column("unit_id"),
        _id_column("tenant_id"),
        _time_column("start_date"),
        _time_column("end_date"),
        _money_column("monthly_rent"),
        _money_column("deposit"),
        _category_column("lease_type", "fixed", "month_to_month"),
        _time_column("signed_on"),
        _time_column("notice_on", optional=True, known_when="notice_on"),
        _time_column("ended_on", optional=True, known_when="ended_on"),
        _category_column("end_reason", "moved_out", "renewed", "transferred", "evicted", optional=True, known_when="ended_on"),
    ),
    key=("lease_id",),
    entity="lease_id",
    event_at="start_date",
    references=(Reference("unit_id", "units"), Reference("tenant_id", "tenants")),
    rules=(
        RowRule("end_date after start_date", pl.col("end_date") > pl.col("start_date")),
        RowRule("ended_on not before start_date", pl.col("ended_on") >= pl.col("start_date")),
        RowRule("notice_on not after ended_on", pl.col("notice_on") <= pl.col("ended_on")),
        RowRule(
            "an end_reason exactly where there is an ended_on", pl.col("ended_on").is_null() == pl.col("end_reason").is_null()
        ),
    ),
    about="contracts",
)

CHARGES = CanonicalTable(
    "charges",
    (
        _id_column("charge_id"),
        _id_column("lease_id"),
        _time_column("due_on"),
        _money_column("amount"),
        _category_column("kind", "rent", "deposit", "fee", "utility"),
    ),
    key=("charge_id",),
    entity="lease_id",
    event_at="due_on",
    references=(Reference("lease_id", "leases"),),
    rules=(
        RowRule(
            "due_on not more than 62 days before the lease's start_date",
            pl.col("due_on") >= pl.col("leases.start_date").dt.offset_by("-62d"),
            via=Reference("lease_id", "leases"),
        ),
    ),
    about="what is owed",
)

PAYMENTS = CanonicalTable(
    "payments",
    (
        _id_column("payment_id"),
        _id_column("charge_id"),
        _time_column("paid_on", known_when="paid_on"),
        _money_column("amount"),
        _category_column("status", "paid", "failed", "refunded"),
        _category_column("method", "ach", "card", "check", "cash"),
    ),
    key=("payment_id",),
    entity="charge_id",
    event_at="paid_on",
    references=(Reference("charge_id", "charges"),),
    rules=(
        RowRule(
            "paid_on not more than 120 days before the charge's due_on",
            pl.col("paid_on") >= pl.col("charges.due_on").dt.offset_by("-120d"),
            via=Reference("charge_id", "charges"),
        ),
    ),
    about="what was paid",
)

EQUIPMENT = CanonicalTable(
    "equipment",
    (
        _id_column("equipment_id"),
        _id_column("property_id"),
        _id_column("unit_id", optional=True),
        _category_column("kind", *EQUIPMENT_KINDS),
        _time_column("installed_on"),
        _time_column("retired_on", optional=True, known_when="retired_on"),
        _time_column("warranty_until", optional=True),
        _money_column("replacement_cost", optional=True),
    ),
    key=("equipment_id",),
    entity="equipment_id",
    event_at="installed_on",
    references=(Reference("property_id", "properties"), Reference("unit_id", "units")),
    rules=(RowRule("retired_on not before installed_on", pl.col("retired_on") >= pl.col("installed_on")),),
    about="what can break",
)

WORK_ORDERS = CanonicalTable(
    "work_orders",
    (
        _id_column("work_order_id"),
        _id_column("property_id"),
        _id_column("unit_id", optional=True),
        _id_column("equipment_id", optional=True),
        _category_column("category", *WORK_CATEGORIES),
        _category_column("kind", "corrective", "preventive", "inspection"),
        _category_column("priority", "low", "medium", "high", "critical"),
        _category_column("status", "open", "in_progress", "on_hold", "completed", "cancelled", known_when="completed_at"),
        _time_column("opened_at"),
        _time_column("scheduled_for", optional=True),
        _time_column("completed_at", optional=True, known_when="completed_at"),
        _money_column("cost", optional=True, known_when="completed_at"),
        Column("description", "text", optional=True, role="never"),
    ),
    key=("work_order_id",),
    entity="equipment_id",
    event_at="opened_at",
    references=(Reference("property_id", "properties"), Reference("unit_id", "units"), Reference("equipment_id", "equipment")),
    rules=(
        RowRule("completed_at not before opened_at", pl.col("completed_at") >= pl.col("opened_at")),
        RowRule(
            "opened_at not before the equipment's installed_on",
            pl.col("opened_at") >= pl.col("equipment.installed_on"),
            via=Reference("equipment_id", "equipment"),
        ),
    ),
    about="repairs, visits and inspections",
)

SENSOR_READINGS = CanonicalTable(
    "sensor_readings",
    (
        _id_column("equipment_id"),
        _time_column("measured_at"),
        Column("kind", "category", role="id"),
        Column("value", "float"),
        Column("quality", "float", low=0, high=1),
    ),
    key=("equipment_id", "kind", "measured_at"),
    entity="equipment_id",
    event_at="measured_at",
    references=(Reference("equipment_id", "equipment"),),
    rules=(
        RowRule("a temperature of −100 to 200 °C", (pl.col("kind") != "temperature") | pl.col("value").is_between(-100, 200)),
        RowRule("a humidity of 0 to 1", (pl.col("kind") != "humidity") | pl.col("value").is_between(0, 1)),
        RowRule("a value of at least 0", (pl.col("kind") == "temperature") | (pl.col("value") >= 0)),
        RowRule(
            "measured_at not before the equipment's installed_on",
            pl.col("measured_at") >= pl.col("equipment.installed_on"),
            via=Reference("equipment_id", "equipment"),
        ),
    ),
    about="temperature °C, humidity fraction, vibration mm/s, pressure kPa, power kW, energy kWh, water_flow l/min, …",
)

MESSAGES = CanonicalTable(
    "messages",
    (
        _id_column("message_id"),
        _id_column("lease_id"),
        _time_column("sent_at"),
        _category_column("category", "complaint", "request", "praise", "other"),
        Column("sentiment", "float", low=-1, high=1),
    ),
    key=("message_id",),
    entity="lease_id",
    event_at="sent_at",
    references=(Reference("lease_id", "leases"),),
    about="what tenants write",
)

LEDGER = CanonicalTable(
    "ledger",
    (
        _id_column("entry_id"),
        _id_column("property_id"),
        _id_column("unit_id", optional=True),
        _time_column("posted_on"),
        _category_column("account", *ACCOUNTS),
        _money_column("amount", low=None),
    ),
    key=("entry_id",),
    entity="property_id",
    event_at="posted_on",
    references=(Reference("property_id", "properties"), Reference("unit_id", "units")),
    about="income above zero, expense below",
)

MARKET = CanonicalTable(
    "market",
    (
        Column("zip_code", "category", role="id"),
        Column("bedrooms", "int", low=0, high=20, role="id"),
        Column("month", "time", unit=PERIOD, role="time"),
        _money_column("average_rent"),
        Column("vacancy_rate", "float", low=0, high=1, optional=True),
        _money_column("median_price", optional=True),
        Column("listings", "int", low=0, optional=True),
        Column("source", "category", role="id"),
        _category_column("provenance", *PROVENANCES),
        _time_column("published_at"),
    ),
    key=("zip_code", "bedrooms", "month", "source"),
    entity="zip_code",
    event_at="month",
    rules=(RowRule("published_at not before month", pl.col("published_at") >= pl.col("month")),),
    about="rents, vacancy and prices by zip code, bedrooms and month",
)

PROTECTED = CanonicalTable(
    "protected",
    (_id_column("tenant_id"),),
    key=("tenant_id",),
    entity="tenant_id",
    references=(Reference("tenant_id", "tenants"),),
    extra_columns=Column("class", "category", optional=True, role="protected"),
    about="one column a protected class, for the measurement of fairness alone, never a model's input",
)

CANONICAL: tuple[CanonicalTable, ...] = (
    PROPERTIES,
    UNITS,
    TENANTS,
    LEASES,
    CHARGES,
    PAYMENTS,
    EQUIPMENT,
    WORK_ORDERS,
    SENSOR_READINGS,
    MESSAGES,
    LEDGER,
    MARKET,
    PROTECTED,
)
"""All tables, each after those that it refers to. A new table is one record above and one line here."""


def get_canonical_table(name: str) -> CanonicalTable:
    """The table of that name. Raises ColumnError with the names there are."""
    for table in CANONICAL:
        if table.name == name:
            return table
    raise ColumnError(f"no canonical table {name!r}; there are {', '.join(t.name for t in CANONICAL)}.")


def build_canonical_tables(frames: Mapping[str, pl.DataFrame]) -> dict[str, Table]:
    """The tables of a portfolio by name, for tasks to look at: money becomes float there.

    Tables that a company does not have are there without rows. Raises ColumnError for a frame that lacks a declared column.
    """
    tables = {table.name: _build_table(table, frames.get(table.name)) for table in CANONICAL}
    return tables | {MARKET.name: build_market_series(tables[MARKET.name])}


PANEL = CanonicalTable(
    "panel",
    (Column("series", "category", role="id"), _time_column("time"), Column("value", "float")),
    key=("series", "time"),
    entity="series",
    event_at="time",
    about="series that are no table of the company: an index, the weather; a file of its own, which is forecast or trained on",
)
"""The contract of a panel's rows; they are kept in no version of the tables."""

SERIES_ID = "series_id"
MIN_COMPETITOR_AGE = "12mo"


def build_market_series(market: Table) -> Table:
    """The market with a `series_id` "zip|bedrooms", one source a series, and no fresh figures that competitors keep private.

    A row of provenance nonpublic_competitor counts as known only when its month is 12 months past, so that neither training nor
    prediction ever sees it younger. A series takes the source that began first, of open provenance where there is one: what
    begins later must not change what was seen earlier. Sources are never mixed within a series.
    """
    name = pl.concat_str(["zip_code", pl.col("bedrooms").cast(pl.String)], separator="|").alias(SERIES_ID)
    closed = pl.col("provenance") == "nonpublic_competitor"
    opened = pl.max_horizontal(KNOWN_AT, pl.col("month").dt.offset_by(MIN_COMPETITOR_AGE))
    rows = market.frame.with_columns(name, pl.when(closed).then(opened).otherwise(pl.col(KNOWN_AT)).alias(KNOWN_AT))
    rank = pl.col("provenance").replace_strict({p: i for i, p in enumerate(PROVENANCES)}, default=9, return_dtype=pl.Int64)
    sources = (
        rows.group_by(SERIES_ID, "source")
        .agg(began=pl.col(KNOWN_AT).min(), rank=rank.sort_by(KNOWN_AT).first(), closed=closed.sort_by(KNOWN_AT).first())
        .sort("closed", "began", "rank", "source")
        .unique(SERIES_ID, keep="first", maintain_order=True)
    )
    selected = rows.join(sources.select(SERIES_ID, "source"), on=[SERIES_ID, "source"], how="semi", maintain_order="left")
    return replace(market, frame=selected, entity=SERIES_ID)


def count_refused_rents(market: pl.DataFrame, end: datetime) -> int:
    """How many figures of competitors the guard on rent data refuses at that moment: those that are fresh and not public."""
    is_closed = pl.col("provenance") == "nonpublic_competitor"
    return market.filter(is_closed, pl.col("month").dt.offset_by(MIN_COMPETITOR_AGE) > end).height


def describe_refused_rents(frames: Mapping[str, pl.DataFrame], end: datetime) -> tuple[str, ...]:
    """What the guard on rent data refuses, in words: fresh figures that competitors do not publish."""
    market = frames.get(MARKET.name)
    if market is None:
        return ()
    closed, fresh = market.filter(pl.col("provenance") == "nonpublic_competitor"), count_refused_rents(market, end)
    if not closed.height:
        return ()
    return (
        f"{closed.height:,} market rows are non-public figures of competitors: each is refused until its month is 12 months past "
        f"({fresh:,} are refused at {end:%Y-%m-%d}); sharing fresh ones to set rents is what antitrust law forbids.",
    )


def _build_table(table: CanonicalTable, frame: pl.DataFrame | None) -> Table:
    rows = pl.DataFrame(schema=table.schema) if frame is None else frame
    absent = [name for name in table.schema if name not in rows.columns]
    if absent:
        raise ColumnError(f"table {table.name}: no column {', '.join(absent)}; it has {', '.join(rows.columns)}.")
    money = [pl.col(c.name).cast(pl.Float64) for c in table.columns if c.dtype == "money"]
    key = table.key if len(table.key) > 1 else table.key[0]
    return Table(table.name, rows.with_columns(money), key, table.entity, table.columns, table.event_at, KNOWN_AT)
