"""Small tables for tests: made in memory, with a known signal."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.core.column import SequenceStep
from epic22.core.data.examples import Examples
from epic22.core.evaluation.metrics import METRICS
from epic22.core.evaluation.survival import build_hazard_target
from epic22.core.models.base import Family
from epic22.core.task import Array, AsOfView, Column, Future, Kind, Target, Task

COLUMNS = (
    # As if of one sequence, for the families that read one; to all others they are numbers.
    Column("wear", "float", unit="mm", step=SequenceStep("reading", 1)),
    Column("load", "float", step=SequenceStep("reading", 2)),
    Column("maker", "category"),
    Column("indoors", "bool"),
    Column("fitted_on", "time"),
)
CLASSES: dict[Kind, tuple[str, ...]] = {
    "binary": ("no", "yes"),
    "multiclass": ("low", "mid", "high"),
    "regression": (),
    "hazard": (),
}
SOME_KINDS: dict[str, tuple[Kind, ...]] = {
    "lstm": ("binary", "hazard"),
    "gru": ("regression",),
    "transformer": ("multiclass",),
    "cnn": ("regression", "hazard"),
}
"""Networks share what answers each kind, which `mlp` is tried with; the export of a graph takes seconds."""

HORIZONS = (30.0, 90.0, 180.0)
"""Edges of a hazard's grid, in days; the second decides."""


@dataclass(frozen=True)
class Toy:
    """A task and its examples."""

    task: Task
    examples: Examples


def list_tried_kinds(family: Family) -> tuple[Kind, ...]:
    """The kinds of target that a contract tries the family with: of the networks but `mlp` some."""
    return tuple(kind for kind in SOME_KINDS.get(family.name, tuple(CLASSES)) if kind in family.kinds)


def inputs(n: int, seed: int = 0) -> pl.DataFrame:
    """Rows with missing numbers, missing and rare categories, booleans and times."""
    rng = np.random.default_rng(seed)
    wear = np.where(rng.uniform(size=n) < 0.05, np.nan, rng.normal(size=n))
    maker = np.array(["arden", "brook", "calder", None], dtype=object)[rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])]
    days = pl.Series(rng.integers(15_000, 19_000, n)).cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("us"))
    return pl.DataFrame(
        {
            "wear": pl.Series(wear).fill_nan(None),
            "load": rng.normal(size=n),
            "maker": pl.Series(list(maker), dtype=pl.String),
            "indoors": rng.uniform(size=n) < 0.5,
            "fitted_on": days,
        }
    )


def labels(X: pl.DataFrame, kind: Kind, seed: int = 0) -> Array:
    """Labels with a signal in wear, load and maker."""
    rng = np.random.default_rng([seed, 1])
    wear = X["wear"].fill_null(0).to_numpy()
    signal = 1.5 * wear - X["load"].to_numpy() + 1.5 * (X["maker"].fill_null("") == "brook").to_numpy()
    noisy = signal + rng.logistic(size=len(signal))
    if kind == "binary":
        return np.asarray((noisy > 1.5).astype(float))
    if kind == "multiclass":
        return np.asarray(np.digitize(noisy, [-1.0, 1.5]).astype(float))
    return np.asarray(10 + noisy)


def times(X: pl.DataFrame, seed: int = 0) -> Array:
    """Durations and observed, (n, 2): a time to the event with the same signal, rows lost from sight at random before."""
    rng = np.random.default_rng([seed, 2])
    wear = X["wear"].fill_null(0).to_numpy()
    signal = 1.5 * wear - X["load"].to_numpy() + 1.5 * (X["maker"].fill_null("") == "brook").to_numpy()
    event, lost = rng.exponential(120 * np.exp(-signal)), np.minimum(rng.uniform(10, 300, len(signal)), HORIZONS[-1])
    return np.column_stack([np.minimum(event, lost), (event <= lost).astype(float)])


def task(kind: Kind, columns: tuple[Column, ...] = COLUMNS) -> Task:
    """A task over the toy columns; its rows and inputs are not used, examples are made directly."""
    if kind == "hazard":
        target = build_hazard_target("y", _no_labels, HORIZONS, HORIZONS[1])
    else:
        target = Target("y", kind, _no_labels, METRICS[kind][0], classes=CLASSES[kind])
    return Task("toy", columns, (target,), lambda known, at: at, lambda known: pl.LazyFrame(), ())


def toy(kind: Kind = "binary", n: int = 400, seed: int = 0, at: Array | None = None, group: Array | None = None) -> Toy:
    """Examples with n rows, timeless unless `at` is given."""
    X = inputs(n, seed)
    moments = np.full(n, np.datetime64(0, "us")) if at is None else at.astype("datetime64[us]")
    entity = np.array([f"e{i}" for i in range(n)], dtype=object)
    made = Examples(X, times(X, seed) if kind == "hazard" else labels(X, kind, seed)[:, None], entity, moments, "v0", group)
    return Toy(task(kind), made if kind != "hazard" else replace(made, follow_up_days=np.full(n, HORIZONS[-1])))


def _no_labels(known: AsOfView, later: Future) -> pl.DataFrame:
    return pl.DataFrame()


def daily(n: int, start: str = "2024-01-01", every_hours: int = 6) -> Array:
    """n moments from a start, so many hours apart."""
    return np.datetime64(start, "us") + np.arange(n) * np.timedelta64(every_hours, "h")
