"""Studies of searches in EPIC22_HOME: a journal file a study, and the held-out scores of its trials beside it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from epic22.core.selection.study import Study


@dataclass(frozen=True)
class StudyFiles:
    """A folder a run, `home/<task>/<digest>/`, in it a journal and a folder of scores for each training part."""

    home: Path

    def open(self, task: str, digest: str, part: str, build: Callable[..., Study]) -> Study:
        """The study of a training part; one that was interrupted goes on."""
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        folder = self.home / task / digest
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / f"{part}.journal")))
        return build(storage=storage, name=part, folder=folder / part)

    def forget(self, task: str, digest: str) -> None:
        """Remove a run's studies."""
        shutil.rmtree(self.home / task / digest, ignore_errors=True)
