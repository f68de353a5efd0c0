"""Families beside one another: who takes part, what is certain of them, what they take, and how it is shown."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.folders import folder_of_process
from tests.folds import cross_validate
from tests.planted_families import BLIND, Backends, plant, toy_experiment
from tests.portfolios import portfolio_assignment
from tests.toy import task
from tests.trained import table, trained

from epic22.core.data.folds import SplitRequest
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError, InternalError, NotInstalledError, UnknownTaskError, UserError
from epic22.core.evaluation.family_calibration import measure_calibration
from epic22.core.models import base
from epic22.core.models.catalog import get_family
from epic22.core.models.fit_request import FitMeasurement
from epic22.core.serialization import to_json
from epic22.core.statistics import adjust_p_values
from epic22.core.task import Kind
from epic22.reports.html.comparison import render_comparison
from epic22.reports.json import VIEWS
from epic22.services.family_comparison import (
    FamilyComparison,
    compare_families,
    compare_with_reference,
    measure_load,
    select_families,
)
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec


@cache
def compare_toys(kind: Kind, *named: str) -> tuple[FamilyComparison, Backends]:
    """A comparison on a table of 400 toys in five folds, and where its families were fitted."""
    path, backends = table(folder_of_process(), kind, 400), Backends()
    data = load_task_data(build_spec(csv=path, label="y", id="who", task="toy"))
    return compare_families(data, SplitRequest(repeats=1), 1, named, backends.open), backends


@pytest.mark.parametrize(
    ("kind", "named", "reference", "members"),
    [
        ("binary", (), "boosting", ("constant", "linear", "boosting")),
        ("binary", ("lightgbm",), "boosting", ("constant", "linear", "boosting", "lightgbm")),
        ("regression", ("linear",), "boosting", ("constant", "linear", "boosting")),
        ("multiclass", ("catboost", "lightgbm"), "catboost", ("constant", "linear", "lightgbm", "catboost")),
        ("multiclass", ("lightgbm", "boosting", "lightgbm"), "lightgbm", ("constant", "linear", "boosting", "lightgbm")),
        ("hazard", (), "hazard", ("constant", "hazard_linear", "hazard")),
        ("hazard", ("hazard_linear",), "hazard", ("constant", "hazard_linear", "hazard")),
    ],
)
def test_the_reference_is_the_first_named_or_the_boosted_trees_and_the_simple_families_always_take_part(
    kind: Kind, named: tuple[str, ...], reference: str, members: tuple[str, ...]
) -> None:
    assert select_families(task(kind), named) == (reference, members)


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        (("boosting",), UserError, "needs two families; name another, such as linear or additive or lightgbm"),
        (("boosting", "boosting"), UserError, "needs two families"),
        (("boosting", "xgb"), UnknownTaskError, "no model family 'xgb'; there are constant, linear"),
        (("boosting", "hazard"), ColumnError, "hazard does not predict a label of kind binary; leave it out"),
        (("ensemble", "boosting"), ColumnError, "ensemble is made by a search"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_way_out(
    named: tuple[str, ...], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        select_families(task("binary"), named)


def test_a_family_that_reads_a_sequence_is_compared_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: object())
    with_steps = task("binary")
    assert select_families(with_steps, ("lstm", "boosting"))[0] == "lstm"
    columns = tuple(replace(column, step=None) for column in with_steps.columns)
    with pytest.raises(ColumnError, match="lstm reads a sequence, and no columns are declared as its steps"):
        select_families(replace(with_steps, columns=columns), ("lstm", "boosting"))


def test_a_family_whose_library_is_absent_is_refused_by_the_name_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(NotInstalledError, match=re.escape("pip install 'epic22[neural]'")):
        select_families(task("binary"), ("mlp", "boosting"))


@pytest.mark.slow
def test_a_family_that_is_planted_as_worse_is_called_so_and_an_equal_one_is_not_called_different() -> None:
    experiment = toy_experiment("regression")
    good, blind, equal = (
        cross_validate(experiment, plant(name, **params))
        for name, params in (("boosting", {}), ("lightgbm", BLIND), ("catboost", {}))
    )
    worse, same = compare_with_reference(experiment, [good, blind, equal], "boosting")
    assert (worse.family, same.family) == ("lightgbm", "catboost")
    assert worse.verdict.words == "certainly worse"
    assert "certainly worse" in worse.words
    assert not same.verdict.certain
    assert same.verdict.difference.value == 0
    assert same.verdict.words == "no difference seen"


@pytest.mark.slow
def test_p_is_adjusted_for_every_family_that_was_compared() -> None:
    verdicts = [one.verdict for one in compare_toys("binary", "boosting", "lightgbm")[0].verdicts]
    assert len(verdicts) == 3
    assert tuple(one.p_adjusted for one in verdicts) == adjust_p_values([one.p for one in verdicts])
    assert any(one.p_adjusted is not None and one.p_adjusted > one.p for one in verdicts)


@pytest.mark.slow
def test_evaluations_of_other_folds_are_not_compared() -> None:
    experiment, other = toy_experiment(), toy_experiment(n=400)
    first, second = cross_validate(experiment, plant("boosting")), cross_validate(other, plant("linear"))
    with pytest.raises(InternalError, match="different folds"):
        compare_with_reference(experiment, [first, second], "boosting")


@pytest.mark.slow
def test_each_family_is_fitted_once_a_fold_and_its_figures_are_those_of_a_training(tmp_path: Path) -> None:
    comparison, backends = compare_toys("binary", "boosting", "lightgbm")
    assert [len(one.requests) for one in backends.opened] == [5, 5, 5, 5]
    run, _ = trained(tmp_path)
    assert comparison.plan.fingerprint(comparison.data_version) == run.plan.fingerprint(run.data_version.id)
    for evaluation in run.leaderboard:
        same = comparison.get(evaluation.family).evaluation
        for metric in ("average_precision", "log_loss", "brier_score"):
            # The champion's interval allows for its having been chosen; a comparison chooses nobody.
            own, trained_score = same.score(metric), evaluation.score(metric)
            assert (own.value, own.folds, own.left_out) == (trained_score.value, trained_score.folds, trained_score.left_out)
            assert own.n_choices == 1
    scores = [one.evaluation.score("average_precision").value for one in comparison.families]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_what_a_family_takes_is_measured_on_the_fits_that_are_scored() -> None:
    for family in compare_toys("binary", "boosting", "lightgbm")[0].families:
        cost = family.cost
        assert cost is not None
        assert (cost.fit_seconds, cost.memory_bytes) == (1.0, 1_000_000)
        assert cost.model_bytes > 50
        assert cost.ms_alone > 0
        assert cost.ms_in_batch > 0
    by_name = {one.name: one.cost for one in compare_toys("binary", "boosting", "lightgbm")[0].families}
    constant, boosting = by_name["constant"], by_name["boosting"]
    assert constant is not None
    assert boosting is not None
    assert boosting.model_bytes > 100 * constant.model_bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "what"), [("binary", "yes"), ("multiclass", "the likeliest class"), ("hazard", "y within 90 days")]
)
def test_probabilities_of_every_kind_have_a_calibration(kind: Kind, what: str) -> None:
    experiment = toy_experiment(kind)
    name = "hazard_linear" if kind == "hazard" else "linear"
    calibration = measure_calibration(experiment, cross_validate(experiment, get_family(name)))
    assert calibration is not None
    assert calibration.what == what
    assert 0 < calibration.error < 0.2
    assert 0 < calibration.floor < 0.2
    assert sum(one.n for one in calibration.table) == len(experiment.examples)


@pytest.mark.slow
def test_values_have_no_calibration() -> None:
    experiment = toy_experiment("regression", 200)
    assert measure_calibration(experiment, cross_validate(experiment, get_family("linear"))) is None


@pytest.mark.slow
def test_a_feature_has_the_rule_of_today_on_the_board() -> None:
    data = portfolio_assignment("churn_hazard")
    assert isinstance(data, TaskData)
    comparison = compare_families(data, SplitRequest(horizon=max(data.task.target.horizons)), 1, (), Backends().open)
    assert {one.name for one in comparison.families} >= {"constant", "hazard_linear", "hazard"}
    incumbents = [one for one in comparison.families if one.name == "incumbent"]
    assert all(one.cost is None for one in incumbents)
    assert comparison.reference == "hazard"
    assert "</html>" in render_comparison(comparison)


@pytest.mark.parametrize(
    ("load", "processor_seconds", "is_busy"), [(0.1, 10.0, False), (None, 9.5, False), (None, 5.0, True), (1e6, 10.0, True)]
)
def test_times_of_a_busy_machine_are_said_to_be_so(load: float | None, processor_seconds: float, is_busy: bool) -> None:
    machine = measure_load(load, [FitMeasurement((4.0, 6.0), processor_seconds)])
    assert machine.is_busy == is_busy
    assert ("was busy" in machine.words) == is_busy


@pytest.mark.slow
def test_the_json_of_a_comparison_has_its_schema() -> None:
    comparison = compare_toys("binary", "boosting", "lightgbm")[0]
    shown: dict[str, Any] = to_json(comparison, VIEWS)
    assert list(shown) == [
        *("format", "task", "data_version", "folds", "rows", "seed", "threads", "metric", "reference", "families", "verdicts"),
        *("words", "machine", "notes", "warnings"),
    ]
    assert (shown["format"], shown["metric"], shown["reference"], shown["rows"]) == (1, "average_precision", "boosting", 400)
    family = next(one for one in shown["families"] if one["family"] == "lightgbm")
    assert list(family) == ["family", "metrics", "cost", "calibration"]
    assert list(family["metrics"]["average_precision"]) == ["value", "low", "high"]
    assert list(family["cost"]) == ["fit_seconds", "memory_bytes", "model_bytes", "ms_alone", "ms_in_batch"]
    assert list(family["calibration"]) == ["of", "error", "noise", "table"]
    assert {"family", "against", "difference", "low", "high", "p", "p_adjusted", "certain", "words"} <= set(shown["verdicts"][0])
    assert list(shown["machine"]) == ["processors", "load", "processor_share", "busy", "words"]


@pytest.mark.slow
def test_the_page_of_a_comparison_shows_everything_and_escapes_names() -> None:
    comparison = compare_toys("binary", "boosting", "lightgbm")[0]
    hostile = replace(comparison, task=replace(comparison.task, name="<script>alert(1)</script>"))
    page = render_comparison(hostile)
    assert "<script" not in page
    assert page.count("<svg") == 3
    assert "https://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    for words in ("certainly worse", "seconds to train a fold", "calibration error", "reference</span>", comparison.load.words):
        assert words.replace("'", "&#39;") in page
    assert render_comparison(hostile) == page


@pytest.mark.slow
def test_values_are_shown_without_a_picture_of_calibration() -> None:
    page = render_comparison(compare_toys("regression", "linear", "boosting")[0])
    assert page.count("<svg") == 2
    assert "calibration error" not in page
