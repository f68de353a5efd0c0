"""The bytes of opened bundles in Redis, by their SHA-256: what is altered there has another, and is never used."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from epic22.adapters.prediction_log import get_logger
from epic22.adapters.redis.link import RedisLink
from epic22.core.lineage import sha256

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
        stored = self.link.call(lambda client: [client.getex(_name_key(one), ex=LIFETIME_SECONDS) for one in names]) or []
        contents = {one: content for one, content in zip(names, stored, strict=False) if isinstance(content, bytes)}
        altered = [one for one, content in contents.items() if sha256(content) != one]
        if altered:
            get_logger().error("content in redis was altered and is not used", digests=altered)
            self.link.call(lambda client: client.delete(*map(_name_key, altered)))
        return {one: content for one, content in contents.items() if one not in altered}

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Keep contents by their digests; those that are too large are left out."""
        for one, content in contents.items():
            if len(content) <= MAX_CONTENT_BYTES:
                self._write_one(one, content)

    def _write_one(self, digest: str, content: bytes) -> None:
        self.link.call(lambda client: client.set(_name_key(digest), content, ex=LIFETIME_SECONDS))


def _name_key(digest: str) -> str:
    return f"{PREFIX}{digest}"
