"""What the parts of a family are worth: tested against the whole, corrected, and said in words."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tests.folders import folder_of_process
from tests.planted_families import BLIND, toy_experiment
from tests.trained import table

from epic22.core.data.folds import SplitRequest
from epic22.core.errors import ColumnError, UserError
from epic22.core.models import catalog
from epic22.core.models.base import Hyperparameters
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.progress import Progress
from epic22.core.serialization import to_json
from epic22.core.statistics import Interval, adjust_p_values
from epic22.core.task import Kind
from epic22.reports.html.comparison import render_ablation
from epic22.reports.json import VIEWS
from epic22.services.ablation import AblatedPart, Ablation, Part, ablate, compare_with_whole, evaluate_without, list_parts
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

IDLE: Hyperparameters = {"n_classes": 2}
"""Arguments that the family has already."""


@cache
def ablate_toys(family: str, kind: Kind) -> Ablation:
    """The parts of a family on a table of 300 toys in five folds."""
    path = table(folder_of_process(), kind, 300)
    data = load_task_data(build_spec(csv=path, label="y", id="who", task="toy"))
    return ablate(data, SplitRequest(repeats=1), 1, family)


def ablate_linear(parts: Sequence[Part]) -> tuple[AblatedPart, ...]:
    """The linear family on a toy's values without each of these parts."""
    experiment, progress = toy_experiment("regression"), Progress()
    whole, *others = (evaluate_without(experiment, "linear", part, progress) for part in (None, *parts))
    return compare_with_whole(experiment, whole, parts, others)


@cache
def ablate_planted_parts() -> dict[str, AblatedPart]:
    """A part that carries everything, one that changes nothing, and one that changes next to nothing, by their names."""
    parts = (Part("idle", IDLE), Part("signal", BLIND), Part("trifle", {"penalty": 0.0101}), Part("categories as categories", {}))
    return {one.part.name: one for one in ablate_linear(parts)}


@pytest.mark.slow
def test_a_part_that_carries_the_signal_certainly_helps_and_is_to_be_retained() -> None:
    signal = ablate_planted_parts()["signal"]
    assert signal.advice == "certainly helps; keep it"
    assert not signal.is_dispensable
    assert signal.gain is not None
    assert signal.gain.low > 0
    assert next(iter(ablate_planted_parts())) == "signal", "the most helpful part stands first"


@pytest.mark.slow
def test_a_part_that_changes_no_prediction_is_said_to_be_so_and_is_not_tested() -> None:
    idle = ablate_planted_parts()["idle"]
    assert idle.verdict is None
    assert idle.changes_nothing
    assert idle.is_dispensable
    assert idle.words == "idle: changes nothing here, every prediction is the same without it; it can be left out"


@pytest.mark.slow
def test_a_part_that_helps_by_less_than_what_matters_can_be_left_out() -> None:
    trifle = ablate_planted_parts()["trifle"]
    assert trifle.is_dispensable
    assert not trifle.changes_nothing
    assert "the least that matters; it can be left out" in trifle.words


@pytest.mark.slow
def test_a_part_of_the_problem_is_switched_off_by_another_problem() -> None:
    categories = ablate_planted_parts()["categories as categories"]
    assert categories.part.params == {}
    assert not categories.changes_nothing


@pytest.mark.slow
def test_p_is_adjusted_for_the_parts_that_change_a_prediction() -> None:
    verdicts = [one.verdict for one in ablate_planted_parts().values() if one.verdict is not None]
    assert len(verdicts) == 3
    assert tuple(one.p_adjusted for one in verdicts) == adjust_p_values([one.p for one in verdicts])


@pytest.mark.slow
def test_a_part_that_certainly_harms_is_to_be_left_out() -> None:
    signal = ablate_planted_parts()["signal"]
    assert signal.verdict is not None
    harmful = replace(signal, verdict=replace(signal.verdict, difference=Interval(-0.5, -0.7, -0.3)))
    assert harmful.advice == "certainly harms; leave it out"
    assert harmful.is_dispensable


def test_parts_that_a_problem_lacks_are_named_and_not_trained() -> None:
    linear = catalog.get_family("linear")
    plain = LearningProblem("regression", ("size",), (False,))
    parts, absent = list_parts(linear, plain)
    assert [part.name for part in parts] == list(linear.parts)
    assert absent == ("categories as categories", "logarithm of the label")
    parts, absent = list_parts(linear, replace(plain, categorical=(True,), log=True, smearing=True))
    assert [part.name for part in parts] == [*linear.parts, "categories as categories", "logarithm of the label"]
    assert absent == ()


@pytest.mark.parametrize(
    ("family", "error", "message"),
    [
        (
            "constant",
            UserError,
            "--family constant has no parts that could be switched off; name one of linear, additive, boosting",
        ),
        ("hazard", ColumnError, "does not predict a label of kind binary"),
        ("cnn", ColumnError, "cnn reads a sequence, and no columns are declared as its steps"),
    ],
)
def test_a_family_that_cannot_be_ablated_is_refused(family: str, error: type[UserError], message: str) -> None:
    data = load_task_data(build_spec(csv=table(folder_of_process(), "binary", 300), label="y", id="who", task="toy"))
    with pytest.raises(error, match=message):
        ablate(data, SplitRequest(repeats=1), 1, family)


@pytest.mark.slow
def test_the_json_and_the_page_of_an_ablation_say_the_same() -> None:
    ablation = ablate_toys("linear", "binary")
    shown: dict[str, Any] = to_json(ablation, VIEWS)
    assert list(shown) == [
        *("format", "task", "data_version", "folds", "rows", "seed", "metric", "family", "metrics", "parts", "absent", "words"),
        *("notes", "warnings"),
    ]
    assert list(shown["parts"][0]) == ["part", "off", "metrics", "changes_nothing", "dispensable", "verdict", "words"]
    assert {one["part"] for one in shown["parts"]} == {"choice of penalty", "penalty", "categories as categories"}
    assert shown["absent"] == ["logarithm of the label"]
    page = render_ablation(ablation)
    assert page.count("<svg") == 1
    assert "<script" not in page
    for part in ablation.parts:
        assert part.advice[1:].replace("'", "&#39;") in page
    assert ablation.conclusion in page
    assert render_ablation(ablation) == page
