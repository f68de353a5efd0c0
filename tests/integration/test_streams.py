"""Events into versions: from a real Redis, standard input and the API's spool; each counts once, broken ones are set apart."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.erasures import list_contents, list_naming
from tests.event_streams import build_reading, fill_home, read_readings, write_events
from tests.lakes import take_in
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.redis_server import RedisProcess, new_redis
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables
from tests.tcp_postgres import TcpPostgres

from epic22.adapters.lake import Lake
from epic22.adapters.lake_transaction import open_delta
from epic22.adapters.redis.server import RedisServer
from epic22.adapters.store_copy import copy_lake
from epic22.adapters.streams.lines import LineStream
from epic22.adapters.streams.redis_stream import STREAM, RedisEventQueue, RedisStream
from epic22.adapters.streams.spool import EventSpool
from epic22.adapters.version_files import VersionFiles
from epic22.bootstrap.events import open_event_queue
from epic22.bootstrap.stores import open_stores
from epic22.config import Settings
from epic22.core.errors import UnavailableError
from epic22.core.ports import EventStream, Lag
from epic22.core.tables.events import MAX_EVENT_BYTES, ArrivedEvent, count_microseconds
from epic22.core.tables.rowhash import digest_rows, hash_rows
from epic22.services.consume import BatchPolicy, BatchStored, Waiting, consume_events
from epic22.services.events import EventRequest, EventResult, ingest_events

NOW = count_microseconds(datetime(2026, 10, 1))
REQUEST = EventRequest("tester", "stream")
READ_AT = "2026-09-01T00:05:00"


@pytest.fixture(scope="module")
def server() -> RedisProcess:
    return new_redis()


@pytest.fixture
def redis(server: RedisProcess) -> RedisProcess:
    """The module's server, in which nothing is left of another test."""
    from redis import Redis

    with Redis.from_url(server.url) as client:
        client.flushall()
    return server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "home"
    fill_home(folder)
    return folder


@pytest.fixture
def lake(tmp_path: Path, home: Path) -> Lake:
    shutil.copytree(home, tmp_path / "home")
    return Lake(tmp_path / "home" / "lake")


@pytest.fixture
def shell(tmp_path: Path, lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys, monkeypatch)


class FailingVersions(VersionFiles):
    """The log of versions on a disk that fails when the version is to be."""

    def add_manifest(self, number: int, identity: str, content: bytes) -> bool:
        raise OSError("no disk")


def arrive(*events: Any, start: int = NOW, table: str | None = None) -> list[ArrivedEvent]:
    """Events as they come, one a microsecond; what is no text is written as JSON."""
    contents = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return [ArrivedEvent(content, start + i, str(i), table) for i, content in enumerate(contents)]


def reject(lake: Lake, event: Any) -> str:
    """The reason for which an event alone is set apart; it is nowhere else."""
    rows = read_readings(lake).height
    result = ingest_events(arrive(event), lake, REQUEST)
    assert (result.stored, result.rejected) == (0, 1)
    assert read_readings(lake).height == rows
    return str(lake.quarantine()["reason"][0])


def test_events_become_rows_known_when_they_came(lake: Lake) -> None:
    result = ingest_events(arrive(*(build_reading(n) for n in range(3))), lake, REQUEST)
    assert (result.stored, result.repeated, result.rejected) == (3, 0, 0)
    rows = read_readings(lake).sort("known_at")
    assert rows["value"].to_list() == [0.0, 1.0, 2.0]
    assert rows["known_at"][0] == datetime(2026, 10, 1)


def test_what_a_row_states_in_known_at_is_taken_for_it(lake: Lake) -> None:
    ingest_events(arrive(build_reading(1, known_at="2026-09-02T10:00:00Z"), build_reading(2)), lake, REQUEST)
    assert read_readings(lake).sort("known_at")["known_at"].to_list() == [
        datetime(2026, 9, 2, 10),
        datetime(2026, 10, 1, 0, 0, 0, 1),
    ]


def test_an_event_that_comes_again_counts_once_whether_in_a_batch_or_in_a_later_one(lake: Lake) -> None:
    first = ingest_events(arrive(build_reading(1), build_reading(2), build_reading(1)), lake, REQUEST)
    assert (first.stored, first.repeated) == (2, 1)
    again = ingest_events(arrive(build_reading(2), build_reading(3), start=NOW + 10), Lake(lake.root), REQUEST)
    assert (again.stored, again.repeated) == (1, 1)
    assert read_readings(lake).height == 3


def test_an_event_counts_once_after_versions_of_files_and_a_restored_one(lake: Lake, tmp_path: Path) -> None:
    ingest_events(arrive(build_reading(1)), lake, REQUEST)
    take_in(lake, write_tables(tmp_path / "more", {"tenants": small_tables()["tenants"]}))
    lake.restore(2, "tester")
    assert ingest_events(arrive(build_reading(1), start=NOW + 10), lake, REQUEST).repeated == 1
    assert read_readings(lake).height == 1


def test_an_event_whose_row_a_restore_removed_is_taken_in_again_and_one_whose_row_is_there_counts_once(
    lake: Lake, tmp_path: Path
) -> None:
    before = lake.resolve_version().number
    for n in range(3):
        ingest_events(arrive(build_reading(n), start=NOW + n), lake, REQUEST)
    lake.restore(before + 1, "tester")
    again = ingest_events(arrive(build_reading(0), build_reading(1), start=NOW + 10), lake, REQUEST)
    assert (again.stored, again.repeated) == (1, 1)
    # What a restore passed over counts where that version is restored itself, also in a copy of the store.
    copy_lake(lake, Lake(tmp_path / "copy"))
    for other in (lake, Lake(tmp_path / "copy")):
        other.restore(before + 3, "tester")
        result = ingest_events(arrive(*(build_reading(n) for n in range(4)), start=NOW + 20), other, REQUEST)
        assert (result.stored, result.repeated) == (1, 3)
        assert read_readings(other)["value"].sort().to_list() == [0, 1, 2, 3]
        other.restore(before, "tester")
        assert ingest_events(arrive(build_reading(3), start=NOW + 30), other, REQUEST).stored == 1
        assert ingest_events(arrive(build_reading(3), start=NOW + 40), Lake(other.root), REQUEST).repeated == 1


def test_a_restore_that_never_came_to_be_changes_nothing_of_what_is_remembered(lake: Lake) -> None:
    ingest_events(arrive(build_reading(1)), lake, REQUEST)
    with pytest.raises(OSError, match="no disk"):
        Lake(lake.root, FailingVersions(lake.root)).restore(1, "tester")
    assert ingest_events(arrive(build_reading(1), build_reading(2), start=NOW + 10), Lake(lake.root), REQUEST).repeated == 1
    assert ingest_events(arrive(build_reading(1), start=NOW + 20), Lake(lake.root), REQUEST).repeated == 1


def test_events_of_a_version_whose_file_does_not_say_it_stay_remembered(lake: Lake) -> None:
    ingest_events(arrive(build_reading(1)), lake, REQUEST)
    (path,) = (lake.root / "events").rglob("*.parquet")
    pl.read_parquet(path).drop("version").write_parquet(path)
    assert ingest_events(arrive(build_reading(1), build_reading(2), start=NOW + 10), Lake(lake.root), REQUEST).repeated == 1
    assert ingest_events(arrive(build_reading(1), build_reading(2), start=NOW + 20), Lake(lake.root), REQUEST).repeated == 2


@pytest.mark.slow
def test_many_versions_leave_few_files_of_ids_and_forget_none(lake: Lake) -> None:
    for n in range(12):
        ingest_events(arrive(build_reading(n), start=NOW + n), lake, REQUEST)
    assert len(lake.files.list_files("events")) <= 4
    result = ingest_events(arrive(*(build_reading(n) for n in range(12)), start=NOW + 100), lake, REQUEST)
    assert (result.stored, result.repeated) == (0, 12)


@pytest.mark.slow
def test_small_files_of_many_versions_are_merged_and_every_version_stays_as_it_is(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epic22.adapters.lake_transaction.MANY_FILES", 4)
    for n in range(7):
        ingest_events(arrive(build_reading(n, known_at=None if n else "2026-09-02"), start=NOW + n), lake, REQUEST)
    versions = [version for version in lake.log() if "sensor_readings" in version.tables]
    assert len(open_delta(lake.files, "sensor_readings").file_uris()) == 3
    for n, version in enumerate(versions, 1):
        rows = lake.scan("sensor_readings", version.number).collect()
        assert rows["value"].sort().to_list() == list(range(n))
        digest = f"{digest_rows(hash_rows(rows, ('equipment_id', 'kind', 'measured_at')).whole):032x}"
        assert digest == version.tables["sensor_readings"].digest
    assert lake.restore(versions[2].number, "tester").tables["sensor_readings"].rows == 3
    assert ingest_events(arrive(build_reading(9), start=NOW + 99), lake, REQUEST).stored == 1
    assert read_readings(lake)["value"].sort().to_list() == [0, 1, 2, 9]


@pytest.mark.slow
def test_a_person_is_erased_from_events_that_wait_and_from_files_that_were_merged(
    shell: Shell, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = new_redis()
    monkeypatch.setattr("epic22.adapters.lake_transaction.MANY_FILES", 2)
    monkeypatch.setenv("EPIC22_REDIS_URL", redis.url)
    people = [{"id": f"p{n}", "row": {"tenant_id": f"person-{n}", "created_at": "2021-01-01"}} for n in range(5)]
    for n, event in enumerate(people):
        ingest_events(arrive(event, start=NOW + n, table="tenants"), lake, REQUEST)
    spool = EventSpool(shell.home / "events.sqlite")
    queue = RedisEventQueue(RedisServer(redis.url))
    spool.add("tenants", write_events(people))
    queue.add("tenants", write_events(people))
    keeps = "Redis: its append-only file, dumps and replicas have what was removed until they are written anew"
    assert keeps not in json.loads(shell("data", "erase", "--tenant", "person-3", "--json")[1])["remaining"]
    code, out, err = shell("data", "erase", "--tenant", "person-3", "--yes", "--json")
    assert (code, err) == (0, "")
    assert keeps in json.loads(out)["remaining"]
    # The row stands in the file in which it came, and in the merged one.
    assert json.loads(out)["entry"]["counts"] == {"tenants": 2, "events that wait": 1, "events that wait in Redis": 1}
    assert list_naming(list_contents(shell.home), "person-3") == []
    assert sorted(lake.scan("tenants").collect()["tenant_id"]) == ["person-0", "person-1", "person-2", "person-4"]
    assert [version.tables["tenants"].added for version in lake.log()[1:]] == [1, 1, 1, 0, 1]
    assert (spool.measure_lag().events, RedisServer(redis.url).client.xlen(STREAM)) == (4, 4)
    queue.remove_events(lambda content: b"person-4" in content)
    code, out, err = shell("data", "erase", "--tenant", "person-4", "--yes", "--json")
    assert (code, err) == (0, "")
    assert keeps not in json.loads(out)["remaining"], "no event that waited in Redis was removed by it"
    redis.remove()


def test_a_copy_of_the_store_knows_which_events_came(lake: Lake, tmp_path: Path) -> None:
    ingest_events(arrive(build_reading(1)), lake, REQUEST)
    target = Lake(tmp_path / "copy")
    copy_lake(lake, target)
    assert ingest_events(arrive(build_reading(1), start=NOW + 10), target, REQUEST).repeated == 1


@pytest.mark.slow
def test_an_id_is_forgotten_after_its_horizon(lake: Lake) -> None:
    request = EventRequest("tester", "stream", timedelta(days=1))
    day = 86_400_000_000
    for n in range(4):
        ingest_events(arrive(build_reading(n), start=NOW + n * day), lake, request)
    result = ingest_events(arrive(build_reading(3), build_reading(0), start=NOW + 3 * day + 10), lake, request)
    assert (result.repeated, result.stored) == (1, 1)
    # The same entry of a stream, which came at the same moment, is the same row all the same.
    again = ingest_events(arrive(build_reading(1), start=NOW + day), lake, request)
    assert (again.repeated, again.stored) == (1, 0)


def test_ids_of_a_version_that_never_came_to_be_are_not_remembered(lake: Lake) -> None:
    with pytest.raises(OSError, match="no disk"):
        ingest_events(arrive(build_reading(1)), Lake(lake.root, FailingVersions(lake.root)), REQUEST)
    assert lake.files.list_files("events") != {}
    take_in(lake, write_tables(lake.root.parent / "more", {"tenants": small_tables()["tenants"]}))
    assert ingest_events(arrive(build_reading(1), start=NOW + 10), lake, REQUEST).stored == 1


def test_the_first_of_two_that_differ_counts_and_the_other_is_set_apart_once(lake: Lake) -> None:
    ingest_events(arrive(build_reading(1, value=20)), lake, REQUEST)
    reason = reject(lake, build_reading(1, value=30))
    assert reason.startswith("the id of this event came before with other content, and the first counts")
    assert read_readings(lake)["value"].to_list() == [20.0]
    assert ingest_events(arrive(build_reading(1, value=30)), lake, REQUEST) == EventResult(None, 1, 0, 1, 0)


def test_of_two_that_differ_in_one_batch_the_first_counts(lake: Lake) -> None:
    result = ingest_events(arrive(build_reading(1, value=20), build_reading(1, value=30)), lake, REQUEST)
    assert (result.stored, result.rejected) == (1, 1)
    assert read_readings(lake)["value"].to_list() == [20.0]


def test_two_of_one_id_that_write_the_same_in_another_order_are_no_contradiction(lake: Lake) -> None:
    event = build_reading(1)
    other = {"row": dict(reversed(event["row"].items())), "table": event["table"], "id": event["id"]}
    assert ingest_events(arrive(event, other), lake, REQUEST).repeated == 1


def test_an_event_that_was_set_apart_is_taken_in_mended_or_once_what_it_lacked_is_there(lake: Lake, tmp_path: Path) -> None:
    broken = build_reading(1, value="warm")
    charge = {"charge_id": "C1", "lease_id": "L1", "due_on": "2021-02-01", "amount": 900, "kind": "rent"}
    early = {"id": "c1", "table": "charges", "row": charge}
    assert ingest_events(arrive(broken, early), lake, REQUEST).rejected == 2
    assert ingest_events(arrive(broken, early, start=NOW + 10), lake, REQUEST) == EventResult(None, 2, 0, 2, 0)
    tables = small_tables()
    take_in(lake, write_tables(tmp_path / "leases", {name: tables[name] for name in ("tenants", "leases")}))
    assert ingest_events(arrive(build_reading(1, value=21), early, start=NOW + 20), lake, REQUEST).stored == 2


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b'{"id": ', "not JSON: "),
        (b"", "empty"),
        (b"[1, 2]", "a list in place of an object with id, table and row"),
        (b'{"id": NaN}', "not JSON: "),
        ({"table": "sensor_readings", "row": {"value": 1}}, "no id; without one a repetition could not be told from a new event"),
        ({"id": "x" * 300, "table": "units", "row": {"unit_id": "U1"}}, "its id has 300 characters; at most 200 are taken"),
        ({"id": "a", "row": {"value": 1}}, "no table; name the one whose row it states"),
        ({"id": "a", "table": "boilers", "row": {"value": 1}}, "no table 'boilers'; there are properties, units,"),
        ({"id": "a", "table": "units", "row": {}}, "no row; an event states the columns of one row"),
        (
            {"id": "a", "table": "units", "rows": {"unit_id": "U1"}},
            "unknown field 'rows' beside id, table and row; did you mean",
        ),
        (build_reading(1, valeu=3), "unknown field 'valeu': no column of sensor_readings; did you mean 'value'?"),
        (build_reading(1, value=[1]), "value is a list in place of one value"),
        (build_reading(1, value="warm"), "value is warm, expected a number"),
        (build_reading(1, value=None), "value is empty"),
        (build_reading(1, equipment_id="E99"), "no equipment_id E99 in equipment"),
        (
            build_reading(1, measured_at="2031-01-01T00:00:00"),
            "measured_at 2031-01-01 00:00 lies after its arrival, 2026",
        ),
        (
            build_reading(1, known_at="2026-10-01T00:06:00"),
            "known_at 2026-10-01 00:06 lies after its arrival, 2026",
        ),
        (build_reading(1, known_at="soon"), "known_at is soon, expected a date or time"),
        (b'{"id": "big", "row": "' + b"x" * 10_000_000 + b'"}', "the event has more than 1,048,576 bytes, which is"),
    ],
)
def test_an_event_that_cannot_be_taken_in_stands_in_quarantine_with_its_reason(lake: Lake, event: Any, reason: str) -> None:
    assert reject(lake, event).startswith(reason)
    assert all(len(row) <= 1_001 for row in lake.quarantine()["row"])
    assert ingest_events(arrive(event, start=NOW + 10), lake, REQUEST) == EventResult(None, 1, 0, 1, 0), "set apart once"


def test_a_charge_that_falls_due_next_month_is_no_clock_in_the_future(lake: Lake, tmp_path: Path) -> None:
    tables = small_tables()
    take_in(lake, write_tables(tmp_path / "leases", {name: tables[name] for name in ("tenants", "leases")}))
    charge = {"charge_id": "C1", "lease_id": "L1", "due_on": "2027-02-01", "amount": 900, "kind": "rent"}
    assert ingest_events(arrive({"id": "c", "table": "charges", "row": charge}), lake, REQUEST).stored == 1


def test_a_thing_that_changes_its_kind_under_its_key_is_set_apart(lake: Lake) -> None:
    row = {"equipment_id": "E1", "property_id": "P1", "kind": "roofing", "installed_on": "2021-01-01"}
    result = ingest_events(arrive({"id": "a", "table": "equipment", "row": row}), lake, REQUEST)
    assert (result.stored, result.rejected) == (0, 1)
    assert "names another thing than before" in lake.quarantine()["reason"][0]


def consume(stream: EventStream, lake: Lake, policy: BatchPolicy = BatchPolicy(is_once=True)) -> list[BatchStored | Waiting]:
    """What a consumer reports until nothing waits."""
    reports: list[BatchStored | Waiting] = []
    consume_events(stream, lake, REQUEST, policy, reports.append)
    return reports


def open_stream(redis: RedisProcess, name: str, consumer: str = "one", is_own: bool = False) -> RedisStream:
    stream = RedisStream(RedisServer(redis.url), name, "epic22", consumer, is_own)
    stream.open()
    return stream


def add_entries(redis: RedisProcess, name: str, events: Sequence[bytes]) -> None:
    client = RedisServer(redis.url).client
    for event in events:
        client.xadd(name, {"event": event})


def test_a_stream_of_redis_is_taken_in_by_batches_and_acknowledged(redis: RedisProcess, lake: Lake) -> None:
    add_entries(redis, "batches", write_events(build_reading(n) for n in range(25)))
    stream = open_stream(redis, "batches")
    lag = stream.measure_lag()
    assert (lag.events, lag.is_bound) == (25, False)
    assert 0 <= lag.seconds < 60
    reports = consume(stream, lake, BatchPolicy(events=10, is_once=True))
    stored = [report for report in reports if isinstance(report, BatchStored)]
    assert [report.result.stored for report in stored] == [10, 10, 5]
    assert [report.lag.events for report in stored if report.lag is not None] == [15, 5, 0]
    assert read_readings(lake).height == 25
    assert lake.resolve_version().number == 4


def test_what_a_consumer_had_read_when_it_ended_is_given_to_it_again(redis: RedisProcess, lake: Lake) -> None:
    add_entries(redis, "unfinished", write_events(build_reading(n) for n in range(5)))
    assert len(open_stream(redis, "unfinished").read(3, 0)) == 3
    consume(open_stream(redis, "unfinished"), lake)
    assert read_readings(lake).height == 5


def test_a_batch_that_was_stored_and_not_acknowledged_counts_once(redis: RedisProcess, lake: Lake) -> None:
    add_entries(redis, "unacknowledged", write_events(build_reading(n) for n in range(5)))
    ingest_events(open_stream(redis, "unacknowledged").read(5, 0), lake, REQUEST)
    reports = consume(open_stream(redis, "unacknowledged"), lake)
    assert [report.result.repeated for report in reports if isinstance(report, BatchStored)] == [5]
    assert open_stream(redis, "unacknowledged").measure_lag().events == 0


def test_what_another_consumer_had_and_left_is_taken_over_but_for_what_was_removed(
    redis: RedisProcess, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entries(redis, "left", write_events(build_reading(n) for n in range(5)))
    first, *_ = open_stream(redis, "left", "gone").read(5, 0)
    RedisServer(redis.url).client.xdel("left", first.position)
    monkeypatch.setattr("epic22.adapters.streams.redis_stream.CLAIM_SECONDS", -1.0)
    time.sleep(0.06)
    consume(RedisStream(RedisServer(redis.url), "left", "epic22", "other", idle_seconds=0.05), lake)
    assert read_readings(lake).height == 4


def test_entries_without_an_event_and_trimmed_ones_do_not_stop_a_consumer(redis: RedisProcess, lake: Lake) -> None:
    client = RedisServer(redis.url).client
    add_entries(redis, "odd", write_events([build_reading(1), build_reading(2)]))
    client.xadd("odd", {"other": "x"})
    stream = open_stream(redis, "odd")
    stream.read(2, 0)
    client.xtrim("odd", maxlen=1, approximate=False)
    reports = consume(open_stream(redis, "odd"), lake)
    assert [report.result.rejected for report in reports if isinstance(report, BatchStored)] == [1]
    assert stream.measure_lag().events == 0


class StoppingStream(RedisStream):
    """A stream whose server is stopped once, after its first batch was stored and before that is acknowledged."""

    redis: RedisProcess | None = None

    def acknowledge(self, events: Sequence[ArrivedEvent]) -> None:
        if self.redis is not None:
            self.redis.stop()
            self.redis = None
        super().acknowledge(events)


def test_a_redis_that_is_stopped_is_waited_for_and_each_event_counts_once(lake: Lake) -> None:
    redis = new_redis()
    add_entries(redis, "events", write_events(build_reading(n) for n in range(20)))
    stream = StoppingStream(RedisServer(redis.url), "events", "epic22", "one")
    stream.open()
    stream.redis = redis
    reports: list[BatchStored | Waiting] = []

    def restart(report: BatchStored | Waiting) -> None:
        reports.append(report)
        if isinstance(report, Waiting) and report.reason is not None:
            redis.start()

    consume_events(stream, lake, REQUEST, BatchPolicy(events=5, is_once=True), restart)
    assert sum(report.result.repeated for report in reports if isinstance(report, BatchStored)) == 5
    waits = [report.reason for report in reports if isinstance(report, Waiting)]
    assert len(waits) == 2
    assert "no connection to the Redis server" in str(waits[0])
    assert waits[1] is None
    assert read_readings(lake).height == 20
    assert stream.measure_lag().events == 0
    redis.remove()


def test_a_redis_that_is_away_at_the_start_is_waited_for_by_the_command(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = new_redis()
    add_entries(redis, "shop", write_events(build_reading(n) for n in range(3)))
    redis.stop()
    monkeypatch.setenv("SHOP", redis.url)
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "epic22", "consume", "--source", "env:SHOP", "--stream", "shop", "--batch", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdout is not None
        assert consumer.stderr is not None
        line = consumer.stderr.readline()
        assert line.startswith("epic22: waiting: --source: no connection to the Redis server (connection refused)")
        redis.start()
        assert "3 stored, 0 again, 0 quarantined" in consumer.stdout.readline()
        assert consumer.stderr.readline() == "epic22: it answers again\n"
        consumer.send_signal(signal.SIGINT)
        assert consumer.communicate()[1] == "epic22: stopped; nothing half-written was left.\n"
    assert consumer.returncode == 130
    redis.remove()


@pytest.mark.slow
def test_a_database_that_is_killed_is_waited_for_and_each_event_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "epic22", "consume", "--batch", "3"]
    with TcpPostgres() as server:
        monkeypatch.setenv("EPIC22_DATABASE_URL", server.new_database())
        stores, tables = open_stores(Settings.read()), small_tables()
        take_in(
            stores.table_store,
            write_tables(tmp_path / "in", {name: tables[name] for name in ("properties", "units", "equipment")}),
        )
        spool = EventSpool(tmp_path / "home" / "events.sqlite")
        spool.add("sensor_readings", write_events(build_reading(n) for n in range(3)))
        server.kill()
        ended = subprocess.run([*command, "--once"], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout) == (2, "")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as consumer:
            assert consumer.stdout is not None
            assert consumer.stderr is not None
            assert consumer.stderr.readline().startswith("epic22: waiting: EPIC22_DATABASE_URL: no connection to 127.0.0.1")
            server.start()
            assert "3 stored, 0 again, 0 quarantined" in consumer.stdout.readline()
            assert consumer.stderr.readline() == "epic22: it answers again\n"
            server.kill()
            spool.add("sensor_readings", write_events(build_reading(n) for n in range(2, 5)))
            assert consumer.stderr.readline().startswith("epic22: waiting: EPIC22_DATABASE_URL: ")
            server.start()
            assert "2 stored, 1 again, 0 quarantined" in consumer.stdout.readline()
            consumer.send_signal(signal.SIGINT)
            consumer.communicate()
        assert consumer.returncode == 130
        assert read_readings(stores.table_store).height == 5
        spool.add("sensor_readings", write_events(build_reading(n) for n in range(7, 10)))
        monkeypatch.setenv("EPIC22_DATABASE_URL", server.new_database().rpartition("/")[0] + "/absent")
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (refused.returncode, refused.stdout) == (2, ""), "what no waiting mends is said at once"
        assert 'database "absent" does not exist' in refused.stderr


@pytest.mark.slow
def test_two_consumers_of_a_group_share_its_events_and_store_each_once(redis: RedisProcess, lake: Lake) -> None:
    add_entries(redis, "shared", write_events(build_reading(n) for n in range(120)))
    streams = [open_stream(redis, "shared", name) for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        policy = BatchPolicy(events=10, is_once=True)
        reports = [report for done in pool.map(lambda s: consume(s, Lake(lake.root), policy), streams) for report in done]
    assert sum(report.result.stored for report in reports if isinstance(report, BatchStored)) == 120
    assert read_readings(lake).height == 120
    assert streams[0].measure_lag().events == 0


@pytest.mark.slow
def test_machines_that_share_a_store_count_an_event_once_whichever_it_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**storage_environment(), "EPIC22_ARTIFACTS": new_bucket(), "EPIC22_DATABASE_URL": new_database()}.items():
        monkeypatch.setenv(name, value)
    lakes = []
    for name in ("one", "two"):
        monkeypatch.setenv("EPIC22_HOME", str(tmp_path / name))
        lakes.append(open_stores(Settings.read()).table_store)
    tables = small_tables()
    take_in(lakes[0], write_tables(tmp_path / "in", {name: tables[name] for name in ("properties", "units", "equipment")}))
    assert ingest_events(arrive(build_reading(1), build_reading(2)), lakes[0], REQUEST).stored == 2
    other = ingest_events(arrive(build_reading(2), build_reading(3), start=NOW + 10), lakes[1], REQUEST)
    assert (other.stored, other.repeated) == (1, 1)
    again = ingest_events(arrive(build_reading(3), start=NOW + 20), lakes[0], REQUEST)
    assert (again.version, again.repeated) == (None, 1)
    assert read_readings(lakes[0]).height == 3


def test_another_ingest_that_is_running_is_waited_for(lake: Lake) -> None:
    reports: list[BatchStored | Waiting] = []
    reading, writing = os.pipe()
    os.write(writing, b"\n".join(write_events(build_reading(n) for n in range(3))))
    os.close(writing)
    other = Lake(lake.root).begin_transaction()
    other.__enter__()

    def finish(report: BatchStored | Waiting) -> None:
        reports.append(report)
        if isinstance(report, Waiting) and report.reason is not None:
            other.__exit__(None, None, None)

    consume_events(LineStream(reading), lake, REQUEST, BatchPolicy(), finish)
    assert "another ingest is running" in str(next(r.reason for r in reports if isinstance(r, Waiting)))
    assert read_readings(lake).height == 3


def test_a_line_of_ten_megabytes_is_set_apart_and_those_around_it_are_taken_in(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first, last = write_events([build_reading(1), build_reading(2)])
    path.write_bytes(first + b"\n\n" + b'{"id": "' + b"x" * 10_000_000 + b'"}\r\n' + last)
    with path.open("rb") as stream:
        reports = consume(LineStream(stream.fileno()), lake, BatchPolicy())
    (stored,) = [report.result for report in reports if isinstance(report, BatchStored)]
    assert (stored.stored, stored.rejected) == (2, 1)
    assert f"the event has more than {MAX_EVENT_BYTES:,} bytes" in lake.quarantine()["reason"][0]


class SilentStream(LineStream):
    """Lines of which nobody can say how many wait, for now."""

    def measure_lag(self) -> Lag | None:
        raise UnavailableError("away")


def test_a_batch_is_reported_though_the_lag_cannot_be_measured(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(write_events([build_reading(1)])[0])
    with path.open("rb") as stream:
        (report,) = consume(SilentStream(stream.fileno()), lake)
    assert isinstance(report, BatchStored)
    assert (report.result.stored, report.lag) == (1, None)


@pytest.mark.slow
def test_a_stream_of_events_of_ten_megabytes_is_set_apart_in_bounded_memory(redis: RedisProcess, lake: Lake) -> None:
    client = RedisServer(redis.url).client
    for n in range(20):
        client.xadd("large", {"event": json.dumps({"id": str(n), "row": "x" * 10_000_000})})
    stream = open_stream(redis, "large")
    reads = [stream.read(100, 0.0) for _ in range(2)]
    # After large ones as many are asked for as are about 16 MB: they are whole in memory before they are cut.
    assert [len(events) for events in reads] == [10, 1]
    assert {len(event.content) for events in reads for event in events} == {MAX_EVENT_BYTES + 1}
    lag = stream.measure_lag()
    assert (lag.events, lag.is_bound) in ((11 + 9, False), (11 + 2, True))
    stream.rewind()
    consume(stream, lake)
    assert lake.quarantine().height == 20
    client.delete("large")


def test_lines_on_standard_input_are_taken_in_by_the_command_and_counted_once_when_given_again(
    shell: Shell, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    rows = [{"id": event["id"], "row": event["row"]} for event in (build_reading(n) for n in range(7))]
    path.write_bytes(b"\n".join(write_events(rows)))
    for counts in ("7 stored, 0 again, 0 quarantined", "0 stored, 7 again, 0 quarantined"):
        with path.open("rb") as stream:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
            code, out, err = shell("consume", "--source", "-", "--table", "sensor_readings")
        assert (code, err) == (0, "")
        assert counts in out
    assert read_readings(lake).height == 7


def test_the_command_takes_a_stream_of_redis_in_and_says_how_far_it_is_behind(
    shell: Shell, lake: Lake, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entries(redis, "shop", write_events(build_reading(n) for n in range(6)))
    monkeypatch.setenv("SHOP", redis.url)
    arguments = ("--source", "env:SHOP", "--stream", "shop", "--batch", "4", "--once")
    code, out, err = shell("consume", *arguments, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [(line["version"], line["stored"], line["lag"]["events"]) for line in lines] == [(2, 4, 2), (3, 2, 0)]
    add_entries(redis, "shop", write_events([build_reading(8)]))
    code, out, _ = shell("consume", *arguments)
    assert "data version 4: 1 event in" in out
    assert "; behind: 0 events, 0.0 s" in out


def test_what_is_wrong_with_a_stream_is_one_sentence_without_the_address(shell: Shell, redis: RedisProcess) -> None:
    RedisServer(redis.url).client.set("text", "1")
    for url, stream, sentence in (
        (redis.url, "nothing", "--source: there is no stream 'nothing'; name one with --stream."),
        (redis.url, "text", "--source: 'text' is a string and no stream"),
        (
            redis.url.replace(redis.password, "guessed"),
            "s",
            "--source: the Redis server refuses the user or password; mend the address.",
        ),
        ("redis://127.0.0.1:1/0", "s", "--source: no connection to the Redis server (connection refused)"),
        ("redis//host", "s", "--source is no address of a Redis server"),
    ):
        code, out, err = shell("consume", "--source", url, "--stream", stream, "--once")
        assert (code, out) == (2, "")
        assert err.startswith(f"epic22: {sentence}")
        assert len(err.splitlines()) == 1
        assert redis.password not in err
        assert "127.0.0.1" not in err


def test_ingest_says_who_reads_a_stream(shell: Shell) -> None:
    code, _, err = shell("ingest", "--source", "redis://host/0", "--mapping", "fred")
    assert (code, err) == (
        2,
        "epic22: --source redis://…: events of a stream are taken in by 'epic22 consume --source ADDRESS'.\n",
    )


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_the_command_without_a_source_takes_in_what_the_api_accepted(
    shell: Shell, lake: Lake, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "redis":
        monkeypatch.setenv("EPIC22_REDIS_URL", redis.url)
    queue = open_event_queue(Settings.read())
    bare = [{"id": event["id"], "row": event["row"]} for event in (build_reading(n) for n in range(4))]
    queue.add("sensor_readings", write_events(bare))
    code, out, err = shell("consume", "--once")
    assert (code, err) == (0, "")
    assert "4 stored, 0 again, 0 quarantined; behind: 0 events" in out
    assert read_readings(lake).height == 4


def test_a_redis_that_is_gone_refuses_events_for_a_time(lake: Lake) -> None:
    redis = new_redis()
    queue = RedisEventQueue(RedisServer(redis.url))
    redis.remove()
    with pytest.raises(UnavailableError):
        queue.add("units", [b"{}"])


def test_events_of_one_millisecond_are_known_one_after_the_other(redis: RedisProcess) -> None:
    client = RedisServer(redis.url).client
    for n in range(3):
        client.xadd("moment", {"event": "{}"}, id=f"1700000000000-{n}")
    moments = [event.arrived for event in open_stream(redis, "moment").read(3, 0)]
    assert moments == [1_700_000_000_000_000 + n for n in range(3)]
    assert datetime.fromtimestamp(moments[0] / 1e6, UTC).year == 2023


@pytest.mark.parametrize("first", ["1700000000000000000-0", "1700000000000000-0", "1700000000-0", "1-1", "99999999999999999-0"])
def test_an_entry_whose_id_is_no_moment_is_known_when_it_is_read_and_holds_up_no_other(
    redis: RedisProcess, lake: Lake, first: str
) -> None:
    client = RedisServer(redis.url).client
    event, later, *_ = write_events([build_reading(1), build_reading(2, equipment_id="E1", measured_at=READ_AT)])
    client.xadd("numbered", {"event": event}, id=first)
    client.xadd("numbered", {"event": later}, id=f"{int(first.partition('-')[0])}-9")
    start = datetime.now(UTC).replace(tzinfo=None)
    # What another start had been given and could not store is given first.
    open_stream(redis, "numbered").read(1, 0)
    stream = open_stream(redis, "numbered")
    assert 0 <= stream.measure_lag().seconds < 60
    stored = [report.result.stored for report in consume(stream, lake) if isinstance(report, BatchStored)]
    assert sum(stored) == 2
    moments = read_readings(lake)["known_at"].sort().to_list()
    assert start <= moments[0] < moments[1] <= datetime.now(UTC).replace(tzinfo=None)
    assert open_stream(redis, "numbered").measure_lag().events == 0
