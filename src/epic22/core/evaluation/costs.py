"""A score in money: what it costs to be wrong, above which probability to act, and whom to act on first.

The assumption behind every figure: acting on a case in time avoids a share `effect` of what a miss costs (all of it, unless said
otherwise), and acting where nothing would have happened costs `false_alarm`. Whether acting helps is not in the data.

n = rows; a row is an entity at a cutoff. Money is in the portfolio's currency.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from epic22.core.data.folds import Period
from epic22.core.errors import UserError
from epic22.core.task import Array


@dataclass(frozen=True, eq=False)
class CostMatrix:
    """What a miss and a false alarm cost, one figure or one a row (n,). `effect` is the share of a miss that acting avoids.

    >>> CostMatrix(1500, 150).threshold().item()
    0.09090909090909091
    """

    miss: float | Array
    false_alarm: float | Array
    effect: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.effect <= 1 or (np.asarray(self.miss) < 0).any() or (np.asarray(self.false_alarm) < 0).any():
            raise UserError(f"costs must be 0 or more and the effect in (0, 1]; found an effect of {self.effect}.")

    @property
    def avoidable_cost(self) -> Array:
        """What acting in time saves, () or (n,)."""
        return np.asarray(self.effect * np.asarray(self.miss, dtype=np.float64))

    def compute_expected_saving(self, p: Array) -> Array:
        """How much less acting is expected to cost than not acting, (n,)."""
        return np.asarray(p * self.avoidable_cost - (1 - p) * self.false_alarm)

    def compute_realised_saving(self, y: Array) -> Array:
        """What acting saved once the outcomes (n,) of 0 and 1 are known, (n,)."""
        return np.asarray(np.where(y == 1, self.avoidable_cost, -np.asarray(self.false_alarm, dtype=np.float64)))

    def compute_realised_cost(self, y: Array, acted: Array) -> Array:
        """What each row cost once the outcomes (n,) of 0 and 1 are known, acted on or not: (n,)."""
        miss, alarm = np.asarray(self.miss, dtype=np.float64), np.asarray(self.false_alarm, dtype=np.float64)
        return np.asarray(np.where(acted, np.where(y == 1, miss - self.avoidable_cost, alarm), np.where(y == 1, miss, 0.0)))

    def threshold(self) -> Array:
        """The probability above which acting is expected to save, () or (n,)."""
        total = self.avoidable_cost + self.false_alarm
        return np.divide(self.false_alarm, total, out=np.ones_like(total), where=total > 0)

    def take(self, rows: Array) -> "CostMatrix":
        """The costs of these rows."""
        miss, alarm = (c if np.ndim(c) == 0 else np.asarray(c)[rows] for c in (self.miss, self.false_alarm))
        return CostMatrix(miss, alarm, self.effect)


@dataclass(frozen=True)
class Capacity:
    """At most `k` entities a period can be acted on; None = as many as are worth it."""

    k: int | None
    per: Period = "week"

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise UserError(f"a capacity of {self.k} a {self.per} lists nobody; give at least 1.")


@dataclass(frozen=True)
class RankedEntity:
    """One place on the list. `row` is the position in what was given; `saving` is expected, NaN for a mere ranking score."""

    rank: int
    row: int
    entity: str
    score: float
    saving: float


@dataclass(frozen=True, eq=False)
class CandidateScores:
    """A candidate's scores (n,), higher = more urgent. A ranking score has no probability: its top k are taken as they stand."""

    name: str
    score: Array
    score_type: Literal["probability", "ranking"] = "probability"

    def compute_priorities(self, costs: CostMatrix) -> Array:
        """What the list is sorted by, (n,)."""
        return (
            costs.compute_expected_saving(self.score)
            if self.score_type == "probability"
            else np.asarray(self.score, dtype=np.float64)
        )


def rank_entities(
    entities: Sequence[str] | Array,
    p: Array,
    costs: CostMatrix,
    k: int | None = None,
    score_type: Literal["probability", "ranking"] = "probability",
) -> tuple[RankedEntity, ...]:
    """This period's list: at most `k` entities by expected saving, only where it is above zero; ties by entity.

    `p` (n,) are calibrated probabilities, one row an entity.

    >>> ranking = rank_entities(["a", "b", "c"], np.array([0.05, 0.5, 0.2]), CostMatrix(1500, 150))
    >>> [(place.entity, round(place.saving)) for place in ranking]
    [('b', 675), ('c', 180)]
    """
    names, scored = np.asarray(entities).astype(str), CandidateScores("", np.asarray(p, dtype=np.float64), score_type)
    priorities = scored.compute_priorities(costs)
    order = np.lexsort((names, -priorities))
    if score_type == "probability":
        order = order[priorities[order] > 0]
    saving = costs.compute_expected_saving(scored.score) if score_type == "probability" else np.full(len(names), np.nan)
    return tuple(
        RankedEntity(rank, int(row), str(names[row]), float(scored.score[row]), float(saving[row]))
        for rank, row in enumerate(order[:k], start=1)
    )
