"""A feature as CONTRIBUTING's recipe makes one: which elevator will stop within 30 days? Over two small canonical tables."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from epic22.core.data.point_in_time import Table, Tables
from epic22.core.evaluation.metrics import AVERAGE_PRECISION
from epic22.core.task import AsOfView, Column, Future, Target, Task

QUARTER = timedelta(days=90)


def rows(known: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """Every elevator at every cutoff at which it was known."""
    seen = known.latest("equipment")
    return cutoffs.filter(seen["equipment_id"].is_not_null())


def inputs(known: AsOfView) -> pl.LazyFrame:
    """Age, maker and past stops, each as of the row's own cutoff."""
    equipment = known.latest("equipment")
    return pl.LazyFrame(
        {
            "age_days": (equipment["cutoff"] - equipment["installed_on"]).dt.total_days().cast(pl.Float64),
            "maker": equipment["maker"],
            "stops_90_days": known.count("stops", QUARTER),
        }
    )


def labels(known: AsOfView, later: Future) -> pl.DataFrame:
    """Whether a stop was opened in (cutoff, cutoff + 30 days]."""
    stopped = later.window("stops")["row"].unique()
    every = later.at.with_row_index("row")["row"]
    return pl.DataFrame({"stops": every.is_in(stopped.implode()).cast(pl.Float64)})


TASK = Task(
    name="elevator_outage",
    columns=(
        Column("age_days", "float", unit="days", low=0, about="age of the elevator"),
        Column("maker", "category", about="its maker"),
        Column("stops_90_days", "int", low=0, about="stops in the last 90 days"),
    ),
    targets=(Target("stops", "binary", labels, AVERAGE_PRECISION, horizons=(30.0,), classes=("no", "yes")),),
    rows=rows,
    inputs=inputs,
    families=("constant", "linear", "boosting"),
    about="which elevator will stop within 30 days",
)


def tables(seed: int = 0, elevators: int = 25, days: int = 420) -> Tables:
    """Elevators whose stops come at a rate that doubles for one maker; some stops become known days later."""
    rng = np.random.default_rng(seed)
    first = datetime(2023, 1, 1)
    makers = rng.choice(["otto", "lift"], elevators)
    equipment = pl.DataFrame(
        {
            "equipment_id": [f"e{i}" for i in range(elevators)],
            "maker": makers,
            "installed_on": [first - timedelta(days=int(d)) for d in rng.integers(100, 5000, elevators)],
            "known_at": [first - timedelta(days=50)] * elevators,
        }
    )
    stops = [
        (f"s{i}-{d}", f"e{i}", first + timedelta(days=d, hours=12), int(rng.integers(0, 4)))
        for i in range(elevators)
        for d in range(days)
        if rng.uniform() < (0.02 if makers[i] == "otto" else 0.004)
    ]
    events = pl.DataFrame(
        {
            "stop_id": [s[0] for s in stops],
            "equipment_id": [s[1] for s in stops],
            "opened_at": [s[2] for s in stops],
            "known_at": [s[2] + timedelta(days=s[3]) for s in stops],
        }
    )
    return Tables(
        {
            "equipment": Table("equipment", equipment, "equipment_id", "equipment_id"),
            "stops": Table("stops", events, "stop_id", "equipment_id", (), "opened_at"),
        },
        first + timedelta(days=days),
    )


def cutoffs(elevators: int = 25, days: int = 420) -> pl.DataFrame:
    """Weekly cutoffs of every elevator whose horizon ends within the data."""
    moments = [datetime(2023, 1, 1) + timedelta(days=d) for d in range(90, days - 30, 7)]
    names = pl.DataFrame({"entity": [f"e{i}" for i in range(elevators)]})
    return names.join(pl.DataFrame({"cutoff": moments}), how="cross")
