"""What a written task file tells beside what was asked: each column's type, what was inferred and why, what the audit found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from epic22.core.data.column_overrides import ColumnOverride
from epic22.core.data.leakage import Suspicion
from epic22.core.task import Column, Task
from epic22.spec.task_file import TaskFile

MAX_LEVELS = 6
"""So many levels of a category are told."""

NOTE_PHRASES = (": ", " is ", " holds ", " has ", " repeats ")
"""What follows a column's name in a note about it."""

HEADER = (
    "An Epic 22 task file. Change what is wrong, add what you know, and train with it:",
    "  epic22 train --task-file THIS_FILE",
    "Options on the command line go before it. Paths start from its folder. docs/how-to/task-file.md has every key.",
)
SECTION_COMMENTS: Mapping[str, str] = {
    "version": "The version of this form.",
    "name": "The task's name: of the model, its folder and its address.",
    "data": "The table; test: a file of rows to test on.",
    "roles": "What the columns are for. Also: positive, kind, time, group, id, exposure; lists: drop, keep.",
    "columns": "Each column as it was read. To be said: dtype, unit, about (in words, for the reasons), low, high, levels, role.",
    "formulas": "Columns made of others, such as 'power [W] = torque * speed * 0.10472'.",
    "target": "What is made small, and what decides: loss, log, metric.",
    "costs": "What errors cost, for two classes: miss, false_alarm; capacity (a week), exposure (a column multiplying a miss).",
    "use": "What is preferred where nothing is lost by it, and told. Also: least, margin, coverage_by.",
    "split": "Which rows judge; days. Also: repeats, group_by (day, week, month), holdout_from, holdout_last.",
    "families": "Who is raced.",
    "search": "The search and its budget. Also: trials, time_limit (seconds), families, engineer.",
}


@dataclass(frozen=True)
class Inferred:
    """What a file was found to be: its task, its rows' inputs (or a sample's), what the audit says, what was decided."""

    task: Task
    X: pl.DataFrame
    suspicions: tuple[Suspicion, ...] = ()
    notes: tuple[str, ...] = ()


def add_inferred(task_file: TaskFile, inferred: Inferred) -> TaskFile:
    """The task with what was inferred: types of columns, families, name, and a comment for each section and each column.

    Comments that stood above other keys stay; those above sections and columns are written anew.
    """
    overrides = {column.name: column for column in task_file.columns}
    columns = tuple(
        _pin_dtype(column, overrides.get(column.name, ColumnOverride(column.name))) for column in inferred.task.columns
    )
    comments: dict[tuple[str, ...], tuple[str, ...]] = {(section,): (text,) for section, text in SECTION_COMMENTS.items()}
    comments |= {(): HEADER, ("target",): (SECTION_COMMENTS["target"], f"Here {inferred.task.target.metric.name} decides.")}
    comments |= {("columns", column.name): tuple(_describe_column(column, inferred)) for column in inferred.task.columns}
    return replace(
        task_file,
        name=task_file.name or inferred.task.name,
        families=task_file.families or inferred.task.families,
        columns=columns,
        remarks={**task_file.remarks, **comments},
    )


def _pin_dtype(column: Column, override: ColumnOverride) -> ColumnOverride:
    """What is stated of a column, with its type where it may be an input; what roles say of it stands there."""
    return (
        override if column.role in ("label", "id", "group", "time") else replace(override, dtype=override.dtype or column.dtype)
    )


def _describe_column(column: Column, inferred: Inferred) -> Sequence[str]:
    """What was inferred of a column, and why."""
    phrases = tuple(f"{column.name}{after}" for after in NOTE_PHRASES)
    lines = [note for note in inferred.notes if note.startswith(phrases)]
    for suspicion in inferred.suspicions:
        if suspicion.column == column.name:
            treatment = "left out" if suspicion.withheld else "told of, and used"
            lines.append(f"{treatment}: {suspicion.suspicion}. {suspicion.evidence}")
    if column.role != "never" or not lines:
        lines.insert(0, _describe_values(column, inferred))
    if any(suspicion.column == column.name and suspicion.withheld for suspicion in inferred.suspicions):
        lines.append(f"roles.keep: [{column.name}] takes it in, if you know it to be known before the label.")
    return lines


def _describe_values(column: Column, inferred: Inferred) -> str:
    """What a column's values are."""
    if column.role != "input" or column.name not in inferred.X.columns:
        return {
            "label": f"The label: {_describe_kind(inferred.task)}.",
            "never": "No input.",
            "protected": "Protected: no input.",
        }.get(column.role, f"The {column.role}.")
    series = inferred.X[column.name]
    missing = series.null_count() / max(len(series), 1)
    gaps = f"; {missing:.1%} missing" if missing else ""
    values = series.drop_nulls()
    if not len(values):
        return f"{column.dtype}, all missing."
    if column.dtype == "category":
        levels = values.cast(pl.String).unique().sort()
        more = ", …" if len(levels) > MAX_LEVELS else ""
        return f"{len(levels)} levels: {', '.join(levels.head(MAX_LEVELS))}{more}{gaps}."
    if column.dtype == "bool":
        return f"true in {values.cast(pl.Float64).to_numpy().mean():.1%}{gaps}."
    if column.dtype == "time":
        first, last = values.dt.to_string("%Y-%m-%d %H:%M").sort()[[0, -1]]
        return f"Times from {first} to {last}{gaps}."
    whole = "Whole numbers" if column.dtype == "int" else "Numbers"
    numbers = values.cast(pl.Float64).to_numpy()
    return f"{whole} from {numbers.min():g} to {numbers.max():g}{gaps}."


def _describe_kind(task: Task) -> str:
    target = task.target
    if target.traits.has_positive_class:
        return f"two classes, {target.classes[1]} is positive"
    return f"{len(target.classes)} classes" if target.classes else "a value"
