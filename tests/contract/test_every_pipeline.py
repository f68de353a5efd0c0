"""What every way from data to a model must do: its steps, done again, and what a training leaves behind."""

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from tests.folders import folder_of_process
from tests.panels import lines, wide_file
from tests.toy import inputs, labels

from epic22.adapters.fit_files import open_fit_files
from epic22.adapters.model_store import ModelStore
from epic22.bootstrap.training import PIPELINES
from epic22.core.artifact.model import Model
from epic22.core.data.batches import open_batches
from epic22.core.data.folds import SplitRequest
from epic22.core.errors import BundleError, ColumnError
from epic22.core.evaluation.crossval_large import TrainingResources
from epic22.core.progress import Progress, ProgressEvent, Stage, StageFinished, StageStarted, WorkAdvanced, WorkStarted
from epic22.core.serialization import to_json
from epic22.core.time_series import MONTHLY
from epic22.reports.json import VIEWS
from epic22.services.pipelines.batches import BatchPipeline, MemoryEstimate
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.pipelines.series import ForecastConfig, SeriesPipeline
from epic22.services.train import AnyPipeline, register, train
from epic22.services.training_run import TrainingRun
from epic22.spec.flat_file import load_task_data
from epic22.spec.large_file import load_batched_task_data
from epic22.spec.panel_file import PanelFile, load_panel_task_data
from epic22.spec.training_spec import build_spec

STAGES = get_args(Stage)
MEMORY = MemoryEstimate(2, 1)
pytestmark = pytest.mark.slow


def toy_file(folder: Path, n: int = 240) -> Path:
    X = inputs(n, 0)
    path = folder / "toy.parquet"
    X.with_columns(pl.Series("y", ["yes" if v else "no" for v in labels(X, "binary", 0)])).write_parquet(path)
    return path


def row_pipeline(folder: Path) -> AnyPipeline[Any]:
    data = load_task_data(build_spec(csv=toy_file(folder), label="y", task="toy"))
    quick = replace(data, task=replace(data.task, families=("constant", "linear")))
    return RowPipeline(quick, SplitRequest(n_folds=2, repeats=1), threads=1)


def batch_pipeline(folder: Path) -> AnyPipeline[Any]:
    spec, scratch = build_spec(csv=toy_file(folder, 600), label="y", task="toy"), folder / "scratch"
    scratch.mkdir()
    data = load_batched_task_data(spec, open_batches(spec.path), scratch)
    return BatchPipeline(data, SplitRequest(n_folds=2, repeats=1), TrainingResources(1, 1, scratch, 0), MEMORY)


def series_pipeline(folder: Path) -> AnyPipeline[Any]:
    path = wide_file(folder, lines(series=4, periods=60))
    families = ("naive", "drift", "damped_drift")
    file = PanelFile(path, "wide", ("zip",), "month", "rent", MONTHLY, 2, "toy", season=1, families=families)
    return SeriesPipeline(load_panel_task_data(file), ForecastConfig(6), threads=1)


BUILD: dict[str, Callable[[Path], AnyPipeline[Any]]] = {
    "rows": row_pipeline,
    "batches": batch_pipeline,
    "series": series_pipeline,
}
every = pytest.mark.parametrize("way", BUILD)


@cache
def trained_once(way: str) -> tuple[TrainingRun, list[ProgressEvent], ModelStore]:
    """A training that tests only look at."""
    folder, events = folder_of_process(), list[ProgressEvent]()
    store = ModelStore(folder / "models")
    return train(BUILD[way](folder), store, Progress(events.append)), events, store


def test_a_kind_that_a_feature_can_be_of_has_a_way_here(tmp_path: Path) -> None:
    assert {"rows", "panel"} == set(PIPELINES)


@every
def test_every_step_begins_and_ends_once_in_its_order(way: str) -> None:
    _, events, _ = trained_once(way)
    stages = [event for event in events if isinstance(event, StageStarted | StageFinished)]
    assert stages == [mark(stage) for stage in STAGES for mark in (StageStarted, StageFinished)]


@every
def test_no_work_advances_before_it_began_or_beyond_its_steps(way: str) -> None:
    _, events, _ = trained_once(way)
    remaining: dict[int, int] = {}
    for event in events:
        match event:
            case WorkStarted(_, steps, _, depth):
                remaining[depth] = steps
            case WorkAdvanced(depth):
                remaining[depth] -= 1
        assert min(remaining.values(), default=0) >= 0, event


@every
def test_families_and_their_folds_are_told_in_numbers(way: str) -> None:
    _, events, _ = trained_once(way)
    families = [event for event in events if isinstance(event, WorkStarted) and event.unit == "family"]
    folds = [event for event in events if isinstance(event, WorkStarted) and event.unit == "fold" and event.depth == 1]
    assert len(families) == 1
    assert families[0].steps == len(folds) >= 2


@every
def test_a_step_done_again_gives_the_same_model(way: str, tmp_path: Path) -> None:
    pipeline, progress = BUILD[way](tmp_path), Progress()
    plan = pipeline.plan(progress)
    board = [pipeline.evaluate(plan, progress) for _ in range(2)]
    choices = [pipeline.select(plan, one, progress) for one in board]
    packages = [pipeline.package(plan, one, pipeline.fit(plan, one, progress), first_model=True) for one in choices]
    assert packages[0].bundle.model_hash == packages[1].bundle.model_hash
    again = pipeline.plan(progress)
    choice = pipeline.select(again, pipeline.evaluate(again, progress), progress)
    package = pipeline.package(again, choice, pipeline.fit(again, choice, progress), first_model=True)
    assert package.bundle.model_hash == packages[0].bundle.model_hash


class InterruptionError(Exception):
    """What stands for a kill."""


@every
def test_one_that_was_interrupted_makes_no_fit_twice_and_ends_in_the_same_model(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epic22.core.fit_store.MIN_SECONDS", 0.0)
    undisturbed, _, _ = trained_once(way)
    pipeline, progress, fits = BUILD[way](tmp_path), Progress(), tmp_path / "fits"
    with suppress(InterruptionError), open_fit_files(fits):
        plan = pipeline.plan(progress)
        selection = pipeline.select(plan, pipeline.evaluate(plan, progress), progress)
        pipeline.fit(plan, selection, progress)
        raise InterruptionError
    left = {path: path.stat().st_mtime_ns for path in fits.iterdir()}
    with suppress(InterruptionError), open_fit_files(fits) as files:
        run = train(pipeline, ModelStore(tmp_path / "models"))
        raise InterruptionError
    assert files.n_read == len(left) > 4
    assert {path: path.stat().st_mtime_ns for path in fits.iterdir()} == left
    assert run.version.model_hash == undisturbed.version.model_hash


@every
def test_the_model_is_registered_and_opens_as_it_was_packed_but_is_not_promoted(way: str) -> None:
    run, _, store = trained_once(way)
    model: Model = store.load("toy", run.version.version)
    assert model.data_type == run.data_type
    assert model.bundle.model_hash == run.version.model_hash
    assert model.schema.task == run.task.name
    assert store.list_tasks() == ()


def spoil(folder: Path) -> None:
    """Change a byte in the middle of the model."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    name = next(name for name in sorted(manifest["files"]) if name.startswith("model/"))
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    (folder / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@every
def test_an_artifact_that_does_not_open_is_not_registered_and_the_champion_stays(way: str, tmp_path: Path) -> None:
    pipeline, store, progress = BUILD[way](tmp_path), ModelStore(tmp_path / "models"), Progress()
    plan = pipeline.plan(progress)
    selection = pipeline.select(plan, pipeline.evaluate(plan, progress), progress)
    package = pipeline.package(plan, selection, pipeline.fit(plan, selection, progress), first_model=True)
    version = register(package, store)
    store.promote("toy", version.version, ())

    def write(folder: Path) -> None:
        package.write(folder)
        spoil(folder)

    with pytest.raises(BundleError, match="altered"):
        register(replace(package, write=write), store)
    other = replace(package, bundle=replace(package.bundle, model_hash="0" * 64))
    with pytest.raises(BundleError, match="another model"):
        register(other, store)
    assert store.list_versions("toy") == (version,)
    assert store.load("toy").version == version


@every
def test_a_training_done_again_is_compared_with_the_version_that_serves_and_may_take_its_place(way: str, tmp_path: Path) -> None:
    store, pipeline = ModelStore(tmp_path / "models"), BUILD[way](tmp_path)
    first = train(pipeline, store)
    assert first.promotion is None or first.promotion.challenge is None
    store.promote("toy", first.version.version, first.verdicts)
    evaluation, held_out = store.load_evaluation("toy", "1"), store.load_held_out("toy", "1")
    assert evaluation is not None
    assert held_out is not None
    assert 0 < evaluation.rows <= len(held_out.row_hashes)
    second = train(pipeline, store)
    assert second.promotion is not None
    assert second.promotion.challenge is not None
    assert (second.promotion.promote, second.promotion.challenge.champion) == (True, "1")
    assert "the same" in second.promotion.challenge.why


def test_of_trainings_at_once_the_later_one_is_compared_with_what_the_earlier_one_promoted(tmp_path: Path) -> None:
    store, pipelines = ModelStore(tmp_path / "models"), [row_pipeline(tmp_path) for _ in range(2)]
    compares, runs = Event(), list[TrainingRun]()

    def train_later() -> None:
        def listen(event: ProgressEvent) -> None:
            if event == StageStarted("package"):
                compares.set()

        with ExitStack() as promotion:
            runs.append(train(pipelines[1], store, Progress(listen), promotion))

    with ExitStack() as promotion:
        first = train(pipelines[0], store, promotion=promotion)
        later = Thread(target=train_later)
        later.start()
        compares.wait()
        later.join(0.5)
        assert later.is_alive(), "it waits: what it would be compared with is not decided"
        store.promote("toy", first.version.version, first.verdicts)
    later.join()
    assert first.promotion is None or first.promotion.challenge is None
    assert runs[0].promotion is not None
    assert runs[0].promotion.challenge is not None
    assert runs[0].promotion.challenge.champion == first.version.version


@every
def test_a_run_says_what_a_tracker_and_json_need_of_it(way: str) -> None:
    run, _, _ = trained_once(way)
    families = run.record_families()
    assert run.describe_parameters()["champion"] in {family.family for family in families}
    assert run.describe_parameters()["seed"] == str(run.seed)
    assert all(np.isfinite(family.fit_seconds) or np.isnan(family.fit_seconds) for family in families)
    document = to_json(run, VIEWS)
    assert document["task"] == "toy"
    assert document["model_hash"] == run.version.model_hash
    assert {verdict["against"] for verdict in document["verdicts"]} == {verdict.against for verdict in run.verdicts}


def test_a_step_that_fails_is_not_said_to_be_finished() -> None:
    events: list[ProgressEvent] = []
    progress = Progress(events.append)
    with pytest.raises(ColumnError), progress.stage("fit"):
        raise ColumnError("no series")
    assert events == [StageStarted("fit")]
