"""A model's hash does not depend on how many threads linear algebra would take by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_info

from epic22.core.blas import limit_blas_threads

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]
ROWS, COLUMNS = 3000, 30
"""Enough that a product of matrices is shared between two threads."""


def train_linear(table: Path, home: Path, threads: int) -> str:
    """The hash of a linear model trained where the environment gives linear algebra that many threads."""
    environment = {**os.environ, "EPIC22_HOME": str(home), "EPIC22_THREADS": "1", "OMP_NUM_THREADS": str(threads)}
    words = ["train", "--csv", str(table), "--label", "y", "--families", "constant,linear", "--repeats", "1", "--folds", "2"]
    done = subprocess.run([*COMMAND, *words, "--json"], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version = next((home / "models").glob("*/1/version.json"))
    recorded = json.loads(version.read_text())
    assert recorded["family"] == "linear"
    return str(recorded["model_hash"])


@pytest.mark.slow
def test_the_environments_threads_change_no_hash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    y = (X[:, 0] + X[:, 1] + rng.logistic(size=ROWS) > 0).astype(int)
    table = tmp_path / "rows.csv"
    pl.DataFrame({f"x{j}": X[:, j] for j in range(COLUMNS)} | {"y": y}).write_csv(table)
    one, two = (train_linear(table, tmp_path / f"home-{threads}", threads) for threads in (1, 2))
    assert one == two


def test_threads_are_given_back_after_the_last_block() -> None:
    before = count_threads()
    with limit_blas_threads():
        with limit_blas_threads():
            assert count_threads() == {1}
        assert count_threads() == {1}, "the outer block still computes"
    assert count_threads() == before


def test_a_fault_inside_gives_them_back_too() -> None:
    before = count_threads()
    with pytest.raises(ValueError, match="inside"), limit_blas_threads():
        raise ValueError("inside")
    assert count_threads() == before


def count_threads() -> set[int]:
    """The numbers of threads of the libraries for linear algebra that this process has loaded."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
