"""The command `epic22`: exit code 0 done, 2 the user's input, 1 ours."""

import os
import sys
import traceback
import uuid
from pathlib import Path
from typing import Annotated

import typer

from epic22 import __version__
from epic22.cli.audit import audit
from epic22.cli.data import data
from epic22.cli.decide import decide
from epic22.cli.demo import demo
from epic22.cli.explain import explain
from epic22.cli.ingest import ingest
from epic22.cli.lineage import lineage
from epic22.cli.models import models
from epic22.cli.predict import predict
from epic22.cli.sample import sample
from epic22.cli.serve import serve
from epic22.cli.train import train
from epic22.core.errors import UserError

EXIT_OK, EXIT_INTERNAL_ERROR, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="epic22",
    help="Honest machine learning for property management: train, audit, predict, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for verb in (sample, ingest, audit, train, decide, predict, explain, lineage, serve, models, demo):
    app.command()(verb)
app.add_typer(data)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Honest machine learning for property management: train, audit, predict, serve."""


def run() -> None:
    """Run the command line; the user sees one clear sentence for what is his to mend, and never a traceback."""
    # Two trainings on the same cores otherwise spend their time spinning for each other: minutes instead of seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"epic22: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("epic22: stopped; nothing half-written was left.\n")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INTERNAL_ERROR)
    except Exception as error:
        sys.stderr.write(f"epic22: our mistake ({type(error).__name__}); please report it with {_write_traceback()}\n")
        sys.exit(EXIT_INTERNAL_ERROR)


def _write_traceback() -> Path | str:
    """Write the traceback where the user can attach it to a report; his data is not in it."""
    folder = Path(os.environ.get("EPIC22_HOME") or Path.home() / ".epic22") / "errors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{uuid.uuid4().hex[:12]}.txt"
        path.write_text(traceback.format_exc())
    except OSError:
        return f"this trace:\n{traceback.format_exc()}"
    return path
