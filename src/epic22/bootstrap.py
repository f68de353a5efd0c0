"""The only place where the parts meet: settings in, services that work out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polars import Series

from epic22.adapters.mlflow_tracking import MlflowTracker
from epic22.adapters.model_store import ModelStore
from epic22.config import Settings
from epic22.core.data.assignment import Assignment
from epic22.core.data.leakage import Suspicion
from epic22.core.data.split import SplitRequest, plan_folds
from epic22.core.errors import UserError
from epic22.core.evaluation.compare import Verdict
from epic22.core.lineage import ModelVersion
from epic22.core.panel_bundle import PanelBundle
from epic22.core.ports import Registry, RunRecord, Tracked, Tracker
from epic22.core.prediction import Prediction
from epic22.core.task import Rows
from epic22.features.flat_file import FlatFile, declare, read_rows
from epic22.features.panel_file import PanelFile, declare_panel
from epic22.services.forecast import PanelEvaluation, PanelRequest, PanelRun, train_panel
from epic22.services.predict import predict_frame
from epic22.services.predict_panel import SeriesRequest, forecast_all, forecast_series
from epic22.services.train import TrainingRun, Watch, audit_split, train


@dataclass(frozen=True)
class Parts:
    """The parts of a running program."""

    settings: Settings
    registry: Registry
    tracker: Tracker


@dataclass(frozen=True)
class Finished:
    """A training that is registered, reported and tracked."""

    run: TrainingRun
    report: Path
    tracking_id: str


def assemble(settings: Settings) -> Parts:
    """The parts on embedded defaults: models and MLflow in EPIC22_HOME."""
    return Parts(settings, ModelStore(settings.home / "models"), MlflowTracker(settings.home))


def train_assignment(parts: Parts, assignment: Assignment, split: SplitRequest, watch: Watch = Watch()) -> Finished:
    """Train, report, track, and only then promote: a killed process leaves the old champion in place."""
    from epic22.services.pictures import pngs
    from epic22.services.report import write_report

    run = train(assignment, split, parts.registry, parts.settings.threads, watch)
    folder = parts.registry.folder(run.version.task, run.version.version)
    watch.begin("report and tracking", 2)
    report = write_report(run, folder / "report.html")
    watch.step()
    record = RunRecord(
        version=run.version,
        data_version=run.data_version,
        parameters=_parameters(run, split),
        leaderboard=tuple(Tracked.of(evaluation) for evaluation in run.leaderboard),
        bundle=folder / "bundle",
        report=report,
        pictures=pngs(run),
    )
    tracking_id = _track_and_promote(parts, record, run.verdicts)
    watch.step()
    return Finished(run, report, tracking_id)


def train_file(parts: Parts, file: FlatFile, split: SplitRequest, watch: Watch = Watch()) -> Finished:
    """Train on the user's own table."""
    from dataclasses import replace

    watch.begin(f"reading and auditing {file.path.name}", 1)
    assignment = declare(file)
    watch.step()
    return train_assignment(parts, assignment, replace(split, test_rows=assignment.test_rows), watch)


@dataclass(frozen=True)
class Forecast:
    """A panel's training that is registered, reported and tracked."""

    run: PanelRun
    report: Path
    tracking_id: str


def train_panel_file(parts: Parts, file: PanelFile, request: PanelRequest, watch: Watch = Watch()) -> Forecast:
    """Train on the user's own panel, report, track, and only then promote."""
    from epic22.services.forecast_pictures import panel_pngs
    from epic22.services.forecast_report import write_panel_report

    watch.begin(f"reading {file.path.name}", 1)
    assignment = declare_panel(file)
    watch.step()
    run = train_panel(assignment, request, parts.registry, parts.settings.threads, watch)
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


def _track_and_promote(parts: Parts, record: RunRecord, because: tuple[Verdict, ...]) -> str:
    """Track the run, then make it champion and say so to the tracker; gives the tracker's id of the run."""
    tracking_id = parts.tracker.record(record)
    parts.registry.promote(record.version.task, record.version.version, because)
    parts.tracker.mark_champion(record.version)
    return tracking_id


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


def audit_file(file: FlatFile, watch: Watch = Watch()) -> tuple[Assignment, tuple[Suspicion, ...]]:
    """What the audit finds in the user's own table and in the folds it would get; nothing is stored."""
    watch.begin(f"reading and auditing {file.path.name}", 1)
    assignment = declare(file)
    examples = assignment.examples()
    plan = plan_folds(examples, assignment.task.target.kind, SplitRequest(horizon=file.horizon, repeats=1))
    watch.step()
    return assignment, (*assignment.suspicions, *audit_split(examples, plan))


def predict_file(
    parts: Parts, task: str, path: Path | None, version: str | None = None, watch: Watch = Watch()
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    """Predict every row of a file with a task's champion, or with a version of it.

    For a forecast the file is a panel as it was trained on; without one, every series is forecast from its last known value.

    Raises UserError where rows are to be predicted and no file is named.
    """
    watch.begin(f"predicting {'all series' if path is None else path.name}", 1)
    model, bundle = parts.registry.load(task, version)
    if isinstance(bundle, PanelBundle):
        return model, forecast_all(model, bundle) if path is None else _forecast_file(model, bundle, path)
    if path is None:
        raise UserError(f"task {task} predicts rows: name the file they are in.")
    return model, predict_frame(model, bundle, read_rows(path, bundle.schema.columns))


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
        "rows": str(len(run.examples)),
        "columns": ", ".join(column.name for column in run.task.input_columns),
    }


def best_possible(run: TrainingRun, truth: Series) -> float:
    """The deciding metric of the true probabilities on the run's own folds: what no honest model can beat but by luck."""
    probabilities, metric = truth.to_numpy(), run.task.target.metric
    scores = [metric.score(run.examples.y[f.test], probabilities[f.test], Rows()) for f in run.plan.folds]
    return float(sum(scores) / len(scores))
