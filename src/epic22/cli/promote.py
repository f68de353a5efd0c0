"""`epic22 promote`: let a version serve that was not promoted by itself."""

from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line
from epic22.config import Settings
from epic22.core.serialization import to_json


def promote(
    task: Annotated[str, typer.Argument(help="The task.")],
    version: Annotated[str, typer.Argument(help="The version that is to serve, as 'epic22 models TASK' lists it.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the log of promotions.")],
    json: Json = False,
) -> None:
    """Let VERSION of TASK serve from now on: a challenger, or an earlier champion.

    epic22 promote churn 2 --reason "the new columns are available every day"

    'epic22 models promote' is the same. A version that the fairness gate refused needs an authorised key in EPIC22_KEY.
    """
    promoted = bootstrap.promote_version(bootstrap.assemble(Settings.read()), task, version, reason)
    if json:
        print_json({"champion": to_json(promoted)})
        return
    print_line(f"Champion of task {task}: version {promoted.version} ({promoted.family}, {promoted.status}).", "bold green")
