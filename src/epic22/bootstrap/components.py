"""The parts of a running program."""

import getpass
from dataclasses import dataclass

from epic22.adapters.prediction_log import ReceiptStore
from epic22.adapters.prediction_tables import PredictionTables
from epic22.adapters.search_processes import SearchProcesses
from epic22.adapters.studies import STUDIES, StudyDatabase, StudyFiles
from epic22.adapters.tracking.mlflow import WAITING, MlflowTracker
from epic22.adapters.tracking.openlineage import OpenLineageEvents
from epic22.bootstrap.stores import SCRATCH, is_server, open_stores, open_tracking_store
from epic22.config import Settings
from epic22.core.models.networks import graph_provider
from epic22.core.ports import LineageEmitter, Registry, TableStore, Tracker
from epic22.services.tune import SearchBackend


@dataclass(frozen=True)
class Components:
    """The parts of a running program."""

    settings: Settings
    registry: Registry
    tracker: Tracker
    table_store: TableStore
    lineage: LineageEmitter
    prediction_log: ReceiptStore
    predictions: PredictionTables


def assemble(settings: Settings) -> Components:
    """The parts: embedded in EPIC22_HOME, or those that several machines share where a database is set; networks that serve as
    the settings say."""
    home = settings.home
    graph_provider.CHOICE.name = settings.onnx_provider
    events = OpenLineageEvents(home / "lineage" / "events.jsonl", settings.openlineage_url)
    stores, tracker = open_stores(settings), MlflowTracker(open_tracking_store(settings), home / WAITING)
    return Components(settings, stores.registry, tracker, stores.table_store, events, stores.prediction_log, stores.predictions)


def open_studies(settings: Settings) -> SearchBackend:
    """Where searches keep their studies, so that one that was interrupted goes on."""
    home, database = settings.home / STUDIES, settings.database_url
    store = StudyDatabase(database, home) if is_server(database) else StudyFiles(home)

    def start_workers(n_workers: int, task: str, digest: str) -> SearchProcesses:
        return SearchProcesses(n_workers, store, settings.home / SCRATCH, task, digest)

    return SearchBackend(store, start_workers)


def current_user() -> str:
    """Who runs this program, as the system names him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
