"""The same rows are answered alike to the bit, or refused alike, by a file, `--out`, the API and the Python call."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import polars as pl
import pytest
from fastapi.testclient import TestClient

import epic22
from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.bootstrap import Components, FileRequest, assemble, predict_file, write_answers
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.progress import Noted, Progress
from epic22.services import batch_answers

pytestmark = pytest.mark.slow

N_ROWS = 160
Row = Mapping[str, Any]
Answers = list[tuple[str, str, float]]
"""Entity, receipt and value of each row; none where the rows are refused."""

COLUMNS = "columns: {zip: {dtype: category}, x: {low: -10, high: 10}}"
BASE: Row = {
    "who": "017",
    "age": 30,
    "big": 2**53 + 3,
    "money": 1234.5,
    "share": 45,
    "gap": 1.5,
    "colour": "red",
    "code": "007",
    "flag": True,
    "at": "2024-03-01T13:00:00+02:00",
    "day": "2023-02-13",
    "clock": 14.5,
    "zip": "94110",
    "x": 0.25,
}
"""A row as JSON has it."""

AS_TEXT: Row = {**BASE, "money": "1.234,50 €", "share": "45 %", "day": "13/2/2023", "clock": "14:30", "flag": "true"}
"""The same as training has it as text."""


def write_training_rows(path: Path) -> None:
    random = Random(1)
    x = [random.gauss(0, 1) for _ in range(N_ROWS)]
    columns: dict[str, Sequence[str]] = {
        "who": [f"{i:03}" for i in range(N_ROWS)],
        "age": [str(-999 if i % 9 == 0 else 20 + i * 7 % 41) for i in range(N_ROWS)],
        "big": [str(2**53 + 3 + i * 1000003 % 997) for i in range(N_ROWS)],
        "money": [f"{random.randint(1, 9)}.{random.randint(100, 999)},{random.randint(10, 99)} €" for _ in x],
        "share": [f"{random.randint(1, 99)} %" for _ in x],
        "gap": [random.choice(["1.5", "2.5", "n/a", "-", "7", "3.25"]) for _ in x],
        "colour": [random.choice(["red", "Caf\u00e9", "None", "NA", "blue"]) for _ in x],
        "code": [f"{random.randint(1, 30):03}" for _ in x],
        "flag": [random.choice(["true", "False", "TRUE"]) for _ in x],
        "at": [random.choice(["2024-03-01T13:00:00+02:00", "2024-03-02T13:00:00+01:00", "2024-05-02T10:00:00Z"]) for _ in x],
        "day": [f"{random.randint(1, 28)}/{random.randint(1, 12)}/2023" for _ in x],
        "clock": [f"{random.randint(0, 23)}:{random.randint(10, 59)}" for _ in x],
        "zip": [random.choice(["94110", "10001", "60601"]) for _ in x],
        "x": [f"{value:.3f}" for value in x],
        "y": [str(int(value + random.gauss(0, 0.3) > 0)) for value in x],
    }
    pl.DataFrame(columns).write_csv(path)


class Ways:
    """A model, and each way to ask it."""

    def __init__(self, folder: Path, client: TestClient, components: Components) -> None:
        self.folder, self.client, self.components = folder, client, components
        self.model = epic22.load("toy", home=folder)

    def ask_file(self, path: Path) -> Answers:
        predicted = predict_file(self.components, "toy", path, with_reasons=False).predictions
        return [(one.entity, one.receipt, float(one.values[0].value)) for one in predicted]

    def ask_out(self, path: Path) -> Answers:
        write_answers(self.components, FileRequest("toy", path, with_reasons=False), self.folder / "answers.parquet")
        return pl.read_parquet(self.folder / "answers.parquet").select("entity", "receipt", "value").rows()

    def ask_frame(self, frame: Any) -> Answers:
        answers = self.model.predict(frame)
        return list(zip(*(answers[name].to_list() for name in ("entity", "receipt", "value")), strict=True))

    def ask_api(self, rows: Sequence[Row]) -> Answers:
        answer = self.client.post("/v1/tasks/toy/predictions", json={"rows": list(rows)})
        if answer.status_code == 422:
            raise UserError(answer.json()["detail"])
        return [(one["entity"], one["receipt"], one["values"][0]["value"]) for one in answer.json()["predictions"]]

    def write_json(self, rows: Sequence[Row]) -> Path:
        path = self.folder / "rows.json"
        path.write_text(json.dumps(list(rows)))
        return path

    def write_parquet(self, frame: pl.DataFrame) -> Path:
        path = self.folder / "rows.parquet"
        frame.write_parquet(path)
        return path

    def write_csv(self, frame: pl.DataFrame) -> Path:
        path = self.folder / "rows.csv"
        frame.write_csv(path)
        return path

    def ask_about_values(self, rows: Sequence[Row]) -> dict[str, Answers]:
        """What is answered to rows that have types."""
        frame = pl.DataFrame(list(rows), infer_schema_length=None, strict=False)
        path = self.write_parquet(frame)
        return {
            "API": ask(lambda: self.ask_api(rows)),
            "JSON": ask(lambda: self.ask_file(self.write_json(rows))),
            "JSON --out": ask(lambda: self.ask_out(self.write_json(rows))),
            "Parquet": ask(lambda: self.ask_file(path)),
            "Parquet --out": ask(lambda: self.ask_out(path)),
            "Polars": ask(lambda: self.ask_frame(frame)),
            "pandas": ask(lambda: self.ask_frame(pd.DataFrame(list(rows)))),
        }

    def ask_about_texts(self, rows: Sequence[Row]) -> dict[str, Answers]:
        """What is answered to rows of text."""
        texts = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
        frame = pl.DataFrame(texts, schema=dict.fromkeys(BASE, pl.String))
        csv, parquet = self.write_csv(frame), self.write_parquet(frame)
        return {
            "CSV": ask(lambda: self.ask_file(csv)),
            "CSV --out": ask(lambda: self.ask_out(csv)),
            "Parquet": ask(lambda: self.ask_file(parquet)),
            "Parquet --out": ask(lambda: self.ask_out(parquet)),
            "Polars": ask(lambda: self.ask_frame(frame)),
            "pandas": ask(lambda: self.ask_frame(frame.to_pandas())),
        }


def ask(way: Callable[[], Answers]) -> Answers:
    try:
        with warnings.catch_warnings(action="ignore"):
            return way()
    except UserError:
        return []


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    folder = tmp_path_factory.mktemp("ways")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(batch_answers, "ROWS_AT_ONCE", 2)
        patch.setenv("EPIC22_HOME", str(folder))
        write_training_rows(folder / "t.csv")
        (folder / "task.yaml").write_text(f"version: 1\n{COLUMNS}\n")
        options = {"id": "who", "task": "toy", "families": ["linear"], "folds": 2, "repeats": 1, "keep": ["age"]}
        epic22.train(folder / "t.csv", label="y", task_file=folder / "task.yaml", home=folder, **options)
        client = stack.enter_context(TestClient(create_app(ModelStore(folder / "models"))))
        yield Ways(folder, client, assemble(Settings.read()))


def keep_note(texts: list[str], event: object) -> None:
    if isinstance(event, Noted):
        texts.append(event.text)


def show(answers: Mapping[str, Answers]) -> set[str]:
    return {json.dumps(one) for one in answers.values()}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("age", [30, 30.5, 1.234, -999, 12, None]),
        ("big", [2**53 + 1, 2**53, 2**63 - 1]),
        ("money", [1234.5, 1.234, 7, 609, None, -0.5]),
        ("share", [45, 0.45, 0]),
        ("gap", [1.5, 1234.5, None, 1e-9]),
        ("colour", ["red", " red ", "None", "NA", "", "Cafe\u0301", "\u200bred", "unseen", None]),
        ("code", ["007", "7", " 007", None]),
        ("flag", [True, False, None]),
        ("at", [f"2024-03-01T13:00:00{zone}" for zone in ("+02:00", "Z", "", "-0530")]),
        ("at", ["2024-03-01", "2024-03-01T11:00:00.5", "2024-03-01 11:00", None]),
        ("zip", ["94110", "094110", " 10001", None]),
        ("who", ["007", " 7 ", "NA", "None", "1e5", None]),
        ("x", [-10, 10.0, 1e-300]),
    ],
)
def test_rows_with_types_are_answered_alike(ways: Ways, column: str, values: list[Any]) -> None:
    answers = ways.ask_about_values([{**BASE, column: value} for value in values])
    assert len(show(answers)) == 1, answers
    assert len(answers["API"]) == len(values)


@pytest.mark.parametrize(
    ("column", "value"),
    [("x", 11), ("x", -10.5), ("age", 1e39), ("age", "abc"), ("flag", "yes"), ("at", "0500-01-01"), ("at", "2024-02-30")],
)
def test_rows_with_types_are_refused_alike(ways: Ways, column: str, value: Any) -> None:
    assert show(ways.ask_about_values([BASE, {**BASE, column: value}])) == {"[]"}


TEXTS: dict[str, list[str | None]] = {
    "age": ["30", "-999", "-999.0", "30.5", "NA", "None", "3e1", "+30", " 30 ", "0030", "1,234", None],
    "big": [str(2**53 + 1), "9.007199254740993e15"],
    "money": ["1.234,50 €", "1234,5", "1.234", "€ 7", "7 EUR", "7", "NA"],
    "share": ["45 %", "45%", "0", "0 %"],
    "gap": ["n/a", "-", "nan", "NA", "1,234.5", "1.234", "7"],
    "colour": ["red", " red ", "RED", "None", "NA", "n/a", "Cafe\u0301", "Caf\u00e9", "7", "true"],
    "code": ["007", "7", "7.0", " 007"],
    "flag": ["true", "TRUE", "False", "NA", "1", "0", "1.0"],
    "at": ["2024-03-01T13:00+02", "2024-03-01 13:00 CET", "2024-03-01T24:00:00", "2024-03-01"],
    "day": ["13/2/2023", "03/04/2023", "2023-02-13", "2023-02-13T01:00:00+02:00", "13/2/2023 09:30"],
    "clock": ["14:30", "9:05"],
    "zip": ["94110", "94110.0", "094110"],
    "who": ["007", " 7 ", "NA", None],
}


def test_rows_of_text_are_answered_alike_and_as_each_row_alone(ways: Ways) -> None:
    rows = [{**AS_TEXT, column: text} for column, texts in TEXTS.items() for text in texts]
    answers = ways.ask_about_texts(rows)
    together = answers["CSV"]
    assert len(show(answers)) == 1, answers
    assert len(together) == len(rows)
    for row, one in zip(rows, together, strict=True):
        texts = {name: [None if value is None else str(value)] for name, value in row.items()}
        frame = pl.DataFrame(texts, schema=dict.fromkeys(BASE, pl.String))
        (alone,) = ask(partial(ways.ask_frame, frame))
        assert alone[1:] == one[1:], row


@pytest.mark.parametrize(
    "change",
    [
        {"age": "1.234"},
        {"age": "n/a"},
        {"money": "1,234.50"},
        {"money": "7 USD"},
        {"share": "0.45"},
        {"gap": "1,234"},
        {"flag": "yes"},
        {"at": "1/3/2024"},
        {"day": "2/13/2023"},
        {"clock": "14.5"},
        {"x": "11"},
    ],
)
def test_rows_of_text_are_refused_alike(ways: Ways, change: Row) -> None:
    assert show(ways.ask_about_texts([AS_TEXT, {**AS_TEXT, **change}])) == {"[]"}


@pytest.mark.parametrize("column", ["age", "big", "zip", "colour", "who"])
def test_whole_decimals_of_any_size_are_answered_alike_a_batch_at_a_time(ways: Ways, column: str) -> None:
    """A database exports its keys as Decimal(38, 0); one beyond 64 bits ended `--out` as a damaged file."""
    decimals = [Decimal(30), Decimal(94110), None, Decimal(2**53 + 1), Decimal(10**30)]
    frame = pl.DataFrame([BASE] * 5).with_columns(pl.Series(column, decimals, dtype=pl.Decimal(38, 0)))
    path = ways.write_parquet(frame)
    whole = ask(lambda: ways.ask_file(path))
    assert len(whole) == 5
    assert show({"whole": whole, "--out": ask(lambda: ways.ask_out(path)), "frame": ask(lambda: ways.ask_frame(frame))}) == {
        json.dumps(whole)
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at": "2024-03-01T11:00:00"}, "at: no time states its offset from UTC, as in training; all are taken for UTC."),
        ({"day": "2023-02-13T01:00:00+02:00"}, "day: times state an offset from UTC, unlike those of training, and are "),
        ({"colour": "teal"}, "colour: 5 rows hold what training never saw, treated as missing: 'teal'."),
    ],
)
def test_a_file_that_is_written_out_has_the_notes_of_one_that_is_shown(ways: Ways, changes: Row, said: str) -> None:
    rows = [{name: str(value) for name, value in {**AS_TEXT, **changes}.items()}] * 5
    path = ways.write_parquet(pl.DataFrame(rows))
    noted: list[list[str]] = [[], []]
    shown, written = (Progress(partial(keep_note, texts)) for texts in noted)
    predict_file(ways.components, "toy", path, progress=shown, with_reasons=False)
    write_answers(ways.components, FileRequest("toy", path), ways.folder / "answers.csv", written)
    assert noted[0] == noted[1]
    (one,) = noted[0]
    assert one.startswith(f"rows.parquet: {said}")
