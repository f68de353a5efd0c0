"""The simulation of levels goes on where it was stopped, and sums up what there is."""

import math
from pathlib import Path

import numpy as np
import pytest
from tests.benchmark_modules import benchmark_module


def test_tables_are_judged_once_and_a_stopped_cell_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = benchmark_module("levels")
    cell = levels.Cell("panel", "noise", 6)
    monkeypatch.setattr(levels, "CACHE", tmp_path)
    monkeypatch.setattr(levels, "CELLS", (cell,))
    levels.run_verdicts("after", 2, math.inf, 60, ("noise",))
    first = np.load(tmp_path / "after" / "panel noise 6.npy")
    levels.run_verdicts("after", 4, math.inf, 60, ("noise",))
    again = np.load(tmp_path / "after" / "panel noise 6.npy")
    assert (len(first), len(again)) == (2, 4)
    assert np.array_equal(first, again[:2], equal_nan=True)
    summary = levels.summarise_cell(cell, again)
    assert summary["tables"] == 4
    assert summary["scores"]["skill"]["outside"] == 0
    assert summary["scores"]["skill"]["no_width"] == 0
