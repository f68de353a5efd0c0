"""All pages of one request: fetched within bounds, kept as the last good answer, which stands in where the server is down."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from epic22.adapters.http.answer import OutageError, PageRequest, Server, parse_server
from epic22.adapters.http.page_cache import PageCache, StoredAnswer, StoredPage
from epic22.adapters.http.page_content import SUFFIXES, inspect_page
from epic22.adapters.http.paging import (
    PageAddress,
    PageResult,
    add_secrets,
    build_first_address,
    find_next_address,
    find_next_link,
)
from epic22.adapters.http.policy import BodyBounds, SystemClock
from epic22.core.errors import SourceError
from epic22.core.lineage import sha256
from epic22.core.tables.request import RequestOrigin

if TYPE_CHECKING:
    from epic22.adapters.http.client import HttpClient

PAGES_ADVICE = "look at 'pages:' in the mapping"

CheckPage = Callable[[Path], None]
"""What raises where a page's rows are not as the mapping expects them."""


@dataclass(frozen=True)
class FetchedPages:
    """The bodies of all pages, in order, when they were fetched (UTC), and what there is to say of them."""

    paths: tuple[Path, ...]
    fetched_at: datetime
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The digest of all bodies."""
        return sha256(*(path.name.partition(".")[0].encode() for path in self.paths))


@dataclass(frozen=True)
class Secrets:
    """The parameters and headers of a request whose values come from the environment, and all other headers."""

    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass
class PageFetcher:
    """Fetches requests into folders of `cache`, with the secrets that they name in `environment`."""

    client: "HttpClient"
    cache: Path
    environment: Mapping[str, str] = field(repr=False)
    clock: SystemClock = field(default_factory=SystemClock)
    _turns: dict[Server, float] = field(default_factory=dict)

    def fetch(self, origin: RequestOrigin, name: str, check: CheckPage = lambda path: None) -> FetchedPages:
        """All pages of a request; those of the last good answer, with a note of their age, where the server is down.

        `name` is what messages call the source. `check` sees every page before it counts as good. Raises SourceError.
        """
        place = f"{name} ({origin.address})"
        secrets = self._read_secrets(origin, name)
        cache = PageCache(self.cache / origin.key[:32], SUFFIXES[origin.format])
        with cache.lock():
            work = _Fetch(self, origin, place, cache, check, secrets)
            try:
                return work.fetch_all()
            except OutageError as error:
                answer = cache.read()
                if answer is None:
                    raise SourceError(f"{error}; nothing was fetched before that could stand in; try again later.") from None
                return _stand_in(cache, answer, str(error), self.clock.now())
            finally:
                cache.discard_bodies()

    def compute_wait(self, url: str, requests_per_minute: float | None) -> float:
        """The seconds until the server's next turn, which is taken with this call."""
        server, now = parse_server(url), self.clock.monotonic()
        gap = 0.0 if requests_per_minute is None else 60.0 / requests_per_minute
        turn = max(now, self._turns.get(server, -math.inf) + gap)
        self._turns[server] = turn
        return turn - now

    def _read_secrets(self, origin: RequestOrigin, name: str) -> Secrets:
        params = {key: text for key, text in origin.params if key in origin.secret_params}
        return Secrets(
            {key: text.resolve(self.environment, f"{name}: params.{key}") for key, text in params.items()},
            {key: text.resolve(self.environment, f"{name}: headers.{key}") for key, text in origin.headers},
        )


def _stand_in(cache: PageCache, answer: StoredAnswer, why: str, now: datetime) -> FetchedPages:
    age = describe_age(now - answer.fetched_at)
    note = f"{why}; the last good answer stands in, which is {age} old ({answer.fetched_at:%Y-%m-%d %H:%M} UTC)"
    return FetchedPages(tuple(cache.path(page.sha256) for page in answer.pages), answer.fetched_at, (note,))


def describe_age(age: timedelta) -> str:
    """How long ago something was, in its largest unit.

    >>> describe_age(timedelta(days=3, hours=5))
    '3 days'
    """
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        n = seconds // size
        if n or unit == "second":
            return f"{n:,} {unit}{'' if n == 1 else 's'}"
    raise AssertionError("a second is the smallest unit")


@dataclass
class _Fetch:
    """One fetch under way."""

    fetcher: PageFetcher
    origin: RequestOrigin
    place: str
    cache: PageCache
    check: CheckPage
    secrets: Secrets

    def fetch_all(self) -> FetchedPages:
        """All pages, which are the last good answer from then on."""
        limits, clock = self.origin.limits, self.fetcher.clock
        bounds = BodyBounds(limits.max_bytes, clock.monotonic() + limits.max_seconds)
        before = self.cache.read()
        known = {page.address: page for page in before.pages} if before is not None else {}
        stored: list[StoredPage] = []
        address: PageAddress | None = build_first_address(self.origin)
        requested: set[str] = set()
        while address is not None:
            self._refuse_endless(address, requested, bounds)
            requested.add(address.url)
            page = self._fetch_page(address, known.get(address.url), bounds)
            if page.content.n_rows:
                if page.stored.sha256 in {other.sha256 for other in stored}:
                    raise SourceError(
                        f"{self.place}: page {len(requested):,} repeats an earlier one and so would all others; {PAGES_ADVICE}."
                    )
                stored.append(page.stored)
            address = find_next_address(self.origin, address, len(requested), page, self.place)
        if not stored:
            raise SourceError(f"{self.place}: the answer holds no rows; look at the parameters. Nothing was stored.")
        fetched_at = clock.now()
        self.cache.write(StoredAnswer(fetched_at, tuple(stored)))
        return FetchedPages(tuple(self.cache.path(one.sha256) for one in stored), fetched_at)

    def _refuse_endless(self, address: PageAddress, requested: set[str], bounds: BodyBounds) -> None:
        limits = self.origin.limits
        if address.url in requested:
            raise SourceError(
                f"{self.place}: page {len(requested) + 1:,} has the address of an earlier one: a circle; {PAGES_ADVICE}."
            )
        if len(requested) >= limits.max_pages:
            raise SourceError(
                f"{self.place}: there are more than {limits.max_pages:,} pages; ask for more rows a page, or raise "
                "'max_pages' in the mapping."
            )
        wait = self.fetcher.compute_wait(address.url, limits.requests_per_minute)
        if self.fetcher.clock.monotonic() + wait > bounds.deadline:
            raise OutageError(f"{self.place}: all pages did not come within {limits.max_seconds:,.0f} s")
        if wait > 0:
            self.fetcher.clock.sleep(wait)

    def _fetch_page(self, address: PageAddress, known: StoredPage | None, bounds: BodyBounds) -> PageResult:
        """A page, from the server or as it was where it has not changed."""
        request = PageRequest(
            self.place,
            self.origin.format,
            add_secrets(address.url, self.secrets.params) if address.is_own else address.url,
            self.secrets.headers if address.is_own else {},
            None if known is None else known.etag,
            None if known is None else known.modified,
            self.origin.redirect_hosts,
        )
        body = self.cache.begin_body()
        answer = self.fetcher.client.download(request, body, bounds)
        if answer.sha256 is not None:
            self.cache.take(body, answer.sha256)
        elif known is not None:
            answer = replace(
                answer, sha256=known.sha256, etag=answer.etag or known.etag, modified=answer.modified or known.modified
            )
        digest = str(answer.sha256)
        content = inspect_page(self.cache.path(digest), self.origin, self.place)
        if content.n_rows:
            self.check(self.cache.path(digest))
        link = find_next_link(self.origin, answer, content.document)
        if link is None and known is not None and known.sha256 == digest:
            link = known.next_link
        return PageResult(StoredPage(address.url, digest, answer.etag, answer.modified, link), content)
