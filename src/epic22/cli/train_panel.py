"""`epic22 train --panel`: many series in; forecasts with intervals, compared, registered and reported, out."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from epic22.bootstrap import ForecastResult, assemble, train_panel_file
from epic22.cli.table_options import RoleOptions
from epic22.cli.task_options import select_given_options
from epic22.cli.terminal import format_figure, print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.serialization import to_json
from epic22.core.time_series import get_frequency
from epic22.reports.json import VIEWS
from epic22.services.forecast_coverage import compute_forecast_coverage
from epic22.services.train_panel import ForecastConfig
from epic22.spec.panel_file import PanelFile, add_families

PANEL = "The panel"
MAX_HORIZON = 100

Layout = Annotated[
    str | None,
    typer.Option(help="Forecast many series: wide (a column a period) or long (a row a value).", rich_help_panel=PANEL),
]
FrequencyOf = Annotated[str | None, typer.Option(help="H, D, W, M, Q or Y: how long a period is.", rich_help_panel=PANEL)]
Season = Annotated[
    int | None,
    typer.Option(min=1, help="Periods in a cycle; 1 where the series are seasonally adjusted.", rich_help_panel=PANEL),
]
CompleteLast = Annotated[
    int | None, typer.Option(min=1, help="Only series without a gap in so many last periods.", rich_help_panel=PANEL)
]
TrendHorizon = Annotated[
    int, typer.Option(min=1, help="Periods ahead at which rising, stable, falling is told.", rich_help_panel=PANEL)
]
Also = Annotated[list[str] | None, typer.Option(help="A slow family to race as well: arima.", rich_help_panel=PANEL)]


@dataclass(frozen=True)
class PanelOptions:
    """That the table is a panel of series, and what kind of one."""

    panel: Layout = None
    frequency: FrequencyOf = None
    season: Season = None
    complete_last: CompleteLast = None
    trend_horizon: TrendHorizon = 3
    also: Also = None


def build_panel_file(csv: Path, label: str, roles: RoleOptions, horizon: float, options: PanelOptions) -> PanelFile:
    """The panel and its roles as the features module wants them. Raises UserError for what is missing or does not fit."""
    layout, id_, time = options.panel, roles.id_, roles.time
    if layout not in ("wide", "long"):
        raise UserError(f"--panel {layout}: give wide (a column a period) or long (a row a value).")
    if not id_:
        raise UserError("--panel needs --id: the column that names a series, or several.")
    if not time or len(time) > 1:
        raise UserError("--panel needs one --time: the column of times, or in a wide file a name for it.")
    if options.frequency is None:
        raise UserError("--panel needs --frequency: H, D, W, M, Q or Y.")
    if horizon != int(horizon) or not 1 <= horizon <= MAX_HORIZON:
        raise UserError(f"--horizon {horizon:g}: with --panel give the periods to forecast, 1 to {MAX_HORIZON}.")
    wide = layout == "wide"
    file = PanelFile(
        path=csv,
        layout="wide" if wide else "long",
        id=tuple(id_),
        time=time[0],
        label=label,
        frequency=get_frequency(options.frequency),
        horizon=int(horizon),
        name=roles.task,
        season=options.season,
        complete_last=options.complete_last,
    )
    return add_families(file, tuple(options.also or ()))


ROW_OPTIONS = (
    "--group",
    "--group-by",
    "--drop",
    "--keep",
    "--exposure",
    "--positive",
    "--kind",
    "--formula",
    "--loss",
    "--log",
    "--test",
    "--holdout-from",
    "--gap",
    "--random-rows-despite-time",
    "--task-file",
    "--write-task",
)


def refuse_row_options(given: Container[str]) -> None:
    """Raise UserError where an option of tables was given with a panel."""
    options = select_given_options(given, *ROW_OPTIONS)
    if options:
        raise UserError(f"{' and '.join(options)} do not go with --panel; the last periods are held out with --holdout-last.")


def refuse_panel_options(given: Container[str]) -> None:
    """Raise UserError where an option of panels was given without one."""
    options = select_given_options(given, "--frequency", "--season", "--complete-last", "--also")
    if options:
        raise UserError(f"{' and '.join(options)} go with --panel wide or --panel long.")


def train_forecast(file: PanelFile, holdout: int | None, trend_horizon: int, seed: int, json: bool) -> None:
    """Train on the panel and show the result."""
    with show_progress() as bars:
        result = train_panel_file(assemble(Settings.read()), file, ForecastConfig(holdout, trend_horizon, seed), bars)
    if json:
        print_json(to_json(result.run, VIEWS) | {"report": str(result.report)})
    else:
        print_forecast(result)


def print_forecast(result: ForecastResult) -> None:
    """The result for a person at a terminal."""
    run = result.run
    frequency, plan = run.frequency, run.plan
    for note in run.notes:
        print_line(f"· {note}", "dim")
    print_line(
        f"Origins: {len(plan.test)} from {frequency.label(int(plan.test[0]))} to {frequency.label(int(plan.test[-1]))} judge; "
        f"{len(plan.earlier)} before them chose and calibrated."
    )
    mape = "mean_absolute_percentage_error"
    headers = ["family", "skill", "pinball", "MASE", *(f"MAPE {h}" for h in run.shown_horizons), "covers", "score"]
    rows = [
        [
            e.family,
            format_figure(e.score("skill").value),
            format_figure(e.score("pinball").value),
            format_figure(e.score("mase").value),
            *(format_figure(e.score(mape, h).value, 3) for h in run.shown_horizons),
            format_figure(e.score("coverage_80").value, 3),
            format_figure(e.score("winkler_80").value, 3),
        ]
        for e in run.leaderboard
    ]
    print_table(f"{run.task.name}: scores on the test origins (MAPE by horizon and coverage in %)", headers, rows)
    own = run.champion.score("skill")
    print_line(
        f"{run.version.family}: skill {format_figure(own.value)} (95 % block bootstrap "
        f"{format_figure(own.low)} … {format_figure(own.high)}, "
        f"{own.blocks:.1f} effective blocks)."
    )
    shares = zip((*run.members, "naive"), run.weights.T, strict=True)
    shares_text = [f"{name} {w[0]:.0%} → {w[-1]:.0%}" for name, w in shares if w.max() > 0]
    print_line(f"Combination, weights from the first to the last horizon: {', '.join(shares_text)}.")
    for verdict in run.verdicts:
        if verdict.metric == "skill" and verdict.horizon == "all":
            sure = "certain" if verdict.enough_data else verdict.advice
            print_line(
                f"{run.version.family} against {verdict.against}: skill {format_figure(verdict.difference.value)} better "
                f"({format_figure(verdict.difference.low)} … {format_figure(verdict.difference.high)}); {sure}."
            )
    coverage = compute_forecast_coverage(run)
    for kind in coverage.kinds[:2]:
        years = ", ".join(f"{y} {c:.0f} %" for y, c in zip(coverage.years, kind.coverage_by_year, strict=True))
        print_line(
            f"80 % interval, {kind.kind}: covers {kind.coverage:.1f} % ({years}), interval score {format_figure(kind.winkler)}."
        )
    print_line(
        f"Champion: {run.version.family}, version {run.version.version} of task {run.task.name} ({run.version.status}); "
        f"{run.selection_reason}.",
        "bold green",
    )
    print_line(f"Report: {result.report}")
    print_line(f"Next: epic22 predict {run.task.name}, or epic22 serve")
