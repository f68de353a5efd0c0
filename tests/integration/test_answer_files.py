"""A file predicted into another: the answers of `predict`, a batch at a time, in the rows' order, however many threads answer."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.shell import Shell
from tests.trained import opened, table, trained

import epic22
from epic22.bootstrap import FileRequest, assemble, write_answers
from epic22.bootstrap.predictions import RequestFile
from epic22.config import Settings
from epic22.core.artifact.answer_frame import ANSWER_SCHEMA, build_answer_frame
from epic22.core.artifact.prediction_request import FrameRequest
from epic22.core.artifact.row_model import RowModel
from epic22.services import batch_answers
from epic22.spec.flat_file import read_rows

N_ROWS = 70


class Asked:
    """A home with a model, rows as Parquet and CSV, and what the model answers to them all at once."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        _, store = trained(shell.home)
        self.model = RowModel(*opened(store))
        self.csv = table(shell.folder, "binary", N_ROWS, seed=5)
        self.rows = read_rows(self.csv, self.model.bundle.schema.columns)
        self.parquet = shell.folder / "rows.parquet"
        self.rows.write_parquet(self.parquet)

    def answer(self) -> pl.DataFrame:
        return build_answer_frame(self.model.predict(FrameRequest(self.rows)))


@pytest.fixture
def asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr(batch_answers, "ROWS_AT_ONCE", 8)
    return Asked(Shell(tmp_path, capsys, monkeypatch))


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "3"])
def test_batches_have_the_bits_of_the_whole_and_every_answer_has_its_receipt(asked: Asked, threads: str) -> None:
    asked.shell.monkeypatch.setenv("EPIC22_THREADS", threads)
    whole = asked.answer()
    for path in (asked.parquet, asked.csv):
        document = asked.shell.json("predict", "toy", str(path), "--out", "answers.parquet")
        assert (document["rows"], document["answers"], document["task"]) == (N_ROWS, N_ROWS, "toy")
        assert_frame_equal(pl.read_parquet(asked.shell.folder / "answers.parquet"), whole, check_exact=True)
    receipts = [one.receipt for one in assemble(Settings.read()).prediction_log.iterate_receipts()]
    assert receipts == [*whole["receipt"], *whole["receipt"]]
    assert [path.name for path in asked.shell.folder.iterdir() if "unfinished" in path.name] == []


@pytest.mark.slow
def test_no_more_batches_are_in_memory_than_threads_and_one(asked: Asked) -> None:
    reads: list[int] = []
    model = asked.model

    def list_requests() -> Any:
        for start in range(0, N_ROWS, 8):
            reads.append(start)
            yield FrameRequest(asked.rows[start : start + 8], start + 1)

    settings = batch_answers.BatchSettings(threads=2, with_reasons=False)
    for number, _ in enumerate(batch_answers.answer_batches(model, list_requests(), settings)):
        assert len(reads) <= number + 1 + 2


@pytest.mark.slow
def test_a_file_for_a_spreadsheet_and_lines_of_json_have_the_same_values(asked: Asked) -> None:
    whole = asked.answer()
    for name in ("a.csv", "a.jsonl"):
        assert asked.shell("predict", "toy", str(asked.parquet), "--out", name)[0] == 0
        path = asked.shell.folder / name
        frame = pl.read_csv(path) if name == "a.csv" else pl.read_ndjson(path)
        assert frame.columns == list(ANSWER_SCHEMA)
        for column in ("entity", "value", "score", "receipt"):
            assert frame[column].cast(whole[column].dtype).to_list() == whole[column].to_list()
    texts = pl.read_csv(asked.shell.folder / "a.csv")["reasons"]
    assert texts[0].split("; ")[0] == "the average over all rows"
    assert pl.read_csv(asked.shell.folder / "a.csv")["set"][0] in ("no", "yes", "no or yes")


@pytest.mark.slow
def test_a_broken_row_is_named_by_its_number_and_no_file_is_left(asked: Asked) -> None:
    wear = asked.rows["wear"].cast(pl.String).to_list()
    asked.rows.with_columns(wear=pl.Series([*wear[:20], "broken", *wear[21:]])).write_parquet(asked.parquet)
    code, out, err = asked.shell("predict", "toy", str(asked.parquet), "--out", "answers.parquet")
    assert (code, out) == (2, "")
    assert "rows.parquet, row 21, column 'wear': 'broken' is not a finite number" in err
    assert [path.name for path in asked.shell.folder.iterdir() if "answers" in path.name] == []


@pytest.mark.slow
def test_the_file_that_is_predicted_is_not_written_over(asked: Asked) -> None:
    before = asked.parquet.read_bytes()
    code, _, err = asked.shell("predict", "toy", str(asked.parquet), "--out", "rows.parquet")
    assert (code, "is the file that is predicted" in err) == (2, True)
    assert asked.parquet.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--out", "answers.csv")])
def test_a_task_of_rows_without_a_file_is_not_said_to_predict_series(asked: Asked, words: tuple[str, ...]) -> None:
    assert asked.shell("predict", "toy", *words) == (2, "", "epic22: task toy predicts rows: name the file they are in.\n")


@pytest.mark.slow
def test_what_training_never_saw_is_said_once_for_all_batches(asked: Asked) -> None:
    asked.rows.with_columns(maker=pl.lit("new")).write_parquet(asked.parquet)
    notes: list[str] = []
    from epic22.core.progress import Noted, Progress

    progress = Progress(lambda event: notes.append(event.text) if isinstance(event, Noted) else None)
    request = FileRequest("toy", asked.parquet, with_reasons=False)
    write_answers(assemble(Settings.read()), request, asked.shell.folder / "answers.csv", progress)
    assert notes == [f"rows.parquet: maker: {N_ROWS} rows hold what training never saw, treated as missing: 'new'."]


@pytest.mark.slow
@pytest.mark.usefixtures("blank_pictures")
def test_a_level_too_rare_to_be_told_apart_is_said_to_be_so_in_every_answer(tmp_path: Path) -> None:
    x = [i * 37 % 899 / 7 for i in range(900)]
    columns = {"c": [f"level {i % 300:03d}" for i in range(900)], "x": x, "y": [one + i % 300 for i, one in enumerate(x)]}
    csv, parquet, frame = tmp_path / "rows.csv", tmp_path / "rows.parquet", pl.DataFrame(columns)
    frame.write_csv(csv)
    frame.write_parquet(parquet)
    options = {"task": "rare", "families": ["linear"], "folds": 3, "repeats": 1, "learning_curve": False}
    epic22.train(csv, label="y", home=tmp_path, **options)
    model = epic22.load("rare", home=tmp_path).model
    said = "c: 'level 299' was never or too seldom seen in training; treated as missing."
    assert model.list_warnings({"c": "level 299", "x": 1}) == [said]
    assert model.list_warnings({"c": "level 000", "x": 1}) == []
    for path in (csv, parquet):
        notes: list[str] = []
        predictions = model.predict(model.read_request(RequestFile(path, notes.append)))
        assert sum(len(request) for request in model.read_requests(RequestFile(path, notes.append), 100)) == len(x)
        texts = {reason.text.split(":")[0] for one in predictions for reason in one.reasons}
        assert "c is level 299, which training never or too seldom saw" in texts
        assert "c is level 000" in texts
        assert not any("training never saw" in text for text in texts)
        assert {note.split(": 'level")[0] for note in notes} == {
            f"{path.name}: c: 135 rows hold what training never or too seldom saw, treated as missing"
        }
