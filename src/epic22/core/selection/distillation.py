"""One scorer in place of many, where the time for an answer asks for it: trees that learn what the ensemble says.

The student learns scores before the link (Buciluǎ, Caruana and Niculescu-Mizil 2006), so its reasons stay additive in the same
unit. What it loses is judged where everything is: on rows that neither has seen.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from epic22.core.models.base import BaseEstimator
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.targets import KINDS
from epic22.core.task import Array

STUDENT_PARAMS: Mapping[str, Any] = {"learning_rate": 0.1, "max_depth": 6, "min_child_weight": 2.0, "colsample_bytree": 0.7}
STUDENT_ROUNDS = (500, 250, 120, 60)
"""Rounds of the student, fewer where an answer still takes too long."""

N_TIMED_ROWS = 15


@dataclass(frozen=True)
class Distillation:
    """What answers, and milliseconds of score and reasons of one row, before and after."""

    estimator: BaseEstimator
    before_ms: float
    after_ms: float

    @property
    def is_student(self) -> bool:
        """Whether a student took the ensemble's place."""
        return self.after_ms != self.before_ms


def distill_ensemble(
    ensemble: Ensemble, X: Array, categorical: tuple[bool, ...], max_ms_per_row: float, seed: int = 0, threads: int = 1
) -> Distillation:
    """The ensemble where score and reasons of a row take at most `max_ms_per_row`, else a student that learned it on X (n, p).

    Of several classes the lightest members are dropped instead, down to one. Where none is fast enough the shortest is taken.
    """
    before = measure_ms_per_row(ensemble, X)
    if before <= max_ms_per_row:
        return Distillation(ensemble, before, before)
    if KINDS[ensemble.kind].has_score_per_class:
        return _drop_members(ensemble, X, max_ms_per_row, before)
    scores = ensemble.decision_function(X)
    student, after = ensemble, before
    for rounds in STUDENT_ROUNDS:
        trees = XGBoostEstimator("regression", categorical, 2, seed, threads, **{**STUDENT_PARAMS, "default_rounds": rounds})
        member = Member("boosting", 1.0, trees.fit(X, scores))
        student = Ensemble(ensemble.kind, (member,), threads, ensemble.value_scale_)
        after = measure_ms_per_row(student, X)
        if after <= max_ms_per_row:
            break
    return Distillation(student, before, after)


def _drop_members(ensemble: Ensemble, X: Array, max_ms_per_row: float, before: float) -> Distillation:
    members, after, smaller = sorted(ensemble.members, key=lambda m: -m.weight), before, ensemble
    while after > max_ms_per_row and len(members) > 1:
        members = members[: max(1, len(members) * 2 // 3)]
        total = sum(member.weight for member in members)
        rescaled = tuple(Member(m.family, m.weight / total, m.estimator) for m in members)
        smaller = Ensemble(ensemble.kind, rescaled, ensemble.threads, ensemble.value_scale_)
        after = measure_ms_per_row(smaller, X)
    return Distillation(smaller, before, after)


def measure_ms_per_row(estimator: BaseEstimator, X: Array) -> float:
    """The median time of score and reasons of one row, over a few of these, after a first that is not counted."""
    times_ms = []
    for row in range(min(N_TIMED_ROWS, len(X)) + 1):
        one = X[row % len(X)][None, :]
        began = time.perf_counter()
        estimator.decision_function(one)
        estimator.shap_values(one)
        times_ms.append((time.perf_counter() - began) * 1000)
    return float(np.median(times_ms[1:]))
