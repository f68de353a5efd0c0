"""The rows of a test file are read as those of training: their names, times and labels."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

N = 60
BEYOND_FLOATS = 2**53


def write_rows(path: Path, **columns: Sequence[object]) -> Path:
    """The columns as a file, with an input and, unless it is among them, a label."""
    n, random = len(next(iter(columns.values()))), Random(path.stem)
    table = {"x": [random.random() for _ in range(n)], **columns}
    table.setdefault("y", [random.choice("ab") for _ in range(n)])
    frame = pl.DataFrame(table, strict=False)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)
    return path


def load(folder: Path, trained: Sequence[object], tested: Sequence[object], role: str, suffix: str = "csv") -> TaskData:
    path, test = (
        write_rows(folder / f"{name}.{suffix}", who=values) for name, values in (("trained", trained), ("tested", tested))
    )
    return load_task_data(build_spec(csv=path, label="y", test=test, **{role: "who"}))


@pytest.mark.parametrize(
    ("trained", "tested", "suffix"),
    [
        (["NA", "DE", "FR", "US"], ["NA", "None"], "csv"),
        (["007", "7", "08", "9"], ["7", "8"], "csv"),
        ([1, 2, 3, 4], ["2", "b"], "csv"),
        ([BEYOND_FLOATS, BEYOND_FLOATS + 1, 7, 8], [BEYOND_FLOATS + 1, BEYOND_FLOATS + 3], "csv"),
        (["2024-01", "2024-02", "2024-03", "2024-04"], ["2024-02", "2024-05"], "csv"),
        (["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"], ["2024-02-01", "later"], "csv"),
        ([1, 2, 3, 4], [2.0, None], "parquet"),
    ],
)
def test_a_group_of_the_test_file_is_the_group_that_training_has(
    tmp_path: Path, trained: list[object], tested: list[object], suffix: str
) -> None:
    data = load(tmp_path, [trained[i % 4] for i in range(N)], [tested[i % 2] for i in range(10)], "group", suffix)
    groups = data.cutoffs["group"].to_list()
    shared = {groups[i] for i in range(N)} & set(groups[N:])
    place = next(i for i in range(4) if str(trained[i]) == str(tested[0]).removesuffix(".0"))
    assert shared == {groups[place]} == {groups[N]}
    examples = data.examples()
    (fold,) = plan_folds(examples, data.task.target.kind, SplitRequest(test_rows=data.test_rows, separate_groups=True)).folds
    assert len(fold.train) == N - N // 4
    assert len(fold.test) == 10


def test_ids_of_the_test_file_are_names_whatever_their_size(tmp_path: Path) -> None:
    data = load(tmp_path, [BEYOND_FLOATS + i for i in range(N)], [BEYOND_FLOATS + N + 1, "b"], "id")
    assert data.cutoffs["entity"].tail(3).to_list() == [str(BEYOND_FLOATS + N - 1), str(BEYOND_FLOATS + N + 1), "b"]
    assert "group" not in data.cutoffs.columns


@pytest.mark.parametrize("role", ["id", "group"])
def test_a_test_file_without_the_names_is_refused(tmp_path: Path, role: str) -> None:
    path, test = write_rows(tmp_path / "t.csv", who=[i % 7 for i in range(N)]), write_rows(tmp_path / "u.csv", z=range(10))
    with pytest.raises(ColumnError, match=r"u\.csv: no column 'who'"):
        load_task_data(build_spec(csv=path, label="y", test=test, **{role: "who"}))


def test_the_parts_of_a_date_are_read_though_one_is_constant(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "t.csv", year=[2020 + i % 3 for i in range(N)], month=[1 + i % 12 for i in range(N)], day=[1] * N
    )
    test = write_rows(tmp_path / "u.csv", year=[2023] * 4, month=[1, 2, 3, 4], day=[1, 1, 1, 2])
    data = load_task_data(build_spec(csv=path, label="y", time=["year", "month", "day"], test=test))
    assert [str(moment)[:10] for moment in data.cutoffs["cutoff"].tail(4)] == [
        "2023-01-01",
        "2023-02-01",
        "2023-03-01",
        "2023-04-02",
    ]
    assert [column.name for column in data.task.input_columns] == ["x", "month"]


@pytest.mark.parametrize(
    ("trained", "tested", "n_left"),
    [
        (["yes", "no", "tbd"], ["yes", "tbd", "n/a", "", "no", "-"], 2),
        (["yes", "no", "-"], ["yes", "N/A", "TBD", "-"], 1),
        ([0, 1], [0, 1, None, None], 2),
        ([1.5, 2.25, 4.0, 8.5, 9.5], [1.0, None], 1),
    ],
)
def test_rows_of_the_test_file_without_a_label_are_left_out_with_a_note(
    tmp_path: Path, trained: list[Any], tested: list[Any], n_left: int
) -> None:
    path = write_rows(tmp_path / "t.csv", z=[i % 5 for i in range(N)], y=[trained[i % len(trained)] for i in range(N)])
    test = write_rows(tmp_path / "u.csv", z=range(len(tested)), y=tested)
    data = load_task_data(build_spec(csv=path, label="y", test=test))
    assert data.test_rows == n_left
    assert f"{test}: {len(tested) - n_left:,} rows without a label were left out." in data.notes


def test_a_test_file_without_a_label_in_any_row_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "t.csv", z=[i % 5 for i in range(N)])
    test = write_rows(tmp_path / "u.csv", z=[1, 2], y=["n/a", None])
    with pytest.raises(ColumnError, match=r"u\.csv: label 'y' is missing in all 2 rows"):
        load_task_data(build_spec(csv=path, label="y", test=test))
