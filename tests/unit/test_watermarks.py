"""How far a query was read, and from where it goes on."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epic22.adapters.sources.query import QueryColumns, build_row_query, compute_reached, digest_source
from epic22.core.errors import ColumnError
from epic22.core.tables.mapping import SourceMap, ValueMapping
from epic22.core.tables.origin import QueryOrigin, Watermark
from epic22.core.tables.versions import Position

MOMENTS = st.lists(st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2025, 1, 1)), max_size=12)


def source(overlap: timedelta = timedelta(0), column: str = "a") -> SourceMap:
    origin = QueryOrigin("SELECT * FROM t", Watermark("at", overlap))
    return SourceMap(origin, {"name": ValueMapping(column=column)})


def low(reached: str, overlap: timedelta = timedelta(0)) -> object:
    mapped = source(overlap)
    assert isinstance(mapped.origin, QueryOrigin)
    start = Position(reached, digest_source(mapped))
    return build_row_query(mapped, mapped.origin, QueryColumns(("at", "a"), {}), start).low


@given(first=MOMENTS, second=MOMENTS)
def test_the_highest_moment_is_reached_in_whatever_batches_it_comes(
    first: list[datetime | None], second: list[datetime | None]
) -> None:
    highest = max((moment for moment in first + second if moment), default=None)
    reached = None
    for batch in (first, second):
        reached = compute_reached(pl.Series("at", batch, dtype=pl.Datetime("us")), reached)
    assert reached == (highest.isoformat() if highest else None)


def test_whole_numbers_are_compared_as_numbers() -> None:
    assert compute_reached(pl.Series("at", ["9", "10", None]), "7") == "10"
    assert low("10") == 10


def test_the_next_reading_begins_before_the_last_one_by_the_overlap() -> None:
    assert low("2024-03-03T12:00:00", timedelta(days=2)) == datetime(2024, 3, 1, 12)


def test_no_span_can_be_taken_off_a_whole_number() -> None:
    with pytest.raises(ColumnError, match="leave 'overlap:' out"):
        low("10", timedelta(days=2))


def test_a_moment_of_the_far_future_hides_nothing_that_follows() -> None:
    """It was taken for tomorrow's, and rows of today that came later lay before it."""
    assert compute_reached(pl.Series("at", ["2999-01-01", "2024-05-01"]), None) == "2024-05-01T00:00:00"
    assert compute_reached(pl.Series("at", ["2999-01-01"]), "2024-05-01T00:00:00") == "2024-05-01T00:00:00"
    assert compute_reached(pl.Series("at", ["2999-01-01"]), None) is None


@pytest.mark.parametrize(("values", "before"), [(["2024-05-01"], "17"), (["17"], "2024-05-01T00:00:00")])
def test_a_watermark_of_another_kind_than_before_is_refused_by_name(values: list[str], before: str) -> None:
    with pytest.raises(ColumnError, match="the watermark at held"):
        compute_reached(pl.Series("at", values), before)


def test_a_watermark_that_has_no_order_is_named() -> None:
    with pytest.raises(ColumnError, match="the watermark at holds 'soon'; expected times or whole numbers"):
        compute_reached(pl.Series("at", ["2024-01-01", "soon"]), None)


def test_another_question_has_another_digest() -> None:
    assert digest_source(source()) == digest_source(source())
    assert len({digest_source(one) for one in (source(), source(timedelta(1)), source(column="b"))}) == 3
