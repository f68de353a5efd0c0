"""What `compare` and `ablate` are asked: their options, and the specification that these make."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.train import read_settings
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.spec.key import PANEL, SEARCH, USE
from epic22.spec.training_spec import TrainingSpec, list_comparison_options, list_options, list_unused

REFUSALS: Mapping[str, str] = {
    PANEL: "the families of a panel are compared by its training, epic22 train --panel …, which lists each with its scores and "
    "verdicts by horizon.",
    SEARCH: "families are compared as they come; epic22 train searches.",
    USE: "families are compared before any use; epic22 train weighs what errors cost.",
}
"""Panels of the help whose options a comparison refuses, each with what to use instead."""
HIDDEN = tuple(field for field in list_options() if field.key.panel in REFUSALS)
COMPARISON_FIELDS = (*list_comparison_options(), *HIDDEN)
ABLATION_FIELDS = tuple(field for field in COMPARISON_FIELDS if field.name != "families")

Feature = Annotated[
    str | None, typer.Argument(help="A feature, such as tenant_churn, on the stored tables. Or --csv and --label.")
]
Data = Annotated[int | None, typer.Option(help="With a feature: a data version; the newest otherwise.")]


@dataclass(frozen=True)
class ComparisonRequest:
    """The specification of the rows, and the settings with its memory cap."""

    spec: TrainingSpec
    settings: Settings


def read_comparison(given: Mapping[str, Any], feature: str | None, data: int | None) -> ComparisonRequest:
    """The request of these options. Raises UserError for a panel, and for options that do not go with a feature or a table."""
    for panel, why in REFUSALS.items():
        refused = [field.key.option for field in HIDDEN if field.key.panel == panel and field.parameter in given]
        if refused:
            raise UserError(f"{', '.join(refused)}: {why}")
    if feature is None:
        if data is not None:
            raise UserError("--data: only with a feature of the stored tables.")
        if not ({"csv", "label"} <= set(given) or "task_file" in given):
            names = ", ".join(one.name for one in bootstrap.FEATURES)
            raise UserError(f"name a feature ({names}), or give --csv FILE and --label COLUMN, or --task-file FILE.")
    else:
        unused = [field.key.option for field in list_unused("feature", given) if field.name != "families"]
        if unused:
            raise UserError(f"{', '.join(unused)}: only with a table of your own; a feature has the stored tables.")
    spec = bootstrap.read_spec(given)
    return ComparisonRequest(spec, read_settings(spec))
