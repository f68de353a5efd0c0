"""The Python call: train, load, audit and forecast with frames of pandas or Polars, or with files.

Keywords are the options of the command line (`spec.training_spec`), so that both say the same and end in the same model.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from epic22.adapters.home import translate_storage_faults
from epic22.adapters.scratch import scratch_folder
from epic22.bootstrap.comparison import AblationResult, ComparisonResult, ablate_file, compare_file
from epic22.bootstrap.components import Components, assemble
from epic22.bootstrap.frame_file import is_frame, list_categories, reword_errors, store_frame, write_frame
from epic22.bootstrap.ingest_and_audit import audit_file
from epic22.bootstrap.prediction_frame import build_prediction_frame
from epic22.bootstrap.predictions import RequestFile
from epic22.bootstrap.promotion import promote_version
from epic22.bootstrap.stores import SCRATCH
from epic22.bootstrap.training import TrainingResult, train_file, train_panel_file
from epic22.config import Settings, parse_memory
from epic22.core.artifact.model import Model
from epic22.core.column import ColumnOverride
from epic22.core.data.leakage import Suspicion
from epic22.core.errors import UserError
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import Prediction
from epic22.core.statistics import Interval
from epic22.services.training_run import ForecastEvaluation, RowRun, SeriesRun
from epic22.spec.key import Job
from epic22.spec.task_yaml import read_spec
from epic22.spec.training_spec import FIELDS, TrainingSpec, build_spec, list_comparison_options, list_unused


@dataclass(frozen=True)
class LoadedModel:
    """A version of a task, opened."""

    components: Components
    model: Model

    def __repr__(self) -> str:
        return f"LoadedModel({_describe_version(self.version)})"

    @property
    def version(self) -> ModelVersion:
        """Which version of which task, by which family, with which hash."""
        return self.model.version

    def predict(self, table: Any = None, reasons: bool = False) -> Any:
        """A frame with a row for each value that is predicted, of the library that `table` is of (Polars for a file).

        Columns: entity, at, target, horizon, value, low, high, set, probabilities, expected_loss, act, band, reasons, receipt, as
        far as the task has them; a frame of pandas has the index of the rows that it answers. Without a table a forecast goes on
        from the last known values. Raises UserError for a table that lacks the task's columns.
        """
        return build_prediction_frame(self.model, self.predict_rows(table, reasons), table)

    def predict_rows(self, table: Any = None, reasons: bool = True) -> tuple[Prediction, ...]:
        """The answers as records, with interval, reasons and receipt; they are kept in the log of predictions."""
        home = self.components.settings.home
        with translate_storage_faults(home), _readable_file(table, home) as path:
            request = self.model.read_request(None if path is None else RequestFile(path))
            predictions = self.model.predict(request, reasons)
        self.components.prediction_log.log_predictions(self.version, predictions, None)
        return predictions


@dataclass(frozen=True)
class Run:
    """A finished training: its report, its task file, the scores of all families, and the model that was registered."""

    result: TrainingResult[RowRun] | TrainingResult[SeriesRun]
    model: LoadedModel

    def __repr__(self) -> str:
        """Task, version, family and status, with the family's score by the metric that decides and its 95 % interval."""
        metric = self.result.run.task.target.metric.name
        score = self.scores.get(self.version.family, {}).get(metric)
        words = "" if score is None else f", {metric}={score.value:.4g} [{score.low:.4g}, {score.high:.4g}]"
        return f"Run({_describe_version(self.version)}{words})"

    @property
    def task(self) -> str:
        """The task's name, under which `load`, `predict` and the API know it."""
        return self.version.task

    @property
    def version(self) -> ModelVersion:
        """The version that was registered."""
        return self.result.run.version

    @property
    def challenge(self) -> Challenge | None:
        """How it stands to the version that served before; None where none did. It serves where that is `passed`."""
        decision = self.result.run.promotion
        return None if decision is None else decision.challenge

    @property
    def report(self) -> Path:
        """The report, a page of HTML."""
        return self.result.report

    @property
    def scores(self) -> Mapping[str, Mapping[str, Interval]]:
        """Each family's out-of-fold scores by metric, with 95 % intervals; the best family first. Of a forecast they are pooled
        over its horizons, those of its trend at the horizon at which that is reported."""
        return {evaluation.family: collect_scores(evaluation) for evaluation in self.result.run.leaderboard}

    def predict(self, table: Any = None, reasons: bool = False) -> Any:
        """As `LoadedModel.predict`, by the version that was trained."""
        return self.model.predict(table, reasons)


def collect_scores(evaluation: Evaluation | ForecastEvaluation) -> dict[str, Interval]:
    """A family's scores by metric, one each."""
    scores: dict[str, Interval] = {}
    for score in evaluation.scores:
        # Of a forecast those that are pooled over its horizons come before those of each.
        scores.setdefault(score.metric, Interval(score.value, score.low, score.high))
    return scores


def train(table: Any = None, *, home: str | Path | None = None, **options: Any) -> Run:
    """The run of a training on a frame or a file, as `epic22 train` does it; models are kept in `home`, EPIC22_HOME otherwise.

    `train(frame, label="churned", time="month", id="tenant")`; `train(task_file="task.yaml")`. A `time_limit` counts from the
    call. Raises UserError for keywords that contradict each other or do not fit the table.
    """
    # The process may be a notebook of yesterday.
    started_at = time.monotonic()
    with _read_options("table", table, home, options) as (spec, components):
        return _finish_run(components, train_file(components, spec, started_at=started_at))


def forecast(table: Any, *, panel: str = "long", home: str | Path | None = None, **options: Any) -> Run:
    """The run of a training on a panel of series, as `epic22 train --panel` does it.

    `forecast(frame, label="rent", id="zip", time="month", frequency="M", horizon=12)`. Raises UserError for what does not fit.
    """
    with _read_options("panel", table, home, options | {"panel": panel}) as (spec, components):
        return _finish_run(components, train_panel_file(components, spec))


def compare(table: Any = None, *, home: str | Path | None = None, **options: Any) -> ComparisonResult:
    """Families side by side on the folds that a training would have, as `epic22 compare` compares them; nothing is registered.

    `compare(frame, label="churned", families=["boosting", "mlp"])`. The result has the `comparison` and the `report`, a page of
    HTML in `home`. Raises UserError for families that cannot be compared, and for keywords of a search or of a model's use.
    """
    _refuse_search_keywords(options)
    with _read_options("table", table, home, options) as (spec, components):
        return compare_file(components, spec)


def ablate(table: Any = None, *, family: str, home: str | Path | None = None, **options: Any) -> AblationResult:
    """A family trained again without each of its parts, as `epic22 ablate` does it; nothing is registered.

    `ablate(frame, label="churned", family="boosting")`. The result has the `ablation` and the `report`. Raises UserError for a
    family without parts.
    """
    _refuse_search_keywords(options)
    with _read_options("table", table, home, options) as (spec, components):
        return ablate_file(components, spec, family)


def _refuse_search_keywords(options: Mapping[str, Any]) -> None:
    """Raise UserError for keywords that a comparison has no use for."""
    useful = {field.parameter for field in list_comparison_options()} | {f.parameter for f in FIELDS if not f.key.option}
    unused = [field.parameter for field in FIELDS if field.parameter in options and field.parameter not in useful]
    if unused:
        raise UserError(f"{' and '.join(unused)}: this call has no use for that; it is a keyword of epic22.train.")


def audit(table: Any = None, *, home: str | Path | None = None, **options: Any) -> tuple[Suspicion, ...]:
    """The suspicions of an audit, column by column with the evidence, as `epic22 audit` reports them; nothing is trained."""
    with _read_options("table", table, home, options) as (spec, _):
        return audit_file(spec)[1]


def load(task: str, version: str | int | None = None, *, home: str | Path | None = None) -> LoadedModel:
    """A task's champion, or a version of it. Raises UnknownTaskError where there is none."""
    _check_task_and_version(task, version)
    components = assemble(_read_settings(home))
    return LoadedModel(components, components.registry.load(task, None if version is None else str(version)))


def promote(task: str, version: str | int, reason: str, *, home: str | Path | None = None) -> ModelVersion:
    """The version that serves its task from now on, as `epic22 promote` does it: a challenger, or an earlier champion.

    Raises UserError without a reason, UnknownTaskError where there is no such version.
    """
    _check_task_and_version(task, version)
    return promote_version(assemble(_read_settings(home)), task, str(version), reason)


def _check_task_and_version(task: object, version: object) -> None:
    """Raise UserError for what cannot be a task's name or a version's number."""
    if not isinstance(task, str):
        raise UserError(f"task={task!r}: expected the name of a task.")
    if isinstance(version, bool) or not isinstance(version, str | int | None):
        raise UserError(f"version={version!r}: expected the number of a version.")


def _describe_version(version: ModelVersion) -> str:
    return f"task={version.task!r}, version={version.version!r}, family={version.family!r}, status={version.status!r}"


def _finish_run(components: Components, result: TrainingResult[RowRun] | TrainingResult[SeriesRun]) -> Run:
    version = result.run.version
    return Run(result, LoadedModel(components, components.registry.load(version.task, version.version)))


def _read_settings(home: str | Path | None, memory_cap: Any = None) -> Settings:
    settings = Settings.read()
    settings = settings if home is None else replace(settings, home=_resolve_home(home))
    if memory_cap is None:
        return settings
    if not isinstance(memory_cap, str):
        raise UserError(f"memory_cap={memory_cap!r}: expected a text such as '4GB', '512MiB' or '50%'.")
    return replace(settings, memory_cap=parse_memory(memory_cap, "memory_cap"))


def _resolve_home(home: Any) -> Path:
    """The folder of models and reports. Raises UserError for what is no path of a folder."""
    if not isinstance(home, str | Path):
        raise UserError(f"home={home!r}: expected the path of a folder.")
    try:
        folder = Path(home).expanduser().resolve()
    except (RuntimeError, ValueError) as error:
        # A user without a home, links in a circle, a null character.
        raise UserError(f"home={str(home)!r}: {str(error).rstrip('.')}; expected the path of a folder.") from None
    # Path.exists raises PermissionError below a folder that this user may not search.
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not nearest.is_dir():
        raise UserError(f"home={str(home)!r}: {nearest} is a file; expected the path of a folder.")
    return folder


@contextmanager
def _read_options(
    job: Job, table: Any, home: str | Path | None, options: Mapping[str, Any]
) -> Iterator[tuple[TrainingSpec, Components]]:
    """The specification of keywords, over a task file's where one is named, and the parts that carry it out.

    Raises UserError for keywords that the job has no use for; errors in its body name keywords, and the frame.
    """
    options = dict(options)
    settings = _read_settings(home, options.get("memory_cap"))
    for text in (table, *options.values()):
        _refuse_undecoded(text)
    if table is not None and options.get("csv") is not None:
        raise UserError(f"csv={options['csv']!r}: the call has a table already; give one of them.")
    stored_frame = store_frame(table, settings.home) if is_frame(table) else None
    if table is not None:
        options["csv"] = stored_frame or table
    if stored_frame is not None and "task_file" not in options and isinstance(options.get("label"), str):
        options.setdefault("task", options["label"])
    with reword_errors(stored_frame):
        spec = _build_spec(job, options)
        yield _declare_categories(spec, table) if stored_frame is not None and job == "table" else spec, assemble(settings)


def _refuse_undecoded(value: Any) -> None:
    """Raise UserError for a name that is no text, as that of a file on a disk may be: no record could hold it."""
    try:
        str(value).encode() if isinstance(value, str | Path) else b""
    except UnicodeEncodeError:
        raise UserError(f"{str(value)!r}: no text in UTF-8; rename the file, or write it in UTF-8.") from None


def _declare_categories(spec: TrainingSpec, frame: Any) -> TrainingSpec:
    """The specification, in which the columns that the frame declares to be categories are; not label, time and id."""
    roles, overrides = spec.roles, {column.name: column for column in spec.columns}
    # What has a role, or is of another kind by what is stated of it, is no category.
    aside = {roles.label, roles.group, roles.offset, *roles.time, *roles.id, *roles.drop}
    aside |= {one.name for one in spec.columns if one.role == "never" or one.dtype is not None or one.has_bounds}
    for name in list_categories(frame, roles.label):
        if name not in aside:
            overrides[name] = replace(overrides.get(name, ColumnOverride(name)), dtype="category")
    return spec.model_copy(update={"columns": tuple(overrides.values())})


def _build_spec(job: Job, options: Mapping[str, Any]) -> TrainingSpec:
    """The specification of keywords. Raises UserError."""
    spec = build_spec(**options)
    _refuse_unused(job, spec)
    if spec.run.task_file is not None:
        overrides = spec.columns
        spec = read_spec({field.parameter: spec.value(field) for field in FIELDS if field.parameter in options})
        columns = {column.name: column for column in (*spec.columns, *overrides)}
        spec = spec.model_copy(update={"columns": tuple(columns.values())})
    elif spec.data.file is None or spec.roles.label is None:
        raise UserError("give a table and its label, as in train(frame, label='churned'), or both in a task_file.")
    return spec


def _refuse_unused(job: Job, spec: TrainingSpec) -> None:
    """Raise UserError for keywords that the job has no use for; one that has its default asks for nothing."""
    given = [field.parameter for field in FIELDS if spec.value(field) != field.default]
    unused = [field.parameter for field in list_unused(job, given)]
    unused += ["columns"] if spec.columns and job == "panel" else []
    if unused:
        other = "epic22.train" if job == "panel" else "epic22.forecast"
        raise UserError(f"{' and '.join(unused)}: this call has no use for that; it is a keyword of {other}.")


@contextmanager
def _readable_file(table: Any, home: Path) -> Iterator[Path | None]:
    """The table as a file, for as long as it is read. Raises UserError for a frame without rows."""
    _refuse_undecoded(table)
    if not is_frame(table):
        yield None if table is None else Path(table)
        return
    if not len(table):
        raise UserError("the frame has no rows; there is nothing to predict.")
    with scratch_folder(home / SCRATCH) as folder:
        path = folder / "frame.parquet"
        path.write_bytes(write_frame(table))
        with reword_errors(path):
            yield path
