"""Jobs: what follows an attempt, what a request is as text, when a schedule fires, whom a worker takes for dead."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from epic22.core.errors import UserError
from epic22.core.job import FAULT_LIMIT, AttemptId, ChildOutcome, JobRequest, decide_next_step
from epic22.core.schedule import compute_next_time
from epic22.services.work import DEAD_SECONDS, Pulse

REQUEST = JobRequest("train", ("tenant_churn", "--trials", "5"), Path("/data"), 2, 3, 4_000_000_000)


def test_a_job_that_ends_well_is_done() -> None:
    assert decide_next_step(2, ChildOutcome(0)).state == "done"


@pytest.mark.parametrize("outcome", [ChildOutcome(2, "no task."), ChildOutcome(1, "our mistake."), ChildOutcome(-9, "", True)])
def test_a_fault_that_does_not_pass_is_not_tried_again(outcome: ChildOutcome) -> None:
    step = decide_next_step(0, outcome)
    assert (step.state, step.reason) == ("dead", outcome.reason)


@pytest.mark.parametrize("outcome", [ChildOutcome(75, "the server is away."), ChildOutcome(-11, "a signal.")])
def test_a_fault_that_may_pass_is_tried_again_after_longer_and_longer_pauses_and_not_for_ever(outcome: ChildOutcome) -> None:
    steps = [decide_next_step(faults, outcome) for faults in range(FAULT_LIMIT)]
    assert [step.state for step in steps] == ["waiting"] * (FAULT_LIMIT - 1) + ["dead"]
    pauses = [step.pause for step in steps[:-1]]
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert outcome.reason in steps[-1].reason


def test_equal_requests_are_equal_texts_and_come_back_as_they_were() -> None:
    assert JobRequest.from_json(REQUEST.to_json()) == REQUEST
    assert REQUEST.to_json() == JobRequest.from_json(REQUEST.to_json()).to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", REQUEST.to_json().replace('"train"', '"serve"'), '{"verb": "train"}'])
def test_a_text_that_is_no_request_of_ours_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"submit it again|give one of train"):
        JobRequest.from_json(text).refuse_unknown()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("verb", None), ("verb", ["train"]), ("verb", 1), ("arguments", "abc"), ("arguments", [None]), ("arguments", {"a": 1})),
        *(("arguments", None), ("directory", None), ("directory", 1), ("threads", None), ("threads", "2"), ("threads", 1.5)),
        *(("threads", True), ("threads", 0), ("priority", None), ("priority", "high"), ("memory", "4GB"), ("memory", -1)),
        *(("arguments", ["a\0b"]), ("directory", "/\0"), ("colour", "red")),
    ],
)
def test_a_stored_request_with_a_value_of_another_type_is_one_that_cannot_be_read(name: str, value: object) -> None:
    """A worker that met it on the way to a process would end, and the next one too."""
    stored = JobRequest.from_json(json.dumps(json.loads(REQUEST.to_json()) | {name: value}))
    assert str(stored) == "unreadable"
    with pytest.raises(UserError, match="submit it again"):
        stored.refuse_unknown()


@pytest.mark.parametrize("text", ["", "17", "a/b", "17/", "/1", "1/-1"])
def test_an_attempt_that_no_worker_set_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="EPIC22_ATTEMPT"):
        AttemptId.parse(text)


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6 *", "never fires"),
        ("* * * *", "4 fields"),
        ("@daily", "1 field;"),
        ("61 * * * *", "cannot be read"),
        ("R * * * *", "cannot be read"),
        ("H 3 * * *", "cannot be read"),
    ],
)
def test_a_cron_line_that_never_fires_or_is_none_is_refused(cron: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        compute_next_time(cron, "UTC", datetime(2026, 1, 1, tzinfo=UTC))


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(UserError, match="no time zone"):
        compute_next_time("0 3 * * *", "Mars/Olympus", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_schedule_follows_the_clocks_of_its_zone() -> None:
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert compute_next_time("0 3 * * *", "Europe/Berlin", saturday) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert compute_next_time("0 3 * * *", "UTC", saturday) == datetime(2026, 3, 29, 3, tzinfo=UTC)


def test_an_hour_that_comes_twice_counts_once_unless_every_hour_is_asked_for() -> None:
    night = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)

    def list_times(cron: str, n: int) -> list[str]:
        moments = [night]
        for _ in range(n):
            moments.append(compute_next_time(cron, "Europe/Berlin", moments[-1]))
        return [f"{moment:%d %H:%M}" for moment in moments[1:]]

    assert list_times("30 2 * * *", 2) == ["25 00:30", "26 01:30"]
    assert list_times("*/30 2 * * *", 3) == ["25 00:00", "25 00:30", "26 01:00"]
    assert list_times("0 * * * *", 3) == ["25 00:00", "25 01:00", "25 02:00"]


def test_a_worker_is_dead_once_its_heartbeats_stood_still_for_long_enough_as_this_one_saw() -> None:
    pulse = Pulse()
    assert pulse.find_dead({"a": 1, "b": 1}, 0.0) == []
    assert pulse.find_dead({"a": 1, "b": 2}, DEAD_SECONDS) == []
    assert pulse.find_dead({"a": 1, "b": 2}, DEAD_SECONDS + 0.1) == ["a"]
    assert pulse.find_dead({"b": 3}, DEAD_SECONDS + 0.2) == []


def test_nobody_is_dead_because_the_database_was_away() -> None:
    pulse = Pulse()
    pulse.find_dead({"a": 1}, 0.0)
    pulse.forget()
    assert pulse.find_dead({"a": 1}, 100.0) == []


@pytest.mark.parametrize(("written", "meant"), [("0 3 * * 1-1", "0 3 * * 1"), ("0 9-9 1-1/2 jan-JAN *", "0 9 1 1 *")])
def test_a_range_of_one_value_is_that_value(written: str, meant: str) -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert compute_next_time(written, "UTC", start) == compute_next_time(meant, "UTC", start)
