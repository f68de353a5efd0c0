"""`epic22 store`: what is kept and where, and its move to another place."""

from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings

if TYPE_CHECKING:
    from epic22.bootstrap.store import StoreStatus

store = typer.Typer(
    name="store",
    help="What is kept and where: status, migrate, copy to a database or back to files.",
    no_args_is_help=True,
    add_completion=False,
)


@store.command()
def status(json: Json = False) -> None:
    """Say where versions of data and models, champions and receipts are kept, and how many there are."""
    _print_status(bootstrap.describe_store(Settings.read()), json)


@store.command()
def migrate(json: Json = False) -> None:
    """Bring the tables of the database up to date; the first command that uses it does so by itself."""
    _print_status(bootstrap.migrate_store(Settings.read()), json)


@store.command()
def copy(
    to: Annotated[str, typer.Option(help="postgresql://user@host/name, sqlite:////path/file, or the folder of another home.")],
    artifacts: Annotated[
        str | None,
        typer.Option(help="With a database: for models and tables, a folder on a disk that its machines share, or s3://…."),
    ] = None,
    json: Json = False,
) -> None:
    """Copy all that is kept to another place, which then has the same versions, champions, decisions and receipts.

    What is there already is passed over; a copy that was interrupted goes on when it is run again. Nothing is removed here.
    """
    result = bootstrap.copy_store(Settings.read(), to, artifacts)
    if json:
        print_json(result, bootstrap.VIEWS)
        return
    kinds = (
        ("data versions", result.data_versions),
        ("model versions", result.models),
        ("receipts", result.receipts),
        ("requests of portfolios", result.predictions),
        ("jobs", result.jobs),
    )
    print_table("Copy", ["what", "copied", "there already"], [[n, f"{c.copied:,}", f"{c.present:,}"] for n, c in kinds])
    print_line(f"From {result.source} to {result.target}.")
    print_line(f"Not copied: {'; '.join(result.not_copied)}. No model, answer or receipt depends on them.")


def _print_status(status: "StoreStatus", json: bool) -> None:
    if json:
        print_json(status, bootstrap.VIEWS)
        return
    counts = [("data versions", status.data_versions), ("model versions", status.models), ("champions", status.champions)]
    print_table(
        "Store",
        ["what", "how many"],
        [[name, f"{n:,}"] for name, n in (*counts, ("receipts", status.receipts), ("jobs", status.jobs))],
    )
    database = f"a database, its tables at step {status.revision}; files in {status.files}"
    kind = "files" if status.revision is None else database
    print_line(f"{status.place}: {kind}.")
    if status.cache is not None:
        print_line("Redis answers." if status.cache == "ok" else f"Redis is away, and all goes on without it: {status.cache}")
