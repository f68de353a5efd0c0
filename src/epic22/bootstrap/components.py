"""The parts of a running program, on embedded defaults."""

import getpass
from dataclasses import dataclass

from epic22.adapters.lake import Lake
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_log import FilePredictionLog
from epic22.adapters.search_processes import SearchProcesses
from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.adapters.tracking.mlflow import MlflowTracker
from epic22.adapters.tracking.openlineage import OpenLineageEvents
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
    prediction_log: FilePredictionLog


def assemble(settings: Settings) -> Components:
    """The parts on embedded defaults: models and MLflow in EPIC22_HOME, networks that serve as the settings say."""
    home = settings.home
    graph_provider.CHOICE.name = settings.onnx_provider
    events = OpenLineageEvents(home / "lineage" / "events.jsonl", settings.openlineage_url)
    prediction_log = FilePredictionLog(home / "receipts")
    return Components(settings, ModelStore(home / "models"), MlflowTracker(home), open_lake(settings), events, prediction_log)


def open_studies(settings: Settings) -> SearchBackend:
    """Where searches keep their studies, so that one that was interrupted goes on."""
    home, database = settings.home / "studies", settings.database_url
    store = StudyFiles(home) if database is None else StudyDatabase(database, home)

    def start_workers(n_workers: int, task: str, digest: str) -> SearchProcesses:
        return SearchProcesses(n_workers, store, settings.home / "scratch", task, digest)

    return SearchBackend(store, start_workers)


def open_lake(settings: Settings) -> Lake:
    """The versioned tables in EPIC22_HOME."""
    return Lake(settings.home / "lake")


def current_user() -> str:
    """Who runs this program, as the system names him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
