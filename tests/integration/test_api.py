"""The API as a backend developer meets it: real models, right answers, and a clear refusal for every wrong body."""

import asyncio
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.trained import trained

from epic22.adapters.model_store import ModelStore
from epic22.api.app import QUICK_BYTES, create_app
from epic22.api.limits import MAX_BODY_BYTES
from epic22.api.model_cache import QUICK_ROWS, RETRY_SECONDS
from epic22.api.problems import Problem
from epic22.api.requests import find_near_name, read_rows
from epic22.api.responses import ExplanationAnswer, Predictions, ProblemAnswer
from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.request_model import RequestModel, build_example_row, build_request_model
from epic22.core.errors import StorageError
from epic22.core.serialization import to_json
from epic22.core.task import Column
from epic22.reports.json import VIEWS, VersionedExplanation

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


@pytest.fixture
def copied(store: ModelStore, tmp_path: Path) -> ModelStore:
    """A store of a test's own, to be damaged."""
    shutil.copytree(store.root, tmp_path / "models")
    return ModelStore(tmp_path / "models")


JSON_BODY = {"Content-Type": "application/json"}


def send(client: TestClient, body: bytes) -> Any:
    return client.post(URL, content=body, headers=JSON_BODY)


def post(client: TestClient, row: dict[str, Any] | list[dict[str, Any]]) -> Any:
    return client.post(URL, json={"rows": row if isinstance(row, list) else [row]})


def test_it_is_in_good_health_and_lists_its_tasks(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"
    (task,) = client.get("/v1/tasks").json()["tasks"]
    assert task == client.get("/v1/tasks/toy").json()
    assert (task["target"], task["kind"], task["classes"]) == ("y", "binary", ["no", "yes"])
    assert {c["name"] for c in task["columns"] if c["role"] == "input"} == set(ROW)


def test_health_is_told_to_a_monitor_that_asks_for_the_head_alone(client: TestClient) -> None:
    answer = client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "head" not in client.get("/openapi.json").json()["paths"]["/health"]


def test_a_prediction_has_a_value_and_reasons_that_sum_to_its_score(client: TestClient, store: ModelStore) -> None:
    answer = post(client, ROW | {"who": "anna"}).json()
    assert answer["model"]["model_hash"] == store.champion("toy").model_hash
    (prediction,) = answer["predictions"]
    total = sum(reason["contribution"] for reason in prediction["reasons"])
    assert total == pytest.approx(prediction["score"]["value"], abs=1e-9)
    assert prediction["values"][0]["value"] == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-9)
    assert (prediction["entity"], prediction["warnings"]) == ("anna", [])


def test_an_answer_is_what_the_description_says_and_no_more(client: TestClient) -> None:
    answer = post(client, ROW).json()
    Predictions.model_validate(answer)
    assert list(answer) == ["task", "model", "predictions"]
    assert list(answer["model"]) == ["family", "version", "model_hash", "status"]
    (prediction,) = answer["predictions"]
    assert list(prediction) == ["entity", "at", "values", "score", "reasons", "receipt", "warnings"]
    assert list(prediction["values"][0]) == ["target", "horizon", "value", "low", "high", "set"]


@pytest.mark.parametrize(
    ("who", "entity"),
    [("anna", "anna"), ("0042", "0042"), (12345, "12345"), (2**53 + 1, "9007199254740993"), (5.5, "5.5"), (None, "1")],
)
def test_an_id_comes_back_as_it_was_given(client: TestClient, who: Any, entity: str) -> None:
    assert post(client, ROW | {"who": who}).json()["predictions"][0]["entity"] == entity


def test_a_row_alone_is_answered_as_in_a_batch(client: TestClient) -> None:
    rows = [ROW | {"wear": i / 7} for i in range(120)]
    batch = post(client, rows).json()["predictions"]
    assert len(rows) > QUICK_ROWS
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


def test_rows_of_a_large_body_are_answered_alike(client: TestClient) -> None:
    rows = [ROW | {"who": f"{i} {'x' * 900}"} for i in range(40)]
    assert len(json.dumps(rows)) > QUICK_BYTES
    answers = post(client, rows).json()["predictions"]
    assert [a["entity"] for a in answers] == [row["who"] for row in rows]
    assert {a["receipt"] for a in answers} == {post(client, ROW).json()["predictions"][0]["receipt"]}


WRONG: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "empty"),
    "no json": (b"wear=1", 400, "not JSON"),
    "cut json": (b'{"rows": [', 400, "not JSON"),
    "invalid utf-8": (b'{"rows": [{"wear": "\xff"}]}', 400, "not JSON"),
    "lone surrogate": (b'{"rows": [{"maker": "\\ud800"}]}', 400, "not JSON"),
    "deeply nested": (b"[" * 100_000, 400, "not JSON"),
    "utf-16": (json.dumps({"rows": [ROW]}).encode("utf-16"), 400, "UTF-8"),
    "hidden surrogate": ('{"rows": [{"maker": "\\udfff"}]}'.encode("utf-16"), 400, "not JSON"),
    "surrogate name": (b'{"rows": [{"\\uDBFF": 1}]}', 400, "not JSON"),
    "nested objects": (b'{"rows":' * 50_000, 400, "not JSON"),
    "many digits": (b'{"rows": [{"wear": ' + b"9" * 5000 + b"}]}", 400, "too many digits"),
    "two bodies": (json.dumps({"rows": [ROW]}).encode() * 2, 400, "not JSON"),
    "null": (b"null", 422, "null, not an object"),
    "nan": (b"NaN", 422, "NaN, not an object"),
    "rows twice": (b'{"rows": [], "rows": [{}]}', 422, "/rows: is given twice"),
    "name twice": (b'{"rows": [{"wear": 1, "wear": 2}]}', 422, "/rows/0/wear: is given twice"),
    "rows is an object": (b'{"rows": {}}', 422, "/rows: must be a list"),
    "many objects": (b'{"rows": [' + b"{}," * 300_000 + b"{}]}", 422, "1,000 rows"),
    "many names": (json.dumps({"rows": [{f"k{i}": 0 for i in range(50_000)}]}).encode(), 422, "50,000 names"),
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
    refused(client.post(URL, content=body, headers=JSON_BODY), status, said)


def refused(response: Any, status: int, said: str) -> dict[str, Any]:
    """The problem document of a refusal, checked for its form."""
    problem: dict[str, Any] = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert ProblemAnswer.model_validate(problem).model_dump(exclude_none=True) == problem
    assert problem["type"].startswith("urn:epic22:problem:")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(response.content) < 20_000
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
        ({"maker": "a\x00" * 20_000}, "/rows/0/maker"),
        ({"indoors": 1}, "must be true or false, not 1"),
        ({"fitted on": "soon"}, "/rows/0/fitted on"),
        ({"fitted on": 5}, "must be a time such as"),
        ({"fitted on": "1398902400"}, "must be a time such as"),
        ({"fitted on": "2014-02-30"}, "must be a time such as"),
        ({"fitted on": "0001-01-01T00:00:00+14:00"}, "must be a time such as"),
        ({"fitted on": "9999-12-31T23:59:59-12:00"}, "must be a time such as"),
        ({"who": [1]}, "/rows/0/who: must be a text"),
        ({"who": True}, "/rows/0/who: must be a text"),
        ({"who": 10**400}, "/rows/0/who: must be a text"),
        ({"wera": 1}, "is no column of this task; did you mean 'wear'?"),
        ({"WEAR": 1}, "is no column of this task; did you mean 'wear'?"),
        ({"k" * 100_000: 1}, "is no column of this task"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(client: TestClient, change: dict[str, Any], said: str) -> None:
    problem = refused(post(client, ROW | change), 422, said)
    assert problem["errors"][0]["pointer"].startswith("/rows/0/")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_numbers_that_are_none_are_refused(client: TestClient, literal: str) -> None:
    body = json.dumps({"rows": [ROW | {"wear": 12345}]}).replace("12345", literal)
    refused(client.post(URL, content=body, headers=JSON_BODY), 422, "finite")


def test_nan_is_named_by_its_place_in_any_column(client: TestClient) -> None:
    for name in ROW:
        problem = refused(send(client, json.dumps({"rows": [ROW, ROW | {name: math.nan}]}).encode()), 422, "finite")
        assert [error["pointer"] for error in problem["errors"]] == [f"/rows/1/{name.replace('/', '~1')}"]


def test_all_wrong_rows_are_named_up_to_twenty(client: TestClient) -> None:
    problem = refused(post(client, [ROW, ROW | {"wear": "x"}, 7, ROW | {"maker": 1}]), 422, "and 2 more")  # type: ignore[list-item]
    assert [e["pointer"] for e in problem["errors"]] == ["/rows/1/wear", "/rows/2", "/rows/3/maker"]
    assert len(refused(post(client, [{}] * 1000), 422, "is absent")["errors"]) == 20


def bounded() -> Schema:
    columns = (
        Column("age", "int", low=0, high=120),
        Column("rent", "float", low=100),
        Column("note", "text", optional=True),
        Column("a/b~c", "float", optional=True),
        Column("month", "time", role="time"),
    )
    return Schema("lease", "", "leaves", columns, "binary", ("no", "yes"), None, None)


def ask(row: dict[str, Any]) -> list[dict[str, Any]]:
    return read_rows(build_request_model(bounded()), json.dumps({"rows": [row]}).encode())


def test_bounds_and_optional_columns_are_kept_to() -> None:
    assert ask({"age": 5, "rent": None}) == [{"age": 5.0, "rent": None, "note": None, "a/b~c": None, "month": None}]
    for row, said in (
        ({"age": -1, "rent": 100}, "/rows/0/age: must be at least 0, not -1."),
        ({"age": 121, "rent": 100}, "/rows/0/age: must be at most 120, not 121."),
        ({"age": 5, "rent": 99.5}, "/rows/0/rent: must be at least 100, not 99.5."),
        ({"age": 5, "rent": 100, "a/b~c": "x"}, "/rows/0/a~1b~0c: must be a number, not the text 'x'."),
    ):
        with pytest.raises(Problem) as refusal:
            ask(row)
        assert refusal.value.detail == said


def test_the_example_of_a_description_fits_its_bounds() -> None:
    for column in bounded().columns:
        assert ask({"age": 1, "rent": 100} | dict(build_example_row((column,))))


def test_an_absent_column_is_named(client: TestClient) -> None:
    row = {name: value for name, value in ROW.items() if name != "maker"}
    assert refused(post(client, row), 422, "is absent")["errors"][0]["pointer"] == "/rows/0/maker"


def test_ten_megabytes_are_refused_with_and_without_a_stated_length(client: TestClient) -> None:
    large = b'{"rows": "' + b"x" * (10 << 20) + b'"}'
    refused(client.post(URL, content=large, headers=JSON_BODY), 413, "larger than")

    def chunks() -> Iterator[bytes]:
        for begin in range(0, len(large), 1 << 16):
            yield large[begin : begin + (1 << 16)]

    refused(client.post(URL, content=chunks(), headers=JSON_BODY), 413, "larger than")
    assert len(large) > MAX_BODY_BYTES


def test_another_content_type_method_or_address_is_refused(client: TestClient) -> None:
    refused(client.post(URL, content=b"{}", headers={"Content-Type": "text/csv"}), 415, "text/csv")
    refused(client.post(URL, content=b"{}"), 415, "not given")
    assert client.post(URL, json={"rows": [ROW]}, headers={"Content-Type": "application/json; charset=utf-8"}).status_code == 200
    refused(client.get("/v1/tasks/", follow_redirects=False), 404, "No such address")
    refused(client.get(URL), 405, "GET does not work here; use POST.")
    refused(client.delete("/health"), 405, "DELETE does not work here; use GET.")
    refused(client.get("/v2/tasks"), 404, "No such address")
    refused(client.get("/v1/tasks/nope"), 404, "The task is not known; GET /v1/tasks lists")
    refused(client.post("/v1/tasks/nope/predictions", json={"rows": [ROW]}), 404, "The task is not known; GET /v1/tasks lists")


def test_a_client_that_hangs_up_is_not_our_mistake(store: ModelStore) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def keep(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": URL, "raw_path": URL.encode(), "query_string": b"", "headers": headers}
    asyncio.run(create_app(store)(scope, receive, keep))
    assert sent[0]["status"] == 400


TEXT = st.text(st.characters(), max_size=20)  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT | st.datetimes(timezones=st.timezones()).map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "rows"]) | TEXT, inner, max_size=6),
    max_leaves=12,
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@FUZZ
@given(body=st.binary(max_size=200) | JSON.map(lambda v: json.dumps({"rows": [v]}).encode()))
def test_no_body_whatever_breaks_it(client: TestClient, body: bytes) -> None:
    assert client.post(URL, content=body, headers=JSON_BODY).status_code < 500


@pytest.mark.slow
@FUZZ
@given(changes=st.fixed_dictionaries({}, optional=dict.fromkeys(ROW, JSON)))
def test_no_value_whatever_breaks_it(client: TestClient, changes: dict[str, Any]) -> None:
    body = json.dumps({"rows": [ROW | changes]}).encode()
    response = client.post(URL, content=body, headers=JSON_BODY)
    assert response.status_code in (200, 400, 422)
    answer = json.loads(response.content, parse_constant=pytest.fail)
    for prediction in answer.get("predictions", ()):
        total, score = sum(r["contribution"] for r in prediction["reasons"]), prediction["score"]["value"]
        assert total == pytest.approx(score, rel=1e-9, abs=1e-9)
        assert 0 <= prediction["values"][0]["value"] <= 1


def test_an_explanation_is_answered_as_described_and_its_lack_is_a_problem(copied: ModelStore) -> None:
    run, _ = trained(copied.root.parent / "again")
    assert run.explanation is not None
    with TestClient(create_app(copied), raise_server_exceptions=False) as client:
        missing = client.get("/v1/tasks/toy/explanation")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
        assert "has no explanation" in missing.json()["detail"]
        champion = copied.champion("toy")
        copied.save_explanation("toy", champion.version, to_json(VersionedExplanation(champion, run.explanation), VIEWS))
        answer = client.get("/v1/tasks/toy/explanation")
        assert ExplanationAnswer.model_validate_json(answer.content).model_dump() == answer.json()
        assert answer.json()["columns"][0]["column"] in ROW
        days = {shape["column"]: shape for shape in answer.json()["dependence"]}["fitted on"]["marks"]
        assert all(re.fullmatch(r"20[12]\d-\d\d-\d\d", mark[end]) for mark in days for end in ("low", "middle", "high"))
        (copied.folder("toy", champion.version) / "explanation.json").write_text("{")
        assert client.get("/v1/tasks/toy/explanation").status_code == 503
        assert client.get("/v1/tasks/nothing/explanation").status_code == 404
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ModelStore, "load_explanation", _say_that_it_is_away)
            away = client.get("/v1/tasks/toy/explanation")
        assert (away.status_code, "10.0.0.7" in away.text) == (503, False)
        described = client.get("/openapi.json").json()["paths"]["/v1/tasks/{task}/explanation"]["get"]
        assert set(described["responses"]) == {"200", "404", "503"}


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
    assert set(operation["responses"]) == {"200", "400", "404", "413", "415", "422", "503"}


def _say_that_it_is_away(*_: object) -> None:
    raise StorageError("EPIC22_DATABASE_URL: no connection to db.internal/epic22: server at 10.0.0.7, port 5432 failed.")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        yield from (found for value in node.values() for found in references(value))
    elif isinstance(node, list):
        yield from (found for value in node for found in references(value))


def test_its_description_is_whole(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= named
    assert "HTTPValidationError" not in json.dumps(document)
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] and operation["responses"]["200"] for operation in operations)


def test_its_page_loads_nothing(client: TestClient) -> None:
    page = client.get("/docs")
    assert "/v1/tasks/toy/predictions" in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_its_page_names_each_task_above_its_columns_and_sets_names_as_code(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "<h2>toy: Predict" in page
    assert "<code>null</code> is a missing value" in page
    assert "`" not in page.partition("<table>")[0]


@pytest.mark.slow
def test_a_new_champion_answers_the_next_request(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    client = TestClient(create_app(store))
    first = post(client, ROW).json()["model"]
    trained(tmp_path, seed=1)
    second = post(client, ROW).json()["model"]
    assert (first["version"], second["version"]) == ("1", "2")
    assert first["model_hash"] != second["model_hash"]


def again(store: ModelStore) -> str:
    """The champion's bundle, registered and promoted once more."""
    first = store.champion("toy")
    bundle = store.folder("toy", first.version) / "bundle"
    version = store.save("toy", first.family, first.model_hash, first.data_version, first.status, bundle).version
    store.promote("toy", version, [])
    return version


def alter_part(store: ModelStore, version: str) -> None:
    path = store.folder("toy", version) / "bundle" / "preprocessing.json"
    path.write_bytes(path.read_bytes() + b" ")


def alter_manifest(store: ModelStore, version: str) -> None:
    path = store.folder("toy", version) / "bundle" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps(manifest | {"files": dict.fromkeys(manifest["files"], 5)}))


def cut_version(store: ModelStore, version: str) -> None:
    (store.folder("toy", version) / "version.json").write_text("{}")


def remove_version(store: ModelStore, version: str) -> None:
    shutil.rmtree(store.folder("toy", version))


def cut_pointer(store: ModelStore, version: str) -> None:
    (store.root / "toy" / "champion.json").write_text('{"version"')


def empty_pointer(store: ModelStore, version: str) -> None:
    (store.root / "toy" / "champion.json").write_text("[]")


DAMAGES = [alter_part, alter_manifest, cut_version, remove_version, cut_pointer, empty_pointer]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_new_champion_that_is_damaged_leaves_the_old_one_answering(copied: ModelStore, damage: Any) -> None:
    client = TestClient(create_app(copied))
    assert post(client, ROW).status_code == 200
    damage(copied, again(copied))
    with capture_logs() as logs:
        assert post(client, ROW).json()["model"]["version"] == "1"
    assert [(entry["log_level"], entry["task"], entry["still_serving"]) for entry in logs] == [("error", "toy", "1")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_alone_is_a_503_without_internals(copied: ModelStore, damage: Any) -> None:
    damage(copied, "1")
    client = TestClient(create_app(copied), raise_server_exceptions=False)
    with capture_logs() as logs:
        response = post(client, ROW)
    refused(response, 503, "damaged")
    assert str(copied.root) not in response.text
    assert logs[0]["event"] == "champion not opened"
    assert client.get("/v1/tasks").json() == {"tasks": []}
    assert client.get("/openapi.json").status_code == client.get("/health").status_code == 200


def test_a_damaged_model_is_not_opened_at_every_request_and_answers_once_it_is_mended(
    copied: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied.folder("toy", "1") / "bundle" / "preprocessing.json"
    sound = path.read_bytes()
    alter_part(copied, "1")
    client = TestClient(create_app(copied), raise_server_exceptions=False)
    with capture_logs() as logs:
        assert {post(client, ROW).status_code for _ in range(5)} == {503}
    assert len(logs) == 1
    path.write_bytes(sound)
    later = monotonic() + 2 * RETRY_SECONDS
    monkeypatch.setattr("epic22.api.model_cache.monotonic", lambda: later)
    assert post(client, ROW).status_code == 200


def test_a_task_that_is_withdrawn_is_gone(copied: ModelStore) -> None:
    client = TestClient(create_app(copied))
    assert post(client, ROW).status_code == 200
    (copied.root / "toy" / "champion.json").unlink()
    refused(post(client, ROW), 404, "The task is not known; GET /v1/tasks lists")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds_are_answered_too(tmp_path: Path, kind: Any) -> None:
    _, store = trained(tmp_path, kind)
    (value,) = post(TestClient(create_app(store)), ROW).json()["predictions"][0]["values"]
    if kind == "regression":
        assert value["low"] < value["value"] < value["high"]
    else:
        assert value["value"] in ("low", "mid", "high")
        assert sum(value["probabilities"].values()) == pytest.approx(1)
        assert set(value["set"]) <= {"low", "mid", "high"}
        assert value["set"]


def test_threads_may_ask_at_once(client: TestClient) -> None:
    rows = [ROW | {"wear": i / 9} for i in range(24)]
    ask: Callable[[dict[str, Any]], Any] = lambda row: post(client, row).json()["predictions"][0]["receipt"]  # noqa: E731
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, rows)) == [ask(row) for row in rows]


def build_sensors(n: int) -> RequestModel:
    columns = tuple(Column(f"sensor_temperature_{i:03d}", "float", optional=True) for i in range(n))
    return build_request_model(Schema("plant", "", "fails", columns, "binary", ("no", "yes"), None, None))


def test_a_misspelt_name_is_answered_with_the_column_that_is_meant_among_many_alike() -> None:
    names = [column.name for column in build_sensors(300).columns]
    assert find_near_name("sensr_temperature_217", names) == "sensor_temperature_217"
    assert find_near_name("temperature_217", names) == "sensor_temperature_217"
    assert find_near_name("rent", names) is None
    assert find_near_name("n" * 10_000, ["n" * 120, "m" * 120]) == "n" * 120


def test_few_unknown_names_of_a_body_are_looked_for_however_many_rows_and_columns_there_are() -> None:
    body = build_sensors(300)
    for rows in ([{f"sensr_temperature_{i:03d}": 1 for i in range(100)}], [{f"sensr_temperature_{i:03d}": 1} for i in range(50)]):
        with pytest.raises(Problem, match="did you mean 'sensor_temperature_") as refusal:
            read_rows(body, json.dumps({"rows": rows}).encode())
        assert len(refusal.value.errors) == 20
        assert sum("did you mean" in what for _, what in refusal.value.errors) <= 3
