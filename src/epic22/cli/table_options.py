"""The options that say what a table's columns are: shared by the verbs that take the user's own table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

TABLE = "The table"

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
    typer.Option(
        help="Learn the label's logarithm: yes, no, or auto: where that is better, as squared error does unless told.",
        rich_help_panel=TABLE,
    ),
]
CoverageBy = Annotated[
    list[str] | None,
    typer.Option(
        "--coverage-by",
        help="An input of few levels by which coverage is told; may be repeated.",
        rich_help_panel=TABLE,
    ),
]
Exposure = Annotated[
    str | None,
    typer.Option(
        help="With --loss poisson or tweedie: what the label grows with, such as years insured; above zero, never learned from.",
        rich_help_panel=TABLE,
    ),
]
Label = Annotated[str | None, typer.Option(help="The column to predict.", rich_help_panel=TABLE)]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", help="CSV (any separator, gzip too), Parquet, JSON or JSON lines.", rich_help_panel=TABLE),
]
MemoryCap = Annotated[
    str | None,
    typer.Option(
        help="Read a table in batches that would take more memory than this, such as 4GB; default: EPIC22_MEMORY_CAP.",
        rich_help_panel=TABLE,
    ),
]
Engineer = Annotated[
    bool | None,
    typer.Option(
        "--engineer/--no-engineer",
        help="Make columns of dates, numbers and categories, and leave weak ones out, where held-out rows say so; "
        "on with a search.",
        rich_help_panel=TABLE,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
TaskFileOf = Annotated[
    Path | None,
    typer.Option("--task-file", help="Train as this file says; other options go before it.", rich_help_panel=TABLE),
]
WriteTask = Annotated[
    Path | None,
    typer.Option("--write-task", help="Write what was asked and inferred here, to be edited.", rich_help_panel=TABLE),
]


@dataclass(frozen=True)
class RoleOptions:
    """The table, and what its columns are."""

    csv: Csv = None
    label: Label = None
    time: Time = None
    group: Group = None
    id_: Id = None
    drop: Drop = None
    keep: Keep = None
    positive: Positive = None
    kind: KindOf = None
    formula: FormulaOf = None
    task: Name = None
    task_file: TaskFileOf = None
    write_task: WriteTask = None


@dataclass(frozen=True)
class LearningOptions:
    """How the table is learned from and judged."""

    loss: LossOf = None
    log: Log = None
    exposure: Exposure = None
    metric: MetricOf = None
    coverage_by: CoverageBy = None
    memory_cap: MemoryCap = None
    engineer: Engineer = None
