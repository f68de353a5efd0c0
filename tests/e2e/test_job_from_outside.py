"""A job as it is seen from outside: by its events, its log, and the server, from its submission to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.boilers import simulate_boilers
from tests.shell import type_command

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.bootstrap.job_feed import open_job_feed
from epic22.config import Settings
from epic22.core.progress import AttemptStarted, ProcessSample, StageFinished, StageStarted, WorkStarted

pytestmark = pytest.mark.slow


def test_a_training_job_is_seen_by_its_events_its_log_and_the_server(tmp_path: Path) -> None:
    simulate_boilers(boilers=8, months=12).rows.write_csv(tmp_path / "boilers.csv")
    # In a place of its own for temporary files no other test's training has the device.
    home, environment = tmp_path / "home", {**os.environ, "EPIC22_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    roles = ("--csv", "boilers.csv", "--label", "failed_within_30_days", "--time", "read_at", "--horizon", "30", "--folds", "2")
    code, _, errors = type_command(tmp_path, home, "submit", "train", *roles, "--families", "linear")
    assert code == 0, errors
    done = subprocess.run(
        [sys.executable, "-m", "epic22", "work", "--once"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr

    feed = open_job_feed(Settings(home, 1))
    events = [one.event for one in feed.read_events(1, 0)]
    assert events[0] == AttemptStarted(1)
    stages = [event.stage for event in events if isinstance(event, StageStarted | StageFinished)]
    assert stages == [stage for stage in ("plan", "evaluate", "select", "fit", "package") for _ in range(2)]
    assert {(event.unit, event.depth) for event in events if isinstance(event, WorkStarted)} >= {("family", 0), ("fold", 1)}
    assert max(event.memory_bytes for event in events if isinstance(event, ProcessSample)) > 50e6

    code, out, _ = type_command(tmp_path, home, "jobs", "logs", "1")
    assert code == 0
    assert "worker attempt 1 begins: train --csv" in out.splitlines()[0]
    assert out.splitlines()[-1].endswith("worker attempt 1 ended: done.")
    code, out, errors = type_command(tmp_path, home, "jobs", "watch", "1")
    assert code == 0
    assert "job 1: done" in out
    assert "linear: 2 folds …" in errors
    answer = TestClient(create_app(ModelStore(home / "models"), jobs=feed)).get("/v1/jobs/1")
    assert answer.json()["state"] == "done"
    assert str(tmp_path) not in answer.text
