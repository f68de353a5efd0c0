"""What a family does where it is used: short lists, accuracy, and money per 1,000 rows, each beside the constant's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from epic22.core.evaluation.cost_per_thousand import CostPer1000, compute_acting_costs, compute_cost_per_1000
from epic22.core.evaluation.costs import CostMatrix
from epic22.core.evaluation.crossval import Evaluation, MetricScore, compute_scores
from epic22.core.evaluation.metrics import ACCURACY, LOSS, PRECISION_AT_TOP, RECALL_AT_TOP
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment

CONSTANT = "constant"


@dataclass(frozen=True)
class OperatingPoint:
    """A family's figures with their intervals. `recall` and `precision` are of the 5 % of the rows with the highest scores.

    `acted` is the share of rows acted on at the threshold of expected cost, `cost` what all rows then cost per 1,000, `saved` how
    much less than by the constant, paired. None without costs; `saved` is None for the constant itself.
    """

    family: str
    recall: MetricScore
    precision: MetricScore
    accuracy: MetricScore
    acted: float | None = None
    cost: CostPer1000 | None = None
    saved: CostPer1000 | None = None


@dataclass(frozen=True)
class CalibratedCandidate:
    """A family's responses as they are used in decisions: calibrated by other folds where the family is calibrated."""

    evaluation: Evaluation
    fold_predictions: tuple[FoldPredictions, ...]


def compute_operating_points(
    experiment: Experiment, candidates: Sequence[CalibratedCandidate], costs: CostMatrix | None
) -> tuple[OperatingPoint, ...]:
    """One point a candidate, in their order; a binary target."""
    constant = next((c for c in candidates if c.evaluation.family == CONSTANT), None)
    return tuple(_compute_point(experiment, one, constant, costs) for one in candidates)


def _compute_point(
    experiment: Experiment, candidate: CalibratedCandidate, constant: CalibratedCandidate | None, costs: CostMatrix | None
) -> OperatingPoint:
    predictions = candidate.evaluation.fold_predictions
    recall, precision = compute_scores(experiment, (RECALL_AT_TOP, PRECISION_AT_TOP), predictions)
    point = OperatingPoint(candidate.evaluation.family, recall, precision, candidate.evaluation.score(ACCURACY.name))
    if costs is None:
        return point
    candidate_costs = compute_acting_costs(candidate.fold_predictions, costs, experiment.examples)
    saved = None
    if constant is not None and constant is not candidate:
        constant_costs = compute_acting_costs(constant.fold_predictions, costs, experiment.examples)
        saved = compute_cost_per_1000(
            experiment, [a - b for a, b in zip(constant_costs, candidate_costs, strict=True)], predictions
        )
    cost = compute_cost_per_1000(experiment, candidate_costs, predictions, LOSS)
    parts = candidate.fold_predictions
    acted = sum((costs.take(part.fold.test).compute_expected_saving(part.response) > 0).sum() for part in parts)
    return replace(point, acted=float(acted / sum(len(part.fold.test) for part in parts)), cost=cost, saved=saved)
