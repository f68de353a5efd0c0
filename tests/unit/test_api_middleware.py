"""The two layers that every request and answer passes: a limit on bodies, and headers for browsers; spoken to in plain ASGI."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from epic22.api.limits import MAX_BODY_BYTES, BodyLimit
from epic22.api.security_headers import SECURITY_HEADERS, SecurityHeaders

HTTP: Scope = {"type": "http", "path": "/v1/tasks/toy/predictions", "method": "POST", "headers": []}


class Echo:
    """Reads a body whole and answers with its length; `bodies` are those that it read to the end."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.headers = list(headers)
        self.bodies: list[bytes] = []
        self.scopes: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": str(len(body)).encode()})


class Conversation:
    """The parts of a body as they arrive, and all that was sent back."""

    def __init__(self, parts: list[bytes]) -> None:
        self.waiting = [
            {"type": "http.request", "body": part, "more_body": i < len(parts) - 1} for i, part in enumerate(parts)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]
        self.n_received = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.n_received += 1
        return self.waiting.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def hold(self, app: Any, scope: Scope = HTTP) -> "Conversation":
        asyncio.run(app(scope, self.receive, self.send))
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


@pytest.mark.parametrize("parts", [[], [b""], [b"abc"], [b"abc", b"de"], [b"12345", b"67890"]])
def test_a_body_within_the_limit_reaches_the_application_unchanged(parts: list[bytes]) -> None:
    echo = Echo()
    answer = Conversation(parts).hold(BodyLimit(echo, limit=10))
    assert (answer.status, answer.body) == (200, str(len(b"".join(parts))).encode())
    assert echo.bodies == [b"".join(parts)]


@pytest.mark.parametrize("parts", [[b"x" * 11], [b"x" * 10, b"x"], [b"x"] * 11, [b"xx", b"x" * 1000, b"x"]])
def test_a_body_over_the_limit_is_refused_however_it_is_cut(parts: list[bytes]) -> None:
    echo = Echo()
    answer = Conversation(parts).hold(BodyLimit(echo, limit=10))
    assert answer.status == 413
    assert echo.bodies == []
    problem = json.loads(answer.body)
    assert problem["status"] == 413
    assert "larger than 10 bytes; send the rows in several requests" in problem["detail"]


def test_the_rest_of_a_body_that_is_too_large_is_read_so_that_the_client_hears_the_answer() -> None:
    answer = Conversation([b"x" * 20] * 30).hold(BodyLimit(Echo(), limit=10))
    assert answer.n_received == 30
    assert not answer.waiting


def test_no_more_is_read_than_is_bearable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.api.limits.MAX_DRAINED_BYTES", 100)
    answer = Conversation([b"x" * 20] * 30).hold(BodyLimit(Echo(), limit=10))
    assert answer.n_received == 5
    assert answer.status == 413


def test_a_client_that_goes_away_ends_the_reading() -> None:
    conversation = Conversation([b"x" * 20, b"x"])
    conversation.waiting[1] = {"type": "http.disconnect"}
    assert conversation.hold(BodyLimit(Echo(), limit=10)).status == 413
    assert conversation.n_received == 2


def test_what_is_no_request_passes_the_limit_untouched() -> None:
    echo = Echo()
    Conversation([]).hold(BodyLimit(echo), {"type": "lifespan"})
    assert echo.scopes == ["lifespan"]


def test_the_usual_limit_is_a_mebibyte() -> None:
    assert BodyLimit(Echo()).limit == MAX_BODY_BYTES == 1024 * 1024


def headers(answer: Conversation) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in answer.sent[0]["headers"]}


def test_every_answer_carries_the_security_headers() -> None:
    sent = headers(Conversation([b"a"]).hold(SecurityHeaders(Echo())))
    assert sent == {name.lower(): value for name, value in SECURITY_HEADERS.items()}


def test_headers_of_the_application_stay_unless_they_are_less_strict() -> None:
    echo = Echo([(b"content-type", b"application/json"), (b"referrer-policy", b"unsafe-url")])
    sent = headers(Conversation([b"a"]).hold(SecurityHeaders(echo)))
    assert sent["content-type"] == "application/json"
    assert sent["referrer-policy"] == "no-referrer"
    assert len(sent) == len(SECURITY_HEADERS) + 1


def test_the_page_may_load_nothing_and_be_framed_by_nobody() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy


def test_refusals_carry_the_headers_too() -> None:
    answer = Conversation([b"x" * 99]).hold(SecurityHeaders(BodyLimit(Echo(), limit=10)))
    assert answer.status == 413
    assert set(headers(answer)) >= {name.lower() for name in SECURITY_HEADERS}
