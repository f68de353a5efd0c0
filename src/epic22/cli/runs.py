"""`epic22 runs`: the trainings that are written down."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.text import format_figure

if TYPE_CHECKING:
    from epic22.adapters.tracking.stored_run import StoredRun

runs = typer.Typer(
    name="runs",
    help="The trainings that are written down: list, show, export to a file, import from one.",
    no_args_is_help=True,
    add_completion=False,
)
Reference = Annotated[str, typer.Argument(help="TASK/VERSION, or the beginning of the run's id.")]


@runs.command("list")
def list_(
    task: Annotated[str | None, typer.Argument(help="One task; all otherwise.")] = None,
    json: Json = False,
) -> None:
    """List the trainings, newest first: which version they made, when, how long they took."""
    trainings = bootstrap.list_runs(Settings.read(), task)[::-1]
    if json:
        print_json(trainings)
        return
    if not trainings:
        print_line(f"No runs{'' if task is None else f' of task {task}'} yet; every 'epic22 train' writes one.")
        return
    rows = [
        [one.id[:12], one.task, one.version, one.state, _format_moment(one.start), f"{(one.end - one.start) / 1000:,.0f}"]
        for one in trainings
    ]
    print_table("Runs", ["run", "task", "version", "status", "started, UTC", "seconds"], rows)


@runs.command()
def show(run: Reference, json: Json = False) -> None:
    """Show a training: its parameters, figures and tags, the families raced, and how many trials each had."""
    tree = bootstrap.read_run(Settings.read(), run)
    if json:
        print_json(tree)
        return
    training = tree[0]
    print_table("Parameters", ["name", "value"], [[name, text] for name, text in sorted(training.parameters.items())])
    print_table("Figures", ["name", "value"], [[name, format_figure(value)] for name, value in _list_figures(training)])
    print_table("Tags", ["name", "value"], [[name, text] for name, text in sorted(training.tags.items())])
    families = [one for one in tree[1:] if one.parent == training.id]
    rows = [[one.name, str(sum(trial.parent == one.id for trial in tree))] for one in families]
    print_table("Families", ["family", "trials"], rows)
    print_line(f"Run {training.id}, {training.name}. MLflow's own page: epic22 mlflow.")


@runs.command()
def export(
    to: Annotated[Path, typer.Option(help="The new file, a zip; one that is there is not written over.")],
    run: Annotated[list[str] | None, typer.Argument(help="TASK/VERSION or ids, as many as are meant; all otherwise.")] = None,
    json: Json = False,
) -> None:
    """Write trainings with all their files into one file, which 'epic22 runs import' reads elsewhere."""
    count = bootstrap.export_runs(Settings.read(), run or [], to)
    if json:
        print_json({"exported": count, "file": str(to)})
        return
    print_line(f"{count:,} training{'' if count == 1 else 's'} in {to}, {to.stat().st_size / 1e6:,.1f} MB.")


@runs.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that 'epic22 runs export' wrote.")],
    json: Json = False,
) -> None:
    """Add the trainings of a file, each once however often. Their models are files of the runs, and serve nothing here."""
    counts = bootstrap.import_runs(Settings.read(), file)
    if json:
        print_json(counts)
        return
    noun = "training" if counts.imported == 1 else "trainings"
    print_line(
        f"{counts.imported:,} {noun} imported, {counts.present:,} {'was' if counts.present == 1 else 'were'} there already."
    )


def _list_figures(run: "StoredRun") -> Sequence[tuple[str, float]]:
    """Each metric with its latest value."""
    latest = {point.name: point.value for point in sorted(run.metrics, key=lambda point: (point.step, point.at))}
    return sorted(latest.items())


def _format_moment(milliseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        # Another program that writes to the same store may have written any number.
        return f"no time ({milliseconds:.3g})"
