"""Names written in digits, or like words for missing: ids, groups and classes stay the text that they were."""

import json
from datetime import time
from pathlib import Path

import polars as pl
import pytest

from epic22.core.data.batches import CsvBatches
from epic22.core.data.column_words import build_name_reader
from epic22.core.data.files import RawTable, read_table
from epic22.core.data.profile import Profile, profile_batches
from epic22.core.data.schema_inference import Roles, conform_frame, infer_schema
from epic22.core.errors import ColumnError
from epic22.core.task import Column
from epic22.spec.flat_file import infer_kind, load_task_data
from epic22.spec.training_spec import build_spec

ROWS = 40
LOSSY = [
    ["007", "7"],
    ["1E2", "100"],
    ["18446744073709000018", "18446744073709000034"],
    ["9007199254740993", "9007199254740992.0"],
    ["02138", "2138"],
    ["+5", "5"],
    ["1,234", "1234"],
    ["1.50", "1.5"],
    ["NA", "7"],
    ["null", "None"],
    ["TRUE", "true"],
    ["1/2/2024", "01/02/2024"],
]


def table(**columns: list[str]) -> RawTable:
    frame = pl.DataFrame({name: (values * ROWS)[:ROWS] for name, values in columns.items()})
    return RawTable("t.csv", frame, "0", "csv", ",", "utf-8")


@pytest.mark.parametrize("names", LOSSY)
@pytest.mark.parametrize("roles", [Roles("y", id="who"), Roles("y", group="who")], ids=["id", "group"])
def test_ids_and_groups_keep_every_name_apart(names: list[str], roles: Roles) -> None:
    raw = table(who=names, y=["no", "yes", "yes"])
    typed = infer_schema(raw, roles)
    assert typed.frame["who"].cast(pl.String).unique().sort().to_list() == sorted(names)
    assert conform_frame(raw, typed.columns)["who"].unique().sort().to_list() == sorted(names)


@pytest.mark.parametrize("ids", [["1", "2", "30"], ["1.0", "2.0"], ["-4", "0"]])
def test_ids_that_are_plain_numbers_are_read_as_before(ids: list[str]) -> None:
    frame = infer_schema(table(who=ids, y=["no", "yes"]), Roles("y", id="who")).frame
    assert frame["who"].dtype.is_numeric()


def test_ids_of_a_typed_file_beyond_64_bits_stay_apart(tmp_path: Path) -> None:
    ids = [2**63 + 1, 2**63 + 2]
    pl.DataFrame({"who": pl.Series(ids * 20, dtype=pl.UInt64), "y": ["no", "yes"] * 20}).write_parquet(tmp_path / "t.parquet")
    frame = infer_schema(read_table(tmp_path / "t.parquet"), Roles("y", id="who")).frame
    assert frame["who"].n_unique() == 2


@pytest.mark.parametrize("codes", [["1E2", "100", "30"], ["02138", "10001"], ["00", "01", "02"]])
def test_codes_among_the_inputs_are_a_category_and_the_notes_say_so(codes: list[str]) -> None:
    typed = infer_schema(table(code=codes, y=["no", "yes"]), Roles("y"))
    column = next(column for column in typed.columns if column.name == "code")
    assert (column.dtype, set(column.levels)) == ("category", set(codes))
    assert any("code" in note and "dtype: int" in note for note in typed.notes)


@pytest.mark.parametrize(
    "numbers", [["1e+05", "120000"], ["1.5e3", "2E3"], ["-007", "5"], ["1e-3", "1"], ["0", "10"], ["007.5", "1"]]
)
def test_numbers_as_software_writes_them_stay_numbers(numbers: list[str]) -> None:
    frame = infer_schema(table(x=numbers, y=["no", "yes"]), Roles("y")).frame
    assert frame["x"].dtype.is_numeric()


def test_a_label_written_in_codes_is_classes_unless_it_is_said_to_be_a_value() -> None:
    raw = table(y=["01", "1", "02"], x=["1", "2", "3", "4"])
    assert infer_schema(raw, Roles("y")).frame["y"].unique().sort().to_list() == ["01", "02", "1"]
    assert infer_schema(raw, Roles("y", is_value=True)).frame["y"].dtype.is_integer()


def test_none_is_a_class_of_a_label_of_words_and_missing_in_one_of_numbers() -> None:
    words = infer_schema(table(y=["None", "Minor", "Severe", ""], x=["1", "2", "3"]), Roles("y"))
    assert words.frame["y"].unique().sort().to_list() == ["Minor", "None", "Severe"]
    assert any("kept as a class: 'None' (10 rows)" in note for note in words.notes)
    numbers = infer_schema(table(y=["None", "1", "2"], x=["1", "2", "3", "4"]), Roles("y"))
    assert numbers.frame["y"].unique().sort().to_list() == [1, 2]


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (["yes", "no", "n/a", "NA"], ["no", "yes"]),
        (["yes", "no", "-"], ["no", "yes"]),
        (["+", "-"], ["+", "-"]),
        (["+", "-", "0"], ["+", "-", "0"]),
        (["unknown", "low", "n.a."], ["low", "unknown"]),
    ],
)
def test_words_that_say_there_is_no_label_are_no_class(label: list[str], classes: list[str]) -> None:
    typed = infer_schema(table(y=label, x=["1", "2", "3", "4", "5", "6", "7"]), Roles("y"))
    assert typed.frame["y"].unique().sort().to_list() == classes
    assert "n/a" not in label or any("read as no label: 'n/a' (10 rows)" in note for note in typed.notes)


def profile(folder: Path, batch_rows: int, roles: Roles) -> tuple[Profile, pl.DataFrame]:
    """A table of odd names read in batches, and its rows in their types."""
    columns = {"who": ["007", "7", "NA"], "code": ["1E2", "100", "30"], "garage": ["None", "one"], "n": ["None", "1.5", "2"]}
    rows = table(**columns, y=["None", "Minor", "Severe", "Minor"]).frame.with_columns(late=pl.Series(["7"] * 39 + ["007"]))
    rows.write_csv(folder / "t.csv")
    batches = CsvBatches(folder / "t.csv", batch_rows)
    profile = profile_batches(batches, roles)
    return profile, pl.concat([frame for frame, _ in profile.iterate_typed_rows(batches)])


@pytest.mark.slow
def test_a_table_read_in_batches_keeps_the_same_names(tmp_path: Path) -> None:
    profile_, rows = profile(tmp_path, 7, Roles("y", id="who", group="late"))
    assert rows["who"].unique().sort().to_list() == ["007", "7", "NA"]
    assert rows["late"].unique().sort().to_list() == ["007", "7"]
    levels = {column.name: (column.dtype, column.levels) for column in profile_.columns}
    assert levels["code"] == ("category", ("100", "1E2", "30"))
    assert levels["garage"] == ("category", ("None", "one"))
    assert levels["y"] == ("category", ("Minor", "None", "Severe"))
    assert (levels["n"][0], rows["n"].null_count()) == ("float", 14)
    assert any("code ('1E2')" in note for note in profile_.notes)


def test_none_beside_numbers_in_a_label_read_in_batches_says_that_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "1,2\n2,3\n3,None\n" * 10)
    profile = profile_batches(CsvBatches(tmp_path / "t.csv", 7), Roles("y"))
    assert profile.rows == 20
    assert profile.notes == infer_schema(read_table(tmp_path / "t.csv"), Roles("y")).notes


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (["yes", "Yes", "no"], ["'yes'", "'Yes'"]),
        (["no damage", "no  damage", "some"], ["'no damage'", "'no  damage'"]),
        (["caf\u00e9", "cafe\u0301", "bar"], ["'caf\u00e9'", "'cafe\u0301'"]),
        (["straße", "STRASSE", "weg"], ["'straße'", "'STRASSE'"]),
    ],
)
def test_classes_that_differ_by_case_or_blanks_alone_are_refused_by_name(values: list[str], named: list[str]) -> None:
    with pytest.raises(ColumnError, match="differ by case or blanks alone: ") as refusal:
        infer_kind(pl.Series("y", values * 10), build_spec(csv="t.csv", label="y"))
    assert all(name in str(refusal.value) for name in named)


VARIANTS = ["yes", "Yes", "YES", "no", "No", " no", "maybe", "yes", "no"]


def write_variants(folder: Path) -> Path:
    """A table whose label is three classes, written in several ways."""
    path = folder / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i % 7}.5,{VARIANTS[i % len(VARIANTS)]}\n" for i in range(90)))
    return path


def test_the_refusal_of_variants_names_all_of_them_and_its_lines_merge_them(tmp_path: Path) -> None:
    path = write_variants(tmp_path)
    with pytest.raises(ColumnError) as refusal:
        load_task_data(build_spec(csv=path, label="y"))
    assert "'no' (30 rows) and 'No' (10 rows); 'yes' (20 rows) and 'YES' (10 rows) and 'Yes' (10 rows)" in str(refusal.value)
    line = str(refusal.value).partition("'columns: ")[2].partition("' in a file")[0]
    data = load_task_data(build_spec(csv=path, label="y", test=path, columns=json.loads(line)))
    assert data.task.target.classes == ("maybe", "no", "yes")
    assert "y: 'No' (10 rows), 'YES' (10 rows), 'Yes' (10 rows) are read as the levels that columns.y states" in " ".join(
        data.notes
    )
    assert data.test_rows == 90


def test_a_class_that_is_no_stated_level_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="10 values do not fit, first 'maybe' in row 7"):
        load_task_data(build_spec(csv=write_variants(tmp_path), label="y", columns={"y": {"levels": ["no", "yes"]}}))


def test_classes_of_large_numbers_have_names_of_their_own() -> None:
    label = pl.Series("y", [1000001.0, 1000002.0, 1000003.0] * 10)
    kind, classes, _ = infer_kind(label, build_spec(csv="t.csv", label="y", kind="multiclass"))
    assert (kind, classes) == ("multiclass", ("1000001", "1000002", "1000003"))


@pytest.mark.parametrize("label", [["Q1 2024", "Q2 2024"], ["FY23", "FY24"], ["2024-01-05", "2024-02-05"], ["08:00", "12:30"]])
def test_periods_days_and_hours_are_the_names_of_classes(label: list[str]) -> None:
    table = infer_schema(RawTable("t", pl.DataFrame({"x": range(20), "y": label * 10}), "0", "csv", ",", "utf-8"), Roles("y"))
    assert table.frame["y"].to_list() == label * 10


def test_many_times_of_day_in_a_label_are_values_whether_written_or_typed() -> None:
    hours = [time(h, 30) for h in range(20)]
    for label in (hours, [f"{h}:30" for h in range(20)]):
        frame = pl.DataFrame({"x": range(20), "y": label})
        table = infer_schema(RawTable("t", frame, "0", "csv", ",", "utf-8"), Roles("y"))
        assert table.frame["y"].to_list() == [h + 0.5 for h in range(20)]


def test_a_whole_number_that_is_a_level_is_so_with_a_decimal_too() -> None:
    """Where pandas writes a column with a gap, 10115 becomes 10115.0: each row had a level that training never saw."""
    column = Column("zip", "category", levels=("10115", "20095", "other"))
    later = RawTable("t", pl.DataFrame({"zip": ["10115.0", "20095", None, "30159.0"]}), "0", "csv", ",", "utf-8")
    assert conform_frame(later, (column,))["zip"].to_list() == ["10115", "20095", None, "30159.0"]
    assert [build_name_reader(None, column.levels)(text) for text in ("10115.0", "30159.0")] == ["10115", "30159.0"]
    assert build_name_reader(None, ("7.0", "x"))("7") == "7.0"
    assert build_name_reader(None, ("7", "7.0"))("7.0") == "7.0"
