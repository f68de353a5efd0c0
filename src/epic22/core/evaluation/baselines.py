"""What a champion is measured against besides the families: the incumbent rule, and the best possible where it is known."""

import numpy as np
from scipy.special import expit

from epic22.core.data.examples import Examples
from epic22.core.evaluation.crossval import Evaluation, build_evaluation, compute_scores
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.survival import find_horizon_index, label_at_horizon, list_target_metrics
from epic22.core.experiment import Experiment
from epic22.core.task import Array, Task

INCUMBENT = "incumbent"
ORACLE = "best possible"
MIN_SLOPE = 1e-6
"""A ranking rule keeps its order even where it orders the training part the wrong way round."""

NEWTON_STEPS = 30


def evaluate_incumbent(experiment: Experiment) -> Evaluation | None:
    """The rule that runs today on the same folds; None where the task has none.

    A ranking score is turned into a probability by a logistic curve fitted on each training part, which keeps its order; a
    probability or a value is taken as it is, a value that the rule cannot give as the training part's mean. Of a hazard the rule
    answers at the deciding horizon alone.
    """
    task, examples = experiment.task, experiment.examples
    rule = task.incumbent
    if rule is None or examples.incumbent is None:
        return None
    predictions = []
    for fold in experiment.plan.folds:
        responses = examples.incumbent[fold.test].astype(np.float64)
        if task.target.traits.is_time_to_event:
            known = experiment.censor_for(fold).take(fold.train)
            predictions.append(FoldPredictions(fold, _respond_at_deciding_horizon(task, known, responses)))
            continue
        if rule.response_type == "ranking":
            responses = _fit_probability(examples.incumbent[fold.train], examples.y[fold.train], responses)
        else:
            responses = np.where(np.isfinite(responses), responses, np.mean(examples.y[fold.train]))
        predictions.append(FoldPredictions(fold, responses))
    return evaluate_responses(experiment, INCUMBENT, tuple(predictions))


def evaluate_oracle(experiment: Experiment, truth: Array) -> Evaluation:
    """The true probabilities or medians (n,) on the same folds: what no honest model can beat but by luck.

    Of a hazard (n, h), NaN at horizons whose truth is not known.
    """
    predictions = tuple(FoldPredictions(fold, truth[fold.test].astype(np.float64)) for fold in experiment.plan.folds)
    return evaluate_responses(experiment, ORACLE, predictions)


def evaluate_responses(experiment: Experiment, name: str, predictions: tuple[FoldPredictions, ...]) -> Evaluation:
    """The evaluation of responses that need no fitting."""
    scores = compute_scores(experiment, list_target_metrics(experiment.task.target), predictions)
    return build_evaluation(experiment, name, scores, predictions)


def _respond_at_deciding_horizon(task: Task, known: Examples, rule_scores: Array) -> Array:
    """A ranking rule's probabilities at a hazard's deciding horizon, (n, h), NaN elsewhere.

    The curve is fitted on training rows whose outcome at that horizon was known; where none was, the score is left in its order.
    """
    response = np.full((len(rule_scores), len(task.target.horizons)), np.nan)
    horizon_index = find_horizon_index(task.target)
    happened, _ = label_at_horizon(known.Y, task.target.horizons[horizon_index])
    full = known.follow_up_days is not None and known.follow_up_days >= task.target.horizons[horizon_index]
    score = np.asarray(known.incumbent, dtype=np.float64)[full]
    response[:, horizon_index] = _fit_probability(score, happened[full], rule_scores) if len(score) else expit(rule_scores)
    return response


def _fit_probability(score: Array, y: Array, new_scores: Array) -> Array:
    """Logistic regression of y on the score alone by Newton's method, with a slope that never turns the order round.

    Rows without a score (NaN) teach nothing, and are told the mean of y.
    """
    known, rate = np.isfinite(score), float(np.mean(y))
    if not known.any():
        return np.full(len(new_scores), rate)
    score, y = score[known], y[known]
    centre, spread = float(np.mean(score)), float(np.std(score)) or 1.0
    x = np.column_stack([np.ones(len(score)), (score - centre) / spread])
    weight = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = expit(x @ weight)
        gradient = x.T @ (y - p) - 1e-6 * weight
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weight = weight + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    slope = max(float(weight[1]), MIN_SLOPE)
    return np.where(np.isfinite(new_scores), expit(weight[0] + slope * (new_scores - centre) / spread), rate)
