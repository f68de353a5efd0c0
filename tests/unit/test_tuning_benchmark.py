"""The benchmark of trials a minute, on few rows: both sides do the same work, and the page tells it."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module

from epic22.core.models.catalog import get_family

tuning = benchmark_module("tuning")


@pytest.mark.slow
def test_both_sides_score_the_same_configuration_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    table, boosting = few_rows(), get_family("boosting")
    monkeypatch.setattr(tuning, "CORES", 2)
    given = tuning.configurations(boosting, 3)
    _, ours = tuning.search(table, [tuning.with_rounds(boosting, 20, given)], 3, prune=False)
    _, plain = tuning.plain(table, boosting, 3, 20, given)
    assert np.allclose(ours, plain, atol=1e-6)
    _, until = tuning.search(table, [tuning.with_rounds(boosting, 20, given)], 3, False, lambda best: True)
    assert len(until) == 1


def test_the_page_has_a_row_a_set() -> None:
    one: dict[str, Any] = dict.fromkeys(
        ("rows", "columns", "folds", "trials", "rate_trials", "ratio", "bar", "ours_seconds", "ours_trials", "share"), 2
    )
    one |= {"trials_a_minute": {"ours": 3, "plain": 2}, "plain_final_score": 0.8, "plain_seconds": 9.0, "ours_reached": False}
    one |= {"largest_difference_of_a_trial_score": 1e-7}
    page = tuning.written({"machine": "here", "sets": {"a": one, "b": one | {"ours_reached": True}}})
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({line.count("|") for line in rows}) == 1
    assert "not reached" in rows[2]


def few_rows() -> "tuning.Table":  # type: ignore[name-defined]
    """A set of 400 rows in the form of the others."""
    chance = np.random.default_rng(0)
    X = chance.normal(size=(400, 3))
    y = (X[:, 0] + X[:, 1] * X[:, 2] + chance.logistic(size=400) > 0).astype(np.int64)
    frame = pl.DataFrame(X, schema=["load", "wear", "age"]).with_columns(y=y)
    return tuning.Table.of_frame(frame, ["load", "wear", "age"], "y")
