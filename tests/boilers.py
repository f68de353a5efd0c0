"""A small table of boilers whose true failure probability is known: for the tests of the whole way.

A boiler fails within 30 days with the Weibull hazard of its age (shape 2, scale 15 years), raised by vibration, by a water
temperature far from 60 °C and by missed services.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

WEIBULL_SHAPE = 2.0
WEIBULL_SCALE_YEARS = 15.0
FIRST_READING = datetime(2023, 1, 2)
HORIZON_DAYS = 30


@dataclass(frozen=True)
class Boilers:
    """`rows`: what a company would see, with the label `failed_within_30_days`; `truth` (n,): its true probability."""

    rows: pl.DataFrame
    truth: pl.Series


def simulate_boilers(boilers: int = 220, months: int = 30, seed: int = 0) -> Boilers:
    """Monthly readings of some boilers, and, as real tables have it, two columns that nobody should learn from.

    `reading_id` numbers the rows; `repair_cost` is filled in after a failure.
    """
    rng = np.random.default_rng(seed)
    n = boilers * months
    boiler, month = np.repeat(np.arange(boilers), months), np.tile(np.arange(months), boilers)
    age = rng.uniform(0, 22, boilers)[boiler] + month / 12
    maker = rng.choice(["Arden", "Brook", "Calder"], boilers, p=[0.5, 0.3, 0.2])[boiler]
    vibration = rng.gamma(4, 0.5, boilers)[boiler] * rng.lognormal(0, 0.25, n)
    temperature = rng.normal(60, 4, n)
    since_service = rng.integers(0, 24, n).astype(float)
    hazard = WEIBULL_SHAPE / WEIBULL_SCALE_YEARS * (age / WEIBULL_SCALE_YEARS) ** (WEIBULL_SHAPE - 1)
    raised = 0.45 * (vibration - 2) + 0.09 * np.abs(temperature - 60) + 0.05 * since_service + 0.6 * (maker == "Calder")
    truth = 1 - np.exp(-hazard * (HORIZON_DAYS / 365) * np.exp(raised))
    failed = rng.uniform(size=n) < truth
    unread = rng.uniform(size=n) < 0.03
    rows = pl.DataFrame(
        {
            "reading_id": np.arange(1, n + 1),
            "read_at": [FIRST_READING + timedelta(days=int(m) * 30) for m in month],
            "boiler": [f"B{b:04d}" for b in boiler],
            "maker": maker,
            "age_years": np.round(age, 2),
            "vibration_mm_s": np.where(unread, np.nan, np.round(vibration, 2)),
            "water_temperature_c": np.round(temperature, 1),
            "months_since_service": since_service.astype(int),
            "repair_cost": np.where(failed, np.round(rng.lognormal(6.5, 0.5, n), 2), 0.0),
            "failed_within_30_days": failed.astype(int),
        }
    ).with_columns(pl.col("vibration_mm_s").fill_nan(None))
    order = rows.with_row_index("row").sort("read_at", "boiler")["row"].to_numpy()
    return Boilers(rows[order].with_columns(pl.Series("reading_id", np.arange(1, n + 1))), pl.Series("truth", truth[order]))
