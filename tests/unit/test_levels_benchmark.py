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


def test_a_bar_is_missed_where_chance_does_not_explain_it() -> None:
    page = benchmark_module("level_page")
    certain = {"share": 0.08, "low": 0.06, "high": 0.1}
    wide, narrow = {"share": 0.995, "low": 0.99, "high": 0.998}, {"share": 0.9, "low": 0.88, "high": 0.92}
    cells = {
        "binary noise 60": {"certain": certain, "scores": {"roc_auc": {"covered": wide}}},
        "binary moderate 300": {"certain": certain, "scores": {"roc_auc": {"covered": wide}, "log_loss": {"covered": narrow}}},
    }
    lines = page.list_misses({"cells": cells}, {})
    assert [line.split(":")[0] for line in lines if line] == [
        "* binary noise 60",
        "* binary moderate 300, roc_auc",
        "* binary moderate 300, log_loss",
    ]
    assert page.list_misses({"cells": {}}, {})[0] == "No bar is missed."
    searched = {"trainings": {"binary noise 60": {"better": certain}, "rare noise 60": {"better": certain | {"low": 0.01}}}}
    assert [line.split(":")[0] for line in page.list_misses({"cells": {}}, searched) if line] == ["* search binary noise 60"]


def test_the_page_names_the_cells_that_have_fewer_tables_than_planned() -> None:
    page = benchmark_module("level_page")
    after = {"cells": {"binary noise 20": {"tables": 2000}, "binary noise 60": {"tables": 100}}}
    planned = {"binary noise 20": 2000, "binary noise 60": 2000, "training panel noise 3": 200}
    words = page.describe_unfinished(after, planned)
    assert words == "Not run whole yet: binary noise 60 (100 of 2,000), training panel noise 3 (0 of 200).\n"


@pytest.mark.slow
def test_a_training_on_a_panel_of_random_walks_is_not_certain_and_one_on_rows_counts_what_it_said() -> None:
    levels, trainings = benchmark_module("levels"), benchmark_module("level_trainings")
    for cell in (levels.Cell("panel", "noise", 3), levels.Cell("regression", "noise", 20)):
        assert trainings.train_on_noise(cell, np.random.default_rng(levels.seed_of(cell, 0)))[0] == 0.0


def test_a_clone_without_the_cache_keeps_what_was_committed() -> None:
    levels = benchmark_module("levels")
    stored, new = (
        {"a": {"tables": 2000, "x": 1}, "b": {"tables": 100, "x": 1}},
        {"b": {"tables": 100, "x": 2}, "c": {"tables": 1}},
    )
    assert levels.keep_larger(stored, {}) == stored
    assert levels.keep_larger(stored, new) == {"a": stored["a"], "b": new["b"], "c": new["c"]}


def test_another_clone_goes_on_from_the_committed_outcomes_of_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels, cell = benchmark_module("levels"), "training binary noise 60"
    monkeypatch.setattr(levels, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(levels, "CACHE", tmp_path / "one")
    (tmp_path / "results").mkdir()
    outcomes = np.array([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, math.nan]])
    levels._save(tmp_path / "one" / "after" / f"{cell}.npy", outcomes)
    levels.write_trainings("after")
    monkeypatch.setattr(levels, "CACHE", tmp_path / "two")
    levels.take_committed_trainings("after")
    np.testing.assert_array_equal(np.load(tmp_path / "two" / "after" / f"{cell}.npy"), outcomes)
    more = np.zeros((3, 4))
    levels._save(tmp_path / "two" / "after" / f"{cell}.npy", more)
    levels.take_committed_trainings("after")
    np.testing.assert_array_equal(np.load(tmp_path / "two" / "after" / f"{cell}.npy"), more)


def test_only_tables_whose_interval_missed_are_trained_again_and_keep_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = benchmark_module("levels")
    cell, trained = levels.Cell("binary", "noise", 60), []
    monkeypatch.setattr(levels, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(levels, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(levels, "TRAINING_CELLS", (cell,))

    def note_table(_: object, __: object, table: int) -> list[float]:
        trained.append(table)
        return [0.0, 0.0, 0.0, float(table == 1)]

    monkeypatch.setattr(levels, "_train", note_table)
    path = tmp_path / "cache" / "after" / "training binary noise 60.npy"
    levels._save(path, np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    levels.run_uncovered("after", ("binary",), (60,))
    assert trained == [1, 2]
    assert np.load(path).tolist() == [[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    levels.run_uncovered("after", ("rare",), (60,))
    levels.run_uncovered("after", ("binary",), (300,))
    assert trained == [1, 2]


def test_of_the_best_of_several_the_interval_that_allows_for_it_holds_what_its_own_holds() -> None:
    levels = benchmark_module("levels")
    cell = levels.Cell("binary", "noise", 60)
    rows = np.array([levels.judge_choice(cell, table) for table in range(6)])
    for place in (0, 3):
        assert (rows[:, place + 1] >= rows[:, place]).all()
    summary = levels.summarise_choices(rows)
    assert summary["tables"] == 6
    assert summary["2"]["among"] <= 2
    assert summary["3"]["among"] <= 3


def test_the_page_names_a_training_whose_interval_holds_too_seldom() -> None:
    page = benchmark_module("level_page")
    fine, low = {"share": 0.95, "low": 0.92, "high": 0.97}, {"share": 0.88, "low": 0.83, "high": 0.92}
    after = {
        "cells": {},
        "trainings": {"groups noise 300": {"better": {"share": 0, "low": 0.0, "high": 0.02}, "covered": low}},
        "choices": {"binary noise 60": {"tables": 2000, "2": {"allowed": fine}, "3": {"allowed": low}}},
    }
    lines = [line.split(":")[0] for line in page.list_misses(after, {}) if line]
    assert lines == ["* training groups noise 300", "* best of 3, binary noise 60"]
