"""The mapping file: what it can say of a foreign source, and that a mistake in it is named with its place."""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.adapters.sources.folder import load_mapping
from epic22.core.errors import ColumnError, FileError
from epic22.core.tables.mapping import SourceMap, map_rows
from epic22.core.tables.mapping_file import read_mapping
from epic22.core.tables.row_contract import LINE_COLUMN

UNITS = """
source: forms
tables:
  units:
    file: homes.csv
    columns:
      unit_id: {join: [{const: U}, id, block], separator: "-"}
      property_id: block
      bedrooms: {from: rooms, values: {studio: 0}}
      bathrooms: {const: 1}
      area_sqft: {from: info, path: "$.area"}
"""
HOMES = pl.DataFrame(
    {
        "id": ["1", "2"],
        "block": ["A", "B"],
        "rooms": ["studio", "2"],
        "info": ['{"area": 400}', '{"area": 500}'],
        LINE_COLUMN: [2, 3],
    }
)


def source(text: str, table: str = "units") -> SourceMap:
    return read_mapping("map.yaml", yaml.load(text, Loader=yaml.BaseLoader)).tables[table][0]


def values(spec: str, frame: pl.DataFrame) -> list[Any]:
    """One column made by a value's specification."""
    return map_rows(source(UNITS.replace("{from: rooms, values: {studio: 0}}", spec)), frame)["bedrooms"].to_list()


def test_columns_are_taken_joined_replaced_and_drawn_from_json() -> None:
    made = map_rows(source(UNITS), HOMES)
    assert made.rows() == [(2, "U-1-A", "A", "0", "1", "400"), (3, "U-2-B", "B", "2", "1", "500")]


@pytest.mark.parametrize(
    ("spec", "cells", "wanted"),
    [
        ("{from: rooms, width: 3}", [" 7", "0012", None, "x"], ["007", "0012", None, "00x"]),
        ("{from: rooms, unit: percent}", ["3.2", "x", None], ["0.032", "x", None]),
        ("{from: rooms, unit: cents}", ["123456", "1"], ["1234.56", "0.01"]),
        ("{from: rooms, unit: fahrenheit}", ["212"], ["100.0"]),
        ("{from: rooms, values: {EMERGENCY: critical}}", ["EMERGENCY", "low"], ["critical", "low"]),
        ("{from: rooms, values: {LOW: low}, otherwise: high}", ["LOW", "x", None], ["low", "high", None]),
        (
            '{from: rooms, decimal: ","}',
            ["1.450,00 €", "\u221212,50", "(7)", "90 m2", "7,-", "2 x 300", "1.2M", "1,234.56", None],
            ["1450.00", "-12.50", "-7.0", "90.0", "7.0", "2 x 300", "1.2M", "1,234.56", None],
        ),
        (
            '{from: rooms, decimal: ","}',
            ["1.23", "1.234", "1,23", "1.2345"],
            ["1.23 (its decimal mark is no ',')", "1234.0", "1.23", "1.2345 (its decimal mark is no ',')"],
        ),
        ("{from: rooms, default: none}", ["", None, "x"], ["none", "none", "x"]),
        ("{from: rooms, add: -3650d}", ["2020-01-01"], [datetime(2010, 1, 3)]),
        ("{const: 2020-01-01, ago: {years: rooms}}", ["18", "0", "x"], [datetime(2002, 1, 1), datetime(2020, 1, 1), None]),
        ("{const: 2020-01-01, ago: {years: rooms}}", ["-5", "1000000", "1"], [None, None, datetime(2019, 1, 1)]),
    ],
)
def test_values_are_converted(spec: str, cells: list[str | None], wanted: list[Any]) -> None:
    frame = HOMES.head(1).select("id", "block", "info", LINE_COLUMN).join(pl.DataFrame({"rooms": cells}), how="cross")
    assert values(spec, frame) == wanted


def test_numbers_of_a_source_with_types_have_no_marks() -> None:
    frame = HOMES.head(1).select("id", "block", "info", LINE_COLUMN).join(pl.DataFrame({"rooms": [145.125, 1.5]}), how="cross")
    assert values('{from: rooms, decimal: ","}', frame) == [145.125, 1.5]


@given(st.lists(st.decimals(0, 10**9, places=2), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_cents_are_exact_to_the_cent(amounts: list[Any]) -> None:
    frame = HOMES.head(1).select("id", "block", "info", LINE_COLUMN)
    rooms = pl.DataFrame({"rooms": [str(int(a * 100)) for a in amounts]})
    made = values("{from: rooms, unit: cents}", frame.join(rooms, how="cross"))
    assert pl.Series(made).cast(pl.Decimal(18, 2)).to_list() == amounts


def test_rows_are_chosen_repeated_and_left_out() -> None:
    text = UNITS + "    where: {block: [A, B], rooms: {not_in: [studio]}}\n    for_each: {side: [left, right]}\n"
    with pytest.raises(FileError, match=r"tables.units.where.block"):
        source(text.replace("[A, B]", "{among: [A]}"))
    made = map_rows(source(text.replace("[A, B]", "{in: [A, B]}")), HOMES)
    assert made[LINE_COLUMN].to_list() == [3, 3]
    drop = UNITS + "    drop_where_also_in: {file: gone.csv, on: [id, {block: place}]}\n"
    gone = pl.DataFrame({"id": ["1", "2"], "place": ["A", "A"]})
    assert map_rows(source(drop), HOMES, gone)[LINE_COLUMN].to_list() == [3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("units:", "unitz:"), "map.yaml: tables.unitz: no canonical table 'unitz'"),
        (("bedrooms:", "bedroms:"), "tables.units.columns.bedroms: units has no such column (did you mean bedrooms?)"),
        (("      bathrooms: {const: 1}\n", ""), "units needs bathrooms too; where the source has no such thing, say what to put"),
        (("{const: 1}", "{const: 1, from: x}"), "tables.units.columns.bathrooms: expected a column's name, or exactly one of"),
        (("{const: 1}", "{const: 1, unitt: percent}"), "'unitt' is not known here (did you mean unit?)"),
        (
            ("{const: 1}", "{const: 1, unit: yards}"),
            "tables.units.columns.bathrooms.unit: 'yards' is not known; there are percent",
        ),
        (("{const: 1}", "{const: 1, add: soon}"), "'soon' is no span; write it as -30d, 12h or 1y"),
        (("{const: 1}", "[1]"), "tables.units.columns.bathrooms: expected a record of names and values, found list"),
        (("file: homes.csv", "for_each: {}"), "tables.units: expected 'file:' with a file's name"),
        (("file: homes.csv", "file: homes.csv\n    query: SELECT 1"), "tables.units: 'file:' and 'query:' are both given"),
        (("file: homes.csv", "file: homes.csv\n    watermark: id"), "tables.units.watermark: means nothing beside 'file:'"),
        (("file: homes.csv", "query: ' '"), "tables.units.query: expected the text of one SELECT"),
        (("file: homes.csv", "query: SELECT 1\n    overlap: 2d"), "tables.units.overlap: there is no 'watermark:'"),
        (
            ("file: homes.csv", "query: SELECT 1\n    watermark: id\n    overlap: soon"),
            "tables.units.overlap: 'soon' is no span; write it as 2d, 12h or 30m",
        ),
        (("file: homes.csv", "query: SELECT 1\n    deleted: sometimes"), "tables.units.deleted: expected full_scan, or a record"),
        (
            ("file: homes.csv", "query: SELECT 1\n    deleted: {equals: a}"),
            "tables.units.deleted: expected 'column:'",
        ),
        (("file: homes.csv", "query: SELECT 1\n    deleted: {column: a, is: b}"), "'is' is not known here"),
        (("file: homes.csv", "query: SELECT 1\n    timeout: 0s"), "tables.units.timeout: no query ends in no time"),
        (
            ("file: homes.csv", "query: SELECT 1\n    drop_where_also_in: {file: a.csv, on: [id]}"),
            "tables.units.drop_where_also_in: names a file; leave such rows out in the query",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(change: tuple[str, str], said: str) -> None:
    with pytest.raises(FileError) as error:
        source(UNITS.replace(*change))
    assert said in str(error.value)


def test_a_column_that_the_source_lacks_is_named_with_the_nearest() -> None:
    with pytest.raises(ColumnError, match=r"no column rooms \(did you mean Rooms\?\), which the mapping file names"):
        map_rows(source(UNITS), HOMES.rename({"rooms": "Rooms"}))


WIDE = UNITS.replace(
    "    columns:\n", '    unpivot: {columns: "^(\\\\d{4})-rooms$", name: year, value: rooms}\n    columns:\n', 1
).replace("const: U}, id, block", "const: U}, id, year")


def test_columns_that_stand_for_periods_become_rows_and_empty_cells_none() -> None:
    wide = HOMES.drop("rooms").with_columns(
        pl.Series("2023-rooms", ["1", " "]),
        pl.Series("2024-rooms", [None, "3"]),
        pl.Series("#broken", [None, None], dtype=pl.String),
    )
    wide = pl.concat([wide, pl.DataFrame({LINE_COLUMN: [4], "#broken": ["2 fields"]})], how="diagonal")
    made = map_rows(source(WIDE), wide)
    assert made.select(LINE_COLUMN, "unit_id", "bedrooms").rows() == [(2, "U-1-2023", "1"), (3, "U-2-2024", "3"), (4, None, None)]
    with pytest.raises(
        ColumnError, match=r"no column fits '\^\(\\\\d\{4\}\)-rooms\$', which the mapping file unpivots; there are id"
    ):
        map_rows(source(WIDE), HOMES)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["2022-rooms", "2023-rooms", "2024-rooms"]), st.integers(0, 9)), min_size=1, max_size=6
    )
)
@settings(max_examples=30, deadline=None)
def test_unpivoted_rows_are_the_cells_that_there_are(cells: list[dict[str, int]]) -> None:
    names = ("2022-rooms", "2023-rooms", "2024-rooms")
    columns = {name: pl.Series([None if name not in row else str(row[name]) for row in cells], dtype=pl.String) for name in names}
    wide = pl.DataFrame({"id": [str(n) for n in range(len(cells))], "block": "A", "info": "{}", **columns}).with_row_index(
        LINE_COLUMN
    )
    made = map_rows(source(WIDE), wide)
    there = [(f"U-{n}-{name[:4]}", str(row[name])) for n, row in enumerate(cells) for name in names if name in row]
    assert made.select("unit_id", "bedrooms").rows() == there


def test_words_and_leading_zeros_stay_the_text_they_are(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(UNITS.replace("{const: 1}", "{from: rooms, values: {NO: 01}}"))
    assert load_mapping(path).tables["units"][0].columns["bathrooms"].values == (("NO", "01"),)


def test_yaml_that_is_none_and_a_file_that_is_absent_are_said(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("a: [")
    with pytest.raises(FileError, match=r"map.yaml: not readable as YAML"):
        load_mapping(tmp_path / "map.yaml")
    with pytest.raises(FileError, match="cannot be read"):
        load_mapping(tmp_path / "none.yaml")


def test_a_mapping_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("source: !!python/object/apply:os.system [echo]\ntables: {}\n")
    with pytest.raises(FileError):
        load_mapping(tmp_path / "map.yaml")


def test_a_foreign_source_gives_the_same_version_as_the_canonical_one(tmp_path: Path) -> None:
    tables = {name: small_tables()[name] for name in ("properties", "units")}
    take_in(Lake(tmp_path / "own"), write_tables(tmp_path / "in", tables))
    homes = tables["units"].select(
        pl.col("unit_id").str.strip_prefix("U").alias("Nr"),
        pl.col("property_id").alias("House"),
        pl.col("bedrooms").replace_strict({0: "studio"}, default=pl.col("bedrooms").cast(pl.String)).alias("Rooms"),
        pl.col("area_sqft").alias("Area"),
        pl.col("known_at").alias("Entered"),
    )
    foreign = write_tables(tmp_path / "foreign", {"homes": homes, "properties": tables["properties"]})
    same = "\n".join(f"      {name}: {name}" for name in tables["properties"].columns if name != "known_at")
    (tmp_path / "map.yaml").write_text(
        f"tables:\n  properties:\n    file: properties.csv\n    known_at: known_at\n    columns:\n{same}\n"
        "  units:\n    file: homes.csv\n    known_at: Entered\n    columns:\n      unit_id: {join: [{const: U}, Nr]}\n"
        "      property_id: House\n      bedrooms: {from: Rooms, values: {studio: 0}}\n      bathrooms: {const: 1.5}\n"
        "      area_sqft: Area\n"
    )
    take_in(Lake(tmp_path / "mapped"), foreign, mapping=tmp_path / "map.yaml")
    assert Lake(tmp_path / "mapped").resolve_version().id == Lake(tmp_path / "own").resolve_version().id
