"""What a row's score and reasons cost, known before anything answers, and an ensemble that stays within it.

Exact reasons walk every node of every tree, once for each point of a quadrature, so their time follows from the trees alone: 5 to
7 nanoseconds a node and point on one core of an AMD EPYC. A bound on that number is the same on every machine, as a measured time
is not, and so is the ensemble that it leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from epic22.core.models.base import BaseEstimator
from epic22.core.models.ensemble import ForestBacked, Member, is_deep
from epic22.core.models.offset import unwrap_offset
from epic22.core.models.target_transform import unwrap_target_transform
from epic22.core.models.trees.forest import Forest

MAX_NODE_VISITS = 500_000
"""Nodes times points that the reasons of a row may visit. With 600,000 a whole request of one row took 2.4, 2.5, 4.1 and 5.3 ms
of processor (sacramento, ai4i, concrete, deliveries), where 5 are wanted."""


@dataclass(frozen=True)
class WeightedModels:
    """A configuration of an ensemble: its family, what it counts for, and its fitted models, which share that."""

    family: str
    weight: float
    models: tuple[BaseEstimator, ...]


def leave_out_costly(groups: Sequence[WeightedModels], max_visits: int = MAX_NODE_VISITS) -> tuple[WeightedModels, ...]:
    """The groups with the models that the bound leaves, some with none.

    Models go one by one, first where a configuration's weight is spread over most of them: of a light configuration one model
    says nearly as much as five. The last model of all stays.
    """
    left = [list(group.models) for group in groups]
    while sum(map(len, left)) > 1 and count_visits([model for models in left for model in models]) > max_visits:
        lightest = min((i for i, models in enumerate(left) if models), key=lambda i: (groups[i].weight / len(left[i]), -i))
        # Folds differ by which is left out: of two configurations other ones go.
        left[lightest].pop(lightest % len(left[lightest]))
    return tuple(replace(group, models=tuple(models)) for group, models in zip(groups, left, strict=True))


def list_members(groups: Sequence[WeightedModels]) -> tuple[Member, ...]:
    """The models as members of an ensemble, whose weights sum to 1."""
    total = sum(group.weight for group in groups if group.models)
    return tuple(
        Member(group.family, group.weight / total / len(group.models), model) for group in groups for model in group.models
    )


def count_visits(models: Sequence[BaseEstimator]) -> int:
    """Nodes of all trees of some models times the points of the deepest among those that are walked as one forest."""
    inner = [unwrap_target_transform(unwrap_offset(model)) for model in models]
    forests = [one.forest for one in inner if isinstance(one, ForestBacked)]
    return sum(_count_joint_visits([one for one in forests if is_deep(one) == deep]) for deep in (False, True))


def _count_joint_visits(forests: Sequence[Forest]) -> int:
    nodes = [forest.nodes for forest in forests]
    return sum(len(one.feature) for one in nodes) * max((len(one.points) for one in nodes), default=0)
