"""Tables that come as Excel workbooks or in zip archives are read as the same table in CSV."""

import io
import zipfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.workbooks import Cell, write_workbook

from epic22.adapters.sources.file_reader import list_files, read_batches
from epic22.core.column import Column, ColumnReading, NumberFormat
from epic22.core.data import workbook
from epic22.core.data.files import read_table
from epic22.core.data.schema_inference import Roles, conform_frame, infer_schema
from epic22.core.errors import FileError
from epic22.core.tables.row_contract import LINE_COLUMN

ROWS: list[list[Cell]] = [
    ["id", "rent", "since", "at", "ok", "note"],
    ["007", 1200.0, datetime(2024, 3, 1), datetime(2024, 3, 1, 12, 30), True, 'a, "b"'],
    ["1E2", 0.5, datetime(1999, 12, 31), datetime(2024, 3, 1), False, None],
]
AS_TEXT = [
    ("007", "1200", "2024-03-01", "2024-03-01 12:30:00", "true", 'a, "b"'),
    ("1E2", "0.5", "1999-12-31", "2024-03-01", "false", ""),
]


def put(folder: Path, content: bytes, name: str = "leases.xlsx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def pack(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, one in files.items():
            archive.writestr(name, one)
    return content.getvalue()


def test_a_sheet_is_read_with_its_texts_numbers_days_and_truth_values(tmp_path: Path) -> None:
    raw = read_table(put(tmp_path, write_workbook({"Sheet1": ROWS, "Empty": []})))
    assert raw.frame.columns == ROWS[0]
    assert raw.frame.rows() == AS_TEXT


def test_numbers_of_a_sheet_are_numbers_whatever_their_points_look_like(tmp_path: Path) -> None:
    """As text 609 beside 1.103 is 609 beside 1103, and 1.234 was 1234 to a model of amounts like 1.234,50."""
    rents = [609.0, 1.103, 777.0, 1.205, 800.0, 1.311]
    sheet: list[list[Cell]] = [["Rents of 2024"], ["who", "rent", "note", "y"]]
    sheet += [[7.0, rents[i % 6] if i else None, i if i % 2 else "-", i % 2] for i in range(30)]
    raw = read_table(put(tmp_path, write_workbook({"Sheet1": sheet})))
    assert raw.numbers == {"who", "rent", "y"}
    assert raw.frame["who"][0] == "7"
    assert infer_schema(raw, Roles("y", id="who")).frame["rent"].to_list() == [None, *(rents[i % 6] for i in range(1, 30))]
    column = Column("rent", "float", reading=ColumnReading(NumberFormat(",", ".")))
    assert conform_frame(raw, (column,))["rent"].to_list()[:4] == [None, 1.103, 777.0, 1.205]


def test_of_several_sheets_the_one_named_as_the_file_is_read(tmp_path: Path) -> None:
    content = write_workbook({"Notes": [["who"], ["me"]], "Leases": ROWS})
    assert read_table(put(tmp_path, content)).frame.rows() == AS_TEXT
    with pytest.raises(FileError, match=r"2 sheets that hold rows \(Notes, Leases\); expected one, or one that is named 'rents'"):
        read_table(put(tmp_path, content, "rents.xlsx"))


@pytest.mark.slow
@given(
    cells=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=12).map(str.strip),
            st.integers(-(2**52), 2**52),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_text_and_whole_number_of_a_sheet_comes_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, int]]
) -> None:
    rows: list[list[Cell]] = [["name", "n"]]
    for name, n in cells:
        rows.append([name, n])
    path = put(tmp_path_factory.mktemp("book"), write_workbook({"one": rows}))
    (batch,) = read_batches(path)
    assert batch["n"].to_list() == [str(n) for _, n in cells]
    assert [name or "" for name in batch["name"]] == [name for name, _ in cells]


def test_an_archive_with_one_file_is_read_as_that_file(tmp_path: Path) -> None:
    content = b"a,b\n1,x\n2,y\n"
    packed = pack({"__MACOSX/._t.csv": b"no", "folder/t.csv": content})
    assert read_table(put(tmp_path, packed, "t.zip")).frame.rows() == [("1", "x"), ("2", "y")]
    assert next(read_batches(tmp_path / "t.zip")).drop(LINE_COLUMN).rows() == [("1", "x"), ("2", "y")]
    frame = io.BytesIO()
    pl.DataFrame({"a": [1, 2]}).write_parquet(frame)
    assert read_table(put(tmp_path, pack({"t.parquet": frame.getvalue()}), "p.zip")).frame["a"].to_list() == [1, 2]
    put(tmp_path, pack({"t.json": b'[{"a": 1}, {"a": 2}]'}), "j.zip")
    assert next(read_batches(tmp_path / "j.zip"))["a"].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack({"a.csv": b"a\n1\n", "b.csv": b"a\n1\n"}), "an archive with 2 files (a.csv, b.csv); expected one"),
        (pack({}), "is no text"),
        (pack({"a.csv": b""}), "is empty (0 bytes)"),
        (pack({"a.csv": b"a\n1\n"})[:40], "a damaged or locked archive"),
        (pack({"xl/workbook.xml": b"<nothing/>"}), "not readable as an Excel workbook"),
        (write_workbook({"one": []}), "0 sheets that hold rows (none)"),
    ],
    # Bytes for a name would hold the second at which they were packed: two processes would collect different tests.
    ids=["two files", "no file", "an empty file", "half an archive", "a bare workbook", "a workbook without rows"],
)
def test_an_archive_that_is_no_table_is_refused_in_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FileError) as refused:
        read_table(put(tmp_path, content))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_archive_that_swells_beyond_its_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_UNZIPPED_BYTES", 1000)
    with pytest.raises(FileError, match="unzipped it is larger"):
        read_table(put(tmp_path, pack({"a.csv": b"a\n" + b"1\n" * 1000}), "a.zip"))


def test_workbooks_and_archives_are_files_of_a_table(tmp_path: Path) -> None:
    put(tmp_path, write_workbook({"one": ROWS}))
    put(tmp_path, pack({"x.csv": b"a\n1\n"}), "leases.zip")
    assert [path.name for path in list_files(tmp_path, "leases")] == ["leases.xlsx", "leases.zip"]


def test_an_archive_with_a_wrong_byte_is_one_sentence_or_the_table_that_it_was(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "a,b\n" + "12,some words\n" * 20)
    content = stream.getvalue()
    for place in range(4, len(content)):
        damaged = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
        with suppress(FileError):
            assert workbook.unwrap_archive(tmp_path / "t.zip", damaged).count(b"12,some words\n") == 20
