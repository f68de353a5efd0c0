"""Bodies of requests: JSON as it is, and read to its end."""

from fastapi import Request
from starlette.requests import ClientDisconnect

from epic22.api.limits import MAX_BODY_BYTES
from epic22.api.problems import Problem


def refuse_other_types(request: Request) -> None:
    """Raise Problem 415 where the body is not said to be JSON, or is packed."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise Problem(415, f"The body's Content-Type is {content_type or 'not given'}; send it as application/json.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(415, f"The body's Content-Encoding is {encoding}; send it as it is, at most {MAX_BODY_BYTES:,} bytes.")


async def read_body(request: Request) -> bytes:
    """The body. Raises Problem 400 where the connection ends before it does."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "The connection ended before the body did.") from None
