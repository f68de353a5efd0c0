"""Racing: who stops after the first inner fold, and who goes on."""

import numpy as np
import pytest

from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import Loss
from epic22.core.selection.racing import BEHIND_ERRORS, build_rivals, count_errors
from epic22.core.task import Array

BINARY = LearningProblem("binary", ("a",), (False,))
RNG = np.random.default_rng(22)


def draw(n: int = 2000) -> tuple[Array, Array, Array]:
    """Labels (n,), and two independent signals (n,) that they follow."""
    first, second = RNG.normal(size=(2, n))
    return (RNG.random(n) < 1 / (1 + np.exp(-first - second))).astype(float), first, second


def test_what_is_behind_and_adds_nothing_stops() -> None:
    y, first, _ = draw()
    rivals = build_rivals(BINARY, y, [first])
    assert rivals.are_ahead_of(first + 2 * RNG.normal(size=len(y)))
    assert rivals.are_ahead_of(np.zeros(len(y)) + 3.0)


def test_what_is_behind_and_errs_otherwise_goes_on() -> None:
    y, first, second = draw()
    rivals = build_rivals(BINARY, y, [first])
    weak = 0.6 * second - 0.9
    assert count_errors(rivals.losses(weak) - rivals.losses(first)) > BEHIND_ERRORS
    assert not rivals.are_ahead_of(weak)


def test_what_is_as_good_or_better_goes_on() -> None:
    y, first, second = draw()
    rivals = build_rivals(BINARY, y, [first])
    assert not rivals.are_ahead_of(first)
    assert not rivals.are_ahead_of(first + second)


def test_two_alike_seldom_stop_each_other() -> None:
    """Two standard errors either way: 2.3 % of those that are as good."""
    lost = 0
    for _ in range(1000):
        y, first, _ = draw(300)
        rivals = build_rivals(BINARY, y, [first + 0.3 * RNG.normal(size=len(y))])
        lost += rivals.are_ahead_of(first + 0.3 * RNG.normal(size=len(y)))
    assert lost <= 37


@pytest.mark.parametrize("loss", [Loss("squared"), Loss("absolute"), Loss("quantile", 0.8)])
def test_values_race_by_their_own_loss(loss: Loss) -> None:
    problem = LearningProblem("regression", ("a",), (False,), loss=loss)
    y = RNG.normal(size=500)
    rivals = build_rivals(problem, y, [y + 0.1 * RNG.normal(size=500)])
    assert rivals.are_ahead_of(y + 3.0 * RNG.normal(size=500) + 5)
    assert not rivals.are_ahead_of(y.copy())


def test_several_classes_race_by_the_probability_of_what_happened() -> None:
    problem = LearningProblem("multiclass", ("a",), (False,), n_classes=3)
    y = RNG.integers(0, 3, size=400).astype(float)
    right = 3 * np.eye(3)[y.astype(int)]
    rivals = build_rivals(problem, y, [right])
    assert rivals.are_ahead_of(RNG.normal(size=(400, 3)))
    assert not rivals.are_ahead_of(right * 1.1)
