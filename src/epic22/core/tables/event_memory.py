"""Which events came before: by the digest of their id, what they said, when they came, and whether they count."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b

import numpy as np
import polars as pl

from epic22.core.tables.events import Event

SCHEMA = {"a": pl.UInt64(), "b": pl.UInt64(), "content": pl.UInt64(), "arrived": pl.Int64(), "counts": pl.Boolean()}


@dataclass(frozen=True)
class EventMemory:
    """The events of the last days: frame [a, b, content, arrived, counts], later ones of an id after earlier ones.

    `a`, `b` are 128 bits of the id's digest, `content` 64 of what it said; `counts` is false of one that was set apart, which may
    come again, mended or not, under the same id.
    """

    frame: pl.DataFrame

    @classmethod
    def of_nothing(cls) -> "EventMemory":
        """The memory of no event."""
        return cls(pl.DataFrame(schema=SCHEMA))

    def add(self, later: "EventMemory", horizon: timedelta) -> "EventMemory":
        """This with later events; forgotten are those that came so long before the last."""
        frame = pl.concat([self.frame, later.frame], rechunk=False)
        last = frame["arrived"].max()
        assert last is None or isinstance(last, int)
        return EventMemory(
            frame if last is None else frame.filter(pl.col("arrived") > last - horizon // timedelta(microseconds=1))
        )

    def find_earlier(self, arrived: pl.DataFrame) -> pl.DataFrame:
        """Each event [a, b, …] of a batch beside what its id said before (`content before`, `counts before`); null: nothing."""
        near = self.frame.join(arrived.select("a", "b").unique(), on=["a", "b"], how="semi", maintain_order="left")
        newest = near.unique(["a", "b"], keep="last", maintain_order=True)
        earlier = newest.select("a", "b", pl.col("content", "counts").name.suffix(" before"))
        return arrived.join(earlier, on=["a", "b"], how="left", maintain_order="left")


def digest_events(ids: Sequence[bytes], contents: Sequence[bytes], arrived: Sequence[int]) -> pl.DataFrame:
    """The digests of n events: frame [a, b, content, arrived]."""
    joined = b"".join(
        blake2b(name, digest_size=16).digest() + blake2b(content, digest_size=8).digest()
        for name, content in zip(ids, contents, strict=True)
    )
    lanes = np.frombuffer(joined, dtype="<u8").reshape(-1, 3)
    columns = {name: np.ascontiguousarray(lanes[:, i]) for i, name in enumerate(("a", "b", "content"))}
    return pl.DataFrame(columns | {"arrived": pl.Series(arrived, dtype=pl.Int64)})


def name_event(event: Event | None, content: bytes) -> bytes:
    """What an event is told apart by: its id, or all of its content where it cannot be read."""
    return b"unread:" + content if event is None else b"id:" + event.id.encode()
