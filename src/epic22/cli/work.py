"""`epic22 work`: a worker that carries out jobs until it is stopped."""

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.terminal import print_line
from epic22.config import Settings

if TYPE_CHECKING:
    from epic22.services.work import Worker


def work(
    once: Annotated[bool, typer.Option("--once", help="End after one job, or where none waits.")] = False,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End once no job waits or runs.")] = False,
    control_group: Annotated[
        Path | None,
        typer.Option(help="A folder of Linux' control groups, version 2, handed to this user: it holds memory limits too."),
    ] = None,
) -> None:
    """Carry out jobs, one at a time, until Ctrl-C: what dead workers had under way too.

    Several workers, on one machine or on all that use the same EPIC22_DATABASE_URL, share the jobs.
    """
    settings, name = Settings.read(), bootstrap.name_worker()
    worker = bootstrap.Worker(name, bootstrap.open_worker_parts(settings, name, control_group), _say, 1 if once else None)
    for other in bootstrap.list_other_programs(settings):
        sys.stderr.write(f"epic22: {other}\n")
    _say(f"worker {name}: Ctrl-C ends it.")
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        worker.work(until_idle)
    except KeyboardInterrupt:
        _say_what_stays(worker)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print_line(f"{datetime.now():%H:%M:%S} {text}")


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _say_what_stays(worker: "Worker") -> None:
    """What is kept of the job under way, and how it goes on."""
    job = worker.interrupted
    if job is None:
        sys.stderr.write("epic22: stopped; no job was under way. The jobs that wait stay: 'epic22 work' goes on.\n")
        return
    sys.stderr.write(
        f"epic22: stopped; job {job.id} ({job.request}) waits again, and what it finished, folds and trials, is kept: "
        f"'epic22 work' goes on from there, 'epic22 jobs cancel {job.id}' gives it up.\n"
    )
