"""Whether models of values should learn the logarithm of the label: decided once, before the race, in the first training part."""

from dataclasses import replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan, inner_fold
from epic22.core.evaluation.crossval import fit_family
from epic22.core.models.base import response_of
from epic22.core.models.catalog import family_named
from epic22.core.models.loss import bend_of, tamed
from epic22.core.selection.columns import some_of
from epic22.core.selection.ensemble import SQUARED_ERRORS
from epic22.core.task import Array, Rows, Target, Task
from epic22.core.wording import figure

SPREAD, TAILS = 10, (0.01, 0.99)
"""The logarithm is tried where the upper of these quantiles of the labels is so many times the lower."""


def settle_log(task: Task, examples: Examples, plan: FoldPlan, seed: int, threads: int) -> tuple[Task, tuple[str, ...]]:
    """The task with `log` settled where it was left open, and what was found, in words.

    The last of the task's families is fitted both ways on the inner fold of the first fold's training part, and judged on the
    rows held out there by the deciding metric; instead of one of squared errors by tamed ones, for few rows make the former. Of
    the rows that test the first fold nothing is looked at but whether their labels are above 0.
    """
    target = task.target
    if target.log is not None:
        return task, ()
    first = some_of(plan.folds[0].train, seed)
    if (examples.y <= 0).any():
        return _with_log(task, False), (f"{target.name} has values of 0 or less, so its logarithm was not tried.",)
    low, high = np.quantile(examples.y[first], TAILS)
    if high < SPREAD * low:
        return _with_log(task, False), (f"{target.name} spreads less than {SPREAD}-fold, so its logarithm was not tried.",)
    learners = [found for name in task.families if not (found := family_named(name)).is_baseline]
    if not learners:
        return _with_log(task, False), (f"only baselines were raced, so the logarithm of {target.name} was not tried.",)
    family = learners[-1]
    inner = inner_fold(plan, examples, first, target.kind, seed)
    held = examples.take(inner.test)
    responses = []
    for log in (False, True):
        fitted = fit_family(family, _with_log(task, log), examples, plan, inner.train, seed, threads)
        responses.append(response_of(fitted.estimator, fitted.preprocessor.transform(held.X), target.kind))
    better = gain_of_log(target, held.y, *responses) > 0
    scores = [target.metric.score(held.y, response, Rows()) for response in responses]
    note = (
        f"{target.name} is learned {'by its logarithm' if better else 'as it is'}: held out within the first training part, "
        f"{family.name} has {target.metric.name} {figure(scores[1])} by the logarithm and {figure(scores[0])} without"
        f"{'; errors beyond nine in ten counted by their size' if by_tamed_errors(target) else ''}."
    )
    return _with_log(task, better), (note,)


def by_tamed_errors(target: Target) -> bool:
    """Whether squared errors would decide: a few rows make them."""
    return target.loss == "squared" and target.metric.name in SQUARED_ERRORS


def gain_of_log(target: Target, y: Array, plain: Array, logged: Array) -> float:
    """By how much the model of logarithms is better; NaN where the metric knows nothing of it."""
    if by_tamed_errors(target):
        bend = bend_of((plain + logged) / 2 - y)
        return float(tamed(plain - y, bend).mean() - tamed(logged - y, bend).mean())
    scores = [target.metric.score(y, response, Rows()) for response in (plain, logged)]
    return target.metric.gain(scores[1], scores[0])


def _with_log(task: Task, log: bool) -> Task:
    return replace(task, targets=(replace(task.target, log=log), *task.targets[1:]))
