"""`epic22 demo`: the product's main job once, on a simulated portfolio, from raw tables to decisions and a served answer."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="Where the tables, the report and the answer are written.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another portfolio.")] = 0,
    month: Annotated[
        bool, typer.Option("--month", help="A month in fast time in place of a day: ingests, trainings, lists.")
    ] = False,
) -> None:
    """Simulate a portfolio, ingest, audit, train the five features, decide in money, ask the API, show the fairness gate."""
    if month:
        from epic22.cli.demo_month import demonstrate_month

        demonstrate_month(folder, seed)
        return
    from epic22.cli.demo_steps import demonstrate

    demonstrate(folder, seed)
