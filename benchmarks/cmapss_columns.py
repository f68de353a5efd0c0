"""C-MAPSS as columns: sensors by operating regime, an index of health made of them, and both over trailing windows.

A row's columns are made of its unit's rows up to that cycle alone; regimes and index are fitted on training rows alone.
n = rows, k = regimes, s = sensors that vary.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.task import Array

SETTINGS = tuple(f"setting_{i}" for i in range(1, 4))
SENSORS = tuple(f"sensor_{i}" for i in range(1, 22))
NAMES = ("unit", "cycle", *SETTINGS, *SENSORS)
CAP = 125.0
"""Remaining life is counted up to so many cycles: far from the end no sensor tells it."""

BEGINNING = 10
"""The cycles of a unit's beginning, by which it is told how far it has moved since."""

HEALTH, RIDGE = "health", 100.0
LEVELS, SLOPES = (3, 5, 10, 20, 40, 80), (10, 20, 40, 80)
"""Trailing windows, in cycles, over which the index of health is told."""

STILL = 1e-6
"""A sensor that varies less than this (in its own unit) within all regimes tells nothing."""


def read_units(path: Path) -> pl.DataFrame:
    """The table [unit, cycle, 3 settings, 21 sensors], by unit and cycle; the file has no header, blanks between values."""
    frame = pl.read_csv(path, separator="\n", has_header=False, new_columns=["line"], quote_char=None)
    parts = pl.col("line").str.strip_chars().str.split(" ").list.to_struct(fields=list(NAMES))
    table = frame.select(parts.alias("row")).unnest("row")
    whole = pl.col("unit", "cycle").cast(pl.Int64)
    return table.with_columns(pl.all().cast(pl.Float64)).with_columns(whole).sort("unit", "cycle")


def remaining(units: pl.DataFrame) -> pl.Series:
    """Cycles from each row to its unit's last, for units that ran until they failed."""
    return units.select((pl.col("cycle").max().over("unit") - pl.col("cycle")).cast(pl.Float64).alias("remaining")).to_series()


@dataclass(frozen=True)
class Regimes:
    """Operating regimes: the settings' centres (k, 3) and the mean and standard deviation of each sensor in each, (k, s)."""

    centres: Array
    sensors: tuple[str, ...]
    mean: Array
    sd: Array

    @classmethod
    def fit(cls, units: pl.DataFrame) -> "Regimes":
        """A regime is an altitude in whole thousands of feet and a throttle in whole degrees; the Mach number goes with them."""
        rounded = units.select(pl.struct(pl.col(SETTINGS[0], SETTINGS[2]).round(0).cast(pl.Int64)).rank("dense"))
        of = rounded.to_series().to_numpy().astype(np.int64) - 1
        count = int(of.max()) + 1
        settings, values = units.select(SETTINGS).to_numpy(), units.select(SENSORS).to_numpy()
        centres = np.stack([settings[of == k].mean(axis=0) for k in range(count)])
        mean = np.stack([values[of == k].mean(axis=0) for k in range(count)])
        sd = np.stack([values[of == k].std(axis=0) for k in range(count)])
        told = sd.max(axis=0) > STILL
        return cls(
            centres,
            tuple(name for name, some in zip(SENSORS, told, strict=True) if some),
            mean[:, told],
            np.maximum(sd[:, told], STILL),
        )

    def of(self, units: pl.DataFrame) -> Array:
        """The nearest regime of each row, (n,)."""
        settings, scale = units.select(SETTINGS).to_numpy(), np.maximum(np.ptp(self.centres, axis=0), 1.0)
        return np.asarray((((settings[:, None] - self.centres[None]) / scale) ** 2).sum(axis=2).argmin(axis=1))

    def standardised(self, units: pl.DataFrame) -> pl.DataFrame:
        """Each sensor in standard deviations from the mean of its row's regime."""
        k = self.of(units)
        z = (units.select(self.sensors).to_numpy() - self.mean[k]) / self.sd[k]
        return pl.DataFrame({name: z[:, i] for i, name in enumerate(self.sensors)})


@dataclass(frozen=True)
class Health:
    """One index of wear: the ridge regression of remaining life on the standardised sensors, which averages their noise away."""

    weights: Array

    @classmethod
    def fit(cls, units: pl.DataFrame, regimes: Regimes, remaining_life: Array) -> "Health":
        """Learn from rows whose remaining life (n,) is known."""
        z = regimes.standardised(units).to_numpy()
        return cls(np.linalg.solve(z.T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (remaining_life - remaining_life.mean())))

    def of(self, standardised: pl.DataFrame) -> pl.Series:
        """The index of each row, in cycles."""
        return pl.Series(HEALTH, standardised.to_numpy() @ self.weights)


def window_columns(units: pl.DataFrame, regimes: Regimes, health: Health) -> pl.DataFrame:
    """The model's columns, a row each of `units` (in order of unit and cycle)."""
    z = regimes.standardised(units)
    held = z.with_columns(units["unit"], units["cycle"].cast(pl.Float64), health.of(z))
    made = [pl.col("cycle").alias("cycles so far"), *_of_health()]
    for sensor in regimes.sensors:
        made += [
            _since(pl.col(sensor), 10).alias(f"{sensor} since the beginning"),
            _mean(pl.col(sensor), 20).alias(f"{sensor} mean of 20"),
        ]
    return held.select(made)


def _of_health() -> list[pl.Expr]:
    """The index over windows, its slopes, how far it has come, and how soon it would end at its present pace."""
    column, recent = pl.col(HEALTH), _mean(pl.col(HEALTH), 10)
    whole = column.cum_sum().over("unit") / column.cum_count().over("unit")
    pace = -_slope(column, 40).clip(None, -0.05)
    made = {f"mean of {span}": _mean(column, span) for span in LEVELS}
    made |= {f"slope of {span}": _slope(column, span) for span in SLOPES}
    made |= {f"mean of {span} since the beginning": _since(column, span) for span in (5, 10, 30)}
    made |= {
        "spread of 20": column.rolling_std(20, min_samples=3).over("unit"),
        "mean so far": whole,
        "since its mean": recent - whole,
        "lost a cycle": _since(column, 10) / pl.col("cycle"),
        "over its pace": recent / pace,
        "least so far": recent.cum_min().over("unit"),
    }
    return [expression.alias(f"{HEALTH} {name}") for name, expression in made.items()]


def _since(column: pl.Expr, span: int) -> pl.Expr:
    """The mean of the last `span` rows over that of the unit's first BEGINNING cycles; null until those are over."""
    cycle = pl.col("cycle")
    beginning = pl.when(cycle <= BEGINNING).then(column).mean().over("unit")
    return pl.when(cycle < BEGINNING).then(None).otherwise(_mean(column, span) - beginning)


def _mean(column: pl.Expr, span: int) -> pl.Expr:
    return column.rolling_mean(span, min_samples=1).over("unit")


def _slope(column: pl.Expr, span: int) -> pl.Expr:
    """Least-squares slope a cycle over the last `span` rows, null where there are fewer than five."""
    cycle = pl.col("cycle")
    x, y, xy, xx = (one.rolling_mean(span, min_samples=5).over("unit") for one in (cycle, column, cycle * column, cycle * cycle))
    return (xy - x * y) / (xx - x * x)


def cut(units: pl.DataFrame, seed: int, shortest: int, cuts: int) -> Array:
    """Row numbers at which units are cut as a test set would: `cuts` cycles of each, drawn evenly from its `shortest` to its last
    but one."""
    rng = np.random.default_rng(seed)
    unit, cycle = units["unit"].to_numpy(), units["cycle"].to_numpy()
    taken = []
    for one in np.unique(unit):
        rows = np.flatnonzero((unit == one) & (cycle >= shortest))[:-1]
        taken.append(rng.choice(rows, min(cuts, len(rows)), replace=False))
    return np.sort(np.concatenate(taken))
