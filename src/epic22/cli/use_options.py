"""The options that say what a model is used for: what errors cost, and what is preferred where nothing is lost by it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from epic22.features.flat_file import FlatFile

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


def refuse_use_options(with_what: str, *stated: object) -> None:
    """Raise UserError where one of these options was given with a feature or a panel."""
    from epic22.core.errors import UserError

    names = ("--cost-miss", "--cost-false-alarm", "--prefer-simpler", "--learning-curve")
    given = [name for name, value in zip(names, stated, strict=True) if value not in (None, False)]
    if given:
        raise UserError(f"{' and '.join(given)} go with a table of your own, not with {with_what}.")


def in_use(file: "FlatFile", miss: float | None, false_alarm: float | None, prefer_simpler: bool, curve: bool) -> "FlatFile":
    """The file with what its model is used for. Raises UserError where one cost lacks the other, or costs nothing to compare."""
    from epic22.core.errors import UserError

    if (miss is None) != (false_alarm is None):
        raise UserError("--cost-miss and --cost-false-alarm go together: a threshold needs what both errors cost.")
    if prefer_simpler and miss is None:
        raise UserError("--prefer-simpler needs --cost-miss and --cost-false-alarm: 'as good' is said in money.")
    costs = {} if miss is None or false_alarm is None else {"miss": miss, "false_alarm": false_alarm}
    return replace(file, costs=costs, prefer_simpler=prefer_simpler, learning_curve=curve)
