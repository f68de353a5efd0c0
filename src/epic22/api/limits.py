"""No body over 1 MB reaches the application, whether its length is stated or not."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from epic22.api.problems import build_problem_response

MAX_BODY_BYTES = 1 << 20
MAX_DRAINED_BYTES = 64 << 20
"""So much of a body that is too large is read and thrown away, so that the client hears the answer and no reset."""


class _TooLargeError(Exception):
    """The body has outgrown the limit."""


class BodyLimit:
    """ASGI middleware that answers 413 once a body is larger than the limit; nothing is buffered."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counter = _CountingReceive(receive, self.limit)
        try:
            await self.app(scope, counter, send)
        except _TooLargeError:
            await counter.drain()
            detail = f"The body is larger than {self.limit:,} bytes; send the rows in several requests."
            await build_problem_response(413, detail, scope["path"])(scope, receive, send)


class _CountingReceive:
    """`receive` that counts."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive = receive
        self.limit = limit
        self.bytes = 0
        self.more = True

    async def __call__(self) -> Message:
        message = await self.receive()
        self._count(message)
        if self.bytes > self.limit:
            raise _TooLargeError
        return message

    def _count(self, message: Message) -> None:
        self.bytes += len(message.get("body", b""))
        self.more = message["type"] == "http.request" and bool(message.get("more_body"))

    async def drain(self) -> None:
        """Read on to the body's end, up to `MAX_DRAINED_BYTES`."""
        while self.more and self.bytes < MAX_DRAINED_BYTES:
            self._count(await self.receive())
