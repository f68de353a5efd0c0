"""A month in service as one page that opens offline."""

from pathlib import Path

from epic22.core.text import format_percent
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
    share = format_percent(max(0.0, money.model / money.best if money.best > 0 else 0.0))
    return (
        f"The lists of {len(month.days)} days are expected to {_describe_saving(money.model)}, {share} of the best possible; "
        f"those of the rule of today to {_describe_saving(money.rule)}"
    )


def _describe_saving(money: float) -> str:
    return f"{'save' if money >= 0 else 'lose'} {abs(money):,.0f}"
