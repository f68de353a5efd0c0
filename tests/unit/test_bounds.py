"""Bounds of a column: which values lie beyond them, and how they are named."""

from decimal import Decimal

import polars as pl
import pytest

from epic22.core.column import Bounds

BOUNDS = [
    (Bounds(low=0), "at least 0", [True, False, False, False, False]),
    (Bounds(high=2), "at most 2", [False, False, False, False, True]),
    (Bounds(low=0, high=2), "from 0 to 2", [True, False, False, False, True]),
]
VALUES = [-1, 0, None, 2, 3]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.Decimal(18, 2)])
@pytest.mark.parametrize(("bounds", "words", "outside"), BOUNDS)
def test_numbers_of_every_type_are_held_against_the_bounds_that_there_are(
    bounds: Bounds, words: str, outside: list[bool], dtype: pl.DataType
) -> None:
    values = pl.Series("x", [None if value is None else Decimal(value) for value in VALUES]).cast(dtype)
    assert bounds.find_outside(values).to_list() == outside
    assert values.to_frame().select(bounds.find_outside(pl.col("x")))["x"].to_list() == outside
    assert bounds.describe() == words


def test_a_column_without_bounds_says_so() -> None:
    assert [bounds.has_bounds for bounds, *_ in BOUNDS] == [True, True, True]
    assert not Bounds().has_bounds
