"""What every part of a family must do: its arguments are taken by the family, and switching it off changes the fitted model."""

from dataclasses import is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.models.base import BaseEstimator, Family
from epic22.core.models.catalog import FAMILIES, get_family
from epic22.core.models.fit_request import FitRequest
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.problem_parts import PROBLEM_PARTS, learn_plain_label
from epic22.core.task import Array, Kind


def list_parts() -> dict[tuple[str, str], tuple[Family, str]]:
    """Each family's parts; one that networks for sequences share is of the first of them alone, for each takes seconds."""
    parts: dict[tuple[str, str], tuple[Family, str]] = {}
    for family in FAMILIES:
        owner = "sequences" if family.capabilities.reads_sequences else family.name
        for part, params in family.parts.items():
            parts.setdefault((owner, f"{part} {params}"), (family, part))
    return parts


PARTS = [
    pytest.param(
        family.name,
        part,
        id=f"{family.name}-{part}".replace(" ", "_"),
        marks=pytest.mark.skipif(not family.is_installed, reason=f"{family.needs} is not installed"),
    )
    for family, part in list_parts().values()
]
FEW_EPOCHS = {"torch": {"epochs": 5, "warm_up_steps": 2}}
"""By the library that a family needs: arguments by which its fits here are short."""
ALL_FAMILIES = [family.name for family in FAMILIES if not family.is_baseline and not family.capabilities.needs_sequences]


def make_request(family: str, kind: Kind, n: int = 240) -> FitRequest:
    """A fit of a family on a toy's rows, with every third one in the inner fold."""
    made = toy(kind, n)
    X = Preprocessor.fit(made.task.input_columns, made.examples.X).transform(made.examples.X)
    is_test = np.arange(n) % 3 == 0
    inner = Fold(np.flatnonzero(~is_test), np.flatnonzero(is_test), follow_up_days=made.examples.follow_up_days)
    if inner.follow_up_days is not None:
        inner = Fold(inner.train, inner.test, follow_up_days=inner.follow_up_days[inner.train])
    params = FEW_EPOCHS.get(get_family(family).needs or "", {})
    return FitRequest(get_family(family), LearningProblem.of(made.task), X, made.examples.y, inner, 0, 1, params)


@cache
def score_whole(family: str, kind: Kind) -> Array:
    """The scores of a family as it comes."""
    request = make_request(family, kind)
    return request.fit().decision_function(request.X)


def choose_kind(family: str) -> Kind:
    """Classes where the family predicts them."""
    kinds = get_family(family).kinds
    return "binary" if "binary" in kinds else next(iter(kinds))


def list_arguments(estimator: BaseEstimator) -> dict[str, Any]:
    """An estimator's arguments, those of its records of layers and settings among them."""
    arguments = estimator.get_params()
    records = [value for value in arguments.values() if is_dataclass(value)]
    return {name: value for record in records for name, value in vars(record).items()} | arguments


@pytest.mark.slow
@pytest.mark.parametrize(("family", "part"), PARTS)
def test_a_part_that_is_off_leaves_another_model(family: str, part: str) -> None:
    kind = choose_kind(family)
    whole, params = make_request(family, kind), get_family(family).parts[part]
    without = replace(whole, params={**whole.params, **params}).fit()
    arguments = list_arguments(without)
    assert {name: arguments[name] for name in params} == dict(params)
    scores = without.decision_function(whole.X)
    assert np.isfinite(scores).all()
    assert not np.array_equal(scores, score_whole(family, kind))


def test_every_family_that_is_no_baseline_says_what_its_parts_are() -> None:
    assert [name for name in ALL_FAMILIES if not get_family(name).parts] == []


def test_a_problem_lacks_what_is_switched_off_and_stays_equal_where_it_never_had_it() -> None:
    problem = LearningProblem("regression", ("size", "zone"), (False, True), log=True, smearing=True)
    changed = {name: switch_off(problem) for name, switch_off in PROBLEM_PARTS.items()}
    assert not any(changed["categories as categories"].categorical)
    assert not changed["logarithm of the label"].log
    assert all(one != problem for one in changed.values())
    plain = learn_plain_label(problem)
    assert learn_plain_label(plain) == plain
