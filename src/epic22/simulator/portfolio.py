"""A simulated property company: all canonical tables, and beside them the truth that no table shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from epic22.core.data.canonical import CANONICAL
from epic22.core.errors import UserError
from epic22.simulator.calendar import Array, Span, moment
from epic22.simulator.equipment import Machines, failure_probabilities, simulate_machines
from epic22.simulator.equipment_tables import (
    Pieces,
    equipment_table,
    pieces_of,
    sensor_table,
    work_orders,
    work_orders_table,
)
from epic22.simulator.estate import Estate, build_estate, property_tables
from epic22.simulator.faults import FAULTS, PlantedFault, plant
from epic22.simulator.leases import Path as Tenants
from epic22.simulator.leases import live
from epic22.simulator.ledger import ledger_table, running_costs
from epic22.simulator.market import market_table, market_truth, simulate_market
from epic22.simulator.reporting_truth import World, reporting_truth
from epic22.simulator.rows import pick
from epic22.simulator.size import END, LARGE, SMALL, Size, named
from epic22.simulator.tenancy_tables import Published, messages_table, publish, tenancy_tables
from epic22.simulator.tenancy_truth import churn_truth, default_truth

Layout = Literal["csv", "parquet", "jsonl"]
FAILURE_DAYS = (7, 30, 90)
CUTOFFS_AT_ONCE = 32
"""Bounds the memory that a large portfolio takes."""
SAID = (
    "Every row here is simulated by epic22. Nothing measured on it may be presented as measured on real data.\n"
    "tables/: what a company would have. truth/: the true probabilities and medians; no model may read them.\n"
)

__all__ = ["LARGE", "SMALL", "Portfolio", "Size", "simulate", "write_portfolio"]


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


HAZARDS = {
    "maintenance_hazard": ("predictive_maintenance", {7: "probability_7", 30: "probability", 90: "probability_90"}),
    "churn_hazard": ("tenant_churn", {90: "probability"}),
}
"""Tasks of times to an event: whose truth tells of them, and its column by horizon in days."""


def truth_of(portfolio: Portfolio, task: str) -> pl.DataFrame:
    """The truth of a task as training compares with it: [entity, cutoff, truth], or medians [entity, cutoff, h1…].

    Of a fair rent the entity is the unit, the cutoff the day before the lease was signed.
    """
    if task in HAZARDS:
        of, columns = HAZARDS[task]
        return portfolio.truth[of].select("entity", "cutoff", **{f"truth_{days}": pl.col(name) for days, name in columns.items()})
    truth = portfolio.truth[task]
    if "probability" in truth.columns:
        return truth.select("entity", "cutoff", truth="probability")
    if "median_rent" not in truth.columns:
        return truth
    leases = portfolio.tables["leases"].select("unit_id", "signed_on", entity="lease_id")
    told = truth.join(leases, on="entity").select(
        entity="unit_id", cutoff=pl.col("signed_on") - pl.duration(days=1), truth="median_rent"
    )
    return told.unique(["entity", "cutoff"], keep="first", maintain_order=True)


def with_faults(portfolio: Portfolio, faults: Sequence[str], seed: int) -> Portfolio:
    """The portfolio with these faults planted into its tables, one after the other. Raises ColumnError for an unknown one."""
    tables, planted = dict(portfolio.tables), []
    for fault in faults:
        tables, told = plant(tables, fault, seed)
        planted.append(told)
    return replace(portfolio, tables=tables, planted=tuple(planted))


def refuse_unknown_faults(faults: Sequence[str]) -> None:
    """Raise UserError naming a fault that cannot be planted, and those that can."""
    unknown = [fault for fault in faults if fault not in FAULTS]
    if unknown:
        raise UserError(f"no fault {unknown[0]!r}; there are {', '.join(FAULTS)}.")


def simulate(
    size: str | Size = "small", seed: int = 0, faults: Sequence[str] = (), begin: Callable[[str], None] = lambda what: None
) -> Portfolio:
    """The portfolio of a size and seed, the same to the byte each time; `begin` is told of each part as it starts.

    `faults` are planted into the finished tables. Raises UserError for an unknown size or fault.

    >>> tiny = Size("tiny", 3, metros=1, zips=2, units=30, reading_days=30, years_of_ledger=3, replicates=2)
    >>> simulate(tiny, seed=1).tables["properties"].height
    3
    """
    refuse_unknown_faults(faults)
    size = named(size)
    span = Span(size)
    streams = np.random.SeedSequence(seed).spawn(16)
    rng = [np.random.default_rng(stream) for stream in streams]
    begin("market and estate")
    market = simulate_market(size, span, rng[0])
    estate = build_estate(size, span, rng[1])
    tables = {"market": market_table(market, span, rng[2]), **property_tables(estate, market, span, rng[3])}
    begin("equipment, day by day")
    machines = simulate_machines(estate, span, rng[4])
    pieces = pieces_of(estate, machines, span)
    begin("tenants, month by month")
    tenants = live(estate, market, span, rng[5], rng[6])
    shown = publish(tenants, span)
    tables |= tenancy_tables(estate, tenants, shown, span, rng[7])
    tables["messages"] = messages_table(estate, tenants, machines, shown, span, rng[8])
    begin("work orders and ledger")
    orders = work_orders(estate, machines, tenants, span, rng[9])
    costs = running_costs(estate, market, span, rng[10])
    tables["equipment"] = equipment_table(estate, pieces, span)
    tables["work_orders"] = work_orders_table(estate, pieces, orders, span, rng[11])
    tables["ledger"] = ledger_table(estate, tenants, orders, pieces, costs, span, rng[12])
    begin("sensor readings")
    tables["sensor_readings"] = sensor_table(estate, machines, pieces, span, size, rng[13])
    begin("true probabilities")
    rents, vacancy = market_truth(market, span)
    truth = {
        "predictive_maintenance": maintenance_truth(estate, machines, pieces, span),
        "tenant_churn": churn_truth(tenants, span, shown.lease_ids),
        "risk_assessment": default_truth(tenants, span, shown.lease_ids),
        "market_intelligence": rents,
        "market_vacancy": vacancy,
        "fair_rent": fair_rents(tenants, shown),
    }
    begin("futures of the properties")
    world = World(estate, market, machines, tenants, orders, costs, span, size.replicates)
    truth |= reporting_truth(world, rng[14])
    return with_faults(Portfolio({t.name: tables[t.name] for t in CANONICAL}, END, truth), faults, seed)


def maintenance_truth(estate: Estate, machines: Machines, pieces: Pieces, span: Span) -> pl.DataFrame:
    """P(failure) of each active piece at each Monday: [entity, cutoff, probability, probability_7, probability_90]."""
    cutoffs = span.mondays()
    blocks = np.array_split(cutoffs, -(-len(cutoffs) // CUTOFFS_AT_ONCE))
    frames = [_failures_from(estate, machines, pieces, span, block) for block in blocks]
    return pl.concat(frames).sort("entity", "cutoff")


def _failures_from(estate: Estate, machines: Machines, pieces: Pieces, span: Span, cutoffs: Array) -> pl.DataFrame:
    found = failure_probabilities(estate, machines, span, cutoffs, FAILURE_DAYS)
    cutoff, slot = (a.ravel() for a in np.meshgrid(cutoffs, np.arange(len(estate.slot_kind)), indexing="ij"))
    piece = pieces.in_slot(slot, cutoff)
    frame = pl.DataFrame(
        {
            "entity": pick(pieces.names, piece),
            "cutoff": moment(cutoff),
            "probability": found[1].ravel(),
            "probability_7": found[0].ravel(),
            "probability_90": found[2].ravel(),
        }
    )
    return frame.filter(pl.Series(pieces.installed[piece] <= cutoff))


def fair_rents(tenants: Tenants, shown: Published) -> pl.DataFrame:
    """The median rent of each published lease but for the noise of its signing: [entity, median_rent]."""
    at = np.flatnonzero(shown.leases)
    return pl.DataFrame({"entity": pick(shown.lease_ids, at), "median_rent": tenants.lease.fair[at]}).sort("entity")


def write_portfolio(portfolio: Portfolio, folder: Path, layout: Layout = "csv") -> None:
    """Write tables and truth below a folder, and a text that says what they are."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "truth").mkdir(exist_ok=True)
    for name, table in portfolio.tables.items():
        path = folder / "tables" / f"{name}.{layout}"
        match layout:
            case "csv":
                table.write_csv(path)
            case "parquet":
                table.write_parquet(path)
            case "jsonl":
                table.write_ndjson(path)
    for task, truth in portfolio.truth.items():
        truth.write_parquet(folder / "truth" / f"{task}.parquet")
    (folder / "README.txt").write_text(SAID, encoding="utf-8")
