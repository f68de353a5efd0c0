"""The options that say what a model is used for: what errors cost, and what is preferred where nothing is lost by it."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Annotated

import typer

from epic22.cli.task_options import select_given_options
from epic22.core.errors import UserError

USE = "The use"

CostMiss = Annotated[
    float | None,
    typer.Option("--cost-miss", min=0, help="What a positive costs that nobody acted on; two classes.", rich_help_panel=USE),
]
CostFalseAlarm = Annotated[
    float | None,
    typer.Option("--cost-false-alarm", min=0, help="What acting costs where nothing would have happened.", rich_help_panel=USE),
]
PreferSimpler = Annotated[
    bool,
    typer.Option(
        "--prefer-simpler",
        help="Take the simplest family that is shown to cost at most 1 % of the constant's cost more than the best.",
        rich_help_panel=USE,
    ),
]
Curve = Annotated[
    bool,
    typer.Option("--learning-curve", help="Refit on fewer rows, and say whether more data would help.", rich_help_panel=USE),
]


@dataclass(frozen=True)
class UseOptions:
    """What a model is used for."""

    cost_miss: CostMiss = None
    cost_false_alarm: CostFalseAlarm = None
    prefer_simpler: PreferSimpler = False
    learning_curve: Curve = False


def refuse_use_options(with_what: str, given: Container[str]) -> None:
    """Raise UserError where one of these options was given with a feature or a panel."""
    options = select_given_options(given, "--cost-miss", "--cost-false-alarm", "--prefer-simpler", "--learning-curve")
    if options:
        raise UserError(f"{' and '.join(options)} go with a table of your own, not with {with_what}.")
