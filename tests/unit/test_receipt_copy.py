"""Receipts are copied a batch at a time, as often as each was given, and go on where a copy was interrupted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.predictions import PredictionRecords
from epic22.adapters.prediction_log import FilePredictionLog, ReceiptStore
from epic22.adapters.receipt_copy import RECEIPTS_AT_ONCE, CopyCounts, copy_receipts
from epic22.core.errors import StorageError
from epic22.core.lineage import ModelVersion, Node, PredictionRecord, ReceiptBatch
from epic22.core.prediction import Prediction
from epic22.core.tables.erasure import TenantIdentity


def receipt(n: int) -> PredictionRecord:
    return PredictionRecord(f"{n:064d}", "toy", "1", "a" * 64, f"person {n}", datetime(2024, 1, 1) + timedelta(hours=n % 100))


class CountingLog:
    """A log that makes receipts as they are read, and counts how many it has given and taken in."""

    def __init__(self, n: int = 0, fails_after: int = 1 << 30) -> None:
        self.n, self.fails_after = n, fails_after
        self.n_read = self.n_added = self.largest_batch = 0

    def iterate_receipts(self) -> Iterator[PredictionRecord]:
        for number in range(self.n):
            self.n_read += 1
            yield receipt(number)

    def add_receipts(self, receipts: Sequence[PredictionRecord]) -> None:
        if self.n_added + len(receipts) > self.fails_after:
            raise StorageError("full")
        self.n_added += len(receipts)
        self.largest_batch = max(self.largest_batch, len(receipts))

    def write(self, receipts: Iterable[PredictionRecord]) -> None:
        raise AssertionError("what is not written would not be said")

    def add_batch(self, batch: ReceiptBatch) -> None:
        raise AssertionError

    def log_predictions(self, version: ModelVersion, predictions: Sequence[Prediction], row_from: Node | None = None) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError

    def find_receipts(self, prefix: str) -> tuple[PredictionRecord, ...]:
        raise AssertionError("all would be in memory")

    def count_predictions(self) -> Mapping[tuple[str, str], int]:
        raise AssertionError

    def count_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> int:
        raise AssertionError

    def erase_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> None:
        raise AssertionError


@pytest.fixture(params=["to a database", "to files"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ReceiptStore, ReceiptStore]:
    """Where receipts come from and go to."""
    files, database = FilePredictionLog(tmp_path / "receipts"), PredictionRecords(Database(f"sqlite:///{tmp_path}/data.sqlite"))
    return (files, database) if request.param == "to a database" else (database, files)


def test_more_than_a_batch_is_never_read_ahead_of_what_is_written() -> None:
    source, target = CountingLog(3 * RECEIPTS_AT_ONCE + 7), CountingLog()
    assert copy_receipts(source, target) == CopyCounts(source.n, 0)
    assert (target.n_added, target.largest_batch) == (source.n, RECEIPTS_AT_ONCE)


def test_receipts_of_several_batches_arrive_in_their_order_and_a_copy_again_brings_none(
    logs: tuple[ReceiptStore, ReceiptStore],
) -> None:
    source, target = logs
    receipts = sorted((receipt(n) for n in range(RECEIPTS_AT_ONCE + 20)), key=lambda one: one.at)
    source.add_receipts(receipts)
    assert copy_receipts(source, target) == CopyCounts(len(receipts), 0)
    assert list(target.iterate_receipts()) == receipts
    assert copy_receipts(source, target) == CopyCounts(0, len(receipts))
    assert copy_receipts(target, source) == CopyCounts(0, len(receipts))


def test_an_answer_that_was_given_twice_is_there_twice(logs: tuple[ReceiptStore, ReceiptStore]) -> None:
    source, target = logs
    source.add_receipts([receipt(1), receipt(2), receipt(1)])
    target.add_receipts([receipt(1), receipt(3)])
    assert copy_receipts(source, target) == CopyCounts(2, 1)
    assert sorted(one.receipt[-1] for one in target.iterate_receipts()) == ["1", "1", "2", "3"]


def test_a_target_that_refuses_is_said_and_what_was_written_counts_the_next_time() -> None:
    source = CountingLog(2 * RECEIPTS_AT_ONCE)
    target = CountingLog(fails_after=RECEIPTS_AT_ONCE)
    with pytest.raises(StorageError, match="full"):
        copy_receipts(source, target)
    assert target.n_added == RECEIPTS_AT_ONCE
    again = CountingLog(RECEIPTS_AT_ONCE)
    assert copy_receipts(source, again) == CopyCounts(RECEIPTS_AT_ONCE, RECEIPTS_AT_ONCE)
