"""Toy examples of machines at weekly cutoffs: failures within a horizon, with a real precursor, age and load."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.task import Array, Column

COLUMNS = (
    Column("age", "float"),
    Column("load", "float"),
    Column("vibration", "float"),
    Column("days_since_failure", "float", optional=True),
    Column("maker", "category"),
)


@dataclass(frozen=True)
class Weekly:
    """Rows in the order of machine and cutoff, with `y`, `entity` and `at` beside."""

    inputs: pl.DataFrame
    y: Array
    entity: Array
    at: Array


def weekly_examples(seed: int, machines: int = 150, weeks: int = 100, horizon: int = 30, climb: int = 15) -> Weekly:
    """Machines fail by their age and load; vibration climbs over the last `climb` days before a failure."""
    rng = np.random.default_rng([seed, 8])
    days = 7 * np.arange(weeks)
    parts = []
    for i in range(machines):
        age, load, maker = rng.uniform(0, 10), rng.normal(), rng.choice(["a", "b"])
        rate = 0.0012 * np.exp(0.15 * age + 0.5 * load + 0.4 * (maker == "b"))
        failed = np.cumsum(rng.exponential(1 / rate, 60))
        failed = failed[failed < days[-1] + 60]
        nxt = np.array([failed[failed > d].min(initial=np.inf) for d in days])
        last = np.array([failed[failed <= d].max(initial=-np.inf) for d in days])
        lead = nxt - days
        parts.append(
            pl.DataFrame(
                {
                    "age": np.round(age + days / 365, 2),
                    "load": np.round(load + 0.3 * rng.normal(size=weeks), 2),
                    "vibration": np.round(rng.normal(size=weeks) + np.where(lead < climb, 2.5 * (climb - lead) / climb, 0), 3),
                    "days_since_failure": np.where(np.isfinite(last), days - last, np.nan),
                    "maker": maker,
                    "y": (lead <= horizon).astype(int),
                    "entity": f"M{i:03d}",
                    "day": days,
                }
            )
        )
    rows = pl.concat(parts).with_columns(pl.col("days_since_failure").fill_nan(None))
    at = np.datetime64("2022-01-03", "us") + rows["day"].to_numpy().astype("timedelta64[D]")
    return Weekly(rows.drop("y", "entity", "day"), rows["y"].to_numpy(), rows["entity"].to_numpy(), at)
