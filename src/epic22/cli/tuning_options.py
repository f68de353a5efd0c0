"""The options of a search, alike for a table of one's own and for a feature."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from epic22.bootstrap import open_studies
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.models.catalog import get_family
from epic22.core.selection.budget import Budget, Deadline
from epic22.services.tune import Tuning
from epic22.spec.task_file import SearchAsked

TUNING = "Search for parameters"
IMPORT_TIME = time.monotonic()
"""When this module was imported: as near to the start of the process as can be told where the system does not."""

Trials = Annotated[
    int | None,
    typer.Option(min=1, help="Search so many configurations in each training part; repeatable.", rich_help_panel=TUNING),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(min=5, help="Seconds for the whole command from its start; not repeatable to the bit.", rich_help_panel=TUNING),
]
SearchedFamilies = Annotated[
    list[str] | None,
    typer.Option(
        "--search-family", help="A family to search; else all that fit, CatBoost where installed.", rich_help_panel=TUNING
    ),
]
HowToSample = Annotated[str, typer.Option("--sampling", help="bayesian, random or grid.", rich_help_panel=TUNING)]
Prune = Annotated[
    bool, typer.Option(help="Give up a configuration that falls behind in its first folds.", rich_help_panel=TUNING)
]

Nested = Annotated[
    bool,
    typer.Option(
        "--nested/--no-nested",
        help="Search anew in every training part, or once, judged by its own inner folds: sooner, a little too good.",
        rich_help_panel=TUNING,
    ),
]
RowMilliseconds = Annotated[
    float | None,
    typer.Option(
        "--row-ms",
        min=0.01,
        help="Where score and reasons of one row take longer than this, one model learns what the ensemble says.",
        rich_help_panel=TUNING,
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        max=256,
        help="Search by so many processes at once: faster, but the same command may find another model next time.",
        rich_help_panel=TUNING,
    ),
]


@dataclass(frozen=True)
class SearchOptions:
    """How parameters are searched for."""

    trials: Trials = None
    time_limit: TimeLimit = None
    search_family: SearchedFamilies = None
    sampling: HowToSample = "bayesian"
    prune: Prune = True
    nested: Nested = True
    row_ms: RowMilliseconds = None
    processes: Processes = 1


def build_tuning(settings: Settings, search: SearchAsked) -> Tuning | None:
    """The search that was asked for, None where none was.

    Raises UserError for a way of sampling that there is not, UnknownTaskError for a family.
    """
    if not search.is_requested:
        return None

    if search.sampling not in ("bayesian", "random", "grid"):
        raise UserError(f"--sampling {search.sampling}: give bayesian, random or grid.")
    if search.row_ms is not None and not search.nested:
        raise UserError("--row-ms needs folds that judge the one model too; leave --no-nested out.")
    for name in search.families:
        get_family(name)
    start = read_process_start()
    return Tuning(
        Budget(search.trials, search.time_limit),
        Deadline(None if search.time_limit is None else start + search.time_limit),
        search.sampling,  # type: ignore[arg-type]
        search.prune,
        search.families,
        search.nested,
        search.row_ms,
        start,
        open_studies(settings),
    )


def set_processes(tuning: Tuning | None, processes: int) -> Tuning | None:
    """The search by so many processes. Raises UserError where there is none, or one that several cannot share."""
    if processes == 1:
        return tuning
    if tuning is None:
        raise UserError("--processes is for a search; give --trials or --time-limit too.")
    if tuning.sampling == "grid":
        raise UserError("--processes and --sampling grid: a grid is walked by one process; give bayesian or random.")
    return replace(tuning, n_processes=processes)


def read_process_start() -> float:
    """When this process began, on the clock of `time.monotonic`, in seconds."""
    stat = Path("/proc/self/stat")
    if not stat.exists() or not hasattr(time, "CLOCK_BOOTTIME"):
        return IMPORT_TIME
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age
