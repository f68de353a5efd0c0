"""A server on this machine that answers as a test tells it, and remembers what it was asked."""

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer. `pretended` is a Content-Length that is not the body's; `silent`: no answer until the server closes."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pretended: int | None = None
    silent: bool = False
    pieces: int = 1


@dataclass
class RowServer:
    """`answer` gives the reply to the n-th request, from 1."""

    address: str
    answer: Callable[[int, Asked], Reply]
    asked: list[Asked] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def serve_rows(answer: Callable[[int, Asked], Reply]) -> Iterator[RowServer]:
    """A server on a free port."""
    end = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(parts.path, dict(parse_qsl(parts.query)), {k.lower(): v for k, v in self.headers.items()})
            server.asked.append(asked)
            reply = server.answer(len(server.asked), asked)
            if reply.silent:
                end.wait(5)
                return
            self.send_response(reply.status)
            self.send_header(
                "Content-Length", str(len(reply.body) * reply.pieces if reply.pretended is None else reply.pretended)
            )
            if reply.content_type:
                self.send_header("Content-Type", reply.content_type)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                for _ in range(reply.pieces):
                    self.wfile.write(reply.body)
            self.close_connection = True

        def log_message(self, form: str, *values: object) -> None:
            """Nothing on standard error."""

    http = _Server(("127.0.0.1", 0), Handler)
    server = RowServer(f"http://127.0.0.1:{http.server_port}", answer)
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        end.set()
        http.shutdown()
        http.server_close()
        thread.join()


def find_closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
