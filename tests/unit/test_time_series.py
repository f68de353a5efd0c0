"""Periods, lines and what a history knows of them."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epic22.core.data.revisions import build_histories, extract_future_values
from epic22.core.errors import ColumnError
from epic22.core.time_series import FREQUENCIES, MONTHLY, Frequency, Histories, forward_fill, get_frequency

EACH = pytest.mark.parametrize("frequency", FREQUENCIES, ids=lambda f: f.name)


@EACH
@given(ordinal=st.integers(-400, 4000))
def test_a_period_begins_in_itself_and_ends_where_the_next_begins(frequency: Frequency, ordinal: int) -> None:
    begin, after = frequency.start(ordinal), frequency.start(ordinal + 1)
    moments = pl.Series([begin, after - timedelta(microseconds=1), after], dtype=pl.Datetime("us"))
    assert frequency.ordinals(moments).tolist() == [ordinal, ordinal, ordinal + 1]


def test_an_unknown_frequency_is_refused_with_those_there_are() -> None:
    with pytest.raises(ColumnError, match=r"M \(month\)"):
        get_frequency("fortnight")


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=30), st.data())
def test_carrying_forward_looks_back_only(values: list[float | None], data: st.DataObject) -> None:
    line = np.array([[np.nan if v is None else v for v in values]])
    cut = data.draw(st.integers(1, len(values)))
    assert np.array_equal(forward_fill(line)[:, :cut], forward_fill(line[:, :cut]), equal_nan=True)


def versions(rows: list[tuple[str, int, float, int]]) -> pl.DataFrame:
    """Rows of (series, month, value, month known)."""
    return pl.DataFrame(
        {
            "entity": [r[0] for r in rows],
            "at": [MONTHLY.start(r[1]) for r in rows],
            "value": [r[2] for r in rows],
            "known_at": [MONTHLY.start(r[3]) for r in rows],
        }
    )


def at(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame({"entity": [r[0] for r in rows], "cutoff": [MONTHLY.start(r[1]) for r in rows]})


def test_a_value_is_not_known_before_its_period_is_over() -> None:
    frame = versions([("a", m, float(m), m + 1) for m in range(6)])
    histories = build_histories(frame, at(("a", 3), ("a", 5)), MONTHLY)
    assert [h.tolist() for h in histories.iterate_series()] == [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0, 4.0]]
    assert histories.origin.tolist() == [2, 4]


def test_a_revision_is_seen_from_its_own_day_on_and_not_before() -> None:
    frame = versions([("a", 0, 1.0, 1), ("a", 1, 2.0, 2), ("a", 2, 3.0, 3), ("a", 0, 9.0, 3)])
    histories = build_histories(frame, at(("a", 2), ("a", 3)), MONTHLY)
    assert [h.tolist() for h in histories.iterate_series()] == [[1.0, 2.0], [9.0, 2.0, 3.0]]
    later = extract_future_values(frame, at(("a", 1)), MONTHLY, 3)
    assert np.array_equal(later, [[2.0, 3.0, np.nan]], equal_nan=True)


def test_a_value_published_late_is_missing_until_then() -> None:
    frame = versions([("a", 0, 1.0, 1), ("a", 1, 2.0, 4), ("a", 2, 3.0, 3)])
    histories = build_histories(frame, at(("a", 3), ("a", 4)), MONTHLY)
    assert [h.tolist() for h in histories.iterate_series()] == [[1.0, 1.0, 3.0], [1.0, 2.0, 3.0]]
    assert histories.count_known_values().tolist() == [2, 3]


def test_a_series_without_values_is_refused_by_name() -> None:
    with pytest.raises(ColumnError, match="'b'"):
        build_histories(versions([("a", 0, 1.0, 1)]), at(("b", 1)), MONTHLY)


def test_the_pasts_of_a_history_stop_at_its_own_origin() -> None:
    line = np.arange(10.0)[None, :]
    history = Histories.of_lines(line, np.array(["a"], dtype=object), 0, MONTHLY).shift_back(np.array([3]))
    rows, targets = history.build_training_windows(n_origins=4, horizon=3, min_length=2)
    assert rows.origin.tolist() == [5, 4, 3, 2]
    expected = np.array([[6, np.nan, np.nan], [5, 6, np.nan], [4, 5, 6], [3, 4, 5]])
    assert np.array_equal(targets, expected, equal_nan=True)


def test_a_gap_is_carried_forward_as_input_and_is_no_target() -> None:
    line = np.array([[1.0, 2.0, np.nan, 4.0, 5.0]])
    history = Histories.of_lines(line, np.array(["a"], dtype=object), 0, MONTHLY)
    rows, targets = history.build_training_windows(n_origins=3, horizon=1, min_length=1)
    assert rows.last.tolist() == [4.0, 2.0, 2.0]
    assert np.array_equal(targets[:, 0], [5.0, 4.0, np.nan], equal_nan=True)
    assert history.periods_since_last_value().tolist() == [0]
    assert rows.is_complete(2).tolist() == [False, False, True]


def test_labels_are_written_as_people_do() -> None:
    assert MONTHLY.label(MONTHLY.ordinals(pl.Series([datetime(2024, 3, 31)]))[0]) == "2024-03"


def test_a_value_published_before_its_period_is_over_is_no_part_of_what_is_kept() -> None:
    """The last month of occupancy stood in the tables on its first day: the stored forecast began a month later than trained."""
    frame = versions([("a", m, float(m), m) for m in range(7)] + [("b", m, 10.0 + m, m) for m in range(2, 7)])
    histories = build_histories(frame, at(("b", 6), ("a", 6), ("a", 4)), MONTHLY)
    assert histories.lines.shape[1] == 7
    kept = histories.compact()
    assert kept.lines.shape[1] == 6
    assert not np.isin(kept.lines, [6.0, 16.0]).any()
    assert kept.last.tolist() == histories.last.tolist() == [15.0, 5.0, 3.0]
    values = [values.tolist() for values in kept.iterate_known_values()]
    opened = Histories.of_known_values(values, kept.entity, kept.first, kept.frequency)
    assert opened.origin.tolist() == histories.origin.tolist()
    for name in ("lines", "observed", "line", "end"):
        assert np.array_equal(getattr(opened, name), getattr(kept, name), equal_nan=name == "lines"), name
