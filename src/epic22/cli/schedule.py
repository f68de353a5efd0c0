"""`epic22 schedule`: jobs that are submitted by the clock."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.job_request import PASS_ON, Memory, PassOnCommand, Priority, Threads, Words, build_request
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.job import USUAL_PRIORITY
from epic22.core.schedule import Schedule, compute_next_time, read_zone, refuse_machine_zone

schedule = typer.Typer(
    name="schedule",
    help="Jobs that workers submit by the clock: add, list, remove. What was missed is caught up once.",
    no_args_is_help=True,
    add_completion=False,
)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@schedule.command(cls=PassOnCommand, context_settings=PASS_ON)
def add(
    words: Words,
    name: Annotated[str, typer.Option(help="A name for the schedule.")],
    cron: Annotated[str, typer.Option(help="Minute, hour, day of the month, month, day of the week: '0 3 * * 1'.")],
    zone: Annotated[str, typer.Option(help="The time zone of these clocks.")] = "UTC",
    priority: Priority = USUAL_PRIORITY,
    memory: Memory = None,
    threads: Threads = None,
) -> None:
    """Submit a verb as a job whenever the clock says so.

    epic22 schedule add --name weekly-churn --cron '0 3 * * 1' --zone Europe/Berlin train tenant_churn

    'epic22 schedule add train --help' names the options of train.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"--name is {name[:70]!r}; give small letters, digits, - and _, at most 64.")
    refuse_machine_zone(zone)
    next_at = compute_next_time(cron, zone, datetime.now(UTC))
    added = Schedule(name, cron, zone, build_request(words, priority, memory, threads), next_at)
    bootstrap.add_schedule(bootstrap.open_job_stores(Settings.read()).schedules, added)
    print_line(f"Schedule {name}: {added.request}, next at {next_at.astimezone(read_zone(zone)):%Y-%m-%d %H:%M} {zone}.")
    print_line("A worker submits it then: 'epic22 work' has to be running.", "dim")


@schedule.command("list")
def list_schedules(json: Json = False) -> None:
    """List the schedules with the time of their next job."""
    schedules = bootstrap.open_job_stores(Settings.read()).schedules.list_schedules()
    if json:
        print_json(schedules)
        return
    if not schedules:
        print_line("No schedules yet; 'epic22 schedule add' makes one.")
        return
    rows = [[one.name, one.cron, _format_next_time(one), str(one.request)] for one in schedules]
    print_table("Schedules", ["name", "cron", "next", "what"], rows)


def _format_next_time(schedule: Schedule) -> str:
    """When a schedule fires next, by its own clocks; one whose zone this machine does not know keeps no other out of the list."""
    try:
        return f"{schedule.next_at.astimezone(read_zone(schedule.zone)):%Y-%m-%d %H:%M} {schedule.zone}"
    except UserError:
        return f"{schedule.next_at:%Y-%m-%d %H:%M} UTC ({schedule.zone} is not known here)"


@schedule.command()
def remove(name: Annotated[str, typer.Argument(help="The name of the schedule.")]) -> None:
    """Remove a schedule; the jobs that it submitted stay."""
    bootstrap.open_job_stores(Settings.read()).schedules.remove_schedule(name)
    print_line(f"Schedule {name} is removed.")
