"""The hash of rows: the same everywhere, blind to order and batches, and to nothing else."""

from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.tables import rowhash
from epic22.core.tables.rowhash import add_digests, digest_rows, hash_rows

ROW = st.tuples(
    st.text(max_size=20),
    st.one_of(st.none(), st.text(max_size=30)),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.one_of(st.none(), st.decimals(-(10**15), 10**15, places=2, allow_nan=False)),
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
)
SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "text": pl.String(),
    "whole": pl.Int64(),
    "number": pl.Float64(),
    "money": pl.Decimal(18, 2),
    "known_at": pl.Datetime("us"),
}


def framed(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def whole(frame: pl.DataFrame) -> int:
    return digest_rows(hash_rows(frame, ["id"]).whole)


@pytest.mark.slow
@given(st.lists(ROW, min_size=1, max_size=30), st.randoms(), st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_order_and_batches_of_rows_and_order_of_columns_change_nothing(rows: list[Any], chance: Any, cut: int) -> None:
    frame = framed(rows)
    mixed = framed(chance.sample(rows, len(rows))).select(chance.sample(frame.columns, frame.width))
    assert whole(mixed) == whole(frame)
    assert add_digests([whole(frame.head(cut)), whole(frame.tail(max(0, frame.height - cut)))]) == whole(frame)


@given(st.lists(ROW, max_size=30))
@settings(max_examples=60, deadline=None)
def test_compiled_arithmetic_gives_the_bits_of_numpy(rows: list[Any]) -> None:
    frame = framed(rows)
    with pytest.MonkeyPatch.context() as patch:
        results = []
        for at_least in (0, len(rows) + 1):
            patch.setattr(rowhash, "COMPILED_ROWS", at_least)
            hashes = rowhash.hash_rows(frame, ["id", "whole"])
            lanes = (*hashes.key, *hashes.version, *hashes.content, *hashes.whole, *rowhash.hash_keys(frame, ["text", "number"]))
            results.append([lane.tolist() for lane in lanes])
    assert results[0] == results[1]


@pytest.mark.slow
@given(st.lists(ROW, min_size=1, max_size=10), ROW, st.data())
@settings(max_examples=200, deadline=None)
def test_another_value_gives_another_hash(rows: list[Any], other: Any, data: Any) -> None:
    at, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 5))
    changed = [*rows]
    changed[at] = (*rows[at][:column], other[column], *rows[at][column + 1 :])
    assert (whole(framed(changed)) == whole(framed(rows))) == framed(changed).equals(framed(rows))


def test_the_hash_is_pinned_for_every_machine_and_release() -> None:
    frame = framed([("ä" * 9, None, -1, -0.0, 1, datetime(2024, 1, 1)), ("", "text", None, 1.5, None, datetime(1999, 1, 1))])
    assert f"{whole(frame):032x}" == "440af1a2b5d183f3bebff9693aef48c0"


def test_a_column_that_is_empty_counts_as_absent() -> None:
    frame = framed([("a", None, 1, 1.0, 1, datetime(2024, 1, 1))])
    assert whole(frame) == whole(frame.drop("text"))


def test_a_value_in_another_column_is_another_row() -> None:
    one = pl.DataFrame({"id": ["x"], "a": ["v"], "b": [None], "known_at": [0]}, schema_overrides={"b": pl.String})
    assert whole(one) != whole(one.rename({"a": "b", "b": "a"}))


def test_text_is_cut_at_its_end_and_not_at_its_neighbours() -> None:
    alone = [whole(pl.DataFrame({"id": [text], "known_at": [0]})) for text in ("abcdefgh", "abcdefghi", "i", "")]
    together = whole(pl.DataFrame({"id": ["abcdefgh", "abcdefghi", "i", ""], "known_at": [0] * 4}))
    assert add_digests(alone) == together
    assert len(set(alone)) == 4


@pytest.mark.slow
def test_a_million_rows_have_no_two_hashes_alike() -> None:
    frame = pl.select(id=pl.int_range(1_000_000).cast(pl.String), known_at=0)
    hashes = hash_rows(frame, ["id"])
    assert all(len(set(lane.tolist())) == 1_000_000 for lane in (hashes.key[0], hashes.whole[1]))


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_a_rows_hash_does_not_depend_on_the_part_that_it_is_hashed_in(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"id": ["a", "bb", None, "dddddddddd", ""], "x": [1.0, None, 3.0, -0.0, 5.0], "known_at": range(5)})
    whole = hash_rows(frame, ["id"])
    monkeypatch.setattr("epic22.core.tables.rowhash.PART_ROWS", rows)
    parts = hash_rows(frame, ["id"])
    for name in ("key", "version", "content", "whole"):
        for one, other in zip(getattr(whole, name), getattr(parts, name), strict=True):
            assert one.tolist() == other.tolist(), name
    assert hash_rows(frame.clear(), ["id"]).whole[0].tolist() == []
