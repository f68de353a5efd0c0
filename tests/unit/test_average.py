"""The average of families as they come: weights by the folds that may teach, and something good before a search."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.toy import daily, task, toy
from tests.trained import table

from epic22.adapters.model_store import ModelStore
from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import ColumnError, UnknownTaskError
from epic22.core.evaluation.crossval import (
    Candidate,
    Evaluation,
    evaluate,
    make_candidate,
    make_default_recipe,
)
from epic22.core.evaluation.metrics import ROC_AUC
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import AVERAGE, get_family, is_combination, refuse_unfit_families
from epic22.core.models.configuration import Configuration, list_initial_configurations
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.linear import Linear
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.progress import Progress
from epic22.core.selection.answer_cost import count_visits
from epic22.core.selection.average import average_families, average_within_cost, can_be_averaged, supports_average
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.targets import BinaryTarget, MulticlassTarget
from epic22.core.task import Array, Kind, RowMetadata
from epic22.services.average import (
    FamilyPace,
    PacedDeadline,
    compute_growth,
    estimate_rest,
    evaluate_configurations,
    evaluate_within,
)
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun
from epic22.services.tune import IncompleteSearchError, NestedSearch, Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec


def build_experiment(y: Array, kind: Kind = "binary", forward: bool = False) -> Experiment:
    examples = toy(kind, len(y), at=daily(len(y)) if forward else None).examples
    labelled = type(examples)(**{**vars(examples), "Y": y[:, None].astype(float)})
    return Experiment(task(kind), labelled, plan_folds(labelled, kind, SplitRequest(repeats=1)))


def say(experiment: Experiment, response: Array) -> tuple[FoldPredictions, ...]:
    return tuple(FoldPredictions(fold, response[fold.test]) for fold in experiment.plan.folds)


def measure_area(experiment: Experiment, parts: tuple[FoldPredictions, ...]) -> float:
    areas = [ROC_AUC.score(experiment.examples.y[one.fold.test], one.response, RowMetadata()) for one in parts]
    return float(np.mean(areas))


def test_two_families_that_err_by_themselves_are_better_together() -> None:
    rng, y = np.random.default_rng(0), np.arange(400) % 2
    experiment = build_experiment(y)
    parts = {name: say(experiment, 1 / (1 + np.exp(-(y - 0.5 + rng.normal(size=400))))) for name in ("linear", "boosting")}
    average = average_families(experiment, parts)
    assert sum(weight for _, weight in average.weights) == pytest.approx(1)
    assert (
        measure_area(experiment, average.fold_predictions) > max(measure_area(experiment, one) for one in parts.values()) + 0.02
    )
    assert ((np.concatenate([one.response for one in average.fold_predictions]) - 0.5) ** 2 <= 0.25).all()


def test_one_family_that_knows_all_is_not_averaged_with_one_that_knows_nothing() -> None:
    rng, y = np.random.default_rng(1), np.arange(200) % 2
    experiment = build_experiment(y)
    parts = {"linear": say(experiment, rng.uniform(size=200)), "boosting": say(experiment, 0.1 + 0.8 * y)}
    assert average_families(experiment, parts).families == ("boosting",)


@pytest.mark.parametrize("forward", [False, True])
def test_the_labels_of_a_fold_say_nothing_of_its_own_weights_nor_forward_in_time_later_ones(forward: bool) -> None:
    rng, y = np.random.default_rng(2), np.arange(300) % 2
    experiment = build_experiment(y, forward=forward)
    parts = {name: say(experiment, rng.uniform(size=300)) for name in ("linear", "boosting", "extra_trees")}
    number = 1
    changed = y.copy()
    changed[experiment.plan.folds[number].test] = rng.permutation(changed[experiment.plan.folds[number].test])
    later = replace(experiment, examples=type(experiment.examples)(**{**vars(experiment.examples), "Y": changed[:, None]}))
    before, after = (average_families(one, parts) for one in (experiment, later))
    same = [np.array_equal(a.response, b.response) for a, b in zip(before.fold_predictions, after.fold_predictions, strict=True)]
    assert same[number]
    assert all(same[: number + 1]) if forward else not all(same)
    assert not all(same)


def test_of_forward_folds_the_first_has_equal_weights_for_nothing_taught_it() -> None:
    rng, y = np.random.default_rng(3), np.random.default_rng(4).normal(size=200)
    experiment = build_experiment(y, "regression", forward=True)
    first, second = y + rng.normal(size=200), y + rng.normal(size=200)
    average = average_families(experiment, {"linear": say(experiment, first), "boosting": say(experiment, second)})
    rows = experiment.plan.folds[0].test
    assert average.fold_predictions[0].response == pytest.approx((first[rows] + second[rows]) / 2)


def test_averages_of_families_that_know_nothing_are_no_better_than_chance() -> None:
    """Chosen on the rows that judge them, the weights of four make an area of one half 0.53 or more on 100 rows."""
    rng, areas = np.random.default_rng(5), []
    for _ in range(150):
        experiment = build_experiment(rng.permutation(np.arange(100) % 2))
        average = average_families(experiment, {name: say(experiment, rng.uniform(size=100)) for name in "abcd"})
        areas.append(measure_area(experiment, average.fold_predictions))
    assert abs(np.mean(areas) - 0.5) < 0.015, "half of what a leak would give"


def test_a_holdout_that_nothing_can_teach_is_judged_and_served_with_equal_weights() -> None:
    """All labels of the holdout become known after it: no row of it may choose weights for another."""
    rng, n = np.random.default_rng(8), 300
    examples = toy("regression", n, at=daily(n)).examples
    split = SplitRequest(horizon=12.0, holdout_from=np.datetime64(examples.at[n - 40]))
    experiment = Experiment(task("regression"), examples, plan_folds(examples, "regression", split))
    good, bad = examples.y + 0.1 * rng.normal(size=n), rng.normal(size=n)
    average = average_families(experiment, {"linear": say(experiment, good), "boosting": say(experiment, bad)})
    assert dict(average.weights) == {"linear": 0.5, "boosting": 0.5}


def grow(rounds: int) -> XGBoostEstimator:
    rng = np.random.default_rng(3)
    model = XGBoostEstimator("binary", (False,) * 3, default_rounds=rounds)
    model.fit(rng.normal(size=(300, 3)).astype(np.float32), np.arange(300) % 2.0)
    return model


def test_who_costs_a_row_too_much_is_left_out_before_the_weights_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged is what is served: an average of two, with weights for two."""
    rng, y = np.random.default_rng(9), np.arange(400) % 2
    experiment = build_experiment(y)
    parts = {
        name: say(experiment, 1 / (1 + np.exp(-(y - 0.5 + noise * rng.normal(size=400)))))
        for name, noise in (("linear", 1.0), ("boosting", 1.0), ("extra_trees", 1.3))
    }
    linear = Linear("binary", (False,) * 3)
    linear.fit(rng.normal(size=(400, 3)), y.astype(float))
    models = {"linear": linear, "boosting": grow(3), "extra_trees": grow(30)}
    assert set(average_within_cost(experiment, parts, models).families) == set(models)
    monkeypatch.setattr("epic22.core.selection.average.MAX_NODE_VISITS", 2 * count_visits([models["boosting"]]))
    answered = average_within_cost(experiment, parts, models)
    alone = average_families(experiment, {name: parts[name] for name in ("linear", "boosting")})
    assert answered.weights == alone.weights
    pairs = [(one.response, other.response) for one, other in zip(answered.fold_predictions, alone.fold_predictions, strict=True)]
    assert all(np.array_equal(*pair) for pair in pairs)


def test_the_link_of_a_response_is_the_score_that_gave_it() -> None:
    raw = np.array([-3.0, 0.0, 2.5])
    assert BinaryTarget().link(BinaryTarget().inverse_link(raw)) == pytest.approx(raw)
    scores = np.array([[0.2, -1.0, 3.0], [0.0, 0.0, 0.0]])
    kind = MulticlassTarget()
    assert kind.inverse_link(kind.link(kind.inverse_link(scores))) == pytest.approx(kind.inverse_link(scores))
    assert np.isfinite(BinaryTarget().link(np.array([0.0, 1.0]))).all()


def test_an_average_is_no_family_that_could_be_named() -> None:
    assert is_combination("average")
    assert is_combination("ensemble")
    assert not is_combination("boosting")
    assert get_family("average") is AVERAGE
    with pytest.raises(ColumnError, match="average is made of the families as they come, under --time-limit"):
        refuse_unfit_families(("average",), "binary")


def test_networks_are_no_members_for_they_may_read_columns_that_the_others_leave_out() -> None:
    names = ("constant", "linear", "boosting", "extra_trees", "mlp", "lstm")
    assert [name for name in names if can_be_averaged(get_family(name))] == ["linear", "boosting", "extra_trees"]


def test_logarithms_and_exposures_are_not_averaged() -> None:
    target = task("regression").target
    assert supports_average(target)
    assert not supports_average(replace(target, log=True))
    assert not supports_average(replace(target, loss="poisson"))
    assert not supports_average(task("hazard").target)


def run(folder: Path, kind: Kind, seconds: float, spent: float = 0.0) -> RowRun:
    """A training whose clock stands still, so many of its seconds spent."""
    tuning = Tuning(Budget(seconds=seconds), Deadline(seconds, lambda: spent), families=("linear", "boosting", "extra_trees"))
    data = load_task_data(build_spec(csv=table(folder, kind, 200), label="y", task="averaged"))
    return train(RowPipeline(data, SplitRequest(n_folds=3, repeats=1), 1, tuning=tuning), ModelStore(folder / "models"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_under_a_time_limit_the_average_stands_on_the_board_and_can_be_served(tmp_path: Path, kind: Kind) -> None:
    """No second is left once report and folds are allowed for, so no search takes part."""
    result = run(tmp_path, kind, 100.0, spent=101.0)
    families = {one.family for one in result.leaderboard}
    assert families >= {"constant", "linear", "boosting"}
    assert "ensemble" not in families
    assert ("average" in families) == bool(result.average_weights)
    assert result.average_weights, "linear and boosting err differently on the toy table"
    assert {name for name, _ in result.average_weights} <= {"linear", "boosting", "extra_trees"}
    assert f"{result.average_weights[0][0]} {result.average_weights[0][1]:.0%}" in result.average_note


@pytest.mark.slow
def test_an_average_that_leads_is_packed_opened_and_its_reasons_sum_to_its_score(tmp_path: Path) -> None:
    """A line with a step in a corner, of which linear models and trees say a part each."""
    rng, n = np.random.default_rng(7), 500
    x = rng.normal(size=(n, 4))
    y = x @ np.array([1.0, -1.0, 0.5, 0.0]) + 1.5 * (x[:, 0] > 0) * (x[:, 3] > 0) + 1.5 * rng.normal(size=n)
    pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | {"y": y}).write_csv(tmp_path / "half.csv")
    # No second is left for others, nor for a search.
    tuning = Tuning(Budget(seconds=100), Deadline(100.0, lambda: 101.0), families=("linear", "boosting"))
    data = load_task_data(build_spec(csv=tmp_path / "half.csv", label="y", task="half"))
    store = ModelStore(tmp_path / "models")
    result = train(RowPipeline(data, SplitRequest(n_folds=3, repeats=1), 1, tuning=tuning), store)
    assert result.champion.family == "average"
    assert isinstance(result.bundle.estimator, Ensemble)
    members = {one.family: one.weight for one in result.bundle.estimator.members}
    assert members == pytest.approx(dict(result.average_weights))
    assert store.load("half", result.version.version).bundle.family == "average"
    X = result.bundle.preprocessor.transform(result.examples.X.head(20))
    scores, reasons = result.bundle.estimator.decision_function(X), result.bundle.estimator.shap_values(X)
    assert reasons.sum(axis=1) == pytest.approx(scores)


def test_a_family_whose_first_fold_shows_that_the_time_is_too_short_is_given_up() -> None:
    experiment = build_experiment(np.arange(200) % 2)
    clock = [0.0]
    family = make_candidate(experiment, get_family("linear"))

    def fit_slowly(known: Examples, train: Array) -> FittedFold:
        clock[0] += 10.0
        return family.fit(known, train)

    slow = replace(family, fit=fit_slowly)
    assert evaluate_within(Deadline(49.0, lambda: clock[0]), experiment, slow, Progress()) is None
    assert clock == [10.0]
    clock[0] = 0.0
    evaluated = evaluate_within(Deadline(50.0, lambda: clock[0]), experiment, slow, Progress())
    assert evaluated is not None
    assert evaluated.scores == evaluate(experiment, family).scores


def test_a_configuration_is_a_family_as_it_comes_or_with_a_point_that_a_search_begins_with() -> None:
    boosting = get_family("boosting")
    assert Configuration(boosting) == Configuration.parse("boosting")
    assert Configuration.parse("boosting").params == {}
    second = Configuration.parse("boosting 2")
    assert (second.name, second.params) == ("boosting 2", boosting.initial_points[1])
    with pytest.raises(UnknownTaskError, match="nothing"):
        Configuration.parse("nothing 2")


def test_first_configurations_begin_with_one_of_each_family_and_leave_out_what_is_as_it_comes() -> None:
    families = [replace(get_family("boosting"), initial_points=({}, {"max_depth": 2})), get_family("linear")]
    assert [one.name for one in list_initial_configurations(families)] == ["boosting 2", "linear 1", "linear 2"]


def test_a_configuration_is_fitted_with_its_own_parameters() -> None:
    experiment = build_experiment(np.arange(200) % 2)
    depths = []
    for name in ("boosting 1", "boosting 3"):
        candidate = make_candidate(experiment, Configuration.parse(name))
        fitted = candidate.fit(experiment.examples, experiment.plan.folds[0].train)
        assert isinstance(fitted.estimator, XGBoostEstimator)
        depths.append(fitted.estimator.shape_["max_depth"])
    assert depths == [3, 2]


def test_configurations_are_evaluated_while_each_leaves_the_time_to_fit_all_on_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds for the folds of each, one for its last fit: of 40 seconds three take 33, and a fourth does not fit."""
    experiment, clock = build_experiment(np.arange(200) % 2), [0.0]
    deadline = Deadline(40.0, lambda: clock[0])
    search = NestedSearch(Tuning(Budget(seconds=40), deadline), experiment, make_default_recipe, last_is_scored=False)

    def evaluate_slowly(share: Deadline, experiment: Experiment, candidate: Candidate, progress: Progress) -> Evaluation:
        clock[0] += 10.0
        return replace(evaluate(experiment, candidate, keep_models=True), fit_seconds=1.0)

    monkeypatch.setattr("epic22.services.average.evaluate_within", evaluate_slowly)
    configurations = [Configuration.parse(name) for name in ("linear", "linear 1", "linear 2", "boosting 1")]
    clock_of_families = PacedDeadline(deadline, FamilyPace(seconds={"linear": 10.0}))
    evaluated = evaluate_configurations(search, experiment, configurations, clock_of_families, Progress())
    assert [one.family for one in evaluated] == ["linear", "linear 1", "linear 2"]


def test_where_folds_are_fitted_side_by_side_the_last_fit_takes_as_long_as_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds for five folds at once, and longer for all rows: of 40 seconds there is no time for a second."""
    experiment, clock = replace(build_experiment(np.arange(200) % 2), threads=5), [0.0]
    deadline = Deadline(40.0, lambda: clock[0])
    search = NestedSearch(Tuning(Budget(seconds=40), deadline), experiment, make_default_recipe, last_is_scored=False)

    def evaluate_slowly(share: Deadline, experiment: Experiment, candidate: Candidate, progress: Progress) -> Evaluation:
        clock[0] += 10.0
        return replace(evaluate(experiment, candidate, keep_models=True), fit_seconds=10.0)

    monkeypatch.setattr("epic22.services.average.evaluate_within", evaluate_slowly)
    configurations = [Configuration.parse(name) for name in ("linear", "linear 1")]
    clock_of_families = PacedDeadline(deadline, FamilyPace(seconds={"linear": 10.0}))
    evaluated = evaluate_configurations(search, experiment, configurations, clock_of_families, Progress())
    assert [one.family for one in evaluated] == ["linear"]
    fitted = [part.fitted for part in evaluated[0].fold_predictions if part.fitted is not None]
    assert len(fitted) == 1, "one model says what its answers cost"


def test_a_family_that_was_given_up_is_not_begun_again_in_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first fold took ten seconds, so that all of them take thirty."""
    experiment, clock, begun = build_experiment(np.arange(200) % 2), [0.0], []
    n_folds = len(experiment.plan.folds)
    deadline = Deadline(10.0 * n_folds, lambda: clock[0])
    search = NestedSearch(Tuning(Budget(seconds=40), deadline), experiment, make_default_recipe, last_is_scored=False)

    def give_up(share: Deadline, experiment: Experiment, candidate: Candidate, progress: Progress) -> Evaluation | None:
        begun.append(candidate.name)
        clock[0] += 10.0
        return None

    monkeypatch.setattr("epic22.services.average.evaluate_within", give_up)
    configurations = [Configuration.parse(name) for name in ("boosting", "boosting 1", "boosting 2")]
    evaluate_configurations(search, experiment, configurations, PacedDeadline(deadline, FamilyPace()), Progress())
    assert begun == ["boosting"]


def test_forward_in_time_later_folds_are_expected_to_take_longer_than_the_first() -> None:
    y = np.random.default_rng(1).normal(size=300)
    experiment = build_experiment(y, "regression", forward=True)
    candidate = make_candidate(experiment, get_family("linear"))
    sizes = [len(fold.train) for fold in experiment.plan.folds]
    assert estimate_rest(experiment, candidate) == pytest.approx((len(sizes) - 1) * sizes[-1] / sizes[0])
    assert compute_growth(experiment) == pytest.approx(300 / np.mean(sizes))


@pytest.mark.slow
def test_where_no_search_fits_the_time_that_is_left_goes_to_first_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(search: NestedSearch, examples: Examples, train: Array) -> FittedFold:
        raise IncompleteSearchError

    monkeypatch.setattr(NestedSearch, "__call__", give_up)
    result = run(tmp_path, "binary", 1000.0)
    assert "ensemble" not in {one.family for one in result.leaderboard}
    names = {name for name, _ in result.average_weights}
    assert any(" " in name for name in names), "a configuration adds something to families as they come"
    assert "a number is the place" in result.average_note
    assert any("too short for a search" in one for one in result.warnings)
    if result.champion.family == "average":
        assert isinstance(result.bundle.estimator, Ensemble)
        assert {one.family for one in result.bundle.estimator.members} == {name.partition(" ")[0] for name in names}


@pytest.mark.parametrize(
    ("budget", "max_ms_per_row", "expected"),
    [(Budget(seconds=60), None, True), (Budget(40, 60), None, False), (Budget(seconds=60), 0.5, False)],
)
def test_trials_and_a_bound_on_a_rows_milliseconds_leave_the_average_out(
    budget: Budget, max_ms_per_row: float | None, expected: bool
) -> None:
    tuning = Tuning(budget, Deadline(60.0, lambda: 0.0), max_ms_per_row=max_ms_per_row)
    search = NestedSearch(tuning, build_experiment(np.arange(100) % 2), make_default_recipe, last_is_scored=False)
    assert search.begins_with_average is expected


@pytest.mark.slow
def test_an_average_of_rows_split_at_random_despite_their_time_is_scored_on_honest_folds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(search: NestedSearch, examples: Examples, train: Array) -> FittedFold:
        raise IncompleteSearchError

    monkeypatch.setattr(NestedSearch, "__call__", give_up)
    monkeypatch.setattr("epic22.services.tune.measure_slowness", lambda: 1.0)
    rng, n = np.random.default_rng(7), 500
    x = rng.normal(size=(n, 4))
    y = x @ np.array([1.0, -1.0, 0.5, 0.0]) + 1.5 * (x[:, 0] > 0) * (x[:, 3] > 0) + 1.5 * rng.normal(size=n)
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=n - 1), eager=True)
    pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | {"day": days, "y": y}).write_csv(tmp_path / "timed.csv")
    tuning = Tuning(Budget(seconds=1000), Deadline(1000.0, lambda: 0.0), families=("linear", "boosting"))
    data = load_task_data(build_spec(csv=tmp_path / "timed.csv", label="y", time="day", task="timed"))
    split = SplitRequest(n_folds=3, repeats=1, random_rows_despite_time=True)
    result = train(RowPipeline(data, split, 1, tuning=tuning), ModelStore(tmp_path / "models"))
    assert result.champion.family == "average"
    scores = {one.metric: one for one in result.split_comparisons}
    assert np.isfinite(scores["root_mean_squared_error"].recommended_score)
