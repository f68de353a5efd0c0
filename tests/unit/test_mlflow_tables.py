"""MLflow's tables as SQL, beside those that MLflow makes."""

from pathlib import Path

from epic22.adapters.tracking.mlflow_store import MlflowStore, build_uri, connect_client, import_quietly
from epic22.adapters.tracking.mlflow_tables import SCRIPT, dump_tables, find_revision, read_tables


def list_parts(script: str) -> list[str]:
    """The lines of a script in order: MLflow makes constraints and indices of a table in any order."""
    return sorted(line.strip().rstrip(",") for line in script.splitlines())


def test_the_tables_kept_as_sql_are_those_that_this_mlflow_makes(tmp_path: Path) -> None:
    import_quietly()
    connect_client(build_uri(tmp_path / "made.db"))
    assert list_parts(dump_tables(tmp_path / "made.db")) == list_parts(SCRIPT.read_text(encoding="utf-8"))


def test_a_home_gets_those_tables_and_an_experiment_that_lies_in_it(tmp_path: Path) -> None:
    client = MlflowStore(tmp_path).open()
    default = client.search_experiments()[0]
    assert default.artifact_location == (tmp_path / "mlflow-artifacts" / "Default").as_uri()
    assert default.creation_time is not None
    assert default.creation_time > 1_700_000_000_000, "the time at which it was made"
    assert list_parts(dump_tables(tmp_path / "mlflow.db")) == list_parts(SCRIPT.read_text(encoding="utf-8"))


def test_tables_of_another_revision_are_left_to_mlflow() -> None:
    revision = find_revision(SCRIPT.read_text(encoding="utf-8"))
    assert revision is not None
    assert read_tables(revision) is not None
    assert read_tables("another") is None
