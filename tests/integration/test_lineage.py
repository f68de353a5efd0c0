"""From a receipt back to the bytes of the files it was learned from, through real ingests, trainings and served answers."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs
from tests.openlineage import assert_fulfils_the_specification
from tests.small_tables import small_tables, write_tables
from tests.trained import table, trained

from epic22.adapters.prediction_log import BufferedPredictionLog, FilePredictionLog
from epic22.api.app import create_app
from epic22.bootstrap import (
    Components,
    assemble,
    decide_feature,
    ingest_folder,
    predict_file,
    trace_back,
    train_feature,
    train_file,
)
from epic22.cli.main import run
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.simulator.portfolio import simulate
from epic22.simulator.size import PortfolioSize
from epic22.spec.training_spec import build_spec

TINY = PortfolioSize("tiny", properties=10, metros=2, zips=4, units=300, reading_days=60, replicates=2)
ROW = {"wear": 0.5, "load <b>$kN$</b>": -1, "maker": "brook", "indoors": True, "fitted on": "2014-05-01", "who": "anna"}


def sha256(path: Path) -> str:
    """What sha256sum says of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parts_in(home: Path) -> Components:
    return assemble(Settings.read({"EPIC22_HOME": str(home), "EPIC22_THREADS": "1"}))


def told_by(parts: Components) -> list[tuple[str, str]]:
    """(job, state) of every event, each checked against the specification."""
    path = parts.settings.home / "lineage" / "events.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for event in found:
        assert_fulfils_the_specification(event)
    return [(event["job"]["name"], event["eventType"]) for event in found]


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["epic22", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    capsys.readouterr()
    code = 0
    try:
        run()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.slow
def test_a_decision_leads_back_to_every_ingested_file(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "in", dict(simulate(TINY, 0).tables), "parquet")
    parts = parts_in(tmp_path / "home")
    ingest_folder(parts, folder)
    train_feature(parts, "tenant_churn")
    decided = decide_feature(parts, "tenant_churn", None, 3)
    found = trace_back(parts, decided.listed[0].prediction.receipt[:12])
    assert {node.id for node in found.list_nodes("source")} == {sha256(path) for path in folder.iterdir()}
    assert len(found.list_nodes("table version")) == len(list(folder.iterdir()))
    assert [(node.type, node.id) for node in found.causes(found.subject)] == [
        ("data version", "1"),
        ("model", "tenant_churn/1"),
    ]
    assert told_by(parts) == [
        ("ingest", "START"),
        ("ingest", "COMPLETE"),
        ("train.tenant_churn", "START"),
        ("promote.tenant_churn", "START"),
        ("promote.tenant_churn", "COMPLETE"),
        ("train.tenant_churn", "COMPLETE"),
        ("decide.tenant_churn", "START"),
        ("decide.tenant_churn", "COMPLETE"),
    ]


@pytest.mark.slow
def test_a_prediction_from_a_flat_file_leads_back_to_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_in(tmp_path / "home")
    learned, asked = table(tmp_path, "binary"), table(tmp_path, "binary", 20, seed=5)
    finished = train_file(parts, build_spec(csv=learned, label="y", id="who", task="toy", seed=3, repeats=1))
    predictions = predict_file(parts, "toy", asked).predictions
    found = trace_back(parts, predictions[0].receipt)
    assert {node.id for node in found.list_nodes("source")} == {sha256(learned), sha256(asked)}
    (trained_run,) = found.list_nodes("run")
    assert trained_run.id == finished.tracking_id
    assert dict(trained_run.facts)["seed"] == "3"
    assert {node.id for node in found.causes(found.list_nodes("data version")[0])} == {sha256(learned)}
    assert told_by(parts)[-2:] == [("predict.toy", "START"), ("predict.toy", "COMPLETE")]
    with pytest.raises(UserError):
        predict_file(parts, "toy", tmp_path / "absent.csv")
    assert told_by(parts)[-1] == ("predict.toy", "FAIL")

    monkeypatch.setenv("EPIC22_HOME", str(parts.settings.home))
    code, out, _ = command(monkeypatch, capsys, "lineage", "toy", "--svg", str(tmp_path / "toy.svg"))
    assert code == 0
    assert learned.name in out
    assert sha256(learned)[:16] in out
    assert "20 answers" in out
    assert learned.name[:15] in (tmp_path / "toy.svg").read_text()


def test_a_version_is_traced_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "home"))
    folder = write_tables(tmp_path / "in", {name: small_tables()[name] for name in ("properties", "units")})
    command(monkeypatch, capsys, "ingest", str(folder), "--source", "[bold]office")
    code, out, err = command(monkeypatch, capsys, "lineage", "1", "--json", "--svg", str(tmp_path / "1.svg"))
    assert (code, err) == (0, "")
    sources = {node["id"] for node in json.loads(out)["nodes"] if node["kind"] == "source"}
    assert sources == {sha256(path) for path in folder.iterdir()}
    assert "[bold]office/units.csv" in command(monkeypatch, capsys, "lineage", "units.csv")[1]
    code, _, err = command(monkeypatch, capsys, "lineage", "unit")
    assert code == 2
    assert "Near: units@" in err
    assert command(monkeypatch, capsys, "lineage", "1", "--svg", str(tmp_path / "no" / "1.svg"))[0] == 2


@pytest.mark.slow
def test_what_the_api_answers_is_noted_by_the_time_it_has_stopped(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    files = FilePredictionLog(tmp_path / "receipts")
    with TestClient(create_app(store, BufferedPredictionLog(files, flush_seconds=60))) as client:
        answer: Any = client.post("/v1/tasks/toy/predictions", json={"rows": [ROW, ROW | {"wear": 1, "who": "ben"}]}).json()
    receipts = [prediction["receipt"] for prediction in answer["predictions"]]
    noted = [files.find_receipts(receipt)[0] for receipt in receipts]
    assert [(r.entity, r.task, r.version) for r in noted] == [("anna", "toy", "1"), ("ben", "toy", "1")]
    assert {r.model_hash for r in noted} == {answer["model"]["model_hash"]}


def test_a_full_or_broken_journal_changes_no_answer(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    (tmp_path / "receipts").write_text("a file where the folder should be")
    journals = (
        None,
        BufferedPredictionLog(FilePredictionLog(tmp_path / "receipts")),
        BufferedPredictionLog(FilePredictionLog(tmp_path / "r"), max_pending=0),
    )
    answers = []
    with capture_logs() as logs:
        for journal in journals:
            with TestClient(create_app(store, journal)) as client:
                answers.append(client.post("/v1/tasks/toy/predictions", json={"rows": [ROW]}).content)
    assert len(set(answers)) == 1
    assert {line["event"] for line in logs} == {"receipts not written", "receipts dropped"}


def test_health_says_that_receipts_wait_until_they_are_written(tmp_path: Path) -> None:
    store, folder = trained(tmp_path)[1], tmp_path / "receipts"
    folder.write_text("a file where the folder should be")
    journal = BufferedPredictionLog(FilePredictionLog(folder), flush_seconds=60)
    with capture_logs(), TestClient(create_app(store, journal)) as client:
        states = [client.get("/health").json()]
        for is_mended in (False, True):
            if is_mended:
                folder.unlink()
            client.post("/v1/tasks/toy/predictions", json={"rows": [ROW]})
            journal.flush()
            states.append(client.get("/health").json())
    assert [(state["status"], state.get("receipts")) for state in states] == [("ok", None), ("degraded", "waiting"), ("ok", None)]
    assert str(tmp_path) not in str(states)
    assert len(journal.store.find_receipts("")) == 2
