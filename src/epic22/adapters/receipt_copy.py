"""Moving receipts to another place, however many there are: those that are there already are told by digests on the disk."""

import hashlib
import json
import sqlite3
from dataclasses import dataclass

from epic22.adapters.prediction_log import LINE_VIEWS, ReceiptStore
from epic22.core.lineage import PredictionRecord
from epic22.core.serialization import to_json

RECEIPTS_AT_ONCE = 5_000


@dataclass(frozen=True)
class CopyCounts:
    """What a copy brought, and what was there already."""

    copied: int
    present: int


def copy_receipts(source: ReceiptStore, target: ReceiptStore) -> CopyCounts:
    """Copy all receipts that are not there yet, a batch in memory at a time.

    An answer that was given twice is there twice. Raises StorageError where a batch cannot be written; those before it stay, and
    a copy again goes on after them.
    """
    n_copied = n_present = 0
    with ReceiptCounts() as present:
        for receipt in target.iterate_receipts():
            present.add(receipt)
        batch: list[PredictionRecord] = []
        for receipt in source.iterate_receipts():
            if present.take(receipt):
                n_present += 1
                continue
            batch.append(receipt)
            if len(batch) == RECEIPTS_AT_ONCE:
                target.add_receipts(batch)
                n_copied += len(batch)
                batch = []
        target.add_receipts(batch)
    return CopyCounts(n_copied + len(batch), n_present)


class ReceiptCounts:
    """How many times each receipt is somewhere: by a digest of 16 bytes, in a file of this process that ends with it, of which a
    few megabytes are in memory."""

    def __enter__(self) -> "ReceiptCounts":
        # Without a name SQLite makes a file that nobody else sees.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("CREATE TABLE receipts (digest BLOB PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID")
        self._connection.execute("BEGIN")
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def add(self, receipt: PredictionRecord) -> None:
        """Count it once more."""
        self._connection.execute(
            "INSERT INTO receipts VALUES (?, 1) ON CONFLICT (digest) DO UPDATE SET n = n + 1", (_digest_receipt(receipt),)
        )

    def take(self, receipt: PredictionRecord) -> bool:
        """Count it once less; False where it was not counted."""
        changed = self._connection.execute(
            "UPDATE receipts SET n = n - 1 WHERE digest = ? AND n > 0", (_digest_receipt(receipt),)
        ).rowcount
        return bool(changed)


def _digest_receipt(receipt: PredictionRecord) -> bytes:
    return hashlib.sha256(json.dumps(to_json(receipt, LINE_VIEWS)).encode()).digest()[:16]
