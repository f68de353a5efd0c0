"""What is left when a training is killed: the old champion answers, every version listed opens, the next training works."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.boilers import simulate_boilers

from epic22.adapters.model_store import ModelStore

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()", "train"]


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """A training of the boilers in a process of its own."""
    roles = ["--label", "failed_within_30_days", "--time", "read_at", "--horizon", "30", "--task", "boilers", "--folds", "2"]
    return subprocess.Popen(
        [*COMMAND, "--csv", str(folder / "boilers.csv"), *roles],
        env={**os.environ, "EPIC22_HOME": str(folder / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def registered(store: ModelStore, training: "subprocess.Popen[bytes]") -> float:
    """The moment at which the training has registered one more version; before it nothing is written."""
    known = len(store.list_versions("boilers"))
    while len(store.list_versions("boilers")) == known and training.poll() is None:
        time.sleep(0.005)
    return time.monotonic()


@pytest.mark.slow
def test_a_killed_training_leaves_the_old_champion_and_no_half_version(tmp_path: Path) -> None:
    simulate_boilers(boilers=25, months=12).rows.write_csv(tmp_path / "boilers.csv")
    store = ModelStore(tmp_path / "home" / "models")
    undisturbed = start(tmp_path)
    since = registered(store, undisturbed)
    assert undisturbed.wait(300) == 0
    writing = time.monotonic() - since
    for share in (0.0, 0.3, 0.6):
        training = start(tmp_path)
        registered(store, training)
        time.sleep(writing * share)
        training.send_signal(signal.SIGKILL)
        training.wait(60)
        before = store.champion("boilers")
        assert store.load("boilers").version == before
        assert all(store.load("boilers", version.version) for version in store.list_versions("boilers"))
    known = len(store.list_versions("boilers"))
    assert start(tmp_path).wait(300) == 0
    assert known >= 2, "most kills came too early to leave anything"
    assert store.champion("boilers").version == str(known + 1)
    assert store.champion("boilers").model_hash == store.list_versions("boilers")[0].model_hash
