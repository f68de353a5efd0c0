"""`epic22 store`: a home that moves to a database and back."""

import json
import os
from collections import Counter
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from tests.lakes import take_in
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.redis_server import new_redis
from tests.shell import Shell
from tests.trained import trained

from epic22.adapters.export_log import list_exports, note_export
from epic22.adapters.lake import Lake
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import FilePredictionLog
from epic22.adapters.streams.spool import EventSpool
from epic22.bootstrap.events import open_redis_queue

KINDS = [
    "sqlite",
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "postgresql and s3", "postgresql, s3 and redis")),
]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.fixture(params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A database and the place of its files."""
    artifacts = str(tmp_path / "disk")
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared/metadata.sqlite", artifacts
    if request.param.endswith("redis"):
        monkeypatch.setenv("EPIC22_REDIS_URL", new_redis().url)
    if "s3" in request.param:
        artifacts = new_bucket()
        for name, value in storage_environment().items():
            monkeypatch.setenv(name, value)
    return new_database(), artifacts


def fill_home(home: Path, folder: Path) -> None:
    """Two data versions with a row apart, and a champion with a report and an explanation."""
    for number in (1, 2):
        tables = folder / f"in{number}"
        tables.mkdir()
        pl.DataFrame({"property_id": [f"P{number}", ""], "name": ["House", "Nameless"]} | PROPERTY).write_csv(
            tables / "properties.csv"
        )
        take_in(Lake(home / "lake"), tables, datetime(2023, 1, number))
    _, store = trained(home)
    store.folder("toy", "1").joinpath("report.html").write_text("<p>report</p>")
    store.save_explanation("toy", "1", {"columns": ["wear"]})


PROPERTY = {
    "city": ["Arden"] * 2,
    "state": ["NA"] * 2,
    "zip_code": ["01234"] * 2,
    "property_type": ["house"] * 2,
    "year_built": [1990] * 2,
    "total_units": [1] * 2,
}
ROWS = "wear,load <b>$kN$</b>,maker,indoors,fitted on\n1,0,,false,\n2,1,,true,\n"


def predict(shell: Shell) -> object:
    (shell.folder / "rows.csv").write_text(ROWS)
    return shell.json("predict", "toy", "rows.csv")


def test_a_home_moves_to_a_database_and_back_without_loss(
    shell: Shell, shared: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_home(shell.home, tmp_path)
    answers, status = predict(shell), shell.json("store", "status")
    assert (status["data_versions"], status["models"], status["champions"], status["receipts"]) == (2, 1, 1, 2)
    url, artifacts = shared
    copied = shell.json("store", "copy", "--to", url, "--artifacts", artifacts)
    assert [copied[name]["copied"] for name in ("data_versions", "models", "receipts")] == [2, 1, 2]

    # Another machine: a home of its own, the same database and disk.
    monkeypatch.setenv("EPIC22_DATABASE_URL", url)
    monkeypatch.setenv("EPIC22_ARTIFACTS", artifacts)
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "other"))
    there = shell.json("store", "status")
    assert {name: there[name] for name in ("data_versions", "models", "champions", "receipts")} == {
        name: status[name] for name in ("data_versions", "models", "champions", "receipts")
    }
    assert there["cache"] == ("ok" if os.environ.get("EPIC22_REDIS_URL") else None)
    assert predict(shell) == answers
    assert shell.json("data", "log")[0]["id"] == Lake(shell.home / "lake").resolve_version().id
    assert len(shell.json("data", "quarantine", "1")) == 1

    # And back, into files, with the answers that were given there.
    back = shell.json("store", "copy", "--to", str(tmp_path / "back"))
    assert [back[name]["copied"] for name in ("data_versions", "models", "receipts")] == [2, 1, 4]
    assert back["not_copied"][0].startswith("MLflow's runs, which stay in ")
    first_receipts, last_receipts = (
        Counter(FilePredictionLog(folder / "receipts").iterate_receipts()) for folder in (shell.home, tmp_path / "back")
    )
    assert first_receipts <= last_receipts
    assert last_receipts.total() == 4
    monkeypatch.delenv("EPIC22_DATABASE_URL")
    monkeypatch.delenv("EPIC22_ARTIFACTS")
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "back"))
    assert predict(shell) == answers
    first, last = ModelStore(shell.home / "models"), ModelStore(tmp_path / "back" / "models")
    assert last.champion("toy") == first.champion("toy")
    assert last.list_decisions("toy") == first.list_decisions("toy")
    assert last.load_evaluation("toy", "1") == first.load_evaluation("toy", "1")
    assert last.load_explanation("toy", "1") == {"columns": ["wear"]}
    assert last.folder("toy", "1").joinpath("report.html").read_text() == "<p>report</p>"
    assert (tmp_path / "back/models/toy/champion.json").read_bytes() == (shell.home / "models/toy/champion.json").read_bytes()
    assert Lake(tmp_path / "back" / "lake").log() == Lake(shell.home / "lake").log()
    assert (
        Lake(tmp_path / "back" / "lake")
        .scan("properties")
        .collect()
        .equals(Lake(shell.home / "lake").scan("properties").collect())
    )


def test_a_copy_again_brings_only_what_is_new(shell: Shell, tmp_path: Path) -> None:
    fill_home(shell.home, tmp_path)
    target = ("store", "copy", "--to", f"sqlite:///{tmp_path}/shared/metadata.sqlite")
    shell.json(*target)
    predict(shell)
    again = shell.json(*target)
    assert (again["data_versions"], again["models"], again["receipts"]) == (
        {"copied": 0, "present": 2},
        {"copied": 0, "present": 1},
        {"copied": 2, "present": 0},
    )


@pytest.mark.slow
def test_a_store_with_other_content_is_refused_and_nothing_of_it_changed(shell: Shell, tmp_path: Path) -> None:
    fill_home(shell.home, tmp_path)
    other = tmp_path / "other"
    _, store = trained(other, seed=1)
    code, out, err = shell("store", "copy", "--to", str(other))
    assert (code, out) == (2, "")
    assert "task toy is there already with other versions or decisions; nothing was changed" in err
    assert store.list_versions("toy") == ModelStore(other / "models").list_versions("toy")


def test_a_store_with_other_data_versions_is_refused_and_keeps_its_own(shell: Shell, tmp_path: Path) -> None:
    fill_home(shell.home, tmp_path)
    tables, other = tmp_path / "other_tables", Lake(tmp_path / "other" / "lake")
    tables.mkdir()
    pl.DataFrame({"property_id": ["P9", "P8"], "name": ["A", "B"]} | PROPERTY).write_csv(tables / "properties.csv")
    take_in(other, tables, datetime(2023, 1, 1))
    before = other.log()
    code, out, err = shell("store", "copy", "--to", str(tmp_path / "other"))
    assert (code, out) == (2, "")
    assert "other data versions are there already; nothing was changed" in err
    assert other.log() == before
    assert ModelStore(tmp_path / "other" / "models").list_all_versions() == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "home"), "would be copied to itself"),
        (("--to", "other", "--artifacts", "disk"), "--artifacts goes with a database"),
        (("--to", "mysql://host/name"), "--to is no address of a database"),
        (("--to", "postgresql://me:secret@127.0.0.1:1/none"), "no connection to 127.0.0.1/none"),
    ],
)
def test_a_target_that_cannot_be_is_said_in_a_sentence(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = shell("store", "copy", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "secret" not in err
    assert err.count("\n") == 1


def test_files_need_no_migration_and_a_database_says_its_step(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = shell("store", "migrate")
    assert code == 2
    assert "keeps files, which need no migration" in err
    monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{tmp_path}/metadata.sqlite")
    assert shell.json("store", "migrate")["revision"] == "0004"
    assert "its tables at step 0004" in shell("store", "status")[1]


def test_a_database_of_a_newer_program_is_refused(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{tmp_path}/metadata.sqlite")
    shell.json("store", "migrate")
    with sqlite3.connect(tmp_path / "metadata.sqlite") as connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")
    connection.close()
    code, _, err = shell("store", "status")
    assert code == 2
    assert "is of a newer epic22 (its tables are at 9999, this program knows them up to 0004)" in err


def test_an_empty_database_says_which_models_lie_in_the_files_of_the_home(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(shell.home)
    monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{tmp_path}/metadata.sqlite")
    out = " ".join(shell("models")[1].split())
    assert "No models yet in the database" in out
    assert f"The files of {shell.home} hold 1: copy them with 'epic22 store copy --to ADDRESS'" in out
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "empty"))
    assert "No models yet; train one" in shell("models")[1]


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "redis://:secret@127.0.0.1:{port}/0"])
def test_a_redis_that_is_away_or_refuses_is_told_by_the_status_and_stops_nothing(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    fill_home(shell.home, tmp_path)
    shell.json("store", "copy", "--to", f"sqlite:///{tmp_path}/metadata.sqlite")
    monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{tmp_path}/metadata.sqlite")
    monkeypatch.setenv("EPIC22_REDIS_URL", url.format(port=new_redis().port) if "{" in url else url)
    code, out, err = shell("store", "status")
    assert code == 0
    assert "Redis is away, and all goes on without it: EPIC22_REDIS_URL:" in " ".join(out.split())
    assert "secret" not in out + err
    assert shell.json("store", "status")["champions"] == 1
    assert predict(shell)


def test_accepted_events_that_wait_are_named_and_come_with_a_second_copy(shell: Shell, tmp_path: Path) -> None:
    fill_home(shell.home, tmp_path)
    target = tmp_path / "copy"
    assert len(shell.json("store", "copy", "--to", str(target))["not_copied"]) == 3
    row = {"tenant_id": "T-waiting", "created_at": "2021-01-01"}
    EventSpool(shell.home / "events.sqlite").add("tenants", [json.dumps({"id": "e1", "row": row}).encode()])
    code, out, _ = shell("store", "copy", "--to", str(target))
    assert code == 0
    assert "1 accepted event that no data version has yet, in" in " ".join(out.split())
    shell("consume", "--once")
    again = shell.json("store", "copy", "--to", str(target))
    assert len(again["not_copied"]) == 3
    assert "T-waiting" in Lake(target / "lake").scan("tenants").collect()["tenant_id"].to_list()


def test_accepted_events_that_wait_in_redis_are_named_in_a_copy(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_home(shell.home, tmp_path)
    redis = new_redis()
    monkeypatch.setenv("EPIC22_REDIS_URL", redis.url)
    event = json.dumps({"id": "e1", "row": {"tenant_id": "T-waiting", "created_at": "2021-01-01"}}).encode()
    assert len(shell.json("store", "copy", "--to", str(tmp_path / "copy"))["not_copied"]) == 3
    EventSpool(shell.home / "events.sqlite").add("tenants", [event])
    open_redis_queue(redis.url).add("tenants", [event, event.replace(b"e1", b"e2")])
    in_home, in_redis, *_ = shell.json("store", "copy", "--to", str(tmp_path / "copy"))["not_copied"]
    assert in_home.startswith("1 accepted event that no data version has yet, in ")
    assert "('epic22 consume --once' without EPIC22_REDIS_URL takes them in" in in_home
    assert in_redis.startswith("2 accepted events that no data version has yet, in the Redis server of EPIC22_REDIS_URL ('epic22")
    redis.kill()
    code, out, err = shell("store", "copy", "--to", str(tmp_path / "copy"))
    assert code == 0
    assert "accepted events that wait in the Redis server, if there are any, for nobody can count them" in " ".join(out.split())
    assert redis.password not in out + err


def test_an_erasure_in_the_home_that_was_copied_to_takes_the_person_out_of_exported_answers(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_home(shell.home, tmp_path)
    answers = tmp_path / "answers.csv"
    answers.write_text("entity,probability\nT-exported,0.5\nT2,0.5\n")
    note_export(shell.home, answers, "toy")
    shell.json("store", "copy", "--to", str(tmp_path / "copy"))
    shell.json("store", "copy", "--to", str(tmp_path / "copy"))
    assert list_exports(tmp_path / "copy") == list_exports(shell.home)
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "copy"))
    shell.json("data", "erase", "--tenant", "T-exported", "--yes")
    assert answers.read_text() == "entity,probability\nT2,0.5\n"
