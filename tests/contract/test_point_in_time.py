"""The five tasks see nothing of the future: whatever becomes known after a cutoff is replaced at random, and no input changes.

Rows, versions and the columns that become known later are replaced, at random cutoffs of each task. A view that forgets when a
column became known is caught.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.exceptions import PolarsError
from polars.testing import assert_frame_equal
from tests.portfolios import portfolio_assignment, scrambled_portfolio, tiny_portfolio

from epic22.core.data.point_in_time import Tables, build_tables
from epic22.core.data.task_data import PanelTaskData, TaskData, list_entity_cutoffs
from epic22.core.time_series import Array
from epic22.features.catalog import FEATURES

CUTOFFS = int(os.environ.get("EPIC22_MOMENTS", "40"))
"""`make leakage` has 200."""
MAIN = [feature.name for feature in FEATURES if feature.main]
FIRST, LAST = datetime(2023, 8, 1), datetime(2025, 12, 1)


def moments(count: int, seed: int) -> list[datetime]:
    """Random days, at midnight."""
    days = np.random.default_rng(seed).integers(0, (LAST - FIRST).days, count)
    return [FIRST + timedelta(days=int(day)) for day in days]


def seen(name: str, tables: Tables, moment: datetime) -> pl.DataFrame:
    """What the task is told of every eligible entity at the moment, entities and values."""
    assigned = portfolio_assignment(name)
    if isinstance(assigned, PanelTaskData):
        return pl.DataFrame(histories(name, tables, moment))
    everyone = list_entity_cutoffs(assigned.task, tables, pl.Series([moment], dtype=pl.Datetime("us")))
    at = assigned.task.rows(tables.as_of(everyone), everyone)
    return pl.concat([at, assigned.task.inputs(tables.as_of(at)).collect()], how="horizontal").sort("entity")


def histories(name: str, tables: Tables, moment: datetime) -> Mapping[str, Array]:
    """The last year of each series as known at the moment."""
    assigned = portfolio_assignment(name, None)
    assert isinstance(assigned, PanelTaskData)
    assert assigned.task.sequences is not None
    at = pl.DataFrame({"entity": assigned.entities}).with_columns(pl.lit(moment).alias("cutoff"))
    known = assigned.task.sequences(tables.as_of(at))
    return {f"lag_{steps}": known.lag(steps) for steps in range(12)}


def tables_for(name: str, frames: Mapping[str, pl.DataFrame] | None) -> Tables:
    """The tables as the task gets them, from the tiny portfolio or from other frames."""
    assigned = portfolio_assignment(name, frames)
    return assigned.tables


@pytest.mark.slow
def test_replaced_futures_change_no_input_of_any_task() -> None:
    for number, moment in enumerate(moments(CUTOFFS, seed=2)):
        assert_future_is_unseen(moment, number)


def assert_future_is_unseen(moment: datetime, seed: int) -> None:
    frames = scrambled_portfolio(moment, seed)
    for name in MAIN:
        before, after = (seen(name, tables_for(name, of), moment) for of in (None, frames))
        assert before.height, name
        # Sums over windows are differences of running sums, whose last bit hangs on all rows of the table.
        assert_frame_equal(before, after, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("tenant_churn", "leases", "ended_on"),
        ("risk_assessment", "leases", "notice_on"),
        ("predictive_maintenance", "work_orders", "cost"),
        ("predictive_maintenance", "work_orders", "completed_at"),
    ],
)
def test_a_column_whose_known_when_is_ignored_is_caught(name: str, table: str, column: str) -> None:
    """Broken on purpose: with one `known_when` left out, some replaced future shows."""

    def forgetting(tables: Tables) -> Tables:
        source = tables.tables[table]
        columns = tuple(replace(c, known_when=None) if c.name == column else c for c in source.columns)
        return Tables({**tables.tables, table: replace(source, columns=columns)}, tables.end)

    assert isinstance(portfolio_assignment(name), TaskData)
    caught = False
    for number, moment in enumerate(moments(6, seed=3)):
        frames = scrambled_portfolio(moment, number)
        tiny = tiny_portfolio()
        before, after = (seen(name, forgetting(build_tables(of, tiny.end)), moment) for of in (tiny.tables, frames))
        try:
            assert_frame_equal(before, after, rel_tol=1e-9, abs_tol=1e-9)
        except (AssertionError, PolarsError):
            caught = True
            break
    assert caught
