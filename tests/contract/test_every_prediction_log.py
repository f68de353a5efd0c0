"""What every prediction log must do: the one in files, and the shared one in a database, SQLite or PostgreSQL."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.postgres import new_database

from epic22.adapters.metadata import predictions
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.predictions import PredictionRecords
from epic22.adapters.prediction_log import BufferedPredictionLog, FilePredictionLog, ReceiptStore
from epic22.core.errors import StorageError
from epic22.core.lineage import ModelVersion, Node, PredictionRecord, ReceiptBatch
from epic22.core.ports import PredictionLog
from epic22.core.prediction import Prediction, PredictionScore

MODEL = ModelVersion("toy", "1", "xgboost", "a" * 64, "b" * 64, "proven", "2024-01-01T00:00:00+00:00")
AT = datetime(2024, 1, 1, 12, 0, 0, 5)


def prediction(receipt: str, entity: str) -> Prediction:
    return Prediction(entity, None, (), PredictionScore(0.0, ""), (), MODEL, receipt)


@pytest.fixture(params=["files", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> ReceiptStore:
    if request.param == "files":
        return FilePredictionLog(tmp_path / "receipts")
    return PredictionRecords(Database(new_database() if request.param == "postgresql" else f"sqlite:///{tmp_path}/data.sqlite"))


def test_answers_are_counted_by_task_and_version(log: ReceiptStore) -> None:
    versions = [("toy", "1"), ("toy", "2"), ("toy", "1"), ("other", "1")]
    log.write(PredictionRecord(str(n) * 64, task, version, "a" * 64, "e", AT) for n, (task, version) in enumerate(versions))
    assert log.count_predictions() == {("toy", "1"): 2, ("toy", "2"): 1, ("other", "1"): 1}


def test_receipts_are_matched_by_how_they_begin_and_come_oldest_first(log: ReceiptStore) -> None:
    receipts = ["aa0", "ab1", "b%2", "aa3", "b_4"]
    log.write(
        PredictionRecord(one + "0" * 61, "toy", "1", "a" * 64, one, AT + timedelta(seconds=n)) for n, one in enumerate(receipts)
    )
    assert [one.entity for one in log.find_receipts("a")] == ["aa0", "ab1", "aa3"]
    assert [one.entity for one in log.find_receipts("aa")] == ["aa0", "aa3"]
    assert [one.entity for one in log.find_receipts("b%")] == ["b%2"]
    assert [one.entity for one in log.find_receipts("b_")] == ["b_4"]
    assert log.find_receipts("c") == ()


@pytest.mark.parametrize("buffered", [False, True])
def test_a_receipt_says_what_its_row_was_read_from(log: ReceiptStore, buffered: bool) -> None:
    writer: PredictionLog = BufferedPredictionLog(log, flush_seconds=60) if buffered else log
    origin = Node("source", "a" * 64, "rows.csv")
    writer.log_predictions(MODEL, [prediction("1" * 64, "a")], origin)
    writer.log_predictions(MODEL, [prediction("2" * 64, "b")])
    writer.close()
    assert [(one.entity, one.row_from) for one in log.find_receipts("")] == [("a", origin), ("b", None)]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entity=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_an_entity_of_any_text_comes_back(log: ReceiptStore, entity: str) -> None:
    before = len(log.find_receipts("f"))
    log.write([PredictionRecord("f" * 64, "toy", "1", "a" * 64, entity, AT)])
    records = log.find_receipts("f")
    assert len(records) == before + 1
    assert records[-1] == PredictionRecord("f" * 64, "toy", "1", "a" * 64, entity, AT)


def test_more_receipts_than_a_batch_are_written(log: ReceiptStore) -> None:
    log.write(PredictionRecord(f"{n:064d}", "toy", "1", "a" * 64, "e", AT) for n in range(5_001))
    assert log.count_predictions() == {("toy", "1"): 5_001}


def test_receipts_are_read_in_the_order_in_which_they_were_written_batch_by_batch(
    log: ReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "BATCH_ROWS", 3)
    receipts = [
        PredictionRecord(f"{n:064d}", "toy", "1", "a" * 64, "e", AT, Node("source", "b", "c") if n % 2 else None)
        for n in range(7)
    ]
    log.add_receipts(receipts[:4])
    log.add_receipts(receipts[4:])
    log.add_receipts([])
    assert list(log.iterate_receipts()) == receipts == list(log.find_receipts(""))


def test_a_batch_of_receipts_is_written_as_each_of_them_would_be(log: ReceiptStore) -> None:
    entities = ["a", 'b "c" \\u0001', "\x01", "ü\u2028", "d,e\n"]
    batch = ReceiptBatch(MODEL, [str(n) * 64 for n in range(5)], entities, AT, Node("data version", "3", "data version 3"))
    log.add_batch(batch)
    log.add_receipts(list(batch))
    assert list(log.iterate_receipts()) == [*batch, *batch]


def test_receipts_that_cannot_be_added_are_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "receipts").write_text("a file where the folder belongs")
    receipt = PredictionRecord("f" * 64, "toy", "1", "a" * 64, "e", AT)
    for log in (FilePredictionLog(tmp_path / "receipts"), PredictionRecords(Database("postgresql://a:secret@127.0.0.1:1/none"))):
        with pytest.raises(StorageError) as refused:
            log.add_receipts([receipt])
        assert "\n" not in str(refused.value)
        assert "secret" not in str(refused.value)


def test_a_log_that_cannot_write_raises_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = PredictionRecords(Database("postgresql://nobody:secret@127.0.0.1:1/none"))
    log.write([PredictionRecord("f" * 64, "toy", "1", "a" * 64, "e", AT)])
    printed = capsys.readouterr()
    assert "receipts not written" in printed.err
    assert "127.0.0.1/none" in printed.err
    assert "secret" not in printed.err + printed.out
