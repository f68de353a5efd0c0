"""One scorer in place of many, where the time for an answer asks for it: trees that learn what the ensemble says.

The student learns scores before the link (Buciluǎ, Caruana and Niculescu-Mizil 2006), so its reasons stay additive in the same
unit. What it loses is judged where everything is: on rows that neither has seen.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from epic22.core.models.base import Estimator
from epic22.core.models.boosting import Boosting
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.task import Array, Task

STUDENT: Mapping[str, Any] = {"learning_rate": 0.1, "max_depth": 6, "min_child_weight": 2.0, "colsample_bytree": 0.7}
ROUNDS = (500, 250, 120, 60)
"""Rounds of the student, fewer where an answer still takes too long."""

ROWS_TIMED = 15


@dataclass(frozen=True)
class Distilled:
    """What answers, and what was found: milliseconds of score and reasons of one row, before and after."""

    estimator: Estimator
    before_ms: float
    after_ms: float

    @property
    def is_student(self) -> bool:
        """Whether a student took the ensemble's place."""
        return self.after_ms != self.before_ms


def answered_within(ensemble: Ensemble, X: Array, task: Task, row_ms: float, seed: int = 0, threads: int = 1) -> Distilled:
    """The ensemble where score and reasons of one row take at most `row_ms`, else a student that has learned it on X (n, p).

    Of several classes the lightest members are dropped instead, down to one. Where none is fast enough the shortest is taken.
    """
    before = row_milliseconds(ensemble, X)
    if before <= row_ms:
        return Distilled(ensemble, before, before)
    if ensemble.kind == "multiclass":
        return _fewer(ensemble, X, row_ms, before)
    told = ensemble.raw(X)
    student, after = ensemble, before
    categorical = tuple(bool(c) for c in task.categorical)
    for rounds in ROUNDS:
        trees = Boosting("regression", categorical, 2, seed, threads, **{**STUDENT, "default_rounds": rounds})
        member = Member("boosting", 1.0, trees.fit(X, told))
        student = Ensemble(ensemble.kind, (member,), threads, ensemble.value_scale_)
        after = row_milliseconds(student, X)
        if after <= row_ms:
            break
    return Distilled(student, before, after)


def _fewer(ensemble: Ensemble, X: Array, row_ms: float, before: float) -> Distilled:
    members, after, fewer = sorted(ensemble.members, key=lambda m: -m.weight), before, ensemble
    while after > row_ms and len(members) > 1:
        members = members[: max(1, len(members) * 2 // 3)]
        total = sum(member.weight for member in members)
        kept = tuple(Member(m.family, m.weight / total, m.estimator) for m in members)
        fewer = Ensemble(ensemble.kind, kept, ensemble.threads, ensemble.value_scale_)
        after = row_milliseconds(fewer, X)
    return Distilled(fewer, before, after)


def row_milliseconds(estimator: Estimator, X: Array) -> float:
    """The median time of score and reasons of one row, over a few of these, after a first that is not counted."""
    taken = []
    for row in range(min(ROWS_TIMED, len(X)) + 1):
        one = X[row % len(X)][None, :]
        began = time.perf_counter()
        estimator.raw(one)
        estimator.contributions(one)
        taken.append((time.perf_counter() - began) * 1000)
    return float(np.median(taken[1:]))
