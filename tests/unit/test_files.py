"""Reading files: whole or not at all, and one clear sentence for what is wrong."""

import contextlib
import gzip
import io
import json
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epic22.core.data.batches import open_batches
from epic22.core.data.csv_records import MAX_LINE_BYTES
from epic22.core.data.files import SEPARATORS, read_table
from epic22.core.errors import FileError

CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


def put(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=2, max_size=8),
    separator=st.sampled_from(SEPARATORS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_text_written_as_csv_reads_back_equal(
    tmp_path: Path, rows: list[tuple[str, str, str]], separator: str, encoding: str
) -> None:
    frame = pl.DataFrame(rows, schema=["first", "second", "third"], orient="row")
    path = put(tmp_path, frame.write_csv(separator=separator, quote_style="always").encode(encoding))
    read = read_table(path)
    assert read.separator == separator
    assert read.frame.equals(frame)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=60), st.text('[]{}",;:\t\n\r a1é', max_size=60)))
def test_any_bytes_are_a_table_or_one_sentence(tmp_path: Path, content: bytes | str) -> None:
    with contextlib.suppress(FileError):
        assert read_table(put(tmp_path, content)).frame.height


def parquet(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_parquet(stream)
    return stream.getvalue()


WHOLE = {"parquet": parquet(pl.DataFrame({"n": range(500)})), "gzip": gzip.compress(b"a,b\n" + b"1,2\n" * 500)}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.1, 0.99))
def test_a_part_of_a_file_is_never_half_a_table(tmp_path: Path, content: bytes, share: float) -> None:
    with pytest.raises(FileError):
        read_table(put(tmp_path, content[: max(5, int(share * len(content)))]))


def test_gzip_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(b"a,b\n1,2\n"), "plain.csv")
    assert read_table(path).frame["b"].to_list() == ["2"]


def test_a_byte_order_mark_before_another_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = put(tmp_path, b'\xef\xbb\xbf\xef\xbb\xbf"a",b\n1,2\n3,4\n')
    assert read_table(path).frame.columns == ["a", "b"]
    assert open_batches(path).names == ("a", "b")


def test_windows_letters_are_read(tmp_path: Path) -> None:
    read = read_table(put(tmp_path, "name;size\nMüller;3\nJosé;4\n".encode("cp1252")))
    assert read.encoding == "cp1252"
    assert read.frame["name"].to_list() == ["Müller", "José"]


def test_a_windows_apostrophe_after_an_accent_is_no_utf_8(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, "name,n\nRené’s,1\n".encode("cp1252"))).frame["name"].to_list() == ["René’s"]


def test_a_parquet_file_may_be_gzipped(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, gzip.compress(WHOLE["parquet"]))).format == "parquet"


def test_a_field_may_be_longer_than_the_csv_modules_own_limit(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, "a,b\n1," + "x" * 200_000 + "\n")).frame["b"].str.len_chars().to_list() == [200_000]


def test_names_lose_their_blanks_and_a_nameless_column_is_called_by_its_position(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, ",a ,b\n1,2,3\n")).frame.columns == ["column_1", "a", "b"]


def test_a_file_of_one_column_is_a_table(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, "a\n1\n2\n")).frame["a"].to_list() == ["1", "2"]


def test_separators_inside_quotes_do_not_count(tmp_path: Path) -> None:
    read = read_table(put(tmp_path, 'a;b\n"1,2,3";4\n"5,6,7";8\n'))
    assert read.frame.rows() == [("1,2,3", "4"), ("5,6,7", "8")]


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a;b\n" + "1,5;2,5\n" * 60, ";"),
        ("a\tb\n" + "one, two, three\tfour, five\n" * 60, "\t"),
        ("a|b;c\n1|2\n3|4\n", "|"),
        ("a;b\n1;2\n", ";"),
    ],
)
def test_the_separator_is_what_cuts_header_and_rows_alike(tmp_path: Path, text: str, separator: str) -> None:
    read = read_table(put(tmp_path, text))
    assert (read.separator, read.frame.width) == (separator, 2)


@pytest.mark.parametrize("header", ["[id],[name]", "{id},{name}"])
def test_a_header_in_brackets_is_no_json(tmp_path: Path, header: str) -> None:
    assert read_table(put(tmp_path, f"{header}\n1,2\n")).frame.columns == header.split(",")


def test_one_record_over_several_lines_is_a_table(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, json.dumps({"a": 1, "b": "x"}, indent=2))).frame.rows() == [("1", "x")]


def test_json_numbers_stay_the_text_they_are(tmp_path: Path) -> None:
    frame = read_table(put(tmp_path, '[{"a": 1.10, "b": 1e400, "c": 12345678901234567890123}]')).frame
    assert frame.row(0) == ("1.10", "1e400", "12345678901234567890123")


def test_odd_line_ends_inside_a_json_text_do_not_end_its_line(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, '{"a": "x\u2028y"}\n{"a": "z"}\n')).frame["a"].to_list() == ["x\u2028y", "z"]


def test_json_records_and_json_lines_are_tables(tmp_path: Path) -> None:
    records = [{"a": 1, "b": "x"}, {"a": None, "c": True}]
    for name, text in (("t.json", json.dumps(records)), ("t.jsonl", "\n".join(map(json.dumps, records)))):
        frame = read_table(put(tmp_path, text, name)).frame
        assert frame.rows() == [("1", "x", None), (None, None, "true")]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": [1, 2], "x": [0.5, None], "c": pl.Series(["u", "v"], dtype=pl.Categorical)})
    frame.write_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet").frame
    assert read.dtypes == [pl.Int64, pl.Float64, pl.String]


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    a, b = (read_table(put(tmp_path, text, name)).sha256 for text, name in (("a\n1\n", "x.csv"), ("a\n1\n", "y.csv")))
    assert a == b != read_table(put(tmp_path, "a\n2\n")).sha256


BROKEN = {
    "empty": (b"", "is empty"),
    "header only": (b"a,b\n", "header and no rows"),
    "blank lines": (b"\n\n\n", "blank lines only"),
    "ragged": (b"a,b\n1,2\n3,4,5\n", "line 3: 3 fields where the header has 2"),
    "short": (b"a,b\n1,2\n3\n", "line 3: 1 fields"),
    "binary": (bytes(range(256)) * 20, "no text"),
    "two names": (b"a,b,a\n1,2,3\n", "two columns of the name 'a'"),
    "two names after stripping": (b"a,a \n1,2\n", "two columns of the name 'a'"),
    "invalid utf-8": (b"a,b\nx\x81\x8d,2\n", "neither UTF-8 nor"),
    "mixed encodings": ("a,b\né,2\n".encode() + "ü,3\n".encode("latin-1"), "neither UTF-8 nor"),
    "utf-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), "no text"),
    "half of utf-16": (b"\xff\xfea\x00,\x00b", "UTF-16"),
    "open quote": (b'a,b\n"1,2\n', "unexpected end|quote"),
    "long line": (b"a,b\n1," + b"x" * (MAX_LINE_BYTES + 10) + b"\n", "longer than 16 MB"),
    "long line of json": (b'{"a": 1}\n{"a": "' + b"x" * (MAX_LINE_BYTES + 10) + b'"}\n', "longer than 16 MB"),
    "nothing in gzip": (gzip.compress(b""), "is empty"),
    "blank of utf-8 before western": ("a,b\nx\u00a0y,2\n".encode() + "é,3\n".encode("cp1252"), "line 3: byte 0xe9"),
    "cut gzip": (gzip.compress(b"a,b\n1,2\n" * 100)[:25], "truncated gzip"),
    "cut parquet": (b"PAR1" + b"\x00" * 40, "truncated Parquet"),
    "bad json": (b'[{"a": 1}, {"a": }]', "not JSON"),
    "nested json": (b'[{"a": {"b": 1}}]', "flat record"),
    "json of numbers": (b"[1, 2]", "flat record"),
    "empty json": (b"[]", "at least one"),
    "deep json": (b"[" * 100_000, "nested too deeply"),
    "a name twice in a record": (b'[{"a": 1, "a": 2}]', "two values of the name 'a'"),
    "two json names after stripping": (b'[{"a": 1, "a ": 2}]', "two columns of the name 'a'"),
    "half a character": (b'[{"a": "\\ud800"}]', "half a character"),
    "two records in a line": (b'{"a": 1}\n{"a": 2} {"a": 3}\n', "line 2, column 9: expected one record a line"),
    "more after the array": (b'[{"a": 1}] x', "not JSON|one record a line"),
    "bad json line": (b'{"a": 1}\n{"a": \n', "line 2"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        read_table(put(tmp_path, content))
    assert "\n" not in str(caught.value)
    assert "t.csv" in str(caught.value)


def test_a_name_that_says_json_is_believed(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="line 1, column 1: not JSON"):
        read_table(put(tmp_path, "a,b\n1,2\n", "t.json"))


def test_an_absent_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(FileError, match="is a folder"):
        read_table(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows read what they may not")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "a\n1\n")
    path.chmod(0)
    with pytest.raises(FileError, match="permissions"):
        read_table(path)


def test_a_parquet_of_lists_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"l": [[1], [2]]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(FileError, match="column 'l'"):
        read_table(tmp_path / "t.parquet")


def test_a_separator_at_the_end_of_each_row_parts_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1;x;\n2;y; ;\n")
    assert read_table(tmp_path / "t.csv").frame.to_dict(as_series=False) == {"a": ["1", "2"], "b": ["x", "y"]}


@pytest.mark.parametrize("header", ["a;b;", "a;b;;;"])
def test_separators_at_the_end_of_the_header_alone_part_nothing(tmp_path: Path, header: str) -> None:
    rows = "".join(f"{n},5;{'' if n else 'x'}\n" for n in range(5))
    read = read_table(put(tmp_path, f"{header}\n{rows}"))
    assert (read.separator, read.frame.columns, read.frame["a"][0]) == (";", ["a", "b"], "0,5")
    assert read_table(put(tmp_path, "a;b;\n1;2;3\n4;5;6\n")).frame.columns == ["a", "b", "column_3"]


def test_commas_within_names_and_numbers_are_no_separators_where_semicolons_are(tmp_path: Path) -> None:
    for names in ("Fläche, m²;Miete, EUR", "Fläche, m²;Miete, EUR;y", "Fläche, m²;Miete, EUR;y;"):
        rows = "".join(f"{30 + n},5;{300 + n},25{';ja' if 'y' in names else ''}\n" for n in range(5))
        read = read_table(put(tmp_path, f"{names}\n{rows}"))
        assert (read.separator, read.frame.row(0)[:2]) == (";", ("30,5", "300,25")), names


def test_a_cell_that_a_spreadsheet_is_told_to_take_for_text_is_that_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n="007",x\n"=""7""",="y"\n')
    assert read_table(tmp_path / "t.csv").frame.rows() == [("007", "x"), ("7", "y")]


def test_text_in_utf_32_is_read_by_its_mark(tmp_path: Path) -> None:
    read = read_table(put(tmp_path, "name;n\nStraße;1\nEck;2\n".encode("utf-32")))
    assert (read.encoding, read.frame["name"].to_list()) == ("utf-32", ["Straße", "Eck"])


def test_a_file_that_is_no_utf_8_says_how_its_first_word_was_read(tmp_path: Path) -> None:
    read = read_table(put(tmp_path, "улица;n\nдом;1\nсад;2\n".encode("cp1251") + b"plain text and more of it;3\n" * 5))
    assert any("read as Windows-1252" in note and "'óëèöà'" in note for note in read.notes)
    assert not read_table(put(tmp_path, "name;n\nStraße;1\nEck;2\n")).notes


def test_a_separator_within_quotes_behind_a_blank_parts_nothing(tmp_path: Path) -> None:
    read = read_table(put(tmp_path, 'id, "a, b", y\n' + "".join(f'{n}, "x, {n}", {n % 2}\n' for n in range(5))))
    assert read.frame.columns == ["id", "a, b", "y"]
    assert read.frame.row(3) == ("3", "x, 3", "1")


def test_a_separator_within_single_quotes_parts_nothing(tmp_path: Path) -> None:
    read = read_table(put(tmp_path, "id,'a, b',y\n" + "".join(f"{n},'x, {n}',{n % 2}\n" for n in range(5))))
    assert read.frame.columns == ["id", "a, b", "y"]
    assert read.frame.row(3) == ("3", "x, 3", "1")
    apostrophes = read_table(put(tmp_path, "id,a\n1,'tis so\n2,it's\n3,rock 'n' roll\n"))
    assert apostrophes.frame["a"].to_list() == ["'tis so", "it's", "rock 'n' roll"]


def test_a_line_of_units_below_the_header_is_left_out_and_told(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n * 2},{n / 3:.2f},s{n}\n" for n in range(9))
    read = read_table(put(tmp_path, f"id,power,temp,site\n,kW,°C,\n{rows}"))
    assert read.frame["power"].to_list() == [str(n * 2) for n in range(9)]
    assert read.notes == ("1 line of units below the header left out: 'kW °C'.",)
    row_of_names = read_table(put(tmp_path, f"id,power,temp,site\n,,,m\n{rows}"))
    assert row_of_names.frame["site"][0] == "m"


@pytest.mark.parametrize("name", ["*", "^a.*$"])
def test_a_column_name_that_stands_for_several_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="would stand for others too; rename it"):
        read_table(put(tmp_path, f"{name},b\n1,2\n"))


def test_marks_that_nobody_sees_are_no_part_of_a_column_name(tmp_path: Path) -> None:
    assert read_table(put(tmp_path, "\u200bid,rent\ufeff\n1,2\n")).frame.columns == ["id", "rent"]


def test_two_columns_of_one_name_in_a_file_without_a_header_say_that_it_has_none(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="its first line seems to hold values"):
        read_table(put(tmp_path, "0,0,400.5,x\n1,2,401.5,y\n"))
