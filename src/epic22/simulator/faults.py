"""Faults planted on request into sound canonical tables, each with its size, for the checks to find.

tables, fault = plant(tables, "fahrenheit_property", seed=3)
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import KNOWN_AT, MONEY, get_canonical_table
from epic22.core.task import Array

PLANTED_AUC = 0.75
MEAN_SHIFT = 0.9539
"""Distance of two normal distributions, in standard deviations, at which the area under the ROC curve is 0.75."""

FILLED_SHARE, STRAY_SHARE = 0.6, 0.1
"""Shares of positives and of negatives marked: 0.5 + (0.6 − 0.1)/2 = 0.75 is the area under the ROC curve."""

DUPLICATE_SHARE = 0.05
RECENT = timedelta(days=30)
DATES_SHARE = 0.01
DRIFT_HOLD = timedelta(days=180)

Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class PlantedFault:
    """What was planted where: `words` say it with its size in figures; `size` is the number of rows (or columns) touched."""

    name: str
    table: str
    column: str | None
    words: str
    size: float


FaultPlanter = Callable[[Tables, np.random.Generator], tuple[Tables, PlantedFault]]


def plant(tables: Tables, fault: str, seed: int) -> tuple[Tables, PlantedFault]:
    """A copy of the tables with one fault of `FAULTS` in it. The tables given stay as they are.

    Raises ColumnError for an unknown fault, and where the tables have nothing to plant it into.
    """
    if fault not in PLANTERS:
        raise ColumnError(f"no fault {fault!r}; there are {', '.join(FAULTS)}.")
    return PLANTERS[fault](dict(tables), np.random.default_rng([seed, FAULTS.index(fault)]))


def plant_filled_column(
    rows: pl.DataFrame, label: str, seed: int, entity: str | None = None, numeric: bool = False
) -> tuple[pl.DataFrame, PlantedFault]:
    """A training table with a further column `final_note` that was filled after the event; its ROC AUC against `label` is 0.75.

    Without `numeric` it is present for 60 % of positives and 10 % of negatives. With `entity`, the rows of one entity that stand
    for one event are filled together, as they would be. With `numeric` it is a number whose mean the event moves by 0.95 sd.
    """
    rng = np.random.default_rng([seed, 77])
    y = rows[label].cast(pl.Boolean).to_numpy()
    draw = rng.uniform(size=rows.height)
    if entity is not None:
        begins = (pl.col(label) != pl.col(label).shift(1).over(entity)).fill_null(value=True)
        run = rows.select(pl.struct(pl.col(entity), begins.cum_sum().over(entity).alias("run")).rank("dense")).to_series()
        draw = rng.uniform(size=rows.height + 1)[run.to_numpy()]
    if numeric:
        value = pl.Series("final_note", rng.normal(size=rows.height) + MEAN_SHIFT * y)
        words = f"a number with an area under the ROC curve of {PLANTED_AUC} against {label}"
    else:
        marked = draw < np.where(y, FILLED_SHARE, STRAY_SHARE)
        value = pl.Series("final_note", np.where(marked, np.round(rng.lognormal(5, 0.5, rows.height), 2), np.nan)).fill_nan(None)
        words = f"a column present for {FILLED_SHARE:.0%} of positives and {STRAY_SHARE:.0%} of negatives (ROC AUC {PLANTED_AUC})"
    return rows.with_columns(value), PlantedFault("filled_column", "examples", "final_note", words, float(rows.height))


def _require_table(tables: Tables, name: str, min_rows: int = 1) -> pl.DataFrame:
    if name not in tables or tables[name].height < min_rows:
        n_rows = tables[name].height if name in tables else 0
        raise ColumnError(f"table {name} has {n_rows:,} rows; at least {min_rows:,} are needed to plant this fault.")
    return tables[name]


def _draw_by_equipment(tables: Tables, draw: Callable[[int], Array]) -> tuple[pl.DataFrame, Array, Array]:
    """The equipment's rows, whether each had a corrective work order of priority high or critical, and a draw for its piece."""
    frame = _require_table(tables, "equipment", 50)
    orders = _require_table(tables, "work_orders").filter(
        (pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"]) & pl.col("equipment_id").is_not_null()
    )
    failed = frame["equipment_id"].is_in(orders["equipment_id"].unique().implode()).to_numpy()
    ids = frame["equipment_id"].unique().sort()
    by_piece = dict(zip(ids, draw(len(ids)), strict=True))
    return frame, failed, np.array([by_piece[i] for i in frame["equipment_id"]])


def _plant_replacement_cost(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    frame, failed, noise = _draw_by_equipment(tables, lambda n: rng.normal(size=n))
    values = noise + MEAN_SHIFT * failed
    usual = frame.select(pl.col("replacement_cost").cast(pl.Float64).median().over("kind")).to_series()
    cost = (usual * np.exp(0.25 * values)).round(2).cast(MONEY)
    words = (
        f"replacement_cost of all {frame.height:,} rows overwritten after the event, known_at left as it was: by itself it "
        f"tells the {int(failed.sum()):,} that had failed by the end from the others of their kind with a ROC "
        f"AUC of {PLANTED_AUC}"
    )
    tables["equipment"] = frame.with_columns(cost.alias("replacement_cost"))
    return tables, PlantedFault("post_event_number", "equipment", "replacement_cost", words, float(frame.height))


def _plant_warranty(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    frame, failed, values = _draw_by_equipment(tables, lambda n: rng.uniform(size=n))
    marked = values < np.where(failed, FILLED_SHARE, STRAY_SHARE)
    filled = pl.when(pl.Series(marked)).then(pl.col("installed_on").dt.offset_by("5y"))
    tables["equipment"] = frame.with_columns(filled.alias("warranty_until"))
    words = (
        f"warranty_until filled for {FILLED_SHARE:.0%} of the {int(failed.sum()):,} that had failed by the "
        f"end and for {STRAY_SHARE:.0%} of "
        f"the others, null elsewhere (ROC AUC {PLANTED_AUC}), known_at left as it was"
    )
    return tables, PlantedFault("post_event_filled", "equipment", "warranty_until", words, float(marked.sum()))


def _plant_fahrenheit(tables: Tables, name: str, where: pl.Expr, words: str) -> tuple[Tables, PlantedFault]:
    frame = _require_table(tables, "sensor_readings")
    hit = where & (pl.col("kind") == "temperature")
    touched = frame.filter(hit).height
    value = pl.when(hit).then(pl.col("value") * 1.8 + 32).otherwise(pl.col("value")).alias("value")
    tables["sensor_readings"] = frame.with_columns(value)
    all_of_them = frame.filter(pl.col("kind") == "temperature").height
    description = f"{touched:,} of {all_of_them:,} temperature readings in °F instead of °C: {words}"
    return tables, PlantedFault(name, "sensor_readings", "value", description, float(touched))


def _plant_fahrenheit_property(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    measured = _require_table(tables, "sensor_readings").filter(pl.col("kind") == "temperature")["equipment_id"].unique()
    equipment = _require_table(tables, "equipment").filter(pl.col("equipment_id").is_in(measured.implode()))
    places = equipment["property_id"].unique().sort()
    if not len(places):
        raise ColumnError("table sensor_readings has no temperature of known equipment; fahrenheit needs some.")
    place = places[int(rng.integers(len(places)))]
    of_place = equipment.filter(pl.col("property_id") == place)["equipment_id"].unique()
    where = pl.col("equipment_id").is_in(of_place.implode())
    return _plant_fahrenheit(tables, "fahrenheit_property", where, f"those of property {place}")


def _plant_fahrenheit_since(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    last = _latest_time(_require_table(tables, "sensor_readings")["measured_at"])
    since = last - timedelta(days=int(rng.integers(20, 90)))
    return _plant_fahrenheit(tables, "fahrenheit_since", pl.col("measured_at") >= since, f"all from {since:%Y-%m-%d} on")


def _latest_time(times: pl.Series) -> datetime:
    last = times.max()
    assert isinstance(last, datetime)
    return last


def _sample_recent_rows(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """5 % of the rows that became known in the last 30 days, at least three."""
    recent = frame.filter(pl.col(KNOWN_AT) > _latest_time(frame[KNOWN_AT]) - RECENT)
    n_rows = max(3, round(DUPLICATE_SHARE * recent.height))
    if recent.height < n_rows:
        raise ColumnError(f"only {recent.height} rows in the last 30 days; at least {n_rows} are needed to plant this fault.")
    return recent[np.sort(rng.choice(recent.height, n_rows, replace=False))]


def _make_duplicate_planter(name: str, table: str, copy_rows: Callable[[pl.DataFrame], pl.DataFrame], words: str) -> FaultPlanter:
    def plant_duplicates(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
        copies = copy_rows(_sample_recent_rows(_require_table(tables, table, 20), rng))
        tables[table] = pl.concat([tables[table], copies.select(tables[table].columns)])
        description = f"{copies.height:,} rows of {table}, {DUPLICATE_SHARE:.0%} of the last 30 days, a second time {words}"
        return tables, PlantedFault(name, table, None, description, float(copies.height))

    return plant_duplicates


def _shift_readings(name: str, where: pl.Expr, shift: pl.Expr, words: str, tables: Tables) -> tuple[Tables, PlantedFault]:
    frame = _require_table(tables, "sensor_readings")
    touched = frame.filter(where & (shift != 0)).height
    value = pl.when(where).then(pl.col("value") + shift).otherwise(pl.col("value")).alias("value")
    tables["sensor_readings"] = frame.with_columns(value)
    return tables, PlantedFault(name, "sensor_readings", "value", words, float(touched))


def _ramp(begin: datetime) -> pl.Expr:
    """0 before `begin`, rising to 1 over 30 days, 1 after."""
    days = (pl.col("measured_at") - pl.lit(begin)).dt.total_seconds() / 86400
    return (days / 30).clip(0, 1)


def _plant_sensor_drift(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    frame = _require_table(tables, "sensor_readings", 100)
    last = _latest_time(frame["measured_at"])
    begin = last - DRIFT_HOLD - timedelta(days=30)
    urgent = (pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"])
    orders = _require_table(tables, "work_orders").filter(urgent & (pl.col("opened_at") > begin - timedelta(days=60)))[
        "equipment_id"
    ]
    orders = orders.drop_nulls()
    counted = (
        frame.filter(~pl.col("equipment_id").is_in(orders.implode()))
        .group_by("equipment_id", "kind")
        .agg(
            pl.len(),
            pl.col("value").std().alias("sd"),
            pl.col("measured_at").max().alias("last"),
            pl.col("measured_at").min().alias("first"),
        )
    )
    long = counted.filter(
        (pl.col("last") > last - timedelta(days=10)) & (pl.col("first") < last - timedelta(days=600)) & (pl.col("sd") > 0)
    )
    series = long.sort("equipment_id", "kind")
    if series.is_empty():
        raise ColumnError("table sensor_readings has no sensor of a year without a recent work order; drift_sensor needs one.")
    equipment, kind, _, sd, *_ = series.row(int(rng.integers(series.height)))
    where = (pl.col("equipment_id") == equipment) & (pl.col("kind") == kind)
    words = (
        f"the {kind} sensor of {equipment} drifts by one of its standard deviations ({sd:.3g}) in the 30 days from "
        f"{begin:%Y-%m-%d} and stays there; its equipment does not fail"
    )
    return _shift_readings("drift_sensor", where, _ramp(begin) * sd, words, tables)


def _plant_kind_drift(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    frame = _require_table(tables, "sensor_readings", 100)
    kinds = frame["kind"].unique().sort()
    kind = kinds[int(rng.integers(len(kinds)))]
    begin = _latest_time(frame["measured_at"]) - timedelta(days=30)
    sd = pl.col("value").std().over("equipment_id", "kind")
    words = f"every {kind} sensor drifts up by one of its standard deviations in the 30 days from {begin:%Y-%m-%d}"
    return _shift_readings("drift_kind", pl.col("kind") == kind, _ramp(begin) * sd, words, tables)


SCHEMA_TABLES = ("leases", "payments", "equipment", "work_orders", "sensor_readings", "ledger")


def _sample_column(tables: Tables, rng: np.random.Generator, numeric: bool = False) -> tuple[str, str]:
    """A needed column, not of the key, of one of the tables."""
    names = [name for name in SCHEMA_TABLES if name in tables]
    name = names[int(rng.integers(len(names)))]
    table = get_canonical_table(name)
    columns = [c for c in table.columns if c.name not in table.key and not c.optional]
    if numeric:
        columns = [c for c in columns if c.dtype in ("money", "float", "int", "time")]
    return name, columns[int(rng.integers(len(columns)))].name


def _rename_column(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    table, column = _sample_column(tables, rng)
    parts = column.split("_")
    new = [f"{column}_new", f"{parts[0]}{''.join(p.title() for p in parts[1:])}X", f"the_{column}"][int(rng.integers(3))]
    tables[table] = tables[table].rename({column: new})
    return tables, PlantedFault("renamed", table, column, f"column {column} of {table} is named {new}", 1.0)


def _retype_column(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    table, column = _sample_column(tables, rng, numeric=True)
    tables[table] = tables[table].with_columns(pl.col(column).cast(pl.String))
    return tables, PlantedFault("retyped", table, column, f"column {column} of {table} is text", 1.0)


def _drop_column(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    table, column = _sample_column(tables, rng)
    tables[table] = tables[table].drop(column)
    return tables, PlantedFault("missing", table, column, f"column {column} of {table} is not there", 1.0)


@dataclass(frozen=True)
class Replacement:
    """A fault by which some rows' values of a column are replaced by `value`; `words` say what they become."""

    name: str
    table: str
    column: str
    value: pl.Expr
    words: str


def _replace_values(tables: Tables, fault: Replacement, chosen: pl.Series) -> tuple[Tables, PlantedFault]:
    """The values of the chosen keys' rows replaced."""
    table, column = fault.table, fault.column
    key = get_canonical_table(table).key[0]
    hit = pl.col(key).is_in(chosen.implode())
    tables[table] = tables[table].with_columns(pl.when(hit).then(fault.value).otherwise(pl.col(column)).alias(column))
    return tables, PlantedFault(fault.name, table, column, f"{len(chosen):,} rows of {table}: {fault.words}", float(len(chosen)))


def _sample_keys(rng: np.random.Generator, keys: pl.Series) -> pl.Series:
    """1 % of these keys, at least three."""
    keys = keys.unique().sort()
    n_keys = min(len(keys), max(3, round(DATES_SHARE * len(keys))))
    if not n_keys:
        raise ColumnError("no row fits; this fault cannot be planted into these tables.")
    return keys[np.sort(rng.choice(len(keys), n_keys, replace=False))]


def _plant_lease_overlaps(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    leases = _require_table(tables, "leases", 20).sort("unit_id", "start_date")
    later = leases.filter((pl.col("unit_id") == pl.col("unit_id").shift(1)) & (pl.col("lease_id") != pl.col("lease_id").shift(1)))
    words = "start_date moved 60 days back into the unit's lease before"
    earlier = pl.col("start_date").dt.offset_by("-60d")
    fault = Replacement("lease_overlaps", "leases", "start_date", earlier, words)
    return _replace_values(tables, fault, _sample_keys(rng, later["lease_id"]))


def _plant_late_charges(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    leases = (
        _require_table(tables, "leases")
        .filter(pl.col("ended_on").is_not_null())
        .select("lease_id", "ended_on")
        .unique("lease_id")
    )
    rents = _require_table(tables, "charges").filter(pl.col("kind") == "rent").join(leases, on="lease_id")
    chosen = _sample_keys(rng, rents["charge_id"])
    moved = rents.filter(pl.col("charge_id").is_in(chosen.implode())).select("charge_id", pl.col("ended_on").dt.offset_by("45d"))
    frame = tables["charges"].join(moved.unique("charge_id"), on="charge_id", how="left", maintain_order="left")
    tables["charges"] = frame.with_columns(pl.coalesce("ended_on", "due_on").alias("due_on")).drop("ended_on")
    words = f"{len(chosen):,} rent charges fall due 45 days after their lease's ended_on"
    return tables, PlantedFault("charge_after_end", "charges", "due_on", words, float(len(chosen)))


def _plant_late_installations(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    orders = _require_table(tables, "work_orders").filter(pl.col("equipment_id").is_not_null())
    chosen = _sample_keys(rng, orders["equipment_id"])
    first = orders.group_by("equipment_id").agg(pl.col("opened_at").min().dt.offset_by("30d").alias("new"))
    moved = first.filter(pl.col("equipment_id").is_in(chosen.implode()))
    frame = _require_table(tables, "equipment").join(moved, on="equipment_id", how="left", maintain_order="left")
    tables["equipment"] = frame.with_columns(pl.coalesce("new", "installed_on").alias("installed_on")).drop("new")
    words = f"{len(chosen):,} pieces of equipment installed 30 days after their first work order was opened"
    return tables, PlantedFault("order_before_installation", "work_orders", "opened_at", words, float(len(chosen)))


def _plant_early_payments(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    charges = _require_table(tables, "charges").select("charge_id", "lease_id").unique("charge_id")
    leases = _require_table(tables, "leases").select("lease_id", "signed_on").unique("lease_id")
    paid = _require_table(tables, "payments").join(charges, on="charge_id").join(leases, on="lease_id")
    chosen = _sample_keys(rng, paid["payment_id"])
    moved = paid.filter(pl.col("payment_id").is_in(chosen.implode())).select(
        "payment_id", pl.col("signed_on").dt.offset_by("-30d")
    )
    frame = tables["payments"].join(moved.unique("payment_id"), on="payment_id", how="left", maintain_order="left")
    tables["payments"] = frame.with_columns(pl.coalesce("signed_on", "paid_on").alias("paid_on")).drop("signed_on")
    words = f"{len(chosen):,} payments made 30 days before their lease was signed"
    return tables, PlantedFault("payment_before_signing", "payments", "paid_on", words, float(len(chosen)))


def _make_known_at_planter(name: str, table: str, event: str, days: int) -> FaultPlanter:
    def plant_early_known_at(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
        chosen = _sample_keys(
            rng, _require_table(tables, table).filter(pl.col(event).is_not_null())[get_canonical_table(table).key[0]]
        )
        value, words = pl.col(event).dt.offset_by(f"-{days}d"), f"known_at {days} days before {event}"
        return _replace_values(tables, Replacement(name, table, KNOWN_AT, value, words), chosen)

    return plant_early_known_at


def _plant_early_completions(tables: Tables, rng: np.random.Generator) -> tuple[Tables, PlantedFault]:
    done = _require_table(tables, "work_orders").filter(pl.col("completed_at").is_not_null())
    chosen, words = _sample_keys(rng, done["work_order_id"]), "completed_at two days before opened_at"
    value = pl.when(pl.col("completed_at").is_not_null()).then(pl.col("opened_at").dt.offset_by("-2d"))
    fault = Replacement("completed_before_opened", "work_orders", "completed_at", value, words)
    return _replace_values(tables, fault, chosen)


PLANTERS: dict[str, FaultPlanter] = {
    "post_event_number": _plant_replacement_cost,
    "post_event_filled": _plant_warranty,
    "fahrenheit_property": _plant_fahrenheit_property,
    "fahrenheit_since": _plant_fahrenheit_since,
    "twice_identical": _make_duplicate_planter("twice_identical", "work_orders", lambda rows: rows, "as identical rows"),
    "twice_new_known_at": _make_duplicate_planter(
        "twice_new_known_at",
        "work_orders",
        lambda rows: rows.with_columns(pl.col(KNOWN_AT) + pl.duration(hours=1)),
        "with a known_at an hour later",
    ),
    "twice_new_id": _make_duplicate_planter(
        "twice_new_id",
        "payments",
        lambda rows: rows.with_columns(
            (pl.lit("again-") + pl.int_range(pl.len()).cast(pl.String)).alias("payment_id"),
            pl.col(KNOWN_AT) + pl.duration(hours=1),
        ),
        "under new ids",
    ),
    "drift_sensor": _plant_sensor_drift,
    "drift_kind": _plant_kind_drift,
    "renamed": _rename_column,
    "retyped": _retype_column,
    "missing": _drop_column,
    "lease_overlaps": _plant_lease_overlaps,
    "charge_after_end": _plant_late_charges,
    "order_before_installation": _plant_late_installations,
    "payment_before_signing": _plant_early_payments,
    "completed_before_opened": _plant_early_completions,
    "order_known_early": _make_known_at_planter("order_known_early", "work_orders", "opened_at", 3),
    "payment_known_early": _make_known_at_planter("payment_known_early", "payments", "paid_on", 3),
}
FAULTS: tuple[str, ...] = tuple(PLANTERS)
"""The names of the faults that can be planted."""
