"""`epic22 mlflow`: MLflow's own page."""

import signal
from typing import Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.terminal import print_line
from epic22.config import Settings


def mlflow(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 5000,
) -> None:
    """Open MLflow's own page on the runs of all trainings, for this machine alone, until Ctrl-C.

    It reads the store that trainings write to: the home's, or the server's of EPIC22_DATABASE_URL. It reports nothing to anybody,
    and no password stands among its arguments.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    print_line("starting MLflow, which takes some seconds …", "dim")
    with bootstrap.open_page(Settings.read(), port) as page:
        print_line(f"{page.address} – the runs in {page.place}. Stop with Ctrl-C.")
        page.wait()


def _interrupt(*_: Any) -> None:
    """End as Ctrl-C does, so that the server is ended too."""
    raise KeyboardInterrupt
