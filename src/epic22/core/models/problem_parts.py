"""Parts that every family has by the problem it is given, and the problem without each; a family's own are `Family.parts`."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from epic22.core.models.learning_problem import LearningProblem


def take_categories_as_numbers(problem: LearningProblem) -> LearningProblem:
    """The problem whose categories are the numbers of their codes."""
    return replace(problem, categorical=(False,) * len(problem.categorical))


def learn_plain_label(problem: LearningProblem) -> LearningProblem:
    """The problem whose label is learned as it is, not by its logarithm."""
    return replace(problem, log=False, smearing=False)


PROBLEM_PARTS: Mapping[str, Callable[[LearningProblem], LearningProblem]] = {
    "categories as categories": take_categories_as_numbers,
    "logarithm of the label": learn_plain_label,
}
"""What is switched off by name; a problem that stays equal never had the part."""
