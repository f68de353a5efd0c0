"""What a hostile client may not get: other files, internals, or a way to fill memory."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app

HOSTILE = ["..%2f..%2fetc", "%2e%2e", "a%00b", "toy%0d%0aX-Evil:1", "x" * 5000, "$(id)", "<script>", "toy/../toy"]


class Failing(ModelStore):
    """A registry that fails in a way nobody foresaw."""

    def champion(self, task: str) -> Any:
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
    response = client.post("/v1/tasks/toy/predictions", json={"rows": []})
    assert response.status_code == 500
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
