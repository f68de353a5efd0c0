"""A search over the toy rows with few, small trees: quick, and with everything a real one has."""

from dataclasses import replace
from typing import Any

import numpy as np

from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_family
from epic22.core.selection.budget import Budget
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.search import prepare_part, search
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import Sampling, Study
from epic22.core.selection.trials import SearchConfig
from epic22.core.task import Array
from tests.toy import Toy


def quick(family: Family) -> Family:
    """The family with at most forty rounds, where it has any."""
    if family.name != "boosting":
        return family
    return replace(family, build=lambda problem, **params: family.build(problem, **{"rounds": 40, "patience": 8, **params}))


FAMILIES = (quick(get_family("linear")), quick(get_family("boosting")))


def searched(
    made: Toy,
    trials: int,
    train: Array | None = None,
    seed: int = 0,
    prune: bool = True,
    sampling: Sampling = "bayesian",
    **place: Any,
) -> SearchResult:
    """The result of a search of that many trials on these rows, all of them by default."""
    config = SearchConfig(FAMILIES, Budget(trials), sampling, prune)
    return search(part_of(made, train, seed), config, Study(config.build_study_config(made.task.target.metric, seed), **place))


def part_of(made: Toy, rows: Array | None = None, seed: int = 0, threads: int = 2) -> PreparedPart:
    """These rows, all of them by default, prepared for a search."""
    rows = np.arange(len(made.examples)) if rows is None else rows
    return prepare_part(Experiment(made.task, made.examples, plan(made), seed, threads), rows)


def plan(made: Toy) -> FoldPlan:
    """The folds that the rows ask for."""
    return plan_folds(made.examples, made.task.target.kind, SplitRequest(repeats=1))


def answers(found: SearchResult, made: Toy) -> Array:
    """The ensemble's scores of all rows before the link."""
    return found.fitted_fold.estimator.decision_function(found.fitted_fold.preprocessor.transform(made.examples.X))
