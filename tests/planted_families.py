"""Families that are planted in comparisons: fitted in this process, worse or equal on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator, Family
from epic22.core.models.catalog import get_family
from epic22.core.models.fit_request import FitMeasurement, FitRequest
from epic22.core.task import Kind
from tests.toy import toy

BLIND = {"penalty": 1e9}
"""Arguments by which the linear family predicts one value for all rows."""


@dataclass
class FitsHere:
    """Fits in this process, each as if it took a second of one processor; `requests` are those that were carried out."""

    requests: list[FitRequest] = field(default_factory=list)

    def fit(self, request: FitRequest) -> BaseEstimator:
        self.requests.append(request)
        return request.fit()

    @property
    def measurement(self) -> FitMeasurement:
        return FitMeasurement((1.0,) * len(self.requests), float(len(self.requests)), 1_000_000)


@dataclass
class Backends:
    """One place for the fits of each family, in the order in which they are compared."""

    opened: list[FitsHere] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[FitsHere]:
        self.opened.append(FitsHere())
        yield self.opened[-1]


def plant(name: str, **params: object) -> Family:
    """The linear family with these arguments, under the name of another."""
    linear = get_family("linear")
    return replace(linear, name=name, build=lambda problem, **settings: linear.build(problem, **settings, **params))


def toy_experiment(kind: Kind = "binary", n: int = 500) -> Experiment:
    """A toy's rows in five folds."""
    made = toy(kind, n)
    return Experiment(made.task, made.examples, plan_folds(made.examples, kind, SplitRequest(repeats=1)))
