"""What every place of MLflow's runs must do: a home, and a server's schema with files in a folder or object storage."""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import make_url
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database

from epic22.adapters.artifacts import ArtifactFolder
from epic22.adapters.file_store import open_file_store
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.erasure import LibraryTables
from epic22.adapters.shared_model_store import SharedModelStore
from epic22.adapters.studies import StudyDatabase
from epic22.adapters.tracking.mlflow import MlflowTracker
from epic22.adapters.tracking.mlflow_database import MlflowDatabase
from epic22.adapters.tracking.mlflow_store import MlflowStore
from epic22.adapters.tracking.tracking_store import TrackingStore
from epic22.core.errors import StorageError
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.run_record import FamilyRecord, InputRecord, RunRecord, TrialRecord
from epic22.core.selection.study import StudyConfig
from epic22.core.tables.erasure import TenantIdentity

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.slow


def build_run(folder: Path, number: str) -> RunRecord:
    """A training of two families, with its files in a folder."""
    bundle = folder / "bundle"
    (bundle / "trees").mkdir(parents=True, exist_ok=True)
    (bundle / "model.json").write_text("{}")
    (bundle / "trees" / "0.ubj").write_bytes(b"\0")
    (folder / "report.html").write_text("<html></html>")
    version = ModelVersion("toy", number, "boosting", number * 64, "v0", "proven", "2024-01-01T00:00:00Z")
    trials = (
        TrialRecord(0, "fold 1", "boosting", {"depth": "3"}, "auc", 0.8, (0.7, 0.9), 2.0),
        TrialRecord(1, "fold 1", "linear", {"depth": "6"}, "auc", 0.6, (0.6,), 1.0, "after 1 inner folds"),
    )
    board = (
        FamilyRecord("boosting", {"auc": (0.8, 0.7, 0.9)}, {"auc_fold": (0.7, 0.9)}, 1.5, 0.2, trials),
        FamilyRecord("constant", {"auc": (0.5, float("nan"), 0.5)}, {}, 0.1, 0.01),
    )
    data = DataVersion("v" * 64, (("https://me:secret@example.org/a.csv?key=secret", "0" * 64),))
    metrics, environment = {"device_utilisation": 0.87}, {"epic22.code_version": "0.1"}
    figures, inputs = {"shap": b"png"}, InputRecord({"age": True, "note": False}, {"age": 1.5, "note": None})
    task_file = folder / "task.yaml"
    task_file.write_text("task: toy\n")
    report, parameters = folder / "report.html", {"seed": "7", "rows": "100"}
    facts = (version, data, parameters, board, bundle, report, figures, metrics, environment)
    return RunRecord(*facts, started_at=1_700_000_000.5 + int(number) - 1, task_file=task_file, inputs=inputs)


def open_place(kind: str, folder: Path) -> TrackingStore:
    """A place without runs."""
    if kind == "home":
        return MlflowStore(folder / "new")
    files = new_bucket() if kind == "postgresql and s3" else str(folder / "disk")
    return MlflowDatabase(Database(new_database()), open_file_store(f"{files}/mlflow"))


@pytest.fixture(scope="module", params=["home", "postgresql", "postgresql and s3"])
def tracker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowTracker]:
    """A tracker with two trainings of one task written down."""
    folder = tmp_path_factory.mktemp("place")
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        store = open_place(request.param, folder)
        for name, value in (storage_environment() if request.param.endswith("s3") else {}).items():
            patch.setenv(name, value)
        tracker = MlflowTracker(store)
        tracker.prepare()
        for number in ("1", "2"):
            tracker.log_run(build_run(folder, number))
        yield tracker
    for name in set(os.environ) - set(before):
        del os.environ[name]


def test_a_training_is_a_run_with_its_families_below_it(tracker: MlflowTracker) -> None:
    client = tracker._client()
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    runs = client.search_runs([experiment.experiment_id])
    parents = {r.info.run_name: r for r in runs if "mlflow.parentRunId" not in r.data.tags}
    assert set(parents) == {"toy v1", "toy v2"}
    parent = parents["toy v1"]
    assert parent.data.params == {"seed": "7", "rows": "100"}
    assert parent.info.start_time == 1_700_000_000_500
    assert parent.data.tags["epic22.code_version"] == "0.1"
    assert parent.data.metrics["auc"] == 0.8
    assert parent.data.metrics["device_utilisation"] == 0.87, "of the training as a whole"
    assert (parent.data.metrics["auc_low"], parent.data.metrics["auc_high"]) == (0.7, 0.9)
    assert parent.data.tags["epic22.model_hash"] == "1" * 64
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(r.info.run_name for r in children) == ["boosting", "constant"]
    assert not any("device_utilisation" in r.data.metrics for r in children)
    assert {r.info.status for r in runs} == {"FINISHED"}


def test_a_training_that_was_killed_after_its_tracking_is_one_run_with_one_model(tmp_path: Path) -> None:
    tracker, id = MlflowTracker(open_place("home", tmp_path)), uuid.uuid4().hex
    tracker.log_run(build_run(tmp_path, "1"))
    for number in ("2", "3"):
        assert tracker.log_run(replace(build_run(tmp_path, number), id=id)) == id
    client = tracker._client()
    (experiment,) = client.search_experiments(filter_string="name = 'toy'")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(r.info.run_name for r in runs if "mlflow.parentRunId" not in r.data.tags) == ["toy v1", "toy v3"]
    assert len(runs) == 2 * 5, "each with two families and two trials"
    assert [v.tags["epic22.version"] for v in client.search_model_versions("name = 'toy'")] == ["3", "1"]
    assert "report.html" in [file.path for file in client.list_artifacts(id)]
    tracker.mark_versions("toy", "3", None)
    assert client.get_model_version_by_alias("toy", "champion").run_id == id


def list_children(client: "MlflowClient", experiment: str, parent: str) -> list[Any]:
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return sorted(runs, key=lambda run: str(run.info.run_name))


def test_the_trials_of_a_search_are_runs_below_its_family(tracker: MlflowTracker) -> None:
    client = tracker._client()
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    family = runs["boosting"].info.run_id
    first, second = list_children(client, experiment.experiment_id, family)
    assert first.data.params == {"depth": "3", "family": "boosting", "search_part": "fold 1", "state": "complete"}
    assert first.data.metrics["auc"] == 0.8
    assert first.info.end_time - first.info.start_time == 2000
    folds = client.get_metric_history(first.info.run_id, "auc_inner_fold")
    assert sorted((m.step, m.value) for m in folds) == [(0, 0.7), (1, 0.9)]
    assert second.data.params["state"] == "pruned after 1 inner folds"


def test_a_run_names_what_it_learned_from_without_what_lets_anybody_in(tracker: MlflowTracker) -> None:
    client = tracker._client()
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    parents = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name.startswith("toy v")]
    for parent in parents:
        inputs: Any = client.get_run(parent.info.run_id).inputs
        (read,) = inputs.dataset_inputs
        assert (read.dataset.name, read.dataset.digest) == ("a.csv", "v" * 36)
        assert "example.org/a.csv" in read.dataset.source
        assert "secret" not in read.dataset.source
        assert json.loads(read.dataset.profile) == {"data_version": "v" * 64, "rows": "100"}
        assert [(tag.key, tag.value) for tag in read.tags] == [("mlflow.data.context", "training")]


def test_folds_are_steps_and_undefined_scores_are_left_out(tracker: MlflowTracker) -> None:
    client = tracker._client()
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    boosting, constant = runs["boosting"], runs["constant"]
    folds = client.get_metric_history(boosting.info.run_id, "auc_fold")
    assert sorted((m.step, m.value) for m in folds) == [(0, 0.7), (1, 0.9)]
    assert "auc_low" not in constant.data.metrics
    assert constant.data.metrics["auc_high"] == 0.5


def test_champion_and_challenger_are_the_versions_that_carry_their_numbers(tracker: MlflowTracker) -> None:
    client = tracker._client()
    for number in ("2", "1"):
        other = {"1": "2", "2": None}[number]
        tracker.mark_versions("toy", number, other)
        aliases = client.get_registered_model("toy").aliases
        tags = {alias: client.get_model_version("toy", version).tags["epic22.version"] for alias, version in aliases.items()}
        assert tags == {"champion": number} | ({} if other is None else {"challenger": other})


def test_bundle_report_and_pictures_are_files_of_the_run_where_mlflow_looks_for_them(tracker: MlflowTracker) -> None:
    names = list(tracker.store.files.list_files("toy"))
    assert len(names) == 18
    assert {name.split("/", 3)[3] for name in names} == {
        "model/MLmodel",
        "model/version.json",
        "model/requirements.txt",
        "model/bundle/model.json",
        "model/bundle/trees/0.ubj",
        "model/input_example.json",
        "report.html",
        "task.yaml",
        "pictures/shap.png",
    }
    client = tracker._client()
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    parent = next(r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == "toy v1")
    if parent.info.artifact_uri.startswith("s3://"):
        # MLflow reads object storage through boto3, which is not among our dependencies.
        assert parent.info.artifact_uri == tracker.store.files.locate(f"toy/{parent.info.run_id}/artifacts")
    else:
        assert sorted(file.path for file in client.list_artifacts(parent.info.run_id)) == [
            "model",
            "pictures",
            "report.html",
            "task.yaml",
        ]
    (default,) = [e for e in client.search_experiments() if e.name == "Default"]
    assert default.artifact_location == experiment.artifact_location.replace("/toy", "/Default")


def test_another_process_goes_on_with_the_same_runs(tracker: MlflowTracker) -> None:
    again = MlflowTracker(tracker.store)
    again.prepare()
    assert [model.name for model in again._client().search_registered_models()] == ["toy"]


def test_what_was_half_written_of_a_run_is_taken_back(tracker: MlflowTracker, tmp_path: Path) -> None:
    before = set(tracker.store.files.list_files("toy"))
    run = build_run(tmp_path, "3")
    run.report.unlink()
    with pytest.raises(FileNotFoundError):
        tracker.log_run(run)
    assert set(tracker.store.files.list_files("toy")) == before
    client = tracker._client()
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    assert "toy v3" not in {r.info.run_name for r in client.search_runs([experiment.experiment_id])}


def list_tables(url: str) -> set[tuple[str, str]]:
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    with psycopg.connect(url) as connection:
        return {(str(schema), str(table)) for schema, table in connection.execute(query)}


def test_runs_studies_and_our_own_tables_are_in_one_database_and_none_takes_anothers_name(tmp_path: Path) -> None:
    url = new_database()
    tracker = MlflowTracker(MlflowDatabase(Database(url), open_file_store(str(tmp_path / "disk"))))
    studies = StudyDatabase(url, tmp_path)
    studies.claim("toy", "run")
    studies.open("toy", "run", "all", StudyConfig((), True))
    tracker.log_run(build_run(tmp_path, "1"))
    assert SharedModelStore(Database(url), ArtifactFolder(tmp_path / "models")).list_all_versions() == ()
    tables = list_tables(url)
    studies.remove_claimed("toy")
    assert {schema for schema, _ in tables} == {"epic22", "epic22_mlflow", "epic22_optuna"}
    assert {schema for schema, table in tables if table == "alembic_version"} == {"epic22_mlflow", "epic22_optuna"}
    assert {("epic22", "model_versions"), ("epic22_mlflow", "model_versions"), ("epic22_optuna", "trials")} <= tables


def test_who_may_not_make_schemas_uses_those_that_were_made_for_him(tmp_path: Path) -> None:
    url, user = new_database(), f"u{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN".encode())
        for schema in ("epic22", "epic22_mlflow", "epic22_optuna"):
            connection.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {user}".encode())
    own = make_url(url).set(username=user, password=None).render_as_string(hide_password=False)
    tracker = MlflowTracker(MlflowDatabase(Database(own), open_file_store(str(tmp_path / "disk"))))
    studies = StudyDatabase(own, tmp_path)
    studies.claim("toy", "run")
    studies.open("toy", "run", "all", StudyConfig((), True))
    studies.remove_claimed("toy")
    assert tracker.log_run(build_run(tmp_path, "1"))
    stranger = make_url(new_database()).set(username=user).render_as_string(hide_password=False)
    with pytest.raises(StorageError, match="permission denied for database"):
        Database(stranger).read().__enter__()


def test_a_kill_while_the_tables_are_made_leaves_what_the_next_training_completes(tmp_path: Path) -> None:
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    from epic22.adapters.metadata.library_schema import RUNS, open_schema

    database = Database(new_database())
    engine = create_engine(open_schema(database, RUNS))
    Base.metadata.create_all(engine)
    engine.dispose()
    tracker = MlflowTracker(MlflowDatabase(database, open_file_store(str(tmp_path / "disk"))))
    tracker.prepare()
    assert tracker.log_run(build_run(tmp_path, "1"))


def test_the_files_of_new_runs_lie_where_the_settings_say_now(tmp_path: Path) -> None:
    database = Database(new_database())
    for number, disk in (("1", "disk"), ("2", "other")):
        tracker = MlflowTracker(MlflowDatabase(database, open_file_store(str(tmp_path / disk))))
        run = tracker.log_run(build_run(tmp_path, number))
        assert (tmp_path / disk / "toy" / run / "artifacts" / "report.html").is_file()
        assert tracker._client().get_run(run).info.artifact_uri == (tmp_path / disk / "toy" / run / "artifacts").as_uri()


def test_tables_of_another_mlflow_are_refused_in_a_sentence(tmp_path: Path) -> None:
    url = new_database()
    store = MlflowDatabase(Database(url), open_file_store(str(tmp_path / "disk")))
    with store.lock():
        store.open()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE epic22_mlflow.alembic_version SET version_num = 'later'")
    with pytest.raises(StorageError, match=r"are of another MLflow .their tables are at later.; use the epic22 that wrote them"):
        MlflowTracker(store).log_run(build_run(tmp_path, "1"))


def test_a_run_that_names_a_person_is_named_by_an_erasure(tmp_path: Path) -> None:
    database = Database(new_database())
    place = LibraryTables(database)
    assert place.list_remaining(TenantIdentity("tenant-1"), 0) == ()
    run = build_run(tmp_path, "1")
    parameters = {"note": "asked for by tenant-1, with 100 %", "other": "tenant-10"}
    MlflowTracker(MlflowDatabase(database, open_file_store(str(tmp_path / "disk")))).log_run(replace(run, parameters=parameters))
    (remaining,) = place.list_remaining(TenantIdentity("tenant-1"), 0)
    assert remaining.startswith("epic22_mlflow.params.value of ")
    assert place.list_remaining(TenantIdentity("tenant-2"), 0) == ()


def test_a_server_that_is_away_or_stops_in_the_middle_is_said_in_a_sentence(tmp_path: Path) -> None:
    away = MlflowDatabase(Database("postgresql://a:secret@127.0.0.1:1/none"), open_file_store(str(tmp_path / "disk")))
    with pytest.raises(StorageError, match=r"no connection to 127\.0\.0\.1/none") as refused:
        MlflowTracker(away).prepare()
    assert "secret" not in str(refused.value)
    url = new_database()
    tracker = MlflowTracker(MlflowDatabase(Database(url), open_file_store(str(tmp_path / "disk"))))
    tracker.log_run(build_run(tmp_path, "1"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE epic22_mlflow.metrics RENAME TO gone")
    with pytest.raises(StorageError, match=r"it was refused by .*metrics"):
        tracker.log_run(build_run(tmp_path, "2"))
