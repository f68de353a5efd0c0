"""Progress: events as lines and back, how far the work is and how long it takes, bars, and a child's lines."""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from epic22.cli.progress_bars import ProgressBars
from epic22.cli.terminal import show_progress
from epic22.core.progress import (
    PROGRESS_SETTING,
    DeviceUsed,
    EpochFinished,
    Noted,
    ProcessSample,
    Progress,
    ProgressEvent,
    StageFinished,
    StageStarted,
    WorkAdvanced,
    WorkStarted,
)
from epic22.core.progress_lines import EVENT_TYPES, read_event, write_event
from epic22.core.progress_state import ProgressState


def same(value: Any, other: Any) -> bool:
    """Equal, or both no number."""
    return bool(value == other) or (isinstance(value, float) and math.isnan(value) and math.isnan(other))


@given(st.one_of(*(st.from_type(event_type) for event_type in EVENT_TYPES.values())))
def test_an_event_comes_back_from_its_line_as_it_was(event: ProgressEvent) -> None:
    line = write_event(event)
    back = read_event(line)
    assert type(back) is type(event)
    assert all(same(value, vars(back)[name]) for name, value in vars(event).items())
    assert "\n" not in line
    assert line.isascii()
    assert back is not None
    assert write_event(back) == line


@given(st.one_of(st.text(), st.binary()))
def test_what_is_no_event_is_none(line: str | bytes) -> None:
    assert read_event(line) is None


@pytest.mark.parametrize(
    "line", ['{"event":"work_advanced","depth":"x"}', '{"event":"newer"}', '{"event":', "[1]", "3", '{"event":3}']
)
def test_a_line_of_another_version_or_cut_off_by_a_kill_is_none(line: str) -> None:
    assert read_event(line) is None


def test_every_event_has_a_name_in_lines() -> None:
    assert set(EVENT_TYPES.values()) == set(ProgressEvent.__args__)


def advance(state: ProgressState, *events: tuple[float, ProgressEvent]) -> ProgressState:
    for at, event in events:
        state = state.advance(event, at)
    return state


SEARCH: tuple[tuple[float, ProgressEvent], ...] = (
    (0.0, StageStarted("evaluate")),
    (0.0, WorkStarted("families", 3, "family")),
    (0.0, WorkStarted("ensemble: 5 folds", 5, "fold", 1)),
    (0.0, WorkStarted("search 1 of 6", 50, "trial", 2)),
)


def test_time_left_follows_from_the_trials_that_were_made() -> None:
    state = advance(ProgressState(), *SEARCH, *((10.0 * (i + 1), WorkAdvanced(2)) for i in range(10)))
    assert state.stage == "evaluate"
    assert [(work.unit, work.done, work.steps) for work in state.works] == [("family", 0, 3), ("fold", 0, 5), ("trial", 10, 50)]
    assert state.estimate_seconds_left(2, 100.0) == pytest.approx(400.0)
    assert state.estimate_seconds_left(2, 105.0) == pytest.approx(395.0)
    # A fifth of a fold in 100 s: four fifths of it, and four more.
    assert state.estimate_seconds_left(1, 100.0) == pytest.approx(2400.0)
    assert state.estimate_seconds_left(0, 100.0) is None, "families are unlike"
    assert state.estimate_longest_left(100.0) == pytest.approx(2400.0)
    assert state.share == pytest.approx((0.2 / 5) / 3)
    state = advance(state, (500.0, WorkAdvanced(1)))
    assert [work.unit for work in state.works] == ["family", "fold"], "the search is part of the fold that is done"
    assert state.estimate_seconds_left(1, 500.0) == pytest.approx(2000.0)


def test_trials_that_an_interrupted_search_had_made_do_not_say_how_long_the_next_take() -> None:
    resumed = ((0.001 * i, WorkAdvanced(2)) for i in range(30))
    state = advance(ProgressState(), *SEARCH, *resumed, (20.0, WorkAdvanced(2)))
    assert state.estimate_seconds_left(2, 20.0) == pytest.approx(19 * 20.0, rel=0.01)


def test_the_epochs_of_a_network_count_as_part_of_a_fold() -> None:
    epoch = EpochFinished(25, 100, 0.5, None, 0.01, 1000.0, 75.0)
    state = advance(ProgressState(), (0.0, WorkStarted("mlp: 4 folds", 4, "fold")), (25.0, epoch))
    assert state.share == pytest.approx(0.25 / 4)
    assert state.estimate_seconds_left(0, 25.0) == pytest.approx(375.0)
    assert advance(state, (100.0, WorkAdvanced())).epoch is None


def test_a_state_keeps_the_device_the_last_sample_and_few_notes() -> None:
    sample = ProcessSample(0.5, 1 << 30, 2)
    notes = ((1.0, Noted(str(i))) for i in range(100))
    state = advance(ProgressState(), (0.0, DeviceUsed("cuda")), (1.0, sample), *notes, (2.0, StageFinished("plan")))
    assert (state.device, state.sample, state.notes[-1], len(state.notes)) == ("cuda", sample, "99", 20)
    assert state.finished_stages == ("plan",)


@given(st.lists(st.tuples(st.floats(0, 10), st.one_of(*(st.from_type(one) for one in EVENT_TYPES.values()))), max_size=30))
def test_no_order_of_events_gives_a_share_or_time_that_is_none(steps: list[tuple[float, ProgressEvent]]) -> None:
    state, now = ProgressState(), 0.0
    for seconds, event in steps:
        now += seconds
        state = state.advance(event, now)
        for number in range(len(state.works)):
            share, left = state.get_share(number), state.estimate_seconds_left(number, now)
            assert share is None or 0 <= share <= 1
            assert left is None or left >= 0


def render(bars: ProgressBars) -> str:
    console = Console(file=io.StringIO(), width=120)
    for renderable in bars.get_renderables():
        console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_bars_show_the_time_left_and_the_work_inside_a_step() -> None:
    now = [0.0]
    bars = ProgressBars(Console(file=io.StringIO(), force_terminal=True, width=120), clock=lambda: now[0])
    for at, event in (*SEARCH, *((10.0 * (i + 1), WorkAdvanced(2)) for i in range(10))):
        now[0] = at
        bars.show(event, at)
    families, folds, trials = render(bars).splitlines()
    assert ("families" in families, "0/3" in families, "left" in families) == (True, True, False)
    assert "40:00 left" in folds
    assert ("search 1 of 6" in trials, "10/50" in trials, "≈ 6:40 left" in trials) == (True, True, True)
    now[0] = 500.0
    bars.show(WorkAdvanced(1))
    assert "search" not in render(bars)
    assert "1/5" in render(bars)


def test_a_piece_of_work_of_unknown_length_has_no_time_left() -> None:
    bars = ProgressBars(Console(file=io.StringIO(), force_terminal=True, width=120))
    bars.show(WorkStarted("search 1 of 1", 0, "trial", 2))
    bars.show(WorkAdvanced(2))
    assert "left" not in render(bars)
    bars.show(WorkStarted("report", 2))
    assert "0/2" in render(bars)


def test_a_child_writes_lines_where_its_worker_reads_them_and_nothing_on_its_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PROGRESS_SETTING, str(tmp_path / "events"))
    with show_progress() as progress:
        progress.begin("linear: 5 folds", 5, "fold")
        progress.enter_step().note("as it is")
    assert capsys.readouterr().err == ""
    lines = (tmp_path / "events").read_bytes().splitlines()
    assert [read_event(line) for line in lines] == [WorkStarted("linear: 5 folds", 5, "fold"), Noted("as it is")]


def test_work_inside_a_step_is_one_deeper() -> None:
    events: list[ProgressEvent] = []
    Progress(events.append).enter_step().enter_step().step()
    assert events == [WorkAdvanced(2)]
    assert replace(WorkAdvanced(2), depth=0) == WorkAdvanced()
