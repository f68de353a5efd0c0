"""Columns that are steps of a sequence: named by patterns in a table of one's own, and hidden from families that read rows."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

import polars as pl

from epic22.core.column import Column, SequenceStep
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.errors import ColumnError
from epic22.core.task import AsOfView, Task
from epic22.core.text import find_near_names

NUMBER = r"(-?\d+)"
MIN_STEPS = 2
MAX_SHOWN = 10
"""More names than this are not listed in a message."""


def arrange_steps(columns: Sequence[Column]) -> tuple[tuple[int, ...], ...]:
    """Positions of the columns that are steps of a sequence, (s, c): by step, the oldest first, and channel.

    Raises ColumnError where a channel lacks a step that another has.

    >>> arrange_steps([Column("load_2", "float", step=SequenceStep("load", 2)), Column("age", "int"),
    ...                Column("load_1", "float", step=SequenceStep("load", 1))])
    ((2,), (0,))
    """
    position = {(c.step.channel, c.step.number): place for place, c in enumerate(columns) if c.step is not None}
    channels = list(dict.fromkeys(channel for channel, _ in position))
    numbers = sorted({number for _, number in position})
    for channel in channels:
        lacking = [number for number in numbers if (channel, number) not in position]
        if lacking:
            raise ColumnError(
                f"sequence: {channel} has no step {lacking[0]}, which {next(c for c in channels if (c, lacking[0]) in position)} "
                "has; every channel needs the same steps."
            )
    return tuple(tuple(position[channel, number] for channel in channels) for number in numbers)


def mark_steps(columns: Sequence[Column], patterns: Sequence[str]) -> tuple[Column, ...]:
    """The columns, those that a pattern names marked as steps of its channel: `load_*` takes load_1, load_2, … by their numbers.

    Raises ColumnError for a pattern without one `*`, that names fewer than two inputs, or one that is no number, and for channels
    of unlike steps.

    >>> [c.step.number for c in mark_steps([Column("load_10", "float"), Column("load_9", "float")], ["load_*"]) if c.step]
    [10, 9]
    """
    steps: dict[str, SequenceStep] = {}
    inputs = {column.name: column for column in columns if column.role == "input"}
    for pattern in patterns:
        for name, number in require_steps(pattern, list(inputs), "inputs").items():
            if inputs[name].dtype not in ("int", "float", "bool"):
                raise ColumnError(f"--sequence {pattern!r}: {name} is of type {inputs[name].dtype}, expected numbers.")
            if name in steps:
                raise ColumnError(f"--sequence: {name} is named by {steps[name].channel!r} and {pattern!r}.")
            steps[name] = SequenceStep(pattern, number)
    marked = tuple(replace(column, step=steps.get(column.name)) for column in columns)
    arrange_steps([column for column in marked if column.role == "input"])
    return marked


def require_steps(pattern: str, names: Sequence[str], what: str = "columns") -> Mapping[str, int]:
    """Those of the names, which are of `what`, that a pattern takes as steps, each with its number.

    Raises ColumnError, which says what to write, for a pattern without one `*` and for one that takes fewer than two.
    """
    if pattern.count("*") != 1:
        raise ColumnError(f"--sequence {pattern!r}: expected one * where the steps' numbers stand, as in 'load_*'.")
    form = re.compile(NUMBER.join(re.escape(part) for part in pattern.split("*")))
    numbers = {name: int(match[1]) for name in names if (match := form.fullmatch(name))}
    if len(numbers) < MIN_STEPS:
        known = f"only {next(iter(numbers))} of the {what}" if numbers else f"none of the {what}"
        raise ColumnError(
            f"--sequence {pattern!r}: names {known}, expected {MIN_STEPS} or more with a number for the *; "
            f"{_suggest_pattern(pattern, names)}."
        )
    return numbers


def _suggest_pattern(pattern: str, names: Sequence[str]) -> str:
    """What to write in place of a pattern that names no sequence: those of numbered names, the nearest first."""
    numbered: dict[str, list[str]] = {}
    for name in names:
        for match in re.finditer(r"\d+", name):
            numbered.setdefault(f"{name[: match.start()]}*{name[match.end() :]}", []).append(name)
    others = {other: members for other, members in numbered.items() if len(members) >= MIN_STEPS}
    if not others:
        return (
            f"no names are numbered alike, as load_1 and load_2 are, among {_list_some(names)}; rename the columns so, or leave "
            "--sequence out"
        )
    near = find_near_names(pattern, others, 2, cutoff=0.4) or list(others)[:2]
    return "write " + " or ".join(f"--sequence {other!r} for {_list_some(others[other])}" for other in near)


def _list_some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= MAX_SHOWN else f"{', '.join(names[:2])}, … {names[-1]}"


def declare_steps(channel: str, n_steps: int, about: str, unit: str | None = None) -> tuple[Column, ...]:
    """The columns of a channel, the oldest first: `channel_1` is the latest step, `channel_2` the one before."""
    return tuple(
        Column(
            f"{channel}_{back}",
            "float",
            unit=unit,
            optional=True,
            about=f"{about}, {'latest' if back == 1 else f'{back - 1} before'}",
            step=SequenceStep(channel, -back, only_sequences=True),
        )
        for back in range(n_steps, 0, -1)
    )


def add_sequence(task: Task, names: Container[str]) -> Task:
    """The task with its sequence among the inputs, where any of these names is of a step; itself where none is."""
    sequence = task.sequence
    if sequence is None or not any(column.name in names for column in sequence.columns):
        return task

    def compute_inputs(view: AsOfView) -> pl.LazyFrame:
        steps = sequence.compute(view).select(column.name for column in sequence.columns)
        return pl.concat([task.inputs(view).collect(), steps], how="horizontal").lazy()

    return replace(task, columns=(*task.columns, *sequence.columns), inputs=compute_inputs, sequence=None)


def leave_out_steps(recipe: FeatureRecipe, columns: Sequence[Column], reads_sequences: bool) -> FeatureRecipe:
    """The recipe without the steps that only families that read sequences see, for one that does not."""
    hidden = {c.name for c in columns if c.step is not None and c.step.only_sequences}
    if reads_sequences or not hidden:
        return recipe
    names = recipe.inputs if recipe.inputs is not None else tuple(column.name for column in columns)
    return replace(recipe, inputs=tuple(name for name in names if name not in hidden))
