"""Training on a panel of series."""

from dataclasses import dataclass
from pathlib import Path

from polars import DataFrame

from epic22.bootstrap.components import Components
from epic22.bootstrap.promotion import track_and_promote
from epic22.core.data.task_data import PanelTaskData
from epic22.core.ports import FamilyRecord, RunRecord
from epic22.services.lineage_events import data_datasets, emit_lineage, model_dataset
from epic22.services.progress import Progress
from epic22.services.train_panel import ForecastConfig, ForecastEvaluation, ForecastRun, train_panel
from epic22.spec.panel_file import PanelFile, load_panel_task_data


@dataclass(frozen=True)
class ForecastResult:
    """A panel's training that is registered, reported and tracked."""

    run: ForecastRun
    report: Path
    tracking_id: str


def train_panel_file(
    components: Components, file: PanelFile, config: ForecastConfig, progress: Progress = Progress()
) -> ForecastResult:
    """Train on the user's own panel."""
    progress.begin(f"reading {file.path.name}", 1)
    data = load_panel_task_data(file)
    progress.step()
    return train_panel_data(components, data, config, progress)


def train_panel_data(
    components: Components,
    data: PanelTaskData,
    config: ForecastConfig,
    progress: Progress = Progress(),
    truth: DataFrame | None = None,
) -> ForecastResult:
    """Train a forecast, report, track, and only then promote."""
    inputs = data_datasets(data.data_version, components.table_store)
    with emit_lineage(components.lineage, f"train.{data.task.name}", inputs) as work:
        result = _train_and_track(components, data, config, progress, truth)
        work.outputs.append(model_dataset(result.run.version))
    return result


def _train_and_track(
    components: Components, data: PanelTaskData, config: ForecastConfig, progress: Progress, truth: DataFrame | None
) -> ForecastResult:
    from epic22.reports.figures.forecast import render_forecast_pngs
    from epic22.reports.html.forecast import write_forecast_report

    run = train_panel(data, config, components.registry, components.settings.threads, progress, truth)
    folder = components.registry.folder(run.version.task, run.version.version)
    progress.begin("report and tracking", 2)
    report = write_forecast_report(run, folder / "report.html")
    progress.step()
    record = RunRecord(
        version=run.version,
        data_version=run.data_version,
        parameters=_build_parameters(run),
        leaderboard=tuple(
            _build_family_record(run, e) for e in (run.champion, *(e for e in run.leaderboard if e is not run.champion))
        ),
        bundle=folder / "bundle",
        report=report,
        figures=render_forecast_pngs(run),
    )
    tracking_id = track_and_promote(components, record, run.verdicts)
    progress.step()
    return ForecastResult(run, report, tracking_id)


def _build_family_record(run: ForecastRun, evaluation: ForecastEvaluation) -> FamilyRecord:
    """The pooled scores, the trend's at its horizon, and skill and MASE horizon by horizon."""
    scores = [s for s in evaluation.scores if s.horizon == "all" or s.metric.startswith("trend_")]
    horizons = range(1, run.plan.horizon + 1)
    return FamilyRecord(
        evaluation.family,
        {s.metric: (s.value, s.low, s.high) for s in scores},
        {f"{m}_horizon": tuple(evaluation.score(m, h).value for h in horizons) for m in ("skill", "mase")},
        evaluation.forecasts.fit_seconds,
        evaluation.forecasts.row_ms,
    )


def _build_parameters(run: ForecastRun) -> dict[str, str]:
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
