"""A request for rows over HTTP, as a mapping file declares it: address, parameters, secrets by name, pages, bounds.

Nothing is fetched here, and no secret is held: a text names the variables of the environment that it needs, and they are read
when the request is made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from epic22.core.errors import SourceError
from epic22.core.lineage import canonical_json, sha256

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET_NAME = re.compile(
    r"(^|[_.-])(api[_.-]?key|app[_.-]?id|key|token|secret|password|passwd|auth|signature|sig)$", re.IGNORECASE
)
"""Names of parameters whose values are never shown, even where they stand in an address that a user typed."""
PARAM_PREFIX = "request."
"""Before the name of a query parameter: the column that holds its value in every row."""
ROOT = "$"
PATH = re.compile(r"\$(\.[^.\[\]$]+|\[\d{1,6}\])*")
STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")

BodyFormat = Literal["json", "csv"]
Layout = Literal["records", "columns"]
PagingKind = Literal["page", "cursor", "link"]


@dataclass(frozen=True)
class EnvironmentText:
    """A text in which `${NAME}` stands for a variable of the environment.

    >>> EnvironmentText("Bearer ${TOKEN}").resolve({"TOKEN": "t"}, "header Authorization")
    'Bearer t'
    """

    template: str

    @property
    def is_secret(self) -> bool:
        """Whether any part of it comes from the environment."""
        return VARIABLE.search(self.template) is not None

    def resolve(self, environment: Mapping[str, str], place: str) -> str:
        """The text itself. Raises SourceError, which names `place`, where a variable is not set."""

        def read(match: re.Match[str]) -> str:
            value = environment.get(match[1])
            if not value:
                raise SourceError(f"{place} needs the environment variable {match[1]}, which is not set; set it and do it again.")
            return value

        return VARIABLE.sub(read, self.template)


@dataclass(frozen=True)
class Pagination:
    """How the next page is asked for.

    `page`: `param` counts from `start` by `step`, until a page has no rows, or fewer than `size`. `cursor`: the value at `path`
    is sent as `param`. `link`: the address of the next page stands in the Link header, or at `path`.
    """

    by: PagingKind
    param: str = ""
    path: str = ""
    start: int = 1
    step: int = 1
    size: int | None = None


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one fetch: bytes of an answer once unzipped, pages, seconds in all, and requests a minute (None: no bound)."""

    max_bytes: int = 512 * 2**20
    max_pages: int = 1000
    max_seconds: float = 1800.0
    requests_per_minute: float | None = None


@dataclass(frozen=True)
class RequestOrigin:
    """The rows of a source that answers over HTTP.

    `rows` are the places where rows may lie in a JSON body, of which one must be there; `layout` says whether that is a list of
    records or a record of lists. `redirect_hosts`: where the server may send the request on to, without its secrets.
    """

    address: str
    params: tuple[tuple[str, EnvironmentText], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, EnvironmentText], ...] = field(default=(), repr=False)
    format: BodyFormat = "json"
    rows: tuple[str, ...] = (ROOT,)
    layout: Layout = "records"
    pages: Pagination | None = None
    limits: FetchLimits = FetchLimits()
    redirect_hosts: tuple[str, ...] = ()

    @property
    def secret_params(self) -> frozenset[str]:
        """The names of the parameters whose values are never shown."""
        return frozenset(name for name, text in self.params if text.is_secret or SECRET_NAME.search(name))

    @property
    def visible_params(self) -> dict[str, str]:
        """The parameters that may be shown."""
        return {name: text.template for name, text in self.params if name not in self.secret_params}

    @property
    def key(self) -> str:
        """A digest of what is asked for; of secrets their names alone."""
        visible = {
            "address": self.address,
            "params": self.visible_params,
            "secret": sorted(self.secret_params),
            "headers": sorted(name.lower() for name, _ in self.headers),
            "format": self.format,
            "pages": None if self.pages is None else [self.pages.by, self.pages.param, self.pages.path, self.pages.start],
        }
        return sha256(canonical_json(visible))

    def with_address(self, url: str) -> "RequestOrigin":
        """The same for another address, whose query parameters stand before those that are declared. Raises SourceError."""
        parts = split_address(url)
        own = dict(parse_qsl(parts.query, keep_blank_values=True))
        params = {name: text for name, text in self.params if name not in own}
        params |= {name: EnvironmentText(value.replace("${", "$ {")) for name, value in own.items()}
        return replace(self, address=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), params=tuple(params.items()))


def split_address(url: str) -> SplitResult:
    """The parts of an address. Raises SourceError where it is none of http or https, or holds a user's name."""
    try:
        parts = urlsplit(url.strip())
        shown = f"{parts.scheme}://{parts.hostname}{parts.path}"
        has_port = parts.port != 0
    except ValueError:
        raise SourceError("the address of a source cannot be read; write it as https://host/path.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise SourceError(f"{shown} is no address of http or https; write it as https://host/path.")
    if "@" in parts.netloc:
        raise SourceError(
            f"{shown}: a name and password in an address would be shown; send them as a header from the environment."
        )
    return parts


def split_path(path: str) -> tuple[str | int, ...]:
    """The steps of a path into JSON: names, and places in lists from 0. Raises SourceError where it is none.

    >>> split_path("$.data.items[0]")
    ('data', 'items', 0)
    """
    if not PATH.fullmatch(path):
        raise SourceError(f"{path!r} is no path into JSON; write it as $.data.items, or $ for the whole body.")
    return tuple(int(place) if place else name for name, place in STEP.findall(path))
