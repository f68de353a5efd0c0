"""A row's reasons by integrated gradients (Sundararajan, Taly, Yan 2017), taken at as many points as their sum needs.

The integral goes from the average row to the row, by Fejér's second rule (1933): the points of a coarse rule are among those of a
finer one, so that nothing that was computed is thrown away. What the reasons must sum to is known, so a rule is enough once they
do; a network whose gradient is uneven on the way takes more points than one whose gradient is smooth.

n = rows, p = columns, o = outputs, s = points.
"""

from dataclasses import dataclass

import numpy as np

from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.task import Array

POINTS, OUTPUTS, REFERENCE = "points", "outputs", "reference"
"""A reason graph's inputs beside the row: shares of the way (s,) where the gradient is taken, what each output counts for (o,);
and, among its weights, the columns' vectors of an average row."""

POINTS_PER_RUN = 16
"""s: of fewer a recurrent network's fixed time a step is the larger part, and more are seldom needed."""

TOLERANCE = 0.01
"""What the sum may miss the score by before more points are taken, in parts of its distance from the average row's score, or of 1
where that is less: log-odds, classes' logarithms, and values in parts of their spread."""


@dataclass(frozen=True)
class Rule:
    """`added` are the points that the rule before has not, `weights` those of all points, in the order in which they came."""

    added: Array
    weights: Array


def build_rules(sizes: tuple[int, ...] = (16, 32)) -> tuple[Rule, ...]:
    """Fejér's second rules on [0, 1], each of one point fewer than its size, which is twice that of the one before.

    >>> [len(rule.added) for rule in build_rules()], build_rules()[1].weights.sum().round(12).item()
    ([15, 16], 1.0)
    """
    rules: list[Rule] = []
    order = np.zeros(0, dtype=np.int64)
    for size in sizes:
        angles = np.arange(1, size) * np.pi / size
        odd = np.arange(1, size, 2)
        weights = 2 / size * np.sin(angles) * (np.sin(np.outer(angles, odd)) / odd).sum(axis=1)
        # Points of the rule before are every second one of this.
        order = 2 * order + 1
        added = np.setdiff1d(np.arange(size - 1), order)
        order = np.concatenate([order, added])
        rules.append(Rule((1 + np.cos(angles[added])) / 2, weights[order]))
    return tuple(rules)


RULES = build_rules()


class ReasonGraph:
    """The graph of a network's reasons, one row at a time."""

    def __init__(self, session: GraphSession) -> None:
        self.session = session

    @property
    def graph(self) -> bytes:
        """The bytes of the graph."""
        return self.session.graph

    def explain(self, X: Array, outputs: Array, scores: Array) -> Array:
        """What each column adds to the sum of the outputs, (n, p + 1), the average row's score last.

        `outputs` (n, o) are what each counts for; `scores` (n, o) are the network's, whose sum the reasons are to have.
        """
        explain_row = self._integrate if self.session.takes(POINTS) else self._explain_at_once
        rows = [explain_row(X[i : i + 1], outputs[i], float(outputs[i] @ scores[i])) for i in range(len(X))]
        return np.stack(rows) if rows else np.zeros((0, X.shape[1] + 1))

    def _integrate(self, x: Array, outputs: Array, score: float) -> Array:
        parts = np.zeros((0, x.shape[1] + 1))
        contributions = np.zeros(x.shape[1] + 1)
        for rule in RULES:
            parts = np.concatenate([parts, self._take_gradients(x, rule.added, outputs)])
            contributions = rule.weights @ parts
            average = contributions[-1] = parts[0, -1]
            if abs(contributions.sum() - score) <= TOLERANCE * max(1.0, abs(score - average)):
                break
        return contributions

    def _take_gradients(self, x: Array, points: Array, outputs: Array) -> Array:
        """The columns' parts of the gradient at each point, times the way, (s, p + 1), the average row's score last."""
        padded = np.concatenate([points, np.full(-len(points) % POINTS_PER_RUN, 0.5)])
        runs = padded.reshape(-1, POINTS_PER_RUN)
        return np.concatenate([self.session.run(x, **{POINTS: run, OUTPUTS: outputs}) for run in runs])[: len(points)]

    def _explain_at_once(self, x: Array, outputs: Array, score: float) -> Array:
        """By a graph of earlier versions, which has all points and answers for all outputs."""
        return np.asarray(outputs @ self.session.run(x))
