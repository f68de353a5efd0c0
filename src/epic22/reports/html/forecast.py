"""A panel's training as one HTML file that opens offline: nothing is loaded from anywhere, nothing runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epic22.core.evaluation.anomaly_detectors import FALSE_ALARM_RATE, get_detector
from epic22.core.evaluation.significance import Verdict
from epic22.core.statistics import Interval
from epic22.core.text import format_figure
from epic22.reports.figures.forecast import FORECAST_FIGURES
from epic22.reports.figures.style import draw_figures, render_svgs
from epic22.reports.html.page import render_page, write_atomically
from epic22.services.forecast_findings import compute_forecast_coverage, compute_series_skill
from epic22.services.recent_anomalies import find_recent_anomalies
from epic22.services.training_run import SeriesRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SERIES = 8


def write_forecast_report(run: SeriesRun, path: Path, figures: Mapping[str, "Figure"] | None = None) -> Path:
    """Write the report whole: a reader never meets half a file. `figures`: the run's pictures where they are drawn already."""
    return write_atomically(path, render_forecast_report(run, figures))


def render_forecast_report(run: SeriesRun, figures: Mapping[str, "Figure"] | None = None) -> str:
    """The report as HTML; the same run gives the same text. Names out of the user's file are escaped."""
    ranked = compute_series_skill(run)
    # No series is among the best and the worst, but where there is one alone.
    n_shown = max(1, min(MAX_SERIES, len(ranked) // 2))
    return render_page(
        "forecast.html",
        run=run,
        headline=headline(run),
        lead=lead(run),
        pictures=render_svgs(FORECAST_FIGURES, draw_figures(FORECAST_FIGURES, run) if figures is None else figures),
        intervals=compute_forecast_coverage(run),
        verdicts=group_verdicts(run),
        zip_pairs=list(zip(ranked[::-1][:n_shown], ranked[:n_shown], strict=True)),
        anomalies=find_recent_anomalies(run, 3 * MAX_SERIES),
        detector=get_detector(run.detection.name),
        false_alarms=FALSE_ALARM_RATE,
        label=run.frequency.label,
        sources=[(Path(name).name, digest) for name, digest in run.data_version.sources],
    )


@dataclass(frozen=True)
class VerdictTable:
    """Verdicts with a row a rival and a column a metric and horizon; `methods` say of each column how it was judged, and what
    evidence is missing."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Verdict, ...]], ...]
    methods: tuple[tuple[str, str, str], ...]


def group_verdicts(run: SeriesRun) -> VerdictTable:
    """The verdicts of a run as a table."""
    rivals = list(dict.fromkeys(v.against for v in run.verdicts))
    first = [v for v in run.verdicts if v.against == rivals[0]]
    heads = [
        f"{v.metric}, {'all horizons' if v.horizon == 'all' else run.frequency.format_periods(float(v.horizon or 0))}"
        for v in first
    ]
    return VerdictTable(
        tuple(heads),
        tuple((rival, tuple(v for v in run.verdicts if v.against == rival)) for rival in rivals),
        # Of the advice what is missing, without the verdict on the one rival that it was given for.
        tuple((head, v.method, v.advice.partition("; ")[2]) for head, v in zip(heads, first, strict=True)),
    )


def headline(run: SeriesRun) -> str:
    """The outcome in one sentence."""
    skill = run.champion.score("skill")
    ahead = run.frequency.format_periods(run.plan.horizon)
    ends = f"({format_figure(skill.low)} to {format_figure(skill.high)})" if has_interval(skill) else "(no interval)"
    return (
        f"{run.task.target.name}, 1 to {ahead} ahead: {run.champion.family} has skill {format_figure(skill.value)} "
        f"{ends} against the drift"
    )


def has_interval(score: Interval) -> bool:
    """Whether there were stretches of time enough for an interval."""
    return math.isfinite(score.low) and math.isfinite(score.high)


def lead(run: SeriesRun) -> str:
    """What that means, and how far it may be trusted."""
    skill, covered = run.champion.score("skill"), run.champion.score("coverage_80")
    better = (
        f"Its errors are {abs(skill.value):.0%} {'smaller' if skill.value > 0 else 'larger'} than those of a drift, on average"
    )
    trust = "so read the interval as a hint" if has_interval(skill) else "too few for an interval"
    return (
        f"{better} over {len(run.plan.test)} test origins, worth {skill.blocks:.1f} independent stretches, {trust}. "
        f"The 80 % interval covered {covered.value:.0f} %."
    )
