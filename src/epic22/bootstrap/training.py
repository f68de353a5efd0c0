"""Training on rows: a table of one's own, whole or in batches, or a feature on the stored tables."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from polars import DataFrame

from epic22.adapters.lake import is_delta, list_delta_files
from epic22.adapters.scratch import scratch_folder
from epic22.bootstrap.components import Components
from epic22.bootstrap.panel_training import ForecastResult, train_panel_data
from epic22.bootstrap.promotion import save_explanation, track_and_promote
from epic22.bootstrap.tuning import build_tuning
from epic22.core.data.batches import ParquetBatches, estimate_file_memory, open_batches
from epic22.core.data.folds import SplitRequest
from epic22.core.data.large_examples import compute_batch_rows, estimate_memory, select_eligible_rows
from epic22.core.data.task_data import PanelTaskData, TaskData
from epic22.core.errors import UserError
from epic22.core.evaluation.crossval_large import TrainingResources
from epic22.core.evaluation.fairness import Override
from epic22.core.lineage import DataVersion
from epic22.core.ports import FamilyRecord, RunRecord
from epic22.core.tables.canonical import describe_refused_rents
from epic22.features.catalog import get_feature
from epic22.services.batched_data import build_batched_data, can_train_in_batches
from epic22.services.lineage_events import data_datasets, emit_lineage, model_dataset
from epic22.services.progress import Progress
from epic22.services.train import PromotionGate, TrainingRun, train
from epic22.services.train_large import MemoryEstimate, train_large
from epic22.services.train_panel import ForecastConfig
from epic22.services.tune import Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.large_file import load_batched_task_data, refuse_unbatchable
from epic22.spec.task_comments import Inferred, add_inferred
from epic22.spec.task_request import build_split_request, refuse_contradictions
from epic22.spec.task_yaml import write_task_file
from epic22.spec.training_spec import TrainingSpec

TASK_FILE = "task.yaml"
"""What was asked and inferred, in the folder of a version."""


@dataclass(frozen=True)
class TrainingResult:
    """A training that is registered, reported and tracked; of a table of one's own also what was asked and inferred, and where
    that is written."""

    run: TrainingRun
    report: Path
    tracking_id: str
    spec: TrainingSpec = field(default_factory=TrainingSpec)
    task_file: Path | None = None


def train_file(components: Components, spec: TrainingSpec, progress: Progress = Progress()) -> TrainingResult:
    """Train on the user's own table: whole where that fits under the memory cap, a batch at a time otherwise.

    What was asked is written beside the version with what was inferred. Raises UserError for what cannot be asked together, and
    for a search or engineered columns of a table in batches.
    """
    refuse_contradictions(spec)
    split, tuning, engineer = build_split_request(spec), build_tuning(components.settings, spec), spec.search.uses_engineering
    is_table = is_delta(spec.path)
    needed_bytes = 0 if is_table else estimate_file_memory(spec.path)
    if is_table or needed_bytes > components.settings.memory_cap:
        if tuning is not None:
            raise UserError("a search needs a table that fits under the memory cap; raise --memory-cap or leave it out.")
        if engineer:
            raise UserError("--engineer needs a table that fits under the memory cap; raise --memory-cap or leave it out.")
        memory = MemoryEstimate(needed_bytes, components.settings.memory_cap)
        return save_task_file(components, train_large_file(components, spec, split, memory, progress), spec)
    progress.begin(f"reading and auditing {spec.path.name}", 1)
    data = load_task_data(spec)
    progress.step()
    split = replace(split, test_rows=data.test_rows)
    result = train_task_data(components, data, split, progress, engineer=engineer, tuning=tuning)
    return save_task_file(components, result, spec)


def save_task_file(components: Components, result: TrainingResult, spec: TrainingSpec) -> TrainingResult:
    """The result with the task file, which is written beside the version: what was asked and inferred."""
    run = result.run
    full_spec = add_inferred(spec, Inferred(run.task, run.examples.X, run.audit, run.notes))
    path = components.registry.folder(run.version.task, run.version.version) / TASK_FILE
    write_task_file(full_spec, path)
    return replace(result, spec=full_spec, task_file=path)


def train_large_file(
    components: Components, spec: TrainingSpec, split: SplitRequest, memory: MemoryEstimate, progress: Progress = Progress()
) -> TrainingResult:
    """Train on the user's own table (a Parquet or CSV file, or a Delta table's folder) without ever holding it.

    Raises UserError for what is only done with a table that fits.
    """
    refuse_unbatchable(spec)
    batches = ParquetBatches(list_delta_files(spec.path)) if is_delta(spec.path) else open_batches(spec.path)
    with scratch_folder(components.settings.home / "scratch") as scratch:
        progress.begin(f"reading and auditing {spec.path.name} in batches", 1)
        data = load_batched_task_data(spec, batches, scratch)
        progress.step()
        setting = TrainingResources(components.settings.threads, memory.cap, scratch, split.seed)
        inputs = data_datasets(data.data_version, components.table_store)
        with emit_lineage(components.lineage, f"train.{data.task.name}", inputs) as work:
            gate = PromotionGate(None, components.settings.authorised)
            run = train_large(data, split, components.registry, setting, memory, progress, gate)
            result = _report_and_track(components, run, split, progress)
            work.outputs.append(model_dataset(result.run.version))
    return result


def train_feature(
    components: Components,
    name: str,
    version_number: int | None = None,
    seed: int = 0,
    progress: Progress = Progress(),
    truth: DataFrame | None = None,
    override: Override | None = None,
    tuning: Tuning | None = None,
    engineer: bool = False,
) -> "TrainingResult | ForecastResult":
    """Train one of the five capabilities' tasks on a version of the canonical tables, the newest where `version_number` is None.

    Raises UnknownTaskError for a name that is no feature's, LakeError where there is no such version, ColumnError where its
    tables lack what the task needs.
    """
    feature = get_feature(name)
    progress.begin(f"{name}: reading the tables", 1)
    version = components.table_store.resolve_version(version_number)
    sources = tuple((source.name, source.sha256) for source in version.sources)
    task_data = feature.bind(
        feature.task, components.table_store.tables(version.number), DataVersion(version.id, sources, version.number)
    )
    market = components.table_store.scan("market", version.number).collect()
    version_note = f"data version {version.number} ({version.id[:12]}), complete to {version.end:%Y-%m-%d}"
    task_data = replace(
        task_data, notes=(version_note, *describe_refused_rents({"market": market}, version.end), *task_data.notes)
    )
    progress.step()
    if isinstance(task_data, PanelTaskData):
        return train_panel_data(components, task_data, ForecastConfig(seed=seed), progress, truth)
    split = SplitRequest(horizon=max(task_data.task.target.horizons, default=0.0), seed=seed)
    rows = select_rows_above_cap(task_data, components.settings.memory_cap)
    if rows is None:
        return train_task_data(components, task_data, split, progress, truth, override, engineer, tuning)
    if tuning is not None or engineer:
        raise UserError(f"{name}: its rows exceed the memory cap, so it is neither searched nor engineered; raise --memory-cap.")
    return train_large_feature(components, task_data, rows, split, progress, override)


def select_rows_above_cap(data: TaskData, cap: int) -> DataFrame | None:
    """The eligible rows [entity, cutoff] of an assignment that is trained a batch at a time; None where it is trained whole."""
    task = data.task
    if not can_train_in_batches(task) or estimate_memory(task, data.cutoffs.height) <= cap:
        return None
    rows = select_eligible_rows(task, data.tables, data.cutoffs, compute_batch_rows(task, cap))
    return rows if estimate_memory(task, rows.height) > cap else None


def train_large_feature(
    components: Components,
    data: TaskData,
    rows: DataFrame,
    split: SplitRequest,
    progress: Progress = Progress(),
    override: Override | None = None,
) -> TrainingResult:
    """Train a feature on these eligible rows [entity, cutoff] without ever holding their inputs."""
    task, cap = data.task, components.settings.memory_cap
    with scratch_folder(components.settings.home / "scratch") as scratch:
        progress.begin(f"{task.name}: building {rows.height:,} rows in parts", 1)
        batched_data = build_batched_data(data, rows, compute_batch_rows(task, cap), scratch, split.seed)
        progress.step()
        setting, memory = (
            TrainingResources(components.settings.threads, cap, scratch, split.seed),
            MemoryEstimate(estimate_memory(task, rows.height), cap),
        )
        gate = PromotionGate(override, components.settings.authorised)
        with emit_lineage(
            components.lineage, f"train.{task.name}", data_datasets(data.data_version, components.table_store)
        ) as work:
            result = _report_and_track(
                components,
                train_large(batched_data, split, components.registry, setting, memory, progress, gate),
                split,
                progress,
            )
            work.outputs.append(model_dataset(result.run.version))
    return result


def train_task_data(
    components: Components,
    data: TaskData,
    split: SplitRequest,
    progress: Progress = Progress(),
    truth: DataFrame | None = None,
    override: Override | None = None,
    engineer: bool = False,
    tuning: Tuning | None = None,
) -> TrainingResult:
    """Train, report, track, and only then promote: a killed process leaves the old champion in place.

    A model that the fairness gate refuses is registered and reported, but not promoted.
    """
    inputs = data_datasets(data.data_version, components.table_store)
    with emit_lineage(components.lineage, f"train.{data.task.name}", inputs) as work:
        gate = PromotionGate(override, components.settings.authorised)
        run = train(data, split, components.registry, components.settings.threads, progress, truth, gate, engineer, tuning=tuning)
        result = _report_and_track(components, run, split, progress)
        work.outputs.append(model_dataset(result.run.version))
    return result


def _report_and_track(components: Components, run: TrainingRun, split: SplitRequest, progress: Progress) -> TrainingResult:
    """Report and track a run, then promote its model if the gate lets it pass."""
    from epic22.reports.figures.explanation import render_explanation_pngs
    from epic22.reports.figures.style import render_pngs
    from epic22.reports.figures.training import draw_figures
    from epic22.reports.html.training import write_report

    folder = components.registry.folder(run.version.task, run.version.version)
    progress.begin("report and tracking", 2)
    figures = draw_figures(run)
    report = write_report(run, folder / "report.html", figures)
    explanation_figures = render_explanation_pngs(run.explanation)
    save_explanation(components, run, explanation_figures)
    progress.step()
    record = RunRecord(
        version=run.version,
        data_version=run.data_version,
        parameters=_build_parameters(run, split),
        leaderboard=tuple(FamilyRecord.of(evaluation) for evaluation in run.leaderboard),
        bundle=folder / "bundle",
        report=report,
        figures=render_pngs(figures) | explanation_figures,
    )
    tracking_id = track_and_promote(components, record, run.verdicts, run.promotion)
    progress.step()
    return TrainingResult(run, report, tracking_id)


def _build_parameters(run: TrainingRun, split: SplitRequest) -> dict[str, str]:
    return {
        "champion": run.champion.family,
        "target": run.task.target.name,
        "kind": run.task.target.kind,
        "seed": str(split.seed),
        "folds": run.plan.kind,
        "folds_n": str(run.plan.n),
        "folds_repeats": str(run.plan.repeats),
        "gap_days": f"{run.plan.gap:g}",
        "rows": str(run.n_rows),
        "columns": ", ".join(column.name for column in run.bundle.preprocessor.outputs),
    }


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
