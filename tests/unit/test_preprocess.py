"""Preprocessing: a batch and a row give the same bits; the state is JSON and comes back whole."""

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.toy import COLUMNS, inputs

from epic22.core.data.formula import parse_formula
from epic22.core.data.preprocess import MAX_LEVELS, PREPROCESSING_VIEWS, Preprocessor, days_since_1970
from epic22.core.serialization import to_json
from epic22.core.task import Column, Formula

ROW = st.fixed_dictionaries(
    {
        "wear": st.none() | st.floats(-1e30, 1e30, allow_nan=False, width=64),
        "load": st.floats(-1e6, 1e6, allow_nan=False),
        "maker": st.none() | st.sampled_from(["arden", "brook", "never seen", ""]),
        "indoors": st.none() | st.booleans(),
        "fitted_on": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    }
)
SCHEMA: dict[str, Any] = {
    "wear": pl.Float64,
    "load": pl.Float64,
    "maker": pl.String,
    "indoors": pl.Boolean,
    "fitted_on": pl.Datetime("us"),
}


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=5))
def test_a_row_alone_gives_the_same_bits_as_in_a_batch(rows: list[dict[str, Any]]) -> None:
    fitted = Preprocessor.fit(COLUMNS, inputs(200))
    batch = fitted.transform(pl.DataFrame(rows, schema=SCHEMA))
    alone = np.vstack([fitted.transform_row(row) for row in rows])
    assert batch.dtype == alone.dtype == np.float32
    assert batch.tobytes() == alone.tobytes()


def test_the_state_survives_json() -> None:
    X = inputs(300)
    fitted = Preprocessor.fit(COLUMNS, X)
    again = Preprocessor.restore(COLUMNS, json.loads(json.dumps(to_json(fitted, PREPROCESSING_VIEWS))))
    assert again.transform(X).tobytes() == fitted.transform(X).tobytes()


def test_an_unseen_category_and_a_missing_one_are_both_missing() -> None:
    fitted = Preprocessor.fit(COLUMNS, inputs(100))
    for maker in ("zeppelin", None):
        assert np.isnan(fitted.transform_row({"maker": maker})[0, 2])


def test_levels_are_coded_by_falling_frequency_then_name() -> None:
    column = Column("c", "category")
    fitted = Preprocessor.fit((column,), pl.DataFrame({"c": ["b", "a", "c", "c"]}))
    assert fitted.levels["c"] == {"c": 0, "a": 1, "b": 2}


def test_levels_beyond_the_most_count_as_unseen() -> None:
    column = Column("c", "category")
    values = [f"v{i:04d}" for i in range(MAX_LEVELS + 10)]
    fitted = Preprocessor.fit((column,), pl.DataFrame({"c": values}))
    assert len(fitted.levels["c"]) == MAX_LEVELS
    assert np.isnan(fitted.transform_row({"c": values[-1]})[0, 0])


def test_the_order_of_a_frames_columns_does_not_matter() -> None:
    X = inputs(50)
    fitted = Preprocessor.fit(COLUMNS, X)
    assert fitted.transform(X.select(reversed(X.columns))).tobytes() == fitted.transform(X).tobytes()


def test_days_are_counted_from_1970() -> None:
    assert days_since_1970(datetime(1970, 1, 2, 12)) == 1.5
    assert days_since_1970(datetime(1969, 12, 31)) == -1.0


FORMULAS = (parse_formula("push = wear * load"), parse_formula("odd [mm] = log(push) / fitted_on + indoors"))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=5))
def test_derived_columns_too_have_the_same_bits_alone_and_in_a_batch(rows: list[dict[str, Any]]) -> None:
    fitted = Preprocessor.fit(COLUMNS, inputs(200), formulas=FORMULAS)
    batch = fitted.transform(pl.DataFrame(rows, schema=SCHEMA))
    alone = np.vstack([fitted.transform_row(row) for row in rows])
    assert batch.shape[1] == len(fitted.outputs) == len(COLUMNS) + 2
    assert batch.tobytes() == alone.tobytes()


def test_outputs_are_the_inputs_and_then_the_derived_columns_with_their_formulas_for_words() -> None:
    X = inputs(100)
    fitted = Preprocessor.fit(COLUMNS, X, formulas=FORMULAS)
    again = Preprocessor.restore(COLUMNS, json.loads(json.dumps(to_json(fitted, PREPROCESSING_VIEWS))))
    assert again.outputs == fitted.outputs
    assert again.transform(X).tobytes() == fitted.transform(X).tobytes()
    assert [c.name for c in fitted.outputs] == [*(c.name for c in COLUMNS), "push", "odd"]
    assert fitted.outputs[-1] == Column("odd", "float", unit="mm", about="odd (log(push) / fitted_on + indoors)")


def test_without_formulas_the_state_is_as_it_always_was() -> None:
    assert set(to_json(Preprocessor.fit(COLUMNS, inputs(50)), PREPROCESSING_VIEWS)) == {"levels"}


def center_of(values: list[float]) -> float:
    frame = pl.DataFrame({"x": values})
    return Preprocessor.fit((Column("x", "float"),), frame).centers.get("x", 0.0)


@pytest.mark.parametrize(
    "values",
    [
        [1e9 + i for i in range(32)],
        [float(20240101 + i) for i in range(4)],
        [-3e7 - i / 4 for i in range(100)],
        [1.7e9 + i for i in range(20)] + [-1.0],
        [9e15 + 2 * i for i in range(50)],
    ],
    ids=["account numbers", "days written as numbers", "below zero", "seconds with a code for missing", "near 2^53"],
)
def test_numbers_large_beside_their_spread_stay_apart_as_float32(values: list[float]) -> None:
    frame = pl.DataFrame({"x": values})
    fitted = Preprocessor.fit((Column("x", "float"),), frame)
    matrix = fitted.transform(frame)
    assert len(np.unique(matrix)) == len(set(values))
    assert fitted.transform_row({"x": values[3]}).tobytes() == matrix[3:4].tobytes()


@pytest.mark.parametrize(
    "values",
    [
        [float(i) for i in range(100)],
        [i / 7 for i in range(100)],
        [47.5 + i / 10_000 for i in range(3000)],
        [float(2**i) for i in range(40)],
        [100.5] * 5,
    ],
    ids=["counts", "fractions", "latitudes", "powers", "one value"],
)
def test_numbers_that_lose_nothing_worth_having_are_not_centred(values: list[float]) -> None:
    assert center_of(values) == 0.0


def test_moments_of_one_hour_stay_apart_and_a_centre_is_stored_with_the_preprocessing() -> None:
    start = datetime(2024, 3, 1, 12)
    frame = pl.DataFrame({"at": [start + timedelta(seconds=7 * i) for i in range(500)], "day": [start] * 500})
    columns = (Column("at", "time"), Column("day", "time"))
    fitted = Preprocessor.fit(columns, frame)
    assert list(fitted.centers) == ["at"]
    assert len(np.unique(fitted.transform(frame)[:, 0])) == 500
    again = Preprocessor.restore(columns, to_json(fitted, PREPROCESSING_VIEWS))
    assert again.transform(frame).tobytes() == fitted.transform(frame).tobytes()
    assert "centers" not in to_json(Preprocessor.fit(columns[1:], frame), PREPROCESSING_VIEWS)


def test_a_formula_sees_the_numbers_as_they_are_and_its_own_value_is_centred() -> None:
    frame = pl.DataFrame({"x": [1e9 + i for i in range(32)]})
    fitted = Preprocessor.fit((Column("x", "float"),), frame, formulas=(Formula("twice", "x * 2"),))
    assert fitted.derive(frame)["twice"].to_list() == [2e9 + 2 * i for i in range(32)]
    assert len(np.unique(fitted.transform(frame)[:, 1])) == 32
