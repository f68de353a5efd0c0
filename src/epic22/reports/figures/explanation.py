"""Pictures of an explanation: importance, permutation loss, and how a strong column's contribution goes with its value."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from epic22.core.evaluation.explain.dependence import DependenceBin, DependenceProfile
from epic22.core.evaluation.explain.explanation import Explanation
from epic22.core.evaluation.intervals import Estimate
from epic22.core.text import WORDED_UNITS, format_time
from epic22.reports.figures.style import (
    INK,
    MAIN,
    MUTED,
    OTHER,
    SMALL_LETTERS,
    WARM,
    ReportFigure,
    draw_figures,
    draw_interval,
    fill_intervals,
    fit_to_values,
    format_name,
    label_rows,
    set_height,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 15
MAX_PROFILES = 6
MISSING_GAP = 0.12
"""How far right of the values missing ones are drawn, by the width of the values."""


def list_explanation_figures(explanation: Explanation | None) -> tuple[ReportFigure[Explanation], ...]:
    """All pictures of it, in the report's order; none where there is no explanation."""
    if explanation is None:
        return ()
    profiles = explanation.dependences[:MAX_PROFILES]
    return (
        ReportFigure(
            "importance",
            "What moves the score",
            "Mean size of each column's exact SHAP contribution on test rows, with its 95 % interval over rows and trainings. "
            "It says what the model uses, not what causes the outcome.",
            draw_importance,
        ),
        ReportFigure(
            "permutation",
            "What held-out rows lose",
            f"How much {explanation.metric} gets worse when a column's values are permuted, with its 95 % interval. "
            "An interval that touches zero is no proof that the column helps.",
            draw_permutation_loss,
        ),
        *(_dependence_figure(profile, number) for number, profile in enumerate(profiles, start=1)),
    )


def _dependence_figure(profile: DependenceProfile, number: int) -> ReportFigure[Explanation]:
    name = profile.column.about or profile.column.name
    toward = "" if profile.toward is None else f" toward {profile.toward}"
    return ReportFigure(
        f"dependence_{number}",
        f"{name}{toward}",
        "Mean contribution by value: bold the mean over folds with its 95 % interval, thin each fold's own model.",
        partial(draw_dependence, profile=profile),
        height=3.2,
    )


def draw_explanation_figures(explanation: Explanation | None) -> dict[str, "Figure"]:
    """Every picture drawn, by name; none where there is no explanation."""
    return {} if explanation is None else draw_figures(list_explanation_figures(explanation), explanation)


def draw_importance(explanation: Explanation, axes: "Axes") -> None:
    """Strength of each column with its interval."""
    shown = [(one.column.about or one.column.name, one.strength) for one in explanation.columns[:MAX_BARS]]
    _draw_ranked_bars(axes, shown, f"mean |contribution| ({format_name(explanation.unit)})")


def draw_permutation_loss(explanation: Explanation, axes: "Axes") -> None:
    """What each column's values are worth, in the same order; what is certain in colour."""
    shown = [(one.column.about or one.column.name, one.loss) for one in explanation.columns[:MAX_BARS] if one.loss is not None]
    _draw_ranked_bars(axes, shown, f"{explanation.metric}, worse by", mark_certain=True)


def _draw_ranked_bars(axes: "Axes", rows: list[tuple[str, Estimate]], label: str, mark_certain: bool = False) -> None:
    set_height(axes, 1.0 + 0.3 * len(rows))
    for place, (_, estimate) in enumerate(reversed(rows)):
        colour = OTHER if mark_certain and not estimate.low > 0 else MAIN
        draw_interval(axes, place, estimate, colour, (2.5, 6))
    axes.axvline(0, color=MUTED, linewidth=1)
    label_rows(axes, [name for name, _ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)


def draw_dependence(explanation: Explanation, axes: "Axes", profile: DependenceProfile) -> None:
    """Contribution against value: a line with its band for numbers and times, a line a level for categories."""
    if profile.column.dtype in ("category", "bool"):
        _draw_levels(explanation, axes, profile)
        return
    place = np.array([b.values and b.values.value for b in profile.bins], dtype=float)
    for fold in range(explanation.folds):
        axes.plot(place, [dependence_bin.folds[fold] for dependence_bin in profile.bins], color=OTHER, linewidth=0.8)
    contributions = [dependence_bin.contribution for dependence_bin in profile.bins]
    fill_intervals(axes, place, contributions)
    axes.plot(place, [one.value for one in contributions], "o-", color=MAIN, linewidth=2, markersize=4)
    axes.axhline(0, color=MUTED, linewidth=1)
    if profile.column.dtype == "time":
        ticks = np.linspace(place.min(), place.max(), 4) if len(place) else np.zeros(0)
        axes.set_xticks(ticks, [format_time(float(np.floor(tick))) for tick in ticks])
    else:
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.locator_params(axis="x", nbins=6)
    if profile.missing is not None:
        _draw_missing(axes, profile.missing, place)
    axes.set_xlabel(_value_label(axes, profile))
    axes.set_ylabel(_contribution_label(explanation))


def _value_label(axes: "Axes", profile: DependenceProfile) -> str:
    """What the values are, under their axis; a fraction is shown in per cent."""
    from matplotlib.ticker import PercentFormatter

    unit = profile.column.unit
    if unit == "fraction":
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        return "per cent"
    return format_name(profile.column.name if unit is None else WORDED_UNITS.get(unit, unit))


def _draw_missing(axes: "Axes", dependence_bin: DependenceBin, place: np.ndarray) -> None:
    """Missing values as a mark of their own, right of the values."""
    width = float(np.ptp(place)) if len(place) > 1 else 1.0
    at = (float(place.max()) if len(place) else 0.0) + MISSING_GAP * (width or 1.0)
    axes.plot([at] * len(dependence_bin.folds), dependence_bin.folds, "_", color=OTHER, markersize=9)
    axes.plot([at, at], [dependence_bin.contribution.low, dependence_bin.contribution.high], color=WARM, linewidth=2)
    axes.plot(at, dependence_bin.contribution.value, "D", color=WARM, markersize=6)
    axes.annotate(
        "missing",
        (at, dependence_bin.contribution.value),
        (8, 0),
        textcoords="offset points",
        color=INK,
        fontsize=SMALL_LETTERS,
        va="center",
    )
    axes.margins(x=0.12)
    values = [y for line in axes.lines[:-3] for y in np.asarray(line.get_ydata(), dtype=float)]
    fit_to_values(axes, [*values, dependence_bin.contribution.value])


def _draw_levels(explanation: Explanation, axes: "Axes", profile: DependenceProfile) -> None:
    bins = [*profile.bins, *(() if profile.missing is None else (profile.missing,))]
    set_height(axes, 1.1 + 0.32 * len(bins))
    for place, dependence_bin in enumerate(reversed(bins)):
        colour = WARM if dependence_bin is profile.missing else MAIN
        axes.plot(dependence_bin.folds, [place] * len(dependence_bin.folds), "|", color=OTHER, markersize=10)
        axes.plot(
            [dependence_bin.contribution.low, dependence_bin.contribution.high], [place, place], color=colour, linewidth=2.5
        )
        axes.plot(dependence_bin.contribution.value, place, "o", color=colour, markersize=6)
    axes.axvline(0, color=MUTED, linewidth=1)
    label_rows(axes, [dependence_bin.label for dependence_bin in bins])
    axes.set_ylim(-0.6, len(bins) - 0.4)
    axes.set_xlabel(_contribution_label(explanation))


def _contribution_label(explanation: Explanation) -> str:
    return f"contribution ({format_name(explanation.unit)})"
