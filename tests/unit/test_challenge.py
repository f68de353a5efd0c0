"""What a new version must show before it takes the place of the one that serves."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.decisions import meet_challenge
from tests.toy import toy
from tests.trained import trained

from epic22.core.artifact.row_model import RowModel
from epic22.core.data.folds import Fold, FoldPlan
from epic22.core.errors import ColumnError
from epic22.core.evaluation.challenge import (
    Challenge,
    Margin,
    challenge_champion,
    compute_margin,
    judge_challenge,
    meet_recipe,
    select_compared_rows,
)
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.evaluation.fairness import PROMOTED, PromotionDecision
from epic22.core.evaluation.held_out import HeldOutPredictions
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import Verdict
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.statistics import Interval
from epic22.core.tables.rowhash import hash_values
from epic22.core.task import Formula, Task
from epic22.services.challenge import (
    ServingModel,
    collect_responses,
    evaluate_recipe,
    find_recipe,
    refuse_other_estimate,
    refuse_other_target,
)
from epic22.services.pipelines.rows import evaluate_row_version

MARGIN = Margin(negligible=0.01, tolerable=0.04)


def verdict(low: float, high: float) -> Verdict:
    gap = Interval((low + high) / 2, low, high)
    return Verdict("champion", "y", None, "roc_auc", gap, 0.5, False, "paired", "")


@pytest.mark.parametrize(
    ("low", "high", "passed"),
    [
        (0.01, 0.05, True),
        (-0.03, 0.02, True),  # no more than tolerable is lost
        (-0.05, 0.06, False),  # more may be lost
        (-0.03, -0.005, False),  # a loss that is certain, and may be more than negligible
        (-0.009, -0.001, True),  # certain, and certainly negligible
        (math.nan, math.nan, False),
    ],
)
def test_a_challenger_passes_where_no_loss_that_matters_is_possible(low: float, high: float, passed: bool) -> None:
    assert judge_challenge(verdict(low, high), MARGIN, "1", 200).passed is passed


def test_a_challenger_behind_the_champion_is_worse_by_an_amount_above_zero() -> None:
    why = judge_challenge(verdict(-0.06, 0.02), MARGIN, "1", 200).why
    assert why.startswith("roc_auc 0.02 worse (-0.02 … 0.06) than version 1 on 200 rows of both")


def test_the_margin_keeps_nine_tenths_of_what_the_champion_is_better_than_the_constant_by() -> None:
    assert compute_margin(0.8, 0.3, None).tolerable == pytest.approx(0.03)
    assert compute_margin(0.8, 0.3, 0.005) == Margin(0.005, 0.005)
    # A champion that is no better than the constant has nothing to keep but a hundredth of its score.
    assert compute_margin(0.5, -0.01, None).tolerable == pytest.approx(0.005)


def small_experiment(n: int = 200) -> Experiment:
    """Two classes on n rows in five folds."""
    made = toy(n=n)
    rows = np.arange(n)
    folds = tuple(Fold(rows[rows % 5 != k], rows[rows % 5 == k]) for k in range(5))
    return Experiment(made.task, made.examples, FoldPlan("repeated", folds, 1, 0.0, "five folds"), seed=0, threads=1)


def evaluation(experiment: Experiment, response: Any) -> Evaluation:
    parts = tuple(FoldPredictions(fold, response[fold.test]) for fold in experiment.plan.folds)
    return Evaluation("linear", "y", None, (), parts, experiment.fingerprint, 0.0, 0.0)


def challenge(experiment: Experiment, new: Any, old: Any) -> Challenge:
    constant = np.full(len(new), experiment.examples.y.mean())
    compared = select_compared_rows(experiment, evaluation(experiment, new), evaluation(experiment, constant), old)
    return challenge_champion(compared, "1")


def informed(experiment: Experiment, seed: int, strength: float) -> Any:
    """Probabilities that know the outcome up to noise."""
    rng, y = np.random.default_rng(seed), experiment.examples.y
    return 1 / (1 + np.exp(-(strength * (2 * y - 1) + rng.normal(0, 1, len(y)))))


def test_a_version_no_better_than_the_constant_does_not_follow_one_that_is() -> None:
    experiment = small_experiment()
    made = challenge(experiment, np.full(200, 0.5), informed(experiment, 0, 2.0))
    assert not made.passed
    assert "certainly worse" in made.why


def test_a_better_version_follows() -> None:
    experiment = small_experiment()
    assert challenge(experiment, informed(experiment, 0, 3.0), informed(experiment, 1, 1.0)).passed


def test_the_same_responses_pass_on_any_number_of_rows() -> None:
    experiment = small_experiment(20)
    response = informed(experiment, 0, 1.0)
    assert challenge(experiment, response, response).passed


def test_few_rows_of_both_show_nothing() -> None:
    experiment = small_experiment()
    old = informed(experiment, 0, 1.0)
    old[20:] = np.nan
    made = challenge(experiment, informed(experiment, 1, 3.0), old)
    assert (made.passed, made.rows) == (False, 20)
    assert "20 rows are too few" in made.why


def test_no_row_of_both_shows_nothing() -> None:
    experiment = small_experiment()
    assert not challenge(experiment, informed(experiment, 1, 3.0), np.full(200, np.nan)).passed


def test_a_row_is_known_again_by_its_values_whatever_type_or_order_they_come_in() -> None:
    X = pl.DataFrame({"rooms": [1, 2, 2, 5], "town": ["a", "b", "b", None]})
    folds = [FoldPredictions(Fold(np.array([0, 1]), np.array([2, 3])), np.array([0.2, 0.3]))]
    kept = HeldOutPredictions.of_folds(X, ["rooms", "town"], folds)
    other = pl.DataFrame({"town": ["b", None, "b", "c"], "rooms": [2.0, 5.0, 2.0, 1.0]})
    position = kept.find_rows(hash_values(other, kept.columns))
    # Equal rows are matched in their order; a row that is not there has no position.
    assert position.tolist() == [1, 3, 2, -1]
    assert kept.responses[position[:3]].tolist()[1:] == [0.3, 0.2]
    assert kept.n_held_out == 2


@pytest.mark.parametrize("column", [[None, None], [0.0, 0.0], ["", "x"]])
def test_rows_with_other_values_are_other_rows(column: list[Any]) -> None:
    first, second = pl.DataFrame({"x": [1.5, 2.5]}), pl.DataFrame({"x": column})
    assert not set(hash_values(first, ["x"]).tolist()) & set(hash_values(second, ["x"]).tolist())


def test_a_promotion_by_an_authorised_person_stands_whatever_the_scores_say() -> None:
    lost = Challenge("1", False, "certainly worse")
    won = Challenge("1", True, "better")
    assert meet_challenge(PromotionDecision(True, "overridden", "reviewed"), lost).promote
    assert not meet_challenge(PROMOTED, lost).promote
    assert meet_challenge(PROMOTED, lost).status == "challenger"
    assert meet_challenge(PROMOTED, won).promote
    refused = meet_challenge(PromotionDecision(False, "refused", "unfair"), won)
    assert (refused.promote, refused.status) == (False, "refused")


@pytest.mark.parametrize("way", ["absent", "text", "another label"])
@pytest.mark.slow
def test_what_cannot_be_compared_is_said_with_the_column_or_the_label(way: str, tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    model = store.load("toy")
    X = run.examples.X.head(5)
    if way == "absent":
        with pytest.raises(ColumnError, match="its column 'fitted on' is not among the inputs now"):
            model.compute_responses(X.drop("fitted on"))
    elif way == "text":
        with pytest.raises(ColumnError, match="its column 'wear' was read as float, and is String now"):
            model.compute_responses(X.with_columns(pl.col("wear").cast(pl.String)))
    else:
        with pytest.raises(ColumnError, match="its classes: no, yes before, yes, no now"):
            refuse_other_target(replace(run.task, targets=(replace(run.task.target, classes=("yes", "no")),)), model)


@pytest.mark.slow
def test_rows_that_the_champion_never_saw_are_answered_by_itself_and_others_out_of_fold(tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    experiment = Experiment(run.task, run.examples, run.plan, run.seed, 1)
    _, held_out = evaluate_row_version(experiment, run.champion)
    known = replace(held_out, row_hashes=held_out.row_hashes[:300], responses=held_out.responses[:300])
    model = store.load("toy")
    responses = collect_responses(experiment, ServingModel(model.version, model, known))
    assert np.array_equal(responses[:300], held_out.responses[:300])
    assert np.allclose(responses[300:], model.compute_responses(run.examples.X[300:]))
    # A sample of a larger table: what else the champion learned from is not known, so it is not asked of other rows.
    sampled = replace(known, has_all_rows=False)
    assert np.isnan(collect_responses(experiment, ServingModel(model.version, model, sampled))[300:]).all()
    with pytest.raises(ColumnError, match="held-out predictions were not kept"):
        collect_responses(experiment, ServingModel(model.version, model, None))


@pytest.mark.slow
def test_responses_that_a_release_before_kept_below_the_floor_are_compared_as_they_are_served(tmp_path: Path) -> None:
    run, store = trained(tmp_path, "regression")
    experiment = Experiment(run.task, run.examples, run.plan, run.seed, 1)
    _, held_out = evaluate_row_version(experiment, run.champion)
    model = store.load("toy")
    assert model.floor == 0
    below = replace(held_out, responses=np.where(np.arange(len(held_out.responses)) < 9, -1.0, held_out.responses))
    responses = collect_responses(experiment, ServingModel(model.version, model, below))
    assert responses.tolist() == [*[0.0] * 9, *held_out.responses[9:].tolist()]


def judge(experiment: Experiment, family: str) -> Evaluation:
    return evaluate(experiment, make_candidate(experiment, get_family(family)))


def test_a_version_that_is_certainly_worse_than_the_champions_recipe_does_not_follow() -> None:
    experiment = small_experiment(400)
    linear, constant, passed = judge(experiment, "linear"), judge(experiment, "constant"), Challenge("1", True, "not worse")
    met = meet_recipe(experiment, passed, constant, linear, constant)
    assert not met.passed
    assert re.fullmatch(
        r"not worse; but \w+ .* worse .* than its recipe, linear, fitted in the same folds: certainly worse by .*", met.why
    )


def test_a_version_that_is_not_certainly_worse_than_the_recipe_follows_and_that_is_said() -> None:
    experiment = small_experiment(400)
    linear, constant, passed = judge(experiment, "linear"), judge(experiment, "constant"), Challenge("1", True, "not worse")
    for rival in (linear, constant):
        met = meet_recipe(experiment, passed, linear, rival, constant)
        assert met.passed
        assert f"than its recipe, {rival.family}, fitted in the same folds: not certainly worse" in met.why


def test_what_the_held_out_responses_refuse_no_recipe_lets_pass() -> None:
    experiment = small_experiment(400)
    linear, constant, refused = judge(experiment, "linear"), judge(experiment, "constant"), Challenge("1", False, "worse")
    assert not meet_recipe(experiment, refused, linear, constant, constant).passed


def test_a_recipe_is_taken_from_the_board_or_fitted_in_the_same_folds() -> None:
    experiment = small_experiment()
    linear, constant = judge(experiment, "linear"), judge(experiment, "constant")
    assert evaluate_recipe(experiment, (constant, linear), get_family("linear")) is linear
    fitted = evaluate_recipe(experiment, (constant,), get_family("linear"))
    for one, other in zip(fitted.fold_predictions, linear.fold_predictions, strict=True):
        np.testing.assert_array_equal(one.response, other.response)


def test_only_a_family_as_it_comes_on_the_columns_of_today_is_a_recipe(tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    model = store.load("toy")
    assert isinstance(model, RowModel)
    task, bundle = run.task, model.bundle

    def find(task: Task, **changed: Any) -> str | None:
        other = replace(model, bundle=replace(bundle, **changed))
        family = find_recipe(task, ServingModel(run.version, other, None))
        return None if family is None else family.name

    assert find(task) == bundle.family
    assert find(task, family="ensemble") is None
    assert find(task, preprocessor=replace(bundle.preprocessor, selected=(0, 1))) is None
    assert find(replace(task, columns=task.columns[1:])) is None
    assert find(replace(task, formulas=(Formula("twice", "2 * wear"),))) is None
    assert find(task, family="a family of another release") is None


@pytest.mark.slow
def test_a_quantile_that_a_release_before_did_not_write_down_is_taken_for_the_one_asked_for_now(tmp_path: Path) -> None:
    run, store = trained(tmp_path, "regression")
    model, target = store.load("toy"), run.task.target
    assert isinstance(model, RowModel)
    quantile = replace(model, bundle=replace(model.bundle, schema=replace(model.bundle.schema, loss="quantile")))
    held_out = store.load_held_out("toy", "1")
    asked = replace(target, loss="quantile", quantile=0.9)
    refuse_other_estimate(asked, ServingModel(model.version, quantile, held_out))
    refuse_other_estimate(asked, ServingModel(model.version, quantile, None))
    with pytest.raises(ColumnError, match="its answer: a quantile before, the mean now"):
        refuse_other_estimate(target, ServingModel(model.version, quantile, held_out))
    # Both ask for the mean, on another scale of errors.
    refuse_other_estimate(replace(target, loss="poisson"), ServingModel(model.version, model, held_out))
