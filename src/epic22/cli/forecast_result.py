"""Prints the result of a training on series."""

from typing import TYPE_CHECKING

from epic22 import bootstrap
from epic22.cli.terminal import print_line, print_table
from epic22.cli.training_result import print_place
from epic22.core.text import describe_difference, format_figure

if TYPE_CHECKING:
    from epic22.bootstrap import TrainingResult
    from epic22.services.training_run import SeriesRun


def print_forecast(result: "TrainingResult[SeriesRun]") -> None:
    """Print the result: origins, scores, weights, verdicts, coverage, champion."""
    run = result.run
    frequency, plan = run.frequency, run.plan
    for note in run.notes:
        print_line(f"· {note}", "dim")
    for equal in run.equals:
        print_line(f"· {equal.words}", "dim")
    print_line(
        f"Origins: {len(plan.test)} from {frequency.label(int(plan.test[0]))} to {frequency.label(int(plan.test[-1]))} evaluate; "
        f"{len(plan.earlier)} before them served to choose and to calibrate."
    )
    _print_scores(run)
    own = run.champion.score("skill")
    print_line(
        f"{run.version.family}: skill {format_figure(own.value)} (95 % interval {own.ends}, {own.blocks:.1f} effective blocks)."
    )
    shares = zip((*run.members, "naive"), run.weights.T, strict=True)
    shares_text = [f"{name} {w[0]:.0%} → {w[-1]:.0%}" for name, w in shares if w.max() > 0]
    print_line(f"Combination, weights from the first to the last horizon: {', '.join(shares_text)}.")
    for verdict in run.verdicts:
        if verdict.metric == "skill" and verdict.horizon == "all":
            sure = "certain" if verdict.certain else verdict.words
            print_line(
                f"{run.version.family} against {verdict.against}: skill {describe_difference(verdict.difference)}; {sure}."
            )
    coverage = bootstrap.compute_forecast_coverage(run)
    for kind in coverage.kinds[:2]:
        years = ", ".join(f"{y} {c:.0f} %" for y, c in zip(coverage.years, kind.coverage_by_year, strict=True))
        print_line(
            f"80 % interval, {kind.kind}: covers {kind.coverage:.1f} % ({years}), interval score {format_figure(kind.winkler)}."
        )
    print_line(coverage.sentence)
    if run.detection.tried:
        print_line(f"Detector of anomalies: {run.detection.reason}.")
    print_place(run, f"; {run.selection_reason}")
    print_line(f"Report: {result.report}")
    print_line(f"Next: epic22 predict {run.task.name}, or epic22 serve")


def _print_scores(run: "SeriesRun") -> None:
    """Print two tables of all families, for one with all scores would break names and figures on 80 columns."""
    overall = {
        "skill": "skill",
        "pinball": "pinball",
        "MASE": "mase",
        "coverage, %": "coverage_80",
        "interval score": "winkler_80",
    }
    rows = [[e.family, *(format_figure(e.score(metric).value) for metric in overall.values())] for e in run.leaderboard]
    print_table(f"{run.task.name}: scores on the test origins", ["family", *overall], rows)
    mape = "mean_absolute_percentage_error"
    rows = [[e.family, *(format_figure(e.score(mape, h).value, 3) for h in run.shown_horizons)] for e in run.leaderboard]
    print_table("MAPE in %, by periods ahead", ["family", *map(str, run.shown_horizons)], rows)
