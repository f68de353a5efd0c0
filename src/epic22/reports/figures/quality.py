"""Pictures of a data version: rows over versions, missing cells, freshness, quarantine, distributions before and now."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from epic22.core.quality.movement_tests import Histogram, MovementTest
from epic22.core.quality.version_comparison import STATE_TABLES
from epic22.core.text import format_figure
from epic22.reports.figures.style import (
    INK,
    MAIN,
    MUTED,
    OTHER,
    SMALL_LETTERS,
    WARM,
    ReportFigure,
    add_legend,
    format_name,
    label_rows,
    set_height,
)
from epic22.services.quality import VersionQuality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMNS, MAX_REASONS, MAX_DISTRIBUTIONS = 16, 12, 6
SPARK_HEIGHT = 0.7


def plot_rows_by_version(quality: VersionQuality, axes: "Axes") -> None:
    """A line a table, each on a scale of its own from zero, with its rows now."""
    set_height(axes, 0.8 + 0.34 * len(quality.tables))
    first = min((number for table in quality.tables for number, _ in table.rows_by_version), default=quality.version.number)
    for place, table in enumerate(reversed(quality.tables)):
        numbers = [number for number, _ in table.rows_by_version]
        rows = np.array([count for _, count in table.rows_by_version], dtype=float)
        heights = place - SPARK_HEIGHT / 2 + SPARK_HEIGHT * rows / max(rows.max(initial=0), 1)
        axes.plot(numbers, heights, "o-", color=MAIN, markersize=3, linewidth=1.5)
        axes.axhline(place - SPARK_HEIGHT / 2, color=OTHER, linewidth=0.5)
        _label_point(axes, f"{table.rows:,}", (quality.version.number, float(heights[-1])))
    label_rows(axes, [table.name for table in quality.tables])
    last = quality.version.number
    axes.set_xlim(first - 0.2, last + max(1.0, 0.25 * (last - first)))
    axes.set_xticks(np.unique(np.linspace(first, last, 6).round()).astype(int))
    axes.set_xlabel("version")


def _label_point(axes: "Axes", text: str, point: tuple[float, float]) -> None:
    """A text to the right of a point."""
    axes.annotate(text, point, xytext=(6, 0), textcoords="offset points", color=INK, fontsize=SMALL_LETTERS, va="center")


def list_missing(quality: VersionQuality) -> list[tuple[str, float | None, float]]:
    """The columns with missing cells, then and now; those that moved most first."""
    shares = [
        (f"{table.name}.{name}", before, now)
        for table in quality.tables
        for name, (before, now) in table.missing.items()
        if now or before
    ]
    return sorted(shares, key=lambda one: (-abs(one[2] - (one[2] if one[1] is None else one[1])), -one[2]))[:MAX_COLUMNS]


def plot_missing_cells(quality: VersionQuality, axes: "Axes") -> None:
    """The share of missing cells of columns, in the parent and now."""
    shares = list_missing(quality)
    set_height(axes, 0.9 + 0.3 * len(shares))
    for place, (_, before, now) in enumerate(reversed(shares)):
        if before is not None:
            axes.plot([before, now], [place, place], color=OTHER, linewidth=2)
            axes.plot(before, place, "o", color=OTHER, markersize=6, label="parent" if place == 0 else None)
        axes.plot(now, place, "o", color=MAIN, markersize=6, label="now" if place == 0 else None)
    label_rows(axes, [name for name, *_ in shares])
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of missing cells")
    add_legend(axes, fontsize=SMALL_LETTERS, above=True)


def plot_freshness(quality: VersionQuality, axes: "Axes") -> None:
    """Days from the newest row of each table to the version's end; stale ones in another colour."""
    tables = [table for table in quality.tables if table.name not in STATE_TABLES and table.lag_days is not None]
    stale = {one.finding.table for one in quality.findings if one.finding.what == "stale table"}
    set_height(axes, 0.9 + 0.3 * len(tables))
    for place, table in enumerate(reversed(tables)):
        days = max(0.0, table.lag_days or 0.0)
        axes.barh(place, days, color=WARM if table.name in stale else MAIN, height=0.6)
        _label_point(axes, format_figure(days, 2), (days, place))
    label_rows(axes, [table.name for table in tables])
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("days before the version's end")
    axes.margins(x=0.12)


def list_reasons(quality: VersionQuality) -> list[tuple[str, int]]:
    """Reasons of quarantine with their rows, the most first."""
    reasons = [(f"{table.name}: {reason}", rows) for table in quality.tables for reason, rows in table.quarantined.items()]
    return sorted(reasons, key=lambda one: -one[1])[:MAX_REASONS]


def plot_quarantine(quality: VersionQuality, axes: "Axes") -> None:
    """Rows that the ingest set apart, by reason."""
    reasons = list_reasons(quality)
    set_height(axes, 0.9 + 0.35 * len(reasons))
    for place, (_, rows) in enumerate(reversed(reasons)):
        axes.barh(place, rows, color=WARM, height=0.6)
        _label_point(axes, f"{rows:,}", (rows, place))
    label_rows(axes, [name for name, _ in reasons])
    axes.set_xlabel("rows")
    axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.12)


def plot_distribution(histogram: Histogram, quality: VersionQuality, axes: "Axes") -> None:
    """The share of each bin or level, before and now."""
    set_height(axes, 0.9 + 0.36 * len(histogram.labels))
    places = np.arange(len(histogram.labels))[::-1]
    axes.barh(places + 0.2, histogram.before, height=0.36, color=OTHER, label="before")
    axes.barh(places - 0.2, histogram.now, height=0.36, color=MAIN, label="now")
    axes.set_yticks(places, [format_name(label) for label in histogram.labels])
    axes.set_xlabel("share of the values", color=MUTED)
    add_legend(axes, fontsize=SMALL_LETTERS, above=True)


FIGURES: tuple[ReportFigure[VersionQuality], ...] = (
    ReportFigure(
        "rows", "Rows by version", "Each table on a scale of its own from zero; its rows now beside it.", plot_rows_by_version
    ),
    ReportFigure(
        "missing",
        "Missing cells",
        "Of all rows; the columns whose share moved most stand first. What became known only later is missing in good order.",
        plot_missing_cells,
        suits=lambda quality: bool(list_missing(quality)),
    ),
    ReportFigure(
        "freshness",
        "Freshness",
        "How long before the version's end the newest row of each table became known; orange: longer than its pauses of a year.",
        plot_freshness,
    ),
    ReportFigure(
        "quarantine",
        "Quarantine",
        "Rows that this version's ingest set apart, by reason; 'epic22 data quarantine' shows them.",
        plot_quarantine,
        suits=lambda quality: bool(list_reasons(quality)),
    ),
)


def list_distribution_figures(quality: VersionQuality) -> tuple[ReportFigure[VersionQuality], ...]:
    """The pictures of the distributions that moved least likely by chance; none of one that did not move."""
    moved = (test for test in quality.tests if test.histogram is not None and test.effect > 0)
    shown = sorted(moved, key=lambda test: test.p)[:MAX_DISTRIBUTIONS]
    return tuple(
        ReportFigure(
            f"distribution{place}",
            f"{test.table}.{test.column}",
            _describe_movement(test, quality.rules.alpha),
            partial(plot_distribution, test.histogram),
        )
        for place, test in enumerate(shown)
        if test.histogram is not None
    )


def _describe_movement(test: MovementTest, alpha: float) -> str:
    """How far a distribution moved, and its evidence where chance alone does not explain it."""
    figures = f"PSI {format_figure(test.effect, 2)}, p {format_figure(test.p, 2)}, corrected {format_figure(test.p_adjusted, 2)}."
    return f"{figures} {test.evidence if test.p_adjusted <= alpha else 'No more than chance explains.'}"
