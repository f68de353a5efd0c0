"""Are the groups of a protected class treated alike? The adverse impact ratio with its interval, and what promotion does with it.

The ratio is the share of favourable outcomes in a group ÷ that of the most favoured group. The four-fifths rule of the Uniform
Guidelines on Employee Selection Procedures (29 CFR 1607.4(D)) takes a ratio under 0.8 as evidence of adverse impact.

n = rows; a row is a decision about a person. Protected columns serve this measurement alone.
"""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from epic22.core.errors import UserError
from epic22.core.evaluation.bootstrap import GROUP_SHARES, bootstrap_totals, compute_percentile_interval
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.gate_finding import GateFinding, count_outcomes
from epic22.core.statistics import UNDEFINED_INTERVAL, Interval
from epic22.core.task import Array

FOUR_FIFTHS = 0.8
MIN_PERSONS = 30
N_REPLICATES = 2000

FairnessStatus = Literal["passed", "refused", "inconclusive"]


@dataclass(frozen=True)
class GroupShare:
    """A group of a protected class: persons, their share of favourable rows, and the ratio with its 95 % interval.

    Ratio and interval are None for the reference group and where there are too few persons; NaN where undefined.
    """

    group: str
    persons: int
    rows: int
    share: float
    ratio: Interval | None
    note: Literal["", "reference", "too few"]

    @property
    def interval(self) -> Interval:
        """The ratio, NaN where there is none."""
        return self.ratio or UNDEFINED_INTERVAL


@dataclass(frozen=True)
class AdverseImpact:
    """A protected class: its groups, and the ratio of the group that fares worst (None where no two groups can be compared)."""

    column: str
    reference: str | None
    groups: tuple[GroupShare, ...]
    worst: GroupShare | None

    @property
    def lowest_bound(self) -> GroupShare | None:
        """The compared group whose interval reaches furthest down."""
        compared = [group for group in self.groups if group.ratio is not None]
        return min(compared, key=lambda group: _or_zero(group.interval.low), default=None)

    @property
    def status(self) -> FairnessStatus:
        """Refused by an estimate under 0.8, inconclusive by a lower bound under 0.8 or where nothing can be compared."""
        lowest = self.lowest_bound
        if self.worst is None or lowest is None or math.isnan(self.worst.interval.value):
            return "inconclusive"
        if self.worst.interval.value < FOUR_FIFTHS:
            return "refused"
        return "inconclusive" if _or_zero(lowest.interval.low) < FOUR_FIFTHS else "passed"

    def __str__(self) -> str:
        lowest = self.lowest_bound
        if self.worst is None or lowest is None:
            return f"{self.column}: fewer than two groups have enough persons to be compared"
        text = f"{self.column}: {_format_group(self.worst)} against {self.reference}"
        return text if lowest is self.worst else f"{text}; of all groups {_format_group(lowest)}, the lowest bound"


def _or_zero(value: float) -> float:
    """An undefined ratio counts as the worst."""
    return 0.0 if math.isnan(value) else value


def _format_group(group: GroupShare) -> str:
    ratio = group.interval
    return f"{group.group} has {ratio.value:.2f} ({ratio.low:.2f} … {ratio.high:.2f})"


def compute_adverse_impact(
    column: str, favourable: Array, groups: Array, persons: Array, min_persons: int = MIN_PERSONS, seed: int = 0
) -> AdverseImpact:
    """The ratio of each group to the most favoured one of at least `min_persons` persons.

    `favourable` (n,) booleans, `groups` (n,) text or None (not known: left out), `persons` (n,) who is resampled as a whole.
    Both shares are of the same draw; the reference group stays the one of the estimate.
    """
    if not len(favourable) == len(groups) == len(persons):
        raise UserError(f"{column}: {len(favourable)} outcomes, {len(groups)} groups and {len(persons)} persons do not match.")
    known = np.array([group is not None for group in groups], dtype=bool)
    if not known.any():
        return AdverseImpact(column, None, (), None)
    names, code = np.unique(np.asarray(groups)[known].astype(str), return_inverse=True)
    person = np.unique(np.asarray(persons)[known], return_inverse=True)[1]
    cell, shape = person * len(names) + code, (int(person.max()) + 1, len(names))
    weights = (np.ones(len(code)), np.asarray(favourable, dtype=bool)[known])
    # Rows and favourable rows of each person in each group.
    rows, good = (np.bincount(cell, w, minlength=shape[0] * shape[1]).reshape(shape) for w in weights)
    size = (rows > 0).sum(axis=0)
    share = good.sum(axis=0) / rows.sum(axis=0)
    enough = size >= min_persons
    reference = int(np.where(enough, share, -1.0).argmax()) if enough.any() else None
    replicates = _bootstrap_shares(rows, good, seed)

    def describe_group(i: int) -> GroupShare:
        counts = str(names[i]), int(size[i]), int(rows[:, i].sum()), float(share[i])
        if reference is None or not enough[i]:
            return GroupShare(*counts, None, "too few")
        if i == reference:
            return GroupShare(*counts, None, "reference")
        return GroupShare(*counts, _compute_ratio(share, replicates, i, reference), "")

    group_shares = tuple(describe_group(i) for i in range(len(names)))
    compared = [group for group in group_shares if group.ratio is not None]
    worst = min(compared, key=lambda group: _or_zero(group.interval.value), default=None)
    return AdverseImpact(column, None if reference is None else str(names[reference]), group_shares, worst)


def _bootstrap_shares(rows: Array, good: Array, seed: int) -> Array:
    """Share of favourable rows a draw and group, (N_REPLICATES, groups); NaN where a draw leaves a group out."""
    replicates = bootstrap_totals(np.hstack([good, rows]), N_REPLICATES, seed, GROUP_SHARES)
    share, row_counts = replicates[:, : rows.shape[1]], replicates[:, rows.shape[1] :]
    return np.asarray(np.divide(share, row_counts, out=np.full_like(share, np.nan), where=row_counts > 0))


def _compute_ratio(share: Array, replicates: Array, i: int, reference: int) -> Interval:
    """A group's share by the reference's."""
    ratio = float(share[i] / share[reference]) if share[reference] > 0 else float("nan")
    base = replicates[:, reference]
    ends = compute_percentile_interval(np.divide(replicates[:, i], base, out=np.full_like(base, np.nan), where=base > 0))
    return Interval(ratio, *ends)


@dataclass(frozen=True)
class FairnessVerdict:
    """What the protected classes say together: the worst status of all, the class it comes from, and why in words."""

    status: FairnessStatus
    worst: AdverseImpact
    impacts: tuple[AdverseImpact, ...]
    why: str


def judge_fairness(impacts: Sequence[AdverseImpact]) -> FairnessVerdict:
    """Refused where any class is, else inconclusive where any class is, else passed.

    Raises UserError for no classes: a company that holds none has nothing to judge, and passes None to the gate.
    """
    if not impacts:
        raise UserError("no protected classes were given; without any, there is no fairness verdict.")
    order: tuple[FairnessStatus, ...] = ("refused", "inconclusive", "passed")
    worst = min(
        impacts,
        key=lambda impact: (
            order.index(impact.status),
            _or_zero(impact.worst.interval.value if impact.worst else math.nan),
        ),
    )
    return FairnessVerdict(worst.status, worst, tuple(impacts), str(worst))


@dataclass(frozen=True)
class Override:
    """Someone takes it upon them: the id of their key, and why."""

    key_id: str
    reason: str


@dataclass(frozen=True)
class PromotionDecision:
    """Whether the model may be promoted, as what, and why in words (for the log), with what was found and who asked for more.

    The status is what the model is called everywhere: "proven" where it certainly beats the constant and the gate passed.
    `override` is what was asked for, granted or not; the status says which.
    `challenge` is how the model stands to the version that serves, None where there is none; `gates` what each gate said.
    """

    promote: bool
    status: Literal["proven", "provisional", "overridden", "refused", "challenger", "promoted"]
    why: str
    fairness: FairnessVerdict | None = None
    override: Override | None = None
    challenge: Challenge | None = None
    gates: tuple[GateFinding, ...] = ()

    def meet_gates(self, gates: Sequence[GateFinding], challenge: Challenge | None = None) -> "PromotionDecision":
        """The decision once all gates have judged, the challenge of the version that serves among them: a model that one of them
        refuses stays a challenger.

        Who may override the fairness gate promotes by hand, whatever the others say.
        """
        met = replace(self, challenge=challenge, gates=tuple(gates))
        if not self.promote or self.status == "overridden":
            return met
        refusals = [gate.why for gate in gates if gate.outcome == "refused"]
        if refusals:
            return replace(met, promote=False, status="challenger", why="; ".join(refusals))
        words = (self.why, "" if challenge is None else challenge.why, count_outcomes(gates))
        return replace(met, why="; ".join(filter(None, words)))


def describe_fairness(fairness: FairnessVerdict) -> str:
    """The verdict in words, as a decision begins with it."""
    return f"fairness {fairness.status}: {fairness.why}"


def describe_missing_fairness(protected: Sequence[str]) -> str:
    """Why there is no fairness verdict, in words: no class is stored, or the columns declared `protected` were not measured.

    >>> describe_missing_fairness(["age", "gender"])
    'age and gender declared protected, but not measured: adverse impact is measured for features on the stored tables alone'
    """
    if not protected:
        return "no protected classes are stored"
    names = " and ".join(filter(None, (", ".join(protected[:-1]), protected[-1])))
    return f"{names} declared protected, but not measured: adverse impact is measured for features on the stored tables alone"


PROMOTED = PromotionDecision(True, "promoted", "")
"""The decision where nothing stands against a model: no protected class is measured, and nothing serves yet."""


def decide_promotion(
    fairness: FairnessVerdict | None,
    first_model: bool,
    override: Override | None = None,
    authorised: Container[str] = frozenset(),
    certain: bool = True,
    protected: Sequence[str] = (),
) -> PromotionDecision:
    """May this model be promoted, and as what?

    Refused and inconclusive need an override with a reason, by a key id among `authorised`. A task's first model that is merely
    inconclusive is promoted as provisional, and so is one that is not `certain` to be better than the constant. `fairness`
    None: the company holds no protected classes; or there are `protected` columns that were not measured, which no proven model
    has.
    """
    finding = (
        f"fairness was not measured: {describe_missing_fairness(protected)}" if fairness is None else describe_fairness(fairness)
    )
    if fairness is None or fairness.status == "passed":
        is_proven = certain and (fairness is not None or not protected)
        status: Literal["proven", "provisional"] = "proven" if is_proven else "provisional"
        return PromotionDecision(True, status, finding if certain else f"{UNCERTAIN}; {finding}", fairness)
    fault = find_override_fault(override, authorised)
    if override is not None and fault is None:
        why = f"{finding}; overridden by key {override.key_id}: {override.reason.strip()}"
        return PromotionDecision(True, "overridden", why, fairness, override)
    if fairness.status == "inconclusive" and first_model:
        return PromotionDecision(True, "provisional", f"{finding}; the task's first model, so provisional", fairness, override)
    return PromotionDecision(False, "refused", f"{finding}; {fault}", fairness, override)


UNCERTAIN = "it is not certain that this model is better than the constant"


def find_override_fault(override: Override | None, authorised: Container[str]) -> str | None:
    """What an override lacks to count, in words."""
    if override is None:
        return "an override with a reason by an authorised key is needed"
    if override.key_id not in authorised:
        return f"key {override.key_id} is not authorised to override"
    return None if override.reason.strip() else f"key {override.key_id} gave no reason to override"
