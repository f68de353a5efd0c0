"""A flat file as a task: kinds, positives, names, and columns that are called like our own."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.request_model import build_request_model
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError, RowError, UserError
from epic22.core.task import Kind
from epic22.spec import flat_file
from epic22.spec.flat_file import load_task_data, read_rows
from epic22.spec.task_comments import Inferred, add_inferred
from epic22.spec.task_request import refuse_contradictions
from epic22.spec.training_spec import build_spec


def file_of(folder: Path, name: str = "t.csv", n: int = 60, **columns: list[object]) -> Path:
    frame = pl.DataFrame({"x": np.arange(n) % 7 + 0.5, **columns})
    frame.write_csv(folder / name)
    return folder / name


def declared(folder: Path, labels: list[object], kind: Kind | None = None, positive: str | None = None) -> TaskData:
    return load_task_data(build_spec(csv=file_of(folder, y=labels), label="y", positive=positive, kind=kind))


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([0, 1, 0], "binary", ("0", "1")),
        (["No", "Yes", "No"], "binary", ("No", "Yes")),
        (["true", "false", "true"], "binary", ("false", "true")),
        (["good", "bad", "good"], "binary", ("good", "bad")),
        ([1.0, 0.0, 0.0], "binary", ("0", "1")),
        (["a", "b", "c"], "multiclass", ("a", "b", "c")),
        ([1, 2, 3], "multiclass", ("1", "2", "3")),
        ([0.5, 1.5, 2.5], "regression", ()),
        ([1.0, 2.0, None, 3.0], "multiclass", ("1", "2", "3")),
    ],
)
def test_the_kind_follows_the_label(tmp_path: Path, labels: list[object], kind: str, classes: tuple[str, ...]) -> None:
    task = load_task_data(build_spec(csv=file_of(tmp_path, n=20 * len(labels), y=labels * 20), label="y")).task
    assert (task.target.kind, task.target.classes) == (kind, classes)


def test_many_whole_numbers_are_values(tmp_path: Path) -> None:
    assert declared(tmp_path, [i % 30 for i in range(60)]).task.target.kind == "regression"


def test_a_stated_kind_and_positive_are_obeyed(tmp_path: Path) -> None:
    assert declared(tmp_path, [1, 2, 3] * 20, kind="regression").task.target.kind == "regression"
    examples = declared(tmp_path, ["No", "Yes", "No"] * 20, positive="No").examples()
    assert examples.y.mean() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("labels", "kind", "positive", "said"),
    [
        (["a"] * 60, None, None, "every row has 'a'"),
        ([f"l{i}" for i in range(60)], None, None, "60 different values"),
        (["a", "b"] * 30, "regression", None, "regression needs numbers"),
        (["a", "b"] * 30, None, "c", "has the values a and b"),
        ([0.5, 1.5, 2.5] * 20, None, "1", "not one of two classes"),
    ],
)
def test_a_label_that_cannot_be_predicted_as_asked_is_refused(
    tmp_path: Path, labels: list[object], kind: Kind | None, positive: str | None, said: str
) -> None:
    with pytest.raises(ColumnError, match=said):
        declared(tmp_path, labels, kind, positive)


def test_columns_may_be_called_like_our_own(tmp_path: Path) -> None:
    odd = ["entity", "cutoff", "row", "group", "label", "count", "value", "known_at", "entity_id", "column_0"]
    columns: dict[str, Any] = {name: [(i * (j + 3)) % 17 + 0.5 for i in range(60)] for j, name in enumerate(odd)}
    path = file_of(tmp_path, y=[0, 1] * 30, **columns)
    examples = load_task_data(build_spec(csv=path, label="y")).examples()
    assert examples.X.columns == ["x", *odd]
    assert examples.X.equals(pl.read_csv(path).select("x", *odd))


def test_what_the_audit_suspects_is_left_out_unless_kept(tmp_path: Path) -> None:
    path = file_of(tmp_path, y=[0, 1] * 30, echo=[0, 1] * 30)
    out = load_task_data(build_spec(csv=path, label="y"))
    kept = load_task_data(build_spec(csv=path, label="y", keep=("echo",)))
    assert [c.name for c in out.task.input_columns] == ["x"]
    assert [c.name for c in kept.task.input_columns] == ["x", "echo"]
    assert [s.withheld for s in (*out.suspicions, *kept.suspicions)] == [True, False]
    with pytest.raises(ColumnError, match="--keep ekho: no such column"):
        load_task_data(build_spec(csv=path, label="y", keep=("ekho",)))


def test_an_id_that_repeats_becomes_the_group(tmp_path: Path) -> None:
    path = file_of(tmp_path, y=[0, 1] * 30, who=[f"p{i % 20}" for i in range(60)])
    assignment = load_task_data(build_spec(csv=path, label="y", id="who"))
    assert "who repeats" in " ".join(assignment.notes)
    group = assignment.examples().group
    assert group is not None
    assert len(set(group)) == 20


def test_a_test_file_lies_below_and_need_not_have_all_classes(tmp_path: Path) -> None:
    first = file_of(tmp_path, y=[0, 1] * 30)
    second = file_of(tmp_path, "test.csv", 10, y=[0] * 10)
    assignment = load_task_data(build_spec(csv=first, label="y", test=second))
    assert (assignment.test_rows, len(assignment.examples())) == (10, 70)


def test_a_test_file_with_a_class_of_its_own_is_refused(tmp_path: Path) -> None:
    first = file_of(tmp_path, y=["a", "b"] * 30)
    second = file_of(tmp_path, "test.csv", 10, y=["c"] * 10)
    with pytest.raises(ColumnError, match="c occurs in the test file only"):
        load_task_data(build_spec(csv=first, label="y", test=second))


def test_the_data_version_follows_bytes_and_roles_and_not_the_files_place(tmp_path: Path) -> None:
    path = file_of(tmp_path, y=[0, 1] * 30)
    (tmp_path / "other").mkdir()
    moved = file_of(tmp_path / "other", "u.csv", y=[0, 1] * 30)
    changed = file_of(tmp_path, "v.csv", y=[1, 0] * 30)
    version = load_task_data(build_spec(csv=path, label="y")).data_version.id
    assert load_task_data(build_spec(csv=moved, label="y")).data_version.id == version
    assert load_task_data(build_spec(csv=changed, label="y")).data_version.id != version
    assert load_task_data(build_spec(csv=path, label="y", positive="0")).data_version.id != version


def test_nothing_left_to_learn_from_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, y=[0, 1] * 30)
    with pytest.raises(ColumnError, match="no column is left"):
        load_task_data(build_spec(csv=path, label="y", drop=("x",)))


def with_formulas(folder: Path, *formulas: str, keep: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> TaskData:
    rng = np.random.default_rng(3)
    noise, sign = rng.normal(size=60), np.resize([50.0, -50.0], 60)
    half, other, y = list(noise + sign), list(-sign), list((noise > 0).astype(int))
    path = file_of(folder, half=half, other=other, kind=["a", "b", "a"] * 20, y=y)
    return load_task_data(build_spec(csv=path, label="y", drop=drop, keep=keep, formula=formulas))


def test_formulas_become_columns_of_the_task(tmp_path: Path) -> None:
    found = with_formulas(tmp_path, "speed [m/s] = x / other", "`twice x` = speed * 2 * other")
    assert [(f.name, f.unit) for f in found.task.formulas] == [("speed", "m/s"), ("twice x", None)]
    assert "speed = x / other" in found.notes


def test_a_formula_that_gives_the_label_away_is_left_out_and_those_made_of_it(tmp_path: Path) -> None:
    echo, twice = "echo = half + other", "twice = echo * 2"
    found = with_formulas(tmp_path, echo, twice, "fine = x * 2")
    assert [f.name for f in found.task.formulas] == ["fine"]
    assert {s.column for s in found.suspicions} >= {"echo", "twice"}
    assert any("echo" in note and "left out" in note for note in found.notes)
    kept = with_formulas(tmp_path, echo, keep=("echo",))
    assert [f.name for f in kept.task.formulas] == ["echo"]


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("made = y * 2", "uses 'y', which is the label"),
        ("made = x * 2", "uses 'x', which is left out"),
        ("made = half + kinds", "did you mean 'kind'"),
        ("made = half + kind", "holds texts"),
        ("half = other * 2", "a column of that name"),
        ("y = other * 2", "a column of that name"),
    ],
)
def test_a_formula_of_what_is_no_input_is_refused(tmp_path: Path, formula: str, said: str) -> None:
    with pytest.raises(ColumnError, match=said):
        with_formulas(tmp_path, formula, drop=("x",))


def test_a_task_says_in_words_what_it_is_about_else_the_label_and_the_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, y=[0, 1] * 30)
    assert (
        load_task_data(build_spec(csv=path, label="y", about="who leaves within a month")).task.about
        == "who leaves within a month"
    )
    assert load_task_data(build_spec(csv=path, label="y")).task.about == f"y from {path.name}"


@pytest.mark.parametrize("holdout", [{"test": Path("new.csv")}, {"holdout_from": "2024-01-01"}, {"holdout_last": 3}])
def test_a_search_that_judges_itself_excludes_rows_held_out(tmp_path: Path, holdout: dict[str, Any]) -> None:
    spec = build_spec(csv=file_of(tmp_path, y=[0, 1] * 30), label="y", trials=2, nested=False, **holdout)
    with pytest.raises(UserError, match="--no-nested evaluates on the search's own folds"):
        refuse_contradictions(spec)
    refuse_contradictions(build_spec(csv=spec.path, label="y", trials=2, **holdout))


def test_a_date_after_the_rows_own_time_is_asked_about_and_used(tmp_path: Path) -> None:
    days = [datetime(2024, 1, 1) + timedelta(days=i) for i in range(60)]
    seen: list[object] = [*days]
    closed: list[object] = [day + timedelta(days=30) if i % 2 else None for i, day in enumerate(days)]
    built: list[object] = [day - timedelta(days=900 + 7 * (i % 5)) for i, day in enumerate(days)]
    path = file_of(tmp_path, y=[0, 1, 1] * 20, seen=seen, closed=closed, built=built)
    assignment = load_task_data(build_spec(csv=path, label="y", time=("seen",)))
    late = {s.column: (s.suspicion, s.withheld) for s in assignment.suspicions}
    assert late == {"closed": ("post-event column", False)}
    assert "after the row's own time in 50.0% of the rows" in assignment.suspicions[0].evidence


STAMPS: list[object] = [
    "2024-03-01T00:00:00+02:00",
    "2024-03-01 00:30:00 -05:00",
    "2024-02-29T22:30:00Z",
    "",
    "2024-11-01T00:00:00+01:00",
]


def test_month_weekday_and_hour_of_stamps_with_an_offset_are_local(tmp_path: Path) -> None:
    path = file_of(tmp_path, n=60, at=STAMPS * 12, y=["a", "b", "b"] * 20)
    data = load_task_data(build_spec(csv=path, label="y", formula=["m = month(at)", "w = weekday(at)", "h = hour(at)"]))
    X, task = data.examples().X, data.task
    made = Preprocessor.fit(task.input_columns, X, formulas=task.formulas).derive(X).head(5)
    assert X["at"][0] == datetime(2024, 2, 29, 22)
    assert made["m"].to_list() == [3, 3, 2, None, 11]
    assert made["w"].to_list() == [5, 5, 4, None, 5]
    assert made["h"].to_list() == [0, 0, 22, None, 0]
    later = read_rows(file_of(tmp_path, "later.csv", n=1, at=["2024-03-31T23:30:00-09:00"]), task.columns)
    preprocessor = Preprocessor.fit(task.input_columns, X, formulas=task.formulas)
    assert preprocessor.derive(later)["m"].to_list() == [3]
    row = build_request_model(Schema.of(task)).row
    said = {field.alias: str(field.description) for field in row.model_fields.values()}
    assert said["UTC offset of at"].startswith("hours that at is ahead of UTC; in hours; absent: as at states")
    request = row.model_validate({"at": "2024-03-31T23:30:00-09:00", "x": 0.5})
    assert preprocessor.transform_row(request.model_dump(by_alias=True)).tolist() == preprocessor.transform(later).tolist()


def test_times_of_a_typed_file_have_the_hours_of_their_zone(tmp_path: Path) -> None:
    hours = pl.datetime_range(datetime(2024, 3, 31), datetime(2024, 3, 31, 5), "1h", time_zone="Europe/Berlin", eager=True)
    frame = pl.DataFrame({"at": [*hours] * 12, "x": range(60), "y": ["a", "b", "b"] * 20})
    frame.write_parquet(tmp_path / "t.parquet")
    data = load_task_data(build_spec(csv=tmp_path / "t.parquet", label="y", formula=["h = hour(at)"]))
    made = Preprocessor.fit(data.task.input_columns, data.examples().X, formulas=data.task.formulas).derive(data.examples().X)
    assert made["h"].head(5).to_list() == [0, 1, 3, 4, 5]


def test_offsets_are_no_input_without_their_times_and_none_of_a_task_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, at=STAMPS * 12, y=["a", "b", "b"] * 20)
    spec = build_spec(csv=path, label="y")
    data = load_task_data(spec)
    assert [column.name for column in data.task.input_columns] == ["x", "at", "UTC offset of at"]
    assert [c.name for c in add_inferred(spec, Inferred(data.task, data.examples().X)).columns] == ["x", "at", "y"]
    without = load_task_data(build_spec(csv=path, label="y", drop=["at"]))
    assert [column.name for column in without.task.input_columns] == ["x"]


def test_a_later_file_tells_categories_that_training_never_saw(tmp_path: Path) -> None:
    columns = load_task_data(
        build_spec(csv=file_of(tmp_path, zip=["02138", "01002", "90210"] * 20, y=[0, 1, 1, 0] * 15), label="y")
    )
    heard: list[str] = []
    read_rows(file_of(tmp_path, "later.csv", n=2, zip=["2138", "90210"]), columns.task.columns, heard.append)
    assert heard == ["later.csv: zip: 1 rows hold what training never saw, treated as missing: '2138'."]


def test_a_later_level_that_differs_by_case_or_blanks_alone_is_that_of_training_in_files_and_requests(tmp_path: Path) -> None:
    kinds: list[object] = ["ja", "nein", "Nur so", "A", "a"] * 12
    data = load_task_data(build_spec(csv=file_of(tmp_path, y=[0, 1] * 30, k=kinds), label="y"))
    later, notes = tmp_path / "later.csv", list[str]()
    written = ["JA", "nein", "nur  so", "vielleicht"]
    pl.DataFrame({"x": [0.5] * 4, "k": written}).write_csv(later)
    assert read_rows(later, data.task.columns, notes.append)["k"].to_list() == ["ja", "nein", "Nur so", "vielleicht"]
    assert any("case, blanks or a .0 alone" in note and "'JA' as 'ja', 'nur  so' as 'Nur so'." in note for note in notes)
    assert any("training never saw, treated as missing: 'vielleicht'." in note for note in notes)
    inputs = tuple(column for column in data.task.columns if column.role == "input")
    schema = Schema("t", "", "y", inputs, "binary", ("0", "1"), None, None)
    rows = build_request_model(schema).rows.model_validate({"rows": [{"x": 0.5, "k": text} for text in written]})
    assert [row["k"] for row in rows.model_dump(by_alias=True)["rows"]] == ["ja", "nein", "Nur so", "vielleicht"]


def test_numbers_that_may_be_shares_are_told_in_a_column_of_percentages(tmp_path: Path) -> None:
    data = load_task_data(build_spec(csv=file_of(tmp_path, y=[0, 1] * 30, p=[f"{n * 7 % 41}%" for n in range(60)]), label="y"))
    for value, is_told in (("0.45", True), ("45", False), ('"45%"', False)):
        later, notes = tmp_path / "later.json", list[str]()
        later.write_text(f'[{{"x": 0.5, "p": {value}}}]')
        read_rows(later, data.task.columns, notes.append)
        assert any("give 45 for 45 %" in note for note in notes) == is_told, value


def test_a_point_before_three_digits_is_refused_where_training_had_whole_numbers(tmp_path: Path) -> None:
    columns = load_task_data(
        build_spec(csv=file_of(tmp_path, v=[*range(1000, 1060)], y=[0, 1, 1, 0] * 15), label="y", keep=["v"])
    )
    with pytest.raises(RowError, match=r"row 2, column 'v': '1\.234' is not a finite number, whole in training"):
        read_rows(file_of(tmp_path, "later.csv", n=2, v=["1234", "1.234"]), columns.task.columns)
    assert read_rows(file_of(tmp_path, "later.csv", n=2, v=["1234.0", "1,234"]), columns.task.columns)["v"].to_list() == [
        1234,
        1234,
    ]


def test_groups_that_differ_by_case_alone_are_told(tmp_path: Path) -> None:
    path = file_of(tmp_path, g=["a", "A", "b "] * 20, y=[0, 1, 1, 0] * 15)
    notes = load_task_data(build_spec(csv=path, label="y", group="g")).notes
    assert "g: 1 groups differ from others by case or blanks alone, and are groups of their own." in notes


@pytest.mark.parametrize(
    ("training", "later", "told"),
    [
        ("2024-03-01T00:30:00+02:00", "2024-03-01T00:30:00", "no time states its offset from UTC, as in training"),
        ("2024-03-01T00:30:00", "2024-03-01T00:30:00+02:00", "times state an offset from UTC, unlike those of training"),
        ("2024-03-01T00:30:00+02:00", "2024-03-01T00:30:00-05:00", None),
        ("2024-03-01T00:30:00", "2024-03-01T00:30:00Z", None),
        ("2024-03-01T00:30:00+02:00", "2024-03-01T00:30:00 America/New_York", None),
        ("2024-03-01T00:30:00", "2024-03-01T00:30:00 America/New_York", "times state an offset from UTC, unlike those of"),
    ],
)
def test_offsets_in_a_later_file_alone_or_in_training_alone_are_told(
    tmp_path: Path, training: str, later: str, told: str | None
) -> None:
    path = file_of(tmp_path, at=[training, training.replace("03-01", "04-01")] * 30, y=[0, 1, 1] * 20)
    columns = load_task_data(build_spec(csv=path, label="y")).task.columns
    heard: list[str] = []
    read_rows(file_of(tmp_path, "later.csv", n=1, at=[later]), columns, heard.append)
    assert (told is None and not heard) or (told is not None and told in heard[0])


def test_a_pattern_that_names_no_column_is_told_before_types_are_inferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("load_1,load_2,y\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(40)))
    monkeypatch.setattr(flat_file, "infer_with_overrides", lambda *_: pytest.fail("the types were inferred first"))
    with pytest.raises(ColumnError, match=r"names none of the columns.*write --sequence 'load_\*' for load_1, load_2"):
        load_task_data(build_spec(csv=path, label="y", sequence=["lood_*"]))


def test_a_table_without_an_input_says_of_each_column_why_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("one,copy,blank,y\n" + "".join(f"1,{n * 2.5},,{n * 5.0}\n" for n in range(40)))
    with pytest.raises(
        ColumnError, match=r"no column is left to learn from: one is constant.*copy is withheld.*blank is empty.*--keep"
    ):
        load_task_data(build_spec(csv=path, label="y"))


def test_a_file_whose_columns_nothing_parts_is_named_with_what_parts_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x y\n" + "1 0\n2 1\n" * 30)
    with pytest.raises(ColumnError, match="there is one column alone, 'x y': columns are parted by a comma, a semicolon"):
        load_task_data(build_spec(csv=path, label="y"))


def test_a_date_and_a_clock_in_columns_of_their_own_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y,day,clock\n" + "1,0,2024-03-01,13:00\n2,1,2024-03-02,14:00\n" * 30)
    with pytest.raises(
        ColumnError, match=r"--time day, clock: day holds whole dates, .* name day alone, or write date and clock"
    ):
        load_task_data(build_spec(csv=path, label="y", time=("day", "clock")))
