"""A month in service as one page that opens offline."""

from pathlib import Path

from epic22.reports.figures.month import FIGURES
from epic22.reports.figures.style import draw_figures, render_svgs
from epic22.reports.html.page import render_page, write_atomically
from epic22.services.month import Month


def write_month_report(path: Path, month: Month, title: str) -> Path:
    """Write the page whole; names are escaped."""
    text = render_page(
        "month.html",
        title=title,
        headline=describe_outcome(month),
        month=month,
        pictures=render_svgs(FIGURES, draw_figures(FIGURES, month)),
        money=lambda amount: f"{amount:,.0f}",
    )
    return write_atomically(path, text)


def describe_outcome(month: Month) -> str:
    """The month in one sentence."""
    money = month.money
    share = money.model / money.best if money.best > 0 else 0.0
    return (
        f"The lists of {len(month.days)} days are expected to save {money.model:,.0f}, {share:.0%} of the best possible; "
        f"those of the rule of today {money.rule:,.0f}"
    )
