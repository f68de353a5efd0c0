"""`epic22 sample`: a simulated portfolio as a folder of tables, with its truth, two flat tables and a page of pictures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from epic22.cli.terminal import print_line, print_table, show_progress
from epic22.reports.figures.simulation import FIGURES
from epic22.reports.html.simulation import render_simulation_page
from epic22.simulator.flat_tables import write_flat_tables
from epic22.simulator.portfolio import check_fault_names, plant_faults, simulate, write_portfolio


class SizeName(StrEnum):
    """The sizes there are."""

    small = "small"
    large = "large"


class LayoutName(StrEnum):
    """How tables are written."""

    csv = "csv"
    parquet = "parquet"
    jsonl = "jsonl"


def sample(
    folder: Annotated[Path, typer.Option(help="Where tables, truth and pictures are written.")] = Path("sample"),
    size: Annotated[SizeName, typer.Option(help="small: 40 properties; large: 1,000, 10 million readings.")] = SizeName.small,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    layout: Annotated[LayoutName, typer.Option(help="The tables' file format.")] = LayoutName.csv,
    fault: Annotated[list[str] | None, typer.Option(help="Plant this fault; may be given more than once.")] = None,
) -> None:
    """Simulate a property company: all canonical tables, true probabilities beside them, a page of pictures."""
    with show_progress() as bars:
        check_fault_names(fault or [])
        clean = simulate(size.value, seed, on_part=lambda what: bars.begin(what, 1))
        portfolio = plant_faults(clean, fault or (), seed)
        bars.begin("files", 1)
        write_portfolio(portfolio, folder, layout.value)
        write_flat_tables(clean.tables, folder)
        bars.begin("pictures", len(FIGURES))
        page = render_simulation_page(clean, f"A {size.value} portfolio, seed {seed}")
        (folder / "portfolio.html").write_text(page, encoding="utf-8")
    print_table("Simulated tables", ["table", "rows"], [[name, f"{frame.height:,}"] for name, frame in portfolio.tables.items()])
    for planted in portfolio.planted:
        print_line(f"Planted {planted.name} in {planted.table}: {planted.words}.", "yellow")
    print_line(f"Tables are in {folder / 'tables'}, the truth in {folder / 'truth'}; look at {folder / 'portfolio.html'}")
