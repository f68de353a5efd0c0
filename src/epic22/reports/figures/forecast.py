"""Pictures of a panel's training: fans, skill by horizon, coverage over time, best and worst series, anomalies."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from epic22.reports.figures.style import (
    INK,
    MAIN,
    MUTED,
    OTHER,
    STYLES,
    WARM,
    ReportFigure,
    add_legend,
    draw_reference,
    fill_intervals,
    fit_to_values,
    format_name,
)
from epic22.services.forecast_findings import compute_coverage_by_origin, compute_series_skill
from epic22.services.training_run import COMBINATION, SeriesRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_PERIODS = 60


def draw_fan(run: SeriesRun, axes: "Axes", place: float) -> None:
    """The series at that place between worst (0) and best (1): what was known, the last test origin's fan, and what came."""
    ranked = compute_series_skill(run)
    if not ranked:
        return
    name = ranked[round(place * (len(ranked) - 1))].series
    rows = np.flatnonzero(run.examples.entity.astype(str) == name)
    tested = rows[np.isin(rows, run.test)]
    row = tested[-1] if len(tested) else rows[-1]
    known = run.examples.histories.get_series(int(row))[-SHOWN_PERIODS:]
    origin = int(run.examples.origin[row])
    before, ahead = np.arange(origin - len(known) + 1, origin + 1), np.arange(origin + 1, origin + 1 + run.plan.horizon)
    quantiles = run.champion.forecasts.quantiles[row]
    joined = np.concatenate([[origin], ahead])
    for low, high, strength in ((0, -1, 0.25), (1, -2, 0.35)):
        bottom, top = (np.concatenate([[known[-1]], quantiles[:, q]]) for q in (low, high))
        axes.fill_between(joined, bottom, top, color=MAIN, alpha=strength, linewidth=0)
    axes.plot(
        joined, np.concatenate([[known[-1]], run.champion.forecasts.median[row]]), color=MAIN, linewidth=2, label="forecast"
    )
    axes.plot(before, known, color=INK, linewidth=1.5, label="known")
    axes.plot(ahead, run.examples.Y[row], "o", color=WARM, markersize=3.5, label="what came")
    _label_periods(run, axes, before[0], ahead[-1])
    axes.set_title(format_name(name), fontsize=10, color=INK)
    add_legend(axes)


def _label_periods(run: SeriesRun, axes: "Axes", first: int, last: int) -> None:
    ticks = np.unique(np.linspace(first, last, 5).astype(int))
    axes.set_xticks(ticks, [run.frequency.label(int(t)) for t in ticks])


def _label_horizons(run: SeriesRun, axes: "Axes") -> None:
    axes.set_xlabel(f"horizon, {run.frequency.noun}s")
    axes.set_xticks(np.unique(np.linspace(1, run.plan.horizon, min(run.plan.horizon, 7)).round().astype(int)))


def draw_skill_by_horizon(run: SeriesRun, axes: "Axes") -> None:
    """The champion's skill with its interval at each horizon, beside the best others'."""
    horizons = np.arange(1, run.plan.horizon + 1)
    own = [run.champion.score("skill", int(h)) for h in horizons]
    fill_intervals(axes, horizons, own)
    others = [evaluation for evaluation in run.leaderboard if evaluation is not run.champion]
    shown: list[float] = []
    for place, evaluation in enumerate([run.champion, *others[:4]]):
        values = [evaluation.score("skill", int(h)).value for h in horizons]
        shown += values
        colour = MAIN if evaluation is run.champion else OTHER
        style = "-" if evaluation is run.champion else STYLES[(place - 1) % len(STYLES)]
        axes.plot(horizons, values, style, color=colour, linewidth=2 if place == 0 else 1.3, label=evaluation.family)
    draw_reference(axes, 0)
    fit_to_values(axes, [0.0, *shown])
    _label_horizons(run, axes)
    axes.set_ylabel("skill against the drift")
    add_legend(axes)


def draw_coverage_over_time(run: SeriesRun, axes: "Axes") -> None:
    """Share of values inside the 80 % interval by origin: adapted, and calibrated once."""
    for adapted, colour, name in ((run.static, OTHER, "calibrated once"), (run.adapted, MAIN, "adaptive")):
        share = [one.coverage for one in compute_coverage_by_origin(run, adapted)]
        axes.plot(run.plan.test, share, "o-", color=colour, linewidth=1.5, markersize=3, label=name)
    draw_reference(axes, 80)
    axes.set_ylim(0, 103)
    axes.set_ylabel("covered, %")
    _label_periods(run, axes, int(run.plan.test[0]), int(run.plan.test[-1]))
    add_legend(axes)


def draw_coverage_by_horizon(run: SeriesRun, axes: "Axes") -> None:
    """Share of values inside the 80 % interval by horizon."""
    horizons = range(1, run.plan.horizon + 1)
    own = [run.champion.score("coverage_80", h) for h in horizons]
    axes.plot(horizons, [s.value for s in own], "o-", color=MAIN, linewidth=2)
    fill_intervals(axes, horizons, own)
    draw_reference(axes, 80)
    axes.set_ylim(0, 103)
    _label_horizons(run, axes)
    axes.set_ylabel("covered, %")


def draw_weights_by_horizon(run: SeriesRun, axes: "Axes") -> None:
    """What the combination of the next forecasts is made of, by horizon."""
    horizons = np.arange(1, run.plan.horizon + 1)
    names = [*run.members, "naive"]
    shown = [i for i in range(len(names)) if run.weights[:, i].max() > 0]
    for place, i in enumerate(shown):
        axes.plot(
            horizons,
            run.weights[:, i],
            STYLES[place % len(STYLES)],
            label=names[i],
            linewidth=2,
            color=(MAIN, WARM, OTHER, INK, MUTED)[place % 5],
        )
    axes.set_ylim(0, 1.05)
    _label_horizons(run, axes)
    axes.set_ylabel("weight")
    add_legend(axes)


FORECAST_FIGURES: tuple[ReportFigure[SeriesRun], ...] = (
    ReportFigure(
        "skill_by_horizon",
        "Skill by horizon",
        "Above the dashed line: better than letting the last cycle's growth go on. Shade: the champion's 95 % interval, which "
        "goes beyond the picture where little is known.",
        draw_skill_by_horizon,
        height=3.8,
    ),
    ReportFigure(
        "coverage_over_time",
        "Coverage by origin",
        "Share of values inside the 80 % interval. One shock moves all series at once, so whole origins miss together.",
        draw_coverage_over_time,
    ),
    ReportFigure(
        "coverage_by_horizon",
        "Coverage by horizon",
        "Dashed: the stated 80 %.",
        draw_coverage_by_horizon,
        height=3.0,
    ),
    ReportFigure(
        "weights",
        "The combination",
        "Chosen on earlier origins; near equal on little evidence.",
        draw_weights_by_horizon,
        lambda run: run.champion.family == COMBINATION,
        height=3.0,
    ),
    *(
        ReportFigure(f"fan_{name}", title, caption, partial(draw_fan, place=place), height=3.2)
        for name, title, caption, place in (
            ("best", "Best series", "From the last test origin: 50 and 80 % intervals, and what came.", 1.0),
            ("middle", "Series in the middle", "The same for the series with the median skill.", 0.5),
            ("worst", "Worst series", "The same for the series with the least skill.", 0.0),
        )
    ),
)
"""All pictures, in the report's order. A new one is one function and one line here."""
