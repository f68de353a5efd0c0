"""Whether models of values should learn the logarithm of the label: decided once, before the race, in the first training part."""

from dataclasses import replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan, inner_fold
from epic22.core.evaluation.crossval import fit_family
from epic22.core.models.base import response_of
from epic22.core.models.catalog import family_named
from epic22.core.task import Rows, Task
from epic22.core.wording import figure


def settle_log(task: Task, examples: Examples, plan: FoldPlan, seed: int, threads: int) -> tuple[Task, tuple[str, ...]]:
    """The task with `log` settled where it was left open, and what was found, in words.

    The last of the task's families is fitted both ways on the inner fold of the first fold's training part, and judged on the
    rows held out there by the deciding metric. Of the rows that test the first fold nothing is looked at but whether their labels
    are above 0.
    """
    target = task.target
    if target.log is not None:
        return task, ()
    first = plan.folds[0].train
    if (examples.y <= 0).any():
        return _with_log(task, False), (f"{target.name} has values of 0 or less, so its logarithm was not tried.",)
    learners = [found for name in task.families if not (found := family_named(name)).is_baseline]
    if not learners:
        return _with_log(task, False), (f"only baselines were raced, so the logarithm of {target.name} was not tried.",)
    family = learners[-1]
    inner = inner_fold(plan, examples, first, target.kind, seed)
    held = examples.take(inner.test)
    scores = []
    for log in (False, True):
        tried = _with_log(task, log)
        fitted = fit_family(family, tried, examples, plan, inner.train, seed, threads)
        response = response_of(fitted.estimator, fitted.preprocessor.transform(held.X), target.kind)
        scores.append(target.metric.score(held.y, response, Rows()))
    better = bool(np.isfinite(scores[1]) and target.metric.gain(scores[1], scores[0]) > 0)
    note = (
        f"{target.name} is learned {'by its logarithm' if better else 'as it is'}: held out within the first training part, "
        f"{family.name} has {target.metric.name} {figure(scores[1])} by the logarithm and {figure(scores[0])} without."
    )
    return _with_log(task, better), (note,)


def _with_log(task: Task, log: bool) -> Task:
    return replace(task, targets=(replace(task.target, log=log), *task.targets[1:]))
