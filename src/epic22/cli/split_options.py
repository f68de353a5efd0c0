"""The options that say which rows judge a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

SPLIT = "The split"

GroupBy = Annotated[
    str | None,
    typer.Option(help="day, week or month: whole periods of --time are the groups.", rich_help_panel=SPLIT),
]
Horizon = Annotated[
    float,
    typer.Option(min=0, help="Days from a row's time to its label; with --panel, periods to forecast.", rich_help_panel=SPLIT),
]
Gap = Annotated[float, typer.Option(min=0, help="More days until a label is known (label delay).", rich_help_panel=SPLIT)]
TestFile = Annotated[Path | None, typer.Option(help="Test on this file.", rich_help_panel=SPLIT)]
HoldoutFrom = Annotated[
    str | None, typer.Option(help="Test on all rows from this date on (ISO 8601, UTC).", rich_help_panel=SPLIT)
]
HoldoutLast = Annotated[
    int | None, typer.Option(min=1, help="Test on the last so many moments of --time.", rich_help_panel=SPLIT)
]
RandomRows = Annotated[
    bool,
    typer.Option(
        "--random-rows-despite-time",
        help="Deal timed rows at random: leaks neighbours in time, is warned of in every report.",
        rich_help_panel=SPLIT,
    ),
]
Folds = Annotated[int, typer.Option("--folds", min=2, help="Folds that judge.", rich_help_panel=SPLIT)]
Repeats = Annotated[
    int | None,
    typer.Option("--repeats", min=1, help="How often rows are dealt: 5 times, once with a search.", rich_help_panel=SPLIT),
]
Seed = Annotated[int, typer.Option(min=0, help="Same data, seed and platform: same model hash.")]


@dataclass(frozen=True)
class SplitOptions:
    """Which rows judge."""

    group_by: GroupBy = None
    horizon: Horizon = 0.0
    gap: Gap = 0.0
    test: TestFile = None
    holdout_from: HoldoutFrom = None
    holdout_last: HoldoutLast = None
    random_rows_despite_time: RandomRows = False
    folds: Folds = 5
    repeats: Repeats = None
    seed: Seed = 0
