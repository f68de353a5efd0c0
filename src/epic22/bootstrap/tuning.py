"""The search that is asked for, its clock and the processes that work on it."""

import os
import time
from dataclasses import replace
from pathlib import Path

from epic22.bootstrap.components import open_studies
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.models.catalog import get_family
from epic22.core.selection.budget import Budget, Deadline
from epic22.services.tune import Tuning
from epic22.spec.task_request import refuse_other_choice
from epic22.spec.training_spec import TrainingSpec

IMPORT_TIME = time.monotonic()
"""When this module was imported: as near to the start of the process as can be told where the system does not."""


def build_tuning(settings: Settings, spec: TrainingSpec) -> Tuning | None:
    """The search that is asked for, None where none is.

    Raises UserError for a way of sampling that there is not, and for several processes without a search that they can share;
    UnknownTaskError for a family.
    """
    search = spec.search
    if not search.is_requested:
        return set_processes(None, spec.run.processes)
    refuse_other_choice(spec, "--sampling")
    if search.row_ms is not None and not search.nested:
        raise UserError("--row-ms needs folds that evaluate the distilled model too; leave --no-nested out.")
    for name in search.families:
        get_family(name)
    start = read_process_start()
    tuning = Tuning(
        Budget(search.trials, search.time_limit),
        Deadline(None if search.time_limit is None else start + search.time_limit),
        search.sampling,
        search.prune,
        search.families,
        search.nested,
        search.row_ms,
        start,
        open_studies(settings),
    )
    return set_processes(tuning, spec.run.processes)


def set_processes(tuning: Tuning | None, processes: int) -> Tuning | None:
    """The search by this many processes. Raises UserError where there is none, or one that several cannot share."""
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
