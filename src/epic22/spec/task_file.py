"""A task as it was asked for: all that options or a task file can say of training on a table of one's own.

The keys of the file are the names of these fields, section by section; `KEYS` says how each is written. `format_task_file` reads
and writes the file, `task_words` tells in it what was inferred, `task_request` makes of it what a training takes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from epic22.core.data.column_overrides import ColumnOverride
from epic22.core.models.catalog import FAMILIES

KeyPath = tuple[str, ...]

VERSION = 1
"""Of the file's form. It goes up when a key changes its meaning or its name; files of every version before stay readable."""

KINDS = ("binary", "multiclass", "regression")
PERIODS = ("day", "week", "month")
SAMPLINGS = ("bayesian", "random", "grid")
LOGS = ("no", "yes", "auto")
FAMILY_NAMES = tuple(family.name for family in FAMILIES)
DTYPES = ("int", "float", "bool", "category", "time", "text")


@dataclass(frozen=True)
class Key:
    """How a value is written: its form, the option that says the same, the least it may be, the words there are."""

    form: Literal["text", "texts", "path", "number", "whole", "flag"]
    option: str = ""
    minimum: float | None = None
    words: tuple[str, ...] = ()

    @property
    def parameter(self) -> str:
        """The name of the option's parameter on the command line."""
        return "id_" if self.option == "--id" else self.option.removeprefix("--").replace("-", "_")


@dataclass(frozen=True)
class Source:
    """The files: of the table, and of test rows where they come apart."""

    file: Path | None = None
    test: Path | None = None


@dataclass(frozen=True)
class RolesAsked:
    """What the columns are for."""

    label: str | None = None
    positive: str | None = None
    kind: str | None = None
    time: tuple[str, ...] = ()
    group: str | None = None
    id: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    exposure: str | None = None


@dataclass(frozen=True)
class TargetAsked:
    """What is made small, and what decides."""

    loss: str | None = None
    log: str | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Costs:
    """What errors cost: `exposure` is a column that multiplies a miss; `capacity` how many rows a week can be acted on."""

    miss: float | None = None
    false_alarm: float | None = None
    capacity: int | None = None
    exposure: str | None = None


@dataclass(frozen=True)
class Use:
    """What is preferred where nothing is lost by it, and what is told."""

    prefer_simpler: bool = False
    learning_curve: bool = False
    least: float | None = None
    margin: float | None = None
    coverage_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """Which rows judge. `horizon` and `gap` in days; `repeats` None: 5, and 1 with a search."""

    horizon: float = 0.0
    gap: float = 0.0
    folds: int = 5
    repeats: int | None = None
    group_by: str | None = None
    holdout_from: str | None = None
    holdout_last: int | None = None
    random_rows_despite_time: bool = False
    seed: int = 0


@dataclass(frozen=True)
class SearchAsked:
    """The search and its budget; none without `trials` or `time_limit` (seconds). `engineer` None: with a search."""

    trials: int | None = None
    time_limit: float | None = None
    families: tuple[str, ...] = ()
    sampling: str = "bayesian"
    prune: bool = True
    engineer: bool | None = None
    nested: bool = True
    row_ms: float | None = None

    @property
    def is_requested(self) -> bool:
        """Whether there is a search."""
        return self.trials is not None or self.time_limit is not None

    @property
    def uses_engineering(self) -> bool:
        """Whether columns are made and chosen."""
        return self.is_requested if self.engineer is None else self.engineer


@dataclass(frozen=True)
class TaskFile:
    """All that is asked of a training.

    `origin` is the task file it was read from, `places` the line of each of its keys that still holds, `remarks` the comments
    above keys, by the key's path. `notes` tell what the command line said otherwise.
    """

    name: str | None = None
    data: Source = Source()
    roles: RolesAsked = RolesAsked()
    columns: tuple[ColumnOverride, ...] = ()
    formulas: tuple[str, ...] = ()
    target: TargetAsked = TargetAsked()
    costs: Costs = Costs()
    use: Use = Use()
    split: Split = Split()
    families: tuple[str, ...] = ()
    search: SearchAsked = SearchAsked()
    origin: str | None = field(default=None, compare=False)
    places: Mapping[KeyPath, int] = field(default_factory=dict, compare=False)
    remarks: Mapping[KeyPath, tuple[str, ...]] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def value(self, section: str, key: str) -> Any:
        """The value of a key; those of the section "" stand at the top."""
        return getattr(getattr(self, section) if section else self, key)

    def with_value(self, section: str, key: str, value: Any) -> "TaskFile":
        """The same with another value of a key."""
        changes = {key: value} if not section else {section: replace(getattr(self, section), **{key: value})}
        return replace(self, **changes)


KEYS: Mapping[str, Mapping[str, Key]] = {
    "": {"name": Key("text", "--task")},
    "data": {"file": Key("path", "--csv"), "test": Key("path", "--test")},
    "roles": {
        "label": Key("text", "--label"),
        "positive": Key("text", "--positive"),
        "kind": Key("text", "--kind", words=KINDS),
        "time": Key("texts", "--time"),
        "group": Key("text", "--group"),
        "id": Key("texts", "--id"),
        "drop": Key("texts", "--drop"),
        "keep": Key("texts", "--keep"),
        "exposure": Key("text", "--exposure"),
    },
    "columns": {},
    "formulas": {"formulas": Key("texts", "--formula")},
    "target": {
        "loss": Key("text", "--loss"),
        "log": Key("text", "--log", words=LOGS),
        "metric": Key("text", "--metric"),
    },
    "costs": {
        "miss": Key("number", "--cost-miss", minimum=0),
        "false_alarm": Key("number", "--cost-false-alarm", minimum=0),
        "capacity": Key("whole", minimum=1),
        "exposure": Key("text"),
    },
    "use": {
        "prefer_simpler": Key("flag", "--prefer-simpler"),
        "learning_curve": Key("flag", "--learning-curve"),
        "least": Key("number", minimum=0),
        "margin": Key("number", minimum=0),
        "coverage_by": Key("texts", "--coverage-by"),
    },
    "split": {
        "horizon": Key("number", "--horizon", minimum=0),
        "gap": Key("number", "--gap", minimum=0),
        "folds": Key("whole", "--folds", minimum=2),
        "repeats": Key("whole", "--repeats", minimum=1),
        "group_by": Key("text", "--group-by", words=PERIODS),
        "holdout_from": Key("text", "--holdout-from"),
        "holdout_last": Key("whole", "--holdout-last", minimum=1),
        "random_rows_despite_time": Key("flag", "--random-rows-despite-time"),
        "seed": Key("whole", "--seed", minimum=0),
    },
    "families": {"families": Key("texts", words=FAMILY_NAMES)},
    "search": {
        "trials": Key("whole", "--trials", minimum=1),
        "time_limit": Key("number", "--time-limit", minimum=5),
        "families": Key("texts", "--search-family", words=FAMILY_NAMES),
        "sampling": Key("text", "--sampling", words=SAMPLINGS),
        "prune": Key("flag", "--prune"),
        "engineer": Key("flag", "--engineer"),
        "nested": Key("flag", "--nested"),
        "row_ms": Key("number", "--row-ms", minimum=0),
    },
}
"""The sections in the order of the file; `formulas` and `families` are lists of their own, and stand under their own name."""

LISTS = ("formulas", "families")
"""Sections that are one list."""

COLUMN_KEYS: Mapping[str, Key] = {
    "dtype": Key("text", words=DTYPES),
    "unit": Key("text"),
    "about": Key("text"),
    "low": Key("number"),
    "high": Key("number"),
    "levels": Key("texts"),
    "role": Key("text", words=("input", "protected", "never")),
}


def build_key_path(section: str, key: str) -> KeyPath:
    """A key's path in the file."""
    return (section, key) if section else (key,)


def iterate_keys() -> Iterator[tuple[str, str, Key]]:
    """(section, key, how it is written) of all that is not of a single column; of the lists the section is ""."""
    for section, section_keys in KEYS.items():
        for name, key in section_keys.items():
            yield "" if section in LISTS else section, name, key


def apply_options(task_file: TaskFile, given: Mapping[str, Any]) -> TaskFile:
    """The task with the options that were given on the command line, by parameter; notes tell what they replace in a file."""
    notes = []
    for section, name, key in iterate_keys():
        if not key.option or key.parameter not in given:
            continue
        value, before = given[key.parameter], task_file.value(section, name)
        value = tuple(value) if isinstance(value, list) else value
        path = build_key_path(section, name)
        if path in task_file.places and value != before:
            notes.append(
                f"{key.option} on the command line goes before {'.'.join(path)} ({_format_value(before)}) of {task_file.origin}."
            )
        remaining = {place: line for place, line in task_file.places.items() if place != path}
        task_file = replace(task_file.with_value(section, name, value), places=remaining)
    return replace(task_file, notes=(*task_file.notes, *notes))


def _format_value(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
