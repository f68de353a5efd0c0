"""A job that is followed from its terminal: bars with the time left, or lines where that is none, until it ends."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from epic22.cli.progress_bars import ProgressBars
from epic22.cli.terminal import TerminalConsole, print_work
from epic22.core.job import JobRecord
from epic22.core.progress import AttemptStarted
from epic22.core.serialization import collect_views, view

if TYPE_CHECKING:
    from epic22.core.job_event import JobEvent, JobFeed

LOOK_SECONDS = 0.5
JOB_VIEWS = collect_views(
    view(
        JobRecord,
        "id request program state attempt=attempts faults reason submitted_at not_before worker started_at ended_at schedule",
    )
)
"""Attempts are counted; the number that fences the newest is no count, and nobody's but the program's."""


def follow_progress(feed: "JobFeed", job: int, on_change: Callable[[JobRecord], None]) -> JobRecord:
    """The job once it has ended; its progress is shown until then, and every change of its state is given to `on_change`."""
    last, state = 0, ("", 0)
    with _open_display() as show:
        while True:
            # First the job: once it has ended there are no events that are not read after this.
            record = feed.get(job)
            if (record.state, record.attempt) != state:
                state = record.state, record.attempt
                on_change(record)
            while events := feed.read_events(job, last):
                for event in events:
                    show(event)
                last = events[-1].number
            if not record.is_open:
                return record
            time.sleep(LOOK_SECONDS)


@contextmanager
def _open_display() -> "Iterator[Callable[[JobEvent], None]]":
    console = TerminalConsole(stderr=True)
    if not console.is_terminal:

        def print_event(one: "JobEvent") -> None:
            if isinstance(one.event, AttemptStarted) and one.event.number > 1:
                sys.stderr.write(f"attempt {one.event.number} …\n")
            print_work(console, one.event)

        yield print_event
        return
    # The worker's clock may differ from this one's; what is shown of a minute is about a minute all the same.
    with ProgressBars(console, time.time) as bars:
        yield lambda one: bars.show(one.event, one.at.timestamp())
