"""The search as a contender in a whole training: nested, and judged by its own folds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.searches import plan
from tests.toy import toy
from tests.trained import table

from epic22.adapters.model_store import ModelStore
from epic22.adapters.studies import StudyFiles
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import SplitRequest
from epic22.core.errors import ColumnError, SplitError
from epic22.core.evaluation.crossval import evaluate
from epic22.core.experiment import Experiment
from epic22.core.progress import Progress
from epic22.core.selection.average import FamilyAverage
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import Study, StudyConfig
from epic22.core.task import Formula, Task
from epic22.services.candidates import NOT_NESTED_WARNING
from epic22.services.pipelines.rows import NO_HONEST_FOLDS, RowPipeline, choose_champion, compare_with_recommended_split
from epic22.services.train import train
from epic22.services.training_run import RowRun
from epic22.services.tune import FINISHING_SECONDS, IncompleteSearchError, NestedSearch, SearchBackend, Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

LINEAR = Tuning(Budget(2), families=("linear",))


def make_pipeline(folder: Path, tuning: Tuning) -> RowPipeline:
    assignment = load_task_data(build_spec(csv=table(folder, "binary", 200), label="y", task="tuned"))
    return RowPipeline(assignment, SplitRequest(n_folds=2, repeats=1), 1, tuning=tuning, with_explanation=False)


def run(folder: Path, tuning: Tuning) -> RowRun:
    return train(make_pipeline(folder, tuning), ModelStore(folder / "models"))


@pytest.mark.slow
def test_every_family_and_the_search_are_judged_by_the_same_folds(tmp_path: Path) -> None:
    found = run(tmp_path, LINEAR)
    assert {"constant", "linear", "boosting", "ensemble"} == {e.family for e in found.leaderboard}
    assert len({e.fingerprint for e in found.leaderboard}) == 1
    assert NOT_NESTED_WARNING not in found.warnings


@pytest.mark.slow
def test_a_search_that_judges_itself_does_so_by_its_inner_folds_and_says_so(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, replace(LINEAR, budget=Budget(2, seconds=60), nested=False))
    made = pipeline.plan(Progress())
    board = pipeline.evaluate(made, Progress())
    assert made.candidates.search is not None
    (result,) = made.candidates.search.results.values()
    ensemble = next(e for e in board if e.family == "ensemble")
    assert [part.response.tolist() for part in ensemble.fold_predictions] == [
        part.response.tolist() for part in result.out_of_fold
    ]
    assert {e.family for e in board} == {"constant", "linear", "boosting", "ensemble"}
    folds = made.preparation.experiment.plan
    assert NOT_NESTED_WARNING in folds.warnings
    assert len(folds.folds) == 5
    tested = np.concatenate([fold.test for fold in folds.folds])
    assert sorted(tested) == list(range(200))
    for part in ensemble.fold_predictions:
        assert not set(part.fold.train) & set(part.fold.test)
    # Weights were chosen on other folds: the better score is taken, as among families.
    champion, _ = choose_champion(made.preparation.experiment, board)
    assert champion is max(board, key=lambda e: e.score(made.preparation.experiment.task.target.metric.name).value)


@pytest.mark.slow
@pytest.mark.parametrize("nested", [True, False])
def test_a_time_limit_that_is_over_leaves_the_best_family_as_it_comes_and_says_what_a_search_takes(
    tmp_path: Path, nested: bool
) -> None:
    late = Deadline(0.0, lambda: 1.0)
    result = run(tmp_path, replace(LINEAR, budget=Budget(seconds=5), deadline=late, nested=nested))
    families = {e.family for e in result.leaderboard}
    assert {"constant", "linear", "boosting"} == families - {"average"}
    assert ("average" in families) == bool(result.average_weights)
    assert nested or not result.average_weights, "the search's own folds judge no average"
    assert result.search_result is None
    (warning,) = [one for one in result.warnings if "--time-limit 5 was too short" in one]
    assert "takes about --time-limit " in warning
    assert ("and of their average" in warning) == ("average" in families)


@pytest.mark.slow
def test_within_a_limit_the_families_come_before_a_search_that_judges_itself_and_columns_are_planned_once(tmp_path: Path) -> None:
    """Planned anew for each of its folds, after the search, they took as long again as the limit."""
    tuning = replace(LINEAR, budget=Budget(1, seconds=600), deadline=Deadline(600.0, lambda: 0.0), nested=False)
    made = replace(make_pipeline(tmp_path, tuning), engineer=True).plan(Progress())
    candidates = made.candidates
    assert candidates.planner is not None
    assert len(candidates.planner.plans) == 1
    *families, search = candidates.members
    assert search.name == "ensemble"
    assert all(candidate.evaluation is not None for candidate in families)
    assert {candidate.name for candidate in families} == {"constant", "boosting"}


@pytest.mark.slow
def test_within_a_limit_the_columns_of_the_champion_are_planned_before_searches_use_it_up(tmp_path: Path) -> None:
    tuning = replace(LINEAR, budget=Budget(2, seconds=60), deadline=Deadline(60.0, lambda: 0.0))
    made = replace(make_pipeline(tmp_path, tuning), engineer=True).plan(Progress())
    assert made.candidates.planner is not None
    planned = made.candidates.planner.plans
    assert len(planned) == len(made.preparation.experiment.plan.folds) + 1
    assert made.preparation.champion_rows.tobytes() in planned


class Clock:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def search_by(clock: Clock, n_families: int = 1) -> NestedSearch:
    """A search with a limit of 1,000 seconds of that clock, whose folds judge it."""
    made = toy("binary", 200)
    tuning = replace(
        LINEAR, budget=Budget(2, seconds=1000), deadline=Deadline(1000.0, clock), families=("linear", "boosting")[:n_families]
    )
    return NestedSearch(tuning, Experiment(made.task, made.examples, plan(made)), lambda train: FeatureRecipe(), False)


def test_a_part_is_not_searched_when_the_time_is_over() -> None:
    clock = Clock()
    searcher = search_by(clock)
    clock.seconds = 1001.0
    with pytest.raises(IncompleteSearchError):
        searcher(searcher.experiment.examples, searcher.experiment.plan.folds[0].train)
    assert not searcher.results


@pytest.mark.slow
def test_a_last_search_that_the_time_cut_short_is_not_the_one_that_was_judged() -> None:
    clock = Clock()
    searcher = search_by(clock)
    examples = searcher.experiment.examples
    for fold in searcher.experiment.plan.folds:
        searcher(examples, fold.train)
    rows = np.arange(len(examples))
    clock.seconds = 1001.0
    assert not searcher.is_comparable(examples, rows)
    clock.seconds = 0.0
    assert searcher.is_comparable(examples, rows)
    key = rows.tobytes()
    searcher.results[key] = replace(searcher.results[key], trials=searcher.results[key].trials[:1])
    assert not searcher.is_comparable(examples, rows)


@pytest.mark.slow
def test_a_search_that_did_not_try_every_family_is_none() -> None:
    searcher = search_by(Clock(), n_families=2)
    searcher = replace(searcher, tuning=replace(searcher.tuning, budget=Budget(seconds=1000)))
    rows = searcher.experiment.plan.folds[0].train
    one = replace(search_by(Clock()).search(searcher.experiment.examples, rows))
    searcher.results[rows.tobytes()] = replace(one, trials=one.trials[:1])
    with pytest.raises(IncompleteSearchError):
        searcher(searcher.experiment.examples, rows)


def test_the_clock_stops_sooner_by_what_judging_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.services.tune.measure_slowness", lambda: 1.0)
    tuning = replace(LINEAR, deadline=Deadline(100.0, lambda: 0.0))
    assert tuning.reserve_time(100_000).deadline.end == pytest.approx(
        100.0 - FINISHING_SECONDS[0] - FINISHING_SECONDS[1] * 100_000
    )


def test_on_a_slow_machine_the_clock_stops_sooner_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.services.tune.measure_slowness", lambda: 3.0)
    tuning = replace(LINEAR, deadline=Deadline(100.0, lambda: 1.0))
    assert tuning.reserve_time(0).deadline.end == pytest.approx(100.0 - 3.0 * FINISHING_SECONDS[0])


TARGET = toy("regression", 200).task.target


def with_target(**changes: Any) -> Task:
    """The task with another target."""
    return replace(toy("regression", 200).task, targets=(replace(TARGET, **changes),))


@pytest.mark.parametrize(
    ("task", "tuning", "plans_columns"),
    [
        (with_target(loss="quantile", quantile=0.9), LINEAR, False),
        (with_target(loss="quantile", quantile=0.1), LINEAR, False),
        (with_target(loss="tweedie", power=1.3), LINEAR, False),
        (with_target(loss="tweedie", power=1.7), LINEAR, False),
        (with_target(log=True), LINEAR, False),
        (replace(with_target(), formulas=(Formula("twice", "load * 2"),)), LINEAR, False),
        (with_target(), LINEAR, True),
        (with_target(), replace(LINEAR, budget=Budget(2, seconds=60)), False),
        (with_target(), replace(LINEAR, sampling="random"), False),
        (with_target(), replace(LINEAR, prune=False), False),
        (with_target(), replace(LINEAR, families=("boosting",)), False),
        (with_target(), replace(LINEAR, n_processes=2), False),
    ],
)
def test_whatever_decides_the_trials_of_a_run_is_in_its_digest(task: Task, tuning: Tuning, plans_columns: bool) -> None:
    made = toy("regression", 200)
    experiment = Experiment(with_target(), made.examples, plan(made))
    digest = LINEAR.compute_digest(experiment)
    assert tuning.compute_digest(replace(experiment, task=task), plans_columns) != digest
    assert LINEAR.compute_digest(Experiment(with_target(), toy("regression", 200).examples, plan(made), threads=3)) == digest


def test_quantiles_and_powers_have_studies_of_their_own() -> None:
    made = toy("regression", 200)
    experiment = Experiment(with_target(), made.examples, plan(made))
    tasks = [with_target(loss="quantile", quantile=share) for share in (0.1, 0.9)]
    tasks += [with_target(loss="tweedie", power=power) for power in (1.3, 1.7)]
    assert len({LINEAR.compute_digest(replace(experiment, task=task)) for task in tasks}) == 4


def test_other_code_or_libraries_begin_a_search_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy("binary", 200)
    experiment = Experiment(made.task, made.examples, plan(made))
    digest = LINEAR.compute_digest(experiment)
    monkeypatch.setattr("epic22.services.tune.compute_environment_digest", lambda: b"other sources")
    assert LINEAR.compute_digest(experiment) != digest


def keep_studies(home: Path, tuning: Tuning = LINEAR) -> Tuning:
    """The same with studies in files."""
    return replace(tuning, backend=SearchBackend(StudyFiles(home / "studies")))


def search_first_part(tuning: Tuning, recipe: FeatureRecipe = FeatureRecipe()) -> SearchResult:
    """The search on the first training part of the toy rows, its columns made by that recipe."""
    made = toy("binary", 200)
    folds = plan(made)
    searcher = NestedSearch(tuning, Experiment(made.task, made.examples, folds), lambda train: recipe, False)
    result = searcher.search(made.examples, folds.folds[0].train)
    # As if the process were killed: its claims end with it.
    store = tuning.backend.studies
    if isinstance(store, StudyFiles):
        while store.claims:
            store.claims.popitem()[1].close()
    return result


@pytest.mark.slow
def test_a_search_under_a_smaller_budget_after_a_kill_is_the_one_that_was_never_killed(tmp_path: Path) -> None:
    for n_trials in (3, 12):
        search_first_part(keep_studies(tmp_path, replace(LINEAR, budget=Budget(n_trials))))
    again = search_first_part(keep_studies(tmp_path, replace(LINEAR, budget=Budget(5))))
    fresh = search_first_part(replace(LINEAR, budget=Budget(5)))
    assert [trial.params for trial in again.trials] == [trial.params for trial in fresh.trials]
    assert again.weights == fresh.weights
    assert again.stop_reason == fresh.stop_reason == "5 trials were run, the limit"
    assert again.fitted_fold.estimator.files() == fresh.fitted_fold.estimator.files()


@pytest.mark.slow
def test_trials_of_other_columns_are_not_taken_for_those_of_these(tmp_path: Path) -> None:
    """Columns that are planned by the clock are planned anew after a kill, and may be others."""
    search_first_part(keep_studies(tmp_path))
    recipe = FeatureRecipe(inputs=("wear", "load"))
    again = search_first_part(keep_studies(tmp_path), recipe)
    fresh = search_first_part(LINEAR, recipe)
    assert [trial.fold_scores for trial in again.trials] == [trial.fold_scores for trial in fresh.trials]
    assert len(list((tmp_path / "studies").glob("*/*/*.journal"))) == 2


@pytest.mark.slow
def test_rows_split_at_random_despite_their_time_leave_no_study_of_the_honest_folds(tmp_path: Path) -> None:
    path = tmp_path / "timed.csv"
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=199), eager=True)
    pl.read_csv(table(tmp_path, "binary", 200)).with_columns(day=days).write_csv(path)
    opened = list[tuple[str, str]]()

    class NotingStudies(StudyFiles):
        def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
            opened.append((task, digest))
            return super().open(task, digest, part, config)

    tuning = replace(LINEAR, backend=SearchBackend(NotingStudies(tmp_path / "studies")))
    data = load_task_data(build_spec(csv=path, label="y", time="day", task="timed"))
    split = SplitRequest(n_folds=2, repeats=1, random_rows_despite_time=True)
    pipeline = RowPipeline(data, split, 1, tuning=tuning, with_explanation=False)
    row_plan, progress = pipeline.plan(Progress()), Progress()
    board = pipeline.evaluate(row_plan, progress)
    ensemble = next(one for one in board if one.family == "ensemble")
    compare_with_recommended_split(row_plan, ensemble, progress)
    assert len(set(opened)) == 2, "both splits were searched"
    tuning.remove_studies("timed")
    assert list((tmp_path / "studies").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_honest_folds_that_no_time_is_left_for_give_no_score_of_a_search_cut_to_nothing(tmp_path: Path, nested: bool) -> None:
    path, clock = tmp_path / "timed.csv", [0.0]
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=199), eager=True)
    pl.read_csv(table(tmp_path, "binary", 200)).with_columns(day=days).write_csv(path)
    tuning = replace(LINEAR, budget=Budget(4, 1000), deadline=Deadline(1000.0, lambda: clock[0]), nested=nested)
    data = load_task_data(build_spec(csv=path, label="y", time="day", task="timed"))
    split = SplitRequest(n_folds=2, repeats=1, random_rows_despite_time=True)
    pipeline = RowPipeline(data, split, 1, tuning=tuning, with_explanation=False)
    row_plan = pipeline.plan(Progress())
    ensemble = next(one for one in pipeline.evaluate(row_plan, Progress()) if one.family == "ensemble")
    assert compare_with_recommended_split(row_plan, ensemble, Progress())
    clock[0] = 2000.0
    assert compare_with_recommended_split(row_plan, ensemble, Progress()) == ()


def run_table(folder: Path, frame: pl.DataFrame, tuning: Tuning, split: SplitRequest = SplitRequest(), **roles: Any) -> RowRun:
    frame.write_csv(folder / "own.csv")
    data = load_task_data(build_spec(csv=folder / "own.csv", label="y", task="own", **roles))
    return train(RowPipeline(data, split, 1, tuning=tuning, with_explanation=False), ModelStore(folder / "models"))


@pytest.mark.slow
@pytest.mark.parametrize("budget", [Budget(2), Budget(seconds=1000)])
def test_where_a_training_part_has_its_positives_in_one_group_no_search_takes_part_and_the_training_goes_on(
    budget: Budget, tmp_path: Path
) -> None:
    """No inner fold of such a part has positives on both sides, so nothing judges a trial."""
    group = np.arange(60) // 6
    x = np.random.default_rng(0).normal(size=60)
    frame = pl.DataFrame({"x": x, "g": [f"g{i}" for i in group], "y": ((group < 2) & (np.arange(60) % 2 == 0)).astype(int)})
    clock = [0.0]

    def tick() -> float:
        clock[0] += 1.0
        return clock[0]

    tuning = replace(LINEAR, budget=budget, deadline=Deadline(budget.seconds, tick))
    result = run_table(tmp_path, frame, tuning, group="g")
    assert "ensemble" not in {one.family for one in result.leaderboard}
    (warning,) = [one for one in result.warnings if "no search takes part" in one]
    assert "average_precision is not defined on the inner folds of a training part" in warning


@pytest.mark.slow
def test_where_no_inner_fold_can_judge_a_search_that_judges_itself_the_folds_of_before_judge_the_families(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise SplitError("nothing can judge it.")

    monkeypatch.setattr("epic22.services.tune.search", refuse)
    result = run(tmp_path, replace(LINEAR, nested=False))
    assert {one.family for one in result.leaderboard} == {"constant", "linear", "boosting"}
    assert len(result.plan.folds) == 2
    assert NOT_NESTED_WARNING not in result.warnings
    assert any("no search takes part: nothing can judge it." in one for one in result.warnings)


@pytest.mark.slow
def test_a_class_that_no_inner_fold_can_learn_is_next_to_impossible_and_ends_no_search(tmp_path: Path) -> None:
    """Ten classes of two rows each: every inner fold of a half learns from fewer classes than it is tested on."""
    x = np.random.default_rng(0).normal(size=(20, 2))
    frame = pl.DataFrame({"x": x[:, 0], "z": x[:, 1], "maker": ["a", "b"] * 10, "y": [f"k{i % 10}" for i in range(20)]})
    result = run_table(tmp_path, frame, LINEAR, SplitRequest(n_folds=2, repeats=1), kind="multiclass")
    assert all(np.isfinite(one.score("log_loss").value) for one in result.leaderboard)


def build_timed_frame(n: int, n_times: int) -> pl.DataFrame:
    rng, times = np.random.default_rng(0), [f"{2020 + i % n_times}-01-01" for i in range(n)]
    return pl.DataFrame({"x": rng.normal(size=n), "t": times, "y": rng.integers(0, 2, n)})


@pytest.mark.slow
def test_rows_of_two_times_are_split_at_random_as_requested_and_the_report_says_that_no_folds_are_honest(tmp_path: Path) -> None:
    split = SplitRequest(n_folds=2, repeats=1, random_rows_despite_time=True)
    result = run_table(tmp_path, build_timed_frame(100, 2), LINEAR, split, time="t")
    assert result.split_comparisons == ()
    assert NO_HONEST_FOLDS in result.warnings


@pytest.mark.slow
def test_of_a_time_limit_half_is_left_for_honest_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidates took all of it, and the honest folds of an average as much again."""
    monkeypatch.setattr("epic22.services.tune.measure_slowness", lambda: 1.0)
    build_timed_frame(200, 200).write_csv(tmp_path / "timed.csv")
    clock = [0.0]
    tuning = replace(LINEAR, budget=Budget(2, 100), deadline=Deadline(100.0, lambda: clock[0]))
    data = load_task_data(build_spec(csv=tmp_path / "timed.csv", label="y", time="t", task="timed"))
    ends = {}
    for is_random in (False, True):
        split = SplitRequest(n_folds=2, repeats=1, random_rows_despite_time=is_random)
        row_plan = RowPipeline(data, split, 1, tuning=tuning, with_explanation=False).plan(Progress())
        assert row_plan.candidates.search is not None
        ends[is_random] = row_plan.candidates.search.tuning.deadline.end
    assert ends[True] == pytest.approx(0.5 * (ends[False] or 0.0))
    constant = next(one for one in row_plan.candidates.members if one.name == "constant")
    average = replace(evaluate(row_plan.preparation.experiment, constant), family="average", fit_seconds=10.0)
    weights = FamilyAverage((("linear", 1.0),), average.fold_predictions)
    row_plan = replace(row_plan, candidates=replace(row_plan.candidates, average=weights))
    assert compare_with_recommended_split(row_plan, average, Progress())
    clock[0] = 80.0
    assert compare_with_recommended_split(row_plan, average, Progress()) == ()


@pytest.mark.slow
def test_a_training_without_a_search_of_its_own_leaves_the_trials_of_one_that_searches(tmp_path: Path) -> None:
    other = make_pipeline(tmp_path, keep_studies(tmp_path))
    made = other.plan(Progress())
    assert made.candidates.search is not None
    made.candidates.search.search(made.preparation.experiment.examples, made.preparation.experiment.plan.folds[0].train)
    late = replace(LINEAR, budget=Budget(seconds=5), deadline=Deadline(0.0, lambda: 1.0))
    run(tmp_path, keep_studies(tmp_path, late))
    run(tmp_path, keep_studies(tmp_path, replace(LINEAR, sampling="random")))
    assert len(list((tmp_path / "studies").glob("*/*/*.journal"))) == 1
    assert other.tuning is not None
    other.tuning.remove_studies("tuned")
    assert list((tmp_path / "studies").iterdir()) == []


def test_a_part_is_searched_once_and_a_larger_budget_is_the_same_study() -> None:
    made = toy("binary", 200)
    folds = plan(made)
    searcher = NestedSearch(LINEAR, Experiment(made.task, made.examples, folds), lambda train: FeatureRecipe(), False)
    train_rows = folds.folds[0].train
    assert searcher(made.examples, train_rows) is searcher(made.examples, train_rows)
    same, other = (replace(LINEAR, budget=Budget(9)), replace(LINEAR, sampling="random"))
    digests = [one.compute_digest(Experiment(made.task, made.examples, folds)) for one in (LINEAR, same, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("family", ["lstm", "transformer", "cnn"])
def test_a_family_that_reads_a_sequence_is_refused_for_a_search_before_anything_is_fitted(family: str) -> None:
    tuning, task = replace(LINEAR, families=("linear", family)), toy("binary", 100).task
    assert family in [one.name for one in tuning.list_families(task)]
    without_steps = replace(task, columns=tuple(replace(column, step=None) for column in task.columns))
    with pytest.raises(ColumnError, match=f"--search-family {family} reads a sequence, and no columns are declared as its steps"):
        tuning.list_families(without_steps)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hazard", "does not predict a label of kind binary"),
        ("constant", "is a baseline, which has nothing to search"),
    ],
)
def test_a_family_that_a_search_would_leave_out_is_refused_beside_others_too(name: str, why: str) -> None:
    with pytest.raises(ColumnError, match=f"--search-family {name} {why}; leave it out"):
        replace(LINEAR, families=("linear", name)).list_families(toy("binary", 100).task)


@pytest.mark.parametrize("name", ["ensemble", "average"])
def test_what_is_made_of_other_families_is_none_to_search(name: str) -> None:
    with pytest.raises(
        ColumnError, match=f"--search-family {name} is made of other families, which a search tries; leave it out"
    ):
        replace(LINEAR, families=("linear", name)).list_families(toy("binary", 100).task)
