"""`POST /v1/events/{table}` as a device's programmer meets it: stored before it is answered, refused in one sentence."""

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.event_streams import build_reading, fill_home, read_readings
from tests.redis_server import new_redis

from epic22.adapters.model_store import ModelStore
from epic22.adapters.redis.server import RedisServer
from epic22.adapters.streams.redis_stream import RedisEventQueue
from epic22.adapters.streams.spool import EventSpool
from epic22.api.app import create_app
from epic22.api.events import EventIntake, read_events
from epic22.bootstrap import assemble
from epic22.cli.api_server import build_server
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.ports import EventQueue
from epic22.services.consume import BatchPolicy, BatchStored, Waiting, consume_events
from epic22.services.events import EventRequest

TOKEN = "a token of the gateway"
KEY = hashlib.sha256(TOKEN.encode()).hexdigest()
OTHER_KEY = hashlib.sha256(b"another").hexdigest()
URL = "/v1/events/sensor_readings"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def build_client(folder: Path, queue: EventQueue) -> TestClient:
    app = create_app(ModelStore(folder / "models"), intake=EventIntake(queue, frozenset((OTHER_KEY, KEY))))
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def spool(tmp_path: Path) -> EventSpool:
    return EventSpool(tmp_path / "events.sqlite", limit=10)


@pytest.fixture
def client(tmp_path: Path, spool: EventSpool) -> TestClient:
    return build_client(tmp_path, spool)


def build_body(*numbers: int) -> dict[str, Any]:
    return {"events": [{"id": event["id"], "row": event["row"]} for event in (build_reading(n) for n in numbers)]}


def assert_refused(client: TestClient, spool: EventSpool, status: int, detail: str, url: str = URL, **request: Any) -> Any:
    response = client.post(url, **{"headers": HEADERS, "json": build_body(1), **request})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["detail"].startswith(detail)
    assert spool.measure_lag().events == 0
    return response


def test_events_are_stored_before_they_are_answered_and_counted_once_by_the_consumer(
    client: TestClient, spool: EventSpool, tmp_path: Path
) -> None:
    lake = fill_home(tmp_path / "home")
    assert client.post(URL, headers=HEADERS, json=build_body(1, 2)).json() == {"accepted": 2, "waiting": 2}
    answer = client.post(URL, headers={"authorization": f"bearer {TOKEN}"}, json=build_body(2, 3))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "waiting": 4})
    reports: list[BatchStored | Waiting] = []
    consume_events(spool, lake, EventRequest("tester", "api"), BatchPolicy(is_once=True), reports.append)
    (stored,) = [report.result for report in reports if isinstance(report, BatchStored)]
    assert (stored.stored, stored.repeated) == (3, 1)
    assert read_readings(lake).height == 3
    assert spool.measure_lag().events == 0


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer guessed", f"Basic {TOKEN}", f"Bearer {KEY}", "Bearer \xff"])
def test_who_has_no_token_is_refused_before_anything_is_read(client: TestClient, spool: EventSpool, header: str) -> None:
    headers = {b"Authorization": header.encode("latin-1")}
    response = assert_refused(client, spool, 401, "Send 'Authorization: Bearer TOKEN'", headers=headers, content=b"{")
    assert response.headers["www-authenticate"] == "Bearer"
    assert client.post("/v1/events/boilers", headers=headers).status_code == 401


def test_a_table_that_is_none_is_not_found(client: TestClient, spool: EventSpool) -> None:
    assert_refused(client, spool, 404, "There is no table of that name; there are properties,", "/v1/events/boilers")


def test_an_event_of_ten_megabytes_is_refused_before_work(client: TestClient, spool: EventSpool) -> None:
    body = json.dumps({"events": [{"id": "a", "row": {"kind": "x" * 10_000_000}}]}).encode()
    headers = {**HEADERS, "Content-Type": "application/json"}
    assert_refused(client, spool, 413, "The body is larger than 1,048,576 bytes", content=body, headers=headers)


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (b"{", 400, "The body is not JSON: "),
        (b"", 400, "The body is empty; send "),
        (b"[]", 422, 'The body is no object with a list of "events" alone'),
        (b'{"events": {}}', 422, 'The body is no object with a list of "events" alone'),
        (b'{"events": [], "x": 1}', 422, 'The body is no object with a list of "events" alone'),
        (b'{"events": []}', 422, "The body has 0 events; send 1 to 1,000."),
        (b'{"events": [' + b"1," * 1000 + b"1]}", 422, "The body has 1,001 events; send 1 to 1,000."),
        (
            b'{"events": [1]}',
            422,
            "/events/0: a number in place of an object with id, table and row. None of",
        ),
        (b'{"events": [{"row": {"value": 1}}]}', 422, "/events/0: no id; without one a repetition could not be told"),
        (
            b'{"events": [{"id": "a", "row": {"valeu": 1}}]}',
            422,
            "/events/0: unknown field 'valeu': no column of sensor_readings",
        ),
        (
            b'{"events": [{"id": "a", "table": "units", "row": {"unit_id": 1}}]}',
            422,
            "/events/0: its table is 'units', but it came",
        ),
    ],
)
def test_what_is_no_list_of_events_is_refused_whole(
    client: TestClient, spool: EventSpool, content: bytes, status: int, detail: str
) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    assert_refused(client, spool, status, detail, content=content, headers=headers)


def test_a_body_is_read_beside_the_loop_that_answers_others(
    client: TestClient, spool: EventSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long number has a body of a megabyte read number by number, in Python."""
    has_loop: list[bool] = []

    def read_beside(table: str, content: bytes) -> Sequence[bytes]:
        has_loop.append(asyncio._get_running_loop() is not None)
        return read_events(table, content)

    monkeypatch.setattr("epic22.api.events.read_events", read_beside)
    assert client.post(URL, headers=HEADERS, json=build_body(1)).status_code == 202
    assert has_loop == [False]
    assert spool.measure_lag().events == 1


def test_a_body_that_is_not_said_to_be_json_is_refused(client: TestClient, spool: EventSpool) -> None:
    headers = {**HEADERS, "Content-Type": "text/plain"}
    assert_refused(client, spool, 415, "The body's Content-Type is text/plain", content=b"{}", headers=headers)


def test_of_a_list_with_one_fault_none_is_taken_and_the_fault_is_pointed_at(client: TestClient, spool: EventSpool) -> None:
    body = build_body(1, 2, 3)
    body["events"][1]["row"]["value"] = [1]
    response = assert_refused(client, spool, 422, "/events/1: value is a list in place of one value.", json=body)
    assert response.json()["errors"] == [{"pointer": "/events/1", "detail": "value is a list in place of one value"}]


def test_more_than_may_wait_is_refused_with_a_time_to_come_again(client: TestClient, spool: EventSpool) -> None:
    assert client.post(URL, headers=HEADERS, json=build_body(*range(8))).status_code == 202
    response = client.post(URL, headers=HEADERS, json=build_body(*range(8, 12)))
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert response.json()["detail"].startswith("None of the events was taken: 8 events wait of at most 10")
    assert spool.measure_lag().events == 8


def test_a_redis_that_is_gone_is_told_without_its_address(tmp_path: Path) -> None:
    redis = new_redis()
    client = build_client(tmp_path, RedisEventQueue(RedisServer(redis.url)))
    assert client.post(URL, headers=HEADERS, json=build_body(1)).json() == {"accepted": 1, "waiting": 1}
    redis.stop()
    response = client.post(URL, headers=HEADERS, json=build_body(2))
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["detail"] == "None of the events was taken: they cannot be stored now; send them again later."
    redis.start()
    assert client.post(URL, headers=HEADERS, json=build_body(2)).json() == {"accepted": 1, "waiting": 2}
    redis.remove()


@pytest.mark.slow
def test_the_endpoint_is_off_without_keys_and_says_so_in_the_document(tmp_path: Path, client: TestClient) -> None:
    off = TestClient(create_app(ModelStore(tmp_path / "models")), raise_server_exceptions=False)
    assert off.post(URL, headers=HEADERS, json=build_body(1)).status_code == 404
    assert "/v1/events/{table}" not in off.get("/openapi.json").json()["paths"]
    operation = client.get("/openapi.json").json()["paths"]["/v1/events/{table}"]["post"]
    assert {"202", "401", "404", "413", "415", "422", "429", "503"} <= operation["responses"].keys()
    assert operation["security"] == [{"event-token": []}]
    components = client.get("/openapi.json").json()["components"]
    names = [name for kind in components.values() for name in kind]
    assert [name for name in names if re.fullmatch(r"[a-zA-Z0-9._-]+", name) is None] == [], "no client can be made of these"
    assert "sensor_readings" in operation["parameters"][0]["schema"]["enum"]
    assert client.get("/docs").status_code == 200


def test_the_server_takes_events_in_where_its_settings_have_keys(tmp_path: Path) -> None:
    settings = Settings.read({"EPIC22_HOME": str(tmp_path), "EPIC22_EVENT_KEYS": f"{OTHER_KEY}, {KEY.upper()}"})
    client = TestClient(build_server(assemble(settings)).config.app, raise_server_exceptions=False)  # type: ignore[arg-type]
    assert client.post(URL, headers=HEADERS, json=build_body(1)).json() == {"accepted": 1, "waiting": 1}
    assert EventSpool(tmp_path / "events.sqlite").measure_lag().events == 1


def test_a_key_that_is_no_digest_is_refused() -> None:
    with pytest.raises(UserError, match="EPIC22_EVENT_KEYS: secret… is no SHA-256 digest; give 64 hexadecimal digits a key"):
        Settings.read({"EPIC22_HOME": "home", "EPIC22_EVENT_KEYS": "secret"})
