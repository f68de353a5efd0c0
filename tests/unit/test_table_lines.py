"""The table in a file: titles above its header and totals below its rows are left out with a note, and nothing else is."""

from pathlib import Path

import polars as pl
import pytest

from epic22.core.data.batches import CsvBatches
from epic22.core.data.files import read_table
from epic22.core.errors import FileError

HEADER, ROWS = "no;area;rent", [f"{n};{'Hof' if n % 2 else 'Garten'};{400 + n},50" for n in range(40)]
TABLE = [HEADER, *ROWS]
TITLES = {
    "padded with separators": ["Rent roll May 2023;;"],
    "not padded": ["Rent roll, May 2023"],
    "several lines and an empty one": ["Rent roll", "Printed: 31.12.2023;", ";;"],
    "the separator that Excel is told": ["sep=;"],
    "a separator in it": ["Rents; May"],
    "several cells": ["Report;May;"],
    "a blank line below it": ["Rents", "", ""],
    "a comment": ["# made by the ledger"],
}
FOOTERS = {
    "a total": ["Summe;;16780,00"],
    "a total with a colon": ["Total:;;16780"],
    "a total without its other cells": ["Total"],
    "the number of rows": ["", "(40 rows affected)"],
    "a source": ["Source: the ledger;;"],
    "an empty line, an average and a remark": [";;", "Average;;419,50", "* without service charges;;"],
    "a total in Russian": ["Итого;;16780"],
}


def write(folder: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path = folder / "t.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def read_batches(path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    batches = CsvBatches(path, 7)
    return pl.concat([batch.frame for batch in batches]), batches.notes


@pytest.mark.parametrize("title", [[], *TITLES.values()])
@pytest.mark.parametrize("footer", [[], *FOOTERS.values()])
def test_lines_around_a_table_are_left_out_with_a_note(tmp_path: Path, title: list[str], footer: list[str]) -> None:
    path = write(tmp_path, [*title, *TABLE, *footer])
    table, (frame, notes) = read_table(path), read_batches(path)
    assert table.frame.rows() == [tuple(row.split(";")) for row in ROWS]
    assert table.frame.columns == HEADER.split(";")
    assert frame.equals(table.frame)
    assert notes == table.notes
    assert len(notes) == bool(title) + bool(footer)


def test_years_may_be_names_below_a_title(tmp_path: Path) -> None:
    lines = ["Population;;", "region;2019;2020", *(f"r{chr(97 + n)};{n}00;{n}50" for n in range(9))]
    assert read_table(write(tmp_path, lines)).frame.columns == ["region", "2019", "2020"]


WHOLE = {
    "a header whose first column has no name": [";a;b", "1;2;3", "2;3;4"],
    "a first row of missing values": [";a;c", "x;NA;red", "y;3;blue", "z;4;red", "w;5;red"],
    "a header without its last name": ["a;b;", "x;NA;red", "y;3;blue", "z;4;red", "w;5;red"],
    "a header of one name": ["index;;", "1;2;3", "2;3;4", "3;4;5"],
    "a class called total": ["sector;n", "Total;5", "Energy;4", "Total;7"],
    "a last row of a sector called total": ["sector;n;year", "Energy;4;2020", "Water;5;2021", "Total;7;2020"],
    "rows of missing values at the end": ["a;b", "1;2", ";", ";"],
    "one column": ["name", "Smith", "Total"],
    "text alone": ["a;b;c", "x;y;z", "Note;u;v"],
    "a last row with one value": ["id;note;x", "1;a;2", "note;;"],
}


@pytest.mark.parametrize("lines", WHOLE.values(), ids=WHOLE)
def test_a_table_without_such_lines_is_read_whole(tmp_path: Path, lines: list[str]) -> None:
    table = read_table(write(tmp_path, lines))
    assert table.notes == ()
    assert table.frame.height == len(lines) - 1


RAGGED = {
    "a line cut off": ([*TABLE, "41;Hof"], "line 42: 2 fields where the header has 3"),
    "one cell left": ([*TABLE, "41"], "line 42: 1 fields"),
    "a total among the rows": ([HEADER, *ROWS[:9], "Total;9", *ROWS[9:]], "line 11: 2 fields"),
    "a line too long": ([HEADER, *ROWS[:9], "9;Hof;1;2", *ROWS[9:]], "line 11: 4 fields"),
    "lines of names above a shorter table": (["name", "Smith, John", "Miller, Ann"], "line 2: 2 fields"),
}


@pytest.mark.parametrize(("lines", "message"), RAGGED.values(), ids=RAGGED)
def test_a_ragged_file_is_refused_as_before(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_table(write(tmp_path, lines))
    with pytest.raises(FileError):
        read_batches(write(tmp_path, lines))


def test_a_report_in_a_western_encoding_with_decimal_commas_is_read(tmp_path: Path) -> None:
    lines = ["Mietliste Stand 31.12.2023;;;", "Nr;Lage;Wohnfläche;Miete", *(f"{n};Hof;{n},5;{n}00,00 €" for n in range(30))]
    table = read_table(write(tmp_path, [*lines, "Summe;;;43500,00 €"], "cp1252"))
    assert (table.encoding, table.separator, table.frame.height) == ("cp1252", ";", 30)
    assert table.frame["Miete"][2] == "200,00 €"


def test_a_header_that_comes_again_among_the_rows_is_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,x\na,b\n2,y\na,b\n3,a\n")
    table = read_table(path)
    assert table.frame.rows() == [("1", "x"), ("2", "y"), ("3", "a")]
    assert table.notes == ("2 rows that repeat the header left out.",)
