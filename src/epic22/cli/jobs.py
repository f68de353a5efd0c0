"""`epic22 jobs`: how jobs stand, and what can be done about them."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.job_display import JOB_VIEWS, follow_progress
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.errors import UserError

if TYPE_CHECKING:
    from epic22.core.job import JobRecord

jobs = typer.Typer(
    name="jobs",
    help="Jobs that were submitted: list, show, logs, watch, cancel, retry.",
    no_args_is_help=True,
    add_completion=False,
)
Job = Annotated[int, typer.Argument(help="The number of the job.")]
MAX_SHOWN = 50


@jobs.command("list")
def list_jobs(
    every: Annotated[bool, typer.Option("--all", help=f"All jobs; the newest {MAX_SHOWN} otherwise.")] = False, json: Json = False
) -> None:
    """List the jobs, the newest first."""
    jobs = bootstrap.open_job_stores(Settings.read()).records.list_jobs(limit=None if every else MAX_SHOWN)
    if json:
        print_json(jobs, JOB_VIEWS)
    elif jobs:
        _print_jobs(jobs)
    else:
        print_line("No jobs yet; 'epic22 submit' makes one.")


def _print_jobs(jobs: "Sequence[JobRecord]") -> None:
    rows = [
        [str(job.id), job.state, str(job.request), f"{job.submitted_at:%Y-%m-%d %H:%M}", _describe_state(job)] for job in jobs
    ]
    print_table("Jobs", ["job", "state", "what", "submitted, UTC", "since or why"], rows)


def _describe_state(job: "JobRecord") -> str:
    if job.state == "running" and job.started_at is not None:
        return f"attempt {job.attempts}, since {job.started_at:%H:%M:%S}, on {job.worker}"
    if job.state == "done" and job.started_at is not None and job.ended_at is not None:
        return f"in {(job.ended_at - job.started_at).total_seconds():,.1f} s"
    return job.reason


def _describe(job: "JobRecord") -> str:
    """How a job stands, as a sentence: 'done in 3.1 s.', 'dead: there is no such column.', 'waiting.'."""
    more = _describe_state(job)
    words = f"{job.state}{' ' if job.state == 'done' else ': '}{more}" if more else job.state
    return words if words.endswith((".", "?", "!")) else f"{words}."


@jobs.command()
def show(job: Job, json: Json = False) -> None:
    """Show a job: its state, its attempts, the model versions that it registered."""
    records = bootstrap.open_job_stores(Settings.read()).records
    record, attempts, versions = records.get(job), records.list_attempts(job), records.list_versions(job)
    if json:
        print_json({"job": record, "attempts": attempts, "versions": versions}, JOB_VIEWS)
        return
    print_line(f"Job {job}: {record.request}")
    print_line(_describe(record))
    request = record.request
    limit = "no memory limit" if request.memory is None else f"at most {request.memory / 1e9:g} GB of memory"
    print_line(
        f"{request.threads} threads, priority {request.priority}, {limit}; in {request.directory}; epic22 {record.program}."
    )
    if attempts:
        rows = [[str(a.number), a.worker, f"{a.began_at:%Y-%m-%d %H:%M:%S}", a.outcome or "under way"] for a in attempts]
        print_table("Attempts", ["number", "worker", "began, UTC", "ended"], rows)
    for version in versions:
        print_line(f"{version.task} version {version.version}{'' if version.is_decided else ', not decided yet'}.")


@jobs.command()
def logs(job: Job) -> None:
    """Print what a job has written so far, a line each with its time in UTC: the newest megabyte."""
    settings = Settings.read()
    record = bootstrap.open_job_stores(settings).records.get(job)
    lines = bootstrap.find_log(settings, job).read_lines()
    if not lines:
        where = f"it runs or ran on {record.worker}" if record.worker else f"it is {record.state}"
        raise UserError(f"job {job} has no log in {settings.home}: {where}; logs are in the home of the worker that wrote them.")
    sys.stdout.write("".join(f"{line}\n" for line in lines))


@jobs.command()
def cancel(job: Job) -> None:
    """End a job for good; its process, if any, is ended within seconds."""
    records = bootstrap.open_job_stores(Settings.read()).records
    if not records.cancel(job):
        raise UserError(f"job {job} is {records.get(job).state} already.")
    print_line(f"Job {job} is cancelled; 'epic22 jobs retry {job}' has it wait again.")


@jobs.command()
def retry(job: Job) -> None:
    """Have a dead or cancelled job wait again; what it had finished, folds and trials, is not done again."""
    record = bootstrap.open_job_stores(Settings.read()).records.retry(job)
    print_line(f"Job {job} waits again: {record.request}.")


@jobs.command("watch")
def follow_job(job: Job) -> None:
    """Follow a job until it ends, by bars with the time that is left.

    Ctrl-C ends the following alone. The exit code is 0 where the job is done, 1 otherwise.
    """
    feed = bootstrap.open_job_feed(Settings.read())
    record = follow_progress(feed, job, lambda one: print_line(f"job {job}: {_describe(one)}", "dim"))
    raise typer.Exit(0 if record.state == "done" else 1)
