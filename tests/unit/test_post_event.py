"""Columns filled after the event are found and real precursors are not accused, whatever their names.

Broken once on purpose: with EDGE_RATIO = 0 and EXCESS = 1 the long precursor is accused; with FILLED_AUC = 0.9 the gaps are
missed.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tests.failing_machines import COLUMNS, weekly_examples

from epic22.core.data.leakage_tests import audit_target_leakage
from epic22.core.task import Array, Column
from epic22.simulator.faults import plant_filled_column

NOTE = Column("final_note", "float", optional=True)


def suspicions(
    inputs: pl.DataFrame, y: Array, entity: Array, at: Array, horizon: bool = True
) -> dict[str | None, tuple[str, bool]]:
    columns = tuple(c for c in (*COLUMNS, NOTE) if c.name in inputs.columns)
    more = tuple(Column(name, "float") for name in inputs.columns if name not in {c.name for c in columns})
    cutoffs = at if horizon else None
    return {s.column: (s.suspicion, s.withheld) for s in audit_target_leakage(inputs, (*columns, *more), y, entity, cutoffs)}


def with_note(inputs: pl.DataFrame, y: Array, entity: Array, seed: int, numeric: bool, by_event: bool = True) -> pl.DataFrame:
    rows = inputs.with_columns(pl.Series("y", y), pl.Series("entity", entity))
    return plant_filled_column(rows, "y", seed, "entity" if by_event else None, numeric)[0].drop("y", "entity")


@pytest.mark.slow
@pytest.mark.parametrize("numeric", [False, True])
def test_a_column_filled_with_the_label_in_hand_is_found_and_nothing_else(numeric: bool) -> None:
    for seed in range(5):
        rows = weekly_examples(seed, machines=80)
        inputs = with_note(rows.inputs, rows.y, rows.entity, seed, numeric)
        assert suspicions(inputs, rows.y, rows.entity, rows.at) == {"final_note": ("post-event column", True)}


@pytest.mark.slow
def test_a_real_precursor_age_and_history_are_not_accused() -> None:
    for seed in range(10):
        rows = weekly_examples(seed, machines=80)
        assert suspicions(rows.inputs, rows.y, rows.entity, rows.at) == {}


@pytest.mark.slow
@pytest.mark.parametrize("climb", [7, 30, 60, 120])
def test_a_precursor_is_not_accused_however_long_before_the_failure_it_climbs(climb: int) -> None:
    rows = weekly_examples(0, machines=80, climb=climb)
    assert "post-event column" not in {what for what, _ in suspicions(rows.inputs, rows.y, rows.entity, rows.at).values()}


@pytest.mark.slow
def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = weekly_examples(1, machines=80)
    inputs = with_note(rows.inputs, rows.y, rows.entity, 1, numeric=True)
    order = np.random.default_rng(0).permutation(len(rows.y))
    shuffled = suspicions(inputs[order], rows.y[order], rows.entity[order], rows.at[order])
    assert shuffled == suspicions(inputs, rows.y, rows.entity, rows.at)


def one_row_each(seed: int, n: int = 4000) -> tuple[pl.DataFrame, Array]:
    """Rows without a time: four honest columns that together reach a ROC AUC of about 0.8."""
    rng = np.random.default_rng([seed, 12])
    X = rng.normal(size=(n, 4))
    y = (X @ [0.8, 0.6, 0.4, 0.2] + rng.logistic(size=n) > 1.5).astype(int)
    names = ["age", "load", "vibration", "days_since_failure"]
    return pl.DataFrame({name: X[:, i] for i, name in enumerate(names)}), y


@pytest.mark.slow
def test_gaps_that_tell_the_classes_apart_are_told_and_not_withheld() -> None:
    for seed in range(5):
        inputs, y = one_row_each(seed)
        entity, at = np.arange(len(y)).astype(str), np.zeros(len(y), dtype="datetime64[us]")
        noted = with_note(inputs, y, entity, seed, numeric=False, by_event=False)
        assert suspicions(noted, y, entity, at, horizon=False) == {"final_note": ("post-event column", False)}
        assert suspicions(inputs, y, entity, at, horizon=False) == {}


@pytest.mark.slow
def test_a_column_better_than_all_others_together_is_told_and_not_withheld() -> None:
    for seed in range(5):
        inputs, y = one_row_each(seed)
        shadow = pl.Series(np.random.default_rng(seed).normal(size=len(y)) + 2.5 * y)
        entity, at = np.arange(len(y)).astype(str), np.zeros(len(y), dtype="datetime64[us]")
        found = suspicions(inputs.with_columns(shadow=shadow), y, entity, at, horizon=False)
        assert found == {"shadow": ("implausible score", False)}


def test_rows_of_one_class_or_too_few_rows_are_passed_over() -> None:
    rows = weekly_examples(2, machines=3)
    nothing = np.zeros(len(rows.y), dtype=int)
    assert suspicions(rows.inputs, nothing, rows.entity, rows.at) == {}
    assert suspicions(rows.inputs[:50], rows.y[:50], rows.entity[:50], rows.at[:50]) == {}


def calendar_failures(seed: int) -> tuple[pl.DataFrame, Array, Array, Array]:
    """Machines seen weekly that fail a whole number of 15 days after their last work, as Azure's do; horizon 30 days."""
    rng, rows = np.random.default_rng(seed), []
    for machine in range(80):
        works = np.r_[0, np.cumsum(15 * rng.integers(1, 6, 60))]
        fails = works[rng.random(len(works)) < 0.3]
        for day in range(60, 720, 7):
            ahead = fails[(fails > day) & (fails <= day + 30)]
            since = float(day - works[works <= day][-1])
            rows.append((f"m{machine:02d}", datetime(2024, 1, 1) + timedelta(days=day), since, len(ahead) > 0))
    frame = pl.DataFrame(rows, schema=["entity", "at", "days_since_work", "y"], orient="row")
    noise = pl.Series("noise", rng.normal(size=frame.height))
    inputs = frame.select("days_since_work").with_columns(noise)
    return inputs, frame["y"].to_numpy(), frame["entity"].to_numpy(), frame["at"].to_numpy()


def test_days_since_a_visit_are_not_accused_where_failures_keep_a_calendar() -> None:
    for seed in range(3):
        inputs, y, entity, at = calendar_failures(seed)
        assert suspicions(inputs, y.astype(int), entity, at).get("days_since_work") is None
