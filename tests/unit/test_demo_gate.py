"""The demonstration's log of promotions is read through the registry, wherever that keeps it."""

from pathlib import Path

import pytest
from tests.contract.test_every_registry import put

from epic22.adapters.artifacts import ArtifactFolder
from epic22.adapters.metadata.database import Database
from epic22.adapters.model_store import ModelStore
from epic22.adapters.shared_model_store import SharedModelStore
from epic22.cli.demo_gate import print_promotion_log
from epic22.config import Settings
from epic22.core.evaluation.fairness import decide_promotion
from epic22.core.ports import Registry


@pytest.mark.parametrize("kind", ["files", "database"])
def test_every_decision_is_printed_with_its_reason(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    database = Database(f"sqlite:///{tmp_path}/data.sqlite")
    store: Registry = ModelStore(models) if kind == "files" else SharedModelStore(database, ArtifactFolder(models))
    put(store, tmp_path / "a")
    store.promote("toy", "1", (), decide_promotion(None, first_model=True))
    print_promotion_log(store, "toy")
    printed = " ".join(capsys.readouterr().out.split())
    assert "version 1 proven: fairness was not measured: no protected classes are stored" in printed


def test_a_home_of_its_own_is_no_other_machines_business() -> None:
    servers = {"EPIC22_DATABASE_URL": "postgresql://u@h/d", "EPIC22_ARTIFACTS": "s3://b", "EPIC22_REDIS_URL": "redis://h"}
    shared = Settings.read(servers | {"EPIC22_HOME": "/a", "EPIC22_THREADS": "2"})
    assert shared.embed(Path("/b")) == Settings.read({"EPIC22_HOME": "/b", "EPIC22_THREADS": "2"})
