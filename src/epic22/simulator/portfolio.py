"""A simulated property company: all canonical tables, and beside them the truth that no table shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from epic22.core.errors import UserError
from epic22.core.tables.canonical import CANONICAL
from epic22.simulator.calendar import Array, Span, to_datetime
from epic22.simulator.equipment import Machines, compute_failure_probabilities, simulate_machines
from epic22.simulator.equipment_tables import (
    Pieces,
    build_equipment_table,
    build_work_orders_table,
    list_pieces,
    simulate_sensor_table,
    simulate_work_orders,
)
from epic22.simulator.estate import Estate, build_estate, build_property_tables
from epic22.simulator.faults import FAULTS, PlantedFault, plant
from epic22.simulator.ledger import Bookings, build_ledger_table, sample_running_costs
from epic22.simulator.market import build_market_table, compute_market_truth, simulate_market
from epic22.simulator.reporting_truth import World, compute_reporting_truth
from epic22.simulator.size import END, LARGE, SMALL, PortfolioSize, resolve_size
from epic22.simulator.table_builder import gather_names
from epic22.simulator.tenancy_history import TenancyHistory as Tenants
from epic22.simulator.tenancy_history import simulate_tenancies
from epic22.simulator.tenancy_tables import Publication, build_messages_table, build_tenancy_tables, select_published
from epic22.simulator.tenancy_truth import compute_churn_truth, compute_default_truth

FileFormat = Literal["csv", "parquet", "jsonl"]
FAILURE_DAYS = (7, 30, 90)
CUTOFF_BLOCK = 32
"""Bounds the memory that a large portfolio takes."""
README_TEXT = (
    "Every row here is simulated by epic22. Nothing measured on it may be presented as measured on real data.\n"
    "tables/: what a company would have. truth/: the true probabilities and medians; no model may read them.\n"
)

__all__ = ["LARGE", "SMALL", "Portfolio", "PortfolioSize", "simulate", "write_portfolio"]


@dataclass(frozen=True)
class Portfolio:
    """All canonical tables until `end`, each as its contract declares, sorted by key.

    `planted` are the faults that were asked for. `truth` by task: probabilities [entity, cutoff, probability] or medians [entity,
    cutoff, h1…], given the whole hidden state at the cutoff; none of its values is in a table.
    """

    tables: Mapping[str, pl.DataFrame]
    end: datetime
    truth: Mapping[str, pl.DataFrame]
    planted: tuple[PlantedFault, ...] = ()


HAZARD_TASKS = {
    "maintenance_hazard": ("predictive_maintenance", {7: "probability_7", 30: "probability", 90: "probability_90"}),
    "churn_hazard": ("tenant_churn", {90: "probability"}),
}
"""Tasks of times to an event: whose truth tells of them, and its column by horizon in days."""


def select_truth(portfolio: Portfolio, task: str) -> pl.DataFrame:
    """The truth of a task as training compares with it: [entity, cutoff, truth], or medians [entity, cutoff, h1…].

    Of a fair rent the entity is the unit, the cutoff the day before the lease was signed.
    """
    if task in HAZARD_TASKS:
        source_task, columns = HAZARD_TASKS[task]
        return portfolio.truth[source_task].select(
            "entity", "cutoff", **{f"truth_{days}": pl.col(name) for days, name in columns.items()}
        )
    truth = portfolio.truth[task]
    if "probability" in truth.columns:
        return truth.select("entity", "cutoff", truth="probability")
    if "median_rent" not in truth.columns:
        return truth
    leases = portfolio.tables["leases"].select("unit_id", "signed_on", entity="lease_id")
    rents = truth.join(leases, on="entity").select(
        entity="unit_id", cutoff=pl.col("signed_on") - pl.duration(days=1), truth="median_rent"
    )
    return rents.unique(["entity", "cutoff"], keep="first", maintain_order=True)


def plant_faults(portfolio: Portfolio, faults: Sequence[str], seed: int) -> Portfolio:
    """The portfolio with these faults planted into its tables, one after the other. Raises ColumnError for an unknown one."""
    tables, planted = dict(portfolio.tables), []
    for fault in faults:
        tables, planted_fault = plant(tables, fault, seed)
        planted.append(planted_fault)
    return replace(portfolio, tables=tables, planted=tuple(planted))


def check_fault_names(faults: Sequence[str]) -> None:
    """Raise UserError naming a fault that cannot be planted, and those that can."""
    unknown = [fault for fault in faults if fault not in FAULTS]
    if unknown:
        raise UserError(f"no fault {unknown[0]!r}; there are {', '.join(FAULTS)}.")


def simulate(
    size: str | PortfolioSize = "small",
    seed: int = 0,
    faults: Sequence[str] = (),
    on_part: Callable[[str], None] = lambda what: None,
) -> Portfolio:
    """The portfolio of a size and seed, the same to the byte each time; `on_part` is called for each part as it starts.

    `faults` are planted into the finished tables. Raises UserError for an unknown size or fault.

    >>> tiny = PortfolioSize("tiny", 3, metros=1, zips=2, units=30, reading_days=30, years_of_ledger=3, replicates=2)
    >>> simulate(tiny, seed=1).tables["properties"].height
    3
    """
    check_fault_names(faults)
    size = resolve_size(size)
    span = Span(size)
    streams = np.random.SeedSequence(seed).spawn(16)
    rngs = [np.random.default_rng(stream) for stream in streams]
    on_part("market and estate")
    market = simulate_market(size, span, rngs[0])
    estate = build_estate(size, span, rngs[1])
    tables = {"market": build_market_table(market, span, rngs[2]), **build_property_tables(estate, market, span, rngs[3])}
    on_part("equipment, day by day")
    machines = simulate_machines(estate, span, rngs[4])
    pieces = list_pieces(estate, machines, span)
    on_part("tenants, month by month")
    tenants = simulate_tenancies(estate, market, span, rngs[5], rngs[6])
    publication = select_published(tenants, span)
    tables |= build_tenancy_tables(estate, tenants, publication, rngs[7])
    tables["messages"] = build_messages_table(estate, tenants, machines, publication, span, rngs[8])
    on_part("work orders and ledger")
    orders = simulate_work_orders(estate, machines, tenants, span, rngs[9])
    costs = sample_running_costs(estate, market, span, rngs[10])
    tables["equipment"] = build_equipment_table(estate, pieces, span)
    tables["work_orders"] = build_work_orders_table(estate, pieces, orders, span, rngs[11])
    tables["ledger"] = build_ledger_table(estate, Bookings(tenants, orders, pieces, costs), span, rngs[12])
    on_part("sensor readings")
    tables["sensor_readings"] = simulate_sensor_table(estate, machines, pieces, span, size, rngs[13])
    on_part("true probabilities")
    rents, vacancy = compute_market_truth(market, span)
    truth = {
        "predictive_maintenance": compute_maintenance_truth(estate, machines, pieces, span),
        "tenant_churn": compute_churn_truth(tenants, span, publication.lease_ids),
        "risk_assessment": compute_default_truth(tenants, span, publication.lease_ids),
        "market_intelligence": rents,
        "market_vacancy": vacancy,
        "fair_rent": compute_fair_rents(tenants, publication),
    }
    on_part("futures of the properties")
    world = World(estate, market, machines, tenants, orders, costs, span, size.replicates)
    truth |= compute_reporting_truth(world, rngs[14])
    return plant_faults(Portfolio({t.name: tables[t.name] for t in CANONICAL}, END, truth), faults, seed)


def compute_maintenance_truth(estate: Estate, machines: Machines, pieces: Pieces, span: Span) -> pl.DataFrame:
    """P(failure) of each active piece at each Monday: [entity, cutoff, probability, probability_7, probability_90]."""
    cutoffs = span.mondays()
    blocks = np.array_split(cutoffs, -(-len(cutoffs) // CUTOFF_BLOCK))
    frames = [_compute_failure_frame(estate, machines, pieces, span, block) for block in blocks]
    return pl.concat(frames).sort("entity", "cutoff")


def _compute_failure_frame(estate: Estate, machines: Machines, pieces: Pieces, span: Span, cutoffs: Array) -> pl.DataFrame:
    probabilities = compute_failure_probabilities(estate, machines, span, cutoffs, FAILURE_DAYS)
    cutoff, slot = (a.ravel() for a in np.meshgrid(cutoffs, np.arange(len(estate.slot_kind)), indexing="ij"))
    piece = pieces.in_slot(slot, cutoff)
    frame = pl.DataFrame(
        {
            "entity": gather_names(pieces.names, piece),
            "cutoff": to_datetime(cutoff),
            "probability": probabilities[1].ravel(),
            "probability_7": probabilities[0].ravel(),
            "probability_90": probabilities[2].ravel(),
        }
    )
    return frame.filter(pl.Series(pieces.installed[piece] <= cutoff))


def compute_fair_rents(tenants: Tenants, publication: Publication) -> pl.DataFrame:
    """The median rent of each published lease but for the noise of its signing: [entity, median_rent]."""
    at = np.flatnonzero(publication.leases)
    return pl.DataFrame({"entity": gather_names(publication.lease_ids, at), "median_rent": tenants.lease.fair[at]}).sort("entity")


def write_portfolio(portfolio: Portfolio, folder: Path, file_format: FileFormat = "csv") -> None:
    """Write tables and truth below a folder, and a text that says what they are."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "truth").mkdir(exist_ok=True)
    for name, table in portfolio.tables.items():
        path = folder / "tables" / f"{name}.{file_format}"
        match file_format:
            case "csv":
                table.write_csv(path)
            case "parquet":
                table.write_parquet(path)
            case "jsonl":
                table.write_ndjson(path)
    for task, truth in portfolio.truth.items():
        truth.write_parquet(folder / "truth" / f"{task}.parquet")
    (folder / "README.txt").write_text(README_TEXT, encoding="utf-8")
