"""Tracing, the receipts journal, the events and the picture, each without the rest of the program."""

import errno
import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from xml.dom import minidom

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.folders import folder_of_process
from tests.lakes import take_in
from tests.manual_clock import ManualClock
from tests.openlineage import assert_fulfils_the_specification
from tests.postgres import new_database
from tests.small_tables import small_tables, write_tables
from tests.waiting import wait_until

from epic22.adapters.lake import Lake
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.predictions import PredictionRecords
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import BufferedPredictionLog, FilePredictionLog
from epic22.adapters.tracking.openlineage import OpenLineageEvents
from epic22.config import Settings
from epic22.core.errors import BundleError, StorageError, UserError
from epic22.core.lineage import STAGES, Dataset, LineageGraph, ModelVersion, Node, PredictionRecord, Provenance, Trace
from epic22.core.prediction import Prediction, PredictionScore
from epic22.core.serialization import to_json
from epic22.reports.figures.lineage import LEAST_WIDTH, MAX_IN_COLUMN, WIDTH, draw_lineage
from epic22.reports.json import VIEWS
from epic22.services.lineage import trace_lineage
from epic22.services.lineage_events import emit_lineage

NOON = datetime(2024, 3, 1, 12)
MODEL_HASH, OTHER_HASH, FLAT_ID, FLAT_SHA, RUN = "a1" * 32, "b2" * 32, "c3" * 32, "d4" * 32, "e5" * 16
MODEL = ModelVersion("toy", "1", "linear", MODEL_HASH, "unknown", "proven", "2024-03-01T00:00:00+00:00")


class Noted:
    """Receipts in memory."""

    def __init__(self, *receipts: PredictionRecord) -> None:
        self.receipts = receipts

    def find_receipts(self, prefix: str) -> tuple[PredictionRecord, ...]:
        return tuple(receipt for receipt in self.receipts if receipt.receipt.startswith(prefix))

    def count_predictions(self) -> Mapping[tuple[str, str], int]:
        return {("toy", "1"): len(self.receipts)} if self.receipts else {}


class Place:
    """A lake with three versions, and a store with registered models that have no bundle: tracing opens none."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.store = Lake(folder / "lake"), ModelStore(folder / "models")
        self.folder, self.tables = folder, small_tables()
        self.ingest("one", "properties", "units")
        self.ingest("two", "tenants", "leases")

    def ingest(self, name: str, *tables: str, **frames: Any) -> None:
        take_in(self.lake, write_tables(self.folder / name, {t: self.tables[t] for t in tables} | frames))

    def register(self, task: str, data: str, model_hash: str = MODEL_HASH) -> ModelVersion:
        bundle = self.folder / "bundle"
        bundle.mkdir(exist_ok=True)
        return self.store.save(task, "linear", model_hash, data, "proven", bundle)

    def provenance(self, version: ModelVersion, number: int | None, *sources: tuple[str, str]) -> None:
        self.store.save_provenance(
            Provenance(
                version.task,
                version.version,
                version.model_hash,
                version.data_version,
                number,
                sources,
                RUN,
                "0.1.0",
                "7",
                version.made_at,
                None,
            )
        )

    def trace(self, x: str, *receipts: PredictionRecord) -> Trace:
        return trace_lineage(x, self.lake, self.store, Noted(*receipts))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def renamed(seed: int, key: str) -> pl.Expr:
    """Ids that no other table has."""
    return pl.lit(f"S{seed}-") + pl.col(key)


def names(found: Trace, kind: Any) -> set[str]:
    return {node.id for node in found.list_nodes(kind)}


def sha(place: Place, number: int, table: str) -> str:
    return next(s.sha256 for s in place.lake.version(number).sources if s.table == table)


def test_a_model_leads_back_to_every_table_and_every_file_of_its_data_version_and_of_the_versions_before(place: Place) -> None:
    version = place.register("toy", place.lake.resolve_version().id)
    place.provenance(version, 2)
    found = place.trace("toy/1")
    assert names(found, "data version") == {"2"}
    assert names(found, "table version") == {f"{t}@{v.delta_version}" for t, v in place.lake.version(2).tables.items() if v.rows}
    assert names(found, "source") == {s.sha256 for n in (1, 2) for s in place.lake.version(n).sources}
    assert names(found, "run") == {RUN}
    (units,) = [node for node in found.list_nodes("table version") if node.id.startswith("units@")]
    assert {node.id for node in found.causes(units)} == {sha(place, 1, "units")}


def test_a_table_that_grew_leads_back_to_the_files_of_each_ingest_in_one_step(place: Place) -> None:
    for seed in (3, 4):
        more = small_tables(seed)["units"].with_columns(unit_id=renamed(seed, "unit_id"))
        place.ingest(f"more-{seed}", units=more)
    found = place.trace("4")
    (units,) = [node for node in found.list_nodes("table version") if node.id.startswith("units@")]
    assert {node.id for node in found.causes(units)} == {sha(place, n, "units") for n in (1, 3, 4)}
    assert len(found.list_nodes("table version")) == 4


def test_a_source_leads_forward_to_every_version_it_is_in_and_to_no_other_file(place: Place) -> None:
    version = place.register("toy", place.lake.resolve_version().id)
    place.provenance(version, 2)
    found = place.trace("units.csv")
    assert names(found, "source") == {sha(place, 1, "units")}
    assert names(found, "data version") == {"1", "2"}
    assert names(found, "model") == {"toy/1"}
    assert {node.id.split("@")[0] for node in found.list_nodes("table version")} == {"units"}
    assert place.trace(sha(place, 1, "units")[:8]).subject == found.subject


def test_a_file_that_brought_nothing_new_leads_to_the_version_that_read_it_and_to_no_table(place: Place) -> None:
    more = place.tables["units"].with_columns(unit_id=renamed(9, "unit_id"))
    place.ingest("again", properties=place.tables["properties"].reverse(), units=more)
    found = place.trace("3")
    (version,) = found.list_nodes("data version")
    assert [node.id for node in found.causes(version) if node.type == "source"] == [sha(place, 3, "properties")]
    assert not [
        node for node in found.list_nodes("table version") if sha(place, 3, "properties") in {n.id for n in found.causes(node)}
    ]


def test_a_restored_version_leads_back_to_what_the_older_one_did(place: Place) -> None:
    place.lake.restore(1, "tester")
    found = place.trace("3")
    assert names(found, "source") == names(place.trace("1"), "source")
    version = place.register("toy", place.lake.version(1).id)
    place.provenance(version, 3)
    assert names(place.trace("toy/1"), "data version") == {"3"}


def test_a_table_version_leads_both_ways(place: Place) -> None:
    more = place.tables["units"].with_columns(unit_id=renamed(9, "unit_id"))
    place.ingest("more", units=more)
    first = place.trace("1").list_nodes("table version")
    (old,) = [node for node in first if node.id.startswith("units@")]
    found = place.trace(old.id)
    assert names(found, "data version") == {"1", "2", "3"}
    assert names(found, "source") == {sha(place, 1, "units")}


def test_a_model_of_a_flat_file_leads_back_to_its_bytes(place: Place) -> None:
    version = place.register("toy", FLAT_ID)
    place.provenance(version, None, ("/home/anna/toy.csv", FLAT_SHA))
    for x in ("toy/1", MODEL_HASH[:8], RUN, RUN[:9], FLAT_ID[:8], "toy.csv", FLAT_SHA[:10]):
        assert names(place.trace(x), "source") == {FLAT_SHA}, x
        assert names(place.trace(x), "model") == {"toy/1"}, x


def test_a_task_is_its_champion(place: Place) -> None:
    for model_hash in (MODEL_HASH, OTHER_HASH):
        place.provenance(place.register("toy", FLAT_ID, model_hash), None, ("toy.csv", FLAT_SHA))
    place.store.promote("toy", "1", ())
    assert place.trace("toy").subject.id == "toy/1"
    assert dict(place.trace("toy").subject.facts)["champion"] == "yes"
    assert dict(place.trace("toy/2").subject.facts)["champion"] == "no"


def test_a_receipt_leads_to_its_model_and_to_what_its_row_was_read_from(place: Place) -> None:
    place.provenance(place.register("toy", FLAT_ID), None, ("toy.csv", FLAT_SHA))
    origin = Node("source", "f6" * 32, "/tmp/asked.csv")
    receipts = [PredictionRecord("9" * 64, "toy", "1", MODEL_HASH, "anna", NOON, row_from) for row_from in (None, origin)]
    found = place.trace("9" * 8, *receipts)
    assert names(found, "model") == {"toy/1"}
    assert names(found, "source") == {FLAT_SHA, "f6" * 32}
    assert dict(found.subject.facts)["answered"].startswith("2 times")
    assert place.trace("toy/1", *receipts).list_nodes("prediction")[0].label == "2 answers"


def test_a_receipt_of_a_model_that_is_gone_says_so(place: Place) -> None:
    found = place.trace("9" * 8, PredictionRecord("9" * 64, "gone", "3", MODEL_HASH, "anna", NOON))
    assert found.notes == ("model gone/3 gave this answer and is not in the registry any more",)


@cache
def ambiguous_place() -> Place:
    """A place with two versions of a model and of a table, for tests that only ask it."""
    place = Place(folder_of_process())
    for _ in range(2):
        place.register("toy", FLAT_ID)
    place.store.promote("toy", "1", ())
    place.ingest("more", properties=place.tables["properties"].with_columns(property_id=renamed(5, "property_id")))
    return place


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ("nothing", "X can be a task"),
        ("toi", "Near: toy"),
        ("unit.csv", "Near: units.csv"),
        ("7", "nothing stored is called '7'"),
        ("deadbeef", "first 8 or more digits"),
        ("\x1b[2J", "nothing stored is called '�[2J'"),
        ("a1a1a1a1", "can be 2 things: model toy/1 (toy, version 1 (linear, champion)); model toy/2"),
        ("properties.csv", "can be 2 things: source"),
        ("", "X can be a task"),
    ],
)
def test_what_is_unknown_or_ambiguous_is_said_with_the_way_out(x: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        ambiguous_place().trace(x)


def test_provenance_is_read_as_it_was_kept_and_damage_is_said(place: Place) -> None:
    version = place.register("toy", FLAT_ID)
    assert place.store.load_provenance("toy", "1") is None
    place.provenance(version, 2, ("a.csv", FLAT_SHA))
    kept = place.store.load_provenance("toy", "1")
    assert kept is not None
    assert (kept.sources, kept.data_number, kept.tracking_id) == ((("a.csv", FLAT_SHA),), 2, RUN)
    (place.store.folder("toy", "1") / "lineage.json").write_text('{"task": "toy"}')
    with pytest.raises(BundleError, match="where a model comes from"):
        place.store.load_provenance("toy", "1")


def prediction(receipt: str, entity: str = "anna") -> Prediction:
    return Prediction(entity, None, (), PredictionScore(0.0, ""), (), MODEL, receipt)


def test_receipts_are_found_by_their_beginning_and_torn_lines_are_passed_over(tmp_path: Path) -> None:
    files = FilePredictionLog(tmp_path / "receipts")
    origin = Node("data version", "3", "data version 3")
    files.log_predictions(MODEL, [prediction("1" * 64, 'a "\n\u2028b')], origin)
    (day,) = (tmp_path / "receipts").iterdir()
    with day.open("ab") as stream:
        stream.write(b'{"receipt":"1111')
    files.log_predictions(MODEL, [prediction("12" * 32)])
    assert [(r.receipt, r.entity, r.row_from) for r in files.find_receipts("1" * 8)] == [("1" * 64, 'a "\n\u2028b', origin)]
    assert len(files.find_receipts("12")) == 1
    assert files.count_predictions() == {("toy", "1"): 2}
    assert day.stat().st_mode & 0o077 == 0


def test_a_queue_writes_by_itself_and_at_the_end(tmp_path: Path) -> None:
    files = FilePredictionLog(tmp_path)
    queue = BufferedPredictionLog(files, flush_seconds=0.05)
    queue.log_predictions(MODEL, [prediction("1" * 64)])
    wait_until(lambda: len(files.find_receipts("1")) == 1)
    queue.log_predictions(MODEL, [prediction("2" * 64)])
    queue.close()
    queue.close()
    assert len(files.find_receipts("2")) == 1
    queue.log_predictions(MODEL, [prediction("3" * 64)])
    queue.close()
    assert len(files.find_receipts("3")) == 1


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(FilePredictionLog(tmp_path), max_pending=3, flush_seconds=60)
    for _ in range(5):
        queue.log_predictions(MODEL, [prediction("1" * 64)] * 2)
    with capture_logs() as logs:
        queue.close()
    assert queue.dropped == 8
    assert [(line["event"], line["count"]) for line in logs] == [("receipts dropped", 8)]
    assert len(queue.store.find_receipts("1")) == 2


def test_a_journal_that_cannot_write_says_so_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "receipts").write_text("a file where the folder should be")
    queue = BufferedPredictionLog(FilePredictionLog(tmp_path / "receipts"))
    with capture_logs() as logs:
        queue.log_predictions(MODEL, [prediction("1" * 64)])
        queue.close()
    assert [line["event"] for line in logs] == ["receipts not written"]


class MistakenLog(FilePredictionLog):
    """A log that fails by a mistake of ours on the receipts of one entity."""

    def add_receipts(self, receipts: Sequence[PredictionRecord]) -> None:
        if any(receipt.entity == "odd" for receipt in receipts):
            raise KeyError("of the odd one")
        super().add_receipts(receipts)


def test_a_mistake_of_ours_costs_the_receipts_that_it_is_in_and_ends_no_thread(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(MistakenLog(tmp_path / "receipts"), flush_seconds=0.02)
    with capture_logs() as logs:
        for entity in ("a", "b", "odd"):
            queue.log_predictions(MODEL, [prediction("1" * 64, entity)])
        wait_until(lambda: queue.fault is not None)
        assert queue.fault == "our mistake, KeyError: 'of the odd one'"
        wait_until(lambda: len(queue.store.find_receipts("1")) == 2)
        queue.log_predictions(MODEL, [prediction("2" * 64, "c")])
        wait_until(lambda: bool(queue.store.find_receipts("2")))
        wait_until(lambda: queue.fault is None)
    queue.close()
    assert [(line["event"], line["count"]) for line in logs] == [("receipts not written", 1)]


def test_the_receipts_of_others_in_the_same_second_are_written(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(MistakenLog(tmp_path / "receipts"), flush_seconds=60)
    for entity in ("a", "odd", "b"):
        queue.log_predictions(MODEL, [prediction("1" * 64, entity)])
    with capture_logs():
        queue.flush()
    assert [one.entity for one in queue.store.find_receipts("1")] == ["a", "b"]


def test_receipts_that_were_lost_are_a_fault_for_a_minute_and_no_longer(tmp_path: Path) -> None:
    """A server that is left out while it is degraded has no receipts by which it could show that it is not any more."""
    manual = ManualClock()
    queue = BufferedPredictionLog(MistakenLog(tmp_path / "receipts"), 10, 60, lambda: manual.seconds)
    with capture_logs():
        queue.log_predictions(MODEL, [prediction("1" * 64, "odd")])
        queue.flush()
    faults = []
    for manual.seconds in (0, 60, 61):
        queue.flush()
        faults.append(queue.fault)
    queue.close()
    assert faults == ["our mistake, KeyError: 'of the odd one'"] * 2 + [None]


class AwayLog(FilePredictionLog):
    """A log on a server that is away at times."""

    is_away = True

    def add_receipts(self, receipts: Sequence[PredictionRecord]) -> None:
        if self.is_away:
            raise StorageError("no connection")
        super().add_receipts(receipts)


def test_receipts_of_a_time_in_which_none_could_be_written_wait_for_its_end(tmp_path: Path) -> None:
    store = AwayLog(tmp_path / "receipts")
    queue = BufferedPredictionLog(store, max_pending=3, flush_seconds=60)
    with capture_logs() as logs:
        for entity in ("a", "b", "c"):
            queue.log_predictions(MODEL, [prediction("1" * 64, entity)])
            queue.flush()
        assert (queue.is_waiting, queue.fault) == (True, None)
        queue.log_predictions(MODEL, [prediction("1" * 64, "too many")])
        queue.flush()
        assert (queue.is_waiting, queue.fault) == (True, "more than 3 waited")
        store.is_away = False
        queue.flush()
        assert (queue.is_waiting, queue.fault) == (False, None)
        queue.log_predictions(MODEL, [prediction("1" * 64, "d")])
        queue.close()
    assert [one.entity for one in store.find_receipts("1")] == ["a", "b", "c", "d"]
    assert [(line["event"], line["count"]) for line in logs] == [
        ("receipts wait", 1),
        ("receipts dropped", 1),
        ("receipts are written again", 3),
    ]


def test_receipts_that_still_wait_when_a_server_ends_are_counted(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(AwayLog(tmp_path / "receipts"), flush_seconds=60)
    with capture_logs() as logs:
        for entity in ("a", "b"):
            queue.log_predictions(MODEL, [prediction("1" * 64, entity)])
            queue.flush()
        queue.close()
    assert [(line["event"], line["count"]) for line in logs] == [("receipts wait", 1), ("receipts not written", 2)]
    assert (queue.is_waiting, queue.fault) == (False, "no connection")


def test_a_receipt_is_written_once_though_the_disk_was_full_in_its_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = BufferedPredictionLog(FilePredictionLog(tmp_path / "receipts"), flush_seconds=60)
    queue.log_predictions(MODEL, [prediction("1" * 64, entity) for entity in "abc"])
    write, calls = os.write, iter(range(9))

    def write_half(file: int, content: bytes) -> int:
        if next(calls):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content[: len(content) // 2])

    with capture_logs(), monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        queue.flush()
    assert queue.is_waiting
    queue.close()
    assert [one.entity for one in queue.store.find_receipts("1")] == ["a", "b", "c"]


def test_an_entity_that_is_refused_costs_the_others_of_its_request_nothing(tmp_path: Path) -> None:
    queue = BufferedPredictionLog(MistakenLog(tmp_path / "receipts"), flush_seconds=60)
    queue.log_predictions(MODEL, [prediction("1" * 64, entity) for entity in ("a", "odd", "b", "odd", "c")])
    with capture_logs() as logs:
        queue.flush()
    assert [one.entity for one in queue.store.find_receipts("1")] == ["a", "b", "c"]
    assert [(line["event"], line["count"]) for line in logs] == [("receipts not written", 2)]
    queue.close()


@pytest.mark.slow
def test_what_a_database_refuses_for_its_content_costs_that_alone() -> None:
    """PostgreSQL takes no text with the character 0."""
    queue = BufferedPredictionLog(PredictionRecords(Database(new_database())), flush_seconds=60)
    for entity in ("a", "odd \0", "b", "c"):
        queue.log_predictions(MODEL, [prediction("1" * 64, entity)])
    with capture_logs() as logs:
        queue.close()
    assert [one.entity for one in queue.store.find_receipts("1")] == ["a", "b", "c"]
    assert [(line["event"], line["count"]) for line in logs] == [("receipts not written", 1)]


def test_receipts_are_written_after_standard_error_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    queue = BufferedPredictionLog(MistakenLog(tmp_path / "receipts"), flush_seconds=60)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", closed)
        queue.log_predictions(MODEL, [prediction("1" * 64, "odd")])
        queue.flush()
        queue.log_predictions(MODEL, [prediction("2" * 64)])
        queue.close()
    assert len(queue.store.find_receipts("2")) == 1


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("user", ["bot:s3cret", "bot:pa/s3cret", "bot:p@s3cret"])
def test_the_password_of_an_address_that_refuses_events_is_in_no_log(
    user: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        lineage = OpenLineageEvents(tmp_path / "events.jsonl", f"http://{user}@127.0.0.1:{server.server_port}")
        lineage.start("train", [])
        server.shutdown()
    said = capsys.readouterr().err
    assert "lineage event not written" in said
    assert "s3cret" not in said


def test_work_is_told_as_start_and_completion_with_what_it_read_and_wrote(tmp_path: Path) -> None:
    lineage = OpenLineageEvents(tmp_path / "lineage" / "events.jsonl")
    with emit_lineage(lineage, "ingest", [Dataset("source", 'a "b".csv', FLAT_SHA, FLAT_SHA)]) as work:
        work.outputs.append(Dataset("table", "units", "4", "0f" * 16, 12))
    start, complete = events(lineage.path)
    for event in (start, complete):
        assert_fulfils_the_specification(event)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert start["inputs"][0]["facets"]["epic22_content"]["sha256"] == FLAT_SHA
    (table,) = complete["outputs"]
    assert (table["namespace"], table["name"], table["facets"]["version"]["datasetVersion"]) == ("epic22.table", "units", "4")
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 12


def test_work_that_fails_is_told_with_its_error_which_passes_on(tmp_path: Path) -> None:
    lineage = OpenLineageEvents(tmp_path / "events.jsonl")
    with pytest.raises(UserError, match="no such thing"), emit_lineage(lineage, "train.toy", []):
        raise UserError("no such thing")
    failed = events(lineage.path)[1]
    assert_fulfils_the_specification(failed)
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "UserError: no such thing"


def test_an_event_after_a_torn_line_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"eventTime": "20')
    OpenLineageEvents(path).start("ingest", [])
    assert [line[:12] for line in path.read_text().splitlines()] == ['{"eventTime"', '{"eventTime"']
    assert_fulfils_the_specification(json.loads(path.read_text().splitlines()[1]))


def test_events_that_cannot_be_written_or_sent_are_said_and_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "lineage").write_text("a file where the folder should be")
    unwritable = OpenLineageEvents(tmp_path / "lineage" / "events.jsonl")
    unreachable = OpenLineageEvents(tmp_path / "events.jsonl", "http://127.0.0.1:9")
    for lineage, kept in ((unwritable, 0), (unreachable, 2)):
        with capture_logs() as logs, emit_lineage(lineage, "ingest", []):
            pass
        assert [line["event"] for line in logs] == ["lineage event not written"] * 2
        assert len(events(lineage.path) if lineage.path.is_file() else []) == kept


def test_nothing_is_sent_where_no_address_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", "http://127.0.0.1:9")
    with capture_logs() as logs:
        OpenLineageEvents(tmp_path / "events.jsonl").start("ingest", [])
    assert logs == []
    assert len(events(tmp_path / "events.jsonl")) == 1


def test_the_address_of_a_server_is_a_setting() -> None:
    assert Settings.read({"EPIC22_OPENLINEAGE_URL": "http://localhost:5000"}).openlineage_url == "http://localhost:5000"
    assert Settings.read({}).openlineage_url is None
    with pytest.raises(UserError, match="EPIC22_OPENLINEAGE_URL"):
        Settings.read({"EPIC22_OPENLINEAGE_URL": "file:///etc"})


def graph_of(*sources: str) -> Trace:
    graph = LineageGraph()
    files = [graph.add(Node("source", f"{i:064x}", name, (("file", name),))) for i, name in enumerate(sources)]
    tables = [graph.add(Node("table version", f"t{i}@1", f"t{i}"), file) for i, file in enumerate(files)]
    data = graph.add(Node("data version", "1", "data version 1"), *tables)
    model = graph.add(Node("model", "toy/1", "toy"), graph.add(Node("run", "r", "run"), data))
    answer = graph.add(Node("prediction", "9" * 64, "toy for anna"), model, data)
    return graph.trace(answer)


HOSTILE = "\"'><script>alert(1)</script>&]]>\x00\x1b\u202e</svg>.csv"


def test_a_picture_takes_no_file_name_for_markup() -> None:
    picture = draw_lineage(graph_of(HOSTILE))
    document = minidom.parseString(picture)
    assert not document.getElementsByTagName("script")
    assert len(document.getElementsByTagName("svg")) == 1
    assert "&lt;script&gt;" in picture


@pytest.mark.slow
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=3))
def test_every_name_gives_a_picture_that_is_xml(sources: list[str]) -> None:
    minidom.parseString(draw_lineage(graph_of(*sources)).encode())


def test_a_picture_is_seen_whole_in_a_window_of_1280_and_no_letter_of_it_is_below_eight_and_a_half_pixels() -> None:
    picture = draw_lineage(graph_of("a.csv"))
    frame = minidom.parseString(picture).documentElement
    assert frame is not None
    assert f"max-width:100%;min-width:{LEAST_WIDTH}px" in picture
    smallest = min(float(size) for size in re.findall(r"font-size:([\d.]+)px", picture))
    assert smallest * 1280 / int(frame.getAttribute("width")) >= 8.5


@pytest.mark.parametrize("n", [1, 13, 14, 15, 40])
def test_a_picture_of_many_sources_folds_them_and_keeps_every_box_apart(n: int) -> None:
    document = minidom.parseString(draw_lineage(graph_of(*(f"file {i}.csv" for i in range(n)))))
    boxes = [(int(r.getAttribute("x")), int(r.getAttribute("y"))) for r in document.getElementsByTagName("rect")]
    assert len(set(boxes)) == len(boxes) == 2 * min(n, MAX_IN_COLUMN) + 4
    frame = document.documentElement
    assert frame is not None
    assert max(x for x, _ in boxes) + WIDTH <= int(frame.getAttribute("width"))
    assert max(y for _, y in boxes) + 44 <= int(frame.getAttribute("height"))
    words = [t.firstChild.nodeValue for t in document.getElementsByTagName("text") if t.firstChild is not None]
    assert (f"and {n - MAX_IN_COLUMN + 1} more" in words) == (n > MAX_IN_COLUMN)
    assert "http" not in draw_lineage(graph_of("a.csv")).replace("http://www.w3.org/2000/svg", "")


def test_the_json_names_nodes_by_key_and_edges_between_them(place: Place) -> None:
    found = to_json(place.trace("2"), VIEWS)
    keys = {node["key"] for node in found["nodes"]}
    assert found["subject"] == "data version:2"
    assert {edge[side] for edge in found["edges"] for side in ("cause", "effect")} <= keys
    assert [STAGES.index(node["kind"]) for node in found["nodes"]] == sorted(STAGES.index(n["kind"]) for n in found["nodes"])
    assert json.loads(json.dumps(found)) == found
