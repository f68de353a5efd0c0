"""`epic22 retrain`: submit the trainings that a plan of triggers says are due, or say what it would have done."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.job_request import load_plan
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings

if TYPE_CHECKING:
    from epic22.services.retraining import DueTraining


def retrain(
    plan: Annotated[Path | None, typer.Option(help="The plan (YAML); EPIC22_HOME/retraining.yaml otherwise.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is due, and submit nothing.")] = False,
    replay: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, max=3660, help="Say what the plan would have done in the last days.")
    ] = None,
    json: Json = False,
) -> None:
    """Submit a training of each task of which a trigger says that it is due: a time, new rows, an alarm of quality.

    epic22 retrain --dry-run

    epic22 retrain --replay 365

    epic22 schedule add --name check-triggers --cron '0 * * * *' retrain

    A training is a job ('epic22 work' carries it out), and its model passes the gates of any other before it serves.
    """
    components = bootstrap.assemble(Settings.read())
    read = load_plan(components, plan)
    if replay is not None:
        due, jobs = bootstrap.replay_past(components, read, timedelta(days=replay)), {}
    else:
        due = bootstrap.find_due(components, read)
        jobs = {} if dry_run else dict(bootstrap.submit_due_trainings(components, due))
    if json:
        print_json([_describe(one, jobs) for one in due])
        return
    if not due:
        span = "Nothing is due" if replay is None else f"Nothing would have been due in the last {replay} days"
        print_line(f"{span}; tasks of the plan: {', '.join(task.task for task in read.tasks)}.")
        return
    _print_due(due, jobs)


def _print_due(due: "Sequence[DueTraining]", jobs: Mapping[str, int]) -> None:
    print_table("Due", ["at, UTC", "task", "trigger"], [[f"{one.at:%Y-%m-%d %H:%M}", one.task, one.trigger] for one in due])
    for one in due:
        what = f"not trained: {one.held_back}" if one.is_held_back else _describe_job(jobs.get(one.task))
        print_line(f"{one.at:%Y-%m-%d} {one.task}: {one.reason}; {what}.")


def _describe_job(job: int | None) -> str:
    return "it would be trained" if job is None else f"job {job} trains it"


def _describe(due: "DueTraining", jobs: Mapping[str, int]) -> dict[str, Any]:
    return {
        "at": due.at.isoformat(),
        "task": due.task,
        "trigger": due.trigger,
        "reason": due.reason,
        "held_back": due.held_back or None,
        "job": None if due.is_held_back else jobs.get(due.task),
    }
