"""Files of rows as they land: what is in them comes back cell by cell, in every format and in batches of any size."""

import csv
import fcntl
import gzip
import io
import json
from pathlib import Path
from typing import IO

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epic22.adapters.scratch import scratch_folder
from epic22.adapters.sources import file_reader
from epic22.adapters.sources.catalog import list_sources
from epic22.adapters.sources.file_reader import list_files, read_batches
from epic22.adapters.sources.folder import list_canonical_files, list_mapped_files, load_mapping
from epic22.core.errors import FileError
from epic22.core.lineage import file_sha256
from epic22.core.tables.row_contract import BROKEN_COLUMN, LINE_COLUMN, TEXT_COLUMN

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
CELLS = WORDS | st.text('\n\t,;"a ', max_size=6)
TABLES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12)
with_files = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    """A CSV of two columns, quoted throughout."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    path.write_bytes(text.getvalue().encode())
    return path


@with_files
@given(rows=TABLES, size=st.integers(1, 5))
@pytest.mark.slow
def test_every_cell_of_a_csv_comes_back_in_batches_of_any_size(rows: list[tuple[str, str]], size: int, tmp_path: Path) -> None:
    frames = list(read_batches(write_csv(tmp_path / "t.csv", rows), size))
    assert all(frame.height <= size for frame in frames)
    read = pl.concat(frames)
    assert read.select("a", "b").rows() == rows
    line = 2
    for row, number in zip(rows, read[LINE_COLUMN], strict=True):
        assert number == line
        line += 1 + sum(cell.count("\n") for cell in row)


@pytest.mark.slow
@with_files
@given(rows=TABLES, size=st.integers(1, 5))
def test_a_large_csv_gives_the_same_rows_as_a_small_one(rows: list[tuple[str, str]], size: int, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", rows)
    whole = pl.concat(read_batches(path, size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_reader, "STREAMED_FROM", 0)
        streamed = pl.concat(read_batches(path, size))
    # A streamed empty cell is missing, as it is in the check that follows for either.
    assert streamed.select(LINE_COLUMN, pl.col("a", "b").fill_null("")).equals(whole)


def test_rows_that_are_read_one_by_one_come_in_whole_batches_with_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "PIECE_ROWS", 3)
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{n},{n}\n" if n != 11 else "1,2,3\n" for n in range(20)))
    frames = list(read_batches(tmp_path / "t.csv", 8))
    assert [frame.height for frame in frames] == [8, 8, 4]
    assert [line for frame in frames for line in frame[LINE_COLUMN]] == list(range(2, 22))
    assert frames[1][BROKEN_COLUMN].to_list() == [None, None, None, "3 fields where the header has 2", None, None, None, None]


@with_files
@given(rows=TABLES, size=st.integers(1, 5))
def test_every_cell_of_json_lines_comes_back(rows: list[tuple[str, str]], size: int, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in rows))
    read = pl.concat(read_batches(path, size))
    assert read.select("a", "b").rows() == rows
    assert read[LINE_COLUMN].to_list() == list(range(1, len(rows) + 1))


@with_files
@given(rows=TABLES, size=st.integers(1, 5))
def test_a_file_that_is_zipped_is_read_as_if_it_were_not(rows: list[tuple[str, str]], size: int, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", rows)
    with gzip.open(tmp_path / "z.csv.gz", "wb") as stream:
        stream.write(path.read_bytes())
    assert pl.concat(read_batches(tmp_path / "z.csv.gz", size)).equals(pl.concat(read_batches(path, size)))


def test_numbers_in_json_stay_the_text_that_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"a": 1.10, "b": 12345678901234567890, "c": NaN}]')
    assert next(read_batches(path)).select("a", "b", "c").row(0) == ("1.10", "12345678901234567890", "NaN")


def test_a_parquet_file_keeps_its_types_and_counts_its_rows(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": range(7), "t": [f"x{n}" for n in range(7)]})
    frame.write_parquet(tmp_path / "t.parquet")
    frames = list(read_batches(tmp_path / "t.parquet", 3))
    read = pl.concat(frames)
    assert read.drop(LINE_COLUMN).equals(frame)
    assert read[LINE_COLUMN].cast(pl.Int64).to_list() == list(range(1, 8))
    assert max(part.height for part in frames) <= 3


def test_a_column_without_a_name_is_called_by_its_place_and_a_mark_at_the_begin_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa, ,c\n1,2,3\n")
    assert next(read_batches(path)).columns == [LINE_COLUMN, "a", "column_2", "c"]


def test_the_text_of_a_broken_line_is_kept_beside_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1;2\n3\n")
    broken = next(read_batches(path)).filter(pl.col(BROKEN_COLUMN).is_not_null())
    assert broken.select(LINE_COLUMN, BROKEN_COLUMN, TEXT_COLUMN, "a").rows() == [
        (3, "1 fields where the header has 2", "3", None)
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"\n\n", "holds no line; expected a header line and rows"),
        ("t.json", b'[{"a": 1}', "not JSON"),
        ("t.jsonl", b"1\n2\n", "no record in it"),
        ("t.parquet", b"PAR1", "not readable as Parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_its_name(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        list(read_batches(tmp_path / name))
    assert name in str(error.value)


def test_a_last_cell_whose_quote_is_never_closed_is_read_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,"2')
    assert next(read_batches(tmp_path / "t.csv")).select("a", "b").rows() == [("1", "2")]


def test_a_record_that_lacks_a_key_is_missing_there_in_its_batch_and_in_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": "1"}\n{"b": "2"}\n{"a": "3"}\n')
    rows = [frame.drop(LINE_COLUMN).to_dicts() for frame in read_batches(path, 1)]
    assert rows == [[{"a": "1"}], [{"a": None, "b": "2"}], [{"a": "3", "b": None}]]


def test_files_of_a_table_come_by_suffix_and_then_by_name_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    for name in ("leases.parquet", "leases.csv", "leases/2024.csv", "leases/2023.jsonl.gz", "leases/.hidden", "leases.txt"):
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in list_files(tmp_path, "leases")]
    assert names == ["leases.csv", "leases.parquet", "leases/2023.jsonl.gz", "leases/2024.csv"]
    assert list_files(tmp_path, "units") == ()


def test_canonical_files_carry_their_hash_and_the_name_of_their_source(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    for name, cell in (("tenants.csv", "T1"), ("units/new.csv", "U1")):
        (tmp_path / name).write_text(f"id\n{cell}\n")
    incoming = list_sources(tmp_path, "crm")
    assert [(i.table.name, i.name) for i in incoming] == [("units", "crm/units/new.csv"), ("tenants", "crm/tenants.csv")]
    assert incoming[0].sha256 == file_sha256(tmp_path / "units" / "new.csv")
    assert [i.name for i in list_canonical_files(tmp_path)] == ["units/new.csv", "tenants.csv"]


MAPPING = """
source: office
tables:
  units:
    files: ["homes-*"]
    columns: {unit_id: id, property_id: house, bedrooms: rooms, bathrooms: {const: 1}, area_sqft: {const: 700}}
"""


def test_a_pattern_stands_for_all_files_that_fit_it_by_name(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(MAPPING)
    for name in ("homes-b.csv", "homes-a.csv", "homes-c.csv.bak", "other.csv"):
        (tmp_path / name).write_text(f"id,house,rooms\n{name},P1,2\n")
    incoming = list_mapped_files(tmp_path, tmp_path / "map.yaml")
    assert [i.name for i in incoming] == ["office/homes-a.csv", "office/homes-b.csv"]
    assert [i.name for i in list_mapped_files(tmp_path, tmp_path / "map.yaml", "city")] == [
        "city/homes-a.csv",
        "city/homes-b.csv",
    ]


def test_a_pattern_that_fits_no_file_and_a_name_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(MAPPING)
    with pytest.raises(FileError, match=r"no file fits 'homes-\*'"):
        list_mapped_files(tmp_path, tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text(MAPPING.replace("homes-*", "homes.csv"))
    with pytest.raises(FileError, match=r"no file 'homes\.csv', which the mapping names; there are map\.yaml"):
        list_mapped_files(tmp_path, tmp_path / "map.yaml")


def test_a_mapping_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        load_mapping(tmp_path / "none.yaml")
    (tmp_path / "map.yaml").write_text("tables: [")
    with pytest.raises(FileError, match="not readable as YAML"):
        load_mapping(tmp_path / "map.yaml")


def fail_in(root: Path) -> None:
    """Write into a scratch folder and fail."""
    with scratch_folder(root) as folder:
        assert [path.name for path in folder.iterdir()] == [".lock"]
        (folder / "rows").mkdir()
        raise RuntimeError("on the way")


def test_a_scratch_folder_is_empty_and_gone_after_an_error(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    with pytest.raises(RuntimeError, match="on the way"):
        fail_in(root)
    assert list(root.iterdir()) == []


def test_a_folder_without_a_lock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with scratch_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_another_takes_for_abandoned_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_at_once, removed = fcntl.flock, list[Path]()

    def lock_late(file: IO[str], flags: int) -> None:
        if not removed:
            removed.append(Path(file.name).parent)
            with scratch_folder(tmp_path):
                """Another training begins at this moment, and looks for what is abandoned."""
        lock_at_once(file, flags)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with scratch_folder(tmp_path) as folder:
        assert not removed[0].exists()
        (folder / "rows").write_bytes(b"1234")
