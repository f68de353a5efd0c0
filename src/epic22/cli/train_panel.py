"""`epic22 train --panel`: many series in; forecasts with intervals, compared, registered and reported, out."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22.cli.table_options import RoleOptions
from epic22.cli.task_options import options_given
from epic22.cli.terminal import figure, print_json, progress, say, table

if TYPE_CHECKING:
    from epic22.bootstrap import Forecast
    from epic22.features.panel_file import PanelFile

PANEL = "The panel"
LONGEST_HORIZON = 100

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


def panel_file(csv: Path, label: str, roles: RoleOptions, horizon: float, asked: PanelOptions) -> "PanelFile":
    """The panel and its roles as the features module wants them. Raises UserError for what is missing or does not fit."""
    from epic22.core.errors import UserError
    from epic22.core.history import frequency_named
    from epic22.features.panel_file import PanelFile, with_families

    layout, id_, time = asked.panel, roles.id_, roles.time
    if layout not in ("wide", "long"):
        raise UserError(f"--panel {layout}: give wide (a column a period) or long (a row a value).")
    if not id_:
        raise UserError("--panel needs --id: the column that names a series, or several.")
    if not time or len(time) > 1:
        raise UserError("--panel needs one --time: the column of times, or in a wide file a name for it.")
    if asked.frequency is None:
        raise UserError("--panel needs --frequency: H, D, W, M, Q or Y.")
    if horizon != int(horizon) or not 1 <= horizon <= LONGEST_HORIZON:
        raise UserError(f"--horizon {horizon:g}: with --panel give the periods to forecast, 1 to {LONGEST_HORIZON}.")
    wide = layout == "wide"
    file = PanelFile(
        path=csv,
        layout="wide" if wide else "long",
        id=tuple(id_),
        time=time[0],
        label=label,
        frequency=frequency_named(asked.frequency),
        horizon=int(horizon),
        name=roles.task,
        season=asked.season,
        complete_last=asked.complete_last,
    )
    return with_families(file, tuple(asked.also or ()))


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
    from epic22.core.errors import UserError

    stated = options_given(given, *ROW_OPTIONS)
    if stated:
        raise UserError(f"{' and '.join(stated)} do not go with --panel; the last periods are held out with --holdout-last.")


def refuse_panel_options(given: Container[str]) -> None:
    """Raise UserError where an option of panels was given without one."""
    from epic22.core.errors import UserError

    stated = options_given(given, "--frequency", "--season", "--complete-last", "--also")
    if stated:
        raise UserError(f"{' and '.join(stated)} go with --panel wide or --panel long.")


def forecast(file: "PanelFile", holdout: int | None, trend_horizon: int, seed: int, json: bool) -> None:
    """Train on the panel and show the result."""
    from epic22.bootstrap import assemble, train_panel_file
    from epic22.config import Settings
    from epic22.services.forecast import PanelRequest

    with progress() as watch:
        finished = train_panel_file(assemble(Settings.read()), file, PanelRequest(holdout, trend_horizon, seed), watch)
    if json:
        from epic22.services.forecast_results import panel_run_json

        print_json(panel_run_json(finished.run) | {"report": str(finished.report)})
    else:
        show(finished)


def show(finished: "Forecast") -> None:
    """The result for a person at a terminal."""
    from epic22.services.forecast_results import intervals_json

    run = finished.run
    frequency, plan = run.frequency, run.plan
    for note in run.notes:
        say(f"· {note}", "dim")
    say(
        f"Origins: {len(plan.test)} from {frequency.label(int(plan.test[0]))} to {frequency.label(int(plan.test[-1]))} judge; "
        f"{len(plan.earlier)} before them chose and calibrated."
    )
    mape = "mean_absolute_percentage_error"
    headers = ["family", "skill", "pinball", "MASE", *(f"MAPE {h}" for h in run.told_horizons), "covers", "score"]
    rows = [
        [
            e.family,
            figure(e.score("skill").value),
            figure(e.score("pinball").value),
            figure(e.score("mase").value),
            *(figure(e.score(mape, h).value, 3) for h in run.told_horizons),
            figure(e.score("coverage_80").value, 3),
            figure(e.score("winkler_80").value, 3),
        ]
        for e in run.leaderboard
    ]
    table(f"{run.task.name}: scores on the test origins (MAPE by horizon and coverage in %)", headers, rows)
    own = run.champion.score("skill")
    say(
        f"{run.version.family}: skill {figure(own.value)} (95 % block bootstrap {figure(own.low)} … {figure(own.high)}, "
        f"{own.blocks:.1f} effective blocks)."
    )
    shares = zip((*run.members, "naive"), run.weights.T, strict=True)
    kept = [f"{name} {w[0]:.0%} → {w[-1]:.0%}" for name, w in shares if w.max() > 0]
    say(f"Combination, weights from the first to the last horizon: {', '.join(kept)}.")
    for verdict in run.verdicts:
        if verdict.metric == "skill" and verdict.horizon == "all":
            sure = "certain" if verdict.enough_data else verdict.advice
            say(
                f"{run.version.family} against {verdict.against}: skill {figure(verdict.difference)} better "
                f"({figure(verdict.low)} … {figure(verdict.high)}); {sure}."
            )
    told = intervals_json(run)
    for kind in told["kinds"][:2]:
        years = ", ".join(f"{y} {c:.0f} %" for y, c in zip(told["years"], kind["coverage_by_year"], strict=True))
        say(
            f"80 % interval, {kind['kind']}: covers {kind['coverage']:.1f} % ({years}), interval score {figure(kind['winkler'])}."
        )
    say(
        f"Champion: {run.version.family}, version {run.version.version} of task {run.task.name} ({run.version.status}); "
        f"{run.chosen_because}.",
        "bold green",
    )
    say(f"Report: {finished.report}")
    say(f"Next: epic22 predict {run.task.name}, or epic22 serve")
