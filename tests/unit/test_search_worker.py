"""What another process gets of a search: plain arrays and JSON, from which it makes the same trials."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter
from tests.searches import FAMILIES, part_of, plan
from tests.toy import Toy, toy

from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.errors import InternalError, UnknownTaskError
from epic22.core.evaluation.metrics import ROOT_MEAN_SQUARED_LOG_ERROR, choose_metric
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.models.loss import Loss
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.search import prepare_part
from epic22.core.selection.study import Study, StudyConfig, Suggestion
from epic22.core.selection.trials import SearchConfig, SearchData, TrialRunner
from epic22.core.selection.worker import SearchState, load_worker_models, run_worker, write_search
from epic22.core.task import Array, Kind

CONFIG = SearchConfig(FAMILIES, Budget(3))
SHARED = StudyConfig(FAMILIES, greater_is_better=True, shared=True)


def send(data: SearchData, folder: Path) -> SearchData:
    """The data as another process reads it."""
    return through_json(write_search(data, CONFIG, folder)).read_data(folder)


def through_json(state: SearchState) -> SearchState:
    """The state after it was a line of JSON."""
    adapter = TypeAdapter(SearchState)
    return adapter.validate_json(adapter.dump_json(state))


@contextmanager
def runner_of(data: SearchData, config: SearchConfig = CONFIG) -> Iterator[TrialRunner]:
    """A runner whose executor is open."""
    with FoldExecutor.split(2, len(data.folds)) as executor:
        yield TrialRunner(data, config, executor)


def with_loss(made: Toy, loss: Loss, log: bool = False) -> Toy:
    """The toy with another loss, its labels above zero."""
    target = replace(
        made.task.target,
        loss=loss.name,
        quantile=loss.quantile,
        power=loss.power,
        log=log,
        metric=choose_metric("regression", loss),
    )
    Y = np.exp(made.examples.Y / 10)
    return replace(made, task=replace(made.task, targets=(target,)), examples=replace(made.examples, Y=Y))


def encoded_part(made: Toy) -> SearchData:
    """A part with a column of label means, so that each fold has a matrix of its own."""
    recipe = FeatureRecipe(encodings=(CategoryEncoding("maker", "target", 1),))
    experiment = Experiment(made.task, made.examples, plan(made), threads=2)
    return prepare_part(experiment, np.arange(len(made.examples)), recipe).data


def assert_same_fold(a: SearchData, b: SearchData, number: int) -> None:
    one, other = a.get_fold(number), b.get_fold(number)
    for name in ("X", "y", "X_valid", "y_valid"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_data_read_by_another_process_is_what_was_written(kind: Kind, tmp_path: Path) -> None:
    data = part_of(toy(kind, 200)).data
    read = send(data, tmp_path)
    assert read.problem == data.problem
    assert read.metric == data.metric
    assert (read.refit, read.encodes_labels, read.seed) == (data.refit, data.encodes_labels, data.seed)
    assert np.array_equal(read.X, data.X, equal_nan=True)
    assert np.array_equal(read.y, data.y)
    assert np.array_equal(read.valid_rows, data.valid_rows)
    for number in range(len(data.folds)):
        assert_same_fold(read, data, number)


def test_folds_with_label_means_are_written_each_with_its_own_matrix(tmp_path: Path) -> None:
    data = encoded_part(toy("binary", 200))
    assert data.encodes_labels
    assert data.refit
    read = send(data, tmp_path)
    for number, fold in enumerate(data.folds):
        assert_same_fold(read, data, number)
        assert not np.array_equal(read.get_fold(number).X, data.X[fold.train], equal_nan=True)


def test_nothing_that_is_written_is_a_pickle(tmp_path: Path) -> None:
    write_search(encoded_part(toy("binary", 120)), CONFIG, tmp_path)
    paths = list(tmp_path.iterdir())
    assert {path.suffix for path in paths} == {".npy"}
    for path in paths:
        assert np.load(path, mmap_mode="r", allow_pickle=False).dtype != object


@pytest.mark.parametrize(
    ("loss", "log"),
    [(Loss(), True), (Loss("quantile", 0.8), False), (Loss("poisson"), False), (Loss("tweedie", power=1.3), False)],
)
def test_a_target_with_a_loss_of_its_own_builds_the_same_estimator_there(loss: Loss, log: bool, tmp_path: Path) -> None:
    data = part_of(with_loss(toy("regression", 150), loss, log)).data
    read = send(data, tmp_path)
    assert (read.problem.loss, read.problem.log, read.metric.name) == (loss, log, data.metric.name)
    linear = get_family("linear")
    files = [one.build_request(linear, {}, 0, 1, one.get_fold(0)).fit().estimator.files() for one in (data, read)]
    assert files[0] == files[1]


def test_the_metric_of_logarithms_is_found_by_its_name(tmp_path: Path) -> None:
    data = replace(part_of(with_loss(toy("regression", 120), Loss())).data, metric=ROOT_MEAN_SQUARED_LOG_ERROR)
    assert send(data, tmp_path).metric is ROOT_MEAN_SQUARED_LOG_ERROR


def test_a_metric_that_the_kind_does_not_have_is_refused(tmp_path: Path) -> None:
    state = write_search(part_of(toy("binary", 120)).data, CONFIG, tmp_path)
    with pytest.raises(InternalError, match="'r2'"):
        replace(state, metric="r2").read_data(tmp_path)


def test_what_is_asked_of_a_search_survives_json(tmp_path: Path) -> None:
    config = SearchConfig((get_family("boosting"), get_family("linear")), Budget(7, 90.0), "random", prune=False)
    state = write_search(part_of(toy("binary", 120)).data, config, tmp_path)
    assert through_json(state).build_config() == config
    with pytest.raises(UnknownTaskError, match="unheard-of"):
        replace(state, families=("unheard-of",)).build_config()


@pytest.mark.slow
def test_a_worker_scores_a_trial_exactly_as_the_search_itself_does(tmp_path: Path) -> None:
    data = part_of(toy("binary", 200)).data
    suggestion = Suggestion(0, "boosting", {"max_depth": 3})
    raws: list[Array] = []
    for one in (data, send(data, tmp_path)):
        with runner_of(one) as runner:
            fitted = runner.run(suggestion, (), Deadline(None), is_first=True)
        assert fitted is not None
        raws.append(fitted.raw)
    assert np.array_equal(raws[0], raws[1])


@pytest.mark.slow
def test_a_worker_leaves_scores_and_models_from_which_the_same_scores_come(tmp_path: Path) -> None:
    data = part_of(toy("binary", 200)).data
    study = Study(SHARED)
    with runner_of(data) as runner:
        run_worker(runner, study, Deadline(None), tmp_path)
    assert len(study.trials) == 3
    models = load_worker_models(data, CONFIG, study.trials, tmp_path)
    assert set(models) == {trial.number for trial in study.trials}
    for trial in study.trials:
        raw = [model.decision_function(data.X[fold.test]) for model, fold in zip(models[trial.number], data.folds, strict=True)]
        kept = study.load_scores(trial)
        assert kept is not None
        assert np.abs(np.concatenate(raw) - kept).max() < 1e-5


def test_a_worker_begins_no_trial_when_as_many_as_allowed_were_begun(tmp_path: Path) -> None:
    study = Study(SHARED)
    for _ in range(3):
        study.ask()
    with runner_of(part_of(toy("binary", 120)).data) as runner:
        run_worker(runner, study, Deadline(None), tmp_path)
    assert study.trials == ()
    assert study.count_started() == 3


def test_a_worker_whose_time_is_up_leaves_no_trial_half_done(tmp_path: Path) -> None:
    study = Study(SHARED)
    with runner_of(part_of(toy("binary", 120)).data, SearchConfig(FAMILIES, Budget(seconds=5.0))) as runner:
        run_worker(runner, study, Deadline(-1.0, lambda: 0.0), tmp_path)
    assert study.trials == ()
    assert study.count_started() == 0
    assert list(tmp_path.iterdir()) == []


def test_trials_whose_folds_are_fitted_anew_leave_no_models(tmp_path: Path) -> None:
    data = replace(part_of(toy("binary", 120)).data, refit=True)
    study = Study(SHARED)
    with runner_of(data, SearchConfig(FAMILIES, Budget(1))) as runner:
        run_worker(runner, study, Deadline(None), tmp_path)
    assert len(study.trials) == 1
    assert load_worker_models(data, CONFIG, study.trials, tmp_path) == {}
