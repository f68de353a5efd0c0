"""The Python call: train, load, audit and forecast with frames of pandas or Polars, or with files.

Keywords are the options of the command line (`spec.training_spec`), so that both say the same and end in the same model.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from epic22.adapters.scratch import scratch_folder
from epic22.bootstrap.components import Components, assemble
from epic22.bootstrap.ingest_and_audit import audit_file
from epic22.bootstrap.predictions import RequestFile
from epic22.bootstrap.training import TrainingResult, train_file, train_panel_file
from epic22.config import Settings, parse_memory
from epic22.core.artifact.model import Model
from epic22.core.data.leakage import Suspicion
from epic22.core.errors import UserError
from epic22.core.lineage import ModelVersion, sha256
from epic22.core.prediction import Prediction
from epic22.core.statistics import Interval
from epic22.services.training_run import RowRun, SeriesRun
from epic22.spec.task_yaml import read_spec
from epic22.spec.training_spec import FIELDS, Job, TrainingSpec, build_spec, list_unused


@dataclass(frozen=True)
class LoadedModel:
    """A version of a task, opened."""

    components: Components
    model: Model

    @property
    def version(self) -> ModelVersion:
        """Which version of which task, by which family, with which hash."""
        return self.model.version

    def predict(self, table: Any = None, reasons: bool = False) -> Any:
        """A frame with a row for each value that is predicted, of the library that `table` is of (Polars for a file).

        Columns: entity, at, target, horizon, value, low, high, set, probabilities, expected_loss, act, band, reasons, receipt, as
        far as the task has them. Without a table a forecast goes on from the last known values. Raises UserError for a table that
        lacks the task's columns.
        """
        predictions = self.predict_rows(table, reasons)
        frame = pl.DataFrame([row for prediction in predictions for row in _list_values(prediction)], infer_schema_length=None)
        known = frame.select(column for column in frame if column.null_count() < len(column))
        return known.to_pandas() if _is_pandas(table) else known

    def predict_rows(self, table: Any = None, reasons: bool = True) -> tuple[Prediction, ...]:
        """The answers as records, with interval, reasons and receipt; they are kept in the log of predictions."""
        with _readable_file(table, self.components.settings.home) as path:
            request = self.model.read_request(None if path is None else RequestFile(path))
            predictions = self.model.predict(request, reasons)
        self.components.prediction_log.log_predictions(self.version, predictions, None)
        return predictions


@dataclass(frozen=True)
class Run:
    """A finished training: its report, its task file, the scores of all families, and the model that was registered."""

    result: TrainingResult[RowRun] | TrainingResult[SeriesRun]
    model: LoadedModel

    @property
    def task(self) -> str:
        """The task's name, under which `load`, `predict` and the API know it."""
        return self.version.task

    @property
    def version(self) -> ModelVersion:
        """The version that was registered."""
        return self.result.run.version

    @property
    def report(self) -> Path:
        """The report, a page of HTML."""
        return self.result.report

    @property
    def scores(self) -> Mapping[str, Mapping[str, Interval]]:
        """Each family's out-of-fold scores by metric, with 95 % intervals; the best family first."""
        return {
            evaluation.family: {s.metric: Interval(s.value, s.low, s.high) for s in evaluation.scores}
            for evaluation in self.result.run.leaderboard
        }

    def predict(self, table: Any = None, reasons: bool = False) -> Any:
        """As `LoadedModel.predict`, by the version that was trained."""
        return self.model.predict(table, reasons)


def train(table: Any = None, *, home: str | Path | None = None, **options: Any) -> Run:
    """The run of a training on a frame or a file, as `epic22 train` does it; models are kept in `home`, EPIC22_HOME otherwise.

    `train(frame, label="churned", time="month", id="tenant")`; `train(task_file="task.yaml")`. Raises UserError for keywords
    that contradict each other or do not fit the table.
    """
    spec, components = _read_options("table", table, home, options)
    return _finish_run(components, train_file(components, spec))


def forecast(table: Any, *, panel: str = "long", home: str | Path | None = None, **options: Any) -> Run:
    """The run of a training on a panel of series, as `epic22 train --panel` does it.

    `forecast(frame, label="rent", id="zip", time="month", frequency="M", horizon=12)`. Raises UserError for what does not fit.
    """
    spec, components = _read_options("panel", table, home, options | {"panel": panel})
    return _finish_run(components, train_panel_file(components, spec))


def audit(table: Any = None, *, home: str | Path | None = None, **options: Any) -> tuple[Suspicion, ...]:
    """The suspicions of an audit, column by column with the evidence, as `epic22 audit` reports them; nothing is trained."""
    spec, _ = _read_options("table", table, home, options)
    return audit_file(spec)[1]


def load(task: str, version: str | None = None, *, home: str | Path | None = None) -> LoadedModel:
    """A task's champion, or a version of it. Raises UnknownTaskError where there is none."""
    components = assemble(_read_settings(home))
    return LoadedModel(components, components.registry.load(task, version))


def _finish_run(components: Components, result: TrainingResult[RowRun] | TrainingResult[SeriesRun]) -> Run:
    version = result.run.version
    return Run(result, LoadedModel(components, components.registry.load(version.task, version.version)))


def _read_settings(home: str | Path | None, memory_cap: str | None = None) -> Settings:
    settings = Settings.read()
    settings = settings if home is None else replace(settings, home=Path(home).expanduser().resolve())
    return settings if memory_cap is None else replace(settings, memory_cap=parse_memory(memory_cap, "memory_cap"))


def _read_options(job: Job, table: Any, home: str | Path | None, options: Mapping[str, Any]) -> tuple[TrainingSpec, Components]:
    """The specification of keywords, over a task file's where one is named, and the parts that carry it out.

    Raises UserError for keywords that the job has no use for.
    """
    options = dict(options)
    settings = _read_settings(home, options.get("memory_cap"))
    if table is not None:
        is_file = isinstance(table, str | Path)
        options["csv"] = table if is_file else _keep_frame(table, settings.home)
        if not is_file and "task_file" not in options:
            options.setdefault("task", options.get("label"))
    spec = build_spec(**options)
    _refuse_unused(job, spec)
    if spec.run.task_file is not None:
        overrides = spec.columns
        spec = read_spec({field.parameter: spec.value(field) for field in FIELDS if field.parameter in options})
        columns = {column.name: column for column in (*spec.columns, *overrides)}
        spec = spec.model_copy(update={"columns": tuple(columns.values())})
    return spec, assemble(settings)


def _refuse_unused(job: Job, spec: TrainingSpec) -> None:
    """Raise UserError for keywords that the job has no use for; one that has its default asks for nothing."""
    given = [field.parameter for field in FIELDS if spec.value(field) != field.default]
    unused = [field.parameter for field in list_unused(job, given)]
    unused += ["columns"] if spec.columns and job == "panel" else []
    if unused:
        other = "epic22.train" if job == "panel" else "epic22.forecast"
        raise UserError(f"{' and '.join(unused)}: this call has no use for that; it is a keyword of {other}.")


def _is_pandas(table: Any) -> bool:
    return type(table).__module__.partition(".")[0] == "pandas"


def _write_frame(table: Any) -> bytes:
    """A frame as the bytes of a Parquet file, categories as text."""
    if not (_is_pandas(table) or isinstance(table, pl.DataFrame)):
        raise UserError(f"{type(table).__name__}: no table; give a frame of pandas or Polars, or a file's path.")
    frame = pl.from_pandas(table) if _is_pandas(table) else table
    buffer = io.BytesIO()
    frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).write_parquet(buffer)
    return buffer.getvalue()


def _keep_frame(table: Any, home: Path) -> Path:
    """The frame as a file below `home`, named by its content, so that its task file can be trained with again."""
    content = _write_frame(table)
    path = home / "frames" / f"{sha256(content)[:16]}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@contextmanager
def _readable_file(table: Any, home: Path) -> Iterator[Path | None]:
    """The table as a file, for as long as it is read."""
    if table is None or isinstance(table, str | Path):
        yield None if table is None else Path(table)
        return
    with scratch_folder(home / "scratch") as folder:
        path = folder / "frame.parquet"
        path.write_bytes(_write_frame(table))
        yield path


def _list_values(prediction: Prediction) -> Iterator[dict[str, Any]]:
    """A row for each value."""
    for value in prediction.values:
        interval = value.interval
        yield {
            "entity": prediction.entity,
            "at": prediction.at,
            "target": value.target,
            "horizon": value.horizon,
            "value": value.value,
            "low": None if interval is None else interval.low,
            "high": None if interval is None else interval.high,
            "set": None if value.set is None else list(value.set),
            "probabilities": dict(value.probabilities) or None,
            "expected_loss": value.expected_loss,
            "act": value.act,
            "band": value.risk_band,
            "reasons": [reason.text for reason in prediction.reasons] or None,
            "receipt": prediction.receipt,
        }
