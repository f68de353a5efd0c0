"""The erasure of a person: which places there are."""

from datetime import UTC, datetime

from epic22.adapters.checkpoints import CHECKPOINTS
from epic22.adapters.erasure_journal import list_entries
from epic22.adapters.erasure_places import CACHES, EventPlace, FilePlace, ReceiptPlace, UnfinishedTrainings
from epic22.adapters.file_store import FolderFiles, open_file_store
from epic22.adapters.fit_files import FITS
from epic22.adapters.lake_erasure import LakeErasure
from epic22.adapters.prediction_erasure import ExportPlace, PredictionPlace
from epic22.adapters.prediction_tables import FOLDER as PREDICTIONS
from epic22.bootstrap.components import current_user
from epic22.bootstrap.events import SPOOL, open_redis_queue, open_redis_server, open_spool
from epic22.bootstrap.stores import ARTIFACTS, Stores, get_artifacts, open_stores
from epic22.config import Settings
from epic22.core.tables.erasure import ErasureEntry
from epic22.features.catalog import FEATURES
from epic22.services.erasure import Erasure, ErasurePlace, ErasureRequest, erase_person

DATABASE_ENDS = ("", "-wal", "-shm")
"""How the names of the files of an SQLite database end."""


def erase_tenant(settings: Settings, tenant: str | None, is_confirmed: bool = False) -> Erasure:
    """What of a tenant goes from all that the settings name, shown or carried out; None: what was cut off is completed.

    Raises UserError for a tenant of whom nothing is stored, LakeError while an ingest runs.
    """
    stores = open_stores(settings)
    request = ErasureRequest(tenant, current_user(), datetime.now(UTC).replace(tzinfo=None), is_confirmed)
    models = stores.registry.list_all_versions()
    return erase_person(request, LakeErasure(stores.table_store), _list_places(settings, stores), models)


def list_erasures(settings: Settings) -> tuple[ErasureEntry, ...]:
    """The entries of what was erased, oldest first."""
    return list_entries(open_stores(settings).table_store.files)


def _list_places(settings: Settings, stores: Stores) -> tuple[ErasurePlace, ...]:
    """All places beside the tables. A new one is one line here."""
    tables = {feature.name: feature.task.entities for feature in FEATURES if feature.task.entities is not None}
    # First: what is stored there is noted under its lock, and so before receipts are looked at.
    places: list[ErasurePlace] = [PredictionPlace(stores.predictions, tables)]
    places += [ReceiptPlace(stores.prediction_log, tables), EventPlace(open_spool(settings))]
    places.append(ExportPlace(settings.home, tables))
    if settings.redis_url is not None:
        places.append(EventPlace(open_redis_queue(settings.redis_url), "events that wait in Redis", "Redis"))
    places.append(UnfinishedTrainings(FolderFiles(settings.home), (CHECKPOINTS, FITS)))
    places.append(FilePlace(FolderFiles(settings.home), "files below EPIC22_HOME", CACHES, _list_skipped(settings, stores)))
    if stores.database is not None:
        from epic22.adapters.metadata.erasure import DatabaseTexts, LibraryTables
        from epic22.adapters.tracking.mlflow_database import FOLDER

        for folder, name in (("models", "model files"), (FOLDER, "tracking files")):
            places.append(FilePlace(open_file_store(f"{get_artifacts(settings)}/{folder}"), name))
        if settings.redis_url is not None:
            from epic22.adapters.redis.contents import ContentPlace

            places.append(ContentPlace(open_redis_server(settings.redis_url)))
        if not stores.database.is_sqlite:
            places.append(LibraryTables(stores.database))
        # Last: it has the database's files forget what the others removed.
        places.append(DatabaseTexts(stores.database))
    return tuple(places)


def _list_skipped(settings: Settings, stores: Stores) -> tuple[str, ...]:
    """What lies in the home and is a place of its own."""
    own = ["lake", "receipts", PREDICTIONS, ARTIFACTS, *(f"{SPOOL}{end}" for end in DATABASE_ENDS)]
    if stores.database is not None and stores.database.is_sqlite and stores.database.path.is_relative_to(settings.home):
        path = stores.database.path.relative_to(settings.home).as_posix()
        own += [f"{path}{end}" for end in DATABASE_ENDS]
    return tuple(own)
