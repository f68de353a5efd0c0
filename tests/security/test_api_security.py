"""What a hostile client may not get: other files, internals, or a way to fill memory."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.api.problems import Problem
from epic22.api.requests import read_rows
from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.request_model import build_request_model
from epic22.core.task import Column

HOSTILE = ["..%2f..%2fetc", "%2e%2e", "a%00b", "toy%0d%0aX-Evil:1", "x" * 5000, "$(id)", "<script>", "toy/../toy"]


class Failing(ModelStore):
    """A registry that fails in a way nobody foresaw."""

    def list_tasks(self) -> Any:
        raise ZeroDivisionError("secret inner matter /etc/passwd")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_task_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    client = TestClient(create_app(ModelStore(tmp_path / "models")), raise_server_exceptions=False)
    for response in (client.get(f"/v1/tasks/{name}"), client.post(f"/v1/tasks/{name}/predictions", json={"rows": []})):
        assert response.status_code in (404, 405)
        assert "X-Evil" not in response.headers
        assert str(tmp_path) not in response.text
        assert len(response.content) < 2000


def test_an_unforeseen_error_shows_a_number_and_nothing_else(tmp_path: Path) -> None:
    client = TestClient(create_app(Failing(tmp_path)), raise_server_exceptions=False)
    with capture_logs() as logs:
        response = client.get("/v1/tasks")
    assert response.status_code == 500
    assert logs[0]["error_id"] in response.json()["detail"]
    assert logs[0]["kind"] == "ZeroDivisionError"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-type"] == "application/problem+json"
    assert "number" in response.json()["detail"]
    for inner in ("secret", "passwd", "Zero", "Traceback"):
        assert inner not in response.text


def test_answers_forbid_sniffing_framing_and_storing(tmp_path: Path) -> None:
    client = TestClient(create_app(ModelStore(tmp_path)))
    headers = client.get("/v1/tasks/none").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_no_refusal_names_a_place_on_the_server_or_a_header_of_the_client(tmp_path: Path) -> None:
    (tmp_path / "models" / "toy").mkdir(parents=True)
    (tmp_path / "models" / "toy" / "champion.json").write_text("{")
    client = TestClient(create_app(ModelStore(tmp_path / "models")), raise_server_exceptions=False, follow_redirects=False)
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Referer": "https://evil.example"}
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        for path in ("/", "/docs/", "/v1/tasks/", "/v1/tasks/toy", "/v1/tasks/toy/predictions", "/v1/tasks/toy/predictions/"):
            response = client.request(method, path, content=b"\xff", headers=headers)
            assert response.status_code in (404, 405, 415, 503)
            assert response.headers["content-type"] == "application/problem+json"
            for inner in (str(tmp_path), "site-packages", "evil.example", 'File "'):
                assert inner not in response.text + str(response.headers)


@pytest.mark.parametrize(
    "unit", [b"[", b'{"rows":', b'{"a":[', b'"\\ud800', b"1e9", b"\xf0\x9f", b"-", b"9" * 5000, b"\x00", b"/*"]
)
def test_a_megabyte_of_anything_is_refused_by_a_short_sentence(tmp_path: Path, unit: bytes) -> None:
    body = build_request_model(Schema("t", "", "y", (Column("x", "float"),), "binary", ("no", "yes"), None, None))
    for content in (unit * (1_000_000 // len(unit)), b'{"rows": [{"x": "' + unit * (1_000_000 // len(unit)) + b'"}]}'):
        with pytest.raises(Problem) as refusal:
            read_rows(body, content)
        assert refusal.value.status in (400, 422)
        assert len(refusal.value.detail) < 300
