"""From one page of an answer to the request for the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from epic22.adapters.http.answer import Answer, parse_server
from epic22.adapters.http.page_cache import StoredPage
from epic22.adapters.http.page_content import PageContent, find_value
from epic22.core.errors import SourceError
from epic22.core.tables.request import Pagination, RequestOrigin


@dataclass(frozen=True)
class PageAddress:
    """The address of a page without its secret parameters, `url`; and whether the secrets may be sent there."""

    url: str
    is_own: bool = True


@dataclass(frozen=True)
class PageResult:
    """A page that has come: what is kept of it, and what it holds."""

    stored: StoredPage
    content: PageContent


def build_first_address(origin: RequestOrigin) -> PageAddress:
    """The address of the first page."""
    params = origin.visible_params
    if origin.pages is not None and origin.pages.by == "page":
        params = params | {origin.pages.param: str(origin.pages.start)}
    return PageAddress(_set_params(origin.address, params))


def find_next_address(
    origin: RequestOrigin, address: PageAddress, number: int, page: PageResult, place: str
) -> PageAddress | None:
    """The address of the page after page `number` (from 1); None where that was the last.

    Raises SourceError where the server names a page on another host that the mapping does not allow.
    """
    pages = origin.pages
    if pages is None:
        return None
    if pages.by == "page":
        # A cursor or a link says itself where the next page is, and an empty page before it is a filter's.
        if page.content.n_rows == 0 or (pages.size is not None and page.content.n_rows < pages.size):
            return None
        return PageAddress(_set_params(address.url, {pages.param: str(pages.start + number * pages.step)}))
    if pages.by == "cursor":
        cursor = find_value(page.content.document, pages.path)
        return (
            None
            if cursor in (None, "", "null")
            else PageAddress(_set_params(address.url, {pages.param: _to_text(cursor, pages, place)}))
        )
    if not page.stored.next_link:
        return None
    return _follow_link(origin, address, page.stored.next_link, place)


def find_next_link(origin: RequestOrigin, answer: Answer, document: Any) -> str | None:
    """The address of the next page as it stands in the Link header or the body, without the secrets that the server repeats."""
    pages = origin.pages
    if pages is None or pages.by != "link":
        return None
    link = find_value(document, pages.path) if pages.path else answer.link
    return _drop_params(link, origin.secret_params) if isinstance(link, str) and link else None


def add_secrets(url: str, params: Mapping[str, str]) -> str:
    """The address as it is sent, with the parameters that are never shown."""
    return _set_params(url, params)


def _follow_link(origin: RequestOrigin, address: PageAddress, link: str, place: str) -> PageAddress:
    target = urljoin(address.url, link)
    before, after = parse_server(address.url), parse_server(target)
    if before == after:
        return PageAddress(target, address.is_own)
    if not before.may_send_on_to(after, origin.redirect_hosts):
        raise SourceError(
            f"{place}: the next page is at {after.name}; where that is right, name the host in 'redirect_hosts:' of "
            "the mapping, and nothing secret is sent there."
        )
    return PageAddress(target, is_own=False)


def _to_text(cursor: Any, pages: Pagination, place: str) -> str:
    if isinstance(cursor, dict | list):
        raise SourceError(f"{place}: expected one value at {pages.path} for the next page; look at 'pages:'.")
    return str(cursor)


def _set_params(url: str, params: Mapping[str, str]) -> str:
    """The address with these query parameters in place of those of the same names."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in params]
    return urlunsplit((*parts[:3], urlencode([*query, *params.items()]), ""))


def _drop_params(url: str, names: frozenset[str]) -> str:
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in names]
    return urlunsplit((*parts[:3], urlencode(query), ""))
