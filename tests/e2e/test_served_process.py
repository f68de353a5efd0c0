"""The program as processes: the demonstration, and a server that is asked over a real socket."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.trained import trained

from epic22.features.catalog import FEATURES

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]


@pytest.mark.slow
def test_the_demonstration_goes_the_whole_way_and_ends_by_itself(tmp_path: Path) -> None:
    # Relative folders, as `make demo` gives them.
    environment = {**os.environ, "EPIC22_HOME": "demo/home", "COLUMNS": "200"}
    done = subprocess.run(
        [*COMMAND, "demo", "--folder", "demo"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "Data version 1",
        "than the best possible",
        "it rewards doing nothing",
        "predictive_maintenance at",
        "together = the score",
        "receipt",
        "7. What promotion does when a class is treated unlike the others",
        "Planted for this part alone",
        "version 1 provisional",
        "version 2 refused",
        "version 3 overridden",
    ):
        assert said in done.stdout
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    lists = [f"{feature.name}: the list of" for feature in FEATURES if feature.main]
    for told in (*lists, "a year and 1,000 cases (machines, leases)", "the planted classes of all tenants in", "</html>"):
        assert told in report
    served = json.loads((tmp_path / "demo" / "home" / "models" / "risk_assessment" / "champion.json").read_bytes())
    assert served["version"] == "1", "the planted condition stays out of the home that serves"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo"]


@pytest.mark.slow
def test_a_served_model_answers_and_stops_when_told(tmp_path: Path) -> None:
    trained(tmp_path)
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        env={**os.environ, "EPIC22_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ask(server)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    finally:
        server.kill()
        server.communicate()


def ask(server: "subprocess.Popen[str]") -> None:
    """One right and one wrong request."""
    assert server.stdout is not None
    address = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
    assert address is not None
    row = {"wear": 1, "load <b>$kN$</b>": 0, "maker": None, "indoors": False, "fitted on": None}
    request = urllib.request.Request(
        f"{address.group()}/v1/tasks/toy/predictions",
        json.dumps({"rows": [row]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert 0 < json.load(answer)["predictions"][0]["values"][0]["value"] < 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address.group()}/v1/tasks/nope", timeout=60)
    with refused.value:
        assert refused.value.code == 404


@pytest.mark.slow
def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [*COMMAND, "serve", "--port", str(taken.getsockname()[1])],
            env={**os.environ, "EPIC22_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2
    assert "give another --host or --port" in done.stderr
