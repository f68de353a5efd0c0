"""Models fitted to a small simulated portfolio, once a process, and asked what would change if a column were another."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from epic22.core.data.folds import SplitRequest
from epic22.core.data.point_in_time import Tables, build_tables
from epic22.core.data.task_data import TaskData
from epic22.core.evaluation.crossval import fit_family
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.lineage import DataVersion
from epic22.core.models.base import predict_response
from epic22.core.models.catalog import get_family
from epic22.core.task import Array, Task
from epic22.features.catalog import get_feature
from epic22.services.prepare import prepare
from epic22.simulator.portfolio import PortfolioSize, simulate

MANAGED = PortfolioSize(
    "managed", properties=16, metros=2, zips=5, units=400, reading_days=6, years_of_ledger=5, years_of_burn_in=1, replicates=1
)
N_ASKED = 1000
HAZARD_STRIDE = 4
"""A hazard has a row an interval, so that every fourth row teaches it as much as can be taught in seconds."""


@dataclass(frozen=True)
class FeatureModel:
    """One family fitted to all rows of a feature, and a thousand of these rows."""

    task: Task
    fitted: FittedFold
    rows: pl.DataFrame

    def respond(self, rows: pl.DataFrame) -> Array:
        """Probabilities or values of rows, (n,) or (n, h)."""
        matrix = self.fitted.preprocessor.transform(rows)
        return predict_response(self.fitted.estimator, matrix, self.task.target.kind, self.task.target.floor)

    def respond_if(self, changes: Mapping[str, pl.Expr | float | int | str]) -> Array:
        """The responses of the rows with these columns changed and all others as they are."""
        exprs = [
            (value if isinstance(value, pl.Expr) else pl.lit(value)).cast(self.rows.schema[name]).alias(name)
            for name, value in changes.items()
        ]
        return self.respond(self.rows.with_columns(exprs))

    def mean_if(self, **changes: pl.Expr | float | int | str) -> float:
        """The mean response of the rows with these columns changed, at the horizon that decides."""
        response = self.respond_if(changes)
        if response.ndim == 1:
            return float(response.mean())
        target = self.task.target
        return float(response[:, target.horizons.index(target.horizon or target.horizons[-1])].mean())


@cache
def managed_tables() -> Tables:
    """Three years of 400 units in 16 houses, as a data version has them."""
    portfolio = simulate(MANAGED, seed=3)
    return build_tables(portfolio.tables, portfolio.end)


@cache
def _prepare(name: str) -> TaskData:
    feature = get_feature(name)
    data = feature.bind(feature.task, managed_tables(), DataVersion("v0", ()))
    assert isinstance(data, TaskData)
    return data


@cache
def fit_feature(name: str, family: str) -> FeatureModel:
    """The family fitted to all that the portfolio's three years say of the feature."""
    data = _prepare(name)
    experiment = prepare(data, SplitRequest(seed=0, repeats=1), 1).experiment
    n = len(experiment.examples)
    train = np.arange(0, n, HAZARD_STRIDE if data.task.target.kind == "hazard" else 1)
    fitted = fit_family(experiment, get_family(family), train)
    return FeatureModel(data.task, fitted, experiment.examples.X.sample(min(N_ASKED, n), seed=0))
