"""Training on a table of one's own, on a panel, or on a feature of the stored tables; then report, tracking, promotion."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import singledispatch
from pathlib import Path
from typing import Any, Generic

from polars import DataFrame

from epic22.adapters.checkpoints import CHECKPOINTS, open_checkpoints
from epic22.adapters.fit_files import FITS, open_fit_files
from epic22.adapters.home import refuse_unwritable_home, translate_storage_faults
from epic22.adapters.lake import is_delta, list_delta_files
from epic22.adapters.resource_use import ResourceMeter
from epic22.adapters.scratch import scratch_folder
from epic22.adapters.studies import STUDIES, remove_abandoned_studies
from epic22.adapters.tracking.mlflow_store import ARTIFACTS as RUN_FILES
from epic22.bootstrap.components import Components
from epic22.bootstrap.doctor import train_on_device
from epic22.bootstrap.promotion import save_explanation, track_and_promote
from epic22.bootstrap.stores import MODELS, SCRATCH, is_server, open_fence
from epic22.bootstrap.tracking import build_run_record
from epic22.bootstrap.tuning import build_tuning
from epic22.config import Settings
from epic22.core.data.batches import ParquetBatches, estimate_file_memory, open_batches
from epic22.core.data.folds import SplitRequest
from epic22.core.data.large_examples import compute_batch_rows, estimate_memory, select_eligible_rows
from epic22.core.data.task_data import PanelTaskData, TaskData
from epic22.core.errors import InternalError, UserError
from epic22.core.evaluation.anomaly_detectors import get_detector
from epic22.core.evaluation.crossval_large import TrainingResources
from epic22.core.evaluation.fairness import Override
from epic22.core.lineage import DataVersion
from epic22.core.models.catalog import name_families
from epic22.core.models.panel.catalog import name_panel_families
from epic22.core.progress import Progress, follow_inner_work
from epic22.core.tables.canonical import describe_refused_rents
from epic22.core.task import Task
from epic22.features.catalog import Feature, get_feature
from epic22.services.lineage_events import build_model_dataset, emit_lineage, list_data_datasets
from epic22.services.pipelines.batches import BatchPipeline, MemoryEstimate, build_batched_data, can_train_in_batches
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.pipelines.series import ForecastConfig, SeriesPipeline
from epic22.services.train import AnyPipeline, PromotionGate, RunT, train
from epic22.services.training_run import RowRun, SeriesRun, TrainingRun
from epic22.services.tune import Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.large_file import load_batched_task_data, refuse_unbatchable
from epic22.spec.panel_file import build_panel_file, load_panel_task_data, refuse_long_season
from epic22.spec.task_comments import Inferred, add_inferred
from epic22.spec.task_request import build_split_request, locate_errors, refuse_contradictions
from epic22.spec.task_yaml import refuse_unwritable, write_task_file
from epic22.spec.training_spec import TrainingSpec

TASK_FILE = "task.yaml"
"""What was asked and inferred, in the folder of a version."""


@dataclass(frozen=True)
class TrainingResult(Generic[RunT]):
    """A training that is registered, reported and tracked; of a table of one's own also what was asked and inferred, and where
    that is written."""

    run: RunT
    report: Path
    tracking_id: str
    spec: TrainingSpec = field(default_factory=TrainingSpec)
    task_file: Path | None = None


@dataclass(frozen=True)
class FeatureConfig:
    """How a feature is trained. `truth` is what simulated rows or series are compared with; see the pipelines. `families` are
    those that take part, where they are not the task's own. `device` is where networks are trained. `detectors` of anomalies are
    tried in series, and the slow families `also`."""

    seed: int = 0
    truth: DataFrame | None = None
    override: Override | None = None
    tuning: Tuning | None = None
    engineer: bool = False
    families: tuple[str, ...] = ()
    device: str = "auto"
    detectors: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


def train_file(
    components: Components, spec: TrainingSpec, progress: Progress = Progress(), started_at: float | None = None
) -> TrainingResult[RowRun]:
    """Train on the user's own table: whole where that fits under the memory cap, a batch at a time otherwise.

    A time limit counts from `started_at`, seconds of `time.monotonic`, else from the start of the process.

    What was asked is written beside the version with what was inferred, and where `write_task` says. Raises UserError for what
    cannot be asked together, and for a search or engineered columns of a table in batches; it names the place in the task file.
    """
    write_to = spec.run.write_task
    refuse_unwritable(write_to)
    with locate_errors(spec), translate_storage_faults(components.settings.home):
        refuse_contradictions(spec)
        prepare_home(components, spec.path)
        tuning = build_tuning(components.settings, spec, started_at)
        pipelines, device = _open_file_pipeline(components, spec, tuning, progress), spec.run.device
        with _release_studies(tuning), train_on_device(components.settings, device, progress), pipelines as pipeline:
            result = train_and_promote(components, pipeline, progress, spec)
    if write_to is not None:
        write_task_file(result.spec, write_to)
    return result


@contextmanager
def _release_studies(tuning: Tuning | None) -> Iterator[None]:
    """Let go of a search's studies at the end: where a training failed, a notebook keeps the traceback, and with it what has the
    locks."""
    try:
        yield
    finally:
        if tuning is not None:
            tuning.release_studies()


@contextmanager
def _open_file_pipeline(
    components: Components, spec: TrainingSpec, tuning: Tuning | None, progress: Progress
) -> Iterator[AnyPipeline[RowRun]]:
    settings, split, engineer = components.settings, build_split_request(spec), spec.search.uses_engineering
    is_table, gate = is_delta(spec.path), _build_gate(components)
    needed_bytes = 0 if is_table else estimate_file_memory(spec.path)
    if not is_table and needed_bytes <= settings.memory_cap:
        progress.begin("reading and auditing …", 1, about=spec.path.name)
        data = load_task_data(spec)
        progress.step()
        yield RowPipeline(data, replace(split, test_rows=data.test_rows), settings.threads, gate, engineer, tuning)
        return
    if tuning is not None:
        raise UserError("a search needs a table that fits under the memory cap; raise --memory-cap or leave it out.")
    if engineer:
        raise UserError("--engineer needs a table that fits under the memory cap; raise --memory-cap or leave it out.")
    refuse_unbatchable(spec)
    batches = ParquetBatches(list_delta_files(spec.path)) if is_table else open_batches(spec.path)
    with scratch_folder(settings.home / SCRATCH) as scratch:
        progress.begin("reading and auditing … in batches", 1, about=spec.path.name)
        batched = load_batched_task_data(spec, batches, scratch)
        progress.step()
        memory = MemoryEstimate(needed_bytes, settings.memory_cap)
        setting = TrainingResources(settings.threads, memory.cap, scratch, split.seed)
        yield BatchPipeline(batched, split, setting, memory, gate)


def require_detectors(names: tuple[str, ...]) -> None:
    """Raise UserError for an unknown detector of anomalies, NotInstalledError for one whose library is absent."""
    for name in names:
        get_detector(name).require_libraries()


def prepare_home(components: Components, table: Path | None = None) -> None:
    """Mend the home, and raise StorageError before the work where what it gives could not be written."""
    settings = components.settings
    table_bytes = table.stat().st_size if table is not None and table.is_file() else 0
    refuse_unwritable_home(settings.home, table_bytes, _list_written_folders(settings))
    components.tracker.prepare()


def _list_written_folders(settings: Settings) -> tuple[str, ...]:
    """The folders of the home without which a training ends with nothing: those of models and runs, where these are files."""
    models = (MODELS,) if settings.database_url is None else ()
    runs = () if is_server(settings.database_url) else (RUN_FILES,)
    return (*models, *runs)


def train_panel_file(components: Components, spec: TrainingSpec, progress: Progress = Progress()) -> TrainingResult[SeriesRun]:
    """Train on the user's own panel. Raises UserError for what does not fit."""
    file = build_panel_file(spec)
    require_detectors(spec.forecast.detectors)
    config = ForecastConfig(spec.split.holdout_last, spec.forecast.trend_horizon, spec.split.seed, spec.forecast.detectors)
    with translate_storage_faults(components.settings.home):
        prepare_home(components, file.path)
        progress.begin("reading …", 1, about=file.path.name)
        data = load_panel_task_data(file)
        refuse_long_season(file, data)
        progress.step()
        return train_and_promote(components, SeriesPipeline(data, config, components.settings.threads), progress)


def train_feature(
    components: Components,
    name: str,
    version_number: int | None = None,
    progress: Progress = Progress(),
    config: FeatureConfig = FeatureConfig(),
) -> TrainingResult[Any]:
    """Train one of the five capabilities' tasks on a version of the canonical tables, the newest where `version_number` is None.

    Raises UnknownTaskError for a name that is no feature's, LakeError where there is no such version, ColumnError where its
    tables lack what the task needs.
    """
    feature = get_feature(name)
    require_detectors(config.detectors)
    if config.detectors and feature.task.frequency is None:
        raise UserError(f"--detector: {name} forecasts no series to look for anomalies in; leave it out, or name a forecast.")
    if config.also and feature.task.frequency is None:
        raise UserError(f"--also: {name} forecasts no series; name families of rows with --families.")
    with translate_storage_faults(components.settings.home):
        prepare_home(components)
        return _train_feature(components, feature, version_number, progress, config)


def _train_feature(
    components: Components, feature: Feature, version_number: int | None, progress: Progress, config: FeatureConfig
) -> TrainingResult[Any]:
    data = load_feature_data(components, feature, version_number, progress, config.families, config.also)
    device = train_on_device(components.settings, config.device, progress)
    pipelines = PIPELINES[data.data_type](components, data, config, progress)
    with _release_studies(config.tuning), device, pipelines as pipeline:
        return train_and_promote(components, pipeline, progress)


def load_feature_data(
    components: Components,
    feature: Feature,
    version_number: int | None,
    progress: Progress,
    families: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
) -> TaskData | PanelTaskData:
    """A feature's task on a version of the canonical tables, the newest where `version_number` is None; raced by the families, if
    any are named, with its sequence where one of them reads it; a forecast by its own and those `also` asked for.

    Raises LakeError where there is no such version, ColumnError where its tables lack what the task needs, or a family cannot
    take part.
    """
    is_forecast = feature.task.frequency is not None
    task = name_panel_families(feature.task, families, also) if is_forecast else name_families(feature.task, families)
    progress.begin(f"{feature.task.name}: reading the tables", 1)
    version = components.table_store.resolve_version(version_number)
    sources = tuple((source.name, source.sha256) for source in version.sources)
    data = feature.bind(task, components.table_store.tables(version.number), DataVersion(version.id, sources, version.number))
    market = components.table_store.scan("market", version.number).collect()
    version_note = f"data version {version.number} ({version.id[:12]}), complete to {version.end:%Y-%m-%d}"
    progress.step()
    return replace(data, notes=(version_note, *describe_refused_rents({"market": market}, version.end), *data.notes))


@contextmanager
def open_row_pipeline(
    components: Components, data: TaskData, config: FeatureConfig, progress: Progress
) -> Iterator[AnyPipeline[RowRun]]:
    """The way of a feature's rows: whole where they fit under the memory cap, a batch at a time otherwise.

    Raises UserError for what is only done with rows that fit.
    """
    task, settings, split = data.task, components.settings, build_feature_split(data.task, config.seed)
    gate = _build_gate(components, config.override)
    rows = select_rows_above_cap(data, settings.memory_cap)
    if rows is None:
        yield RowPipeline(data, split, settings.threads, gate, config.engineer, config.tuning, config.truth)
        return
    if config.tuning is not None or config.engineer:
        raise UserError(
            f"{task.name}: its rows exceed the memory cap, so it is neither searched nor engineered; raise --memory-cap."
        )
    with scratch_folder(settings.home / SCRATCH) as scratch:
        progress.begin(f"{task.name}: building {rows.height:,} rows in parts", 1)
        batches = build_batched_data(data, rows, compute_batch_rows(task, settings.memory_cap), scratch, split.seed)
        progress.step()
        setting = TrainingResources(settings.threads, settings.memory_cap, scratch, split.seed)
        memory = MemoryEstimate(estimate_memory(task, rows.height), settings.memory_cap)
        yield BatchPipeline(batches, split, setting, memory, gate)


def build_feature_split(task: Task, seed: int) -> SplitRequest:
    """The split that judges a feature's rows."""
    return SplitRequest(horizon=max(task.target.horizons, default=0.0), seed=seed)


@contextmanager
def open_series_pipeline(
    components: Components, data: PanelTaskData, config: FeatureConfig, progress: Progress
) -> Iterator[AnyPipeline[SeriesRun]]:
    """The way of a feature's series."""
    forecast = ForecastConfig(seed=config.seed, detectors=config.detectors)
    yield SeriesPipeline(data, forecast, components.settings.threads, config.truth)


PIPELINES: Mapping[str, Callable[[Components, Any, FeatureConfig, Progress], AbstractContextManager[AnyPipeline[Any]]]] = {
    TaskData.data_type: open_row_pipeline,
    PanelTaskData.data_type: open_series_pipeline,
}
"""The way from a feature to a model, by the kind of what it is asked on. One more kind is one more line here."""


def select_rows_above_cap(data: TaskData, cap: int) -> DataFrame | None:
    """The eligible rows [entity, cutoff] of a task that is trained a batch at a time; None where it is trained whole."""
    task = data.task
    if not can_train_in_batches(task) or estimate_memory(task, data.cutoffs.height) <= cap:
        return None
    rows = select_eligible_rows(task, data.tables, data.cutoffs, compute_batch_rows(task, cap))
    return rows if estimate_memory(task, rows.height) > cap else None


def train_and_promote(
    components: Components, pipeline: AnyPipeline[RunT], progress: Progress = Progress(), spec: TrainingSpec | None = None
) -> TrainingResult[RunT]:
    """Train, report, track, and only then promote: a killed process leaves the old champion in place.

    A model that the fairness gate refuses, or that is not shown to be as good as the one that serves, is registered and reported,
    but not promoted. What was asked of a table of one's own, its `spec`, is written beside the version with what was inferred.
    """
    data, meter = pipeline.data, ResourceMeter.start()
    inputs = list_data_datasets(data.data_version, components.table_store)
    home, inner_work = components.settings.home, follow_inner_work(progress)
    remove_abandoned_studies(home / STUDIES)
    with (
        emit_lineage(components.lineage, f"train.{data.task.name}", inputs) as work,
        open_checkpoints(home / CHECKPOINTS),
        open_fit_files(home / FITS) as fits,
        inner_work,
        ExitStack() as promotion,
    ):
        run = train(pipeline, components.registry, progress, promotion)
        try:
            result = _report_and_promote(components, run, progress, meter, spec)
        except BaseException:
            # Nobody has seen the version yet, unless it is champion already.
            if components.registry.find_champion(run.version.task) != run.version:
                components.registry.discard(run.version.task, run.version.version)
            raise
        work.outputs.append(build_model_dataset(run.version))
        if fits.n_read:
            progress.note(f"{fits.n_read} fits were there already, of a training that was interrupted.")
    return result


def _report_and_promote(
    components: Components, run: RunT, progress: Progress, meter: ResourceMeter, spec: TrainingSpec | None
) -> TrainingResult[RunT]:
    """Report and track a run, then promote its model if the gate lets it pass."""
    folder = components.registry.folder(run.version.task, run.version.version)
    progress.begin("report and tracking", 2)
    report = write_run_report(run, folder / "report.html")
    save_explanation(components, run, report.explanation_figures)
    progress.step()
    written = None if spec is None else write_run_task_file(run, spec, folder / TASK_FILE)
    figures = {**report.figures, **report.explanation_figures}
    origin = open_fence(components.settings).read_origin()
    record = build_run_record(run, folder, figures, meter, None if written is None else folder / TASK_FILE, origin)
    components.registry.save_files(run.version.task, run.version.version)
    tracking_id = track_and_promote(components, record, run.verdicts, run.promotion)
    progress.step()
    if written is None:
        return TrainingResult(run, report.path, tracking_id)
    return TrainingResult(run, report.path, tracking_id, written, folder / TASK_FILE)


@dataclass(frozen=True)
class WrittenReport:
    """A report and its figures as PNG by name, those of the explanation apart."""

    path: Path
    figures: Mapping[str, bytes]
    explanation_figures: Mapping[str, bytes]


@singledispatch
def write_run_report(run: TrainingRun, path: Path) -> WrittenReport:
    """Write a run's report. Raises InternalError for a kind of run that has none."""
    raise InternalError(f"task {run.task.name}: a run of {run.data_type} has no report.")


@write_run_report.register
def _write_row_report(run: RowRun, path: Path) -> WrittenReport:
    from epic22.reports.figures.explanation import draw_explanation_figures
    from epic22.reports.figures.style import render_pngs
    from epic22.reports.figures.training import draw_figures
    from epic22.reports.html.training import write_report

    figures, explanation_figures = draw_figures(run), draw_explanation_figures(run.explanation)
    write_report(run, path, {**figures, **explanation_figures})
    return WrittenReport(path, render_pngs(figures), render_pngs(explanation_figures))


@write_run_report.register
def _write_series_report(run: SeriesRun, path: Path) -> WrittenReport:
    from epic22.reports.figures.forecast import FORECAST_FIGURES
    from epic22.reports.figures.style import draw_figures, render_pngs
    from epic22.reports.html.forecast import write_forecast_report

    figures = draw_figures(FORECAST_FIGURES, run)
    write_forecast_report(run, path, figures)
    return WrittenReport(path, render_pngs(figures), {})


def write_run_task_file(run: TrainingRun, spec: TrainingSpec, path: Path) -> TrainingSpec:
    """What was asked and inferred, which is written to the path. Raises InternalError for a run that is not of rows."""
    if not isinstance(run, RowRun):
        raise InternalError(f"task {run.task.name}: a run of {run.data_type} has no task file.")
    full_spec = add_inferred(spec, Inferred(run.task, run.examples.X, run.audit, run.notes))
    write_task_file(full_spec, path)
    return full_spec


def _build_gate(components: Components, override: Override | None = None) -> PromotionGate:
    return PromotionGate(override, components.settings.authorised)
