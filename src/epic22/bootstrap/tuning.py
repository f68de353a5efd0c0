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
from epic22.spec.key import SEARCH
from epic22.spec.task_request import refuse_other_choice
from epic22.spec.training_spec import FIELDS, TrainingSpec

IMPORT_TIME = time.monotonic()
"""When this module was imported: as near to the start of the process as can be told where the system does not."""


def build_tuning(settings: Settings, spec: TrainingSpec, started_at: float | None = None) -> Tuning | None:
    """The search that is asked for, None where none is. A time limit counts from `started_at`, seconds of `time.monotonic`, else
    from the start of the process.

    Raises UserError for a setting of a search where there is none, for a way of sampling that there is not, and for several
    processes that a grid cannot share; UnknownTaskError for a family.
    """
    search = spec.search
    if not search.is_requested:
        settings_without_use = [one.key.option for one in FIELDS if one.key.panel == SEARCH and spec.value(one) != one.default]
        if settings_without_use:
            raise UserError(f"{', '.join(settings_without_use)}: only with a search; give --trials or --time-limit too.")
        return None
    refuse_other_choice(spec, "--sampling")
    if search.row_ms is not None and not search.nested:
        raise UserError("--row-ms needs folds that evaluate the distilled model too; leave --no-nested out.")
    for name in search.families:
        get_family(name)
    start = read_process_start() if started_at is None else started_at
    tuning = Tuning(
        Budget(search.trials, search.time_limit),
        Deadline(None if search.time_limit is None else start + search.time_limit),
        search.sampling,
        search.prune,
        search.families,
        search.nested,
        search.row_ms,
        open_studies(settings),
    )
    processes = spec.run.processes
    if processes > 1 and search.sampling == "grid":
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
