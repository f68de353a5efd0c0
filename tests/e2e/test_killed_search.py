"""kill -9 at random moments of a search: run again it ends with the same champion, and leaves nothing behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.postgres import database_url

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()", "train"]
MOMENTS = int(os.environ.get("EPIC22_KILL_MOMENTS", "2"))
"""How often the search is killed; `make kills` does it 10 times."""


def start(folder: Path, home: Path, database: str | None) -> "subprocess.Popen[bytes]":
    """A search in a process of its own; what it answers goes to a file beside its home."""
    asked = ["--csv", str(folder / "rows.csv"), "--label", "label", "--task", "killed", "--trials", "8", "--no-engineer"]
    settings = {"EPIC22_HOME": str(home), "EPIC22_THREADS": "2"} | ({} if database is None else {"EPIC22_DATABASE_URL": database})
    with home.with_suffix(".answer").open("wb") as answer, home.with_suffix(".said").open("wb") as said:
        return subprocess.Popen(
            [*COMMAND, *asked, "--folds", "2", "--search-family", "boosting", "--search-family", "linear", "--json"],
            env=os.environ | settings,
            stdout=answer,
            stderr=said,
        )


def begun(home: Path, search: "subprocess.Popen[bytes]") -> None:
    """Wait until the search keeps scores; before it only modules are loaded and families raced."""
    while not list((home / "studies").glob("*/*/*/*.npy")) and search.poll() is None:
        time.sleep(0.005)


def answer(home: Path) -> Any:
    """What a training that ended well answered."""
    return json.loads(home.with_suffix(".answer").read_text())


def left(home: Path) -> list[str]:
    """Whatever is still there of studies."""
    return [str(path.relative_to(home)) for path in (home / "studies").rglob("*")]


def write_rows(folder: Path) -> None:
    """A small table whose label neither trees nor a line learn as well as their average does."""
    chance = np.random.default_rng(0)
    X = chance.normal(size=(400, 4))
    signal = 1.5 * X[:, 2] + 1.5 * X[:, 3] + 2 * X[:, 0] * X[:, 1]
    frame = pl.DataFrame(X, schema=["humidity", "load", "wear", "age"])
    frame.with_columns(label=(signal + chance.logistic(size=400) > 0).astype(np.int64)).write_csv(folder / "rows.csv")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, float]:
    """The folder of the rows, what an undisturbed training answers, and the seconds from its first trial to its end."""
    folder = tmp_path_factory.mktemp("search")
    write_rows(folder)
    home = folder / "undisturbed"
    search = start(folder, home, None)
    begun(home, search)
    began = time.monotonic()
    assert search.wait(300) == 0, home.with_suffix(".said").read_text()
    assert answer(home)["champion"]["family"] == "ensemble", "the search must be what is compared"
    assert left(home) == []
    return folder, answer(home), time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "moments"), [("files", MOMENTS), ("database", 1)])
def test_a_search_killed_at_random_moments_finds_the_undisturbed_champion(
    kept: str, moments: int, undisturbed: tuple[Path, Any, float]
) -> None:
    folder, wanted, working = undisturbed
    database = database_url() if kept == "database" else None
    chance, home, kills = random.Random(0), folder / f"killed-{kept}", 0
    search = start(folder, home, database)
    for _ in range(moments):
        begun(home, search)
        time.sleep(chance.random() * working / (moments + 1))
        search.send_signal(signal.SIGKILL)
        if search.wait(60) == 0:
            break
        kills += 1
        search = start(folder, home, database)
    assert search.wait(300) == 0, home.with_suffix(".said").read_text()
    assert kills >= max(1, moments // 2), "most kills came too late to be a test"
    found = answer(home)
    assert found["model_hash"] == wanted["model_hash"]
    assert [e["metrics"] for e in found["leaderboard"]] == [e["metrics"] for e in wanted["leaderboard"]]
    assert left(home) == []
