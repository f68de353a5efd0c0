"""A simulated portfolio in a folder: tables, truth, two flat tables, a page of pictures."""

from collections.abc import Sequence
from pathlib import Path

from epic22.core.progress import Progress
from epic22.reports.figures.simulation import FIGURES
from epic22.reports.html.simulation import render_simulation_page
from epic22.simulator.flat_tables import write_flat_tables
from epic22.simulator.portfolio import FileFormat, Portfolio, check_fault_names, plant_faults, simulate, write_portfolio


def write_sample(
    folder: Path, size: str, seed: int, faults: Sequence[str], file_format: FileFormat, progress: Progress = Progress()
) -> Portfolio:
    """The portfolio of a size and seed, its faults planted, as it was written to the folder; the pictures show it without faults.

    Raises UserError for an unknown size or fault.
    """
    check_fault_names(faults)
    clean = simulate(size, seed, on_part=lambda what: progress.begin(what, 1))
    portfolio = plant_faults(clean, faults, seed)
    progress.begin("files", 1)
    write_portfolio(portfolio, folder, file_format)
    write_flat_tables(clean.tables, folder)
    progress.begin("pictures", len(FIGURES))
    page = render_simulation_page(clean, f"A {size} portfolio, seed {seed}")
    (folder / "portfolio.html").write_text(page, encoding="utf-8")
    return portfolio
