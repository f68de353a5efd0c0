"""Where things are kept: files in EPIC22_HOME, or a database and artifacts that several machines share."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from epic22.adapters.attempt_fence import UNFENCED, Fence
from epic22.adapters.file_store import FolderFiles, open_file_store
from epic22.adapters.lake import Lake
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import FilePredictionLog, ReceiptStore
from epic22.adapters.prediction_tables import FOLDER as PREDICTIONS
from epic22.adapters.prediction_tables import PredictionTables, lock_folder
from epic22.adapters.tracking.mlflow_store import MlflowStore
from epic22.adapters.version_files import VersionFiles
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.ports import Registry

if TYPE_CHECKING:
    from epic22.adapters.metadata.database import Database
    from epic22.adapters.redis.contents import RedisContents
    from epic22.adapters.redis.link import RedisLink
    from epic22.adapters.redis.notices import PromotionNotices
    from epic22.adapters.tracking.tracking_store import TrackingStore

MODELS = "models"
"""The folder of the home for versions of models, where no database is set."""

SCRATCH = "scratch"
"""The folder of the home for what work needs on its way."""

ARTIFACTS = "artifacts"
"""The folder of the home for the files that belong to a database, where no other is set."""


@dataclass(frozen=True)
class Stores:
    """Models, tables, receipts and predictions of portfolios; `place` says for people where they are, the database which files
    belong together, and the link leads to a Redis that makes them quicker."""

    place: str
    registry: Registry
    table_store: Lake
    prediction_log: ReceiptStore
    predictions: PredictionTables
    database: "Database | None" = None
    link: "RedisLink | None" = None


def open_stores(settings: Settings) -> Stores:
    """The stores that the settings name; nothing is made or asked before it is used."""
    fence = open_fence(settings)
    if settings.database_url is None:
        return open_home_stores(settings.home, fence)
    return open_shared_stores(settings.database_url, get_artifacts(settings), settings.home, settings.redis_url, fence=fence)


def open_home_stores(home: Path, fence: Fence = UNFENCED) -> Stores:
    """The stores in the files of a home; `fence` is around what an attempt at a job makes visible."""
    lake = Lake(home / "lake", VersionFiles(home / "lake", fence))
    predictions = PredictionTables(FolderFiles(home / PREDICTIONS), partial(lock_folder, home / PREDICTIONS))
    receipts = FilePredictionLog(home / "receipts")
    return Stores(str(home), ModelStore(home / MODELS, fence), lake, receipts, predictions)


def open_fence(settings: Settings) -> Fence:
    """The fence around the attempt at a job that this process is; none where it is none."""
    if settings.attempt is None:
        return UNFENCED
    from epic22.adapters.metadata.fence import AttemptFence

    return AttemptFence(open_jobs_database(settings), settings.attempt)


def open_shared_stores(
    database_url: str,
    artifacts: str,
    home: Path,
    redis_url: str | None = None,
    is_served: bool = False,
    fence: Fence = UNFENCED,
) -> Stores:
    """The stores whose facts are in a database, and whose files are in a folder or object storage; what is fetched from there, or
    still being written, is in the home. For a server, which asks at every request, champions are in memory (`is_served`).

    Raises NotInstalledError where a Redis is named and its library is not there.
    """
    from epic22.adapters.artifacts import open_artifacts
    from epic22.adapters.champion_cache import ServedModelStore
    from epic22.adapters.metadata.data_versions import VersionRecords
    from epic22.adapters.metadata.database import Database
    from epic22.adapters.metadata.locks import hold_lock
    from epic22.adapters.metadata.predictions import PredictionRecords
    from epic22.adapters.shared_model_store import SharedModelStore

    database = Database(database_url)
    link = None if redis_url is None else _open_link(redis_url)
    contents, notices = _open_caches(link)
    model_files = open_artifacts(open_file_store(f"{artifacts}/models"), home / "cache" / "models", contents)
    if is_served:
        registry: SharedModelStore = ServedModelStore(database, model_files, notices=notices)
    else:
        registry = SharedModelStore(database, model_files, notices, fence)
    files = open_file_store(f"{artifacts}/lake")
    staging = files.root if isinstance(files, FolderFiles) else home / "cache" / "lake"
    lake = Lake(staging, VersionRecords(database, fence), files)
    work = "predictions of a portfolio are being stored"
    predictions = PredictionTables(open_file_store(f"{artifacts}/{PREDICTIONS}"), partial(hold_lock, database, PREDICTIONS, work))
    return Stores(database.place, registry, lake, PredictionRecords(database), predictions, database, link)


def _open_link(redis_url: str) -> "RedisLink":
    from epic22.adapters.redis.link import PATIENCE, RedisLink
    from epic22.adapters.redis.server import RedisServer

    link = RedisLink(RedisServer(redis_url, patience=PATIENCE))
    # Connects to nothing yet, and says at once where the library is not there.
    _ = link.server.client
    return link


def _open_caches(link: "RedisLink | None") -> "tuple[RedisContents | None, PromotionNotices | None]":
    if link is None:
        return None, None
    from epic22.adapters.redis.contents import RedisContents
    from epic22.adapters.redis.notices import PromotionNotices

    return RedisContents(link), PromotionNotices(link)


def open_served_stores(settings: Settings) -> Stores:
    """The stores for a server, which asks its registry at every request: of a shared one the champions are in memory."""
    if settings.database_url is None:
        return open_home_stores(settings.home)
    return open_shared_stores(settings.database_url, get_artifacts(settings), settings.home, settings.redis_url, is_served=True)


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


def open_lake(settings: Settings) -> Lake:
    """The versioned tables."""
    return open_stores(settings).table_store


def is_server(database_url: str | None) -> TypeGuard[str]:
    """Whether a database is a server, and not a file."""
    return database_url is not None and not database_url.startswith("sqlite:")
