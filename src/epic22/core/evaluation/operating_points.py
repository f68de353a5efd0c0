"""What a family does where it is used: short lists, accuracy, and money per 1,000 rows, each beside the constant's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.crossval import Evaluation, FoldResponse, Score, scores_with_intervals
from epic22.core.evaluation.decide import PRECISION_AT_TOP, RECALL_AT_TOP, CostMatrix
from epic22.core.evaluation.metrics import ACCURACY
from epic22.core.evaluation.thousand import PerThousand, per_thousand, spent_by_acting

CONSTANT = "constant"


@dataclass(frozen=True)
class OperatingPoint:
    """A family's figures with their intervals. `recall` and `precision` are of the 5 % of the rows with the highest scores.

    `acted` is the share of rows acted on at the threshold of expected cost, `cost` what all rows then cost per 1,000, `saved` how
    much less than by the constant, paired. None without costs; `saved` is None for the constant itself.
    """

    family: str
    recall: Score
    precision: Score
    accuracy: Score
    acted: float | None = None
    cost: PerThousand | None = None
    saved: PerThousand | None = None


@dataclass(frozen=True)
class Contestant:
    """A family's responses as they are used in decisions: calibrated by other folds where the family is calibrated."""

    evaluation: Evaluation
    parts: tuple[FoldResponse, ...]


def operating_points(
    contestants: Sequence[Contestant], costs: CostMatrix | None, examples: Examples, plan: FoldPlan, seed: int
) -> tuple[OperatingPoint, ...]:
    """One point a contestant, in their order; a binary target."""
    constant = next((c for c in contestants if c.evaluation.family == CONSTANT), None)
    return tuple(_point(one, constant, costs, examples, plan, seed) for one in contestants)


def _point(
    one: Contestant, constant: Contestant | None, costs: CostMatrix | None, examples: Examples, plan: FoldPlan, seed: int
) -> OperatingPoint:
    parts = one.evaluation.parts
    recall, precision = scores_with_intervals((RECALL_AT_TOP, PRECISION_AT_TOP), parts, examples, plan, seed)
    ranked = OperatingPoint(one.evaluation.family, recall, precision, one.evaluation.score(ACCURACY.name))
    if costs is None:
        return ranked
    spent = spent_by_acting(one.parts, costs, examples)
    saved = None
    if constant is not None and constant is not one:
        idle = spent_by_acting(constant.parts, costs, examples)
        saved = per_thousand([a - b for a, b in zip(idle, spent, strict=True)], parts, examples, plan, seed)
    cost = per_thousand(spent, parts, examples, plan, seed)
    return replace(ranked, acted=_acted(one.parts, costs), cost=cost, saved=saved)


def _acted(parts: tuple[FoldResponse, ...], costs: CostMatrix) -> float:
    acted = [(costs.take(part.fold.test).expected_saving(part.response) > 0).sum() for part in parts]
    return float(sum(acted) / sum(len(part.fold.test) for part in parts))
