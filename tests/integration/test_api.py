"""The API as a backend developer meets it: real models, right answers, and a clear refusal for every wrong body."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.trained import trained

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.api.body_limit import MAX_BODY_BYTES

URL = "/v1/tasks/toy/predictions"
ROW: dict[str, Any] = {
    "wear": 0.5,
    "load <b>$kN$</b>": -1,
    "maker": "brook",
    "indoors": True,
    "fitted on": "2014-05-01",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return trained(tmp_path_factory.mktemp("api"))[1]


@pytest.fixture(scope="module")
def client(store: ModelStore) -> Iterator[TestClient]:
    with TestClient(create_app(store), raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, row: dict[str, Any] | list[dict[str, Any]]) -> Any:
    return client.post(URL, json={"rows": row if isinstance(row, list) else [row]})


def test_it_is_in_good_health_and_lists_its_tasks(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"
    (task,) = client.get("/v1/tasks").json()["tasks"]
    assert task == client.get("/v1/tasks/toy").json()
    assert (task["target"], task["kind"], task["classes"]) == ("y", "binary", ["no", "yes"])
    assert {c["name"] for c in task["columns"] if c["role"] == "input"} == set(ROW)


def test_a_prediction_has_a_value_and_reasons_that_sum_to_its_score(client: TestClient, store: ModelStore) -> None:
    answer = post(client, ROW | {"who": "anna"}).json()
    assert answer["model"]["model_hash"] == store.champion("toy").model_hash
    (prediction,) = answer["predictions"]
    total = sum(reason["contribution"] for reason in prediction["reasons"])
    assert total == pytest.approx(prediction["score"]["value"], abs=1e-9)
    assert prediction["values"][0]["value"] == pytest.approx(1 / (1 + math.exp(-total)))
    assert (prediction["entity"], prediction["warnings"]) == ("anna", [])


def test_a_row_alone_is_answered_as_in_a_batch(client: TestClient) -> None:
    rows = [ROW | {"wear": i / 7} for i in range(120)]
    batch = post(client, rows).json()["predictions"]
    for i in (0, 60, 119):
        (alone,) = post(client, rows[i]).json()["predictions"]
        assert alone | {"entity": ""} == batch[i] | {"entity": ""}


def test_null_is_a_missing_value_and_an_unknown_category_is_said(client: TestClient) -> None:
    missing = post(client, ROW | {"maker": None}).json()["predictions"][0]
    unknown = post(client, ROW | {"maker": "Atlantis"}).json()["predictions"][0]
    assert missing["values"] == unknown["values"]
    assert missing["warnings"] == []
    assert unknown["warnings"] == ["maker: 'Atlantis' was never seen in training; treated as missing."]


def test_a_time_with_a_zone_is_the_same_moment(client: TestClient) -> None:
    a, b = (post(client, ROW | {"fitted on": t}).json()["predictions"][0] for t in ("2014-05-01T02:00:00+02:00", "2014-05-01"))
    assert a["values"] == b["values"]


WRONG: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "empty"),
    "no json": (b"wear=1", 400, "not JSON"),
    "cut json": (b'{"rows": [', 400, "not JSON"),
    "invalid utf-8": (b'{"rows": [{"wear": "\xff"}]}', 400, "not JSON"),
    "lone surrogate": (b'{"rows": [{"maker": "\\ud800"}]}', 400, "not JSON"),
    "deeply nested": (b"[" * 100_000, 400, "not JSON"),
    "list": (b"[]", 422, "object"),
    "nothing": (b"{}", 422, 'no "rows"'),
    "no rows": (b'{"rows": []}', 422, "/rows"),
    "row is a number": (b'{"rows": [1]}', 422, "/rows/0"),
    "row is empty": (b'{"rows": [{}]}', 422, "is absent"),
    "more than rows": (json.dumps({"rows": [ROW], "seed": 1}).encode(), 422, "/seed"),
    "too many rows": (json.dumps({"rows": [{}] * 1001}).encode(), 422, "/rows"),
}


@pytest.mark.parametrize(("body", "status", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_body_is_refused_with_the_reason(client: TestClient, body: bytes, status: int, said: str) -> None:
    refused(client.post(URL, content=body, headers={"Content-Type": "application/json"}), status, said)


def refused(response: Any, status: int, said: str) -> dict[str, Any]:
    """The problem document of a refusal, checked for its form."""
    problem: dict[str, Any] = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= set(problem)
    assert said in problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wear": "abc"}, "/rows/0/wear"),
        ({"wear": "1.5"}, "/rows/0/wear"),
        ({"wear": True}, "/rows/0/wear"),
        ({"wear": []}, "/rows/0/wear"),
        ({"wear": 1e39}, "/rows/0/wear"),
        ({"wear": 10**400}, "/rows/0/wear"),
        ({"maker": 5}, "/rows/0/maker"),
        ({"maker": "x" * 20_000}, "/rows/0/maker"),
        ({"indoors": 1}, "/rows/0/indoors"),
        ({"fitted on": "soon"}, "/rows/0/fitted on"),
        ({"wera": 1}, "is no column"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(client: TestClient, change: dict[str, Any], said: str) -> None:
    problem = refused(post(client, ROW | change), 422, said)
    assert problem["errors"][0]["pointer"].startswith("/rows/0/")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_that_are_none_are_refused(client: TestClient, literal: str) -> None:
    body = json.dumps({"rows": [ROW | {"wear": 12345}]}).replace("12345", literal)
    refused(client.post(URL, content=body, headers={"Content-Type": "application/json"}), 422, "finite")


def test_an_absent_column_is_named(client: TestClient) -> None:
    row = {name: value for name, value in ROW.items() if name != "maker"}
    assert refused(post(client, row), 422, "is absent")["errors"][0]["pointer"] == "/rows/0/maker"


def test_ten_megabytes_are_refused_with_and_without_a_stated_length(client: TestClient) -> None:
    large = b'{"rows": "' + b"x" * (10 << 20) + b'"}'
    refused(client.post(URL, content=large, headers={"Content-Type": "application/json"}), 413, "larger than")

    def chunks() -> Iterator[bytes]:
        for begin in range(0, len(large), 1 << 16):
            yield large[begin : begin + (1 << 16)]

    refused(client.post(URL, content=chunks(), headers={"Content-Type": "application/json"}), 413, "larger than")
    assert len(large) > MAX_BODY_BYTES


def test_another_content_type_method_or_address_is_refused(client: TestClient) -> None:
    refused(client.post(URL, content=b"{}", headers={"Content-Type": "text/csv"}), 415, "text/csv")
    refused(client.get(URL), 405, "method")
    refused(client.get("/v2/tasks"), 404, "No such address")
    refused(client.get("/v1/tasks/nope"), 404, "no champion")
    refused(client.post("/v1/tasks/nope/predictions", json={"rows": [ROW]}), 404, "no champion")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "rows", "z"]), inner, max_size=6),
    max_leaves=12,
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(body=st.binary(max_size=200) | JSON.map(lambda v: json.dumps({"rows": [v]}).encode()))
def test_no_body_whatever_breaks_it(client: TestClient, body: bytes) -> None:
    assert client.post(URL, content=body, headers={"Content-Type": "application/json"}).status_code < 500


@FUZZ
@given(changes=st.fixed_dictionaries({}, optional=dict.fromkeys(ROW, JSON)))
def test_no_value_whatever_breaks_it(client: TestClient, changes: dict[str, Any]) -> None:
    body = json.dumps({"rows": [ROW | changes]}).encode()
    response = client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 422)
    json.loads(response.content, parse_constant=pytest.fail)


def test_its_description_has_every_task_with_its_columns(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/v1/tasks/toy/predictions"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    rows = document["components"]["schemas"][reference.rsplit("/", 1)[1]]["properties"]["rows"]["items"]["$ref"]
    row = document["components"]["schemas"][rows.rsplit("/", 1)[1]]
    assert set(row["properties"]) == {*ROW, "who"}
    assert set(row["required"]) == set(ROW)
    assert row["additionalProperties"] is False
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert client.post(URL, json=example).status_code == 200
    text = json.dumps(document)
    assert all(f"#/components/schemas/{name}" in text or name for name in document["components"]["schemas"])


def test_its_page_loads_nothing(client: TestClient) -> None:
    page = client.get("/docs")
    assert "/v1/tasks/toy/predictions" in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_new_champion_answers_the_next_request(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    client = TestClient(create_app(store))
    first = post(client, ROW).json()["model"]
    trained(tmp_path, seed=1)
    second = post(client, ROW).json()["model"]
    assert (first["version"], second["version"]) == ("1", "2")
    assert first["model_hash"] != second["model_hash"]


def damage(store: ModelStore, version: str) -> None:
    path = store.folder("toy", version) / "bundle" / "preprocessing.json"
    path.write_bytes(path.read_bytes() + b" ")


def test_a_new_champion_that_is_damaged_leaves_the_old_one_answering(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    client = TestClient(create_app(store))
    assert post(client, ROW).status_code == 200
    run, _ = trained(tmp_path, seed=1)
    damage(store, run.version.version)
    assert post(client, ROW).json()["model"]["version"] == "1"


def test_a_damaged_model_alone_is_a_503_without_internals(tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    damage(store, run.version.version)
    client = TestClient(create_app(store), raise_server_exceptions=False)
    refused(post(client, ROW), 503, "damaged")
    assert str(tmp_path) not in post(client, ROW).text
    assert client.get("/v1/tasks").json() == {"tasks": []}


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds_are_answered_too(tmp_path: Path, kind: Any) -> None:
    _, store = trained(tmp_path, kind)
    (value,) = post(TestClient(create_app(store)), ROW).json()["predictions"][0]["values"]
    if kind == "regression":
        assert value["low"] < value["value"] < value["high"]
    else:
        assert value["value"] in ("low", "mid", "high")
        assert sum(value["probabilities"].values()) == pytest.approx(1)


def test_threads_may_ask_at_once(client: TestClient) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rows = [ROW | {"wear": i / 9} for i in range(24)]
    ask: Callable[[dict[str, Any]], Any] = lambda row: post(client, row).json()["predictions"][0]["receipt"]  # noqa: E731
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, rows)) == [ask(row) for row in rows]
