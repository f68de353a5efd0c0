"""Folds that are trained on, and a second look at whether they leak."""

from collections.abc import Sequence

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.experiment import Experiment
from epic22.core.models.base import Family
from epic22.core.task import Array


def cross_validate(experiment: Experiment, family: Family, keep_models: bool = False) -> Evaluation:
    """The evaluation of a family as it comes."""
    return evaluate(experiment, make_candidate(experiment, family), keep_models=keep_models)


def count_leaking_rows(folds: Sequence[Fold], at: Array, delay: float) -> int:
    """How many test rows of forward folds come before a training row's label was known, `delay` days after the row."""
    span = np.timedelta64(round(delay * 86_400_000_000), "us")
    return sum(int((at[fold.test] < (at[fold.train] + span).max()).sum()) for fold in folds if len(fold.train))
