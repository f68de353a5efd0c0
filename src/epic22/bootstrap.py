"""The only place where the parts meet: settings in, services that work out."""

import getpass
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from polars import DataFrame, Series

from epic22 import __version__
from epic22.adapters.lake import Lake, delta_files, is_delta
from epic22.adapters.mapped_files import canonical_files, mapped_files
from epic22.adapters.mlflow_tracking import MlflowTracker
from epic22.adapters.model_store import ModelStore
from epic22.adapters.openlineage_events import OpenLineageEvents
from epic22.adapters.receipts import ReceiptFiles
from epic22.adapters.scratch import scratch_folder
from epic22.adapters.search_processes import SearchProcesses
from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.config import Settings
from epic22.core.bundle import Bundle
from epic22.core.data.assignment import Assignment, PanelAssignment
from epic22.core.data.batches import ParquetBatches, memory_needed, open_batches
from epic22.core.data.canonical import CANONICAL, guard_notes
from epic22.core.data.health import Finding
from epic22.core.data.leakage import Suspicion
from epic22.core.data.split import SplitRequest, plan_folds
from epic22.core.data.versions import LakeVersion
from epic22.core.errors import FileError, UnknownTaskError, UserError
from epic22.core.evaluation.compare import Verdict
from epic22.core.evaluation.crossval_large import Setting
from epic22.core.evaluation.fairness import Override, PromotionDecision
from epic22.core.lineage import Dataset, DataVersion, ModelVersion, Node, Provenance, Trace, file_sha256
from epic22.core.panel_bundle import PanelBundle
from epic22.core.ports import Lineage, Registry, RunRecord, Tracked, Tracker, Versions
from epic22.core.prediction import Prediction
from epic22.core.task import Rows
from epic22.features.catalog import feature_named
from epic22.features.flat_file import FlatFile, declare, read_rows
from epic22.features.large_file import declare_large, refuse_unfit
from epic22.features.panel_file import PanelFile, declare_panel
from epic22.features.task_file import TaskFile
from epic22.features.task_text import write_task_file
from epic22.features.task_words import Inferred, described
from epic22.services.audit import audit_examples, audit_portfolio
from epic22.services.decide import DecisionList, decide_rows, decide_series
from epic22.services.events import data_datasets, model_dataset, prediction_dataset, source_datasets, table_datasets, told
from epic22.services.explanation import explanation_json
from epic22.services.forecast import PanelEvaluation, PanelRequest, PanelRun, train_panel
from epic22.services.ingest import Ingested, ingest
from epic22.services.lineage import trace
from epic22.services.predict import predict_frame
from epic22.services.predict_panel import SeriesRequest, forecast_all, forecast_series
from epic22.services.train import Gate, TrainingRun, Watch, audit_split, train
from epic22.services.train_large import Size, train_large
from epic22.services.tune import Studies, Tuning

TASK_FILE = "task.yaml"
"""What was asked and inferred, in the folder of a version."""


@dataclass(frozen=True)
class Parts:
    """The parts of a running program."""

    settings: Settings
    registry: Registry
    tracker: Tracker
    versions: Versions
    lineage: Lineage
    receipts: ReceiptFiles


@dataclass(frozen=True)
class Finished:
    """A training that is registered, reported and tracked; of a table of one's own also what was asked and inferred, and where
    that is written."""

    run: TrainingRun
    report: Path
    tracking_id: str
    asked: TaskFile | None = None
    task_file: Path | None = None


def assemble(settings: Settings) -> Parts:
    """The parts on embedded defaults: models and MLflow in EPIC22_HOME."""
    home = settings.home
    events = OpenLineageEvents(home / "lineage" / "events.jsonl", settings.openlineage_url)
    receipts = ReceiptFiles(home / "receipts")
    return Parts(settings, ModelStore(home / "models"), MlflowTracker(home), lake_of(settings), events, receipts)


def studies_of(settings: Settings) -> Studies:
    """Where searches keep their studies, so that one that was interrupted goes on."""
    home, database = settings.home / "studies", settings.database_url
    place = StudyFiles(home) if database is None else StudyDatabase(database, home)

    def crew(count: int, task: str, digest: str) -> SearchProcesses:
        return SearchProcesses(count, place, settings.home / "scratch", task, digest)

    return Studies(place.open, place.forget, crew)


def lake_of(settings: Settings) -> Lake:
    """The versioned tables in EPIC22_HOME."""
    return Lake(settings.home / "lake")


def train_assignment(
    parts: Parts,
    assignment: Assignment,
    split: SplitRequest,
    watch: Watch = Watch(),
    truth: DataFrame | None = None,
    override: Override | None = None,
    engineer: bool = False,
    tuning: Tuning | None = None,
) -> Finished:
    """Train, report, track, and only then promote: a killed process leaves the old champion in place.

    A model that the fairness gate refuses is registered and reported, but not promoted.
    """
    inputs = data_datasets(assignment.data_version, parts.versions)
    with told(parts.lineage, f"train.{assignment.task.name}", inputs) as work:
        finished = _train_rows(parts, assignment, split, watch, truth, override, engineer, tuning)
        work.outputs.append(model_dataset(finished.run.version))
    return finished


def _train_rows(
    parts: Parts,
    assignment: Assignment,
    split: SplitRequest,
    watch: Watch,
    truth: DataFrame | None,
    override: Override | None,
    engineer: bool,
    tuning: Tuning | None,
) -> Finished:
    gate = Gate(override, parts.settings.authorised)
    run = train(assignment, split, parts.registry, parts.settings.threads, watch, truth, gate, engineer, tuning=tuning)
    return _finished(parts, run, split, watch)


def _finished(parts: Parts, run: TrainingRun, split: SplitRequest, watch: Watch) -> Finished:
    """Report and track a run, then promote its model if the gate lets it pass."""
    from epic22.services.explanation_pictures import explanation_pngs
    from epic22.services.pictures import pngs
    from epic22.services.report import write_report

    folder = parts.registry.folder(run.version.task, run.version.version)
    watch.begin("report and tracking", 2)
    report = write_report(run, folder / "report.html")
    looks_at = explanation_pngs(run.explanation)
    keep_explanation(parts, run, looks_at)
    watch.step()
    record = RunRecord(
        version=run.version,
        data_version=run.data_version,
        parameters=_parameters(run, split),
        leaderboard=tuple(Tracked.of(evaluation) for evaluation in run.leaderboard),
        bundle=folder / "bundle",
        report=report,
        pictures=pngs(run) | looks_at,
    )
    tracking_id = _track_and_promote(parts, record, run.verdicts, run.promotion)
    watch.step()
    return Finished(run, report, tracking_id)


def keep_explanation(parts: Parts, run: TrainingRun, pictures: Mapping[str, bytes]) -> None:
    """Keep what the version looks at beside its report, as JSON and pictures; nothing where there is no explanation."""
    if run.explanation is None:
        return
    task, version = run.version.task, run.version.version
    folder = pictures_folder(parts, run.version)
    folder.mkdir(exist_ok=True)
    for name, content in pictures.items():
        (folder / f"{name}.png").write_bytes(content)
    parts.registry.keep_explanation(task, version, explanation_json(run.explanation, run.version))


def pictures_folder(parts: Parts, version: ModelVersion) -> Path:
    """Where the pictures of a version's explanation are."""
    return parts.registry.folder(version.task, version.version) / "explanation"


def explained(parts: Parts, task: str, version: str | None = None) -> tuple[ModelVersion, Mapping[str, Any], Path]:
    """A version (the champion where None), what it looks at, and where the pictures of that are.

    Raises UnknownTaskError where there is no such version, or it has no explanation.
    """
    named = parts.registry.champion(task) if version is None else None
    chosen = named or next((one for one in parts.registry.history(task) if one.version == version), None)
    if chosen is None:
        raise UnknownTaskError(f"task {task!r} has no version {str(version)[:20]!r}.")
    found = parts.registry.explanation(task, chosen.version)
    if found is None:
        raise UnknownTaskError(f"{task} version {chosen.version} has no explanation; train it again for one.")
    return chosen, found, pictures_folder(parts, chosen)


def train_file(
    parts: Parts,
    file: FlatFile,
    split: SplitRequest,
    watch: Watch = Watch(),
    engineer: bool = False,
    tuning: Tuning | None = None,
    asked: TaskFile | None = None,
) -> Finished:
    """Train on the user's own table: whole where that fits under the memory cap, a batch at a time otherwise.

    `asked` is what the file stands for, written beside the version with what was inferred.
    `engineer`: with columns made and chosen inside each fold. Raises UserError where that is asked of a table in batches.
    """
    is_table = is_delta(file.path)
    needed = 0 if is_table else memory_needed(file.path)
    if is_table or needed > parts.settings.memory_cap:
        if tuning is not None:
            raise UserError("a search needs a table that fits under the memory cap; raise --memory-cap or leave it out.")
        if engineer:
            raise UserError("--engineer needs a table that fits under the memory cap; raise --memory-cap or leave it out.")
        large = train_large_file(parts, file, split, Size(needed, parts.settings.memory_cap), watch)
        return with_task_file(parts, large, asked)
    watch.begin(f"reading and auditing {file.path.name}", 1)
    assignment = declare(file)
    watch.step()
    split = replace(split, test_rows=assignment.test_rows)
    finished = train_assignment(parts, assignment, split, watch, engineer=engineer, tuning=tuning)
    return with_task_file(parts, finished, asked)


def with_task_file(parts: Parts, finished: Finished, asked: TaskFile | None) -> Finished:
    """Write what was asked and inferred beside the version; nothing where that is not known."""
    if asked is None:
        return finished
    run = finished.run
    told = described(asked, Inferred(run.task, run.examples.X, run.audit, run.notes))
    path = parts.registry.folder(run.version.task, run.version.version) / TASK_FILE
    write_task_file(told, path)
    return replace(finished, asked=told, task_file=path)


def train_large_file(parts: Parts, file: FlatFile, split: SplitRequest, size: Size, watch: Watch = Watch()) -> Finished:
    """Train on the user's own table (a Parquet or CSV file, or a Delta table's folder) without ever holding it.

    Raises UserError for what is only done with a table that fits.
    """
    refuse_unfit(file)
    batches = ParquetBatches(delta_files(file.path)) if is_delta(file.path) else open_batches(file.path)
    with scratch_folder(parts.settings.home / "scratch") as scratch:
        watch.begin(f"reading and auditing {file.path.name} in batches", 1)
        assignment = declare_large(file, batches, scratch)
        watch.step()
        setting = Setting(parts.settings.threads, size.cap, scratch, split.seed)
        inputs = data_datasets(assignment.data_version, parts.versions)
        with told(parts.lineage, f"train.{assignment.task.name}", inputs) as work:
            gate = Gate(None, parts.settings.authorised)
            run = train_large(assignment, split, parts.registry, setting, size, watch, gate)
            finished = _finished(parts, run, split, watch)
            work.outputs.append(model_dataset(finished.run.version))
    return finished


def train_feature(
    parts: Parts,
    name: str,
    data: int | None = None,
    seed: int = 0,
    watch: Watch = Watch(),
    truth: DataFrame | None = None,
    override: Override | None = None,
    tuning: Tuning | None = None,
    engineer: bool = False,
) -> "Finished | Forecast":
    """Train one of the five capabilities' tasks on a version of the canonical tables, the newest where `data` is None.

    Raises UnknownTaskError for a name that is no feature's, LakeError where there is no such version, ColumnError where its
    tables lack what the task needs.
    """
    feature = feature_named(name)
    watch.begin(f"{name}: reading the tables", 1)
    version = parts.versions.chosen(data)
    sources = tuple((source.name, source.sha256) for source in version.sources)
    assigned = feature.assign(
        feature.task, parts.versions.tables(version.number), DataVersion(version.id, sources, version.number)
    )
    market = parts.versions.scan("market", version.number).collect()
    told = f"data version {version.number} ({version.id[:12]}), complete to {version.end:%Y-%m-%d}"
    assigned = replace(assigned, notes=(told, *guard_notes({"market": market}, version.end), *assigned.notes))
    watch.step()
    if isinstance(assigned, PanelAssignment):
        return train_panel_assignment(parts, assigned, PanelRequest(seed=seed), watch, truth)
    horizon = max(assigned.task.target.horizons, default=0.0)
    return train_assignment(parts, assigned, SplitRequest(horizon=horizon, seed=seed), watch, truth, override, engineer, tuning)


def rows_of_feature(parts: Parts, name: str, at: datetime, entities: Sequence[str], data: int | None = None) -> DataFrame:
    """The inputs of these entities at a moment, as a client of the API would send them: one row each, in their order."""
    feature, version = feature_named(name), parts.versions.chosen(data)
    tables = parts.versions.tables(version.number)
    asked = DataFrame({"entity": list(entities), "cutoff": [at] * len(entities)})
    return feature.task.inputs(tables.as_of(asked)).collect()


def override_by_key(reason: str | None, environment: Mapping[str, str] = os.environ) -> Override | None:
    """The override that the holder of the key in EPIC22_KEY makes with this reason; None without a reason.

    A key's id is the SHA-256 of its text; which ids may override is in EPIC22_AUTHORISED_KEYS. Raises UserError without a key.
    """
    if reason is None:
        return None
    key = environment.get("EPIC22_KEY")
    if not key:
        raise UserError("--override-reason needs an authorised key in EPIC22_KEY.")
    return Override(hashlib.sha256(key.encode()).hexdigest(), reason)


def decide_feature(
    parts: Parts, name: str, at: datetime | None, capacity: int | None, data: int | None = None, watch: Watch = Watch()
) -> DecisionList:
    """The ranked list of a feature's champion at a moment (the end of the data where None) for a capacity (the task's own).

    Raises UnknownTaskError for a name that is no feature's or has no champion, ColumnError where nobody is eligible.
    """
    feature_named(name)
    stored = parts.versions.chosen(data)
    with told(parts.lineage, f"decide.{name}", table_datasets(stored)) as work:
        found = _decide(parts, name, at, capacity, data, watch)
        predictions = [case.prediction for case in found.listed]
        work.inputs.append(model_dataset(found.model))
        work.outputs.append(prediction_dataset(name, predictions))
        parts.receipts.note(found.model, predictions, Node("data version", str(stored.number), f"data version {stored.number}"))
    return found


def _decide(parts: Parts, name: str, at: datetime | None, capacity: int | None, data: int | None, watch: Watch) -> DecisionList:
    feature = feature_named(name)
    watch.begin(f"{name}: reading the tables", 1)
    version = parts.versions.chosen(data)
    assigned = feature.assign(feature.task, parts.versions.tables(version.number), DataVersion(version.id, ()))
    model, bundle = parts.registry.load(name)
    moment = version.end if at is None else at
    if moment > version.end:
        raise UserError(f"--at {moment:%Y-%m-%d} lies after the end of the data ({version.end:%Y-%m-%d}); ingest newer tables.")
    room = capacity or feature.task.capacity or DEFAULT_CAPACITY
    watch.step()
    trained_on = next((v for v in parts.versions.log() if v.id == bundle.data_version), None)
    in_sample = trained_on is not None and moment < trained_on.end
    if isinstance(bundle, PanelBundle) and isinstance(assigned, PanelAssignment):
        return decide_series(model, bundle, assigned, moment, room, in_sample)
    if isinstance(bundle, Bundle) and isinstance(assigned, Assignment):
        return decide_rows(model, bundle, assigned, moment, room, in_sample)
    raise UserError(f"task {name}: the champion is of another kind than the feature; train it again with 'epic22 train {name}'.")


DEFAULT_CAPACITY = 10


@dataclass(frozen=True)
class Forecast:
    """A panel's training that is registered, reported and tracked."""

    run: PanelRun
    report: Path
    tracking_id: str


def train_panel_file(parts: Parts, file: PanelFile, request: PanelRequest, watch: Watch = Watch()) -> Forecast:
    """Train on the user's own panel."""
    watch.begin(f"reading {file.path.name}", 1)
    assignment = declare_panel(file)
    watch.step()
    return train_panel_assignment(parts, assignment, request, watch)


def train_panel_assignment(
    parts: Parts, assignment: PanelAssignment, request: PanelRequest, watch: Watch = Watch(), truth: DataFrame | None = None
) -> Forecast:
    """Train a forecast, report, track, and only then promote."""
    inputs = data_datasets(assignment.data_version, parts.versions)
    with told(parts.lineage, f"train.{assignment.task.name}", inputs) as work:
        finished = _train_series(parts, assignment, request, watch, truth)
        work.outputs.append(model_dataset(finished.run.version))
    return finished


def _train_series(
    parts: Parts, assignment: PanelAssignment, request: PanelRequest, watch: Watch, truth: DataFrame | None
) -> Forecast:
    from epic22.services.forecast_pictures import panel_pngs
    from epic22.services.forecast_report import write_panel_report

    run = train_panel(assignment, request, parts.registry, parts.settings.threads, watch, truth)
    folder = parts.registry.folder(run.version.task, run.version.version)
    watch.begin("report and tracking", 2)
    report = write_panel_report(run, folder / "report.html")
    watch.step()
    record = RunRecord(
        version=run.version,
        data_version=run.data_version,
        parameters=_panel_parameters(run),
        leaderboard=tuple(
            _tracked_forecast(run, e) for e in (run.champion, *(e for e in run.leaderboard if e is not run.champion))
        ),
        bundle=folder / "bundle",
        report=report,
        pictures=panel_pngs(run),
    )
    tracking_id = _track_and_promote(parts, record, run.verdicts)
    watch.step()
    return Forecast(run, report, tracking_id)


def _track_and_promote(
    parts: Parts, record: RunRecord, because: tuple[Verdict, ...], decision: PromotionDecision | None = None
) -> str:
    """Track the run, then, if the gate lets it pass, make it champion and say so; gives the tracker's id of the run.

    Where the model comes from is kept first, and again with the tracker's id, so that a process killed between leaves no orphan.
    """
    provenance = _provenance(parts, record)
    parts.registry.keep_provenance(provenance)
    tracking_id = parts.tracker.record(record)
    parts.registry.keep_provenance(replace(provenance, tracking_id=tracking_id))
    if decision is None or decision.promote:
        with told(parts.lineage, f"promote.{record.version.task}", (model_dataset(record.version),)) as work:
            parts.registry.promote(record.version.task, record.version.version, because, decision)
            parts.tracker.mark_champion(record.version)
            work.outputs.append(Dataset("champion", record.version.task, record.version.version, record.version.model_hash))
    else:
        parts.registry.refuse(record.version.task, record.version.version, decision)
    return tracking_id


def _provenance(parts: Parts, record: RunRecord) -> Provenance:
    version, data = record.version, record.data_version
    before = parts.registry.champion(version.task).version if version.task in parts.registry.tasks() else None
    return Provenance(
        version.task,
        version.version,
        version.model_hash,
        data.id,
        data.number,
        data.sources,
        None,
        __version__,
        record.parameters["seed"],
        version.made_at,
        before,
    )


def trace_back(parts: Parts, x: str) -> Trace:
    """What leads to X and what it led to. Raises UserError where X is unknown or can be several things."""
    return trace(x, parts.versions, parts.registry, parts.receipts)


def _tracked_forecast(run: PanelRun, evaluation: PanelEvaluation) -> Tracked:
    """The pooled scores, the trend's at its horizon, and skill and MASE horizon by horizon."""
    told = [s for s in evaluation.scores if s.horizon == "all" or s.metric.startswith("trend_")]
    horizons = range(1, run.plan.horizon + 1)
    return Tracked(
        evaluation.family,
        {s.metric: (s.value, s.low, s.high) for s in told},
        {f"{m}_horizon": tuple(evaluation.score(m, h).value for h in horizons) for m in ("skill", "mase")},
        evaluation.forecasts.fit_seconds,
        evaluation.forecasts.row_ms,
    )


def _panel_parameters(run: PanelRun) -> dict[str, str]:
    return {
        "champion": run.champion.family,
        "target": run.task.target.name,
        "kind": "quantiles",
        "seed": str(run.seed),
        "folds": "rolling_origin",
        "origins": str(len(run.plan.test)),
        "horizon": str(run.plan.horizon),
        "frequency": run.frequency.name,
        "season": str(run.season),
        "series": str(len(set(run.examples.entity))),
    }


def ingest_folder(
    parts: Parts,
    folder: Path,
    as_of: datetime | None = None,
    source: str | None = None,
    mapping: Path | None = None,
    watch: Watch = Watch(),
) -> Ingested:
    """Take a folder of tables in as the next data version, through a mapping file where the source is foreign.

    Raises FileError where the folder holds no table.
    """
    if not folder.is_dir():
        raise FileError(f"{folder} is no folder; name one with files such as leases.csv in it.")
    incoming = canonical_files(folder, source) if mapping is None else mapped_files(folder, mapping, source)
    if not incoming:
        names = ", ".join(table.name for table in CANONICAL)
        raise FileError(f"{folder}: no file named after a table; expected e.g. leases.csv or leases.parquet, of: {names}.")
    inputs = source_datasets([(one.name, one.sha256) for one in incoming])
    with told(parts.lineage, "ingest", inputs) as work:
        done = ingest(incoming, parts.versions, user(), datetime.now(UTC).replace(tzinfo=None), as_of, watch.begin)
        work.outputs += table_datasets(done.version) if done.version else ()
    return done


def user() -> str:
    """Who runs this program, as the system names him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def task_of_audit(asked: TaskFile, assignment: Assignment, found: tuple[Suspicion, ...]) -> TaskFile:
    """What was asked, with what the audit inferred."""
    return described(asked, Inferred(assignment.task, assignment.examples().X, found, assignment.notes))


def audit_file(
    file: FlatFile, watch: Watch = Watch(), split: SplitRequest | None = None
) -> tuple[Assignment, tuple[Suspicion, ...]]:
    """What the audit finds in the user's own table and in the folds it would get; nothing is stored."""
    watch.begin(f"reading and auditing {file.path.name}", 1)
    assignment = declare(file)
    examples = assignment.examples()
    asked = replace(split or SplitRequest(horizon=file.horizon), repeats=1, test_rows=assignment.test_rows)
    plan = plan_folds(examples, assignment.task.target.kind, asked)
    watch.step()
    return assignment, (*assignment.suspicions, *audit_split(examples, plan))


def audit_stored(parts: Parts, data: int | None = None, watch: Watch = Watch()) -> tuple[LakeVersion, tuple[Finding, ...]]:
    """What is wrong in the tables of a data version, the newest where None, seen also against its parent; nothing is stored."""
    version = parts.versions.chosen(data)
    watch.begin(f"auditing data version {version.number}", 1)
    frames = {table.name: parts.versions.scan(table.name, version.number).collect() for table in CANONICAL}
    before = None
    if version.parent is not None:
        before = {table.name: parts.versions.scan(table.name, version.parent).collect() for table in CANONICAL}
    found = audit_portfolio(frames, before)
    watch.step()
    return version, found


def audit_feature(parts: Parts, name: str, data: int | None = None, watch: Watch = Watch()) -> tuple[Suspicion, ...]:
    """What the inputs of a feature's examples give away; nothing is stored."""
    feature, version = feature_named(name), parts.versions.chosen(data)
    watch.begin(f"auditing the inputs of {name}", 1)
    assigned = feature.assign(feature.task, parts.versions.tables(version.number), DataVersion(version.id, ()))
    found = audit_examples(assigned.task, assigned.examples()) if isinstance(assigned, Assignment) else ()
    watch.step()
    return found


def predict_file(
    parts: Parts,
    task: str,
    path: Path | None,
    version: str | None = None,
    watch: Watch = Watch(),
    with_reasons: bool = True,
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    """Predict every row of a file with a task's champion, or with a version of it.

    For a forecast the file is a panel as it was trained on; without one, every series is forecast from its last known value.

    Raises UserError where rows are to be predicted and no file is named.
    """
    with told(parts.lineage, f"predict.{task}", ()) as work:
        model, predictions = _predict(parts, task, path, version, watch, with_reasons)
        row_from = None if path is None else Node("source", file_sha256(path), str(path))
        work.inputs += () if row_from is None else source_datasets([(row_from.words, row_from.id)])
        work.inputs.append(model_dataset(model))
        work.outputs.append(prediction_dataset(task, predictions))
        parts.receipts.note(model, predictions, row_from)
    return model, predictions


def _predict(
    parts: Parts, task: str, path: Path | None, version: str | None, watch: Watch, with_reasons: bool
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    watch.begin(f"predicting {'all series' if path is None else path.name}", 1)
    model, bundle = parts.registry.load(task, version)
    if isinstance(bundle, PanelBundle):
        return model, forecast_all(model, bundle) if path is None else _forecast_file(model, bundle, path)
    if path is None:
        raise UserError(f"task {task} predicts rows: name the file they are in.")
    return model, predict_frame(model, bundle, read_rows(path, bundle.schema.columns), with_reasons)


def _forecast_file(model: ModelVersion, bundle: PanelBundle, path: Path) -> tuple[Prediction, ...]:
    schema = bundle.schema
    layout: Literal["wide", "long"] = "wide" if schema.layout == "wide" else "long"
    file = PanelFile(
        path, layout, schema.id, schema.time, schema.target, schema.periods, schema.horizon, schema.task, schema.season
    )
    latest = declare_panel(file).now()
    requests = [
        SeriesRequest(str(name), tuple(float(v) for v in values), int(origin))
        for name, values, origin in zip(latest.entity, latest.each(), latest.origin, strict=True)
    ]
    return forecast_series(model, bundle, requests)


def _parameters(run: TrainingRun, split: SplitRequest) -> dict[str, str]:
    return {
        "champion": run.champion.family,
        "target": run.task.target.name,
        "kind": run.task.target.kind,
        "seed": str(split.seed),
        "folds": run.plan.kind,
        "folds_n": str(run.plan.n),
        "folds_repeats": str(run.plan.repeats),
        "gap_days": f"{run.plan.gap:g}",
        "rows": str(run.learned_from),
        "columns": ", ".join(column.name for column in run.bundle.preprocessor.outputs),
    }


def best_possible(run: TrainingRun, truth: Series) -> float:
    """The deciding metric of the true probabilities on the run's own folds: what no honest model can beat but by luck."""
    probabilities, metric = truth.to_numpy(), run.task.target.metric
    scores = [metric.score(run.examples.y[f.test], probabilities[f.test], Rows()) for f in run.plan.folds]
    return float(sum(scores) / len(scores))
