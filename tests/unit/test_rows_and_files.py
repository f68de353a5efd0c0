"""A row that the API is asked for has the values that the same row of a file has."""

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars import Series
from pydantic import ValidationError

from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.request_model import build_request_model
from epic22.core.data.names import BLANKS, ENDS, strip_ends, strip_text_ends
from epic22.core.errors import RowError
from epic22.core.task import Task
from epic22.spec.flat_file import load_task_data, read_rows
from epic22.spec.training_spec import build_spec

STAMPS = ["2024-03-01T13:00:00+02:00", "2024-03-02T13:00:00+01:00", ""]
BESIDE = {"at": STAMPS[0], "UTC offset of at": 2.0, "age": 40.0, "colour": "red", "who": "7"}


def write_rows(path: Path, **columns: Sequence[object]) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join("" if v is None else str(v) for v in row) for row in rows)]) + "\n")
    return path


def read_task(folder: Path) -> Task:
    """Stamps with offsets, ages of which -999 is none, colours, and -1 for missing everywhere."""
    path = write_rows(
        folder / "t.csv",
        at=STAMPS * 20,
        age=[-999 if i % 9 == 0 else 20 + i * 7 % 41 for i in range(60)],
        colour=["red", "Caf\u00e9", "None", "NA"] * 15,
        who=[*range(60)],
        y=[Random(i).choice("ab") for i in range(60)],
    )
    return load_task_data(build_spec(csv=path, label="y", id="who", missing=["-1", "unknown"], keep=["age"])).task


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"at": None}, {"at": None, "UTC offset of at": None}),
        ({"age": -999}, {"age": None}),
        ({"age": -1}, {"age": None}),
        ({"age": -2}, {"age": -2.0}),
        ({"colour": "red "}, {"colour": "red"}),
        ({"colour": "Cafe\u0301"}, {"colour": "Caf\u00e9"}),
        ({"colour": "NA"}, {"colour": None}),
        ({"colour": "unknown"}, {"colour": None}),
        ({"colour": "None"}, {"colour": "None"}),
        ({"who": " 8"}, {"who": "8"}),
        ({"who": "NA"}, {"who": "NA"}),
    ],
)
def test_a_row_of_json_has_the_values_of_a_files_row(tmp_path: Path, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    task = read_task(tmp_path)
    row = {"at": STAMPS[0], "age": 40, "colour": "red", "who": "7"} | changes
    asked = build_request_model(Schema.of(task)).row.model_validate(row).model_dump(by_alias=True)
    (later,) = read_rows(
        write_rows(tmp_path / "later.csv", **{name: [value] for name, value in row.items()}), task.columns
    ).to_dicts()
    assert asked == later
    assert {name: later[name] for name in ("UTC offset of at", "age", "colour", "who")} == {
        name: value for name, value in (BESIDE | expected).items() if name != "at"
    }
    assert (later["at"] is None) == ("at" in expected)


@pytest.mark.parametrize("moment", ["0001-01-01", "0999-12-31T23:59:59", "1000-01-01T00:30:00+01:00"])
def test_a_year_that_no_file_has_is_refused_in_a_request_too(tmp_path: Path, moment: str) -> None:
    task = read_task(tmp_path)
    values = {"at": moment, "age": 40, "colour": "red", "who": "7"}
    with pytest.raises(RowError, match="is not a time"):
        read_rows(write_rows(tmp_path / "later.csv", **{name: [value] for name, value in values.items()}), task.columns)
    with pytest.raises(ValidationError, match="before the first year"):
        build_request_model(Schema.of(task)).row.model_validate(values)


def test_a_column_of_percentages_is_said_to_be_one_to_clients(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv", share=[f"{i % 40} %" for i in range(60)], y=[Random(i).choice("ab") for i in range(60)])
    row = build_request_model(Schema.of(load_task_data(build_spec(csv=path, label="y", keep=["share"])).task)).row
    assert "in percent: 45 for 45 %, and never 0.45" in str(row.model_fields["c0"].description)


def test_an_offset_that_a_row_states_stays_and_null_does_too(tmp_path: Path) -> None:
    row = build_request_model(Schema.of(read_task(tmp_path))).row
    stated: list[float | None] = [None, 3.5]
    for hours in stated:
        asked = row.model_validate({"at": STAMPS[0], "age": 1, "colour": None, "UTC offset of at": hours})
        assert asked.model_dump(by_alias=True)["UTC offset of at"] == hours


def test_a_number_for_missing_is_none_of_those_that_bounds_refuse_and_true_is_no_number(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv", age=[20 + i * 7 % 41 for i in range(60)], y=[Random(i).choice("ab") for i in range(60)])
    spec = build_spec(csv=path, label="y", missing=["-1", "1"], keep=["age"], columns={"age": {"low": 0, "high": 120}})
    row = build_request_model(Schema.of(load_task_data(spec).task)).row
    assert row.model_validate({"age": -1}).model_dump() == {"c0": None}
    for odd in (-2, True, "1"):
        with pytest.raises(ValidationError):
            row.model_validate({"age": odd})


@pytest.mark.parametrize(
    ("stated", "odd", "expected"),
    [
        ({"low": 0, "high": 120}, -5, "'-5' is not from 0 to 120"),
        ({"low": 0, "high": 120}, 999, "'999' is not from 0 to 120"),
        ({"low": 0}, -0.5, "'-0.5' is not at least 0"),
        ({"high": 120}, 120.5, "'120.5' is not at most 120"),
    ],
)
def test_bounds_that_are_stated_bind_files_as_they_bind_requests(
    tmp_path: Path, stated: dict[str, float], odd: float, expected: str
) -> None:
    columns: dict[str, Sequence[object]] = {"age": [20 + i * 7 % 41 for i in range(60)]}
    columns |= {"load": range(60), "y": [Random(i).choice("ab") for i in range(60)]}
    path = write_rows(tmp_path / "t.csv", **columns)
    task = load_task_data(build_spec(csv=path, label="y", keep=["age", "load"], columns={"age": stated})).task
    later = write_rows(tmp_path / "later.csv", age=[30, odd], load=[-1e6, 1e6], y=["a", "b"])
    with pytest.raises(RowError, match=f"later.csv, row 2, column 'age': {re.escape(expected)}") as refused:
        read_rows(later, task.columns)
    assert refused.value.problems == ((1, "age", expected),)
    with pytest.raises(RowError, match="row 2, column 'age'"):
        load_task_data(build_spec(csv=path, label="y", keep=["age", "load"], columns={"age": stated}, test=later))
    row = build_request_model(Schema.of(task)).row
    with pytest.raises(ValidationError, match="1 validation error"):
        row.model_validate({"age": odd, "load": 1e6})
    within = write_rows(tmp_path / "within.csv", age=[*stated.values(), None], load=[-1e6] * (len(stated) + 1))
    assert read_rows(within, task.columns)["age"].to_list() == [*stated.values(), None]


@given(st.text(st.sampled_from([*ENDS, "a", "\u0301", "\u1100", "\u1161", "\u212b", "\x1c", "\x00"]), max_size=6))
def test_one_text_is_read_as_a_column_of_texts_is(text: str) -> None:
    assert [strip_text_ends(text)] == strip_ends(Series([text])).to_list() == strip_ends(Series([text, "e\u0301"])).to_list()[:1]
    assert BLANKS.strip() == ""
