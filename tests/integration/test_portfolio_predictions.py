"""A feature predicted for its whole portfolio: the list of `decide`, stored once and whole, traced, exported, and erased."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.erasures import list_contents, list_naming, list_store_contents
from tests.feature_models import EARLIER, LATER, MOMENT, N_ACTIVE, feature_tables, register_model
from tests.lakes import take_in
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.shell import Shell
from tests.small_tables import write_tables

from epic22.adapters.file_store import FolderFiles, open_file_store
from epic22.adapters.prediction_log import FilePredictionLog
from epic22.bootstrap import (
    Components,
    FeatureMoment,
    PortfolioPredictions,
    assemble,
    decide_feature,
    predict_portfolio,
    trace_back,
)
from epic22.bootstrap.erasure import erase_tenant
from epic22.bootstrap.stores import open_stores
from epic22.config import Settings
from epic22.core.errors import LakeBusyError, LakeError
from epic22.core.lineage import PredictionRecord
from epic22.core.progress import Noted, Progress, ProgressEvent
from epic22.core.tables.versions import LakeVersion
from epic22.services.portfolio_predictions import predict_entities

TASK, TENANT, LEASE = "tenant_churn", "tenant-001", "L1"
KINDS = ("files", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite", "postgresql and s3")))


class Home:
    """A home, or a database with object storage, with a portfolio and a champion for it."""

    def __init__(self, shell: Shell, kind: str) -> None:
        self.shell, self.bucket = shell, ""
        if kind == "sqlite":
            shell.monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{shell.home}/data.sqlite")
        if kind == "postgresql and s3":
            self.bucket = new_bucket()
            settings = {"EPIC22_DATABASE_URL": new_database(), "EPIC22_ARTIFACTS": self.bucket, **storage_environment()}
            for name, value in settings.items():
                shell.monkeypatch.setenv(name, value)
        parts = open_stores(Settings.read())
        take_in(parts.table_store, write_tables(shell.folder / "in", dict(feature_tables()), "parquet"))
        register_model(parts.registry, parts.table_store.tables(), shell.folder)

    @property
    def parts(self) -> Components:
        return assemble(Settings.read())

    def predict(self, **query: Any) -> PortfolioPredictions:
        return predict_portfolio(self.parts, FeatureMoment(TASK, query.pop("at", MOMENT), **query))

    def list_receipts(self) -> list[PredictionRecord]:
        return list(self.parts.prediction_log.iterate_receipts())

    def list_contents(self) -> Iterator[tuple[str, bytes]]:
        yield from list_contents(self.shell.home)
        if self.bucket:
            yield from list_store_contents(open_file_store(self.bucket))


@pytest.fixture(params=KINDS)
def home(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Home:
    return Home(Shell(tmp_path, capsys, monkeypatch), request.param)


@pytest.fixture
def folder_home(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(Shell(tmp_path, capsys, monkeypatch), "files")


def test_the_stored_rows_have_the_list_of_decide_and_the_same_request_changes_nothing(home: Home) -> None:
    first = home.predict()
    decided = decide_feature(home.parts, TASK, MOMENT, None)
    listed = first.rows.filter("is_listed").sort("rank")
    assert listed["entity"].to_list() == [case.prediction.entity for case in decided.listed]
    assert listed["saving"].to_list() == [case.saving for case in decided.listed]
    assert listed["receipt"].to_list() == [case.prediction.receipt for case in decided.listed]
    assert (first.entities, first.saving, first.in_sample) == (decided.considered, decided.saving, decided.in_sample)
    assert first.rows["rank"].drop_nulls().sort().to_list() == list(range(1, first.rows["rank"].count() + 1))
    assert (first.is_new, first.table_version) == (True, 1)

    receipts = [one for one in home.list_receipts() if one.row_from and first.request in one.row_from.label]
    assert [one.receipt for one in receipts] == first.rows["receipt"].to_list()
    again = home.predict()
    assert (again.is_new, again.table_version, again.request) == (False, 1, first.request)
    assert_frame_equal(again.rows, first.rows, check_exact=True)
    assert len([one for one in home.list_receipts() if one.row_from and first.request in one.row_from.label]) == len(receipts)
    trace = trace_back(home.parts, receipts[-1].receipt)
    assert {(node.type, node.id) for node in trace.causes(trace.subject)} == {("data version", "1"), ("model", f"{TASK}/1")}

    earlier = home.predict(at=EARLIER)
    assert (earlier.is_new, earlier.table_version) == (True, 2)
    assert earlier.entities < first.entities
    whole = home.parts.predictions.scan(TASK).collect()
    assert whole.height == first.rows.height + earlier.rows.height
    assert set(whole["request"]) == {first.request, earlier.request}


class IngestedStore:
    """The tables of a home, into which more come as soon as somebody has asked for the newest version."""

    def __init__(self, home: Home) -> None:
        self.home, self.store, self.is_done = home, home.parts.table_store, False

    def resolve_version(self, number: int | None = None) -> LakeVersion:
        version = self.store.resolve_version(number)
        if number is None and not self.is_done:
            self.is_done = True
            tenants = feature_tables()["tenants"].head(3)
            new = tenants.with_columns(tenant_id=pl.col("tenant_id") + "-new")
            take_in(open_stores(Settings.read()).table_store, write_tables(self.home.shell.folder / "more", {"tenants": new}))
        return version

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_an_ingest_meanwhile_changes_no_version_of_what_was_asked(folder_home: Home) -> None:
    def assemble_meanwhile() -> Components:
        return replace(folder_home.parts, table_store=IngestedStore(folder_home))

    predicted = predict_portfolio(assemble_meanwhile(), FeatureMoment(TASK, MOMENT))
    origin = next(one.row_from for one in folder_home.list_receipts() if one.row_from and predicted.request in one.row_from.label)
    assert (predicted.data_version, origin.id) == (1, "1")
    assert set(predicted.rows["data_version"]) == {1}
    trace = trace_back(folder_home.parts, str(predicted.rows["receipt"][0]))
    assert ("data version", "1") in {(node.type, node.id) for node in trace.causes(trace.subject)}


def test_nothing_of_an_erased_person_is_left_and_the_request_still_stands(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = home.predict()
    home.predict(at=EARLIER)
    exports = [home.shell.folder / f"answers.{end}" for end in ("parquet", "csv", "jsonl")]
    for path in exports:
        home.shell.json("predict", TASK, "--portfolio", "--at", MOMENT.isoformat(), "--out", str(path))
    assert LEASE in set(first.rows["entity"])
    document = home.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    counts = document["entry"]["counts"]
    assert (counts["predictions of portfolios"], counts["exported answers"]) == (2, 3)
    assert list_naming(home.list_contents(), TENANT) == []
    for task in home.parts.predictions.list_tasks():
        assert LEASE not in set(home.parts.predictions.scan(task).collect()["entity"])
    assert all(one.entity != LEASE for one in home.list_receipts())
    rest = first.rows.filter(pl.col("entity") != LEASE)
    frames = (pl.read_parquet(exports[0]), pl.read_csv(exports[1]), pl.read_ndjson(exports[2]))
    for path, frame in zip(exports, frames, strict=True):
        assert sorted(frame["entity"]) == sorted(rest["entity"])
        assert f'"{LEASE}"'.encode() not in path.read_bytes()
    again = home.predict()
    assert (again.is_new, again.request) == (False, first.request)
    assert_frame_equal(again.rows, rest, check_exact=True)
    later = home.predict(at=LATER)
    assert later.table_version == 3


class CrashError(Exception):
    """The process ends here."""


@pytest.mark.slow
@pytest.mark.parametrize("change", ["move_in", "write", "add_batch", "half a batch"])
def test_a_request_that_is_cut_off_leaves_nothing_half_written_and_is_completed(folder_home: Home, change: str) -> None:
    def crash(*arguments: Any, **named: Any) -> Any:
        raise CrashError

    def write_half(log: FilePredictionLog, batch: Any) -> Any:
        log.add_receipts(list(batch)[:20])
        raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        if change == "move_in":
            patch.setattr(FolderFiles, change, crash)
        elif change == "write":
            patch.setattr("epic22.adapters.prediction_tables.DeltaTable.create_write_transaction", crash)
        else:
            patch.setattr(FilePredictionLog, "add_batch", crash if change == "add_batch" else write_half)
        with pytest.raises(CrashError):
            folder_home.predict()
    stored = folder_home.parts.predictions.scan(TASK).collect()
    assert stored.height in (0, N_ACTIVE)
    done = folder_home.predict()
    assert done.rows.height == folder_home.parts.predictions.scan(TASK).collect().height == N_ACTIVE
    assert sorted(one.receipt for one in folder_home.list_receipts()) == sorted(done.rows["receipt"])
    names = list(folder_home.parts.predictions.files.list_files(TASK))
    assert sum(name.endswith(".parquet") for name in names) == 1


def test_a_request_whose_data_version_is_erased_meanwhile_is_not_stored(
    folder_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:

    def erase_meanwhile(*arguments: Any) -> Any:
        parts = predict_entities(*arguments)
        erase_tenant(Settings.read(), TENANT, is_confirmed=True)
        return parts

    monkeypatch.setattr("epic22.bootstrap.portfolio_predictions.predict_entities", erase_meanwhile)
    with pytest.raises(LakeBusyError, match="changed by an erasure meanwhile; predict again"):
        folder_home.predict()
    assert list_naming(folder_home.list_contents(), TENANT) == []
    assert folder_home.parts.predictions.scan(TASK).collect().height == 0


def test_an_erasure_cut_off_in_the_tables_of_predictions_is_completed(folder_home: Home) -> None:
    folder_home.predict()
    crashes = 0
    for number in range(1, 30):
        count = [0]

        def crash(act: Any, count: list[int] = count, number: int = number) -> Any:
            def change(files: FolderFiles, *arguments: Any) -> Any:
                if files.root.name == "predictions":
                    count[0] += 1
                    if count[0] == number:
                        raise CrashError
                return act(files, *arguments)

            return change

        with pytest.MonkeyPatch.context() as patch:
            for name in ("write", "remove_file"):
                patch.setattr(FolderFiles, name, crash(getattr(FolderFiles, name)))
            try:
                erase_tenant(Settings.read(), TENANT if number == 1 else None, is_confirmed=True)
            except CrashError:
                crashes += 1
                rows = folder_home.parts.predictions.scan(TASK).collect()
                assert rows.height in (N_ACTIVE - 1, N_ACTIVE)
                with pytest.raises(LakeError, match="was cut off"):
                    folder_home.predict(at=EARLIER)
                continue
        break
    assert crashes >= 3
    assert list_naming(folder_home.list_contents(), TENANT) == []
    assert folder_home.predict().rows.height == N_ACTIVE - 1


def test_what_is_printed_names_the_class_the_table_and_where_the_rest_is(folder_home: Home) -> None:
    code, out, err = folder_home.shell("predict", TASK, "--portfolio", "--at", "2021-07-01")
    assert code == 0, err
    assert "value: probability of move-out." in out
    assert "stored as version 1 of the Delta table" in out
    document = folder_home.shell.json("predict", TASK, "--portfolio", "--at", "2021-07-01")
    assert (document["is_new"], document["entities"], document["value_name"]) == (False, N_ACTIVE, "probability of move-out")
    assert len(document["predictions"]) == N_ACTIVE
    assert {"entity", "value", "reasons", "receipt", "rank", "saving"} <= set(document["predictions"][0])
    assert document["predictions"][0]["at"] == "2021-07-01T00:00:00Z"
    assert json.dumps(document)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    {
        "nope --portfolio": "no feature 'nope'; there are predictive_maintenance,",
        f"{TASK} --portfolio --at 2031-01-01": "lies after the end of the data",
        f"{TASK} --portfolio --at soon": "--at 'soon' is no moment",
        f"{TASK} --at 2021-07-01": "--at goes with --portfolio",
        f"{TASK} rows.csv --portfolio": "leave rows.csv or --portfolio out",
        f"{TASK} --portfolio --at 1990-01-01": "no entity of leases is eligible at 1990-01-01",
        f"{TASK} --portfolio --data 7": "no data version 7",
        f"{TASK} --portfolio --version 9": "9",
        f"{TASK} --portfolio --out answers.xlsx": "answers are written as .parquet, .csv, .jsonl",
        f"{TASK} --portfolio --out nowhere/answers.csv": "there is no folder nowhere",
        f"{TASK} rows.csv --out answers.csv": "rows.csv: no such file",
        f"{TASK} --out answers.csv": "predicts rows: name the file",
    }.items(),
)
def test_what_cannot_be_asked_is_one_sentence(folder_home: Home, words: str, told: str) -> None:
    code, out, err = folder_home.shell("predict", *words.split())
    assert (code, out) == (2, "")
    assert told in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("epic22: ")
    assert not (folder_home.shell.folder / "answers.csv").exists()


def test_requests_are_copied_to_another_store_once_each(folder_home: Home) -> None:
    rows = [folder_home.predict(at=at).rows for at in (MOMENT, EARLIER)]
    target = folder_home.shell.folder / "copied"
    for copied, present in ((2, 0), (0, 2)):
        document = folder_home.shell.json("store", "copy", "--to", str(target))
        assert document["predictions"] == {"copied": copied, "present": present}
    folder_home.shell.monkeypatch.setenv("EPIC22_HOME", str(target))
    for at, before in zip((MOMENT, EARLIER), rows, strict=True):
        there = folder_home.predict(at=at)
        assert not there.is_new
        assert_frame_equal(there.rows, before, check_exact=True)


def test_fresh_rents_of_competitors_are_refused_for_predictions_and_lists_and_it_is_said(folder_home: Home) -> None:
    """Only a training said so."""
    market = feature_tables()["market"].with_columns(provenance=pl.lit("nonpublic_competitor"), source=pl.lit("pool"))
    take_in(
        open_stores(Settings.read()).table_store,
        write_tables(folder_home.shell.folder / "in2", dict(feature_tables()) | {"market": market}, "parquet"),
    )
    told: list[ProgressEvent] = []
    predict_portfolio(folder_home.parts, FeatureMoment(TASK, MOMENT), progress=Progress(told.append))
    decide_feature(folder_home.parts, TASK, MOMENT, None, progress=Progress(told.append))
    notes = [event.text for event in told if isinstance(event, Noted)]
    assert [note.partition(" market rows are non-public figures of competitors")[0] for note in notes] == [
        f"{market.height:,}"
    ] * 2
    assert f"are refused at {MOMENT:%Y-%m-%d}" in notes[0]
