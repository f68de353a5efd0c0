"""A toy table of payments month by month, in which faults of the newest month are planted; and versions of small tables."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from epic22.core.quality.checks import QualityRules
from epic22.core.quality.version_comparison import VersionComparison, VersionPair, compare_versions
from epic22.core.tables.canonical import KNOWN_AT, MONEY

BEGIN, PARENT_END, END = datetime(2024, 1, 1), datetime(2025, 2, 1), datetime(2025, 3, 1)
METHODS = ("ach", "card", "check", "cash")


def payments(seed: int = 0, a_month: int = 300, growth: float = 1.01) -> pl.DataFrame:
    """Payments of 14 months in rising numbers and amounts, until END."""
    rng = np.random.default_rng(seed)
    rows = []
    months = pl.datetime_range(BEGIN, END, "1mo", eager=True, closed="left").to_list()
    for month, begin in enumerate(months):
        n = int(rng.poisson(a_month * growth**month))
        paid = [begin + timedelta(days=float(day)) for day in rng.uniform(0, 28, n)]
        rows.append(
            pl.DataFrame(
                {
                    "payment_id": [f"Y{month}-{i}" for i in range(n)],
                    "charge_id": [f"C{month}-{i}" for i in range(n)],
                    "paid_on": pl.Series(paid, dtype=pl.Datetime("us")),
                    "amount": pl.Series(np.round(rng.lognormal(7, 0.3, n) * growth**month, 2)).cast(MONEY),
                    "status": rng.choice(["paid", "failed"], n, p=[0.95, 0.05]),
                    "method": rng.choice(METHODS, n, p=[0.5, 0.3, 0.15, 0.05]),
                }
            ).with_columns(pl.col("paid_on").alias(KNOWN_AT))
        )
    return pl.concat(rows)


IS_NEW = pl.col(KNOWN_AT) > PARENT_END


def compare_payments(frame: pl.DataFrame, rules: QualityRules = QualityRules()) -> VersionComparison:
    """The comparison of a version with these payments with the parent of a month before."""
    before = {"payments": frame.filter(~IS_NEW)}
    return compare_versions(VersionPair({"payments": frame}, before, PARENT_END, END), rules)


def name_findings(comparison: VersionComparison) -> set[tuple[str, str | None, str]]:
    """(table, column, what) of all findings."""
    return {(one.table, one.column, one.what) for one in comparison.findings}


def move_states(frames: Mapping[str, pl.DataFrame], end: datetime) -> VersionPair:
    """A pair of equal tables with a month between them."""
    return replace(VersionPair(dict(frames), dict(frames), end, end), end=end + timedelta(days=31))
