"""What is read of a table's windows, against the plain way of reading it whole."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from epic22.core.quality import table_pair
from epic22.core.quality.table_history import TableHistory
from epic22.core.quality.table_pair import TablePair, count_keys, has_keys, read_former_versions
from epic22.core.quality.window_samples import mask_later_columns, read_samples
from epic22.core.quality.windows import Window, find_first_moment
from epic22.core.tables.canonical import KNOWN_AT, get_canonical_table

ORDERS = get_canonical_table("work_orders")
START = datetime(2024, 1, 1)
TESTED = [c.name for c in ORDERS.columns if c.name != "work_order_id"]

versions = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99), st.booleans()), min_size=1, max_size=40)


def build_orders(rows: list[tuple[int, int, bool]]) -> pl.DataFrame:
    """Versions of few orders: (order, day known, whether it was completed then)."""
    known = [START + timedelta(days=day) for _, day, _ in rows]
    frame = pl.DataFrame(
        {
            "work_order_id": [f"W{order}" for order, _, _ in rows],
            "equipment_id": [f"E{order % 3}" for order, _, _ in rows],
            "status": ["completed" if done else "open" for *_, done in rows],
            "completed_at": [at if done else None for at, (*_, done) in zip(known, rows, strict=True)],
            "cost": [str(i) if done else None for i, (*_, done) in enumerate(rows)],
            KNOWN_AT: known,
        },
        schema_overrides={"completed_at": pl.Datetime("us"), KNOWN_AT: pl.Datetime("us")},
    )
    absent = [pl.lit(None).alias(name) for name in ORDERS.schema if name not in frame.columns]
    return frame.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in ORDERS.schema.items())


def select_plainly(frame: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The last version known at the window's end of each key first known in it, later columns masked."""
    keys = list(ORDERS.key)
    dated = frame.with_columns(first=pl.col(KNOWN_AT).min().over(keys))
    inside = pl.col("first").is_between(window.begin, window.end, closed="right") & (pl.col(KNOWN_AT) <= window.end)
    rows = dated.filter(inside).sort(KNOWN_AT, maintain_order=True).unique(keys, keep="last", maintain_order=True)
    return mask_later_columns(rows.drop("first"), ORDERS, window.end)


@pytest.mark.slow
@given(versions, st.integers(1, 40), st.integers(0, 30))
def test_samples_are_those_of_reading_the_table_whole(rows: list[tuple[int, int, bool]], days: int, gap: int) -> None:
    frame = build_orders(rows)
    end = START + timedelta(days=80)
    windows = [Window(end - timedelta(days=days), end)]
    windows.append(Window(windows[0].begin - timedelta(days=days + gap), windows[0].begin - timedelta(days=gap)))
    for sample, window in zip(read_samples(ORDERS, frame.lazy(), windows), windows, strict=True):
        plain = select_plainly(frame, window).select(*TESTED, KNOWN_AT)
        text = pl.col(pl.Categorical).cast(pl.String)
        assert_frame_equal(sample.with_columns(text), plain, check_row_order=False)


def test_of_the_key_only_what_is_tested_is_read() -> None:
    readings = get_canonical_table("sensor_readings")
    rows = pl.LazyFrame(schema=readings.schema)
    (sample,) = read_samples(readings, rows, [Window(START, START + timedelta(days=1))])
    assert sample.columns == ["equipment_id", "kind", "value", "quality", KNOWN_AT]


def test_a_load_is_found_wherever_its_rows_stand_among_the_others() -> None:
    for n_before in range(0, 71, 5):
        days = [*range(n_before), *[100] * 31, *range(200, 269 - n_before)]
        known_at = pl.Series([START + timedelta(days=day) for day in days])
        assert find_first_moment(known_at, START + timedelta(days=300)) == START + timedelta(days=100)
        assert find_first_moment(known_at, START + timedelta(days=50)) == known_at[0]
    few = pl.Series([START, *[START + timedelta(days=1)] * 19])
    assert find_first_moment(few, START + timedelta(days=9)) == START
    assert find_first_moment(pl.Series([None], dtype=pl.Datetime("us")), START) is None


@pytest.mark.slow
@given(versions)
def test_keys_are_counted_once_and_their_newest_version_is_read(rows: list[tuple[int, int, bool]]) -> None:
    frame = build_orders(rows)
    n = len({order for order, *_ in rows})
    assert count_keys(ORDERS, frame.lazy()) == n
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_pair, "MIN_BATCH_ROWS", 2)
        assert [has_keys(ORDERS, frame.lazy(), at_least) for at_least in (n - 1, n, n + 1)] == [True, True, False]
    asked = frame.filter(pl.col("work_order_id") == f"W{rows[0][0]}")
    stored = read_former_versions(ORDERS, asked, frame.lazy())
    assert stored.height == 1
    assert stored[KNOWN_AT][0] == asked[KNOWN_AT].max()


def test_a_table_with_too_few_windows_is_not_read() -> None:
    frame = build_orders([(0, 0, False), (1, 30, False)])

    def refuse(_: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("it was read")

    rows = frame.lazy().map_batches(refuse, schema=frame.schema)
    pair = TablePair(ORDERS, frame.lazy(), rows, frame, START + timedelta(days=20), START + timedelta(days=40))
    assert not TableHistory(pair).is_testable
