"""What a written task file tells beside what was asked: each column's type, what was inferred and why, what the audit found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from epic22.core.column import ColumnOverride
from epic22.core.data.column_overrides import takes_type
from epic22.core.data.leakage import Suspicion
from epic22.core.data.time_format import name_offset
from epic22.core.task import Column, Task
from epic22.spec.task_request import build_roles
from epic22.spec.training_spec import SECTION_KEYS, Origin, TrainingSpec

MAX_LEVELS = 6
"""This many levels of a category are listed."""

NOTE_PHRASES = (": ", " is ", " holds ", " has ", " repeats ")
"""What follows a column's name in a note about it."""

HEADER = (
    "An Epic 22 task file. Change what is wrong, add what you know, and train with it:",
    "  epic22 train --task-file THIS_FILE",
    "Options on the command line override it. Paths start from its folder. docs/how-to/task-file.md has every key.",
)


@dataclass(frozen=True)
class Inferred:
    """What a file was found to be: its task, its rows' inputs (or a sample's), what the audit says, what was decided."""

    task: Task
    X: pl.DataFrame
    suspicions: tuple[Suspicion, ...] = ()
    notes: tuple[str, ...] = ()


def add_inferred(spec: TrainingSpec, inferred: Inferred) -> TrainingSpec:
    """The task with what was inferred: types of columns, families, name, and a comment for each section and each column.

    Comments that stood above other keys stay; those above sections and columns are written anew.
    """
    overrides = {column.name: column for column in spec.columns}
    offset_names = {name_offset(column.name) for column in inferred.task.columns} - overrides.keys()
    # Offsets follow from the times that state them, in every training anew.
    written = [column for column in inferred.task.columns if column.name not in offset_names]
    pairs = ((column, overrides.get(column.name, ColumnOverride(column.name))) for column in written)
    # What roles say of a column stands there; another's type is written down.
    roles = build_roles(spec)
    columns = tuple(
        replace(override, dtype=override.dtype or column.dtype) if takes_type(column.name, roles) else override
        for column, override in pairs
    )
    comments: dict[tuple[str, ...], tuple[str, ...]] = {(): HEADER, ("version",): ("The version of this form.",)}
    comments |= {(section,): (key.comment or key.help,) for section, key in SECTION_KEYS.items()}
    comments[("target",)] += (f"Here {inferred.task.target.metric.name} decides.",)
    comments |= {("columns", column.name): tuple(_describe_column(column, inferred)) for column in written}
    origin = spec.origin
    return spec.model_copy(
        update={
            "name": spec.name or inferred.task.name,
            "families": spec.families or inferred.task.families,
            "columns": columns,
            "origin": Origin(origin.file, origin.places, {**origin.remarks, **comments}, origin.notes),
        }
    )


def _describe_column(column: Column, inferred: Inferred) -> Sequence[str]:
    """What was inferred of a column, and why."""
    phrases = tuple(f"{column.name}{after}" for after in NOTE_PHRASES)
    lines = [note for note in inferred.notes if note.startswith(phrases)]
    for suspicion in inferred.suspicions:
        if suspicion.column == column.name:
            treatment = "left out" if suspicion.withheld else "reported, and used"
            lines.append(f"{treatment}: {suspicion.suspicion}. {suspicion.words}")
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
