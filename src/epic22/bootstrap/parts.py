"""The parts of a running program, on embedded defaults."""

import getpass
from dataclasses import dataclass

from epic22.adapters.lake import Lake
from epic22.adapters.mlflow_tracking import MlflowTracker
from epic22.adapters.model_store import ModelStore
from epic22.adapters.openlineage_events import OpenLineageEvents
from epic22.adapters.receipts import ReceiptFiles
from epic22.adapters.search_processes import SearchProcesses
from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.config import Settings
from epic22.core.ports import Lineage, Registry, Tracker, Versions
from epic22.services.tune import Studies


@dataclass(frozen=True)
class Parts:
    """The parts of a running program."""

    settings: Settings
    registry: Registry
    tracker: Tracker
    versions: Versions
    lineage: Lineage
    receipts: ReceiptFiles


def assemble(settings: Settings) -> Parts:
    """The parts on embedded defaults: models and MLflow in EPIC22_HOME."""
    home = settings.home
    events = OpenLineageEvents(home / "lineage" / "events.jsonl", settings.openlineage_url)
    receipts = ReceiptFiles(home / "receipts")
    return Parts(settings, ModelStore(home / "models"), MlflowTracker(home), lake_of(settings), events, receipts)


def studies_of(settings: Settings) -> Studies:
    """Where searches keep their studies, so that one that was interrupted goes on."""
    home, database = settings.home / "studies", settings.database_url
    place = StudyFiles(home) if database is None else StudyDatabase(database, home)

    def crew(count: int, task: str, digest: str) -> SearchProcesses:
        return SearchProcesses(count, place, settings.home / "scratch", task, digest)

    return Studies(place.open, place.forget, place.alone, crew)


def lake_of(settings: Settings) -> Lake:
    """The versioned tables in EPIC22_HOME."""
    return Lake(settings.home / "lake")


def user() -> str:
    """Who runs this program, as the system names him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
