"""Training on rows: a table of one's own, whole or in batches, or a feature on the stored tables."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from polars import DataFrame

from epic22.adapters.lake import delta_files, is_delta
from epic22.adapters.scratch import scratch_folder
from epic22.bootstrap.champions import keep_explanation, track_and_promote
from epic22.bootstrap.forecasts import Forecast, train_panel_assignment
from epic22.bootstrap.parts import Parts
from epic22.core.data.assignment import Assignment, PanelAssignment
from epic22.core.data.batches import ParquetBatches, memory_needed, open_batches
from epic22.core.data.canonical import guard_notes
from epic22.core.data.large_examples import eligible, memory_of, rows_a_part
from epic22.core.data.split import SplitRequest
from epic22.core.errors import UserError
from epic22.core.evaluation.crossval_large import Setting
from epic22.core.evaluation.fairness import Override
from epic22.core.lineage import DataVersion
from epic22.core.ports import RunRecord, Tracked
from epic22.features.catalog import feature_named
from epic22.features.flat_file import FlatFile, declare
from epic22.features.large_file import declare_large, refuse_unfit
from epic22.features.task_file import TaskFile
from epic22.features.task_text import write_task_file
from epic22.features.task_words import Inferred, described
from epic22.services.events import data_datasets, model_dataset, told
from epic22.services.forecast import PanelRequest
from epic22.services.large_feature import goes_in_batches, large_feature
from epic22.services.train import Gate, TrainingRun, train
from epic22.services.train_large import Size, train_large
from epic22.services.tune import Tuning
from epic22.services.watch import Watch

TASK_FILE = "task.yaml"
"""What was asked and inferred, in the folder of a version."""


@dataclass(frozen=True)
class Finished:
    """A training that is registered, reported and tracked; of a table of one's own also what was asked and inferred, and where
    that is written."""

    run: TrainingRun
    report: Path
    tracking_id: str
    asked: TaskFile | None = None
    task_file: Path | None = None


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
    split = SplitRequest(horizon=max(assigned.task.target.horizons, default=0.0), seed=seed)
    rows = rows_above_cap(assigned, parts.settings.memory_cap)
    if rows is None:
        return train_assignment(parts, assigned, split, watch, truth, override, engineer, tuning)
    if tuning is not None or engineer:
        raise UserError(f"{name}: its rows exceed the memory cap, so it is neither searched nor engineered; raise --memory-cap.")
    return train_large_feature(parts, assigned, rows, split, watch, override)


def rows_above_cap(assigned: Assignment, cap: int) -> DataFrame | None:
    """The eligible rows [entity, cutoff] of an assignment that is trained a batch at a time; None where it is trained whole."""
    task = assigned.task
    if not goes_in_batches(task) or memory_of(task, assigned.cutoffs.height) <= cap:
        return None
    found = eligible(task, assigned.tables, assigned.cutoffs, rows_a_part(task, cap))
    return found if memory_of(task, found.height) > cap else None


def train_large_feature(
    parts: Parts,
    assigned: Assignment,
    rows: DataFrame,
    split: SplitRequest,
    watch: Watch = Watch(),
    override: Override | None = None,
) -> Finished:
    """Train a feature on these eligible rows [entity, cutoff] without ever holding their inputs."""
    task, cap = assigned.task, parts.settings.memory_cap
    with scratch_folder(parts.settings.home / "scratch") as scratch:
        watch.begin(f"{task.name}: building {rows.height:,} rows in parts", 1)
        large = large_feature(assigned, rows, rows_a_part(task, cap), scratch, split.seed)
        watch.step()
        setting, size = Setting(parts.settings.threads, cap, scratch, split.seed), Size(memory_of(task, rows.height), cap)
        gate = Gate(override, parts.settings.authorised)
        with told(parts.lineage, f"train.{task.name}", data_datasets(assigned.data_version, parts.versions)) as work:
            finished = _finished(parts, train_large(large, split, parts.registry, setting, size, watch, gate), split, watch)
            work.outputs.append(model_dataset(finished.run.version))
    return finished


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
        gate = Gate(override, parts.settings.authorised)
        run = train(assignment, split, parts.registry, parts.settings.threads, watch, truth, gate, engineer, tuning=tuning)
        finished = _finished(parts, run, split, watch)
        work.outputs.append(model_dataset(finished.run.version))
    return finished


def _finished(parts: Parts, run: TrainingRun, split: SplitRequest, watch: Watch) -> Finished:
    """Report and track a run, then promote its model if the gate lets it pass."""
    from epic22.services.explanation_pictures import explanation_pngs
    from epic22.services.pictures import figures_of, pngs
    from epic22.services.report import write_report

    folder = parts.registry.folder(run.version.task, run.version.version)
    watch.begin("report and tracking", 2)
    figures = figures_of(run)
    report = write_report(run, folder / "report.html", figures)
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
        pictures=pngs(figures) | looks_at,
    )
    tracking_id = track_and_promote(parts, record, run.verdicts, run.promotion)
    watch.step()
    return Finished(run, report, tracking_id)


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
