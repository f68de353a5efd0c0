"""The options that say what a table's columns are: shared by the verbs that take the user's own table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from epic22.core.models.loss import Loss
    from epic22.features.flat_file import FlatFile

TABLE = "The table"
SPLIT = "The split"

Csv = Annotated[
    Path,
    typer.Option("--csv", help="CSV (any separator, gzip too), Parquet, JSON or JSON lines.", rich_help_panel=TABLE),
]
Label = Annotated[str, typer.Option(help="The column to predict.", rich_help_panel=TABLE)]
Time = Annotated[
    list[str] | None,
    typer.Option(help="The row's time; repeat it for a date spread over columns: year, month, day.", rich_help_panel=TABLE),
]
Group = Annotated[str | None, typer.Option(help="Rows of one group are never on both sides.", rich_help_panel=TABLE)]
Id = Annotated[
    list[str] | None,
    typer.Option("--id", help="Whom the row is about; repeat it for a series named by several columns.", rich_help_panel=TABLE),
]
Drop = Annotated[
    list[str] | None, typer.Option(help="A column that must not be an input; may be repeated.", rich_help_panel=TABLE)
]
Keep = Annotated[
    list[str] | None,
    typer.Option(help="A column to keep although the audit suspects it; may be repeated.", rich_help_panel=TABLE),
]
Positive = Annotated[str | None, typer.Option(help="The label's value that counts as positive.", rich_help_panel=TABLE)]
FormulaOf = Annotated[
    list[str] | None,
    typer.Option(
        "--formula",
        help="A column made of others: 'power [W] = `Torque [Nm]` * speed * 0.10472'; may be repeated.",
        rich_help_panel=TABLE,
    ),
]
KindOf = Annotated[
    str | None,
    typer.Option("--kind", help="binary, multiclass or regression, where the label leaves it open.", rich_help_panel=TABLE),
]
Name = Annotated[
    str | None, typer.Option("--task", help="The task's name; made of file and label otherwise.", rich_help_panel=TABLE)
]
MetricOf = Annotated[
    str | None,
    typer.Option(
        "--metric", help="The one that decides, such as roc_auc or log_loss; the kind's own otherwise.", rich_help_panel=TABLE
    ),
]
LossOf = Annotated[
    str | None,
    typer.Option(
        "--loss",
        help="Of a value: squared (default), absolute, quantile:0.9, poisson, tweedie or tweedie:1.5.",
        rich_help_panel=TABLE,
    ),
]
Log = Annotated[
    str | None,
    typer.Option(help="yes: learn the logarithm of the label; auto: where that is better.", rich_help_panel=TABLE),
]
CoverageBy = Annotated[
    list[str] | None,
    typer.Option(
        "--coverage-by",
        help="An input of few levels by which coverage is told; may be repeated.",
        rich_help_panel=TABLE,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]

KINDS = ("binary", "multiclass", "regression")


def flat_file(
    csv: Path,
    label: str,
    time: list[str] | None,
    group: str | None,
    id_: list[str] | None,
    drop: list[str] | None,
    keep: list[str] | None,
    positive: str | None,
    kind: str | None,
    name: str | None,
    horizon: float = 0.0,
    test: Path | None = None,
    formula: list[str] | None = None,
    loss: str | None = None,
    log: str | None = None,
    coverage_by: list[str] | None = None,
    metric: str | None = None,
) -> "FlatFile":
    """The file and its roles as the features module wants them. Raises UserError for an unknown kind or loss."""
    from epic22.core.data.contract import Roles
    from epic22.core.errors import UserError
    from epic22.features.flat_file import FlatFile

    if kind is not None and kind not in KINDS:
        raise UserError(f"--kind {kind}: give one of {', '.join(KINDS)}.")
    if len(id_ or ()) > 1:
        raise UserError(f"--id was given {len(id_ or ())} times; several columns name a series only with --panel.")
    roles = Roles(label, tuple(time or ()), group, id_[0] if id_ else None, tuple(drop or ()), positive)
    asked = None if loss is None else loss_named(loss)
    formulas, groups = tuple(formula or ()), tuple(coverage_by or ())
    kept, logs = tuple(keep or ()), log_named(log)
    return FlatFile(csv, roles, name, kept, horizon, kind, test, formulas, asked, logs, groups, metric)  # type: ignore[arg-type]


def loss_named(text: str) -> "Loss":
    """The loss of a text such as quantile:0.9.

    Raises UserError with what there is.
    """
    from epic22.core.errors import UserError
    from epic22.core.models.loss import Loss

    name, _, figure = text.partition(":")
    try:
        stated = float(figure) if figure else None
    except ValueError:
        raise UserError(f"--loss {text}: {figure!r} is no number; write quantile:0.9 or tweedie:1.5.") from None
    if name in ("squared", "absolute", "poisson") and stated is None:
        return Loss(name)  # type: ignore[arg-type]
    if name == "quantile" and stated is not None and 0 < stated < 1:
        return Loss("quantile", stated)
    if name == "tweedie" and (stated is None or 1 < stated < 2):
        return Loss("tweedie", power=stated)
    raise UserError(f"--loss {text}: give squared, absolute, quantile:Q (0 < Q < 1), poisson, tweedie or tweedie:P (1 < P < 2).")


def log_named(text: str | None) -> bool | None:
    """False for none, True for yes, None for auto. Raises UserError for another text."""
    from epic22.core.errors import UserError

    answers = {None: False, "no": False, "yes": True, "auto": None}
    if text not in answers:
        raise UserError(f"--log {text}: give yes, no or auto.")
    return answers[text]
