"""A column of shares comes in one unit at each ingest of its table, or the ingest is refused with the way out."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lakes import take_in

from epic22.adapters.lake import Lake
from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import get_canonical_table
from epic22.core.tables.shares import StoredShares, decide_share_unit, list_share_columns, read_shares

MARKET = get_canonical_table("market")
(VACANCY,) = list_share_columns(MARKET, [column.name for column in MARKET.columns])


@pytest.mark.parametrize(
    ("raw", "unit"), [(["3.2", "5", "0.5"], "percent"), (["0.032", "0.05", "3"], "fraction"), (["3.2", "500"], "fraction")]
)
def test_of_the_first_rows_most_have_to_be_percent(raw: list[str], unit: str) -> None:
    assert decide_share_unit("market.vacancy_rate", read_shares(pl.Series(raw), VACANCY), None) == unit


@pytest.mark.parametrize(
    ("values", "unit"),
    [([0.5, 0.8], "percent"), ([0.5], "percent"), ([4.0, 0.2], "percent"), ([30.0], "percent"), ([0.0], "percent")],
)
def test_what_came_in_percent_is_read_so_where_few_show_it(values: list[float], unit: str) -> None:
    assert decide_share_unit("a.b", pl.Series(values), StoredShares("percent", 0.01, 0.12)) == unit


@pytest.mark.parametrize("values", [[0.05], [0.02, 0.08, 0.11], [0.3]])
def test_fractions_after_percent_are_refused(values: list[float]) -> None:
    with pytest.raises(ColumnError, match=r"came in percent: they are like it as fraction alone\. Say 'unit: percent' or"):
        decide_share_unit("a.b", pl.Series(values), StoredShares("percent", 0.01, 0.12))


def test_percent_after_fractions_are_refused() -> None:
    stored = StoredShares("fraction", 0.03, 0.12)
    with pytest.raises(ColumnError, match=r"a\.b: 2 values from 3\.2 to 5 .* from 0\.03 to 0\.12, and came as fractions"):
        decide_share_unit("a.b", pl.Series([3.2, 5.0]), stored)
    with pytest.raises(ColumnError, match="like it as percent alone"):
        decide_share_unit("a.b", pl.Series([0.9, 0.8]), StoredShares("fraction", 0.005, 0.02))
    assert decide_share_unit("a.b", pl.Series([0.2, 3.0, 0.1]), stored) == "fraction"


def test_what_was_stored_without_its_unit_is_judged_by_its_values() -> None:
    stored = StoredShares(None, 0.01, 0.12)
    assert decide_share_unit("a.b", pl.Series([3.2]), stored) == "percent"
    assert decide_share_unit("a.b", pl.Series([0.06]), stored) == "fraction"
    with pytest.raises(ColumnError, match="like it as percent alone"):
        decide_share_unit("a.b", pl.Series([1.0, 0.9]), stored)


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from(["percent", "fraction"]), st.floats(0.001, 0.5))
def test_no_later_ingest_is_read_in_another_unit(values: list[float], unit: str, low: float) -> None:
    stored = StoredShares(unit, low, 2 * low)  # type: ignore[arg-type]
    with suppress(ColumnError):
        assert decide_share_unit("a.b", pl.Series(values, dtype=pl.Float64), stored) == unit


def write_market(folder: Path, month: int, rates: list[str]) -> Path:
    folder.mkdir()
    lines = ["zip_code,bedrooms,month,average_rent,vacancy_rate,source,provenance,published_at"]
    lines += [f"0123{i},2,2022-{month:02d}-01,1200,{rate},own,own,2022-{month:02d}-02" for i, rate in enumerate(rates)]
    (folder / "market.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def read_rates(lake: Lake, month: int) -> list[float]:
    rows = lake.scan("market").filter(pl.col("month") == datetime(2022, month, 1)).sort("zip_code")
    return list(rows.collect()["vacancy_rate"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "small", "odd", "unit"),
    [
        (["3.2", "5", "8.1"], ["0.5", "0.9"], ["0.04", "0.06"], "fraction"),
        (["0.032", "0.05", "0.081"], ["0.02", "0.3"], ["4", "6"], "percent"),
    ],
)
def test_each_ingest_is_read_as_the_first_or_refused_until_it_is_said(
    tmp_path: Path, first: list[str], small: list[str], odd: list[str], unit: str
) -> None:
    lake, scale = Lake(tmp_path / "lake"), 100 if unit == "fraction" else 1
    take_in(lake, write_market(tmp_path / "one", 1, first))
    take_in(lake, write_market(tmp_path / "two", 2, small))
    assert read_rates(lake, 2) == pytest.approx([float(rate) / scale for rate in small])
    folder = write_market(tmp_path / "three", 3, odd)
    with pytest.raises(ColumnError, match=r"market\.csv: market\.vacancy_rate: 2 values .* Nothing was stored"):
        take_in(lake, folder)
    assert lake.version(2) == lake.latest()
    names = ["zip_code", "bedrooms", "month", "average_rent", "source", "provenance", "published_at"]
    columns = "".join(f"      {name}: {name}\n" for name in names)
    mapping = folder / "mapping.yaml"
    mapping.write_text(
        f"source: own\ntables:\n  market:\n    file: market.csv\n    columns:\n{columns}"
        f"      vacancy_rate: {{from: vacancy_rate, unit: {unit}}}\n",
        encoding="utf-8",
    )
    take_in(lake, folder, mapping=mapping)
    assert read_rates(lake, 3) == pytest.approx([float(rate) / (1 if unit == "fraction" else 100) for rate in odd])
