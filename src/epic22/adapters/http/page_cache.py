"""The last good answer of every request, kept whole on disk: what is asked for again only if it changed, and what stands in for a
server that is down.

    KEY/record.json     when it was fetched, and its pages in order
    KEY/SHA256.json     a page's body as it came (.csv)

A key is a digest without secrets. The record is replaced in one step after every page is there and was read; bodies that neither
it nor the record before it names are removed.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from epic22.adapters.home import wait_for_lock, write_atomically
from epic22.core.lineage import canonical_json

FORMAT = 1


@dataclass(frozen=True)
class StoredPage:
    """A page of a stored answer: its address and the next one's, without secrets, its body's digest, what was said of it."""

    address: str
    sha256: str
    etag: str | None
    modified: str | None
    next_link: str | None = None


@dataclass(frozen=True)
class StoredAnswer:
    """All pages of one fetch, whole, and when it ended (UTC)."""

    fetched_at: datetime
    pages: tuple[StoredPage, ...]


@dataclass(frozen=True)
class PageCache:
    """The stored answers of one request, in its own folder."""

    folder: Path
    suffix: str

    def path(self, sha256: str) -> Path:
        """Where the body of that digest is."""
        return self.folder / f"{sha256}{self.suffix}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from fetching the same at the same time."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+b") as lock:
            wait_for_lock(lock, "fetching the same source")
            yield

    def read(self) -> StoredAnswer | None:
        """The last good answer; None where there is none, or it is damaged."""
        try:
            content = json.loads((self.folder / "record.json").read_bytes())
            if content["format"] != FORMAT:
                return None
            pages = tuple(StoredPage(**page) for page in content["pages"])
            answer = StoredAnswer(datetime.fromisoformat(content["fetched_at"]), pages)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return answer if pages and all(self.path(page.sha256).is_file() for page in pages) else None

    def begin_body(self) -> Path:
        """A path for a body on its way, which `take` or `discard` ends."""
        return self.folder / f".body-{uuid.uuid4().hex}{self.suffix}"

    def take(self, body: Path, sha256: str) -> Path:
        """Give a body that has come whole its name."""
        os.replace(body, self.path(sha256))
        return self.path(sha256)

    def write(self, answer: StoredAnswer) -> None:
        """Make this the last good answer, whole or not at all."""
        before = self.read()
        content = {
            "format": FORMAT,
            "fetched_at": answer.fetched_at.isoformat(),
            "pages": [asdict(page) for page in answer.pages],
        }
        write_atomically(self.folder / "record.json", canonical_json(content))
        self._sweep({page.sha256 for one in (before, answer) if one is not None for page in one.pages})

    def discard_bodies(self) -> None:
        """Remove what was fetched and did not become the last good answer."""
        answer = self.read()
        self._sweep(set() if answer is None else {page.sha256 for page in answer.pages})

    def _sweep(self, needed: set[str]) -> None:
        for path in self.folder.glob(f"*{self.suffix}"):
            if path.name != "record.json" and path.name.removesuffix(self.suffix) not in needed:
                path.unlink(missing_ok=True)
