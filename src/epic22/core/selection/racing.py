"""Racing: a configuration that is certainly behind on its first inner fold, and adds nothing to the best, sees no other fold.

Whether it is behind is a paired t over the fold's rows, as in Hoeffding races (Maron and Moore 1994) by variances in place of
bounds. Nothing that is reported rests on it: what it ends is neither scored nor averaged; what goes on is judged by all folds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.metrics import log_loss_terms
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import compute_huber_delta, compute_huber_losses
from epic22.core.selection.ensemble import approximate_response
from epic22.core.task import Array

N_RIVALS = 3
"""How many of the best trials a configuration is mixed with."""

MIXTURE_SHARE = 0.25
"""What a configuration that is behind would count for beside the best."""

BEHIND_ERRORS, GAIN_ERRORS = 2.0, 1.0
"""Standard errors by which a configuration must be behind the best trial to stop, unless its mixture gains this many."""

RowLosses = Callable[[Array], Array]
"""Each row's loss (m,) of scores before the link."""


@dataclass(frozen=True)
class Rivals:
    """What a trial is compared with on the first inner fold: by `losses`, the scores before the link of the `best` trial and of
    the `average` of the best few, (m,) or (m, k)."""

    losses: RowLosses
    best: Array
    average: Array

    def are_ahead_of(self, raw: Array) -> bool:
        """Whether a configuration with these scores is certainly behind the best, and its mixture with the best few gains nothing
        that chance does not."""
        if count_errors(self.losses(raw) - self.losses(self.best)) < BEHIND_ERRORS:
            return False
        mixture = self.average + MIXTURE_SHARE * (raw - self.average)
        return count_errors(self.losses(self.average) - self.losses(mixture)) < GAIN_ERRORS


def build_rivals(problem: LearningProblem, y: Array, raws: Sequence[Array]) -> Rivals:
    """The rivals with these scores of the first fold's validation rows, best first; y (m,) are their labels."""
    average = np.mean(np.stack([np.asarray(raw, np.float64) for raw in raws[:N_RIVALS]]), axis=0)
    return Rivals(build_row_losses(problem, y, average), np.asarray(raws[0], np.float64), average)


def count_errors(differences: Array) -> float:
    """How many of its standard errors the mean of paired differences (m,) lies above zero.

    >>> count_errors(np.array([1.0, 1.0, 1.0, 1.0]))
    inf
    >>> count_errors(np.array([1.0, -1.0, 1.0, -1.0]))
    0.0
    """
    mean, error = float(differences.mean()), float(differences.std() / np.sqrt(len(differences)))
    return mean / error if error > 0 else float(np.inf) * mean if mean else 0.0


def build_row_losses(problem: LearningProblem, y: Array, average: Array) -> RowLosses:
    """Of labels y (m,) the log loss, or the loss of their values: squared errors are Huber's beyond nine in ten of the
    average's."""
    if problem.traits.is_classification:
        return lambda raw: log_loss_terms(y, approximate_response(problem, raw, y))
    if problem.loss.name != "squared":
        return lambda raw: problem.loss.compute_losses(y, approximate_response(problem, raw, y))
    delta = compute_huber_delta(approximate_response(problem, average, y) - y)
    return lambda raw: compute_huber_losses(approximate_response(problem, raw, y) - y, delta)
