"""A simulated portfolio as one page of pictures that opens offline."""

from collections.abc import Sequence

from epic22.reports.figures.simulation import FIGURES
from epic22.reports.figures.style import ReportFigure, draw_figures, render_svgs
from epic22.reports.html.page import render_page
from epic22.simulator.portfolio import Portfolio


def render_simulation_page(portfolio: Portfolio, title: str, pictures: Sequence[ReportFigure[Portfolio]] = FIGURES) -> str:
    """The page as HTML; the same portfolio gives the same text."""
    return render_page(
        "simulation.html",
        title=title,
        end=f"{portfolio.end:%Y-%m-%d}",
        tables=[(name, table.height) for name, table in portfolio.tables.items()],
        pictures=render_svgs(pictures, draw_figures(pictures, portfolio)),
    )
