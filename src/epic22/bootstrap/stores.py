"""Where things are kept: files in EPIC22_HOME, or a database and artifacts that several machines share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from epic22.adapters.lake import Lake
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import FilePredictionLog, ReceiptStore
from epic22.config import Settings
from epic22.core.ports import Registry

if TYPE_CHECKING:
    from epic22.adapters.metadata.database import Database

ARTIFACTS = "artifacts"
"""The folder of the home in which shared models' files are, where no object storage is set."""


@dataclass(frozen=True)
class Stores:
    """Models, tables and receipts."""

    registry: Registry
    table_store: Lake
    prediction_log: ReceiptStore


def open_stores(settings: Settings) -> Stores:
    """The stores that the settings name; nothing is made or asked before it is used."""
    home = settings.home
    if settings.database_url is None:
        return Stores(ModelStore(home / "models"), Lake(home / "lake"), FilePredictionLog(home / "receipts"))
    from epic22.adapters.metadata.database import Database

    return _open_shared(Database(settings.database_url), home)


def _open_shared(database: "Database", home: Path) -> Stores:
    from epic22.adapters.artifacts import ArtifactFolder
    from epic22.adapters.metadata.data_versions import VersionRecords
    from epic22.adapters.metadata.predictions import PredictionRecords
    from epic22.adapters.shared_model_store import SharedModelStore

    registry = SharedModelStore(database, ArtifactFolder(home / ARTIFACTS))
    return Stores(registry, Lake(home / "lake", VersionRecords(database)), PredictionRecords(database))


def open_lake(settings: Settings) -> Lake:
    """The versioned tables."""
    return open_stores(settings).table_store


def is_server(database_url: str | None) -> TypeGuard[str]:
    """Whether a database is a server, and not a file."""
    return database_url is not None and not database_url.startswith("sqlite:")
