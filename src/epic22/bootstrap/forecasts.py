"""Training on a panel of series."""

from dataclasses import dataclass
from pathlib import Path

from polars import DataFrame

from epic22.bootstrap.champions import track_and_promote
from epic22.bootstrap.parts import Parts
from epic22.core.data.assignment import PanelAssignment
from epic22.core.ports import RunRecord, Tracked
from epic22.features.panel_file import PanelFile, declare_panel
from epic22.services.events import data_datasets, model_dataset, told
from epic22.services.forecast import PanelEvaluation, PanelRequest, PanelRun, train_panel
from epic22.services.watch import Watch


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
    tracking_id = track_and_promote(parts, record, run.verdicts)
    watch.step()
    return Forecast(run, report, tracking_id)


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
