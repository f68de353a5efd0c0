"""Windows by prefix sums say what a look at every row says, whatever was revised, late or hidden; and see nothing to come."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.data.point_in_time import Table, Tables, TablesAsOf
from epic22.core.data.windows import EntityTimeEncoder
from epic22.core.errors import ColumnError
from epic22.core.task import Column

FIRST = datetime(2024, 1, 1)
END = datetime(2026, 1, 1)
DAY = timedelta(days=1)
HALF = timedelta(hours=12)
SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "entity": pl.String(),
    "site": pl.String(),
    "kind": pl.String(),
    "opened_at": pl.Datetime("us"),
    "known_at": pl.Datetime("us"),
    "done_at": pl.Datetime("us"),
    "status": pl.String(),
    "value": pl.Float64(),
    "cost": pl.Float64(),
}
COLUMNS = (Column("cost", "float", known_when="done_at"), Column("status", "category", known_when="done_at"))
KEY = ("site", "id")
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 7).map(str),
            "entity": st.sampled_from(["e1", "e2", None]),
            "site": st.sampled_from(["s1", "s2"]),
            "kind": st.sampled_from(["a", "b"]),
            "opened_at": st.one_of(st.none(), st.integers(0, 80)),
            "delay": st.sampled_from([-6, 0, 0, 0, 1, 3, 14, 50]),
            "done": st.one_of(st.none(), st.integers(0, 120)),
            "status": st.sampled_from(["open", "completed"]),
            "value": st.one_of(st.none(), st.sampled_from([20.0, 20.0, 21.5]), st.floats(-100, 100, width=32)),
            "cost": st.one_of(st.none(), st.integers(0, 500).map(float)),
        }
    ),
    max_size=40,
)
CUTOFFS = st.lists(
    st.tuples(st.sampled_from(["e1", "e2", "e9", None]), st.integers(-4, 130), st.sampled_from(["s1", "s2", None])),
    min_size=1,
    max_size=25,
)
SPANS = st.sampled_from([None, HALF, DAY, 7 * DAY, 15 * DAY, 400 * DAY])
WHERES: dict[str, pl.Expr | None] = {
    "all": None,
    "kind": pl.col("kind") == "a",
    "completed": pl.col("status") == "completed",
    "not known as completed": pl.col("done_at").is_null() | (pl.col("status") != "completed"),
    "dear or of kind b": (pl.col("cost") > 200) | (pl.col("kind") == "b"),
}


def frame_of(events: list[dict[str, Any]]) -> pl.DataFrame:
    def moment(half_days: int | None) -> datetime | None:
        return None if half_days is None else FIRST + half_days * HALF

    rows = [
        {
            **{name: event[name] for name in ("id", "entity", "site", "kind", "status", "value", "cost")},
            "opened_at": moment(event["opened_at"]),
            "known_at": moment((event["opened_at"] or 0) + event["delay"]),
            "done_at": moment(event["done"]),
        }
        for event in events
    ]
    return pl.DataFrame(rows, SCHEMA).unique(["site", "id", "known_at"], keep="first", maintain_order=True)


def table_of(frame: pl.DataFrame, kind: type[Table] = Table) -> Table:
    columns = (*COLUMNS, Column("done_at", "time", known_when="done_at"))
    return kind("events", frame, KEY, "entity", columns, "opened_at")


def asked(cutoffs: list[tuple[str | None, int, str | None]]) -> tuple[pl.DataFrame, pl.Series]:
    at = pl.DataFrame(
        {"entity": [e for e, _, _ in cutoffs], "cutoff": [FIRST + n * HALF for _, n, _ in cutoffs]},
        {"entity": pl.String, "cutoff": pl.Datetime("us")},
    )
    return at, pl.Series("site", [s for _, _, s in cutoffs], pl.String)


def seen(frame: pl.DataFrame, entity: Any, cutoff: datetime, by: str, span: timedelta | None, where: pl.Expr | None) -> Any:
    """The window by a look at every row, one after the other: the oracle."""
    latest: dict[Any, dict[str, Any]] = {}
    for row in sorted(frame.iter_rows(named=True), key=lambda r: r["known_at"]):
        if row["known_at"] <= cutoff:
            latest[row["site"], row["id"]] = dict(row)
    found = []
    for row in latest.values():
        event = row["opened_at"]
        if entity is None or row[by] != entity or event is None or event > cutoff:
            continue
        if span is not None and event <= cutoff - span:
            continue
        if row["done_at"] is None or row["done_at"] > cutoff:
            row.update(cost=None, status=None, done_at=None)
        found.append(row)
    found.sort(key=lambda r: (r["opened_at"], r["site"], r["id"]))
    shown = pl.DataFrame(found, SCHEMA)
    return shown if where is None else shown.filter(where)


def newest_of(frame: pl.DataFrame, entity: Any, cutoff: datetime, by: str) -> Any:
    """The id of the entity's latest version, by a look at every row."""
    latest: dict[Any, dict[str, Any]] = {}
    for row in sorted(frame.iter_rows(named=True), key=lambda r: r["known_at"]):
        if row["known_at"] <= cutoff:
            latest[row["site"], row["id"]] = row
    ours = [row for row in latest.values() if entity is not None and row[by] == entity]
    order = sorted(ours, key=lambda r: (r["known_at"], r["opened_at"] is not None, r["opened_at"] or FIRST, r["site"], r["id"]))
    return order[-1]["id"] if order else None


def close(a: float | None, b: float | None, scale: float = 1.0) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9 * scale)


def figures(shown: pl.DataFrame, column: str, cutoff: datetime) -> dict[str, Any]:
    shown = shown.filter(pl.col(column).is_not_null())
    x = shown[column].to_numpy().astype(float)
    t = np.array([(e - cutoff) / DAY for e in shown["opened_at"]])
    if not len(x):
        return dict.fromkeys(("total", "mean", "sd", "slope", "last", "days_since_last")) | {"count": 0}
    steep = None if len(set(t)) < 2 else float(((t - t.mean()) * (x - x.mean())).sum() / ((t - t.mean()) ** 2).sum())
    of_window = {"count": len(x), "total": x.sum(), "mean": x.mean(), "sd": x.std(), "slope": steep}
    return of_window | {"last": x[-1], "days_since_last": -t[-1]}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(events=EVENTS, cutoffs=CUTOFFS, span=SPANS, where=st.sampled_from(sorted(WHERES)), along=st.booleans())
def test_counts_and_summaries_agree_with_a_look_at_every_row(
    events: list[dict[str, Any]], cutoffs: list[Any], span: timedelta | None, where: str, along: bool
) -> None:
    frame = frame_of(events)
    at, sites = asked(cutoffs)
    known = Tables({"events": table_of(frame)}, END).as_of(at)
    known = known.with_entities(sites, "site") if along else known
    by = "site" if along else "entity"
    expression = WHERES[where]
    counts = known.count("events", span, expression)
    since = known.days_since("events", expression)
    windows = known.window("events", span, expression)
    newest = known.latest("events")
    summaries = {column: known.summary("events", column, span, expression).rows(named=True) for column in ("value", "cost")}
    for i, (entity, cutoff) in enumerate(known.at.iter_rows()):
        shown = seen(frame, entity, cutoff, by, span, expression)
        assert counts[i] == shown.height
        assert windows.filter(pl.col("row") == i).select(list(SCHEMA)[:1]).equals(shown.select("id"))
        ever = seen(frame, entity, cutoff, by, None, expression)
        assert since[i] == (None if ever.is_empty() else (cutoff - ever["opened_at"][-1]) / DAY)
        for column, rows in summaries.items():
            wanted = figures(shown, column, cutoff)
            assert all(close(rows[i][name], wanted[name], 500.0) for name in wanted), (column, rows[i], wanted)
        assert newest.row(i, named=True)["id"] == newest_of(frame, entity, cutoff, by)


class Unmasked(Table):
    """Broken on purpose: one `known_when` is ignored."""

    def get_visibility_column(self, name: str) -> str | None:
        return None if name == "cost" else super().get_visibility_column(name)


class Hasty(Table):
    """Broken on purpose: the prefix sums forget known_at."""

    def visible_from(self) -> pl.Expr:
        return pl.col(self.event_at)


class Clairvoyant(Table):
    """Broken on purpose: the rows handed out forget known_at."""

    def select_current(self, frame: pl.DataFrame, cutoff: str = "cutoff") -> pl.DataFrame:
        return super().select_current(frame.with_columns(pl.lit(FIRST - 99 * DAY).alias(self.known_at)), cutoff)


def answers(known: TablesAsOf, sites: pl.Series, where: pl.Expr | None, span: timedelta | None) -> dict[str, pl.DataFrame]:
    """What every method says of one condition and one span."""
    pairs = pl.DataFrame({"row": range(known.at.height), "site": sites})
    shown = {"linked": known.join(pairs, "events", "site").sort(pl.all())}
    for way, view in (("own", known), ("along", known.with_entities(sites, "site"))):
        shown |= {
            f"{way} latest": view.latest("events"),
            f"{way} lag": view.lag("events", "cost", 1).to_frame(),
            f"{way} window": view.window("events", span, where),
            f"{way} count": view.count("events", span, where).to_frame(),
            f"{way} rate": view.rate("events", 10 * DAY, where).to_frame(),
            f"{way} cost": view.summary("events", "cost", span, where),
            f"{way} value": view.summary("events", "value", span, where),
            f"{way} since": view.days_since("events", where).to_frame(),
        }
    return shown


def changed_after(frame: pl.DataFrame, noise: pl.DataFrame, cutoff: datetime, rng: np.random.Generator) -> pl.DataFrame:
    """The frame with all versions, and all values hidden at the cutoff, replaced at random where they are known after it."""
    kept = frame.filter(pl.col("known_at") <= cutoff)
    hidden = pl.col("done_at") > cutoff
    kept = kept.with_columns(
        pl.when(hidden).then(pl.Series(rng.integers(600, 900, kept.height).astype(float))).otherwise("cost").alias("cost"),
        pl.when(hidden).then(pl.lit("cancelled")).otherwise("status").alias("status"),
        pl.when(hidden).then(pl.lit(cutoff) + HALF * int(rng.integers(1, 60))).otherwise("done_at").alias("done_at"),
    )
    return pl.concat([kept, noise.filter(pl.col("known_at") > cutoff)])


def random_frame(rng: np.random.Generator, n: int = 60) -> pl.DataFrame:
    def one() -> dict[str, Any]:
        return {
            "id": str(rng.integers(0, 14)),
            "entity": str(rng.choice(["e1", "e2"])),
            "site": str(rng.choice(["s1", "s2"])),
            "kind": str(rng.choice(["a", "b"])),
            "opened_at": int(rng.integers(0, 80)),
            "delay": int(rng.choice([-3, 0, 0, 2, 9, 30])),
            "done": int(rng.integers(0, 120)),
            "status": str(rng.choice(["open", "completed"])),
            "value": float(rng.normal()),
            "cost": float(rng.integers(0, 500)),
        }

    return frame_of([one() for _ in range(n)])


def first_difference(kind: type[Table], cutoffs: int, seed: int = 0) -> str | None:
    """The first method whose answer changes when what comes after a random cutoff is replaced; None where none does."""
    rng = np.random.default_rng(seed)
    sites = pl.Series("site", ["s1", "s2", None])
    for _ in range(cutoffs):
        cutoff = FIRST + HALF * int(rng.integers(5, 90))
        frame = random_frame(rng)
        other = changed_after(frame, random_frame(rng), cutoff, rng)
        at = pl.DataFrame({"entity": ["e1", "e2", None], "cutoff": [cutoff] * 3})
        where = WHERES[str(rng.choice(sorted(WHERES)))]
        span = (None, 10 * DAY)[int(rng.integers(2))]
        there, changed = (
            answers(Tables({"events": table_of(f, kind)}, END).as_of(at), sites, where, span) for f in (frame, other)
        )
        for name in there:
            if not same(there[name], changed[name]):
                return name
    return None


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Equal, floats to 1e-9: sums over other orders of rows round otherwise."""
    if one.shape != other.shape:
        return False
    numbers = [name for name, dtype in one.schema.items() if dtype == pl.Float64]
    if not one.drop(numbers).equals(other.drop(numbers)):
        return False
    return all(
        one[name].is_null().equals(other[name].is_null())
        and np.allclose(one[name].drop_nulls(), other[name].drop_nulls(), rtol=1e-9, atol=1e-8)
        for name in numbers
    )


@pytest.mark.slow
def test_what_comes_after_a_cutoff_changes_nothing_that_any_method_returns() -> None:
    assert first_difference(Table, cutoffs=100) is None


@pytest.mark.parametrize("kind", [Unmasked, Hasty, Clairvoyant])
def test_a_view_broken_on_purpose_is_found_by_replacing_what_comes_after(kind: type[Table]) -> None:
    assert first_difference(kind, cutoffs=30) is not None


@pytest.mark.slow
def test_an_intact_view_passes_the_same_replacements() -> None:
    assert first_difference(Table, cutoffs=10, seed=1) is None


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    frame = frame_of([])
    rows = pl.DataFrame({"id": ["1", "2"], "opened_at": [FIRST, FIRST + 7 * DAY]}).with_columns(known_at="opened_at")
    full = pl.concat([frame, rows], how="diagonal").with_columns(entity=pl.lit("e1"), site=pl.lit("s1"), value=1.0)
    at = pl.DataFrame({"entity": ["e1", "e1"], "cutoff": [FIRST + 7 * DAY, FIRST + 7 * DAY - timedelta(microseconds=1)]})
    known = Tables({"events": table_of(full)}, END).as_of(at)
    assert known.count("events", 7 * DAY).to_list() == [1, 1]
    assert known.window("events", 7 * DAY)["id"].to_list() == ["2", "1"]


def test_a_condition_on_the_cutoff_takes_the_explicit_way() -> None:
    rng = np.random.default_rng(3)
    known = Tables({"events": table_of(random_frame(rng))}, END).as_of(asked([("e1", 60, "s1"), ("e2", 90, "s2")])[0])
    late = (pl.col("cutoff") - pl.col("opened_at")) > 3 * DAY
    counted = known.count("events", None, late).to_list()
    assert counted == [known.window("events", None, late).filter(pl.col("row") == i).height for i in (0, 1)]
    assert known.summary("events", "value", None, late)["count"].to_list() == counted
    assert known.days_since("events", late).null_count() == 0


def test_an_average_of_like_values_far_from_nought_keeps_its_digits() -> None:
    rng = np.random.default_rng(4)
    n = 3000
    values = np.where(np.arange(n) < 1500, 1e6 + rng.normal(0, 1e-3, n), -5.0)
    times = [FIRST + i * timedelta(hours=5) for i in range(n)]
    frame = pl.DataFrame({"id": [str(i) for i in range(n)], "at": times, "value": values}).with_columns(
        entity=pl.lit("e1"), known_at="at"
    )
    table = Table("t", frame, "id", "entity", (), "at")
    at = pl.DataFrame({"entity": ["e1"] * 40, "cutoff": [FIRST + i * 7 * DAY for i in range(1, 41)]})
    found = Tables({"t": table}, END).as_of(at).summary("t", "value", 7 * DAY)
    for i, cutoff in enumerate(at["cutoff"]):
        inside = frame.filter((pl.col("at") <= cutoff) & (pl.col("at") > cutoff - 7 * DAY))["value"].to_numpy()
        assert found["sd"][i] == pytest.approx(inside.std(), rel=1e-9, abs=1e-12)
        assert found["total"][i] == pytest.approx(inside.sum(), rel=1e-9)


Change = Callable[[Table], Table]


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda t: t, lambda t: replace(t, frame=t.frame.reverse())])
def test_the_order_of_the_frame_changes_nothing(change: Change) -> None:
    table = table_of(random_frame(np.random.default_rng(5)))
    at, sites = asked([("e1", 60, "s1"), ("e2", 90, "s2")])
    for where in WHERES.values():
        there, other = (answers(Tables({"events": t}, END).as_of(at), sites, where, 20 * DAY) for t in (table, change(table)))
        assert [name for name in there if not same(there[name], other[name])] == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 999_999), st.integers(0, 10**16)), min_size=1, max_size=30))
def test_a_line_of_many_entities_and_times_sorts_as_its_pairs_do(pairs: list[tuple[int, int]]) -> None:
    code, time = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    line = EntityTimeEncoder(1_000_000, (time, np.array([0, 10**16])))(code, time)
    assert [pairs[i] for i in np.argsort(line, kind="stable")] == sorted(pairs)


def test_values_that_are_not_finite_take_the_explicit_way() -> None:
    frame = pl.DataFrame(
        {"id": ["a", "b"], "of": ["e", "f"], "known_at": [FIRST, FIRST], "value": [math.inf, 2.0]},
        schema_overrides={"known_at": pl.Datetime("us")},
    )
    at = pl.DataFrame({"entity": ["f"], "cutoff": [FIRST + DAY]})
    found = Tables({"t": Table("t", frame, "id", "of")}, END).as_of(at).summary("t", "value", None)
    assert found.row(0) == (1, 2.0, 2.0, 0.0, None, 2.0, 1.0)


OF_OTHERS = {
    "greatest": pl.col("value") == pl.col("value").max(),
    "before": pl.col("value").shift(1) > 0,
    "of its kind": pl.col("value") > pl.col("value").mean().over("kind"),
    "first": pl.col("kind").is_first_distinct(),
}


@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_condition_that_looks_at_other_rows_is_refused(name: str) -> None:
    known = Tables({"events": table_of(random_frame(np.random.default_rng(6)))}, END).as_of(asked([("e1", 60, "s1")])[0])
    with pytest.raises(ColumnError, match="looks at other rows"):
        known.count("events", None, OF_OTHERS[name])
    with pytest.raises(ColumnError, match="looks at other rows"):
        known.window("events", None, OF_OTHERS[name])
