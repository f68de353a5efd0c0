"""The bytes of opened bundles in Redis, by their SHA-256: what is altered there has another, and is never used."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from epic22.adapters.erasure_places import describe_keeper
from epic22.adapters.packed_content import search_content
from epic22.adapters.prediction_log import get_logger
from epic22.adapters.redis.link import RedisLink
from epic22.adapters.redis.server import RedisServer
from epic22.core.errors import StorageError, UnavailableError
from epic22.core.lineage import sha256
from epic22.core.tables.erasure import TenantIdentity

if TYPE_CHECKING:
    from redis import Redis

PREFIX = "epic22:content:"
MAX_CONTENT_BYTES = 32 << 20
"""What is larger is fetched from where it is stored: it would push much else out of the server's memory."""
LIFETIME_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class RedisContents:
    """Contents under `epic22:content:<sha256>` for a week after they were written: reading one renews nothing."""

    link: RedisLink

    def read(self, digests: Collection[str]) -> dict[str, bytes]:
        """Those of these contents that the server has, each checked by its digest; another is refused, removed and logged."""
        names = list(digests)
        if not names:
            return {}
        stored = self.link.call(lambda client: client.mget(map(_name_key, names))) or []
        contents = {one: content for one, content in zip(names, stored, strict=False) if isinstance(content, bytes)}
        altered = [one for one, content in contents.items() if sha256(content) != one]
        if altered:
            get_logger().error("content in redis was altered and is not used", digests=altered)
            self.link.call(lambda client: client.delete(*map(_name_key, altered)))
        return {one: content for one, content in contents.items() if one not in altered}

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Keep contents by their digests; those that are too large are left out."""
        small = {one: content for one, content in contents.items() if len(content) <= MAX_CONTENT_BYTES}
        if small:
            self.link.call(lambda client: _write_at_once(client, small))


def _write_at_once(client: "Redis", contents: Mapping[str, bytes]) -> None:
    with client.pipeline(transaction=False) as commands:
        for one, content in contents.items():
            commands.set(_name_key(one), content, ex=LIFETIME_SECONDS)
        commands.execute()


@dataclass(frozen=True)
class ContentPlace:
    """The contents in Redis as a place that may name a person: those that do go, and are fetched again when asked for."""

    server: RedisServer
    name: str = "contents in Redis"

    def count(self, person: TenantIdentity) -> int:
        """How many contents name the person, of those that could be searched."""
        return len(self._search(person).naming)

    def erase(self, person: TenantIdentity) -> None:
        """Remove them, and those that are damaged."""
        contents = self._search(person)
        with suppress(UnavailableError, StorageError), self.server.translate_faults():
            # What is not removed is there when it is looked for what remains.
            for key in (*contents.naming, *contents.damaged):
                self.server.client.delete(key)

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """What names the person, is damaged or could not be searched, by one more search."""
        contents, remaining = self._search(person), []
        if contents.fault is not None:
            remaining.append(f"{self.name} could not all be searched, and last for at most a week: {contents.fault}")
        if n_erased is not None and contents.naming:
            remaining.append(f"{self.name}: {len(contents.naming):,} name the tenant still or again, and last for at most a week")
        if n_erased is not None and contents.damaged:
            remaining.append(
                f"{self.name}: {len(contents.damaged):,} could not be unpacked and searched, and last for at most a week"
            )
        return (*remaining, *((describe_keeper("Redis"),) if n_erased else ()))

    def _search(self, person: TenantIdentity) -> "_SearchedContents":
        contents = _SearchedContents()
        if not person.is_searchable:
            return contents
        client = self.server.client
        try:
            with self.server.translate_faults():
                keys = list(client.scan_iter(match=f"{PREFIX}*"))
            for key in keys:
                self._search_key(key, person, contents)
        except (UnavailableError, StorageError) as error:
            contents.fault = str(error)
        return contents

    def _search_key(self, key: bytes, person: TenantIdentity, contents: "_SearchedContents") -> None:
        try:
            with self.server.translate_faults():
                content = self.server.client.get(key)
        except StorageError as error:
            # That of one key is refused, as of one that is no content of ours; the others are searched all the same.
            contents.fault = str(error)
            return
        names_person = search_content(content if isinstance(content, bytes) else b"", person)
        if names_person is None:
            contents.damaged.add(key)
        elif names_person:
            contents.naming.add(key)


@dataclass
class _SearchedContents:
    """The keys of contents that name a person, and of those that could not be unpacked; a fault that kept some unsearched."""

    naming: set[bytes] = field(default_factory=set)
    damaged: set[bytes] = field(default_factory=set)
    fault: str | None = None


def _name_key(digest: str) -> str:
    return f"{PREFIX}{digest}"
