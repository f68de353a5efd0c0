"""`epic22 sample`: a simulated portfolio as a folder of tables, with its truth, two flat tables and a page of pictures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.terminal import print_line, print_table, show_progress


class SizeName(StrEnum):
    """The sizes of a portfolio."""

    small = "small"
    large = "large"


class LayoutName(StrEnum):
    """The file formats of tables."""

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
        portfolio = bootstrap.write_sample(folder, size.value, seed, fault or (), layout.value, bars)
    print_table("Simulated tables", ["table", "rows"], [[name, f"{frame.height:,}"] for name, frame in portfolio.tables.items()])
    for planted in portfolio.planted:
        print_line(f"Planted {planted.name} in {planted.table}: {planted.words}.", "yellow")
    print_line(f"Tables are in {folder / 'tables'}, the truth in {folder / 'truth'}; look at {folder / 'portfolio.html'}")
