"""A real server while one of its tasks is slow, broken or told to stop: the others are answered."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]
BUNDLES = Path(__file__).parents[1] / "golden" / "bundles"
LONG = {"rows": [{"series": f"new {i}", "values": [100.0 + i + j % 7 for j in range(60)]} for i in range(12)]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two tasks of an earlier version: an ensemble of rows, `one`, and a panel, `rents`."""
    for name in ("ensemble", "panel"):
        with zipfile.ZipFile(BUNDLES / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
        shutil.copytree(tmp_path / name / "home", tmp_path / "home with ümlauts", dirs_exist_ok=True)
    return tmp_path / "home with ümlauts"


@pytest.fixture
def server(home: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        env={**os.environ, "EPIC22_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Client:
    """Asks a server, each time on a connection of its own."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        assert server.stdout is not None
        address = re.search(r"http://([\d.]+):(\d+)", server.stdout.readline())
        assert address is not None
        self.host, self.port = address.group(1), int(address.group(2))

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=120)) as connection:
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())


@pytest.mark.slow
def test_a_long_forecast_keeps_nobody_waiting_and_a_broken_task_is_named(server: "subprocess.Popen[str]", home: Path) -> None:
    client, answers = Client(server), list[tuple[int, Any]]()
    assert client.ask("GET", "/health")[1]["degraded"] == []
    forecast = threading.Thread(target=lambda: answers.append(client.ask("POST", "/v1/tasks/rents/predictions", LONG)))
    forecast.start()
    rows = json.loads(zipfile.ZipFile(BUNDLES / "ensemble.zip").read("rows.json"))
    answered_meanwhile = 0
    while forecast.is_alive():
        assert client.ask("GET", "/health")[0] == 200
        assert client.ask("POST", "/v1/tasks/one/predictions", {"rows": rows[:1]})[0] == 200
        answered_meanwhile += forecast.is_alive()
    assert answered_meanwhile >= 3
    assert answers[0][0] == 200
    (home / "models" / "one" / "champion.json").write_text("")
    status, health = client.ask("GET", "/health")
    assert (status, health["status"]) == (200, "degraded")
    assert health["degraded"] == [{"task": "one", "reason": "pointer-unreadable", "serving": "1"}]
    assert client.ask("POST", "/v1/tasks/one/predictions", {"rows": rows[:1]})[0] == 200
    assert client.ask("GET", "/openapi.json")[0] == client.ask("GET", "/v1/tasks")[0] == 200


@pytest.mark.slow
def test_a_server_that_forecasts_and_opens_a_model_stops_when_told(server: "subprocess.Popen[str]", home: Path) -> None:
    client = Client(server)
    assert client.ask("GET", "/health")[0] == 200
    with closing(http.client.HTTPConnection(client.host, client.port, timeout=120)) as connection:
        connection.request("POST", "/v1/tasks/rents/predictions", json.dumps(LONG), {"Content-Type": "application/json"})
        shutil.copytree(home / "models" / "one" / "1", home / "models" / "one" / "2")
        version = home / "models" / "one" / "2" / "version.json"
        version.write_text(version.read_text().replace('"version": "1"', '"version": "2"'))
        (home / "models" / "one" / "champion.json").write_text('{"version": "2"}')
        client.ask("GET", "/health")
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
