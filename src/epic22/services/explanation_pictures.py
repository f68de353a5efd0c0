"""Pictures of an explanation: importance, permutation loss, and how a strong column's contribution goes with its value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from epic22.core.drawing import INK, MAIN, MUTED, OTHER, WARM, axes_for, png
from epic22.core.evaluation.dependence import Dependence, Mark
from epic22.core.evaluation.estimate import Estimate
from epic22.core.evaluation.explain import Explanation
from epic22.core.wording import moment
from epic22.services.pictures import plain_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 15
MOST_SHAPES = 6
MISSING_GAP = 0.12
"""How far right of the values missing ones are drawn, by the width of the values."""


@dataclass(frozen=True)
class ExplanationPicture:
    """A picture of an explanation: its name, title, and one sentence on how to read it."""

    name: str
    title: str
    caption: str
    draw: Callable[[], "Figure"]


def explanation_pictures(explanation: Explanation | None) -> tuple[ExplanationPicture, ...]:
    """All pictures of it, in the report's order; none where there is no explanation."""
    if explanation is None:
        return ()
    shapes = explanation.dependences[:MOST_SHAPES]
    return (
        ExplanationPicture(
            "importance",
            "What moves the score",
            "Mean size of each column's exact SHAP contribution on test rows, with its 95 % interval over rows and trainings. "
            "It says what the model uses, not what causes the outcome.",
            lambda: importance(explanation),
        ),
        ExplanationPicture(
            "permutation",
            "What held-out rows lose",
            f"How much {explanation.metric} gets worse when a column's values are dealt anew, with its 95 % interval. "
            "An interval that touches zero is no proof that the column helps.",
            lambda: permutation(explanation),
        ),
        *(_shape_picture(explanation, shape, number) for number, shape in enumerate(shapes, start=1)),
    )


def _shape_picture(explanation: Explanation, shape: Dependence, number: int) -> ExplanationPicture:
    name = shape.column.about or shape.column.name
    toward = "" if shape.toward is None else f" toward {shape.toward}"
    return ExplanationPicture(
        f"dependence_{number}",
        f"{name}{toward}",
        "Mean contribution by value: bold the mean over folds with its 95 % interval, thin each fold's own model.",
        lambda: dependence(explanation, shape),
    )


def explanation_pngs(explanation: Explanation | None) -> dict[str, bytes]:
    """Every picture as PNG by name, on white."""
    return {picture.name: png(picture.draw()) for picture in explanation_pictures(explanation)}


def importance(explanation: Explanation) -> "Figure":
    """Strength of each column with its interval."""
    shown = explanation.columns[:MOST_BARS]
    label = f"mean |contribution| ({plain_name(explanation.unit)})"
    return _ranked([(one.column.about or one.column.name, one.strength) for one in shown], label)


def permutation(explanation: Explanation) -> "Figure":
    """What each column's values are worth, in the same order; what is certain in colour."""
    shown = [(one.column.about or one.column.name, one.loss) for one in explanation.columns[:MOST_BARS] if one.loss is not None]
    return _ranked(shown, f"{explanation.metric}, worse by", proof=True)


def _ranked(rows: list[tuple[str, Estimate]], label: str, proof: bool = False) -> "Figure":
    figure, axes = axes_for(height=1.0 + 0.3 * len(rows))
    for place, (_, found) in enumerate(reversed(rows)):
        colour = OTHER if proof and not found.low > 0 else MAIN
        if np.isfinite(found.low):
            axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2.5, solid_capstyle="round")
        axes.plot(found.value, place, "o", color=colour, markersize=6)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(rows)), [plain_name(name) for name, _ in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)
    return figure


def dependence(explanation: Explanation, shape: Dependence) -> "Figure":
    """Contribution against value: a line with its band for numbers and times, a line a level for categories."""
    if shape.column.dtype in ("category", "bool"):
        return _levels(explanation, shape)
    figure, axes = axes_for(height=3.2)
    place = np.array([mark.middle for mark in shape.marks], dtype=float)
    for fold in range(explanation.folds):
        axes.plot(place, [mark.folds[fold] for mark in shape.marks], color=OTHER, linewidth=0.8)
    means, lows, highs = _band(shape.marks)
    axes.fill_between(place, lows, highs, color=MAIN, alpha=0.2, linewidth=0)
    axes.plot(place, means, "o-", color=MAIN, linewidth=2, markersize=4)
    axes.axhline(0, color=MUTED, linewidth=1)
    if shape.column.dtype == "time":
        ticks = np.linspace(place.min(), place.max(), 4) if len(place) else np.zeros(0)
        axes.set_xticks(ticks, [moment(float(np.floor(tick))) for tick in ticks])
    else:
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.locator_params(axis="x", nbins=6)
    if shape.missing is not None:
        _missing(axes, shape.missing, place)
    axes.set_xlabel(plain_name(shape.column.unit or shape.column.name))
    axes.set_ylabel(_contribution(explanation))
    return figure


def _missing(axes: "Axes", mark: Mark, place: np.ndarray) -> None:
    """Missing values as a mark of their own, right of the values."""
    width = float(np.ptp(place)) if len(place) > 1 else 1.0
    at = (float(place.max()) if len(place) else 0.0) + MISSING_GAP * (width or 1.0)
    axes.plot([at] * len(mark.folds), mark.folds, "_", color=OTHER, markersize=9)
    axes.plot([at, at], [mark.contribution.low, mark.contribution.high], color=WARM, linewidth=2)
    axes.plot(at, mark.contribution.value, "D", color=WARM, markersize=6)
    axes.annotate(
        "missing", (at, mark.contribution.value), (8, 0), textcoords="offset points", color=INK, fontsize=8, va="center"
    )
    axes.margins(x=0.12)
    # Few rows leave a long interval; the values' own shape must stay readable beside it.
    ends = [*(y for line in axes.lines[:-3] for y in np.asarray(line.get_ydata(), dtype=float)), mark.contribution.value]
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    axes.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))


def _levels(explanation: Explanation, shape: Dependence) -> "Figure":
    marks = [*shape.marks, *(() if shape.missing is None else (shape.missing,))]
    figure, axes = axes_for(height=1.1 + 0.32 * len(marks))
    for place, mark in enumerate(reversed(marks)):
        colour = WARM if mark is shape.missing else MAIN
        axes.plot(mark.folds, [place] * len(mark.folds), "|", color=OTHER, markersize=10)
        axes.plot([mark.contribution.low, mark.contribution.high], [place, place], color=colour, linewidth=2.5)
        axes.plot(mark.contribution.value, place, "o", color=colour, markersize=6)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(marks)), [plain_name(mark.label) for mark in reversed(marks)])
    axes.set_ylim(-0.6, len(marks) - 0.4)
    axes.set_xlabel(_contribution(explanation))
    return figure


def _band(marks: tuple[Mark, ...]) -> tuple[list[float], list[float], list[float]]:
    found = [mark.contribution for mark in marks]
    return [one.value for one in found], [one.low for one in found], [one.high for one in found]


def _contribution(explanation: Explanation) -> str:
    return f"contribution ({plain_name(explanation.unit)})"
