"""`epic22 serve`: the API, in one process."""

import socket
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.interruption import EXIT_INTERRUPTED
from epic22.cli.terminal import print_line
from epic22.config import Settings
from epic22.core.errors import UserError

BACKLOG = 2048


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; only this machine by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8022,
) -> None:
    """Answer predictions over HTTP: /health, /v1/tasks, /v1/tasks/TASK/predictions, /docs."""
    from epic22.cli.api_server import build_server

    components = bootstrap.assemble(Settings.read())
    listener = _open_socket(host, port)
    tasks = ", ".join(components.registry.list_tasks()) or "none yet; train one with 'epic22 train', it is picked up at once"
    address, bound = listener.getsockname()[:2]
    place = f"[{address}]" if ":" in address else address
    print_line(f"http://{place}:{bound}/docs – tasks: {tasks}. Stop with Ctrl-C.")
    try:
        build_server(components).run(sockets=[listener])
    except KeyboardInterrupt:
        # Who stops a server has nothing to be told of.
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens already: a port in use is reported before anything starts, and the first client waits."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio sends small answers at once only on sockets that say they are TCP; else each waits 40 ms for Nagle.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # From here on a client is queued, not refused, while the server starts.
        listener.listen(BACKLOG)
    except OSError as error:
        raise UserError(f"cannot listen on {host} port {port} ({error.strerror}); give another --host or --port.") from None
    return listener
