"""Versions of the canonical tables: what a version consists of, and which incoming rows are new to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from epic22.core.lineage import canonical_json, sha256
from epic22.core.tables.rowhash import Lanes
from epic22.core.tables.shares import StoredShares


@dataclass(frozen=True)
class TableVersion:
    """One table in a version: the Delta version that holds it, its rows, how many of them this version added.

    `digest` is the sum of its rows' hashes as 32 hex digits. `folder` is that of the Delta table where an erasure wrote it anew;
    None where it is the one of the table's name.
    """

    delta_version: int
    rows: int
    added: int
    digest: str
    folder: str | None = None


@dataclass(frozen=True)
class SourceFile:
    """What an ingest read: its name, the SHA-256 of its bytes, the table it went into, and what became of its rows.

    That of a query is of its rows as they came, with the names of their columns.
    """

    name: str
    sha256: str
    table: str
    rows: int
    quarantined: int


@dataclass(frozen=True)
class Position:
    """How far a source has been read: the value `reached`, from which the next ingest goes on.

    `origin` is the digest of what was asked and how it was mapped: another question has to be asked from the start.
    """

    reached: str
    origin: str


@dataclass(frozen=True)
class LakeVersion:
    """A version of all tables together.

    `id` is the hash of content and `known_at` of every row: the same rows give the same id, whoever brought them, when, in which
    order and in how many batches. `end` is the moment up to which the tables are complete; `at` when the version was made (UTC).
    `positions` are those of its own sources and of those before it, by the source's name; `shares` say of columns of shares
    (`table.column`) in which unit they came. `supersedes` are the ids that the version had before a person was erased from it.
    """

    number: int
    id: str
    tables: Mapping[str, TableVersion]
    sources: tuple[SourceFile, ...]
    who: str
    at: datetime
    parent: int | None
    end: datetime
    action: str = "ingest"
    notes: tuple[str, ...] = field(default=())
    positions: Mapping[str, Position] = field(default_factory=dict)
    shares: Mapping[str, StoredShares] = field(default_factory=dict)
    supersedes: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids by which it is known: its own, then those that it had before."""
        return (self.id, *self.supersedes)

    @property
    def rows(self) -> int:
        """Rows over all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def quarantined(self) -> int:
        """Rows that this version's ingest set apart."""
        return sum(source.quarantined for source in self.sources)


def compute_content_id(tables: Mapping[str, TableVersion]) -> str:
    """The id of tables with this content; a table without rows is as if it were not there."""
    content = {name: [table.rows, table.digest] for name, table in tables.items() if table.rows}
    return sha256(canonical_json(content))


@dataclass(frozen=True)
class IngestCounts:
    """What became of a table's incoming rows, in counts. `gone`: stored keys that a snapshot no longer has.

    `twice`: rows equal to one that came before them in the same ingest.
    """

    new: int = 0
    same: int = 0
    changed: int = 0
    quarantined: int = 0
    gone: int = 0
    twice: int = 0


class RowOutcome(IntEnum):
    """What becomes of an incoming row."""

    NEW = 0
    SAME = 1
    """Equal to a row that is stored."""
    CHANGED = 2
    """Its key is stored with other content, known earlier than the row says of itself: a new version."""
    REDATED = 3
    """The same, but its `known_at` was only derived and is not later: a new version, known as of the moment of the ingest."""
    AMBIGUOUS = 4
    """The same ingest brings the same key at the same moment with other content."""
    CONFLICT = 5
    """The same key is stored as known otherwise at that moment, or later than the moment of the ingest."""
    DUPLICATE = 6
    """Equal to a row that came earlier in the same ingest."""


REJECTION_REASONS = {
    RowOutcome.AMBIGUOUS: "the same key and known_at comes with different content in this ingest",
    RowOutcome.CONFLICT: "already known otherwise at that moment",
}


@dataclass(frozen=True)
class IncomingHashes:
    """The hashes of n incoming rows: `identity` of (key, known_at), or of the key alone where `known_at` was derived.

    `content` and `known_at` (microseconds) have n entries.
    """

    identity: Lanes
    content: NDArray[np.uint64]
    known_at: NDArray[np.int64]


def classify_rows(rows: IncomingHashes, stored: pl.DataFrame, as_of: int | None = None) -> NDArray[np.uint8]:
    """What becomes of each incoming row: n `RowOutcome` codes.

    `as_of` (microseconds) where `known_at` was derived: a row whose key is stored with other content is then a new version.
    `stored` [a, b, content, known_at] has one row an identity, the latest. Contradicting rows are all refused, so the order in
    which they come decides nothing.
    """
    frame = pl.DataFrame({"a": rows.identity[0], "b": rows.identity[1], "content": rows.content, "known_at": rows.known_at})
    outcomes = np.zeros(frame.height, dtype=np.uint8)
    _mark_duplicates(frame, outcomes)
    if stored.height:
        _compare_with_stored(frame, stored, outcomes, as_of)
    return outcomes


def _mark_duplicates(rows: pl.DataFrame, outcomes: NDArray[np.uint8]) -> None:
    ordered = np.sort(rows["a"].to_numpy())
    if not bool((ordered[1:] == ordered[:-1]).any()):
        return
    groups = (
        rows.with_row_index("at")
        .filter(rows.select("a", "b").is_duplicated())
        .with_columns(kinds=pl.col("content").n_unique().over("a", "b"), first=pl.col("at").min().over("a", "b"))
    )
    outcomes[groups.filter(pl.col("kinds") > 1)["at"].to_numpy()] = RowOutcome.AMBIGUOUS
    outcomes[groups.filter((pl.col("kinds") == 1) & (pl.col("at") > pl.col("first")))["at"].to_numpy()] = RowOutcome.DUPLICATE


def _compare_with_stored(rows: pl.DataFrame, stored: pl.DataFrame, outcomes: NDArray[np.uint8], as_of: int | None) -> None:
    """Compare with what is stored those rows that were not settled among themselves."""
    open_ = rows.with_row_index("at").filter(pl.Series(outcomes == RowOutcome.NEW))
    matches = open_.join(stored.rename({"content": "was", "known_at": "since"}), on=["a", "b"], how="inner")
    same = (matches["content"] == matches["was"]).to_numpy()
    if as_of is None:
        outcome = np.where(same, RowOutcome.SAME, RowOutcome.CONFLICT)
    else:
        since = matches["since"].to_numpy()
        other = np.where(
            matches["known_at"].to_numpy() > since,
            RowOutcome.CHANGED,
            np.where(since < as_of, RowOutcome.REDATED, RowOutcome.CONFLICT),
        )
        outcome = np.where(same, RowOutcome.SAME, other)
    outcomes[matches["at"].to_numpy()] = outcome.astype(np.uint8)
