"""Trainings that are written down: listed, read, and carried to another store in one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epic22.adapters.tracking.run_archive import read_archive, write_archive
from epic22.adapters.tracking.run_reader import Training, find_training, list_trainings, read_runs
from epic22.adapters.tracking.run_writer import write_tree
from epic22.adapters.tracking.stored_run import Content, RunTree, StoredRun
from epic22.adapters.tracking.tracking_store import TrackingStore
from epic22.core.errors import UnknownTaskError


@dataclass(frozen=True)
class ImportCounts:
    """How many trainings were imported, and how many were there already."""

    imported: int
    present: int


@dataclass(frozen=True)
class MlflowRuns:
    """The trainings of a tracking store. All methods raise StorageError where it cannot be used."""

    store: TrackingStore

    def list_all(self, task: str | None = None) -> tuple[Training, ...]:
        """The trainings, oldest first; those of one task where it is named."""
        with self.store.read() as client:
            return list_trainings(client, task)

    def read(self, reference: str) -> tuple[StoredRun, ...]:
        """A training's own run and those below it. Raises UnknownTaskError where the reference names none, or several."""
        with self.store.read() as client:
            return read_runs(client, find_training(list_trainings(client), reference).id)

    def export(self, references: Sequence[str], path: Path) -> int:
        """Write trainings, all where none is named, into one file; says how many. Raises UnknownTaskError, also where there is
        none."""
        with self.store.read() as client:
            trainings = list_trainings(client)
            if not trainings:
                raise UnknownTaskError("no training is written down yet, so there is none to export; 'epic22 train' writes one.")
            chosen = [find_training(trainings, one) for one in references] if references else trainings
            unique = {one.id: one for one in chosen}.values()
            trees = [RunTree(one.task, read_runs(client, one.id), self._list_files(one)) for one in unique]
        write_archive(path, trees)
        return len(trees)

    def import_file(self, path: Path) -> ImportCounts:
        """Write the trainings of a file down, each once however often it is imported. Models of another home are not registered
        here: its champions are not this home's. Raises FileError for a file that cannot be trusted."""
        trees = read_archive(path)
        with self.store.lock():
            client = self.store.open()
            imported = sum(write_tree(client, self.store, tree) for tree in trees)
        return ImportCounts(imported, len(trees) - imported)

    def _list_files(self, training: Training) -> dict[str, Content]:
        """The files of a training's run, which are read when they are written."""
        files, prefix = self.store.files, f"{training.task}/{training.id}/artifacts"
        names = files.list_files(prefix)

        def read(name: str) -> Content:
            return lambda: files.read(name) or b""

        return {name.removeprefix(f"{prefix}/"): read(name) for name in names}
