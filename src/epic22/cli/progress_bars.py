"""Bars of what is under way, with the time that is left."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from epic22.core.controls import mask_controls
from epic22.core.progress import AttemptStarted, EpochFinished, Noted, ProcessSample, ProgressEvent, WorkAdvanced, WorkStarted
from epic22.core.progress_state import ProgressState
from epic22.core.text import format_memory, format_percent

HISTORY_DEPTH, MAX_HISTORY = 1, 10
"""Bars of work that is done stay to this depth, the last ones; deeper ones, such as a fold's searches, make room for the next."""


class ProgressBars(RichProgress):
    """A bar for each piece of work, below them a line about what is under way inside the last one, and one about the processes.

    `clock` counts seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.state, self.clock = ProgressState(), clock
        self.open_tasks, self.done_tasks = dict[int, TaskID](), deque[TaskID]()
        left = _TimeLeftColumn(self._estimate_left)
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            left,
            console=console,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars and the lines."""
        yield from super().get_renderables()
        lines = [describe_epoch(self.state.epoch)] if self.state.epoch is not None else []
        lines += [describe_sample(self.state.sample, self.state.device)] if self.state.sample is not None else []
        for line in lines:
            yield Text(line, style="dim", no_wrap=True, overflow="ellipsis")

    def show(self, event: ProgressEvent, at: float | None = None) -> None:
        """Show what an event changes; `at` is its moment on the clock, now where it is not given."""
        self.state = self.state.advance(event, self.clock() if at is None else at)
        match event:
            case WorkStarted(_, steps, _, depth) as work:
                self._finish_from(depth)
                text = mask_controls(" ".join(work.text.split()))
                self.open_tasks[depth] = self.add_task(f"{'  ' * depth}{text}", total=steps or None)
            case WorkAdvanced(depth):
                self._finish_from(depth + 1)
                if depth in self.open_tasks:
                    self.advance(self.open_tasks[depth])
            case AttemptStarted():
                self._finish_from(0)
            case Noted(text):
                self.console.print(Text(mask_controls(text)), soft_wrap=True)

    def _finish_from(self, depth: int) -> None:
        """Complete the bars of work that has given way to other work, and remove those that are too deep to stay."""
        for inner in [one for one in self.open_tasks if one >= depth]:
            task_id = self.open_tasks.pop(inner)
            if inner > HISTORY_DEPTH:
                self.remove_task(task_id)
            else:
                task = self.tasks[self.task_ids.index(task_id)]
                # What took fewer steps than it might have, such as a search that the time ended, is done too.
                self.update(task_id, completed=task.completed if task.total is None else task.total, total=task.total or 0)
                self.done_tasks.append(task_id)
        while len(self.done_tasks) > MAX_HISTORY:
            self.remove_task(self.done_tasks.popleft())

    def _estimate_left(self, task: Task) -> float | None:
        number = next((i for i, work in enumerate(self.state.works) if self.open_tasks.get(work.depth) == task.id), None)
        return None if number is None else self.state.estimate_seconds_left(number, self.clock())


class _TimeLeftColumn(ProgressColumn):
    """About how long a bar still takes; nothing where that is not known."""

    max_refresh = 0.5

    def __init__(self, estimate: Callable[[Task], float | None]) -> None:
        super().__init__()
        self.estimate = estimate

    def render(self, task: Task) -> Text:
        """The time left of a bar."""
        seconds = self.estimate(task)
        return Text("" if seconds is None or task.finished else f"≈ {format_duration(seconds)} left", style="cyan")


def format_duration(seconds: float) -> str:
    """Seconds as minutes or hours, rounded up.

    >>> format_duration(97.2), format_duration(7322)
    ('1:38', '2:02:02')
    """
    minutes, second = divmod(math.ceil(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def describe_epoch(event: EpochFinished) -> str:
    """An epoch of a network in a line, what matters most first: a narrow terminal cuts its end off.

    >>> describe_epoch(EpochFinished(3, 100, 0.41237, 0.42, 0.003, 51234.5, 97.2))
    'epoch 3/100, ≤ 1:38 left: loss 0.4124, validation 0.4200, rate 0.003, 51,234 rows/s'
    """
    validation = "" if event.validation_loss is None else f", validation {event.validation_loss:.4f}"
    return (
        f"epoch {event.epoch}/{event.epochs}, ≤ {format_duration(event.seconds_left)} left: loss {event.loss:.4f}{validation}, "
        f"rate {event.learning_rate:.3g}, {event.rows_per_second:,.0f} rows/s"
    )


def describe_sample(sample: ProcessSample, device: str | None = None) -> str:
    """What a job's processes take of the machine, in a line.

    >>> describe_sample(ProcessSample(0.873, 1_230_000_000, 3), "cuda")
    'processors 87 %, memory 1.2 GB in 3 processes, networks on cuda'
    """
    networks = "" if device is None else f", networks on {device}"
    processes = "1 process" if sample.processes == 1 else f"{sample.processes} processes"
    memory = format_memory(sample.memory_bytes)
    return f"processors {format_percent(sample.processor_share)}, memory {memory} in {processes}{networks}"
