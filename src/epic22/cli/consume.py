"""`epic22 consume`: events of a stream become data versions, batch by batch, as they come."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json_line, print_line
from epic22.config import Settings, read_source_address
from epic22.core.errors import UserError

if TYPE_CHECKING:
    from epic22.services.consume import BatchStored, Waiting


def consume(
    source: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|-",
            help="Where events come from: redis://…, rediss://…, unix://… or env:NAME for a variable with it; - for lines of "
            "JSON on standard input. Without it: what POST /v1/events/TABLE accepted. The address is never shown or kept.",
        ),
    ] = None,
    stream: Annotated[str | None, typer.Option(help="The stream in Redis; epic22:events by default.")] = None,
    group: Annotated[
        str | None, typer.Option(help="The consumer group, which is made where there is none; epic22 by default.")
    ] = None,
    consumer: Annotated[
        str | None, typer.Option(help="The name of this consumer in its group, the same after a restart; the host's by default.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="The table of lines that name none.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=200_000, help="Store once so many events have come.")] = 20_000,
    every: Annotated[float, typer.Option(min=0.0, max=86_400, help="Store so many seconds after a batch's first event.")] = 60.0,
    remember: Annotated[
        float, typer.Option(min=0.001, max=3_650, help="Days after which the id of an event is forgotten.")
    ] = 7.0,
    once: Annotated[bool, typer.Option("--once", help="End where nothing waits, in place of waiting for more.")] = False,
    json: Json = False,
) -> None:
    """Take events of a stream into data versions as they come: from Redis, standard input, or the API.

    Each event counts once; broken ones go to quarantine. A batch is stored whole or not at all, and acknowledged then: a consumer
    that was killed, or whose server was away, goes on where it was. Stop it with Ctrl-C.
    """
    address = source if source in (None, bootstrap.STANDARD_INPUT) else read_source_address(str(source))
    options = bootstrap.StreamOptions(address, stream, group, consumer, table, timedelta(days=remember))
    if address == bootstrap.STANDARD_INPUT and (stream or group or consumer):
        raise UserError("--stream, --group and --consumer are for Redis; leave them out with --source -.")
    policy = bootstrap.BatchPolicy(batch, every, once)
    components = bootstrap.assemble(Settings.read())
    bootstrap.consume_stream(components, options, policy, _print_json if json else _print_progress)


def _print_progress(progress: "BatchStored | Waiting") -> None:
    if isinstance(progress, bootstrap.Waiting):
        text = f"waiting: {progress.reason}" if progress.reason else "it answers again"
        sys.stderr.write(f"epic22: {text}\n")
        return
    result, lag = progress.result, progress.lag
    version = "nothing new" if result.version is None else f"data version {result.version.number}"
    counts = f"{result.stored:,} stored, {result.repeated:,} again, {result.rejected:,} quarantined"
    behind = ""
    if lag is not None:
        behind = f"; behind: {'at least ' if lag.is_bound else ''}{_count_events(lag.events)}, {lag.seconds:,.1f} s"
    print_line(f"{version}: {_count_events(result.arrived)} in {progress.seconds:.2f} s: {counts}{behind}")


def _count_events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _print_json(progress: "BatchStored | Waiting") -> None:
    """Print a batch as a line of JSON; while there is none, as for people."""
    if isinstance(progress, bootstrap.Waiting):
        _print_progress(progress)
        return
    result = progress.result
    number = None if result.version is None else result.version.number
    counts = {name: getattr(result, name) for name in ("arrived", "stored", "repeated", "rejected")}
    print_json_line({"version": number, **counts, "seconds": round(progress.seconds, 4), "lag": progress.lag})
