"""The trainings that MLflow keeps: the functions of `epic22 runs` and `epic22 mlflow`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from epic22.adapters.tracking.mlflow_page import MlflowPage, open_mlflow_page
from epic22.adapters.tracking.mlflow_runs import ImportCounts, MlflowRuns
from epic22.adapters.tracking.run_reader import Training
from epic22.adapters.tracking.stored_run import StoredRun
from epic22.bootstrap.stores import open_tracking_store
from epic22.config import Settings
from epic22.core.errors import UserError


def list_runs(settings: Settings, task: str | None = None) -> tuple[Training, ...]:
    """The trainings, oldest first; those of one task where it is named. Raises StorageError."""
    return _open_runs(settings).list_all(task)


def read_run(settings: Settings, reference: str) -> tuple[StoredRun, ...]:
    """A training's own run and those below it. Raises UnknownTaskError, StorageError."""
    return _open_runs(settings).read(reference)


def export_runs(settings: Settings, references: Sequence[str], path: Path) -> int:
    """How many trainings were written into a new file, all where none is named. Raises UserError where the file is there."""
    if path.exists():
        raise UserError(f"--to {path}: it is there already; name a new file.")
    return _open_runs(settings).export(references, path)


def import_runs(settings: Settings, path: Path) -> ImportCounts:
    """How many trainings of a file were written down, and how many were there. Raises FileError, StorageError."""
    return _open_runs(settings).import_file(path)


@contextmanager
def open_page(settings: Settings, port: int) -> Iterator[MlflowPage]:
    """MLflow's own page on the store of the settings, on this machine alone. Raises UserError where it cannot be opened."""
    with open_mlflow_page(open_tracking_store(settings), port) as page:
        yield page


def _open_runs(settings: Settings) -> MlflowRuns:
    return MlflowRuns(open_tracking_store(settings))
