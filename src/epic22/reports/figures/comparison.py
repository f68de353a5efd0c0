"""Pictures of families beside one another, and of a family without its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from epic22.core.evaluation.operating_points import CONSTANT
from epic22.core.statistics import Interval
from epic22.core.text import format_figure
from epic22.reports.figures.style import (
    INK,
    MAIN,
    MUTED,
    OTHER,
    WARM,
    ReportFigure,
    add_legend,
    draw_interval,
    draw_reference,
    format_name,
    label_rows,
    set_height,
    use_logarithmic_scale,
)
from epic22.services.ablation import Ablation
from epic22.services.comparison import is_baseline
from epic22.services.family_comparison import ComparedFamily, FamilyComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ((MAIN, "o", "-"), (WARM, "s", "-"), (OTHER, "^", "-"), (INK, "D", "--"), (MUTED, "v", "--"), (MAIN, "P", ":"))
"""Colour, marker and line of each curve, the reference's first."""


@dataclass(frozen=True)
class NamedDifference:
    """A difference with its name; `is_certain` where all comparisons are allowed for."""

    name: str
    difference: Interval
    is_certain: bool

    @property
    def colour(self) -> str:
        """Blue for certainly better, orange for certainly worse, grey for what is not told."""
        if not self.is_certain:
            return OTHER
        return MAIN if self.difference.value > 0 else WARM


def draw_differences(axes: "Axes", differences: Sequence[NamedDifference], label: str) -> None:
    """A forest plot: each difference with its interval, beside the line of no difference."""
    set_height(axes, 1.2 + 0.45 * max(len(differences), 1))
    for place, one in enumerate(reversed(differences)):
        draw_interval(axes, place, one.difference, one.colour, (3, 8))
    label_rows(axes, [one.name for one in differences])
    axes.set_ylim(-0.6, max(len(differences), 1) - 0.4)
    axes.axvline(0, color=MUTED, linewidth=1, linestyle="--")
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(label)


def draw_family_differences(comparison: FamilyComparison, axes: "Axes") -> None:
    """Each family against the reference; baselines, which lie far off, only where nothing else was compared."""
    rivals = [one for one in comparison.verdicts if not is_baseline(one.family)] or list(comparison.verdicts)
    rivals.sort(key=lambda one: -one.verdict.difference.value)
    differences = [NamedDifference(one.family, one.verdict.difference, one.verdict.certain) for one in rivals]
    draw_differences(axes, differences, f"better than {comparison.reference} by\n({comparison.task.target.metric.name})")


def draw_reliability_curves(comparison: FamilyComparison, axes: "Axes") -> None:
    """Predicted probability against observed share of each family, in bins of as many rows each."""
    for (colour, marker, line), family in zip(LINES, list_calibrated(comparison), strict=False):
        assert family.calibration is not None
        table = family.calibration.table
        axes.plot(
            [one.predicted for one in table],
            [one.observed.value for one in table],
            marker=marker,
            linestyle=line,
            color=colour,
            markersize=5,
            linewidth=1.5,
            label=format_name(family.name),
        )
    top = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--")
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed share")
    add_legend(axes)


def list_calibrated(comparison: FamilyComparison) -> list[ComparedFamily]:
    """The families with a calibration, the reference first; no baseline."""
    shown = [one for one in comparison.families if one.calibration is not None and not is_baseline(one.name)]
    return sorted(shown, key=lambda one: one.name != comparison.reference)


def draw_time_against_score(comparison: FamilyComparison, axes: "Axes") -> None:
    """The deciding metric of each family over the seconds that a fold takes it; the constant as a line."""
    metric = comparison.task.target.metric
    timed = [(one, one.cost.fit_seconds) for one in comparison.families if one.cost is not None and not is_baseline(one.name)]
    for family, seconds in timed:
        score, colour = family.evaluation.score(metric.name), MAIN if family.name == comparison.reference else OTHER
        if np.isfinite([score.low, score.high]).all():
            axes.plot([seconds, seconds], [score.low, score.high], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot(seconds, score.value, "o", color=colour, markersize=8)
        top = score.high if np.isfinite(score.high) else score.value
        axes.annotate(
            format_name(family.name),
            (seconds, top),
            xytext=(-2, 5),
            textcoords="offset points",
            rotation=40,
            color=INK,
            fontsize=9,
        )
    use_logarithmic_scale(axes, "x")
    axes.margins(x=0.25, y=0.2)
    _draw_constant(axes, comparison.get(CONSTANT).evaluation.score(metric.name).value)
    axes.set_xlabel("seconds to train a fold, logarithmic")
    axes.set_ylabel(f"{metric.name}\n({'higher' if metric.greater_is_better else 'lower'} is better)")


def _draw_constant(axes: "Axes", level: float) -> None:
    """The constant's score as a line; in words where the line would leave the families no room."""
    low, high = axes.get_ylim()
    if 2 * low - high <= level <= 2 * high - low:
        draw_reference(axes, level)
    elif np.isfinite(level):
        text = f"constant: {format_figure(level)}"
        axes.annotate(text, (0.02, 0.02), xycoords="axes fraction", color=WARM, fontsize=9)


def draw_part_differences(ablation: Ablation, axes: "Axes") -> None:
    """How much better the family is with each part than without it."""
    differences = [
        NamedDifference(one.part.name, one.gain or Interval(0.0, 0.0, 0.0), one.verdict is not None and one.verdict.certain)
        for one in ablation.parts
    ]
    draw_differences(axes, differences, f"better with the part by\n({ablation.task.target.metric.name})")


COMPARISON_FIGURES: tuple[ReportFigure[FamilyComparison], ...] = (
    ReportFigure(
        "family_differences",
        "Differences to the reference",
        "Dot: the paired difference on the same folds; bar: its 95 % interval. Right of the line is better. Blue and orange are "
        "certain after Holm's correction, grey is not.",
        draw_family_differences,
    ),
    ReportFigure(
        "reliability_curves",
        "Are the probabilities right?",
        "Rows of like probability, each tenth of them a dot: on the dashed line what was predicted is what happened.",
        draw_reliability_curves,
        lambda comparison: bool(list_calibrated(comparison)),
        height=4.0,
    ),
    ReportFigure(
        "time_against_score",
        "Time against score",
        "Seconds of the middle fold, and the deciding metric with its 95 % interval. The constant is a dashed line "
        "where it is near, else a figure.",
        draw_time_against_score,
        height=4.0,
    ),
)
"""The pictures of a comparison, in the page's order."""

ABLATION_FIGURES: tuple[ReportFigure[Ablation], ...] = (
    ReportFigure(
        "part_differences",
        "What each part is worth",
        "Dot: how much better the whole is than the family without the part; bar: its 95 % interval. Blue helps and orange "
        "harms, certainly after Holm's correction; grey is not certain. A dot alone on the line: no prediction changes.",
        draw_part_differences,
    ),
)
"""The pictures of an ablation."""
