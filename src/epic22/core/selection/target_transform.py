"""Whether models of values should learn the logarithm of the label, or its distance from a centre, scaled: decided once."""

from dataclasses import replace

import numpy as np

from epic22.core.data.preprocess import choose_center
from epic22.core.evaluation.crossval import fit_family
from epic22.core.evaluation.inner_folds import split_inner_fold
from epic22.core.experiment import Experiment
from epic22.core.models.base import predict_response
from epic22.core.models.catalog import get_family
from epic22.core.models.loss import compute_huber_delta, compute_huber_losses
from epic22.core.selection.ensemble import SQUARED_ERRORS
from epic22.core.selection.feature_selection import sample_rows
from epic22.core.task import Array, RowMetadata, Target, Task
from epic22.core.text import format_figure

MIN_SPREAD, TAIL_QUANTILES = 10, (0.01, 0.99)
"""The logarithm is tried where the upper of these quantiles of the labels is at least `MIN_SPREAD` times the lower."""


def choose_log_target(experiment: Experiment) -> tuple[Task, tuple[str, ...]]:
    """The task with `log` decided where it was left open, and why, in words.

    The last of the task's families is fitted both ways on the inner fold of the first fold's training part, and judged on the
    rows held out there by the deciding metric; instead of one of squared errors by Huber's loss, for few rows make the former. Of
    the rows that test the first fold nothing is looked at but whether their labels are above 0.
    """
    task, examples, plan = experiment.task, experiment.examples, experiment.plan
    target, seed = task.target, experiment.seed
    if target.log is not None:
        return task, ()
    train_rows = sample_rows(plan.folds[0].train, seed)
    if (examples.y <= 0).any():
        return _set_log(task, False), (f"{target.name} has values of 0 or less, so its logarithm was not tried.",)
    low, high = np.quantile(examples.y[train_rows], TAIL_QUANTILES)
    if high < MIN_SPREAD * low:
        return _set_log(task, False), (f"{target.name} spreads less than {MIN_SPREAD}-fold, so its logarithm was not tried.",)
    learners = [candidate for name in task.families if not (candidate := get_family(name)).is_baseline]
    if not learners:
        return _set_log(task, False), (f"only baselines were candidates, so the logarithm of {target.name} was not tried.",)
    family = learners[-1]
    inner = split_inner_fold(experiment, train_rows)
    test = examples.take(inner.test)
    responses = []
    for log in (False, True):
        model = fit_family(replace(experiment, task=_set_log(task, log)), family, inner.train)
        responses.append(predict_response(model.estimator, model.preprocessor.transform(test.X), target.kind, target.floor))
    better = compute_log_gain(target, test.y, *responses) > 0
    scores = [target.metric.score(test.y, response, RowMetadata()) for response in responses]
    note = (
        f"{target.name} is learned {'by its logarithm' if better else 'as it is'}: held out within the first training part, "
        f"{family.name} has {target.metric.name} {format_figure(scores[1])} by the logarithm and "
        f"{format_figure(scores[0])} without"
        f"{'; errors beyond nine in ten counted by their size' if uses_huber_loss(target) else ''}."
    )
    return _set_log(task, better), (note,)


SAFE_DEVIATIONS = (1e-2, 1e15)
"""XGBoost takes no split that lessens the squared errors by less than 1e-6, whatever their unit, and sums them in float32."""


def choose_label_scale(task: Task, y: Array) -> Task:
    """The task with the centre of its labels y (n,), where float32 would merge values that are large beside their spread, and
    their scale, a power of two, where they spread too little or too far for trees."""
    target = task.target
    if not target.traits.is_regression or target.log or target.traits.has_log_link:
        return task
    center, deviation = choose_center(y), float(np.std(y))
    is_safe = deviation == 0.0 or SAFE_DEVIATIONS[0] <= deviation <= SAFE_DEVIATIONS[1]
    scale = 1.0 if is_safe else float(2.0 ** np.round(np.log2(deviation)))
    return task.replace_target(replace(target, center=center, scale=scale))


def uses_huber_loss(target: Target) -> bool:
    """Whether squared errors would decide: a few rows make them."""
    return target.loss == "squared" and target.metric.name in SQUARED_ERRORS


def compute_log_gain(target: Target, y: Array, label_response: Array, log_response: Array) -> float:
    """By how much the model of logarithms is better; NaN where the metric knows nothing of it."""
    if uses_huber_loss(target):
        delta = compute_huber_delta((label_response + log_response) / 2 - y)
        return float(
            compute_huber_losses(label_response - y, delta).mean() - compute_huber_losses(log_response - y, delta).mean()
        )
    scores = [target.metric.score(y, response, RowMetadata()) for response in (label_response, log_response)]
    return target.metric.gain(scores[1], scores[0])


def _set_log(task: Task, log: bool) -> Task:
    return task.replace_target(replace(task.target, log=log))
