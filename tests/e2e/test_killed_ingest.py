"""kill -9 at random moments of an ingest: the old version stays readable, and run again it gives what it would have given."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()", "ingest"]
MOMENTS = int(os.environ.get("EPIC22_KILL_MOMENTS", "6"))
"""How often the ingest is killed; `make kills` does it 30 times."""


def start(folder: Path, home: Path) -> "subprocess.Popen[bytes]":
    """An ingest in a process of its own; what it says goes to a file beside its folder."""
    with folder.with_suffix(".said").open("wb") as said:
        return subprocess.Popen(
            [*COMMAND, str(folder), "--as-of", "2023-01-01"],
            env={**os.environ, "EPIC22_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def began(home: Path, ingest: "subprocess.Popen[bytes]") -> float:
    """The moment at which the ingest has begun to stage rows; before it only modules are loaded."""
    while not (home / "lake" / ".staging").exists() and ingest.poll() is None:
        time.sleep(0.002)
    return time.monotonic()


@pytest.mark.slow
def test_an_ingest_killed_at_random_moments_and_run_again_gives_the_same_version(tmp_path: Path) -> None:
    tables = small_tables(units=60, readings=40_000)
    half = write_tables(tmp_path / "half", {name: frame.head(frame.height // 2) for name, frame in tables.items()})
    whole = write_tables(tmp_path / "whole", tables)
    base = tmp_path / "base"
    take_in(Lake(base / "lake"), half)
    old = Lake(base / "lake").resolve_version()

    shutil.copytree(base, tmp_path / "undisturbed")
    undisturbed = start(whole, tmp_path / "undisturbed")
    since = began(tmp_path / "undisturbed", undisturbed)
    assert undisturbed.wait(120) == 0
    working = time.monotonic() - since
    wanted = Lake(tmp_path / "undisturbed" / "lake").resolve_version()
    assert wanted.rows == sum(frame.height for frame in tables.values())

    chance = random.Random(0)
    found = []
    for moment in range(MOMENTS):
        home = tmp_path / f"killed-{moment}"
        shutil.copytree(base, home)
        ingest = start(whole, home)
        began(home, ingest)
        time.sleep(chance.random() * working)
        ingest.send_signal(signal.SIGKILL)
        ingest.wait(60)
        lake = Lake(home / "lake")
        seen = lake.resolve_version()
        assert seen.id in (old.id, wanted.id)
        assert sum(lake.scan(name).select(pl.len()).collect().item() for name in seen.tables) == seen.rows
        found.append(seen.id == old.id)
        take_in(lake, whole)
        assert lake.resolve_version().id == wanted.id
        for name, frame in lake.frames().items():
            assert frame.height == tables[name].height
            assert frame.n_unique() == frame.height
        shutil.rmtree(home)
    assert sum(found) >= MOMENTS // 3, "most kills came too late to be a test"


@pytest.mark.slow
def test_of_two_ingests_at_once_one_waits_for_another_run_and_both_end_up_in(tmp_path: Path) -> None:
    tables = small_tables(readings=40_000)
    first = write_tables(tmp_path / "first", {name: frame.head(frame.height // 2) for name, frame in tables.items()})
    whole = write_tables(tmp_path / "whole", tables)
    home = tmp_path / "home"
    running = [start(first, home), start(whole, home)]
    codes = [ingest.wait(120) for ingest in running]
    said = [folder.with_suffix(".said").read_text() for folder in (first, whole)]
    assert set(codes) <= {0, 2}
    assert 0 in codes
    assert all(code == 0 or "another ingest is running" in text for code, text in zip(codes, said, strict=True))
    lake = Lake(home / "lake")
    take_in(lake, whole)
    assert [version.number for version in lake.log()] == list(range(1, len(lake.log()) + 1))
    assert lake.resolve_version().rows == sum(frame.height for frame in tables.values())
