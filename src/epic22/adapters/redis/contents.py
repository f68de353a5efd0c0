"""The bytes of opened bundles in Redis, by their SHA-256: what is altered there has another, and is never used."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epic22.adapters.prediction_log import get_logger
from epic22.adapters.redis.link import RedisLink
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
    """Contents under `epic22:content:<sha256>` for a week after they were last written or read."""

    link: RedisLink

    def read(self, digests: Collection[str]) -> dict[str, bytes]:
        """Those of these contents that the server has, each checked by its digest; another is refused, removed and logged."""
        names = list(digests)
        if not names:
            return {}
        stored = self.link.call(lambda client: _read_at_once(client, names)) or []
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


def _read_at_once(client: "Redis", digests: Sequence[str]) -> list[object]:
    """The contents in the order of their digests, None for those that are not there, in one round trip."""
    with client.pipeline(transaction=False) as commands:
        for one in digests:
            commands.getex(_name_key(one), ex=LIFETIME_SECONDS)
        return list(commands.execute())


def _write_at_once(client: "Redis", contents: Mapping[str, bytes]) -> None:
    with client.pipeline(transaction=False) as commands:
        for one, content in contents.items():
            commands.set(_name_key(one), content, ex=LIFETIME_SECONDS)
        commands.execute()


@dataclass(frozen=True)
class ContentPlace:
    """The contents in Redis as a place that may name a person: those that do go, and are fetched again when asked for."""

    link: RedisLink
    name: str = "contents in Redis"

    def count(self, person: TenantIdentity) -> int:
        """How many contents name the person."""
        return len(self._list_naming(person))

    def erase(self, person: TenantIdentity) -> None:
        """Remove them."""
        keys = self._list_naming(person)
        if keys:
            self.link.call(lambda client: client.delete(*keys))

    def list_remaining(self, person: TenantIdentity, is_erased: bool) -> tuple[str, ...]:
        """What cannot be said, where the server does not answer."""
        if self.link.fault is None:
            return ()
        return (f"{self.name} could not be searched, and last for at most a week: {self.link.fault}",)

    def _list_naming(self, person: TenantIdentity) -> list[bytes]:
        if not person.is_searchable:
            return []
        keys = self.link.call(lambda client: list(client.scan_iter(match=f"{PREFIX}*"))) or []
        return [key for key in keys if person.has_name_in_bytes(self._read(key))]

    def _read(self, key: bytes) -> bytes:
        content = self.link.call(lambda client: client.get(key))
        return content if isinstance(content, bytes) else b""


def _name_key(digest: str) -> str:
    return f"{PREFIX}{digest}"
