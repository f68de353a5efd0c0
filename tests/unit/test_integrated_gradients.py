"""Reasons by integrated gradients: how many points they take, and what they are summed from."""

from collections.abc import Callable

import numpy as np
import pytest

from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.integrated_gradients import POINTS_PER_RUN, RULES, TOLERANCE, ReasonGraph
from epic22.core.task import Array

AVERAGE = 0.25
X = np.zeros((1, 2), dtype=np.float32)
Slope = Callable[[Array], Array]
EVEN: Slope = np.cos
KINK: Slope = lambda t: 3.0 * (t > 0.52)  # noqa: E731
JUMP: Slope = lambda t: 40.0 * (t > 0.9987)  # noqa: E731


class TwoColumns(GraphSession):
    """Stands for a graph: the first column's gradient on the way is a function of the point, the second's is twice that."""

    def __init__(self, gradient: Slope) -> None:
        super().__init__(b"graph")
        self.gradient = gradient
        self.points: list[Array] = []

    def takes(self, name: str) -> bool:
        return name in ("points", "outputs")

    def run(self, X: Array, **inputs: Array) -> Array:
        self.points.append(inputs["points"])
        slope = self.gradient(inputs["points"]) * inputs["outputs"].sum()
        return np.column_stack([slope, 2 * slope, np.full(len(slope), AVERAGE)])


def explain(gradient: Slope, score: float) -> tuple[Array, TwoColumns]:
    session = TwoColumns(gradient)
    return ReasonGraph(session).explain(X, np.ones((1, 1)), np.array([[score]]))[0], session


def test_an_even_gradient_takes_one_run_and_a_broken_one_another_that_keeps_the_first() -> None:
    score = AVERAGE + 3 * np.sin(1.0)
    contributions, session = explain(EVEN, score)
    assert contributions == pytest.approx([np.sin(1.0), 2 * np.sin(1.0), AVERAGE], abs=1e-9)
    assert len(session.points) == 1

    score = AVERAGE + 3 * 3.0 * 0.48
    contributions, session = explain(KINK, score)
    assert len(session.points) == 2
    assert abs(contributions.sum() - score) < abs(RULES[0].weights @ KINK(RULES[0].added) * 3 + AVERAGE - score)
    assert all(len(points) == POINTS_PER_RUN for points in session.points)


def test_no_more_points_are_taken_than_there_are_though_the_sum_is_not_right() -> None:
    score = AVERAGE + 3 * 40.0 * 0.0013
    contributions, session = explain(JUMP, score)
    assert len(session.points) == len(RULES)
    assert abs(contributions.sum() - score) > TOLERANCE


def test_a_finer_rule_has_the_points_of_the_coarser_one_and_integrates_polynomials() -> None:
    points = np.zeros(0)
    for rule in RULES:
        points = np.concatenate([points, rule.added])
        assert len(np.unique(points)) == len(points) == len(rule.weights)
        for power in range(len(points)):
            assert rule.weights @ points**power == pytest.approx(1 / (power + 1))


def test_a_graph_of_an_earlier_version_answers_at_once() -> None:
    class AllOutputs(GraphSession):
        def takes(self, name: str) -> bool:
            return False

        def run(self, X: Array, **inputs: Array) -> Array:
            assert not inputs
            return np.array([[1.0, 2.0, 0.5], [10.0, 20.0, 5.0]])

    graph = ReasonGraph(AllOutputs(b"graph"))
    assert graph.explain(X, np.array([[0.0, 1.0]]), np.zeros((1, 2))).tolist() == [[10.0, 20.0, 5.0]]
    assert graph.explain(X[:0], np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 3)
