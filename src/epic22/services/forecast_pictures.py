"""Pictures of a panel's training: fans, skill by horizon, coverage over time, best and worst series, anomalies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from epic22.core.drawing import INK, MAIN, MUTED, OTHER, WARM, axes_for, png
from epic22.core.history import Array
from epic22.services.forecast import COMBINATION, PanelEvaluation, PanelRun
from epic22.services.forecast_results import coverage_by_origin
from epic22.services.pictures import add_legend, plain_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_PERIODS = 60
STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class PanelPicture:
    """A picture: its name, title, and one sentence on how to read it."""

    name: str
    title: str
    caption: str
    draw: Callable[[PanelRun], "Figure"]


def row_skill(run: PanelRun) -> tuple[list[str], Array]:
    """Each series' skill on the test origins, ascending: names and values."""
    own = np.abs(run.rows.Y - run.champion.forecasts.median[run.test])
    drift = np.abs(run.rows.Y - run.rows.drift)
    names, code = np.unique(run.examples.entity[run.test].astype(str), return_inverse=True)
    sums = [np.bincount(code, np.nansum(e, axis=1), minlength=len(names)) for e in (own, drift)]
    with np.errstate(divide="ignore", invalid="ignore"):
        skill = np.where(sums[1] > 0, 1 - sums[0] / sums[1], np.nan)
    known = np.flatnonzero(np.isfinite(skill))
    order = known[np.argsort(skill[known], kind="stable")]
    return [str(names[i]) for i in order], skill[order]


def _fan(run: PanelRun, place: float) -> "Figure":
    """The series at that place between worst (0) and best (1): what was known, the last test origin's fan, and what came."""
    names, _ = row_skill(run)
    figure, axes = axes_for(height=3.2)
    if not names:
        return figure
    _draw_fan(run, axes, names[round(place * (len(names) - 1))])
    return figure


def _draw_fan(run: PanelRun, axes: "Axes", name: str) -> None:
    rows = np.flatnonzero(run.examples.entity.astype(str) == name)
    tested = rows[np.isin(rows, run.test)]
    row = tested[-1] if len(tested) else rows[-1]
    known = run.examples.histories.one(int(row))[-SHOWN_PERIODS:]
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
    _periods(run, axes, before[0], ahead[-1])
    axes.set_title(plain_name(name), fontsize=10, color=INK)
    add_legend(axes)


def _periods(run: PanelRun, axes: "Axes", first: int, last: int) -> None:
    ticks = np.unique(np.linspace(first, last, 5).astype(int))
    axes.set_xticks(ticks, [run.frequency.label(int(t)) for t in ticks])


def worst_fan(run: PanelRun) -> "Figure":
    """The series forecast worst."""
    return _fan(run, 0.0)


def middle_fan(run: PanelRun) -> "Figure":
    """The series in the middle."""
    return _fan(run, 0.5)


def best_fan(run: PanelRun) -> "Figure":
    """The series forecast best."""
    return _fan(run, 1.0)


def _named(run: PanelRun) -> list[PanelEvaluation]:
    """The champion, then the others, best first."""
    return [run.champion, *(e for e in run.leaderboard if e is not run.champion)]


def skill_by_horizon(run: PanelRun) -> "Figure":
    """The champion's skill with its interval at each horizon, beside the best others'."""
    figure, axes = axes_for(height=3.8)
    horizons = np.arange(1, run.plan.horizon + 1)
    own = [run.champion.score("skill", int(h)) for h in horizons]
    axes.fill_between(horizons, [s.low for s in own], [s.high for s in own], color=MAIN, alpha=0.2, linewidth=0)
    for place, evaluation in enumerate(_named(run)[:5]):
        values = [evaluation.score("skill", int(h)).value for h in horizons]
        colour = MAIN if evaluation is run.champion else OTHER
        style = "-" if evaluation is run.champion else STYLES[(place - 1) % len(STYLES)]
        axes.plot(horizons, values, style, color=colour, linewidth=2 if place == 0 else 1.3, label=evaluation.family)
    axes.axhline(0, color=WARM, linewidth=1, linestyle="--")
    axes.set_xlabel(f"horizon, {run.frequency.noun}s")
    axes.set_xticks(np.unique(np.linspace(1, run.plan.horizon, min(run.plan.horizon, 7)).round().astype(int)))
    axes.set_ylabel("skill against the drift")
    add_legend(axes)
    return figure


def coverage_over_time(run: PanelRun) -> "Figure":
    """Share of values inside the 80 % interval by origin: adapted, and calibrated once."""
    figure, axes = axes_for(height=3.4)
    for adapted, colour, name in ((run.static, OTHER, "calibrated once"), (run.adapted, MAIN, "adaptive")):
        share = [covered for _, covered in coverage_by_origin(run, adapted)]
        axes.plot(run.plan.test, share, "o-", color=colour, linewidth=1.5, markersize=3, label=name)
    axes.axhline(80, color=WARM, linewidth=1, linestyle="--")
    axes.set_ylim(0, 103)
    axes.set_ylabel("covered, %")
    _periods(run, axes, int(run.plan.test[0]), int(run.plan.test[-1]))
    add_legend(axes)
    return figure


def coverage_by_horizon(run: PanelRun) -> "Figure":
    """Share of values inside the 80 % interval by horizon."""
    figure, axes = axes_for(height=3.0)
    horizons = range(1, run.plan.horizon + 1)
    own = [run.champion.score("coverage_80", h) for h in horizons]
    axes.plot(horizons, [s.value for s in own], "o-", color=MAIN, linewidth=2)
    axes.fill_between(horizons, [s.low for s in own], [s.high for s in own], color=MAIN, alpha=0.2, linewidth=0)
    axes.axhline(80, color=WARM, linewidth=1, linestyle="--")
    axes.set_ylim(0, 103)
    axes.set_xlabel(f"horizon, {run.frequency.noun}s")
    axes.set_xticks(np.unique(np.linspace(1, run.plan.horizon, min(run.plan.horizon, 7)).round().astype(int)))
    axes.set_ylabel("covered, %")
    return figure


def weights_by_horizon(run: PanelRun) -> "Figure":
    """What the combination of the next forecasts is made of, by horizon."""
    figure, axes = axes_for(height=3.0)
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
    axes.set_xlabel(f"horizon, {run.frequency.noun}s")
    axes.set_xticks(np.unique(np.linspace(1, run.plan.horizon, min(run.plan.horizon, 7)).round().astype(int)))
    axes.set_ylabel("weight")
    add_legend(axes)
    return figure


PANEL_PICTURES: tuple[PanelPicture, ...] = (
    PanelPicture(
        "skill_by_horizon",
        "Skill by horizon",
        "Above the dashed line: better than letting the last cycle's growth go on. Shade: the champion's 95 % interval.",
        skill_by_horizon,
    ),
    PanelPicture(
        "coverage_over_time",
        "Coverage by origin",
        "Share of values inside the 80 % interval. One shock moves all series at once, so whole origins miss together.",
        coverage_over_time,
    ),
    PanelPicture("coverage_by_horizon", "Coverage by horizon", "The dashed line is what is promised.", coverage_by_horizon),
    PanelPicture("weights", "The combination", "Chosen on earlier origins; near equal on little evidence.", weights_by_horizon),
    PanelPicture("fan_best", "Best series", "From the last test origin: 50 and 80 % intervals, and what came.", best_fan),
    PanelPicture("fan_middle", "Series in the middle", "The same for the series with the median skill.", middle_fan),
    PanelPicture("fan_worst", "Worst series", "The same for the series with the least skill.", worst_fan),
)
"""All pictures, in the report's order. A new one is one function and one line here."""


def panel_pictures(run: PanelRun) -> tuple[PanelPicture, ...]:
    """The pictures that suit the run: the weights only where the combination won."""
    return tuple(p for p in PANEL_PICTURES if p.name != "weights" or run.champion.family == COMBINATION)


def panel_pngs(run: PanelRun) -> dict[str, bytes]:
    """Every picture as PNG by name, on white: for the tracker."""
    return {picture.name: png(picture.draw(run)) for picture in panel_pictures(run)}
