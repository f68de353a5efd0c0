"""What is asked of a server in one request, what it answers, and what is wrong with an answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from epic22.core.errors import SourceError
from epic22.core.tables.request import BodyFormat

NOT_MODIFIED = 304
TRANSIENT_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Answers of a server that may give another one soon."""
STATUS_ADVICE = {
    400: "look at the parameters",
    401: "look at the key that is sent",
    403: "look at the key that is sent and at what it may read",
    404: "look at the address",
    410: "look at the address",
    416: "look at the parameters",
    422: "look at the parameters",
}
PLAIN_TYPES = frozenset(("", "text/plain", "application/octet-stream", "binary/octet-stream"))
"""Content types that say nothing of the format."""
FORMAT_WORDS: Mapping[BodyFormat, str] = {"json": "JSON", "csv": "CSV"}


class OutageError(SourceError):
    """A server cannot be reached or fails now; it may answer later, `wait` seconds from now where it says so."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class PageRequest:
    """One page to be asked for. `url` and `headers` may hold secrets and are never shown; `place` stands for them in messages.

    `etag` and `modified` are those of the body that is there already; `redirect_hosts` is where the server may send it on to.
    """

    place: str
    format: BodyFormat
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    etag: str | None = None
    modified: str | None = None
    redirect_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The answer to one page. `sha256` is of the body, None where the server says it has not changed.

    `link` is the address of the next page in the Link header, as it stands there.
    """

    sha256: str | None
    etag: str | None = None
    modified: str | None = None
    link: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Server:
    """Who gets what is sent to an address."""

    scheme: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """Scheme and host, for messages."""
        return f"{self.scheme}://{self.host}"

    def may_send_on_to(self, other: "Server", allowed_hosts: Collection[str]) -> bool:
        """Whether requests may go on to another server, of a host that is allowed and not from https to http."""
        return (
            other.scheme in ("http", "https") and other.host in allowed_hosts and (self.scheme, other.scheme) != ("https", "http")
        )


def parse_server(url: str) -> Server:
    """The server of an address; one without a host where it cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else {"http": 80, "https": 443}.get(parts.scheme, 0)
        return Server(parts.scheme, (parts.hostname or "").lower(), port)
    except ValueError:
        return Server("", "", 0)


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks to wait; None where it says nothing that can be read.

    >>> parse_retry_after("3", datetime(2024, 1, 1))
    3.0
    >>> parse_retry_after("Mon, 01 Jan 2024 00:01:00 GMT", datetime(2024, 1, 1))
    60.0
    """
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return max(0.0, (until - now.replace(tzinfo=UTC)).total_seconds())


def refuse_status(place: str, status: int, wait: float | None) -> None:
    """Raise OutageError or SourceError for any status that brings no body of rows."""
    if status in TRANSIENT_STATUSES or status >= 500:
        raise OutageError(f"{place}: the server answered {status}", wait)
    if status != 200:
        raise SourceError(f"{place}: the server answered {status}; {STATUS_ADVICE.get(status, 'look at the mapping')}.")


def refuse_content_type(place: str, content_type: str, form: BodyFormat) -> None:
    """Raise SourceError where the type that a server states is plainly of another format."""
    kind = content_type.partition(";")[0].strip().lower()
    if form == "json":
        is_fit = kind in PLAIN_TYPES or kind.endswith(("/json", "+json", "javascript"))
    else:
        is_fit = kind in PLAIN_TYPES or kind.endswith(("csv", "ms-excel", "comma-separated-values", "tab-separated-values"))
    if not is_fit:
        what = "a page for people (HTML)" if kind in ("text/html", "application/xhtml+xml") else kind
        raise SourceError(
            f"{place}: the server answered {what} where {FORMAT_WORDS[form]} is declared; look at the address and key."
        )
