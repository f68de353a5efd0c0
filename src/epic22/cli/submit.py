"""`epic22 submit`: a verb as a job, for a worker to carry out."""

import typer

from epic22 import bootstrap
from epic22.cli.job_display import JOB_VIEWS
from epic22.cli.job_request import PASS_ON, Memory, PassOnCommand, Priority, Threads, Words, build_request
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line
from epic22.config import Settings
from epic22.core.job import USUAL_PRIORITY

submit = typer.Typer(name="submit", add_completion=False, rich_markup_mode="rich")


@submit.command(cls=PassOnCommand, context_settings=PASS_ON)
def submit_verb(
    words: Words,
    priority: Priority = USUAL_PRIORITY,
    memory: Memory = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Have a worker carry out a verb: it waits in a queue, and is taken over where its worker dies.

    epic22 submit train tenant_churn --trials 50

    epic22 submit --priority 1 --memory 4GB train --csv churn.csv --label churned

    'epic22 submit train --help' names the options of train, 'epic22 work' starts a worker, 'epic22 jobs' says how jobs stand.
    """
    request = build_request(words, priority, memory, threads)
    job = bootstrap.submit_job(bootstrap.open_job_stores(Settings.read()).records, request)
    if json:
        print_json(job, JOB_VIEWS)
        return
    print_line(f"Job {job.id}: {job.request}; {job.request.threads} threads, priority {job.request.priority}.")
    print_line("A worker carries it out: 'epic22 work' starts one; 'epic22 jobs show' says how it stands.", "dim")
