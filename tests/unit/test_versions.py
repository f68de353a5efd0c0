"""Which incoming rows are new: the fates of rows against a model of them in plain Python."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.tables.rowhash import RowHashes, hash_rows
from epic22.core.tables.versions import IncomingHashes, RowOutcome, TableVersion, classify_rows, compute_content_id

Row = tuple[str, int, int]
ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=12)
AS_OF = 2


def hashed(rows: list[Row]) -> tuple[pl.DataFrame, RowHashes]:
    frame = pl.DataFrame(rows, schema=["id", "known_at", "value"], orient="row")
    return frame, hash_rows(frame, ["id"])


def stored_rows(rows: list[Row], derived: bool) -> pl.DataFrame:
    frame, hashes = hashed(rows)
    (a, b), content = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
    return pl.DataFrame({"a": a, "b": b, "content": content, "known_at": frame["known_at"]})


def found(rows: list[Row], stored: list[Row], derived: bool) -> list[RowOutcome]:
    frame, hashes = hashed(rows)
    identity, content = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
    arrival = IncomingHashes(identity, content, frame["known_at"].to_numpy())
    codes = classify_rows(arrival, stored_rows(stored, derived), AS_OF if derived else None)
    return [RowOutcome(code) for code in codes]


@pytest.mark.slow
@given(ROWS, ROWS)
@settings(max_examples=300, deadline=None)
def test_rows_that_state_when_they_were_known(incoming: list[Row], before: list[Row]) -> None:
    kept = {(key, at): value for key, at, value in before}
    wanted = []
    for n, (key, at, value) in enumerate(incoming):
        twins = {v for k, t, v in incoming if (k, t) == (key, at)}
        if len(twins) > 1:
            wanted.append(RowOutcome.AMBIGUOUS)
        elif (key, at) in [(k, t) for k, t, _ in incoming[:n]]:
            wanted.append(RowOutcome.DUPLICATE)
        elif kept.get((key, at)) == value:
            wanted.append(RowOutcome.SAME)
        else:
            wanted.append(RowOutcome.CONFLICT if (key, at) in kept else RowOutcome.NEW)
    assert found(incoming, [(k, t, v) for (k, t), v in kept.items()], derived=False) == wanted


@pytest.mark.slow
@given(ROWS, ROWS)
@settings(max_examples=300, deadline=None)
def test_rows_whose_source_overwrites_them(incoming: list[Row], before: list[Row]) -> None:
    kept = {key: (at, value) for key, at, value in before}
    wanted = []
    for n, (key, at, value) in enumerate(incoming):
        since, was = kept.get(key, (None, None))
        if len({v for k, _, v in incoming if k == key}) > 1:
            wanted.append(RowOutcome.AMBIGUOUS)
        elif key in [k for k, _, _ in incoming[:n]]:
            wanted.append(RowOutcome.DUPLICATE)
        elif was == value:
            wanted.append(RowOutcome.SAME)
        elif since is None:
            wanted.append(RowOutcome.NEW)
        elif at > since:
            wanted.append(RowOutcome.CHANGED)
        else:
            wanted.append(RowOutcome.REDATED if since < AS_OF else RowOutcome.CONFLICT)
    assert found(incoming, [(k, t, v) for k, (t, v) in kept.items()], derived=True) == wanted


def test_a_table_without_rows_is_as_if_it_were_not_there() -> None:
    units = TableVersion(3, 2, 2, "ab")
    assert compute_content_id({"units": units}) == compute_content_id({"units": units, "leases": TableVersion(0, 0, 0, "0")})
    assert compute_content_id({"units": units}) == compute_content_id({"units": TableVersion(9, 2, 0, "ab")})
    assert compute_content_id({"units": units}) != compute_content_id({"leases": units})
