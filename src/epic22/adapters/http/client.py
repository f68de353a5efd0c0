"""One page fetched into a file: retried where the server fails, refused as soon as it grows beyond its bounds."""

import hashlib
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import stamina
from stamina.instrumentation import set_on_retry_hooks

from epic22 import __version__
from epic22.adapters.http.answer import (
    NOT_MODIFIED,
    Answer,
    OutageError,
    PageRequest,
    Server,
    parse_retry_after,
    parse_server,
    refuse_content_type,
    refuse_status,
)
from epic22.adapters.http.circuit import Circuit
from epic22.adapters.http.policy import BodyBounds, RetryPolicy, SystemClock
from epic22.core.errors import SourceError

REDIRECTS = frozenset((301, 302, 303, 307, 308))
MAX_REDIRECTS = 5
PIECE_BYTES = 2**16


@dataclass
class HttpClient:
    """Fetches pages; `close` it at the end. What it logs and raises holds no address, header or parameter."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: SystemClock = field(default_factory=SystemClock)
    _circuit: Circuit = field(init=False)
    _client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        policy = self.policy
        # Its log lines hold whole addresses, and stamina's hook writes to standard output.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        set_on_retry_hooks([])
        self._circuit = Circuit(policy.max_failures, policy.cool_down, self.clock.monotonic)
        timeout = httpx2.Timeout(policy.read_seconds, connect=policy.connect_seconds)
        agent = {"User-Agent": f"epic22/{__version__}", "Accept-Encoding": "gzip"}
        self._client = httpx2.Client(timeout=timeout, headers=agent, follow_redirects=False, verify=_build_ssl_context())

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def download(self, request: PageRequest, path: Path, bounds: BodyBounds) -> Answer:
        """Write the body of a page to `path`. Raises OutageError where the server fails, SourceError for other answers."""
        policy = self.policy
        n_attempts = 0
        server = parse_server(request.url)
        if self._circuit.is_open(server):
            raise OutageError(
                f"{request.place}: the server failed {policy.max_failures} times in a row and is left alone for a while"
            )
        attempts = stamina.retry_context(
            on=lambda error: self._choose_wait(error, server, bounds),
            attempts=policy.attempts,
            timeout=None,
            wait_initial=policy.wait_initial,
            wait_max=policy.wait_max,
            wait_jitter=policy.wait_jitter,
        )
        try:
            for attempt in attempts:
                n_attempts += 1
                with attempt, self._count_outages(server):
                    return self._fetch(request, path, bounds)
        except OutageError as error:
            raise OutageError(f"{error} ({n_attempts} {'attempt' if n_attempts == 1 else 'attempts'})", error.wait) from None
        raise AssertionError("a retry ends with an answer or an error")

    @contextmanager
    def _count_outages(self, server: Server) -> Iterator[None]:
        try:
            yield
        except OutageError:
            self._circuit.record_failure(server)
            raise
        self._circuit.record_success(server)

    def _choose_wait(self, error: Exception, server: Server, bounds: BodyBounds) -> bool | float:
        """Whether to try again, and after how many seconds where the server says so."""
        if not isinstance(error, OutageError) or self._circuit.is_open(server):
            return False
        if error.wait is None:
            return self.clock.monotonic() < bounds.deadline
        is_too_long = error.wait > self.policy.max_retry_after or self.clock.monotonic() + error.wait > bounds.deadline
        return False if is_too_long else error.wait

    def _fetch(self, request: PageRequest, path: Path, bounds: BodyBounds) -> Answer:
        """One attempt, along redirects that are allowed."""
        for _ in range(MAX_REDIRECTS + 1):
            with self._open(request) as response:
                if response.status_code not in REDIRECTS:
                    return self._read_answer(response, request, path, bounds)
                target = urljoin(request.url, response.headers.get("Location", ""))
            request = _redirect_request(request, target)
        raise SourceError(
            f"{request.place}: the server sent the request on more than {MAX_REDIRECTS} times; look at the address."
        )

    @contextmanager
    def _open(self, request: PageRequest) -> Iterator[httpx2.Response]:
        headers = dict(request.headers)
        if request.etag is not None:
            headers["If-None-Match"] = request.etag
        if request.modified is not None:
            headers["If-Modified-Since"] = request.modified
        with _translate_faults(request.place, self.policy), self._client.stream("GET", request.url, headers=headers) as response:
            yield response

    def _read_answer(self, response: httpx2.Response, request: PageRequest, path: Path, bounds: BodyBounds) -> Answer:
        headers = response.headers
        link = response.links.get("next", {}).get("url")
        is_conditional = request.etag is not None or request.modified is not None
        if response.status_code == NOT_MODIFIED and is_conditional:
            return Answer(None, headers.get("ETag"), headers.get("Last-Modified"), link)
        refuse_status(request.place, response.status_code, parse_retry_after(headers.get("Retry-After"), self.clock.now()))
        refuse_content_type(request.place, headers.get("Content-Type", ""), request.format)
        length = headers.get("Content-Length", "")
        if length.isdigit() and int(length) > bounds.max_bytes:
            raise _build_size_error(request.place, bounds.max_bytes)
        sha256 = self._write_body(response, request.place, path, bounds)
        return Answer(sha256, headers.get("ETag"), headers.get("Last-Modified"), link)

    def _write_body(self, response: httpx2.Response, place: str, path: Path, bounds: BodyBounds) -> str:
        """Write the body piece by piece; gives its digest."""
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as stream:
            for piece in response.iter_bytes(PIECE_BYTES):
                size += len(piece)
                if size > bounds.max_bytes:
                    raise _build_size_error(place, bounds.max_bytes)
                if self.clock.monotonic() > bounds.deadline:
                    raise OutageError(f"{place}: the answer took longer than the fetch may take")
                digest.update(piece)
                stream.write(piece)
        return digest.hexdigest()


@cache
def _build_ssl_context() -> ssl.SSLContext:
    """Which certificates are trusted: reading them takes longer than a request on this machine."""
    return httpx2.create_ssl_context()


def _build_size_error(place: str, max_bytes: int) -> SourceError:
    return SourceError(
        f"{place}: the answer is larger than {max_bytes / 2**20:,.0f} MiB and was broken off; ask for fewer rows a page, "
        "or raise 'max_bytes' in the mapping."
    )


def _redirect_request(request: PageRequest, target: str) -> PageRequest:
    """The request sent on to another address of the same server, or without secrets to a host that is allowed."""
    before, after = parse_server(request.url), parse_server(target)
    if after == before:
        return replace(request, url=target)
    if not before.may_send_on_to(after, request.redirect_hosts):
        raise SourceError(
            f"{request.place}: the server sent the request on to {after.name}; where that is right, name the host in "
            "'redirect_hosts:' of the mapping, and nothing secret is sent there."
        )
    return replace(request, url=target, headers={})


@contextmanager
def _translate_faults(place: str, policy: RetryPolicy) -> Iterator[None]:
    """Raise OutageError for what the network does, SourceError for what no second attempt changes. No cause is kept: it holds the
    address."""
    try:
        yield
    except httpx2.ConnectTimeout:
        raise OutageError(f"{place}: no connection within {policy.connect_seconds:g} s") from None
    except httpx2.TimeoutException:
        raise OutageError(f"{place}: nothing came for {policy.read_seconds:g} s") from None
    except httpx2.ConnectError as error:
        if "CERTIFICATE" in str(error).upper():
            raise SourceError(f"{place}: the server's certificate is not trusted; nothing was sent.") from None
        raise OutageError(f"{place}: the server cannot be reached") from None
    except (httpx2.InvalidURL, httpx2.StreamError, httpx2.LocalProtocolError, UnicodeError):
        raise SourceError(f"{place}: the address or a header cannot be sent as it is; look at the mapping.") from None
    except (httpx2.TransportError, httpx2.DecodingError):
        raise OutageError(f"{place}: the answer broke off") from None
