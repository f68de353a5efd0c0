"""Errors as problem documents (RFC 9457): every one a client can meet has one shape and shows no internals."""

import traceback
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from epic22.api.security_headers import SECURITY_HEADERS
from epic22.core.errors import (
    BundleError,
    NotInstalledError,
    RowError,
    StorageError,
    UnavailableError,
    UnknownTaskError,
    UserError,
)

MEDIA_TYPE = "application/problem+json"
TITLES: Mapping[int, tuple[str, str]] = {
    400: ("bad-request", "The request cannot be read"),
    401: ("no-token", "The token is absent or not known"),
    404: ("not-found", "There is nothing here"),
    405: ("method-not-allowed", "This method does not work here"),
    413: ("body-too-large", "The body is too large"),
    415: ("not-json", "The body must be JSON"),
    422: ("invalid-rows", "The rows hold what does not fit"),
    429: ("too-many-waiting", "More waits than is taken"),
    500: ("our-mistake", "Our mistake"),
    503: ("unavailable", "This cannot be answered now"),
}
MAX_CHARACTERS = 300
MAX_ERRORS, MAX_POINTER_LENGTH = 20, 120

Fault = tuple[str, str]
"""JSON pointer, and what is wrong there."""
NO_HEADERS: Mapping[str, str] = {}


class Problem(Exception):  # noqa: N818
    """A refusal: HTTP status, what is wrong in a sentence, where in the body (JSON pointers), and what is said in headers."""

    def __init__(self, status: int, detail: str, errors: Sequence[Fault] = (), headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__(detail)
        self.headers = headers
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


def build_refusal(faults: Sequence[Fault], end: str = "") -> Problem:
    """The refusal of a body: its first fault with the place, how many there are besides, `end`; each that is shown by itself."""
    pointer, what = faults[0]
    shortened = pointer if len(pointer) <= MAX_POINTER_LENGTH else f"{pointer[:MAX_POINTER_LENGTH]}…"
    others = "" if len(faults) == 1 else f" (and {len(faults) - 1} more)"
    sentence = f"{shortened}: {what}{others}"
    return Problem(422, f"{sentence}{'' if sentence.endswith('?') else '.'}{end}", faults[:MAX_ERRORS])


def build_problem_response(status: int, detail: str, instance: str, errors: Sequence[Fault] = ()) -> Response:
    """The response with the document; texts are cut so that a huge input is never echoed."""
    slug, title = TITLES.get(status, ("error", "The request failed"))
    content: dict[str, Any] = {
        "type": f"urn:epic22:problem:{slug}",
        "title": title,
        "status": status,
        "detail": _truncate(detail),
        "instance": _truncate(instance),
    }
    if errors:
        content["errors"] = [{"pointer": _truncate(pointer), "detail": _truncate(what)} for pointer, what in errors]
    # An unforeseen error is answered outside all middleware, so the headers are given here too.
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
    return Response(orjson.dumps(content), status, media_type=MEDIA_TYPE, headers=headers)


def build_pointer(*keys: str | int) -> str:
    """The JSON pointer that leads through these keys and positions (RFC 6901).

    >>> build_pointer("rows", 0, "a/b")
    '/rows/0/a~1b'
    """
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in keys)


def _truncate(text: str) -> str:
    """The text, shortened, without what UTF-8 cannot encode."""
    valid_text = text.encode("utf-8", "replace").decode()
    return valid_text if len(valid_text) <= MAX_CHARACTERS else f"{valid_text[:MAX_CHARACTERS]}…"


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(Problem)
    async def _handle_problem(request: Request, error: Problem) -> Response:
        response = build_problem_response(error.status, error.detail, request.url.path, error.errors)
        response.headers.update(error.headers)
        return response

    @app.exception_handler(UnknownTaskError)
    async def _handle_unknown_task(request: Request, error: UnknownTaskError) -> Response:
        return build_problem_response(404, "The task is not known; GET /v1/tasks lists those there are.", request.url.path)

    @app.exception_handler(BundleError)
    async def _handle_broken_bundle(request: Request, error: BundleError) -> Response:
        detail = "The task's model is damaged or not readable here; its operator finds the reason in the log."
        return build_problem_response(503, detail, request.url.path)

    @app.exception_handler(RowError)
    async def _handle_row_error(request: Request, error: RowError) -> Response:
        errors = [
            (build_pointer("rows", row, *(() if column is None else (column,))), what) for row, column, what in error.problems
        ]
        detail = build_refusal(errors).detail if errors else str(error)
        return build_problem_response(422, detail, request.url.path, errors)

    @app.exception_handler(StorageError)
    @app.exception_handler(UnavailableError)
    @app.exception_handler(NotInstalledError)
    async def _handle_absent_part(request: Request, error: UserError) -> Response:
        structlog.get_logger().error("a part is away", path=request.url.path, reason=str(error))
        return build_problem_response(503, "What answers this is away now; try again later.", request.url.path)

    @app.exception_handler(UserError)
    async def _handle_user_error(request: Request, error: UserError) -> Response:
        return build_problem_response(422, str(error), request.url.path)

    @app.exception_handler(HTTPException)
    async def _handle_http_error(request: Request, error: HTTPException) -> Response:
        allowed = (error.headers or {}).get("Allow")
        details = {
            404: "No such address; see /docs for those there are.",
            405: f"{request.method} does not work here; use {allowed}." if allowed else "Use another method; see /docs.",
        }
        detail = details.get(error.status_code, "The request failed.")
        response = build_problem_response(error.status_code, detail, request.url.path)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def _handle_unexpected_error(request: Request, error: Exception) -> Response:
        number, kind = uuid.uuid4().hex, type(error).__name__
        *_, last = traceback.extract_tb(error.__traceback__)
        where = f"{last.filename}:{last.lineno}"
        structlog.get_logger().error("unexpected error", error_id=number, path=request.url.path, kind=kind, where=where)
        detail = f"Something went wrong on our side; report it with the number {number}."
        return build_problem_response(500, detail, request.url.path)
