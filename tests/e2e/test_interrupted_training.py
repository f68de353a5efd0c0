"""Ctrl-C during a training says what is there to go on from, and the same command goes on from it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.boilers import simulate_boilers
from tests.waiting import wait_until

from epic22.adapters.unfinished_work import UnfinishedWork, count_unfinished_work

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()", "train"]
ROLES = ["--label", "failed_within_30_days", "--time", "read_at", "--horizon", "30", "--task", "boilers", "--folds", "2"]


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "--csv", str(folder / "boilers.csv"), *ROLES, *options],
        env={**os.environ, "EPIC22_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_an_interrupted_training_says_what_is_there_to_go_on_from(tmp_path: Path) -> None:
    simulate_boilers(boilers=25, months=12).rows.write_csv(tmp_path / "boilers.csv")
    training = start(tmp_path, "--trials", "6")
    wait_until(lambda: count_unfinished_work(tmp_path / "home").trials >= 3 or training.poll() is not None, 120)
    training.send_signal(signal.SIGINT)
    _, errors = training.communicate(timeout=60)
    assert training.returncode == 130
    last = errors.splitlines()[-1]
    assert re.search(r"There to go on from: \d+ fits of folds, \d+ trials of a search", last), last
    assert last.endswith("The same command does not make them again.")
    left = count_unfinished_work(tmp_path / "home")
    assert min(left.fits, left.trials) > 0
    resumed = start(tmp_path, "--trials", "6")
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert "were there already, of a training that was interrupted" in errors


def test_a_home_without_unfinished_work_has_none(tmp_path: Path) -> None:
    assert count_unfinished_work(tmp_path / "absent") == UnfinishedWork()
