"""Where things are kept: files in EPIC22_HOME, or a database and artifacts that several machines share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from epic22.adapters.file_store import FolderFiles, open_file_store
from epic22.adapters.lake import Lake
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import FilePredictionLog, ReceiptStore
from epic22.adapters.tracking.mlflow_store import MlflowStore
from epic22.config import Settings
from epic22.core.ports import Registry

if TYPE_CHECKING:
    from epic22.adapters.artifacts import Artifacts
    from epic22.adapters.metadata.database import Database
    from epic22.adapters.tracking.mlflow import TrackingStore

ARTIFACTS = "artifacts"
"""The folder of the home for the files that belong to a database, where no other is set."""


@dataclass(frozen=True)
class Stores:
    """Models, tables and receipts; `place` says for people where they are, and the database which files belong together."""

    place: str
    registry: Registry
    table_store: Lake
    prediction_log: ReceiptStore
    database: "Database | None" = None


def open_stores(settings: Settings) -> Stores:
    """The stores that the settings name; nothing is made or asked before it is used."""
    if settings.database_url is None:
        return open_home_stores(settings.home)
    return open_shared_stores(settings.database_url, get_artifacts(settings), settings.home)


def open_home_stores(home: Path) -> Stores:
    """The stores in the files of a home."""
    return Stores(str(home), ModelStore(home / "models"), Lake(home / "lake"), FilePredictionLog(home / "receipts"))


def open_shared_stores(database_url: str, artifacts: str, home: Path) -> Stores:
    """The stores whose facts are in a database, and whose files are in a folder or object storage; what is fetched from there, or
    still being written, is in the home."""
    from epic22.adapters.metadata.data_versions import VersionRecords
    from epic22.adapters.metadata.database import Database
    from epic22.adapters.metadata.predictions import PredictionRecords
    from epic22.adapters.shared_model_store import SharedModelStore

    database = Database(database_url)
    registry = SharedModelStore(database, _open_artifacts(artifacts, home))
    files = open_file_store(f"{artifacts}/lake")
    staging = files.root if isinstance(files, FolderFiles) else home / "cache" / "lake"
    lake = Lake(staging, VersionRecords(database), files)
    return Stores(database.place, registry, lake, PredictionRecords(database), database)


def open_served_registry(settings: Settings) -> Registry:
    """The registry for a server, which asks it at every request: of a shared one the champions are kept in memory."""
    stores = open_stores(settings)
    if stores.database is None:
        return stores.registry
    from epic22.adapters.champion_cache import ServedModelStore

    return ServedModelStore(stores.database, _open_artifacts(get_artifacts(settings), settings.home))


def open_tracking_store(settings: Settings) -> "TrackingStore":
    """Where MLflow keeps runs: on the server of the settings, their files with its artifacts, or in the home."""
    if not is_server(settings.database_url):
        return MlflowStore(settings.home)
    from epic22.adapters.metadata.database import Database
    from epic22.adapters.tracking.mlflow_database import FOLDER, MlflowDatabase

    return MlflowDatabase(Database(settings.database_url), open_file_store(f"{get_artifacts(settings)}/{FOLDER}"))


def get_artifacts(settings: Settings) -> str:
    """Where the files that belong to a database are."""
    return settings.artifacts or str(settings.home / ARTIFACTS)


def _open_artifacts(artifacts: str, home: Path) -> "Artifacts":
    from epic22.adapters.artifacts import open_artifacts

    return open_artifacts(open_file_store(f"{artifacts}/models"), home / "cache" / "models")


def open_lake(settings: Settings) -> Lake:
    """The versioned tables."""
    return open_stores(settings).table_store


def is_server(database_url: str | None) -> TypeGuard[str]:
    """Whether a database is a server, and not a file."""
    return database_url is not None and not database_url.startswith("sqlite:")
