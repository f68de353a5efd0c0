"""Output at a terminal: progress on standard error, tables or JSON on standard output."""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from epic22.core.progress import EpochFinished, Noted, Progress, ProgressEvent, WorkAdvanced, WorkStarted
from epic22.core.serialization import NO_VIEWS, Views, to_json
from epic22.core.statistics import Interval
from epic22.core.text import format_figure

MAX_NAME_WIDTH, MIN_CELL_WIDTH = 24, 10
"""Names in a table's first column are kept in one line up to so many letters, where the other columns keep so much each."""


def print_json(value: object, views: Views = NO_VIEWS) -> None:
    """Print the value as JSON, records by their views."""
    sys.stdout.write(json.dumps(to_json(value, views), ensure_ascii=False, allow_nan=False, indent=2) + "\n")


@contextmanager
def show_progress() -> Iterator[Progress]:
    """A display of progress on standard error: bars, or where that is no terminal a line for each piece of work."""

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(partial(_print_work, console))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _Bars(*columns, console=console, transient=True) as bars:
        yield Progress(partial(_move_bars, bars))


class _Bars(RichProgress):
    """Bars, and below them a line about what is under way inside the last one."""

    inner_work = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars and the line."""
        yield from super().get_renderables()
        if self.inner_work:
            yield Text(self.inner_work, style="dim", no_wrap=True, overflow="ellipsis")


def describe_epoch(event: EpochFinished) -> str:
    """An epoch of a network in a line, what matters most first: a narrow terminal cuts its end off.

    >>> describe_epoch(EpochFinished(3, 100, 0.41237, 0.42, 0.003, 51234.5, 97.2))
    'epoch 3/100, ≤ 1:38 left: loss 0.4124, validation 0.4200, rate 0.003, 51,234 rows/s'
    """
    validation = "" if event.validation_loss is None else f", validation {event.validation_loss:.4f}"
    minutes, seconds = divmod(math.ceil(event.seconds_left), 60)
    return (
        f"epoch {event.epoch}/{event.epochs}, ≤ {minutes}:{seconds:02} left: loss {event.loss:.4f}{validation}, "
        f"rate {event.learning_rate:.3g}, {event.rows_per_second:,.0f} rows/s"
    )


def _print_work(console: Any, event: ProgressEvent) -> None:
    match event:
        case WorkStarted(what):
            console.print(f"{what} …", highlight=False, soft_wrap=True)
        case Noted(text):
            console.print(Text(text), soft_wrap=True)


def _move_bars(bars: _Bars, event: ProgressEvent) -> None:
    bars.inner_work = describe_epoch(event) if isinstance(event, EpochFinished) else ""
    match event:
        case WorkStarted(what, steps):
            for task in bars.task_ids:
                bars.update(task, completed=bars.tasks[bars.task_ids.index(task)].total)
            bars.add_task(what, total=steps)
        case WorkAdvanced():
            bars.advance(bars.task_ids[-1])
        case Noted(text):
            bars.console.print(Text(text), soft_wrap=True)


def print_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; its cells are plain text, never markup."""
    grid, console = Table(title=title, title_justify="left", title_style="bold", header_style="bold"), Console()
    name_width = max(map(len, [headers[0], *(row[0] for row in rows)]))
    keeps_names = name_width <= MAX_NAME_WIDTH and console.width - name_width >= MIN_CELL_WIDTH * (len(headers) - 1)
    for number, header in enumerate(headers):
        grid.add_column(Text(header), overflow="fold", justify="left" if number == 0 else "default")
    grid.columns[0].no_wrap = keeps_names
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console.print(grid)


def print_line(text: str, style: str = "") -> None:
    """Print a line of plain text, never markup."""
    Console().print(Text(text, style=style), soft_wrap=True)


def format_interval(interval: Interval | None) -> str:
    """A figure with its interval in fewer digits; a dash for None, and for what is not defined.

    >>> format_interval(Interval(0.81237, 0.80123, 0.82345))
    '0.8124 (0.801…0.823)'
    >>> format_interval(Interval(math.nan, math.nan, math.nan))
    '–'
    """
    if interval is None or not interval.is_defined:
        return "–"
    return f"{format_figure(interval.value)} ({format_figure(interval.low, 3)}…{format_figure(interval.high, 3)})"
