"""Single trials: what they score, when they are pruned, and which of them may be averaged."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.searches import FAMILIES, part_of, plan, searched
from tests.toy import toy

from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.evaluation.inner_folds import split_search_folds
from epic22.core.experiment import Experiment
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.racing import Rivals, build_rivals
from epic22.core.selection.search import prepare_part, search
from epic22.core.selection.study import MemoryStudies, Study, StudyConfig, Suggestion, Trial
from epic22.core.selection.trials import (
    MAX_TOP_TRIALS,
    SearchConfig,
    SearchData,
    TrialRunner,
    select_complete,
    select_top_trials,
)
from epic22.core.task import Array, Formula, RowMetadata

LINEAR = Suggestion(4, "linear", {"penalty": 0.1})


@contextmanager
def runner_of(data: SearchData, prune: bool = True) -> Iterator[TrialRunner]:
    with FoldExecutor.split(2, len(data.folds)) as executor:
        yield TrialRunner(data, SearchConfig(FAMILIES, Budget(9), prune=prune), executor)


def gain(a: float, b: float) -> float:
    return a - b


def test_a_trial_scores_each_fold_by_rows_its_model_did_not_see() -> None:
    data = part_of(toy("binary", 200)).data
    with runner_of(data) as runner:
        fitted = runner.run(LINEAR, (), Deadline(None), is_first=True)
    assert fitted is not None
    assert len(fitted.models) == len(fitted.trial.fold_scores) == len(data.folds)
    begin = 0
    for fold, model, score in zip(data.folds, fitted.models, fitted.trial.fold_scores, strict=True):
        assert not set(fold.train) & set(fold.test)
        raw = model.decision_function(data.X[fold.test])
        assert np.array_equal(raw, fitted.raw[begin : begin + len(fold.test)])
        response = data.problem.traits.inverse_link(raw)
        assert score == data.metric.score(data.y[fold.test], response, RowMetadata())
        begin += len(fold.test)


def rivals_with(data: SearchData, raw: Array) -> Rivals:
    """One rival that has these scores of the first fold's validation rows."""
    return build_rivals(data.problem, data.y[data.folds[0].test], [raw])


def test_a_trial_that_is_certainly_behind_in_the_first_fold_sees_no_other() -> None:
    data = part_of(toy("binary", 200)).data
    perfect = np.where(data.y[data.folds[0].test] > 0, 9.0, -9.0)
    with runner_of(data) as runner:
        fitted = runner.run(LINEAR, (), Deadline(None), is_first=False, rivals=rivals_with(data, perfect))
    assert fitted is not None
    assert fitted.trial.pruned
    assert len(fitted.trial.fold_scores) == len(fitted.trial.best_params) == 1
    assert fitted.trial.end == "after the first inner fold"


def test_a_trial_that_keeps_up_in_the_first_fold_sees_all() -> None:
    data = part_of(toy("binary", 200)).data
    nothing = np.zeros(len(data.folds[0].test))
    with runner_of(data) as runner:
        fitted = runner.run(LINEAR, (), Deadline(None), is_first=False, rivals=rivals_with(data, nothing))
    assert fitted is not None
    assert (fitted.trial.pruned, len(fitted.trial.fold_scores)) == (False, len(data.folds))


def test_no_trial_races_where_none_is_to_be_pruned_or_none_is_complete() -> None:
    data = part_of(toy("binary", 200)).data
    study = Study(StudyConfig(FAMILIES, True))
    with runner_of(data) as runner:
        assert runner.build_rivals(study, ()) is None
        fitted = runner.run(LINEAR, (), Deadline(None), is_first=True)
        assert fitted is not None
        assert runner.build_rivals(study, [fitted.trial]) is not None
    with runner_of(data, prune=False) as runner:
        assert runner.build_rivals(study, [fitted.trial]) is None


def test_a_comparison_with_rivals_needs_no_scores_that_were_kept() -> None:
    data, study = part_of(toy("binary", 200)).data, Study(StudyConfig(FAMILIES, True))
    with runner_of(data) as runner:
        fitted = runner.run(LINEAR, (), Deadline(None), is_first=True)
        assert fitted is not None
        rivals = runner.build_rivals(study, [fitted.trial])
    assert rivals is not None
    assert np.array_equal(rivals.best, fitted.raw[: len(data.folds[0].test)])


def test_a_trial_whose_other_folds_would_outlast_the_time_ends_with_the_first() -> None:
    data, soon = part_of(toy("binary", 200)).data, Deadline(1e-9, lambda: 0.0)
    nothing = np.zeros(len(data.folds[0].test))
    with runner_of(data) as runner:
        fitted = runner.run(LINEAR, (), soon, is_first=False, rivals=rivals_with(data, nothing))
    assert fitted is not None
    assert (fitted.trial.pruned, len(fitted.trial.fold_scores)) == (True, 1)


def test_a_trial_that_outlasts_the_time_is_dropped_unless_it_is_the_first() -> None:
    data, over = part_of(toy("binary", 120)).data, Deadline(-1.0, lambda: 0.0)
    with runner_of(data) as runner:
        assert runner.run(LINEAR, (), over, is_first=False) is None
        assert runner.run(LINEAR, (), over, is_first=True) is not None


def test_a_trial_fitted_again_gives_the_same_models_and_scores() -> None:
    data = part_of(toy("regression", 150)).data
    with runner_of(data) as runner:
        fitted = runner.run(LINEAR, (), Deadline(None), is_first=True)
        assert fitted is not None
        again = runner.refit(fitted.trial)
    assert np.array_equal(again.raw, fitted.raw)
    assert [model.files() for model in again.models] == [model.files() for model in fitted.models]


def test_an_inner_folds_rows_are_made_once() -> None:
    data = part_of(toy("binary", 120)).data
    assert data.get_fold(0) is data.get_fold(0)
    assert data.get_fold(0) is not data.get_fold(1)


def test_a_parts_folds_are_those_that_the_split_makes_of_its_rows() -> None:
    made = toy("binary", 200)
    rows = np.arange(50, 200)
    part = part_of(made, rows)
    inner = split_search_folds(Experiment(made.task, made.examples, plan(made)), rows)
    assert [rows[fold.test].tolist() for fold in part.data.folds] == [fold.test.tolist() for fold in inner]


def test_whatever_decides_the_trials_of_a_part_is_in_the_name_of_its_study() -> None:
    made = toy("binary", 200)
    rows = np.arange(50, 200)
    X = made.examples.X
    experiment = Experiment(made.task, made.examples, plan(made))
    first, *others = (column.name for column in made.task.input_columns)
    other_label = replace(made.examples, Y=1 - made.examples.Y)
    other_column = replace(made.examples, X=X.with_columns(pl.col(first) * 2))
    encoding = CategoryEncoding("maker", "target", 1)
    names = [
        prepare_part(experiment, rows).name,
        prepare_part(experiment, rows[1:]).name,
        prepare_part(replace(experiment, seed=3), rows).name,
        prepare_part(replace(experiment, examples=other_label), rows).name,
        prepare_part(replace(experiment, examples=other_column), rows).name,
        prepare_part(experiment, rows, FeatureRecipe(inputs=tuple(others))).name,
        prepare_part(experiment, rows, FeatureRecipe(formulas=(Formula("twice", f"{first} * 2"),))).name,
        prepare_part(experiment, rows, FeatureRecipe(encodings=(encoding,))).name,
    ]
    assert len(set(names)) == len(names)
    assert prepare_part(replace(experiment, threads=7), rows.copy()).name == names[0]


@pytest.mark.slow
@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=60),
    families=st.lists(st.sampled_from(["linear", "boosting", "catboost"]), min_size=60, max_size=60),
)
def test_top_trials_are_the_best_and_the_best_of_each_family(values: list[float | None], families: list[str]) -> None:
    trials = [
        Trial(i, families[i], {}, (0.0 if value is None else value,), ({},), 1.0, pruned=value is None)
        for i, value in enumerate(values)
    ]
    complete, top = select_complete(trials), select_top_trials(trials, gain)
    assert not any(trial.pruned for trial in top)
    assert len({trial.number for trial in top}) == len(top)
    assert len(top) >= min(len(complete), MAX_TOP_TRIALS)
    left = [trial.value for trial in complete if trial not in top]
    best = top[: min(len(complete), MAX_TOP_TRIALS)]
    assert all(one.value >= max(left, default=-math.inf) for one in best)
    for family in {trial.family for trial in complete}:
        highest = max(trial.value for trial in complete if trial.family == family)
        assert any(trial.family == family and trial.value == highest for trial in top)


@pytest.mark.slow
def test_progress_is_told_of_trials_that_an_interrupted_search_had_finished() -> None:
    part, study, steps = part_of(toy("binary", 120)), Study(StudyConfig(FAMILIES, True)), list[int]()
    search(part, SearchConfig(FAMILIES, Budget(2)), study, progress=lambda: steps.append(1))
    assert len(steps) == 2
    resumed = search(part, SearchConfig(FAMILIES, Budget(3)), study, progress=lambda: steps.append(1))
    assert len(steps) == 2 + 3
    assert resumed.stop_reason == "3 trials were run, the limit"


@pytest.mark.slow
def test_a_resumed_search_without_kept_models_fits_only_what_it_averages() -> None:
    part, study = part_of(toy("binary", 120)), Study(StudyConfig(FAMILIES, True))
    config = SearchConfig(FAMILIES, Budget(3))
    whole = search(part, config, study)
    again = search(part, config, study)
    assert again.weights == whole.weights
    assert again.fitted_fold.estimator.files() == whole.fitted_fold.estimator.files()


def test_studies_in_memory_are_new_each_time_they_are_opened() -> None:
    studies, config = MemoryStudies(), StudyConfig(FAMILIES, True)
    first = studies.open("toy", "digest", "part", config)
    first.tell(Trial(0, "linear", {}, (0.5,), ({},), 0.1), first.ask())
    studies.claim("toy", "digest")
    studies.remove_claimed("toy")
    assert studies.open("toy", "digest", "part", config).trials == ()


def test_what_a_study_is_opened_with_follows_from_what_is_asked_and_the_metric() -> None:
    config = SearchConfig(FAMILIES, Budget(2), "random")
    higher, lower = (toy(kind).task.target.metric for kind in ("binary", "regression"))
    assert config.build_study_config(higher, 3) == StudyConfig(FAMILIES, True, 3, "random", shared=False)
    assert config.build_study_config(lower, 3, shared=True) == StudyConfig(FAMILIES, False, 3, "random", shared=True)


def test_a_member_of_a_forward_search_is_fitted_on_every_row_of_the_part() -> None:
    made = toy("binary", 120)
    part = part_of(made)
    refitted = replace(part, data=replace(part.data, refit=True))
    config = SearchConfig(FAMILIES, Budget(1))
    result = search(refitted, config, Study(StudyConfig(FAMILIES, True)))
    trial = result.trials[0]
    family = next(one for one in FAMILIES if one.name == trial.family)
    alone = family.build(LearningProblem.of(made.task), seed=0, threads=1, **{**family.defaults_for(120), **trial.params})
    alone.fit(part.data.X, part.data.y)
    raw = result.fitted_fold.estimator.decision_function(part.data.X)
    assert len(raw) == 120
    kept = searched(made, 1).fitted_fold.estimator.decision_function(part.data.X)
    assert np.abs(raw - alone.decision_function(part.data.X)).max() < np.abs(kept - alone.decision_function(part.data.X)).max()
