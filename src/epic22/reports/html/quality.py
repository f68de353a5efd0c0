"""The quality of a data version as one page of pictures that opens offline."""

from pathlib import Path

from epic22.reports.figures.quality import FIGURES, list_distribution_figures
from epic22.reports.figures.style import draw_figures, render_svgs
from epic22.reports.html.page import render_page, write_atomically
from epic22.services.quality import VersionQuality


def render_quality(quality: VersionQuality) -> str:
    """The page; the same quality gives the same text."""
    distributions = list_distribution_figures(quality)
    return render_page(
        "quality.html",
        quality=quality,
        headline=name_outcome(quality),
        pictures=render_svgs(FIGURES, draw_figures(FIGURES, quality)),
        distributions=render_svgs(distributions, draw_figures(distributions, quality)),
    )


def write_quality_report(path: Path, quality: VersionQuality) -> Path:
    """Write the page whole, or leave what was there."""
    return write_atomically(path, render_quality(quality))


def name_outcome(quality: VersionQuality) -> str:
    """The outcome in a sentence without its stop."""
    n = len(quality.alarms)
    if not n:
        return f"Data version {quality.version.number}: nothing out of the ordinary"
    tables = list(dict.fromkeys(one.finding.table for one in quality.alarms))
    return f"Data version {quality.version.number}: {n} alarm{'' if n == 1 else 's'}, in {', '.join(tables)}"
