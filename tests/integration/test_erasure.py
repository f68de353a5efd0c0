"""One person erased: nothing of the person is left anywhere, and nothing of others is touched."""

import bz2
import gzip
import io
import json
import lzma
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.erasures import (
    LEASE,
    LONGER,
    TENANT,
    fill_home_once,
    ingest_person,
    list_contents,
    list_naming,
    list_store_contents,
)
from tests.lakes import NOW, take_in
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.shell import Shell
from tests.small_tables import write_tables

from epic22.adapters import lake_transaction
from epic22.adapters.file_store import FolderFiles, open_file_store
from epic22.adapters.home import write_atomically
from epic22.adapters.lake import Lake
from epic22.adapters.lake_erasure import LakeErasure
from epic22.bootstrap.erasure import erase_tenant
from epic22.bootstrap.stores import Stores, open_stores
from epic22.config import Settings
from epic22.core.errors import LakeError
from epic22.core.lineage import ModelVersion
from epic22.core.tables.canonical import CANONICAL, get_canonical_table
from epic22.core.tables.erasure import list_owned_tables
from epic22.core.tables.rowhash import digest_rows, hash_rows
from epic22.services.erasure import ErasureRequest, erase_person

KINDS = ("files", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite", "postgresql and s3")))


class Place:
    """A home, or a database with object storage, in which the person's rows are."""

    def __init__(self, shell: Shell, kind: str, folder: Path) -> None:
        self.shell, self.kind, self.folder = shell, kind, folder
        self.url, self.bucket = "", ""
        if kind == "sqlite":
            shell.monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{shell.home}/data.sqlite")
        if kind == "postgresql and s3":
            self.url, self.bucket = new_database(), new_bucket()
            settings = {"EPIC22_DATABASE_URL": self.url, "EPIC22_ARTIFACTS": self.bucket, **storage_environment()}
            for name, value in settings.items():
                shell.monkeypatch.setenv(name, value)

    def fill(self) -> "Place":
        """It with the person's rows: copied where they are files, for to ingest them takes longer than most of what is tested."""
        if self.bucket:
            ingest_person(self.stores, self.folder)
        else:
            shutil.copytree(fill_home_once(self.kind == "sqlite"), self.folder, dirs_exist_ok=True)
        return self

    @property
    def stores(self) -> Stores:
        return open_stores(Settings.read())

    def list_files(self) -> dict[str, bytes]:
        """The files of the home as they are."""
        return {str(path): path.read_bytes() for path in self.shell.home.rglob("*") if path.is_file()}

    def list_contents(self) -> Iterator[tuple[str, bytes]]:
        """All that is kept, wherever it is."""
        yield from list_contents(self.shell.home)
        if self.bucket:
            yield from list_store_contents(open_file_store(self.bucket))
        if self.url:
            import psycopg

            with psycopg.connect(self.url) as connection:
                tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'epic22'").fetchall()
                for (table,) in tables:
                    rows = connection.execute(f"SELECT * FROM epic22.{table}".encode()).fetchall()
                    yield f"table {table}", repr(rows).encode()


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Place:
    return Place(Shell(tmp_path, capsys, monkeypatch), request.param, tmp_path).fill()


def read_versions(stores: Stores) -> dict[tuple[int, str], pl.DataFrame]:
    """All tables of all versions, in an order of their own."""
    lake = stores.table_store
    return {
        (version.number, table.name): lake.scan(table.name, version.number).collect().sort(*table.key, "known_at")
        for version in lake.log()
        for table in CANONICAL
    }


def without_person(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table as they are to be without the person."""
    number = "1"
    own = {
        "tenants": TENANT,
        "protected": TENANT,
        "leases": LEASE,
        "charges": f"C{number}",
        "payments": f"Y{number}",
        "messages": f"M{number}",
    }
    if name in own:
        key = next(table.key[0] for table in CANONICAL if table.name == name)
        return frame.filter(pl.col(key) != own[name])
    if name == "work_orders":
        return frame.with_columns(pl.when(pl.col("work_order_id") != "W0").then("description"))
    return frame


def test_nothing_of_the_person_is_left_and_the_rest_is_as_it_was(place: Place) -> None:
    before, receipts = read_versions(place.stores), place.stores.prediction_log.find_receipts("")
    old = place.stores.table_store.log()
    assert list_naming(place.list_contents())
    document = place.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    assert list_naming(place.list_contents()) == []
    after = read_versions(place.stores)
    for (number, name), frame in before.items():
        assert after[number, name].equals(without_person(name, frame)), (number, name)
    left = place.stores.prediction_log.find_receipts("")
    assert [one.receipt[0] for one in left] == ["2", "4", "5"]
    assert left[:2] == (receipts[1], receipts[3])
    assert left[2].row_from is not None
    assert left[2].row_from.label == "[erased].csv"
    counts = {"tenants": 1, "leases": 1, "charges": 1, "payments": 1, "messages": 1, "protected": 1, "work_orders": 1}
    assert document["entry"]["counts"] == {**counts, "quarantine": 1, "receipts": 3}
    assert document["entry"]["versions"] == [1, 2, 3]
    assert document["is_carried_out"]
    log = place.stores.table_store.log()
    assert document["entry"]["superseded"] == {a.id: b.id for a, b in zip(old, log, strict=True)}


@pytest.mark.slow
def test_what_versions_say_of_themselves_is_true_of_their_rows_and_their_old_ids_lead_to_them(place: Place) -> None:
    old = place.stores.table_store.log()
    place.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    lake = place.stores.table_store
    for before, version in zip(old, lake.log(), strict=True):
        assert version.id != before.id
        assert version.ids == (version.id, before.id)
        for table in CANONICAL:
            rows = lake.scan(table.name, version.number).collect()
            stated = version.tables[table.name]
            assert stated.rows == rows.height
            digest = digest_rows(hash_rows(rows.select(pl.all()), table.key).whole)
            assert f"{digest:032x}" == stated.digest, table.name
        assert sum(one.added for one in version.tables.values()) in (
            0,
            version.rows - (0 if version.number == 1 else lake.version(1).rows),
        )
    trace = place.shell.json("lineage", old[1].id[:12])
    assert trace["subject"] == "data version:2"


@pytest.mark.slow
def test_a_person_is_taken_out_of_files_that_were_merged_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_transaction, "MANY_FILES", 0)
    home = Place(Shell(tmp_path, capsys, monkeypatch), "files", tmp_path)
    ingest_person(home.stores, tmp_path)
    log = home.stores.table_store.root / "leases" / "_delta_log"
    assert any("OPTIMIZE" in path.read_text() for path in log.iterdir())
    added = [sum(one.added for one in version.tables.values()) for version in home.stores.table_store.log()]
    home.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    assert list_naming(home.list_contents()) == []
    versions = home.stores.table_store.log()
    assert [sum(one.added for one in version.tables.values()) for version in versions] == [added[0] - 6, added[1], 0]
    for version in versions:
        for name, stated in version.tables.items():
            rows = home.stores.table_store.scan(name, version.number).collect()
            key = get_canonical_table(name).key
            assert (stated.rows, stated.digest) == (rows.height, f"{digest_rows(hash_rows(rows, key).whole):032x}"), name


@pytest.mark.slow
def test_an_ingest_goes_on_in_the_tables_that_were_written_anew(place: Place) -> None:
    place.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    result = take_in(place.stores.table_store, place.folder / "whole")
    assert result.version is not None
    assert result.version.number == 4
    assert list_naming(place.list_contents())
    place.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    assert list_naming(place.list_contents()) == []
    place.shell.json("data", "erase", "--tenant", LONGER, "--yes")
    assert list_naming(place.list_contents(), LONGER) == []


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(Shell(tmp_path, capsys, monkeypatch), "files", tmp_path).fill()


def test_without_yes_it_is_shown_and_nothing_is_changed(home: Place) -> None:
    before = dict(home.list_contents())
    code, out, err = home.shell("data", "erase", "--tenant", TENANT)
    assert (code, err) == (0, "")
    assert "Nothing was changed" in out
    assert "Data versions to be rewritten: 1, 2, 3." in out
    assert dict(home.list_contents()) == before


def test_a_tenant_of_whom_nothing_is_stored_is_one_sentence(home: Place) -> None:
    for tenant in ("tenant-", "tenant-100", "T1"):
        code, out, err = home.shell("data", "erase", "--tenant", tenant, "--yes")
        assert (code, out) == (2, "")
        assert err.startswith(f"epic22: nothing of a tenant '{tenant}' is stored")
        assert err.count("\n") == 1
    code, out, err = home.shell("data", "erase")
    assert (code, out) == (2, "")
    assert "name whom to erase" in err


@pytest.mark.slow
def test_models_that_learned_from_a_version_are_listed_under_its_old_id_too(home: Place) -> None:
    identity = home.stores.table_store.version(2).id
    model = ModelVersion("tenant_churn", "1", "linear", "a" * 64, identity, "proven", "2024-01-01T00:00:00+00:00")
    models = [model, replace(model, task="other", data_version="d" * 64)]
    for tenant in (TENANT, LONGER):
        request = ErasureRequest(tenant, "tester", NOW, is_confirmed=True)
        assert erase_person(request, LakeErasure(home.stores.table_store), (), models).entry.models == ("tenant_churn/1",)


@pytest.mark.slow
def test_what_was_erased_is_listed_without_the_person(home: Place) -> None:
    assert home.shell.json("data", "erasures") == []
    entry = home.shell.json("data", "erase", "--tenant", TENANT, "--yes")["entry"]
    home.shell.json("data", "erase", "--tenant", LONGER, "--yes")
    listed = home.shell.json("data", "erasures")
    assert [one["number"] for one in listed] == [1, 2]
    assert listed[0] == entry
    assert entry["at"] > "2024"
    code, out, _ = home.shell("data", "erasures")
    assert code == 0
    assert "tenant-" not in out


@pytest.mark.slow
def test_an_id_within_the_key_of_another_row_stays_and_is_said(home: Place) -> None:
    ledger = home.stores.table_store.scan("ledger", 2).collect().head(2)
    keys = pl.Series([f"rent/{TENANT}/1", f"rent/{LONGER}/1"])
    take_in(home.stores.table_store, write_tables(home.folder / "more", {"ledger": ledger.with_columns(entry_id=keys)}))
    remaining = home.shell.json("data", "erase", "--tenant", TENANT, "--yes")["remaining"]
    assert [one for one in remaining if "ledger" in one] == [
        "ledger.entry_id: 1 other value with the id in it; what refers to it would be lost"
    ]
    assert {name.partition("/")[0] for name in list_naming(home.list_contents())} == {"lake"}


@pytest.mark.slow
def test_a_store_is_copied_as_it_is_after_an_erasure(home: Place) -> None:
    home.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    target = home.folder / "copied"
    home.shell.json("store", "copy", "--to", str(target))
    before, copied = home.stores.table_store, Lake(target / "lake")
    assert copied.log() == before.log()
    for number in (1, 2, 3):
        assert copied.scan("leases", number).collect().equals(before.scan("leases", number).collect())
    assert list_naming(list_contents(target)) == []
    with copied.begin_transaction() as transaction:
        assert transaction.number == 4


@pytest.mark.slow
def test_nothing_is_copied_from_a_store_in_the_middle_of_an_erasure(home: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        crash_at(patch, 20)
        with pytest.raises(CrashError):
            erase_tenant(Settings.read(), TENANT, is_confirmed=True)
    code, _, err = home.shell("store", "copy", "--to", str(home.folder / "copied"))
    assert code == 2
    assert "an erasure was cut off" in err


def test_caches_that_name_the_person_go_and_other_files_lose_the_id(home: Place) -> None:
    files = {"http/1/page.csv": "gone", "lineage/events.jsonl": "changed", "models/toy/1/bundle/manifest.json": "named"}
    for name, fate in files.items():
        (home.shell.home / name).parent.mkdir(parents=True, exist_ok=True)
        (home.shell.home / name).write_text(f'{{"a": "{TENANT} {fate}", "b": "{LONGER}"}}\n')
    document = home.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    assert not (home.shell.home / "http/1/page.csv").exists()
    assert json.loads((home.shell.home / "lineage/events.jsonl").read_text()) == {"a": "[erased] changed", "b": LONGER}
    assert list_naming(home.list_contents()) == ["models/toy/1/bundle/manifest.json"]
    assert any("models/toy/1/bundle/manifest.json names the tenant" in one for one in document["remaining"])


def pack_file(kind: str, text: str) -> bytes:
    """A file in which the text is packed."""
    stream = io.BytesIO()
    if kind == "parquet":
        pl.DataFrame({"text": [text]}).write_parquet(stream)
    elif kind == "fields":
        pl.DataFrame({"lists": [[{"text": text}]]}).write_parquet(stream, statistics=False)
    elif kind == "bz2":
        stream.write(bz2.compress(text.encode()))
    elif kind == "xz":
        stream.write(lzma.compress(text.encode()))
    elif kind == "npz":
        np.savez_compressed(stream, levels=np.array([[text]]))
    elif kind == "twice":
        stream.write(gzip.compress(gzip.compress(text.encode())))
    elif kind == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("text", text)
    else:
        stream.write(gzip.compress(text.encode()))
    return stream.getvalue()


def damage_file(content: bytes, how: str) -> bytes:
    """The content cut, as a kill leaves it, or with other bytes in its packed part."""
    return content[:-9] if how == "cut" else content[:35] + b"\xff\xff\xff" + content[38:]


@pytest.mark.parametrize("how", ["cut", "changed"])
def test_a_damaged_file_is_named_and_the_erasure_goes_on(home: Place, how: str) -> None:
    kinds = ("parquet", "gz", "zip")
    damaged = {f"scratch/x.{kind}": damage_file(pack_file(kind, "some words " * 9), how) for kind in kinds}
    damaged["scratch/killed.parquet"] = b"PAR1xxxx"
    more = ("fields", "bz2", "xz", "npz", "twice")
    whole = {f"scratch/whole.{kind}": pack_file(kind, f"call {TENANT}, today") for kind in (*kinds, *more)}
    for name, content in (damaged | whole).items():
        (home.shell.home / name).parent.mkdir(exist_ok=True)
        (home.shell.home / name).write_bytes(content)
    for words in ((), ("--yes",)):
        remaining = home.shell.json("data", "erase", "--tenant", TENANT, *words)["remaining"]
        named = [one for one in remaining if "is damaged, and what could not be unpacked of it was not searched" in one]
        assert len(named) == len(damaged)
        assert all(any(f"{home.shell.home}/{name} is" in one for one in named) for name in damaged)
    assert [(home.shell.home / name).exists() for name in whole] == [False] * 8


def test_a_file_that_is_named_after_the_person_goes_from_caches_and_is_said_elsewhere(home: Place) -> None:
    for name in ("http/1", "reports"):
        (home.shell.home / name).mkdir(parents=True)
        (home.shell.home / name / f"{TENANT}.json").write_text("{}")
    remaining = home.shell.json("data", "erase", "--tenant", TENANT, "--yes")["remaining"]
    assert not (home.shell.home / f"http/1/{TENANT}.json").exists()
    assert [one for one in remaining if "rename it" in one] == [
        f"{home.shell.home}/reports/{TENANT}.json has the tenant in its name; rename it, or remove what it belongs to"
    ]


def test_a_damaged_table_stops_the_erasure_in_one_sentence_before_anything_is_changed(home: Place) -> None:
    path = next((home.stores.table_store.root / "leases").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    before = home.list_files()
    code, out, err = home.shell("data", "erase", "--tenant", TENANT, "--yes")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{path}: damaged, its rows cannot be read; restore it from a backup" in err
    assert home.list_files() == before


def test_what_interrupted_trainings_left_goes_as_a_whole(home: Place) -> None:
    for name in ("fits/a.fit", "checkpoints/b.safetensors"):
        (home.shell.home / name).parent.mkdir()
        (home.shell.home / name).write_bytes(b"weights")
    home.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    assert not [name for name in ("fits", "checkpoints") if (home.shell.home / name).exists()]


@pytest.mark.slow
def test_files_that_a_killed_ingest_left_go_too(home: Place) -> None:
    lake = home.stores.table_store.root
    (lake / ".staging").mkdir()
    rows = home.stores.table_store.scan("leases", 2).collect()
    for target in (lake / "leases" / "left.parquet", lake / ".staging" / "leases-0.parquet"):
        rows.write_parquet(target)
    home.shell.json("data", "erase", "--tenant", TENANT, "--yes")
    assert list_naming(home.list_contents()) == []


class CrashError(Exception):
    """The process ends here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, n: int) -> list[int]:
    """Have the n-th change of a file fail, and every one after it; gives the count of changes."""
    count = [0]

    def limit(act: Any) -> Any:
        def change(*arguments: Any) -> Any:
            count[0] += 1
            if count[0] >= n:
                raise CrashError
            return act(*arguments)

        return change

    for name in ("write", "copy", "remove", "remove_file"):
        monkeypatch.setattr(FolderFiles, name, limit(getattr(FolderFiles, name)))
    monkeypatch.setattr("epic22.adapters.version_files.write_atomically", limit(write_atomically))
    return count


def count_changes(home: Place) -> int:
    """How many files an undisturbed erasure changes; the home is then as it was."""
    with pytest.MonkeyPatch.context() as patch:
        count = crash_at(patch, 1_000_000)
        erase_tenant(Settings.read(), TENANT, is_confirmed=True)
    return count[0]


def list_tables_without_person(stores: Stores, number: int) -> set[str]:
    """The tables of a version that have lost a row: it has 12 a table, the other two 6."""
    n_rows = 12 if number == 2 else 6
    lake = stores.table_store
    return {name for name in list_owned_tables() if lake.scan(name, number).collect().height < n_rows}


@pytest.mark.slow
def test_one_that_is_cut_off_at_any_change_shows_nobody_half_and_is_completed(home: Place) -> None:
    base = home.folder / "base"
    shutil.copytree(home.shell.home, base)
    n_changes = count_changes(home)
    wanted = [version.id for version in home.stores.table_store.log()]
    for n in range(2, n_changes + 1, 3):
        shutil.rmtree(home.shell.home)
        shutil.copytree(base, home.shell.home)
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, n)
            with pytest.raises(CrashError):
                erase_tenant(Settings.read(), TENANT, is_confirmed=True)
        for number in (1, 2, 3):
            assert list_tables_without_person(home.stores, number) in (set(), set(list_owned_tables())), (n, number)
        with pytest.raises(LakeError, match="was cut off"), home.stores.table_store.begin_transaction():
            pass
        code, _, err = home.shell("data", "erase", "--tenant", LONGER)
        assert (code, "complete it first" in err) == (2, True)
        assert home.shell.json("data", "erase")["is_carried_out"]
        assert [version.id for version in home.stores.table_store.log()] == wanted
        assert list_naming(home.list_contents()) == []
