"""Which models to average, and how: greedy selection with replacement over out-of-fold scores (Caruana et al. 2004).

m = candidates, n = out-of-fold rows. Scores are those before the link, so that the average stays additive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.metrics import log_loss_terms
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import compute_huber_delta, compute_huber_losses
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale, estimate_smearing, fit_smearing_scale
from epic22.core.targets import lift_to_floor
from epic22.core.task import Array, Metric, RowMetadata

N_PICKS = 25
"""Picks with replacement: no weight is smaller than a twenty-fifth."""

N_FORECAST_PICKS = 20
MIN_WEIGHT = 0.05
"""What weighs less is left out: it costs an answer as much time as the others."""

MAX_ROWS = 15_000
"""Rows that the selection looks at; of more, evenly spread ones."""

SQUARED_ERRORS = ("root_mean_squared_error", "r2")

ScoreFunction = Callable[[Array], float]
"""How good scores before the link (n,) or (n, k) are; greater is better."""


@dataclass(frozen=True)
class EnsembleWeights:
    """Weights (m,) that sum to 1, and what they are worth.

    `raw` (n,) or (n, k): the average's scores, in each fold by weights that were chosen on the other folds. `gain` is that of
    those over the best candidate, chosen on the other folds as well, by `build_robust_score`; `error` its standard error over
    folds.
    """

    weights: Array
    raw: Array
    gain: float
    error: float


def build_metric_score(problem: LearningProblem, metric: Metric, y: Array) -> ScoreFunction:
    """The metric of scores before the link against labels (n,), turned so that greater is better."""

    def score(raw: Array) -> float:
        return metric.gain(metric.score(y, approximate_response(problem, raw, y), RowMetadata()), 0.0)

    return score


def build_loss_score(problem: LearningProblem, y: Array, raws: Array) -> ScoreFunction:
    """Less the mean loss of scores before the link: log loss, or the loss of the target's values.

    Squared errors become Huber's where the average of the candidates `raws` (m, n) has its greatest, in the label's unit.
    """
    loss = problem.loss
    if problem.traits.is_classification:
        return lambda raw: -float(np.mean(log_loss_terms(y, approximate_response(problem, raw, y))))
    if loss.name != "squared":
        return lambda raw: -float(np.mean(loss.compute_losses(y, approximate_response(problem, raw, y))))
    delta = compute_huber_delta(approximate_response(problem, raws.mean(axis=0), y) - y)
    return lambda raw: -float(np.sqrt(np.mean(compute_huber_losses(approximate_response(problem, raw, y) - y, delta))))


def build_robust_score(problem: LearningProblem, metric: Metric, y: Array, raws: Array) -> ScoreFunction:
    """What judges averages: the metric, but Huber's loss in place of one of squared errors, which few rows decide."""
    return build_loss_score(problem, y, raws) if metric.name in SQUARED_ERRORS else build_metric_score(problem, metric, y)


def compute_held_out_response(problem: LearningProblem, raw: Array, y: Array) -> Array:
    """The response of held-out scores before the link, as it is served: of logarithms with the scale that belongs to these rows,
    and none below the floor."""
    return lift_to_floor(problem.traits.inverse_link(fit_value_scale(problem, raw, y)(raw)), problem.floor)


def fit_value_scale(problem: LearningProblem, raw: Array, y: Array) -> ValueScale:
    """How scores become values, by held-out scores (n,) and labels (n,); the identity for classes."""
    if problem.smearing:
        return fit_smearing_scale(raw, y)
    return EXPONENTIAL if problem.log or problem.traits.has_log_link else IDENTITY


def approximate_response(problem: LearningProblem, raw: Array, y: Array) -> Array:
    """`compute_held_out_response` as hundreds of averages need it: one factor makes exponentials of logarithms means, whatever
    their size."""
    if problem.smearing:
        return lift_to_floor(estimate_smearing(raw, y, 1)(raw), problem.floor)
    return compute_held_out_response(problem, raw, y)


def select_greedy_weights(raws: Sequence[Array] | Array, score: ScoreFunction, n_picks: int = N_PICKS) -> Array:
    """Weights (m,): at each pick the candidate is added that makes the average best, until none of `n_picks` makes it better
    again. Equal ones where no average has a score that is defined, as a precision without alarms has none.

    >>> y = np.array([0.0, 1.0, 2.0])
    >>> raws = [y + [0.5, 0.5, 0.5], y - [0.5, 0.5, 0.5]]
    >>> select_greedy_weights(raws, lambda raw: -float(((raw - y) ** 2).mean())).tolist()
    [0.5, 0.5]
    """
    counts = np.zeros(len(raws))
    total = np.zeros_like(np.asarray(raws[0], dtype=np.float64))
    best_counts, best_score = counts.copy(), -np.inf
    for count in range(1, n_picks + 1):
        scores = _put_undefined_last([score((total + raw) / count) for raw in raws])
        pick = int(np.argmax(scores))
        counts[pick] += 1
        total = total + raws[pick]
        if scores[pick] > best_score + 1e-12:
            best_counts, best_score = counts.copy(), scores[pick]
    if not best_counts.any():
        return np.full(len(raws), 1 / len(raws))
    return np.asarray(best_counts / best_counts.sum())


def _put_undefined_last(scores: Sequence[float]) -> Array:
    """Scores with those that are not defined below all others."""
    return np.where(np.isnan(scores), -np.inf, scores)


@dataclass(frozen=True)
class EnsembleSelection:
    """How weights are selected: for which problem, by which metric, with how many picks."""

    problem: LearningProblem
    metric: Metric
    n_picks: int = N_PICKS

    def choose_weights(self, raws: Sequence[Array], y: Array, fold: Array) -> EnsembleWeights:
        """The weights of candidates' out-of-fold scores, or all weight on the best where averaging is certainly worse.

        The weights are the mean of those that make the deciding metric best and those that make the loss best: a metric of ranks
        hears little of most rows, one of squared errors is decided by few, and its best average is often luck. `fold` (n,)
        numbers the fold of each row; a single fold cannot judge, and its weights are taken as they are.
        """
        all_raws = np.stack([np.asarray(raw, dtype=np.float64) for raw in raws])
        weights = self.average_weights(all_raws, y)
        numbers = np.unique(fold)
        if len(numbers) == 1:
            return EnsembleWeights(weights, _combine_scores(weights, all_raws), float("nan"), float("nan"))
        out_of_fold, gains = np.empty_like(all_raws[0]), []
        for number in numbers:
            is_test, is_train = fold == number, fold != number
            others, tested = all_raws[:, is_train], all_raws[:, is_test]
            out_of_fold[is_test] = _combine_scores(self.average_weights(others, y[is_train]), tested)
            score = build_robust_score(self.problem, self.metric, y[is_test], tested)
            gains.append(score(out_of_fold[is_test]) - score(tested[self._find_best(others, y[is_train])]))
        finite_gains = np.array([gain for gain in gains if np.isfinite(gain)])
        gain = float(finite_gains.mean()) if len(finite_gains) else float("nan")
        error = float(finite_gains.std(ddof=1) / np.sqrt(len(finite_gains))) if len(finite_gains) > 1 else float("nan")
        if gain + error < 0:
            weights = np.eye(len(raws))[self._find_best(all_raws, y)]
        return EnsembleWeights(weights, out_of_fold, gain, error)

    def average_weights(self, raws: Array, y: Array) -> Array:
        """Weights (m,) of scores (m, n): half by the deciding metric, half by the loss, on at most `MAX_ROWS` rows."""
        rows = _sample_rows(len(y))
        sampled, labels = raws[:, rows], y[rows]
        scores = build_metric_score(self.problem, self.metric, labels), build_loss_score(self.problem, labels, sampled)
        weights = np.mean([select_greedy_weights(sampled, score, self.n_picks) for score in scores], axis=0)
        weights = np.where(weights < min(MIN_WEIGHT, weights.max()), 0.0, weights)
        return np.asarray(weights / weights.sum())

    def _find_best(self, raws: Array, y: Array) -> int:
        """The candidate that is best alone."""
        score = build_robust_score(self.problem, self.metric, y, raws)
        return int(np.argmax(_put_undefined_last([score(raw) for raw in raws])))


def _combine_scores(weights: Array, raws: Array) -> Array:
    return np.asarray(np.tensordot(weights, raws, axes=1))


def _sample_rows(n_rows: int) -> Array:
    return np.arange(n_rows) if n_rows <= MAX_ROWS else np.linspace(0, n_rows - 1, MAX_ROWS).astype(np.int64)


def compute_combination_weights(errors: Array, naive_errors: Array, n_blocks: float) -> Array:
    """Weights (m,) of m forecasts from their signed relative errors (m, n) at one horizon on earlier origins, beside those of a
    naive method (n,).

    The less evidence there is, the nearer the weights stay to equal ones: overlapping horizons make 24 monthly origins of
    12-month forecasts worth two, and weights estimated from two lose to equal ones (Stock and Watson 2004, Claeskens et al.
    2016).

    A forecast that the naive method beats gets nothing. The others share equally, moved towards the best mixture (greedy
    selection with replacement) as far as `n_blocks`, the number of independent stretches of evidence, exceeds theirs.
    All zero where none is left: then the naive method is the forecast.

    >>> errors = np.array([[0.1, -0.1, 0.1, -0.1], [2.0, 2.0, 2.0, 2.0]])
    >>> compute_combination_weights(errors, np.ones(4), n_blocks=30).tolist()
    [1.0, 0.0]
    """
    losses = np.abs(errors).mean(axis=1)
    skilled = np.flatnonzero(losses < np.abs(naive_errors).mean())
    weights = np.zeros(len(errors))
    if not len(skilled):
        return weights
    surplus_blocks = max(0.0, n_blocks - len(skilled))
    greedy_share = surplus_blocks / (surplus_blocks + 1.0)
    weights[skilled] = greedy_share * _select_greedy(errors[skilled]) + (1 - greedy_share) / len(skilled)
    return weights


def _select_greedy(errors: Array) -> Array:
    picked, total = np.zeros(len(errors)), np.zeros(errors.shape[1])
    for count in range(1, N_FORECAST_PICKS + 1):
        losses = np.abs((total[None, :] + errors) / count).mean(axis=1)
        best = int(np.argmin(losses))
        picked[best] += 1
        total = total + errors[best]
    return picked / N_FORECAST_PICKS
