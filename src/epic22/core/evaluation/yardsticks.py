"""What a champion is measured against besides the families: the incumbent rule, and the best possible where it is known."""

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan, begins
from epic22.core.evaluation.crossval import Evaluation, FoldResponse, score_with_interval
from epic22.core.evaluation.survival import place_of, status, target_metrics
from epic22.core.models.base import link
from epic22.core.task import Array, Task

INCUMBENT = "incumbent"
BEST_POSSIBLE = "best possible"
LEAST_SLOPE = 1e-6
"""A ranking rule keeps its order even where it orders the training part the wrong way round."""

NEWTON_STEPS = 30


def incumbent_evaluation(task: Task, examples: Examples, plan: FoldPlan, seed: int) -> Evaluation | None:
    """The rule that runs today on the same folds; None where the task has none.

    A ranking score is turned into a probability by a logistic curve fitted on each training part, which keeps its order; a
    probability or a value is taken as it is, a value that the rule cannot give as the training part's mean. Of a hazard the rule
    answers at the deciding horizon alone.
    """
    rule = task.incumbent
    if rule is None or examples.incumbent is None:
        return None
    parts = []
    for fold in plan.folds:
        told = examples.incumbent[fold.test].astype(np.float64)
        if task.target.kind == "hazard":
            known = examples.take(fold.train).as_known(begins(examples, fold), plan.gap)
            parts.append(FoldResponse(fold, _at_deciding(task, known, told)))
            continue
        if rule.kind == "ranking":
            told = _probability(examples.incumbent[fold.train], examples.y[fold.train], told)
        else:
            told = np.where(np.isfinite(told), told, np.mean(examples.y[fold.train]))
        parts.append(FoldResponse(fold, told))
    return evaluation_of(INCUMBENT, task, examples, plan, tuple(parts), seed)


def best_possible_evaluation(task: Task, examples: Examples, plan: FoldPlan, truth: Array, seed: int) -> Evaluation:
    """The true probabilities or medians (n,) on the same folds: what no honest model can beat but by luck.

    Of a hazard (n, h), NaN at horizons whose truth is not known.
    """
    parts = tuple(FoldResponse(fold, truth[fold.test].astype(np.float64)) for fold in plan.folds)
    return evaluation_of(BEST_POSSIBLE, task, examples, plan, parts, seed)


def evaluation_of(
    name: str, task: Task, examples: Examples, plan: FoldPlan, parts: tuple[FoldResponse, ...], seed: int
) -> Evaluation:
    """The evaluation of responses that need no fitting."""
    target = task.target
    scores = tuple(score_with_interval(metric, parts, examples, plan, seed) for metric in target_metrics(target))
    fingerprint = plan.fingerprint(examples.data_version)
    return Evaluation(name, target.name, target.horizon, scores, parts, fingerprint, 0.0, 0.0)


def _at_deciding(task: Task, known: Examples, told: Array) -> Array:
    """A ranking rule's probabilities at a hazard's deciding horizon, (n, h), NaN elsewhere.

    The curve is fitted on training rows whose outcome at that horizon was known; where none was, the score is left in its order.
    """
    response = np.full((len(told), len(task.target.horizons)), np.nan)
    place = place_of(task.target)
    happened, _ = status(known.Y, task.target.horizons[place])
    full = known.followed is not None and known.followed >= task.target.horizons[place]
    score = np.asarray(known.incumbent, dtype=np.float64)[full]
    response[:, place] = _probability(score, happened[full], told) if len(score) else link(told, "binary")
    return response


def _probability(score: Array, y: Array, asked: Array) -> Array:
    """Logistic regression of y on the score alone by Newton's method, with a slope that never turns the order round.

    Rows without a score (NaN) teach nothing, and are told the mean of y.
    """
    known, rate = np.isfinite(score), float(np.mean(y))
    if not known.any():
        return np.full(len(asked), rate)
    score, y = score[known], y[known]
    centre, spread = float(np.mean(score)), float(np.std(score)) or 1.0
    x = np.column_stack([np.ones(len(score)), (score - centre) / spread])
    weight = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = link(x @ weight, "binary")
        gradient = x.T @ (y - p) - 1e-6 * weight
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weight = weight + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    slope = max(float(weight[1]), LEAST_SLOPE)
    return np.where(np.isfinite(asked), link(weight[0] + slope * (asked - centre) / spread, "binary"), rate)
