"""A server keeps the champions in memory: they stay while the database is away, and follow it once it is back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs
from tests.contract.test_every_registry import put
from tests.waiting import wait_until

from epic22.adapters import champion_cache
from epic22.adapters.artifacts import ArtifactFolder
from epic22.adapters.champion_cache import ServedModelStore
from epic22.adapters.metadata.database import Database
from epic22.adapters.shared_model_store import SharedModelStore
from epic22.core.errors import BundleError, StorageError, UnknownTaskError

AWAY = Database("postgresql://nobody:secret@127.0.0.1:1/none")


def test_champions_stay_while_the_database_is_away_and_follow_it_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, artifacts = Database(f"sqlite:///{tmp_path}/data.sqlite"), ArtifactFolder(tmp_path / "models")
    store = SharedModelStore(database, artifacts)
    first = put(store, tmp_path / "a")
    store.promote("toy", "1", ())
    served = ServedModelStore(database, artifacts, seconds=0.01)
    assert served.champion("toy") == first
    assert served.list_tasks() == ("toy",)
    with pytest.raises(UnknownTaskError, match="tasks with one: toy"):
        served.champion("other")
    with capture_logs() as logs:
        served.database = AWAY
        second = put(store, tmp_path / "b", seed=1)
        store.promote("toy", "2", ())
        wait_until(lambda: bool(logs))
        assert served.champion("toy") == first
        monkeypatch.setattr(champion_cache, "STALE_SECONDS", 0.0)
        with pytest.raises(BundleError, match=r"127\.0\.0\.1/none has not answered"):
            served.list_tasks()
        served.database = database
        wait_until(lambda: served.champion("toy") == second)
        served.stop()
    assert [line["event"] for line in logs] == ["champions not read", "champions read again"]
    assert "secret" not in str(logs)


class MistakenDatabase(Database):
    """A database that fails by a mistake of ours."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        raise KeyError("nobody foresaw it")
        yield


def test_a_mistake_of_ours_ends_no_looking_for_champions(tmp_path: Path) -> None:
    database, artifacts = Database(f"sqlite:///{tmp_path}/data.sqlite"), ArtifactFolder(tmp_path / "models")
    store = SharedModelStore(database, artifacts)
    put(store, tmp_path / "a")
    store.promote("toy", "1", ())
    served = ServedModelStore(database, artifacts, seconds=0.01)
    served.champion("toy")
    with capture_logs() as logs:
        served.database = MistakenDatabase(f"sqlite:///{tmp_path}/data.sqlite")
        wait_until(lambda: bool(logs))
        second = put(store, tmp_path / "b", seed=1)
        store.promote("toy", "2", ())
        served.database = database
        wait_until(lambda: served.champion("toy") == second)
        served.stop()
    assert logs[0]["reason"] == "our mistake, KeyError: 'nobody foresaw it'"


def test_a_database_that_is_away_from_the_first_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no connection to 127\.0\.0\.1/none"):
        ServedModelStore(AWAY, ArtifactFolder(tmp_path)).list_tasks()
