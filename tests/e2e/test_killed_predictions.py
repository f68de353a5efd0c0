"""kill -9 while a portfolio is predicted: nothing half-written is stored, and the next run completes it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.feature_models import MOMENT, N_ACTIVE, feature_tables, register_model
from tests.lakes import take_in
from tests.shell import type_command
from tests.small_tables import write_tables

SCRIPT = """
import os, signal, sys
from epic22.adapters import file_store, prediction_log
from epic22.cli.main import run

place, owner, name = sys.argv.pop(), None, None

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(act):
    def change(*arguments, **named):
        act(*arguments, **named)
        die()
    return change

if place == "files":
    file_store.FolderFiles.move_in = die
elif place == "before the commit":
    file_store.FolderFiles.move_in = die_after(file_store.FolderFiles.move_in)
elif place == "receipts":
    prediction_log.FilePredictionLog.add_batch = die
run()
"""


WORDS = ("predict", "tenant_churn", "--portfolio", "--at", MOMENT.isoformat())


def predict_in_child(home: Path, place: str) -> int:
    """The exit code of the command in a process of its own, which kills itself at that place."""
    command = [sys.executable, "-c", SCRIPT, *WORDS, place]
    return subprocess.run(command, env={**os.environ, "EPIC22_HOME": str(home)}, capture_output=True, timeout=120).returncode


@pytest.mark.slow
def test_a_portfolio_whose_prediction_is_killed_is_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epic22.bootstrap.stores import open_stores
    from epic22.config import Settings

    home = tmp_path / "home"
    monkeypatch.setenv("EPIC22_HOME", str(home))
    stores = open_stores(Settings.read())
    take_in(stores.table_store, write_tables(tmp_path / "in", dict(feature_tables()), "parquet"))
    register_model(stores.registry, stores.table_store.tables(), tmp_path)
    for place in ("files", "before the commit", "receipts"):
        assert predict_in_child(home, place) == -signal.SIGKILL
        rows = stores.predictions.scan("tenant_churn").collect()
        assert rows.height == (N_ACTIVE if place == "receipts" else 0)
        # Most of what a process of its own takes is to begin; that one completes what another left is shown once.
        completed = predict_in_child(home, "nowhere") if place == "receipts" else type_command(tmp_path, home, *WORDS)[0]
        assert completed == 0
        rows = stores.predictions.scan("tenant_churn").collect()
        assert rows.height == N_ACTIVE
        assert sorted(one.receipt for one in stores.prediction_log.iterate_receipts()) == sorted(rows["receipt"])
        shutil.rmtree(home / "predictions")
        shutil.rmtree(home / "receipts")
