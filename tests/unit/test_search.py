"""The search in one training part: its turns, its weights and its result."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tests.searches import FAMILIES as QUICK
from tests.searches import answers, part_of, plan, searched
from tests.toy import daily, toy

from epic22.core.data.folds import Fold, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import SplitError, UserError
from epic22.core.evaluation.crossval import Candidate, evaluate, make_candidate
from epic22.core.evaluation.metrics import average_precision
from epic22.core.experiment import Experiment
from epic22.core.lineage import canonical_json
from epic22.core.models.base import never_expires
from epic22.core.models.catalog import FAMILIES, get_family
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.trees.boosted import choose_max_bin
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.selection.answer_cost import leave_out_costly
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.repeats import HeldOutScores, Repeat
from epic22.core.selection.search import prepare_part, search
from epic22.core.selection.search_result import FinishedTrials, SearchResult, build_search_result
from epic22.core.selection.study import Sampling, Study, StudyConfig, Suggestion, Trial
from epic22.core.selection.trials import (
    MAX_REPEATS,
    MAX_TOP_TRIALS,
    REFIT_STARTUP_TRIALS,
    REFIT_TIME_SHARE,
    WEIGHTS_TIME_SHARE,
    FoldModels,
    SearchConfig,
    TrialRunner,
    estimate_reserve,
    estimate_trial_seconds,
    select_top_trials,
)
from epic22.core.task import Array, Kind

SURROUNDING: ContextVar[str] = ContextVar("what surrounds a search", default="nothing")
STUDY = StudyConfig(QUICK, greater_is_better=True)


def watched(found: SearchResult) -> Array:
    return np.concatenate([part.fold.test for part in found.out_of_fold])


def journal(folder: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder / "journal")))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_search_finds_what_beats_the_constant(kind: Kind) -> None:
    made = toy(kind, 400)
    folds = plan(made)
    contender = Candidate("search", lambda known, train: searched(made, 5, train).fitted_fold)
    experiment = Experiment(made.task, made.examples, replace(folds, folds=folds.folds[:2]))
    found = evaluate(experiment, contender)
    metric = made.task.target.metric
    constant = evaluate(experiment, make_candidate(experiment, get_family("constant")))
    assert metric.gain(found.score(metric.name).value, constant.score(metric.name).value) > 0


@pytest.mark.slow
def test_same_seed_same_model_and_another_seed_another() -> None:
    made = toy("binary", 300)
    first, again, other = (searched(made, 10, seed=seed).fitted_fold.estimator.files() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.slow
def test_a_search_whose_folds_hold_no_positive_row_is_refused() -> None:
    group = np.repeat(np.array(["a", "b", "c", "d"], dtype=object), 25)
    made = toy("binary", 100, group=group)
    pure = replace(made, examples=replace(made.examples, Y=np.isin(group, ["a", "b"]).astype(float)[:, None]))
    folds = plan_folds(made.examples, "binary", SplitRequest(n_folds=2))
    part = prepare_part(Experiment(pure.task, pure.examples, folds), np.arange(25, 100))
    with pytest.raises(SplitError, match="average_precision is not defined on the inner folds"):
        search(part, SearchConfig(QUICK, Budget(1)), Study(STUDY))


@pytest.mark.slow
def test_nothing_outside_the_training_part_is_seen() -> None:
    made = toy("binary", 400)
    train = np.arange(300)
    noise = toy("binary", 400, seed=9).examples
    X = pl.concat([made.examples.X.head(300), noise.X.tail(100)])
    Y = np.vstack([made.examples.Y[:300], 1 - noise.Y[300:]])
    changed = replace(made, examples=replace(made.examples, X=X, Y=Y))
    assert searched(made, 6, train).fitted_fold.estimator.files() == searched(changed, 6, train).fitted_fold.estimator.files()


@pytest.mark.slow
def test_labels_dealt_anew_within_the_training_part_are_learned_by_nobody() -> None:
    made = toy("binary", 600)
    folds = plan(made)
    dealt = np.random.default_rng(0).permutation(made.examples.Y)
    blind = replace(made, examples=replace(made.examples, Y=dealt))
    found = evaluate(
        Experiment(blind.task, blind.examples, folds),
        Candidate("search", lambda known, train: searched(blind, 6, train).fitted_fold),
    )
    score = found.score("roc_auc")
    assert score.low < 0.5 < score.high


@pytest.mark.slow
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    made = toy("binary", 300)
    whole = searched(made, 14)
    searched(made, 9, storage=journal(tmp_path), folder=tmp_path / "scores")
    # A trial that was under way when the process was killed: asked for, never told.
    Study(STUDY, journal(tmp_path)).ask()
    resumed = searched(made, 14, storage=journal(tmp_path), folder=tmp_path / "scores")
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in whole.trials]
    assert resumed.fitted_fold.estimator.files() == whole.fitted_fold.estimator.files()


@pytest.mark.slow
def test_as_many_cores_as_there_are_find_the_same() -> None:
    made = toy("binary", 300)
    found = [search(part_of(made, threads=cores), SearchConfig(QUICK, Budget(13)), Study(STUDY)) for cores in (1, 3, 5)]
    assert found[0].trials[11].params == found[1].trials[11].params
    assert len({canonical_json([dict(t.params) for t in one.trials]) for one in found}) == 1
    assert all(one.fitted_fold.estimator.files() == found[0].fitted_fold.estimator.files() for one in found)


def test_what_is_suggested_knows_as_many_trials_as_it_was_told_of(tmp_path: Path) -> None:
    study, asked_then = Study(STUDY, journal(tmp_path)), []
    for turn in range(15):
        asked = study.ask(turn, max(turn - 1, 0))
        asked_then.append(asked)
        study.tell(Trial(turn, asked.family, asked.params, (0.5 + 0.01 * (turn % 4),), ({},), 0.1), asked)
    again = Study(STUDY, journal(tmp_path))
    assert again.ask(14, 13) == asked_then[14]
    assert again.ask(14, 14) != asked_then[14]


@pytest.mark.slow
def test_scores_that_were_lost_are_fitted_again(tmp_path: Path) -> None:
    made = toy("binary", 300)
    searched(made, 6, storage=journal(tmp_path))
    again = searched(made, 6, storage=journal(tmp_path))
    assert again.fitted_fold.estimator.files() == searched(made, 6).fitted_fold.estimator.files()


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["random", "grid"])
def test_it_can_look_by_chance_or_along_a_grid(sampling: Sampling) -> None:
    found = searched(toy("binary", 200), 6, sampling=sampling)
    assert len({str(trial.params) for trial in found.trials}) == 6


def test_a_grid_ends_when_all_its_places_were_tried() -> None:
    linear = (get_family("linear"),)
    config = SearchConfig(linear, Budget(50), "grid")
    found = search(part_of(toy("binary", 200)), config, Study(StudyConfig(linear, True, sampling="grid")))
    assert len(found.trials) == 3
    assert found.stop_reason == "all 3 places of the grid were tried"


@pytest.mark.slow
def test_what_falls_behind_early_is_given_up_and_never_averaged() -> None:
    found = searched(toy("binary", 400), 22)
    given_up = {trial.number for trial in found.trials if trial.pruned}
    assert given_up
    assert not given_up & {turn for turn, _ in found.weights}
    assert not any(trial.pruned for trial in searched(toy("binary", 400), 12, prune=False).trials)


@pytest.mark.slow
def test_timed_rows_are_watched_forward_and_fitted_anew_on_all_rows() -> None:
    made = toy("binary", 400, at=daily(400))
    found = searched(made, 6)
    assert made.examples.at[watched(found)].min() >= np.sort(made.examples.at)[int(0.6 * 400)]
    assert abs(sum(weight for _, weight in found.weights) - 1) < 1e-12


@pytest.mark.slow
def test_every_fit_of_a_search_has_what_surrounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, surroundings = XGBoostEstimator.fit_with_validation, []

    def record(self: XGBoostEstimator, *arguments: Any) -> Array:
        surroundings.append(SURROUNDING.get())
        return fit(self, *arguments)

    monkeypatch.setattr(XGBoostEstimator, "fit_with_validation", record)
    token = SURROUNDING.set("here")
    searched(toy("binary", 400, at=daily(400)), 6, prune=False)
    SURROUNDING.reset(token)
    # Trials on inner folds, and the last fits on all rows.
    assert len(surroundings) > 6
    assert set(surroundings) == {"here"}


@pytest.mark.slow
@pytest.mark.parametrize("log", [False, True])
def test_a_label_that_rises_at_the_end_of_training_is_followed_forward_in_time_alone(log: bool) -> None:
    n = 1200
    timed = toy("regression", n, at=daily(n))
    rise = 4.0 * np.maximum(np.arange(n) / n - 0.7, 0.0)[:, None]
    Y = timed.examples.Y / 4 + 5 + rise
    task = replace(timed.task, targets=(replace(timed.task.target, log=log),))
    undated = tuple(replace(c, role="never") if c.dtype == "time" else c for c in task.columns)
    task = replace(task, columns=undated)
    inputs = timed.examples.X.select([column.name for column in task.input_columns])
    made = replace(timed, task=task, examples=replace(timed.examples, X=inputs, Y=np.exp(Y / 2) if log else Y))
    found = searched(made, 3)
    assert found.level_shift is not None
    assert found.level_shift.evidence > 2.71
    estimator, X = found.fitted_fold.estimator, found.fitted_fold.preprocessor.transform(inputs)
    assert isinstance(estimator, Ensemble)
    assert estimator.level_shift == found.level_shift.shift > 0
    assert np.allclose(
        estimator.decision_function(X) - replace(estimator, level_shift=0.0).decision_function(X), found.level_shift.shift
    )
    last = slice(n - 60, n)
    errors = [
        made.examples.y[last].mean() - one.predict(X)[last].mean() for one in (estimator, replace(estimator, level_shift=0.0))
    ]
    assert abs(errors[0]) < abs(errors[1])
    early, late = found.out_of_fold
    raw = np.split(found.ensemble_weights.raw, [len(early.fold.test)])
    unmoved = [part_of(made).data.problem.traits.inverse_link(estimator.value_scale_(one)) for one in raw]
    assert np.allclose(early.response, unmoved[0]), "nothing told of a level before the first window"
    assert (late.response > unmoved[1]).all()
    y = made.examples.y[late.fold.test]
    assert abs(y.mean() - late.response.mean()) < abs(y.mean() - unmoved[1].mean())
    dealt = replace(made, examples=replace(made.examples, at=np.repeat(made.examples.at[:1], n)))
    assert searched(dealt, 2).level_shift is None


@pytest.mark.slow
def test_the_ensemble_answers_one_row_as_in_a_batch_with_reasons_that_sum() -> None:
    made = toy("binary", 300)
    found = searched(made, 8)
    estimator, X = found.fitted_fold.estimator, found.fitted_fold.preprocessor.transform(made.examples.X)
    raw, reasons = estimator.decision_function(X), estimator.shap_values(X)
    assert np.abs(reasons.sum(axis=-1) - raw).max() < 1e-9
    for row in (0, 7, 299):
        assert estimator.decision_function(X[row : row + 1])[0] == raw[row]
        assert (estimator.shap_values(X[row : row + 1])[0] == reasons[row]).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_stored_ensemble_answers_as_before(kind: Kind) -> None:
    made = toy(kind, 200)
    found = searched(made, 5)
    again = get_family("ensemble").restore(found.fitted_fold.estimator.files())
    X = found.fitted_fold.preprocessor.transform(made.examples.X)
    assert (again.decision_function(X) == found.fitted_fold.estimator.decision_function(X)).all()
    assert again.files() == found.fitted_fold.estimator.files()


@pytest.mark.slow
def test_logarithms_are_averaged_as_logarithms_and_become_means() -> None:
    made = toy("regression", 400)
    target = replace(made.task.target, log=True)
    Y = np.exp(made.examples.Y - made.examples.Y.mean())
    logs = replace(made, task=replace(made.task, targets=(target,)), examples=replace(made.examples, Y=Y))
    found = searched(logs, 6)
    values = found.fitted_fold.estimator.predict(found.fitted_fold.preprocessor.transform(made.examples.X))
    assert abs(values.mean() / Y.mean() - 1) < 0.15
    assert np.exp(answers(found, logs)).mean() < values.mean()


def test_time_that_is_up_ends_a_search_with_what_there_is() -> None:
    now = iter(np.arange(0.0, 1e4, 0.5))
    part, config = part_of(toy("binary", 200), threads=1), SearchConfig(QUICK, Budget(seconds=60))
    found = search(part, config, Study(STUDY), Deadline(60.0, lambda: float(next(now))))
    assert found.trials
    assert "time was up" in found.stop_reason


def test_a_first_trial_that_takes_all_the_time_is_cut_short_not_thrown_away() -> None:
    part, config = part_of(toy("binary", 200), threads=1), SearchConfig(QUICK, Budget(seconds=1))
    found = search(part, config, Study(STUDY), Deadline(-1.0, lambda: 0.0))
    assert len(found.trials) == 1
    assert found.weights == ((0, 1.0),)


def test_a_trial_behind_others_is_thought_to_wait_for_them() -> None:
    done = [Trial(turn, "linear", {}, (0.5,), ({},), 2.0, False) for turn in range(3)]
    assert [estimate_trial_seconds(done, ahead) for ahead in (0, 1, 2)] == [2.0, 4.0, 6.0]
    assert estimate_trial_seconds([]) == 0.0


def test_a_small_tables_columns_are_cut_finely_and_a_large_ones_coarsely() -> None:
    boosting, small = get_family("boosting"), part_of(toy("binary", 200)).data
    large = replace(small, y=np.zeros(20_000))
    bins = [data.build_request(boosting, {}, 0, 1, data.get_fold(0)).build().max_bin for data in (small, large)]  # type: ignore[attr-defined]
    assert bins == [1024, 256]
    assert small.build_request(boosting, {"max_bin": 64}, 0, 1, small.get_fold(0)).build().max_bin == 64  # type: ignore[attr-defined]


def test_thresholds_far_out_are_found_by_fine_bins() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 3)).astype(np.float32)
    y = (X[:, 0] > np.quantile(X[:, 0], 0.998)).astype(float)
    told = []
    for bins in (choose_max_bin(8000), choose_max_bin(10**6)):
        model = XGBoostEstimator("binary", (False,) * 3, max_bin=bins, default_rounds=60, learning_rate=0.3).fit(
            X[:4000], y[:4000]
        )
        told.append(average_precision(y[4000:], model.predict_proba(X[4000:])[:, 1]))
    assert told[0] > 0.9
    assert told[0] > told[1] + 0.05


def test_the_time_kept_for_the_last_fits_shrinks_to_what_they_may_take() -> None:
    data = part_of(toy("binary", 200, at=daily(200))).data
    assert data.refit
    folds = tuple(0.7 for _ in data.folds)
    quick, slow = (
        [Trial(turn, "linear", {}, folds, ({},) * len(folds), seconds) for turn in range(REFIT_STARTUP_TRIALS)]
        for seconds in (0.1, 100.0)
    )
    kept = [estimate_reserve(data, 100.0, done) for done in ((), quick[:-1], quick, slow)]
    assert kept[0] == kept[1] == kept[3] == pytest.approx(100 * (WEIGHTS_TIME_SHARE + REFIT_TIME_SHARE))
    assert 6.0 < kept[2] < 7.0
    assert estimate_reserve(data, float("inf"), quick) == 0.0


def test_a_clock_is_shared_out() -> None:
    clock = Deadline(100.0, lambda: 40.0)
    assert clock.take_share(0.5).end == 70.0
    assert clock.move_earlier(10).remaining == 50.0
    assert Deadline(None).take_share(0.5).remaining == float("inf")
    assert never_expires() is False


@pytest.mark.parametrize(("trials", "seconds"), [(None, None), (0, None), (None, 0.0)])
def test_a_budget_of_nothing_is_refused(trials: int | None, seconds: float | None) -> None:
    with pytest.raises(UserError, match="budget"):
        Budget(trials, seconds)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.space], ids=lambda family: family.name)
def test_every_starting_point_lies_within_the_space(family) -> None:  # type: ignore[no-untyped-def]
    study = Study(StudyConfig((family,), True))
    for start in family.initial_points:
        suggestion = replace(study.ask(), params=start)
        study.tell(Trial(0, family.name, start, (0.5,), ({},), 0.1), suggestion)
    assert [trial.params for trial in study.trials] == list(family.initial_points)


def test_an_undefined_score_counts_as_a_turn_and_is_never_the_best() -> None:
    study = Study(STUDY)
    for value in (float("nan"), 0.7):
        asked = study.ask()
        study.tell(Trial(asked.number, asked.family, asked.params, (value,), ({},), 0.1), asked)
    assert [trial.pruned for trial in study.trials] == [True, False]


def test_folds_of_a_part_are_positions_within_it() -> None:
    made = toy("binary", 300)
    part = Fold(np.arange(100, 300), np.arange(100))
    found = searched(made, 3, part.train)
    assert watched(found).min() >= 100
    assert len(np.unique(watched(found))) == 200


def test_the_sum_of_forests_is_one_forest() -> None:
    from epic22.core.models.trees.forest import combine_forests

    made = toy("binary", 200)
    X: Array = searched(made, 3).fitted_fold.preprocessor.transform(made.examples.X)
    y = made.examples.y
    problem = LearningProblem.of(made.task)
    forests = [get_family("boosting").build(problem, seed=seed, default_rounds=20).fit(X, y).forest for seed in (0, 1)]  # type: ignore[attr-defined]
    both = combine_forests(forests, [0.25, 0.75])
    assert np.allclose(
        both.decision_function(X), 0.25 * forests[0].decision_function(X) + 0.75 * forests[1].decision_function(X), atol=1e-12
    )
    apart = 0.25 * forests[0].shap_values(X) + 0.75 * forests[1].shap_values(X)
    assert np.allclose(both.shap_values(X), apart, atol=1e-12)


@pytest.mark.slow
def test_a_search_says_whether_more_of_it_would_help() -> None:
    found = searched(toy("binary", 300), 24, prune=False)
    assert "more trials are expected to gain" in found.stopping_decision.reason
    assert not searched(toy("binary", 200), 3).stopping_decision


@pytest.mark.parametrize(("sampling", "turns"), [("bayesian", 6), ("random", 14), ("grid", 14)])
def test_what_learns_nothing_suggests_the_same_whatever_came_before(sampling: Sampling, turns: int) -> None:
    asked: list[list[Suggestion]] = []
    for luck in (0.1, 0.9):
        study = Study(replace(STUDY, sampling=sampling))
        asked.append([])
        for turn in range(15):
            one = study.ask(turn, turn)
            asked[-1].append(one)
            study.tell(Trial(turn, one.family, one.params, ((luck * turn) % 0.7,), ({},), 0.1), one)
    free = [turn for turn in range(15) if study.ignores_history(turn)]
    assert len(free) >= turns
    assert all(asked[0][turn] == asked[1][turn] for turn in free)
    assert (asked[0] == asked[1]) == (sampling != "bayesian")


def test_the_best_trials_are_fitted_again_on_inner_folds_that_are_dealt_anew_where_time_is_left() -> None:
    """The clock stands still, so there is time for all repeats; without an end there is none."""
    made = toy("binary", 200)
    part = part_of(made)
    config = SearchConfig(QUICK, Budget(MAX_TOP_TRIALS), prune=False)
    study = Study(config.build_study_config(made.task.target.metric, 0))
    results = [search(part, config, study, end) for end in (Deadline(None), Deadline(1e6, lambda: 0.0))]
    ensembles = [result.fitted_fold.estimator for result in results]
    n_models = [len(one.members) for one in ensembles if isinstance(one, Ensemble)]
    assert len(results[0].weights) == n_models[0] / len(part.data.folds)
    assert n_models[1] > n_models[0], "each configuration has a model of every dealing, as far as a row's reasons may cost"
    raws = [result.ensemble_weights.raw for result in results]
    assert [len(raw) for raw in raws] == [len(made.examples)] * 2, "what judges the ensemble is one answer a row"


def test_dealt_anew_rows_lie_in_other_folds_and_stay_on_their_side_of_what_is_chosen() -> None:
    part = part_of(toy("binary", 100))
    again = part.deal_again(1)
    assert again.seed != part.data.seed
    assert sorted(again.valid_rows) == sorted(part.data.valid_rows)
    assert [set(one.test) for one in again.folds] != [set(one.test) for one in part.data.folds]
    assert [set(one.test) for one in part.deal_again(1).folds] == [set(one.test) for one in again.folds]
    first = HeldOutScores.collect(part.data, [part.data.valid_rows.astype(float)])
    both = first.add(part.data, [Repeat((), (again.valid_rows.astype(float),), again.valid_rows)])
    assert len(both.y) == 2 * len(first.y)
    for row in range(100):
        assert len(set(both.fold[both.raws[0] == row])) == 1, "a row has one fold, whatever the dealing"
        assert set(both.y[both.raws[0] == row]) == {part.data.y[row]}


def test_windows_of_time_and_means_of_labels_are_dealt_once() -> None:
    part = part_of(toy("binary", 200, at=daily(200)))
    assert part.deal_folds is None
    with pytest.raises(ValueError, match="in one way"):
        part.deal_again(1)


def test_time_is_kept_for_repeats_once_many_trials_are_made_and_as_many_as_fit_into_their_share() -> None:
    data = part_of(toy("binary", 200)).data
    folds = tuple(0.7 for _ in data.folds)

    def reserve(count: int, seconds: float) -> float:
        trials = [Trial(turn, "linear", {}, folds, ({},) * len(folds), seconds) for turn in range(count)]
        return estimate_reserve(data, 100.0, trials, can_repeat=True) - estimate_reserve(data, 100.0, trials)

    assert reserve(MAX_TOP_TRIALS - 1, 0.1) == 0.0
    assert reserve(MAX_TOP_TRIALS, 0.1) == pytest.approx(MAX_REPEATS * MAX_TOP_TRIALS * 0.1)
    assert reserve(MAX_TOP_TRIALS, 0.5) == pytest.approx(2 * MAX_TOP_TRIALS * 0.5), "two fit into three tenths of the time"
    assert reserve(MAX_TOP_TRIALS, 2.0) == 0.0


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_what_judges_a_search_is_of_the_trials_that_serve(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees cost so much that only some trials serve: the weights are then chosen among these alone."""
    made = toy(kind, 200)
    monkeypatch.setattr("epic22.core.selection.search_result.leave_out_costly", partial(leave_out_costly, max_visits=1))
    result = searched(made, 12, prune=False)
    ensemble = result.fitted_fold.estimator
    assert isinstance(ensemble, Ensemble)
    served = {one.family for one in ensemble.members}
    assert {trial.family for trial in result.trials for number, _ in result.weights if trial.number == number} == served
    assert sum(weight for _, weight in result.weights) == pytest.approx(1)
    boosted = [one for one in ensemble.members if one.family == "boosting"]
    assert len(boosted) <= 1, "the bound leaves one model of trees, if any"


def test_folds_whose_last_rows_happen_to_come_one_after_another_do_not_go_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folds of groups do in one of four tables: its models were fitted anew, and moved to the level of the last rows."""
    made = toy("regression", 100, at=daily(100))
    rows = np.arange(100)
    dealt = [rows[(rows % 3 == 0) & (rows < 90)], rows[(rows % 3 == 1) & (rows > 30)]]
    folds = tuple(Fold(np.setdiff1d(rows, test), test) for test in dealt)
    forward = part_of(made)
    assert forward.times is not None
    assert forward.deal_folds is None
    monkeypatch.setattr("epic22.core.selection.search.split_search_folds", lambda *_: folds)
    part = part_of(made)
    assert part.times is None
    assert part.deal_folds is not None


def test_only_models_of_trials_that_may_be_averaged_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.core.selection.trials.MAX_TOP_TRIALS", 3)
    present = list[dict[int, FoldModels]]()

    def note(part: PreparedPart, runner: TrialRunner, study: Study, finished: FinishedTrials, end: Deadline) -> SearchResult:
        present.append(dict(finished.models))
        return build_search_result(part, runner, study, finished, end)

    monkeypatch.setattr("epic22.core.selection.search.build_search_result", note)
    made = toy("binary", 200)
    config = SearchConfig(QUICK, Budget(10), prune=False)
    result = search(part_of(made), config, Study(config.build_study_config(made.task.target.metric, 0)))
    top = {one.number for one in select_top_trials(result.trials, made.task.target.metric.gain)}
    assert set(present[0]) == top
    assert len(top) <= 4 < len(result.trials)


def test_time_that_is_meant_for_the_last_fits_is_not_spent_on_trials_after_those_of_other_processes() -> None:
    made, clock = toy("regression", 200), [0.0]
    part = part_of(made)
    config = SearchConfig(QUICK[:1], Budget(seconds=100))
    study = Study(config.build_study_config(made.task.target.metric, 0, shared=True))

    def tick() -> float:
        clock[0] += 0.1
        return clock[0]

    class Workers:
        """They make a trial, and end when the time for trials is up."""

        def run_trials(
            self, part: PreparedPart, config: SearchConfig, study: Study, deadline: Deadline, progress: Callable[[], None]
        ) -> dict[int, FoldModels]:
            suggestion = study.ask()
            with FoldExecutor(1) as executor:
                fitted = TrialRunner(part.data, config, executor).run(suggestion, (), Deadline(None), True)
            assert fitted is not None
            study.save_scores(fitted.trial, fitted.raw)
            study.tell(fitted.trial, suggestion)
            clock[0] = 85.0
            return {}

    assert len(search(part, config, study, Deadline(100.0, tick), workers=Workers()).trials) == 1
