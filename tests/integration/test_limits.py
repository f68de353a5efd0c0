"""Values that the help or the schema allows and no training can use: one sentence and exit code 2, before any model is fitted."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.shell import Shell

import epic22
from epic22.core.errors import UserError
from epic22.core.evaluation.power import compute_data_factor
from epic22.spec.training_spec import build_spec

pytestmark = pytest.mark.usefixtures("blank_pictures")

YEAR_ZERO = "0001-01-01T00:00:00+14:00"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    rows = "".join(f"2024-01-{1 + i % 28:02},{i % 7},{i % 2}\n" for i in range(60))
    (tmp_path / "data.csv").write_text(f"day,a,y\n{rows}")
    months = pl.date_range(date(2020, 1, 1), date(2023, 12, 1), "1mo", eager=True)
    frame = pl.DataFrame({"zip": ["a", "b"], **{f"{month:%Y-%m}": [100 + i, 90 + i] for i, month in enumerate(months)}})
    frame.write_csv(tmp_path / "panel.csv")
    return Shell(tmp_path, capsys, monkeypatch)


TABLE = ("train", "--csv", "data.csv", "--label", "y", "--time", "day")
PANEL = (
    "train",
    "--csv",
    "panel.csv",
    "--panel",
    "wide",
    "--id",
    "zip",
    "--time",
    "month",
    "--label",
    "rent",
    "--frequency",
    "M",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        (*TABLE, "--horizon", "inf"),
        (*TABLE, "--horizon", "nan"),
        (*TABLE, "--horizon", "1e300"),
        (*TABLE, "--gap", "1e18"),
        (*TABLE, "--seed", "99999999999999999999999"),
        (*TABLE, "--seed", str(2**32)),
        (*TABLE, "--holdout-last", "99999999999999999999999"),
        (*TABLE, "--holdout-from", YEAR_ZERO),
        (*TABLE, "--cost-false-alarm", "1", "--cost-miss", "nan"),
        (*TABLE, "--cost-false-alarm", "1", "--cost-miss", "1e300"),
        (*TABLE, "--cost-miss", "0", "--cost-false-alarm", "0"),
        (*TABLE, "--time-limit", "inf"),
        (*TABLE, "--trials", "2", "--search-family", "constant"),
        (*TABLE, "--trials", "2", "--search-family", "hazard"),
        (*TABLE, "--write-task", "."),
        (*TABLE, "--write-task", "/proc/x.yaml"),
        (*PANEL, "--horizon", "inf"),
        (*PANEL, "--horizon", "3", "--season", "9999999999999999999999"),
        (*PANEL, "--horizon", "3", "--season", "25"),
        (*PANEL, "--horizon", "3", "--trend-horizon", "9999999999999999999999"),
        ("ingest", ".", "--as-of", YEAR_ZERO),
        ("decide", "rent", "--at", YEAR_ZERO),
    ],
)
def test_a_value_out_of_bounds_is_one_sentence_and_exit_code_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, _, err = shell(*arguments)
    assert (code, "our mistake" in err) == (2, False)
    assert arguments[-2] in err
    assert not (shell.home / "models").exists()


@pytest.mark.parametrize(
    "line",
    [
        "split: {horizon: 1e300}",
        "split: {horizon: .nan}",
        "split: {gap: 36526}",
        "split: {seed: 4294967296}",
        "costs: {miss: .inf, false_alarm: 1}",
        "costs: {miss: 0, false_alarm: 0}",
        f'split: {{holdout_from: "{YEAR_ZERO}"}}',
        'data: {file: "a\\0b"}',
    ],
)
def test_the_same_bounds_hold_in_a_task_file(shell: Shell, line: str) -> None:
    rest = "" if line.startswith("data") else "data: {file: data.csv}\n"
    (shell.folder / "task.yaml").write_text(f"version: 1\n{rest}roles: {{label: y, time: day}}\n{line}\n")
    code, _, err = shell("train", "--task-file", "task.yaml")
    assert (code, "our mistake" in err, "task.yaml, line" in err) == (2, False, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": float("nan")}, "horizon=nan: expected a finite number"),
        ({"seed": 2**70}, f"seed={2**70}: expected at most 4294967295"),
        ({"cost_miss": float("nan")}, "cost_miss=nan: expected a finite number"),
        ({"csv": Path("a\0b")}, "expected a path without the sign NUL"),
        ({"columns": {"a": {"dtype": "foo"}}}, "columns.a.dtype: found 'foo'; .*'float'"),
        ({"columns": {"a": {"role": "foo"}}}, "columns.a.role: found 'foo'; .*'never'"),
        ({"columns": {"a": {"unit": 3}}}, "columns.a.unit: found 3; .* string"),
        ({"columns": {"a": {"low": float("nan")}}}, "columns.a.low: found nan; expected a finite number"),
        ({"columns": {"a": {"foo": 1}}}, "columns.a.foo: not known here; there are dtype"),
        ({"columns": {"a": 3}}, "columns.a: expected a record of dtype, .* found 3"),
        ({"columns": {3: {}}}, "columns.3: expected the name of a column"),
    ],
)
def test_the_same_bounds_hold_in_the_python_call(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_spec(**options)


def test_one_level_in_python_is_a_list_of_one_as_in_the_file() -> None:
    assert build_spec(columns={"plan": {"levels": "abc"}}).columns[0].levels == ("abc",)


@pytest.mark.slow
def test_a_champion_with_one_level_for_a_column_can_be_opened(tmp_path: Path) -> None:
    frame = pl.DataFrame({"plan": ["abc"] * 60, "a": [i % 7 for i in range(60)], "y": [i % 2 for i in range(60)]})
    epic22.train(frame, label="y", columns={"plan": {"levels": "abc"}}, task="toy", folds=2, repeats=1, home=tmp_path)
    assert epic22.load("toy", home=tmp_path).predict(frame.head(2)).height == 2


@pytest.mark.slow
def test_where_no_error_of_the_constant_costs_anything_no_number_of_rows_would_show_it(shell: Shell) -> None:
    result = shell.json(*TABLE, "--folds", "2", "--repeats", "1", "--cost-miss", "0", "--cost-false-alarm", "1")
    assert "no number of" in json.dumps(result)


def test_a_difference_too_small_for_any_data_needs_infinitely_many() -> None:
    assert compute_data_factor(1e-300, 1.0) == float("inf")
