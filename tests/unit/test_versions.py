"""Which incoming rows are new: the fates of rows against a model of them in plain Python."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.data.rowhash import RowHashes, hash_rows
from epic22.core.data.versions import Arrival, Fate, TableVersion, content_id, fates

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


def found(rows: list[Row], stored: list[Row], derived: bool) -> list[Fate]:
    frame, hashes = hashed(rows)
    identity, content = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
    arrival = Arrival(identity, content, frame["known_at"].to_numpy())
    codes = fates(arrival, stored_rows(stored, derived), AS_OF if derived else None)
    return [Fate(code) for code in codes]


@pytest.mark.slow
@given(ROWS, ROWS)
@settings(max_examples=300, deadline=None)
def test_rows_that_state_when_they_were_known(incoming: list[Row], before: list[Row]) -> None:
    kept = {(key, at): value for key, at, value in before}
    wanted = []
    for n, (key, at, value) in enumerate(incoming):
        twins = {v for k, t, v in incoming if (k, t) == (key, at)}
        if len(twins) > 1:
            wanted.append(Fate.AMBIGUOUS)
        elif (key, at) in [(k, t) for k, t, _ in incoming[:n]]:
            wanted.append(Fate.TWICE)
        elif kept.get((key, at)) == value:
            wanted.append(Fate.SAME)
        else:
            wanted.append(Fate.OTHERWISE if (key, at) in kept else Fate.NEW)
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
            wanted.append(Fate.AMBIGUOUS)
        elif key in [k for k, _, _ in incoming[:n]]:
            wanted.append(Fate.TWICE)
        elif was == value:
            wanted.append(Fate.SAME)
        elif since is None:
            wanted.append(Fate.NEW)
        elif at > since:
            wanted.append(Fate.CHANGED)
        else:
            wanted.append(Fate.REDATED if since < AS_OF else Fate.OTHERWISE)
    assert found(incoming, [(k, t, v) for k, (t, v) in kept.items()], derived=True) == wanted


def test_a_table_without_rows_is_as_if_it_were_not_there() -> None:
    units = TableVersion(3, 2, 2, "ab")
    assert content_id({"units": units}) == content_id({"units": units, "leases": TableVersion(0, 0, 0, "0")})
    assert content_id({"units": units}) == content_id({"units": TableVersion(9, 2, 0, "ab")})
    assert content_id({"units": units}) != content_id({"leases": units})
