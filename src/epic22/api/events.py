"""`POST /v1/events/{table}`: events taken in and stored for good, for a consumer to take into a data version."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from epic22.api.bodies import read_body, refuse_other_types
from epic22.api.problems import Problem, build_pointer, build_refusal
from epic22.core.errors import EventError, QueueFullError, StorageError, UnavailableError
from epic22.core.ports import EventQueue
from epic22.core.tables.events import TABLES, build_event, read_json

EVENTS_PATH = "/v1/events/{table}"
MAX_EVENTS = 1_000
RETRY_SECONDS = 5
"""So long a client is asked to wait where no event can be taken."""
BODY_HINT = 'send {"events": [{"id": "…", "row": {…}}]}'
BEARER = "bearer "


@dataclass(frozen=True)
class EventIntake:
    """Where events are laid down, and the SHA-256 digests of the tokens of those who may send them."""

    queue: EventQueue
    keys: frozenset[str]


def add_event_route(app: FastAPI, intake: EventIntake) -> None:
    """Take events in on the application."""

    @app.post(EVENTS_PATH, status_code=202, summary="Send events: rows of a table as they happen")
    async def events(table: str, request: Request) -> Response:
        check_token(request.headers.get("authorization", ""), intake.keys)
        if table not in TABLES:
            raise Problem(404, f"There is no table of that name; there are {', '.join(TABLES)}.")
        refuse_other_types(request)
        body = await read_body(request)
        # In a thread, for a body of long numbers takes long to read, in which the server would answer nobody.
        contents = await run_in_threadpool(read_events, table, body)
        waiting = await run_in_threadpool(_add_events, intake.queue, table, contents)
        answer = {"accepted": len(contents), "waiting": waiting}
        return Response(orjson.dumps(answer), 202, media_type="application/json", headers={"Cache-Control": "no-store"})


def check_token(header: str, keys: frozenset[str]) -> None:
    """Raise Problem 401 where an Authorization header has no token whose digest is one of the keys.

    All keys are compared, each in a time that tells nothing of where it differs.
    """
    token = header[len(BEARER) :].strip() if header[: len(BEARER)].lower() == BEARER else ""
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    is_known = False
    for key in keys:
        is_known |= hmac.compare_digest(digest, key)
    if not token or not is_known:
        detail = "Send 'Authorization: Bearer TOKEN' with a token that this server knows."
        raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def read_events(table: str, content: bytes) -> Sequence[bytes]:
    """The events of a body, each as JSON; whether a row keeps its table's contract is for the consumer to see.

    Raises Problem 400 for what is no JSON, 422 for what is no list of events of that table, with a JSON pointer each.
    """
    try:
        body = read_json(content)
    except EventError as error:
        raise Problem(400, f"The body is {error}; {BODY_HINT}.") from None
    if not isinstance(body, Mapping) or body.keys() != {"events"} or not isinstance(body["events"], list):
        raise Problem(422, f'The body is no object with a list of "events" alone; {BODY_HINT}.', [("/events", "must be a list")])
    events = body["events"]
    if not 1 <= len(events) <= MAX_EVENTS:
        raise Problem(422, f"The body has {len(events):,} events; send 1 to {MAX_EVENTS:,}.", [("/events", "has another length")])
    faults = [fault for i, event in enumerate(events) if (fault := _find_fault(table, event, i)) is not None]
    if faults:
        raise build_refusal(faults, " None of the events was taken.")
    return [orjson.dumps(event) for event in events]


def _find_fault(table: str, event: Any, i: int) -> tuple[str, str] | None:
    """Where an event cannot be read, and why; None where it can."""
    try:
        build_event(event, table)
    except EventError as error:
        return build_pointer("events", i), str(error)
    return None


def _add_events(queue: EventQueue, table: str, contents: Sequence[bytes]) -> int:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    try:
        return queue.add(table, contents)
    except QueueFullError as error:
        raise Problem(429, f"None of the events was taken: {error}; send them again later.", headers=headers) from None
    except (UnavailableError, StorageError):
        detail = "None of the events was taken: they cannot be stored now; send them again later."
        raise Problem(503, detail, headers=headers) from None
