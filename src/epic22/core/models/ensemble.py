"""A weighted sum of models before the link: one more estimator, whose reasons are the weighted sums of its members' reasons.

Averaging log-odds instead of probabilities keeps the answer additive, and lets all boosted members be one forest.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import BaseEstimator, Family, sum_by_shares
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.offset import OffsetRegressor, unwrap_offset
from epic22.core.models.target_transform import unwrap_log_target
from epic22.core.models.trees.forest import Forest, combine_forests
from epic22.core.models.value_scale import IDENTITY, ValueScale
from epic22.core.serialization import to_json
from epic22.core.task import Array, Kind

ENSEMBLE_FAMILY = "ensemble"
MAX_SHALLOW_POINTS = 8
"""Forests whose reasons take more points than these, trees deeper than 16, are walked by themselves: joined with others, every
node of all would be visited as often as theirs."""
STATE_FILE = "ensemble.json"


@runtime_checkable
class ForestBacked(Protocol):
    """An estimator whose score is that of a forest alone."""

    @property
    def forest(self) -> Forest:
        """The trees."""


def is_deep(forest: Forest) -> bool:
    """Whether the forest is walked apart from shallow ones."""
    return len(forest.nodes.points) > MAX_SHALLOW_POINTS


@dataclass(frozen=True)
class Member:
    """A fitted model of a family and what its score counts for."""

    family: str
    weight: float
    estimator: BaseEstimator


@dataclass
class Ensemble(BaseEstimator):
    """Fitted members whose weights sum to 1. It is made by a search, never fitted. Members that learned logarithms are summed as
    logarithms, and `value_scale_` makes values of the sum. Members of an exposure are summed for one of 1, and the exposure's
    logarithm is added to the sum. `level_shift` is added to every sum: how far the label stood, at the end of training, above
    what the members learned of all of it."""

    kind: Kind
    members: tuple[Member, ...]
    threads: int = 1
    value_scale_: ValueScale = IDENTITY
    level_shift: float = 0.0

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Raises InternalError: the members are fitted by the search that chose them."""
        raise InternalError("an ensemble is made of fitted members by a search; it is not fitted itself.")

    @property
    def components(self) -> tuple[tuple[float, BaseEstimator | Forest], ...]:
        """What is summed, with weights: all shallow trees as one forest of weight 1, all deep ones as another, then the other
        members."""
        components: tuple[tuple[float, BaseEstimator | Forest], ...] | None = getattr(self, "parts_", None)
        if components is None:
            inner_models = [(m.weight, unwrap_log_target(unwrap_offset(m.estimator))) for m in self.members]
            forests = [(weight, one.forest) for weight, one in inner_models if isinstance(one, ForestBacked)]
            others: list[tuple[float, BaseEstimator]] = [
                (weight, one) for weight, one in inner_models if not isinstance(one, ForestBacked)
            ]
            groups = [[one for one in forests if is_deep(one[1]) == deep] for deep in (False, True)]
            trees: list[tuple[float, Forest]] = [
                (1.0, combine_forests([f for _, f in group], [w for w, _ in group])) for group in groups if group
            ]
            self.parts_: tuple[tuple[float, BaseEstimator | Forest], ...] = (*trees, *others)
            return self.parts_
        return components

    @property
    def offset_member(self) -> OffsetRegressor | None:
        """A member that knows where the exposure stands, where there is one."""
        first = self.members[0].estimator
        return first if isinstance(first, OffsetRegressor) else None

    def decision_function(self, X: Array) -> Array:
        """Log-odds or values; the same bits for a row alone and in a batch where the members' are."""
        offset_member, Z = self._split_offset(X)
        raw = self._sum_components(
            lambda part: part.decision_function(Z), lambda forest: forest.decision_function(Z, self.threads)
        )
        raw = raw + self.level_shift if self.level_shift else raw
        return raw if offset_member is None else np.asarray(raw + offset_member.compute_offset(X))

    def shap_values(self, X: Array) -> Array:
        """The members' contributions, weighted and summed; exact where theirs are. The level belongs to the average, the last."""
        offset_member, Z = self._split_offset(X)
        values = self._sum_components(lambda part: part.shap_values(Z), lambda forest: forest.shap_values(Z, self.threads))
        if self.level_shift:
            values[..., -1] += self.level_shift
        return values if offset_member is None else offset_member.insert_offset(values, X)

    def explain_outputs(self, X: Array, shares: Array) -> Array:
        """The members' own, weighted and summed. Targets of several scores have neither exposure nor level."""
        Z = np.ascontiguousarray(X, np.float32)
        return self._sum_components(
            lambda part: part.explain_outputs(Z, shares),
            lambda forest: sum_by_shares(forest.shap_values(Z, self.threads), shares),
        )

    def _split_offset(self, X: Array) -> tuple[OffsetRegressor | None, Array]:
        """Who knows the exposure, and the matrix that the members see."""
        offset_member = self.offset_member
        return offset_member, np.ascontiguousarray(
            X if offset_member is None else offset_member.drop_offset_column(X), np.float32
        )

    def _sum_components(
        self, score_estimator: Callable[[BaseEstimator], Array], score_forest: Callable[[Forest], Array]
    ) -> Array:
        total: Array | float = 0.0
        for weight, part in self.components:
            output = score_forest(part) if isinstance(part, Forest) else score_estimator(part)
            total = total + weight * np.asarray(output, dtype=np.float64)
        return np.asarray(total)

    def files(self) -> dict[str, bytes]:
        """What the members are and count for, and each one's own files under its number."""
        scale = {} if self.value_scale_ == IDENTITY else {"scale": to_json(self.value_scale_)}
        level = {"level": self.level_shift} if self.level_shift else {}
        state = scale | level | {"kind": self.kind, "members": [{"family": m.family, "weight": m.weight} for m in self.members]}
        files = {STATE_FILE: canonical_json(state)}
        for number, member in enumerate(self.members):
            files |= {f"{number:03}/{name}": content for name, content in member.estimator.files().items()}
        return files


def restore_ensemble(files: Mapping[str, bytes], families: Sequence[Family]) -> Ensemble:
    """The ensemble of a bundle's files; a member's family is looked for in `families`.

    Raises InternalError for a member of a family that is not there.
    """
    state = json.loads(files[STATE_FILE])
    by_name = {family.name: family for family in families}
    members = []
    for number, entry in enumerate(state["members"]):
        if entry["family"] not in by_name:
            raise InternalError(f"the ensemble has a member of family {entry['family']!r}; there are {', '.join(by_name)}.")
        prefix = f"{number:03}/"
        member_files = {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}
        members.append(Member(entry["family"], float(entry["weight"]), by_name[entry["family"]].restore(member_files)))
    scale = ValueScale.from_state(state["scale"]) if "scale" in state else IDENTITY
    return Ensemble(state["kind"], tuple(members), value_scale_=scale, level_shift=float(state.get("level", 0.0)))


def build_ensemble_family(families: Sequence[Family]) -> Family:
    """The family whose models are ensembles of these. It is built by a search over them, not by `build`."""

    def build(problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> BaseEstimator:
        raise InternalError("an ensemble is made by a search over families.")

    return Family(
        ENSEMBLE_FAMILY, frozenset({"binary", "multiclass", "regression"}), build, lambda files: restore_ensemble(files, families)
    )
