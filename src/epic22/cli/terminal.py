"""Output at a terminal: progress on standard error, tables or JSON on standard output."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from epic22.adapters.progress_file import open_progress_lines
from epic22.cli.masked_output import get_terminal
from epic22.cli.progress_bars import ProgressBars
from epic22.core.controls import escape_controls, mask_controls
from epic22.core.progress import PROGRESS_SETTING, Noted, Progress, ProgressEvent, WorkStarted
from epic22.core.serialization import NO_VIEWS, Views, to_json
from epic22.core.statistics import Interval
from epic22.core.text import format_figure, format_percent

MAX_NAME_WIDTH, MIN_CELL_WIDTH = 24, 10
"""Names in a table's first column are kept in one line up to so many letters, where the other columns keep so much each."""


class TerminalConsole(Console):
    """A console that masks the texts that it lays out: colours and the movements of bars are its own. There is no other."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(file=get_terminal(sys.stderr if stderr else sys.stdout))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed, their texts masked."""
        for piece in super().render(renderable, options):
            yield piece if piece.is_control else Segment(mask_controls(piece.text), piece.style)


def mask_text(text: str, style: str = "") -> Text:
    """Plain text, never markup; masked before its width is counted."""
    return Text(mask_controls(text), style=style)


def print_json(value: object, views: Views = NO_VIEWS) -> None:
    """Print the value as JSON, records by their views."""
    sys.stdout.write(escape_controls(json.dumps(to_json(value, views), ensure_ascii=False, allow_nan=False, indent=2)) + "\n")


def print_json_line(value: object, views: Views = NO_VIEWS) -> None:
    """Print the value as JSON in one line, at once."""
    sys.stdout.write(escape_controls(json.dumps(to_json(value, views), ensure_ascii=False, allow_nan=False)) + "\n")
    sys.stdout.flush()


@contextmanager
def show_progress() -> Iterator[Progress]:
    """A display of progress on standard error: bars, or where that is no terminal a line for each piece of work.

    Where EPIC22_PROGRESS names a file or a pipe, events go there as lines of JSON instead.
    """
    place = os.environ.get(PROGRESS_SETTING)
    if place:
        with open_progress_lines(Path(place)) as progress:
            yield progress
        return
    console = TerminalConsole(stderr=True)
    if not console.is_terminal:
        yield Progress(partial(print_work, console))
        return
    with ProgressBars(console) as bars:
        yield Progress(bars.show)


def print_work(console: Any, event: ProgressEvent) -> None:
    """Print a line where a piece of work begins, or something is to be said of it."""
    match event:
        case WorkStarted(unit=unit) as work if unit != "family":
            console.print(mask_text(f"{work.text} …"), soft_wrap=True)
        case Noted(text):
            console.print(mask_text(text), soft_wrap=True)


def print_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; its cells are plain text, never markup."""
    grid = Table(title=mask_controls(title), title_justify="left", title_style="bold", header_style="bold")
    console = TerminalConsole()
    name_width = max(map(len, [headers[0], *(row[0] for row in rows)]))
    keeps_names = name_width <= MAX_NAME_WIDTH and console.width - name_width >= MIN_CELL_WIDTH * (len(headers) - 1)
    for number, header in enumerate(headers):
        grid.add_column(mask_text(header), overflow="fold", justify="left" if number == 0 else "default")
    grid.columns[0].no_wrap = keeps_names
    for row in rows:
        grid.add_row(*(mask_text(cell) for cell in row))
    console.print(grid)


def print_line(text: str, style: str = "") -> None:
    """Print a line of plain text, never markup."""
    TerminalConsole().print(mask_text(text, style), soft_wrap=True)


def format_answer(value: float | str, is_probability: bool) -> str:
    """The value of an answer: a class by its name, a probability in per cent, else the number.

    >>> format_answer("rising", False), format_answer(0.1815, True), format_answer(1450.0, False)
    ('rising', '18 %', '1,450')
    """
    if isinstance(value, str):
        return value
    return format_percent(value) if is_probability else format_figure(value)


def format_interval(interval: Interval | None) -> str:
    """A figure with its interval in fewer digits; a dash for None, and for what is not defined.

    >>> format_interval(Interval(0.81237, 0.80123, 0.82345))
    '0.8124 (0.801…0.823)'
    >>> format_interval(Interval(*[float("nan")] * 3))
    '–'
    """
    if interval is None or not interval.is_defined:
        return "–"
    return f"{format_figure(interval.value)} ({format_figure(interval.low, 3)}…{format_figure(interval.high, 3)})"
