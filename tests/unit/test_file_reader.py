"""Files as they land: every row with the line it stands on, and lines that are no rows marked."""

import csv
import io
from pathlib import Path
from typing import NoReturn

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epic22.adapters.sources import file_reader
from epic22.adapters.sources.file_reader import list_files, read_batches
from epic22.core.errors import FileError
from epic22.core.tables.row_contract import BROKEN_COLUMN, LINE_COLUMN, TEXT_COLUMN

CSV = 'a,b\n1,x\n2,"two\nlines"\n\n3,z\n'


@pytest.fixture(params=["whole", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "streamed":
        monkeypatch.setattr(file_reader, "STREAMED_FROM", 0)
    return str(request.param)


def rows(path: Path, size: int = 1000) -> pl.DataFrame:
    frames = [frame for frame in read_batches(path, size) if frame.height]
    return pl.concat(frames, how="diagonal").filter(~pl.all_horizontal(pl.exclude(LINE_COLUMN).is_null()))


def test_every_row_has_the_line_it_begins_on(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    assert rows(path).select(LINE_COLUMN, "a", "b").rows() == [(2, "1", "x"), (3, "2", "two\nlines"), (6, "3", "z")]


def test_a_line_of_another_width_is_marked_and_the_rest_is_read(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV.replace("1,x", "1,x,extra"))
    read = rows(path)
    assert read.select(LINE_COLUMN, BROKEN_COLUMN, TEXT_COLUMN).row(0) == (2, "3 fields where the header has 2", "1,x,extra")
    assert read.select(LINE_COLUMN, "a", "b").rows()[1:] == [(3, "2", "two\nlines"), (6, "3", "z")]


def test_a_line_that_is_too_short_is_marked_however_large_the_file_is(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b,c\n1,x,\n2,"y,\nz",7\n3,"u,v"\n4,,\n')
    read = rows(path)
    assert read.filter(pl.col(BROKEN_COLUMN).is_not_null()).select(LINE_COLUMN, BROKEN_COLUMN).rows() == [
        (5, "2 fields where the header has 3")
    ]
    assert read.filter(pl.col(BROKEN_COLUMN).is_null()).select("a", "b").rows()[:2] == [("1", "x"), ("2", "y,\nz")]


MULTILINE = [
    'a,b,c\n1,"x\ny",2\n3,z,\n',
    'a,b,c\r\n1,"x,\r\n\r\ny",2\r\n3,z,4\r\n',
    'a,b,c\n"say ""hi\n""",x,"\n"\n"1","2,\n,","""\n"""\n',
    '\ufeff"a\nb",b,c\n1,"x\ny\nz",2',
]


def read_line_by_line(*_: object, **__: object) -> NoReturn:
    raise AssertionError("read line by line")


@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
@pytest.mark.parametrize("text", MULTILINE)
def test_a_large_file_with_line_breaks_within_quotes_stays_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, batch_rows: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    whole = rows(path)
    monkeypatch.setattr(file_reader, "STREAMED_FROM", 0)
    monkeypatch.setattr(file_reader, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(file_reader, "_read_csv", read_line_by_line)
    assert rows(path).select(whole.columns).fill_null("").equals(whole.fill_null(""))


@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\n1,"x\ny"\n3,z,4\n',
        'a,b,c\n1,"x,\n,,,y"\n3,z,4\n',
        'a,b,c\n"1\n2","x\ny",2\n3,z\n',
        'a,b,c\n1,4" pipe,x\n3\n5,6" pipe,y\n',
        'a,b,c\n1,"x\ny",2\n3,"z',
    ],
)
def test_a_line_that_is_too_short_is_found_among_those_that_go_on_within_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, batch_rows: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    whole = rows(path)
    monkeypatch.setattr(file_reader, "STREAMED_FROM", 0)
    monkeypatch.setattr(file_reader, "BATCH_ROWS", batch_rows)
    assert rows(path).select(whole.columns).equals(whole)
    assert BROKEN_COLUMN in whole.columns


@given(
    st.lists(
        st.lists(st.sampled_from(["", "1", "x y", "a,b", "p\nq", 'say "hi"', "\n", ",\n,"]), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_rows_of_any_quoted_values_are_told_apart_as_the_parser_does(values: list[list[str]], batch_rows: int) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *values])
    lines = pl.Series(buffer.getvalue().removesuffix("\n").split("\n"))
    counted, is_open = 0, False
    for start in range(0, len(lines), batch_rows):
        counts = file_reader._count_separators(lines[start : start + batch_rows], ",", is_open)
        is_open = bool(counts["is_open"][-1])
        counted += int(counts["n"].sum())
        assert not counts["is_odd"].any()
    assert (counted, is_open) == (2 * (len(values) + 1), False)


@pytest.mark.parametrize(
    ("header", "says"), [("a,a,b", "two columns of the name 'a'"), ("a,#line,b", "a column of the name '#line'")]
)
def test_names_that_stand_for_two_things_are_refused_however_large_the_file_is(
    tmp_path: Path, way: str, header: str, says: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n1,2,3\n")
    with pytest.raises(FileError, match=says):
        rows(path)


def test_a_line_of_json_that_is_half_a_character_or_nested_too_deeply_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": "x"}\n{"a": "\\ud800"}\n' + "[" * 100_000 + "\n")
    assert [one is None for one in rows(path)[BROKEN_COLUMN]] == [True, False, False]
    (tmp_path / "t.json").write_text("[" * 100_000)
    with pytest.raises(FileError, match="not JSON"):
        rows(tmp_path / "t.json")


@pytest.mark.slow
def test_a_long_file_with_a_ragged_line_far_down_is_read_once_and_whole(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{n},x" for n in range(50_000)]
    lines[40_000] = "40000,x,extra"
    lines[10] = ""
    path.write_text("a,b\n" + "\n".join(lines) + "\n")
    read = rows(path, 1000)
    assert read[LINE_COLUMN].to_list() == [n for n in range(2, 50_002) if n != 12]
    assert read.filter(pl.col(BROKEN_COLUMN).is_not_null())[LINE_COLUMN].to_list() == [40_002]


@pytest.mark.parametrize(("separator", "encoding"), [(";", "utf-8"), ("\t", "utf-8"), (";", "cp1252"), (",", "utf-16")])
def test_other_separators_and_encodings_are_read(tmp_path: Path, way: str, separator: str, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV.replace(",", separator).replace("x", "ä"), encoding=encoding)
    assert rows(path).select(LINE_COLUMN, "a", "b").row(0) == (2, "1", "ä")


def test_large_json_lines_are_read_in_batches_with_the_same_columns(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "b": 2}\n' * 3 + '{"a": 3}\n' * 2)
    assert [frame.columns for frame in read_batches(path, 3)] == [[LINE_COLUMN, "a", "b"]] * 2
    assert rows(path, 3).rows() == [(1, "1", "2"), (2, "1", "2"), (3, "1", "2"), (4, "3", None), (5, "3", None)]


def test_an_array_of_records_is_read_by_place(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"a": 1}, 7,\n {"a": null}]')
    assert [frame.rows() for frame in read_batches(path)] == [
        [(1, "1", None, None), (2, None, "no JSON record", "7"), (3, None, None, None)]
    ]


def test_json_lines_keep_nested_values_as_json_and_mark_what_is_no_record(tmp_path: Path, way: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1.50, "b": {"c": [1]}}\n\n{broken\n{"b": true}\n')
    read = rows(path)
    assert read.filter(pl.col(BROKEN_COLUMN).is_null()).select(LINE_COLUMN, "a", "b").rows() == [
        (1, "1.50", '{"c": ["1"]}'),
        (4, None, "true"),
    ]
    assert read.filter(pl.col(BROKEN_COLUMN).is_not_null()).select(LINE_COLUMN, BROKEN_COLUMN, TEXT_COLUMN).rows() == [
        (3, "no JSON record", "{broken")
    ]


def test_files_are_found_by_the_table_s_name_alone_or_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    for name in ("units.csv", "units/a.parquet", "units/b.csv", "units/readme.md", "unitsb.csv"):
        (tmp_path / name).write_text("")
    assert [p.relative_to(tmp_path).as_posix() for p in list_files(tmp_path, "units")] == [
        "units.csv",
        "units/a.parquet",
        "units/b.csv",
    ]


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("no")
    (tmp_path / "u.csv").write_text("a,a\n1,2\n")
    with pytest.raises(FileError, match="not readable as Parquet"):
        rows(tmp_path / "t.parquet")
    with pytest.raises(FileError, match="two columns of the name 'a'"):
        rows(tmp_path / "u.csv")
