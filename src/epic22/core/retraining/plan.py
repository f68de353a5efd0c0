"""A plan of trainings: for each task its triggers, how training is called, and how often in a week at most."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from epic22.core.errors import FileError
from epic22.core.retraining.catalog import TRIGGERS
from epic22.core.retraining.trigger import Trigger
from epic22.core.tables.mapping_record import check_record, read_names, read_number, to_text

WEEKLY_LIMIT = 2
NAMES = tuple(kind.name for kind in TRIGGERS)


@dataclass(frozen=True)
class TaskPlan:
    """What is planned for a task: triggers by their kind's name, and further words for the call of `epic22 train`."""

    task: str
    triggers: Mapping[str, Trigger]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetrainingPlan:
    """The tasks that are trained again by themselves, each at most so many times in seven days."""

    tasks: tuple[TaskPlan, ...]
    weekly_limit: int = field(default=WEEKLY_LIMIT)


def read_plan(place: str, content: object) -> RetrainingPlan:
    """The plan that a parsed YAML record holds; `place` is the file's name, for the errors. Raises FileError."""
    top = check_record(place, content, ("at_most_per_week", "tasks"))
    limit = read_number(f"{place}: at_most_per_week", top.get("at_most_per_week", WEEKLY_LIMIT), 1)
    if limit != int(limit):
        raise FileError(f"{place}: at_most_per_week: expected a whole number of trainings, found {limit:g}.")
    tasks = check_record(f"{place}: tasks", top.get("tasks"), None)
    if not tasks:
        raise FileError(f"{place}: tasks: names no task; give at least one, with a trigger ({', '.join(NAMES)}).")
    return RetrainingPlan(tuple(_read_task(f"{place}: tasks.{name}", str(name), tasks[name]) for name in tasks), int(limit))


def _read_task(place: str, name: str, content: object) -> TaskPlan:
    record = check_record(place, content, (*NAMES, "options"))
    triggers = {kind.name: kind.read(f"{place}.{kind.name}", record[kind.name]) for kind in TRIGGERS if kind.name in record}
    if not triggers:
        raise FileError(f"{place}: has no trigger; give one of {', '.join(NAMES)}.")
    options = record.get("options", ())
    words = tuple(map(to_text, options)) if isinstance(options, list) else ()
    return TaskPlan(name, triggers, read_names(f"{place}.options", list(words)) if "options" in record else ())
