"""One task's fault stays one task's: its old model answers, `/health` names it, and what a request may cost is bounded first."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.api.model_cache import RETRY_SECONDS
from epic22.core.artifact.model import Model
from epic22.core.artifact.request_model import MAX_SERIES, MAX_TOTAL_VALUES, MAX_VALUES
from epic22.core.artifact.sealed import MANIFEST
from epic22.core.lineage import canonical_json, sha256

BUNDLES = Path(__file__).parents[1] / "golden" / "bundles"
JSON_BODY = {"Content-Type": "application/json"}
ROWS = json.loads(zipfile.ZipFile(BUNDLES / "ensemble.zip").read("rows.json"))


@pytest.fixture(autouse=True)
def wait_for_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is waited for: no test here is of how long that takes."""
    monkeypatch.setattr("epic22.api.app.HEALTH_SECONDS", 60.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Two tasks of an earlier version: an ensemble of rows, `one`, and a panel, `rents`."""
    for name in ("ensemble", "panel"):
        with zipfile.ZipFile(BUNDLES / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
        shutil.copytree(tmp_path / name / "home" / "models", tmp_path / "models", dirs_exist_ok=True)
    return ModelStore(tmp_path / "models")


def connect(store: ModelStore) -> TestClient:
    return TestClient(create_app(store), raise_server_exceptions=False)


def predict(client: TestClient, rows: list[dict[str, Any]], task: str = "rents") -> Any:
    return client.post(f"/v1/tasks/{task}/predictions", json={"rows": rows})


def ask_ensemble(client: TestClient) -> Any:
    rows = ROWS["rows"] if isinstance(ROWS, dict) else ROWS
    return predict(client, rows[:1], "one")


def add_version(store: ModelStore, alter: Callable[[Path], None]) -> Path:
    """A second version of the ensemble, altered and promoted."""
    first = store.champion("one")
    bundle = store.folder("one", "1") / "bundle"
    version = store.save("one", first.family, first.model_hash, first.data_version, first.status, bundle)
    place = store.folder("one", version.version) / "bundle"
    alter(place)
    (store.root / "one" / "champion.json").write_text(json.dumps({"version": version.version}))
    return place


def mend_hashes(bundle: Path) -> None:
    """The manifest as if its files had always been these."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    del manifest["seal"]
    for name, entry in manifest["files"].items():
        content = (bundle / name).read_bytes()
        entry |= {"sha256": sha256(content), "bytes": len(content)}
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"seal": sha256(canonical_json(manifest))}))


def name_unknown_member(bundle: Path) -> None:
    path = bundle / "model" / "ensemble.json"
    state = json.loads(path.read_bytes())
    state["members"][0]["family"] = "oracle"
    path.write_text(json.dumps(state))
    mend_hashes(bundle)


def cut_booster(bundle: Path) -> None:
    path = next((bundle / "model").rglob("booster.ubj"))
    path.write_bytes(path.read_bytes()[:1000])
    mend_hashes(bundle)


def nest_preprocessing(bundle: Path) -> None:
    (bundle / "preprocessing.json").write_text("[" * 100_000 + "]" * 100_000)
    mend_hashes(bundle)


def list_members_as_numbers(bundle: Path) -> None:
    (bundle / "model" / "ensemble.json").write_text('{"kind": "binary", "members": [1, 2]}')
    mend_hashes(bundle)


def name_two_offsets(bundle: Path) -> None:
    """What no golden row asks for, and every answer does."""
    path = bundle / MANIFEST
    manifest = json.loads(path.read_bytes())
    manifest["schema"]["exposure"] = []
    path.write_text(json.dumps(manifest))
    mend_hashes(bundle)


def drop_golden_rows(bundle: Path) -> None:
    (bundle / "golden.json").write_text('{"rows": [], "raw": "no numbers"}')
    mend_hashes(bundle)


def remove_file(bundle: Path) -> None:
    (bundle / "preprocessing.json").unlink()


def replace_with_folder(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    (bundle / MANIFEST).mkdir()


DAMAGES = [
    name_unknown_member,
    cut_booster,
    nest_preprocessing,
    list_members_as_numbers,
    drop_golden_rows,
    name_two_offsets,
    remove_file,
    replace_with_folder,
]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_fails_to_open_keeps_the_old_model_and_is_named_in_health(
    store: ModelStore, damage: Callable[[Path], None]
) -> None:
    client = connect(store)
    assert ask_ensemble(client).json()["model"]["version"] == "1"
    assert client.get("/health").json() == {**client.get("/health").json(), "status": "ok", "tasks": 2, "degraded": []}
    add_version(store, damage)
    health = client.get("/health").json()
    assert (health["status"], health["tasks"]) == ("degraded", 2)
    assert health["degraded"] == [{"task": "one", "reason": "model-unreadable", "serving": "1"}]
    assert ask_ensemble(client).json()["model"]["version"] == "1"
    assert [task["task"] for task in client.get("/v1/tasks").json()["tasks"]] == ["one", "rents"]
    assert "/v1/tasks/one/predictions" in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_that_never_opened_is_a_503_of_its_own_task_alone(store: ModelStore, damage: Callable[[Path], None]) -> None:
    add_version(store, damage)
    client = connect(store)
    health = client.get("/health")
    assert health.status_code == 200
    assert health.json()["degraded"] == [{"task": "one", "reason": "model-unreadable", "serving": None}]
    assert str(store.root) not in health.text
    refusal = ask_ensemble(client)
    assert refusal.status_code == 503
    assert str(store.root) not in refusal.text
    assert [task["task"] for task in client.get("/v1/tasks").json()["tasks"]] == ["rents"]
    assert "/v1/tasks/rents/predictions" in client.get("/openapi.json").json()["paths"]
    assert predict(client, [{"series": client.get("/v1/tasks/rents").json()["task"]}]).status_code == 422


@pytest.mark.parametrize("pointer", ["", "{", "[1]", '{"version": "9"}', '{"version": "../one"}', '{"version": null}', "\x00"])
def test_a_damaged_pointer_keeps_the_old_model_and_is_named_in_health(store: ModelStore, pointer: str) -> None:
    client = connect(store)
    assert ask_ensemble(client).status_code == 200
    (store.root / "one" / "champion.json").write_text(pointer)
    health = client.get("/health").json()
    assert health["degraded"] == [{"task": "one", "reason": "pointer-unreadable", "serving": "1"}]
    assert ask_ensemble(client).json()["model"]["version"] == "1"
    assert len(client.get("/v1/tasks").json()["tasks"]) == 2


def test_a_registry_that_can_no_longer_be_read_leaves_what_is_open_answering_and_is_said(store: ModelStore) -> None:
    client = connect(store)
    assert ask_ensemble(client).status_code == 200
    store.root.rename(store.root.with_name("away"))
    store.root.symlink_to(store.root)
    health = client.get("/health").json()
    assert (health["status"], health["tasks"]) == ("degraded", 1)
    assert health["degraded"] == [{"task": "one", "reason": "pointer-unreadable", "serving": "1"}]
    assert ask_ensemble(client).json()["model"]["version"] == "1"
    assert [task["task"] for task in client.get("/v1/tasks").json()["tasks"]] == ["one"]
    assert "/v1/tasks/one/predictions" in client.get("/openapi.json").json()["paths"]
    newly_started = connect(store).get("/health").json()
    assert (newly_started["status"], newly_started["tasks"]) == ("degraded", 0)


def test_a_model_that_is_mended_is_no_longer_degraded(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    place = add_version(store, remove_file)
    client = connect(store)
    assert client.get("/health").json()["status"] == "degraded"
    shutil.copy(store.folder("one", "1") / "bundle" / "preprocessing.json", place)
    later = monotonic() + 2 * RETRY_SECONDS
    monkeypatch.setattr("epic22.api.model_cache.monotonic", lambda: later)
    client.get("/health")
    assert ask_ensemble(client).json()["model"]["version"] == "2"
    assert client.get("/health").json()["degraded"] == []


def test_a_model_that_is_slow_to_open_keeps_nobody_waiting_and_is_said(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, load = Event(), ModelStore.load

    def load_slowly(self: ModelStore, task: str, version: str | None = None) -> Model:
        if task == "one":
            opened.wait(60)
        return load(self, task, version)

    monkeypatch.setattr(ModelStore, "load", load_slowly)
    monkeypatch.setattr("epic22.api.app.HEALTH_SECONDS", 0.05)
    client = connect(store)
    states = {task["task"]: task["reason"] for task in client.get("/health").json()["degraded"]}
    assert states["one"] == "model-opening"
    assert client.get("/v1/tasks/rents").status_code == 200, "no other task waits"
    opened.set()
    assert ask_ensemble(client).status_code == 200
    assert client.get("/health").json()["status"] == "ok"


class Panic(BaseException):
    """What a library in Rust raises where it meets a bug of its own: no Exception."""


def test_a_panic_of_a_library_is_a_failure_to_open_too(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> Model:
        raise Panic("called `Result::unwrap()` on an `Err` value")

    client = connect(store)
    assert ask_ensemble(client).status_code == 200
    add_version(store, lambda place: None)
    monkeypatch.setattr("epic22.adapters.model_store.open_model", panic)
    with capture_logs() as logs:
        assert ask_ensemble(client).json()["model"]["version"] == "1"
    assert "Panic" in logs[0]["reason"]


SERIES = {"series": "new", "values": [1.0 + i for i in range(24)]}


@pytest.mark.parametrize(
    ("rows", "place", "limit"),
    [
        ([SERIES] * (MAX_SERIES + 1), "/rows: ", "send 1 to 100"),
        ([SERIES | {"values": [1.0] * (MAX_VALUES + 1)}], "/rows/0/values: ", "at most 2,000 values"),
        ([SERIES | {"values": [1.0] * 1000}] * 11, "/rows/10/values: ", f"more than {MAX_TOTAL_VALUES:,} values"),
        ([SERIES | {"last": "0002-01-01"}, SERIES | {"last": "9990-01-01"}], "row", "last"),
        ([SERIES | {"last": "9999-12-31"}], "/rows/0/last: last lies", "years 2 to 9998"),
        ([SERIES | {"last": "0001-01-01"}], "/rows/0/last: last lies", "years 2 to 9998"),
        ([SERIES | {"last": "9999-12-31T23:59:59-12:00"}], "last", "9998"),
        ([SERIES | {"last": "+12345-01-01"}], "/rows/0/last", "time"),
    ],
)
def test_what_a_panel_request_may_cost_is_bounded_by_field_and_limit(
    store: ModelStore, rows: list[dict[str, Any]], place: str, limit: str
) -> None:
    client = connect(store)
    refusal = predict(client, rows)
    assert refusal.status_code == 422, refusal.text
    assert place in refusal.json()["detail"]
    assert limit in refusal.json()["detail"]


@pytest.mark.parametrize("task", ["one", "rents"])
def test_a_column_that_is_said_to_be_optional_may_be_left_out_and_no_other(store: ModelStore, task: str) -> None:
    client = connect(store)
    columns = client.get(f"/v1/tasks/{task}").json()["columns"]
    required = {column["name"] for column in columns if not column["optional"]}
    refusal = predict(client, [{}], task).json()
    assert {error["pointer"] for error in refusal["errors"]} == {f"/rows/0/{name}" for name in required}
    assert "series" in required or task == "one"
    no_null = "send it with every row" if task == "rents" else "send null where the value is missing"
    assert no_null in refusal["errors"][0]["detail"]


def test_the_limits_of_a_panel_are_those_of_its_description(store: ModelStore) -> None:
    document = connect(store).get("/openapi.json").json()
    rows = document["components"]["schemas"]["rents-rows"]["properties"]["rows"]
    assert rows["maxItems"] == MAX_SERIES
    assert f"{MAX_TOTAL_VALUES:,}" in rows["description"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"\xff\xfe{}", 400, "no UTF-8"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"rows": [{"series": "a", "values": [NaN, 1, 2]}]}', 422, "finite"),
        (b'{"rows": [{"series": "a", "values": [Infinity, 1, 2]}]}', 422, "finite"),
        (b'{"rows": [{"series": "a", "values": [1e999, 1, 2]}]}', 422, "finite"),
        (b'{"rows": [{"series": "a", "series": "b"}]}', 422, "given twice"),
        (b'{"rows": [], "rows": []}', 422, "given twice"),
        (b'{"rows": [{"series": "a", "last": 1e18}]}', 422, "must be a time"),
        (b'{"rows": [{"series": "\\ud800"}]}', 400, "no UTF-8"),
        (b'{"rows": [{"series": ' + b"9" * 5000 + b"}]}", 400, "too many digits"),
        (b'{"rows": {"length": 1000000000}}', 422, "must be a list"),
    ],
)
def test_a_body_made_to_break_it_is_refused_in_a_sentence(store: ModelStore, body: bytes, status: int, said: str) -> None:
    answer = connect(store).post("/v1/tasks/rents/predictions", content=body, headers=JSON_BODY)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


@pytest.mark.slow
def test_a_compressed_body_is_refused_and_never_unpacked(store: ModelStore) -> None:
    bomb = gzip.compress(b"[" * (64 << 20))
    headers = JSON_BODY | {"Content-Encoding": "gzip"}
    answer = connect(store).post("/v1/tasks/rents/predictions", content=bomb, headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding" in answer.json()["detail"]


def test_a_task_name_of_any_length_is_not_known(store: ModelStore) -> None:
    client = connect(store)
    assert client.get(f"/v1/tasks/{'a' * 60_000}").status_code == 404
    assert client.get("/v1/tasks/%00%ff%2e%2e").status_code == 404
