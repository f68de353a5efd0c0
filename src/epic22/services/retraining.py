"""Which tasks are due for another training, now or at each moment of a time that has passed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from epic22.core.retraining.moment import DataGrowth, ReadAlarms, TaskMoment
from epic22.core.retraining.on_schedule import OnSchedule
from epic22.core.retraining.plan import RetrainingPlan, TaskPlan

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class DueTraining:
    """A task that is due at a moment (UTC): the trigger, why, and what holds its training back, if anything does."""

    plan: TaskPlan
    at: datetime
    trigger: str
    reason: str
    held_back: str = ""

    @property
    def task(self) -> str:
        """The task's name."""
        return self.plan.task

    @property
    def is_held_back(self) -> bool:
        """Whether it is not trained all the same."""
        return bool(self.held_back)


@dataclass(frozen=True)
class PastTrainings:
    """When a task was trained (UTC, oldest first), whether a training of it is under way or waits, and when jobs of it died."""

    trained_at: tuple[datetime, ...] = ()
    is_under_way: bool = False
    died_at: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class PastData:
    """What a replay goes by: all data versions, oldest first, the tables that each task reads, and the versions' alarms."""

    versions: tuple[DataGrowth, ...]
    tables: Mapping[str, frozenset[str]]
    read_alarms: ReadAlarms


def find_due_trainings(
    plan: RetrainingPlan, moments: Mapping[str, TaskMoment], histories: Mapping[str, PastTrainings]
) -> tuple[DueTraining, ...]:
    """The tasks of a plan that are due, each by its first trigger; those that are not trained all the same say why."""
    due = (_find_due(task, moments[task.task]) for task in plan.tasks)
    return tuple(_hold_back(one, histories.get(one.task, PastTrainings()), plan.weekly_limit) for one in due if one is not None)


def _find_due(plan: TaskPlan, moment: TaskMoment) -> DueTraining | None:
    for name, trigger in plan.triggers.items():
        reason = trigger.find_reason(moment)
        if reason is not None:
            return DueTraining(plan, moment.now, name, reason)
    return None


def _hold_back(due: DueTraining, history: PastTrainings, limit: int) -> DueTraining:
    if history.is_under_way:
        return replace(due, held_back="a training of it is under way or waits already")
    # A training that dies costs as much as another, and dies again until a person looks at it.
    recent = [at for at in sorted(history.trained_at + history.died_at) if due.at - WEEK < at <= due.at]
    if len(recent) >= limit:
        died = sum(due.at - WEEK < at <= due.at for at in history.died_at)
        times = f"trained {len(recent)} times in seven days{f', of which {died} died' if died else ''} (at most {limit})"
        return replace(due, held_back=f"{times}; free at {recent[-limit] + WEEK:%Y-%m-%d %H:%M}")
    return due


def replay_plan(plan: RetrainingPlan, past: PastData, since: datetime, now: datetime) -> tuple[DueTraining, ...]:
    """What a plan would have trained, or held back, from one moment to another, oldest first.

    Looked at are the moments at which a data version was made and those of the schedules; each task is taken for trained at the
    beginning, on the data of then. What a training that was held back would have changed is not known: it stays due, and is told
    once until something is trained.
    """
    return tuple(
        sorted((one for task in plan.tasks for one in _replay_task(task, plan.weekly_limit, past, since, now)), key=_by_time)
    )


def _by_time(due: DueTraining) -> tuple[datetime, str]:
    return due.at, due.task


def _replay_task(plan: TaskPlan, limit: int, past: PastData, since: datetime, now: datetime) -> Sequence[DueTraining]:
    tables = past.tables[plan.task]
    before = [version for version in past.versions if version.at <= since]
    trained_at, learned = (since, before[-1]) if before else (None, None)
    trained, listed = [] if trained_at is None else [trained_at], list[DueTraining]()
    for moment in _list_moments(plan, past, since, now):
        newer = tuple(v for v in past.versions if v.at <= moment and (learned is None or v.number > learned.number))
        if learned is None and not newer:
            continue
        due = _find_due(plan, TaskMoment(plan.task, moment, trained_at, learned, newer, tables, past.read_alarms))
        if due is None:
            continue
        due = _hold_back(due, PastTrainings(tuple(trained)), limit)
        if due.is_held_back:
            listed += [] if listed and listed[-1].is_held_back else [due]
            continue
        listed.append(due)
        trained.append(moment)
        trained_at, learned = moment, newer[-1] if newer else learned
    return listed


def _list_moments(plan: TaskPlan, past: PastData, since: datetime, now: datetime) -> list[datetime]:
    """The moments at which something can have become due, oldest first, and the last of all."""
    moments = {version.at for version in past.versions if since < version.at <= now}
    for trigger in plan.triggers.values():
        if isinstance(trigger, OnSchedule):
            moments |= set(trigger.list_times(since, now))
    return sorted({*moments, now})
