"""Fold predictions of known truth, drawn without a model: what `benchmarks/levels.py` asks verdicts and intervals about.

Rows of `noise` have responses that say nothing of the label, `weak`, `moderate` and `strong` ones an area under the ROC curve of
0.65, 0.75 and 0.937. Each response has a part of the row, the same in all folds, and a part of the fold's own model.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats
from scipy.special import expit, softmax

from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import SplitError
from epic22.core.evaluation.backtest import OriginPlan
from epic22.core.evaluation.forecast_metrics import ScoredRows
from epic22.core.evaluation.metrics import AVERAGE_PRECISION, LOG_LOSS, METRICS, ROC_AUC, ROOT_MEAN_SQUARED_ERROR
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.task import Array, AsOfView, Future, Kind, Metric, Target, Task
from epic22.core.time_series import MONTHLY

AREAS: Mapping[str, float] = {"noise": 0.5, "weak": 0.65, "moderate": 0.75, "strong": 0.937}
ROW_SHARE = 0.8
"""Of a response's variance that is of the row: the same whichever fold's model answers."""

GROUP_ROWS = 4
GROUP_SHARE = 0.5
"""Of a group's rows the share of the variance, of labels and of responses, that they have in common."""

PANEL_HORIZON, PANEL_SERIES = 3, 4
SHARES: Mapping[str, float] = {"binary": 0.4, "rare": 0.05, "groups": 0.4, "time": 0.4}
"""Of positives; at least seven a table, so that the folds accept it."""

MIN_POSITIVES = 7
MAX_DRAWS = 200


@dataclass(frozen=True)
class Cell:
    """`n` tables' rows, or a panel's independent stretches."""

    kind: str
    effect: str
    n: int

    @property
    def name(self) -> str:
        """The cell's name in the results."""
        return f"{self.kind} {self.effect} {self.n}"


@dataclass(frozen=True)
class RowDraw:
    """A table's experiment with the responses of a model and of its rival, and the metric that decides between them.

    `draw_model` draws another model that knows as much as the first and errs by itself; None where that is not asked of the kind.
    """

    experiment: Experiment
    model: tuple[FoldPredictions, ...]
    rival: tuple[FoldPredictions, ...]
    metric: Metric
    scored: tuple[Metric, ...]
    draw_model: Callable[[], tuple[FoldPredictions, ...]] | None = None


@dataclass(frozen=True)
class PanelDraw:
    """A panel's rows at its test origins and the quantiles of two forecasters, (n, H, q) each."""

    rows: ScoredRows
    model: Array
    rival: Array


def compute_shift(effect: str) -> float:
    """The distance between the classes' mean responses, in standard deviations, that gives the effect's area."""
    return math.sqrt(2) * float(stats.norm.ppf(AREAS[effect]))


def _no_labels(known: AsOfView, later: Future) -> pl.DataFrame:
    return pl.DataFrame()


def _build_experiment(kind: Kind, y: Array, seed: int, at: Array | None = None, group: Array | None = None) -> Experiment:
    n, classes = len(y), {"binary": ("no", "yes"), "multiclass": ("a", "b", "c")}.get(kind, ())
    target = Target("y", kind, _no_labels, METRICS[kind][0], classes=classes)
    task = Task("levels", (), (target,), lambda known, cutoffs: cutoffs, lambda known: pl.LazyFrame(), ())
    moments = np.full(n, np.datetime64(0, "us")) if at is None else at
    X = pl.DataFrame({"row": np.arange(n)})
    examples = Examples(X, y[:, None].astype(np.float64), np.arange(n).astype(str), moments, "v0", group)
    return Experiment(task, examples, plan_folds(examples, kind, SplitRequest(seed=seed)), seed)


def _draw_parts(
    experiment: Experiment, row_part: Array, respond: Callable[[Array, Array], Array], rng: np.random.Generator
) -> tuple[FoldPredictions, ...]:
    """Responses of each fold: `respond(test rows, their latent values)`."""
    parts = []
    for fold in experiment.plan.folds:
        own = rng.normal(size=row_part[fold.test].shape)
        latent = math.sqrt(ROW_SHARE) * row_part[fold.test] + math.sqrt(1 - ROW_SHARE) * own
        parts.append(FoldPredictions(fold, respond(fold.test, latent)))
    return tuple(parts)


def _draw_binary(cell: Cell, rng: np.random.Generator) -> RowDraw:
    n, shift, share = cell.n, compute_shift(cell.effect), SHARES[cell.kind]
    at = group = None
    label_part, row_part = rng.normal(size=n), rng.normal(size=n)
    if cell.kind == "groups":
        group = np.arange(n) // GROUP_ROWS
        groups = rng.normal(size=(2, int(group[-1]) + 1))
        label_part = math.sqrt(GROUP_SHARE) * groups[0][group] + math.sqrt(1 - GROUP_SHARE) * label_part
        row_part = math.sqrt(GROUP_SHARE) * groups[1][group] + math.sqrt(1 - GROUP_SHARE) * row_part

    def draw_model() -> tuple[FoldPredictions, ...]:
        part = rng.normal(size=n)
        if group is not None:
            shared = rng.normal(size=int(group[-1]) + 1)[group]
            part = math.sqrt(GROUP_SHARE) * shared + math.sqrt(1 - GROUP_SHARE) * part
        return _draw_parts(experiment, part, respond, rng)

    if cell.kind == "time":
        at = np.datetime64("2020-01-01", "us") + np.arange(n) * np.timedelta64(1, "D")
    y = (label_part < stats.norm.ppf(share)).astype(np.float64)
    if y.sum() < MIN_POSITIVES:
        y[rng.permutation(np.flatnonzero(y == 0))[: MIN_POSITIVES - int(y.sum())]] = 1.0
    names = None if group is None else np.array([f"g{code:05d}" for code in group], dtype=object)
    experiment = _build_experiment("binary", y, int(rng.integers(1 << 31)), at, names)
    prior = math.log(share / (1 - share))
    # The true log-odds of a response from two normals; of noise a probability that says nothing.
    slope = shift if shift else 0.3

    def respond(rows: Array, latent: Array) -> Array:
        return np.asarray(expit(prior + slope * (latent + shift * (y[rows] - 0.5))))

    model = _draw_parts(experiment, row_part, respond, rng)
    rival = tuple(FoldPredictions(f, np.full(len(f.test), experiment.examples.y[f.train].mean())) for f in experiment.plan.folds)
    return RowDraw(experiment, model, rival, AVERAGE_PRECISION, (AVERAGE_PRECISION, ROC_AUC), draw_model)


def _draw_multiclass(cell: Cell, rng: np.random.Generator) -> RowDraw:
    """Two models that are equally good; of an effect the second knows the classes less well."""
    n, shift = cell.n, compute_shift(cell.effect)
    y = rng.permutation(np.arange(n) % 3)
    experiment = _build_experiment("multiclass", y.astype(np.float64), int(rng.integers(1 << 31)))
    indicator = np.eye(3)[y]

    def draw_model(strength: float) -> tuple[FoldPredictions, ...]:
        row_part = rng.normal(size=(n, 3))
        return _draw_parts(experiment, row_part, lambda rows, z: softmax(0.5 * z + strength * indicator[rows], axis=1), rng)

    return RowDraw(experiment, draw_model(shift), draw_model(0.0), LOG_LOSS, (LOG_LOSS, ROC_AUC))


def _draw_regression(cell: Cell, rng: np.random.Generator) -> RowDraw:
    """Two models that are equally good; of an effect the second knows less of the label."""
    n, shift = cell.n, compute_shift(cell.effect)
    signal, y = rng.normal(size=n), rng.normal(size=n)
    y = y + shift * signal
    experiment = _build_experiment("regression", y, int(rng.integers(1 << 31)))

    def draw_model(strength: float) -> tuple[FoldPredictions, ...]:
        return _draw_parts(experiment, rng.normal(size=n), lambda rows, z: strength * signal[rows] + 0.3 * z, rng)

    return RowDraw(experiment, draw_model(shift), draw_model(0.0), ROOT_MEAN_SQUARED_ERROR, (ROOT_MEAN_SQUARED_ERROR,))


def draw_panel(cell: Cell, rng: np.random.Generator) -> PanelDraw:
    """Forecasts whose errors belong to the period that is forecast: origins less than a horizon apart share them."""
    horizon, origins, shift = PANEL_HORIZON, cell.n * PANEL_HORIZON, compute_shift(cell.effect)
    periods = np.arange(origins)[:, None] + np.arange(horizon)[None, :]

    def draw_periods() -> Array:
        shared, own = rng.normal(size=origins + horizon), rng.normal(size=(PANEL_SERIES, origins + horizon))
        # (origins × series, horizon)
        return np.asarray((shared[None, :] + 0.5 * own)[:, periods]).reshape(-1, horizon)

    truth, noise, rival_noise, known = draw_periods(), draw_periods(), draw_periods(), draw_periods()
    truth = truth + shift * known
    index = np.tile(np.arange(origins), PANEL_SERIES)
    ones = np.ones(len(truth))
    plan = OriginPlan(np.arange(-12, 0), np.arange(origins), horizon, MONTHLY)
    rows = ScoredRows(truth, np.zeros_like(truth), 0 * ones, ones, ones, index, plan, 1, "y", int(rng.integers(1 << 31)))
    levels = stats.norm.ppf(np.array(QUANTILE_LEVELS))[None, None, :]
    return PanelDraw(rows, (shift * known + 0.5 * noise)[:, :, None] + levels, (0.5 * rival_noise)[:, :, None] + levels)


DRAWS: Mapping[str, Callable[[Cell, np.random.Generator], RowDraw]] = {
    "binary": _draw_binary,
    "rare": _draw_binary,
    "groups": _draw_binary,
    "time": _draw_binary,
    "multiclass": _draw_multiclass,
    "regression": _draw_regression,
}


def draw_rows(cell: Cell, rng: np.random.Generator) -> RowDraw:
    """One table of a cell, of those that a training would accept."""
    for _ in range(MAX_DRAWS):
        with suppress(SplitError):
            return DRAWS[cell.kind](cell, rng)
    raise ValueError(f"{cell.name}: none of {MAX_DRAWS} tables can be split; bring more rows.")
