"""When a task is trained again: each trigger, the weekly limit, the plan's file, and what a past year would have brought."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.errors import FileError, UserError
from epic22.core.retraining.catalog import TRIGGERS
from epic22.core.retraining.moment import DataGrowth, QualityAlarm, TaskMoment
from epic22.core.retraining.on_schedule import OnSchedule
from epic22.core.retraining.plan import RetrainingPlan, read_plan
from epic22.services.retraining import DueTraining, PastData, PastTrainings, find_due_trainings, replay_plan

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TABLES = frozenset({"leases", "payments"})
PLAN = """
at_most_per_week: 2
tasks:
  tenant_churn:
    schedule: {cron: "0 3 1 * *", zone: Europe/Berlin}
    new_rows: 10%
    quality: warn
    options: [--trials, 20]
"""


def grow(number: int, day: int, added: Mapping[str, int], rows: int = 1000) -> DataGrowth:
    return DataGrowth(number, START + day * DAY, dict.fromkeys(added, rows), added)


FIRST = grow(1, 0, {"leases": 1000, "payments": 1000, "messages": 1000})


def look(day: float, *newer: DataGrowth, alarms: Mapping[int, tuple[QualityAlarm, ...]] | None = None) -> TaskMoment:
    """The task some days after its training on the first version."""
    stored = alarms or {}
    return TaskMoment("tenant_churn", START + day * DAY, START, FIRST, newer, TABLES, lambda number: stored.get(number, ()))


def read(text: str) -> RetrainingPlan:
    return read_plan("retraining.yaml", yaml.safe_load(text))


def find(text: str, moment: TaskMoment, history: PastTrainings = PastTrainings()) -> tuple[DueTraining, ...]:
    return find_due_trainings(read(text), {"tenant_churn": moment}, {"tenant_churn": history})


def plan_of(trigger: str) -> str:
    return f"tasks: {{tenant_churn: {{{trigger}}}}}"


def test_a_schedule_is_due_once_its_time_has_come_by_the_clocks_of_its_zone() -> None:
    text = plan_of("schedule: {cron: '0 3 1 * *', zone: Europe/Berlin}")
    assert find(text, look(1.9 / 24)) == ()
    (due,) = find(text, look(2 / 24))
    assert (due.trigger, due.held_back) == ("schedule", "")
    assert due.reason == "'0 3 1 * *' (Europe/Berlin) came at 2026-01-01 02:00 UTC"


def test_every_time_of_a_year_is_looked_at_however_often_the_line_fires() -> None:
    times = OnSchedule("*/30 * * * *").list_times(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    assert (len(times), times[-1]) == (365 * 48, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_replay_of_more_times_than_can_be_looked_at_is_refused_with_the_way_out() -> None:
    since = datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(
        UserError, match=r"'\* \* \* \* \*' fires more than 20,000 times in the 365 days of the replay.*fewer days"
    ):
        OnSchedule("* * * * *").list_times(since, since + timedelta(days=365))


def test_new_rows_count_in_the_tables_that_the_task_reads_alone() -> None:
    text = plan_of("new_rows: 10%")
    assert find(text, look(5, grow(2, 5, {"leases": 100, "payments": 99, "messages": 5000}))) == ()
    (due,) = find(text, look(5, grow(2, 4, {"leases": 100}), grow(3, 5, {"payments": 100})))
    assert due.reason == "200 rows came to the 2,000 that it learned from (10.0%; limit 10.0%)"
    named = plan_of("new_rows: {share: 0.5, tables: [messages]}")
    assert find(named, look(5, grow(2, 5, {"leases": 100, "payments": 99, "messages": 5000})))


def test_an_alarm_counts_from_its_level_on_and_in_the_tasks_own_tables() -> None:
    alarms = {
        2: (QualityAlarm(2, "messages", "refuse", "messages.text: column emptied"),),
        3: (QualityAlarm(3, "leases", "warn", "leases.rent: distribution moved"),),
    }
    moment = look(5, grow(2, 3, {"leases": 1}), grow(3, 4, {"leases": 1}), alarms=alarms)
    assert find(plan_of("quality: quarantine"), moment) == ()
    (due,) = find(plan_of("quality: warn"), moment)
    assert due.reason == "data version 3 has an alarm: leases.rent: distribution moved"


@pytest.mark.parametrize("kind", [kind.name for kind in TRIGGERS])
def test_every_trigger_has_a_task_without_a_model_trained(kind: str) -> None:
    line = {"schedule": "'0 3 1 * *'", "new_rows": "0.1", "quality": "warn"}[kind]
    never = TaskMoment("tenant_churn", START, None, None, (FIRST,), TABLES, lambda number: ())
    (due,) = find(plan_of(f"{kind}: {line}"), never)
    assert (due.trigger, due.reason) == (kind, "it was never trained")


def test_at_most_so_many_trainings_a_week_and_none_beside_one_under_way() -> None:
    moment = look(10, grow(2, 5, {"leases": 900}))
    busy = PastTrainings((START,), is_under_way=True)
    assert find(PLAN, moment, busy)[0].held_back == "a training of it is under way or waits already"
    twice = PastTrainings((START, START + 4 * DAY, START + 8 * DAY))
    (due,) = find(PLAN, moment, twice)
    assert due.held_back == "trained 2 times in seven days (at most 2); free at 2026-01-12 00:00"
    assert not find(PLAN, moment, PastTrainings((START, START + 2 * DAY, START + 8 * DAY)))[0].is_held_back


def test_a_training_whose_job_died_counts_in_its_week() -> None:
    moment = look(10, grow(2, 5, {"leases": 900}))
    (due,) = find(PLAN, moment, PastTrainings((START,), died_at=(START + 5 * DAY, START + 8 * DAY)))
    assert due.held_back == "trained 2 times in seven days, of which 2 died (at most 2); free at 2026-01-13 00:00"
    assert not find(PLAN, moment, PastTrainings((START,), died_at=(START + 2 * DAY, START + 8 * DAY)))[0].is_held_back


def test_a_plan_is_read_with_all_it_says() -> None:
    plan = read(PLAN)
    assert plan.weekly_limit == 2
    assert list(plan.tasks[0].triggers) == ["schedule", "new_rows", "quality"]
    assert plan.tasks[0].options == ("--trials", "20")


MISTAKES = {
    "no task": ("tasks: {}", "names no task; give at least one, with a trigger (schedule, new_rows, quality)"),
    "no trigger": ("tasks: {tenant_churn: {options: [--trials]}}", "tasks.tenant_churn: has no trigger"),
    "an unknown key": (plan_of("schedul: '0 3 1 * *'"), "'schedul' is not known here (did you mean schedule?)"),
    "a line that never fires": (
        plan_of("schedule: '0 3 30 2 *'"),
        "tasks.tenant_churn.schedule: the cron line '0 3 30 2 *' never",
    ),
    "no zone of that name": (plan_of("schedule: {cron: '0 3 1 * *', zone: Mars/Base}"), "there is no time zone 'Mars/Base'"),
    "the clock of each machine": (plan_of("schedule: {cron: '0 3 1 * *', zone: localtime}"), "'localtime' is another on every"),
    "a share below the least": (plan_of("new_rows: 0"), "tasks.tenant_churn.new_rows: 0 is no number of at least 0.001"),
    "a share that may be meant in percent": (
        plan_of("new_rows: 10"),
        "new_rows: 10 may be 10 % or 10 times the rows; write 10% or",
    ),
    "an unknown table": (plan_of("new_rows: {share: 0.1, tables: [rents]}"), "there is no table rents"),
    "an unknown level": (plan_of("quality: fatal"), "'fatal' is not known here; there are refuse, quarantine, warn"),
    "half a training": ("at_most_per_week: 0.5\ntasks: {}", "at_most_per_week: 0.5 is no number of at least 1"),
    "a list": ("- tenant_churn", "expected a record of names and values"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_plan_is_one_sentence_that_names_its_place(name: str) -> None:
    text, words = MISTAKES[name]
    with pytest.raises(FileError) as caught:
        read(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("retraining.yaml")


def test_a_share_may_be_more_than_the_whole_where_it_is_written_in_percent() -> None:
    grown = [grow(2, 5, {"leases": rows}) for rows in (3999, 4000)]
    assert [len(find(plan_of("new_rows: 200%"), look(6, one))) for one in grown] == [0, 1]


def replay(text: str, *versions: DataGrowth, days: int = 365) -> tuple[DueTraining, ...]:
    past = PastData((FIRST, *versions), {"tenant_churn": TABLES}, lambda number: ())
    return replay_plan(read(text), past, START, START + days * DAY)


def test_a_year_of_monthly_trainings_is_twelve_and_each_learns_from_what_came() -> None:
    due = replay(plan_of("schedule: '0 3 1 * *'"))
    assert [f"{one.at:%m-%d %H}" for one in due] == [f"{m:02d}-01 03" for m in (1, *range(2, 13))]
    daily = [grow(n, n, {"leases": 10, "payments": 10}, rows=1000 + 10 * n) for n in range(2, 100)]
    volume = replay(plan_of("new_rows: 10%"), *daily)
    assert [one.at for one in volume] == sorted(one.at for one in volume)
    # 10 % of 2,000 rows are ten days of 20; what it learned from grows with every training, and so does the limit.
    gaps = [(after.at - before.at) / DAY for before, after in itertools.pairwise(volume)]
    assert gaps[0] == 12
    assert gaps == sorted(gaps)


def test_a_replay_tells_what_was_held_back_once_until_something_is_trained() -> None:
    jumps = [grow(n, n, {"leases": 500}, rows=1000) for n in range(2, 9)]
    due = replay("at_most_per_week: 1\n" + plan_of("new_rows: 10%"), *jumps, days=9)
    assert [(one.at.day, one.is_held_back) for one in due] == [(3, True), (8, False), (9, True)]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 2000)), max_size=30),
    st.integers(1, 4),
)
def test_a_replay_never_trains_more_often_than_the_plan_allows(changes: list[tuple[int, int]], limit: int) -> None:
    days = sorted({day for day, _ in changes})
    sizes = dict(changes)
    versions = [grow(n, day, {"leases": sizes[day]}) for n, day in enumerate(days, start=2)]
    due = replay(f"at_most_per_week: {limit}\n" + plan_of("new_rows: 1%, schedule: '0 3 * * *'"), *versions, days=63)
    trained = [START, *(one.at for one in due if not one.is_held_back)]
    for at in trained:
        assert sum(at - 7 * DAY < other <= at for other in trained) <= limit
