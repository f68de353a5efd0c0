"""A weighted sum of models before the link: one more estimator, whose reasons are the weighted sums of its members' reasons.

Averaging log-odds instead of probabilities keeps the answer additive, and lets all boosted members be one forest.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import CLASSIFIED, Estimator, Family, Inner, Linked, Parameters
from epic22.core.models.exposed import Exposed, unexposed
from epic22.core.models.forest import Forest, joined
from epic22.core.models.logged import unlogged
from epic22.core.models.scale import IDENTITY, Scale
from epic22.core.task import Array, Kind, Task

NAME = "ensemble"
STATE = "ensemble.json"


@runtime_checkable
class Wooded(Protocol):
    """An estimator whose score is that of a forest alone."""

    @property
    def forest(self) -> Forest:
        """The trees."""


@dataclass(frozen=True)
class Member:
    """A fitted model of a family and what its score counts for."""

    family: str
    weight: float
    estimator: Estimator


@dataclass
class Ensemble(Linked, Parameters):
    """Fitted members whose weights sum to 1. It is made by a search, never fitted. Members that learned logarithms are summed as
    logarithms, and `value_scale_` makes values of the sum. Members of an exposure are summed for one of 1, and the exposure's
    logarithm is added to the sum. `level` is added to every sum: how far the label stood, at the end of training, above what the
    members learned of all of it."""

    kind: Kind
    members: tuple[Member, ...]
    threads: int = 1
    value_scale_: Scale = IDENTITY
    level: float = 0.0

    def fit(self, X: Array, y: Array, inner: Inner | None = None) -> Self:
        """Raises InternalError: the members are fitted by the search that chose them."""
        raise InternalError("an ensemble is made of fitted members by a search; it is not fitted itself.")

    @property
    def parts(self) -> tuple[tuple[float, Estimator | Forest], ...]:
        """What is summed, with weights: all trees as one forest of weight 1, then the other members."""
        held: tuple[tuple[float, Estimator | Forest], ...] | None = getattr(self, "parts_", None)
        if held is None:
            inside = [(m.weight, unlogged(unexposed(m.estimator))) for m in self.members]
            wooded = [(weight, one.forest) for weight, one in inside if isinstance(one, Wooded)]
            others: list[tuple[float, Estimator]] = [(weight, one) for weight, one in inside if not isinstance(one, Wooded)]
            trees: list[tuple[float, Forest]] = [(1.0, joined([f for _, f in wooded], [w for w, _ in wooded]))] if wooded else []
            self.parts_: tuple[tuple[float, Estimator | Forest], ...] = (*trees, *others)
            return self.parts_
        return held

    @property
    def exposed(self) -> Exposed | None:
        """A member that knows where the exposure stands, where there is one."""
        first = self.members[0].estimator
        return first if isinstance(first, Exposed) else None

    def raw(self, X: Array) -> Array:
        """Log-odds or values; the same bits for a row alone and in a batch."""
        exposed, Z = self._apart(X)
        raw = self._sum(lambda part: part.raw(Z), lambda forest: forest.raw(Z, self.threads))
        raw = raw + self.level if self.level else raw
        return raw if exposed is None else np.asarray(raw + exposed.logs(X))

    def contributions(self, X: Array) -> Array:
        """The members' contributions, weighted and summed; exact where theirs are. The level belongs to the average, the last."""
        exposed, Z = self._apart(X)
        summed = self._sum(lambda part: part.contributions(Z), lambda forest: forest.contributions(Z, self.threads))
        if self.level:
            summed[..., -1] += self.level
        return summed if exposed is None else exposed.whole(summed, X)

    def _apart(self, X: Array) -> tuple[Exposed | None, Array]:
        """Who knows the exposure, and the matrix that the members see."""
        exposed = self.exposed
        return exposed, np.ascontiguousarray(X if exposed is None else exposed.inputs(X), np.float32)

    def _sum(self, of: Callable[[Estimator], Array], of_forest: Callable[[Forest], Array]) -> Array:
        total: Array | float = 0.0
        for weight, part in self.parts:
            told = of_forest(part) if isinstance(part, Forest) else of(part)
            total = total + weight * np.asarray(told, dtype=np.float64)
        return np.asarray(total)

    def files(self) -> dict[str, bytes]:
        """What the members are and count for, and each one's own files under its number."""
        scale = {} if self.value_scale_ == IDENTITY else {"scale": self.value_scale_.state()}
        level = {"level": self.level} if self.level else {}
        stated = scale | level | {"kind": self.kind, "members": [{"family": m.family, "weight": m.weight} for m in self.members]}
        files = {STATE: canonical_json(stated)}
        for number, member in enumerate(self.members):
            files |= {f"{number:03}/{name}": content for name, content in member.estimator.files().items()}
        return files


def restored(files: Mapping[str, bytes], families: Sequence[Family]) -> Ensemble:
    """The ensemble of a bundle's files; a member's family is looked for in `families`.

    Raises InternalError for a member of a family that is not there.
    """
    state = json.loads(files[STATE])
    by_name = {family.name: family for family in families}
    members = []
    for number, stated in enumerate(state["members"]):
        if stated["family"] not in by_name:
            raise InternalError(f"the ensemble has a member of family {stated['family']!r}; there are {', '.join(by_name)}.")
        start = f"{number:03}/"
        own = {name.removeprefix(start): content for name, content in files.items() if name.startswith(start)}
        members.append(Member(stated["family"], float(stated["weight"]), by_name[stated["family"]].restore(own)))
    scale = Scale.restore(state["scale"]) if "scale" in state else IDENTITY
    return Ensemble(state["kind"], tuple(members), value_scale_=scale, level=float(state.get("level", 0.0)))


def family_of(families: Sequence[Family]) -> Family:
    """The family whose models are ensembles of these. It is built by a search over them, not by `build`."""

    def build(task: Task, seed: int = 0, threads: int = 1, **params: Any) -> Estimator:
        raise InternalError(f"task {task.name}: an ensemble is made by a search over families.")

    return Family(NAME, frozenset({*CLASSIFIED, "regression"}), build, lambda files: restored(files, families))
