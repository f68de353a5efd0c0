"""Pictures of a month: the money of the lists day by day, and the rows that came."""

from itertools import accumulate
from typing import TYPE_CHECKING

from epic22.reports.figures.style import INK, MAIN, MUTED, OTHER, WARM, ReportFigure, add_legend
from epic22.services.month import Month

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_TICKS = 6


def plot_money(month: Month, axes: "Axes") -> None:
    """What the lists are expected to have saved by each day; trainings as lines, solid where the model came to serve."""
    places = range(len(month.days))
    for name, values, colour in (
        ("best possible", [day.money.best for day in month.days], OTHER),
        ("champion", [day.money.model for day in month.days], MAIN),
        ("rule of today", [day.money.rule for day in month.days], WARM),
    ):
        axes.plot(places, list(accumulate(values)), color=colour, label=name, linewidth=2)
    for training in month.trainings:
        place = (training.day - month.days[0].day).days
        axes.axvline(place, color=INK if training.promoted else MUTED, linewidth=1, linestyle="-" if training.promoted else ":")
    axes.set_ylabel("expected saving so far")
    _label_days(month, axes)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    add_legend(axes, above=True)


def plot_rows(month: Month, axes: "Axes") -> None:
    """Rows that each day's ingest added."""
    axes.bar(range(len(month.days)), [day.new_rows for day in month.days], color=MAIN, width=0.7)
    axes.set_ylabel("new rows")
    _label_days(month, axes)


def _label_days(month: Month, axes: "Axes") -> None:
    places = list(range(0, len(month.days), max(1, len(month.days) // N_TICKS)))
    axes.set_xticks(places, [f"{month.days[place].day:%d %b}" for place in places])


FIGURES: tuple[ReportFigure[Month], ...] = (
    ReportFigure(
        "money",
        "What the lists are worth",
        "Money that acting on each day's list is expected to save by the simulator's own probabilities, added up. Upright "
        "lines are trainings: solid where their model came to serve, dotted where a gate refused it.",
        plot_money,
    ),
    ReportFigure("rows", "What came", "Rows that each day's ingest added to the tables.", plot_rows),
)
