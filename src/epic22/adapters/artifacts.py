"""Where the files of model versions are kept: a folder here, or object storage that several machines share."""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from epic22.adapters.home import write_atomically

Ignore = Callable[[Any, list[str]], set[str]]
"""As `shutil.ignore_patterns` gives it."""


class Artifacts(Protocol):
    """Folders of files by key, such as `churn/3f2a…`. A key is used once; nobody sees a folder before its key is told him."""

    def add_folder(self, key: str, folder: Path, name: str) -> None:
        """Keep a copy of a folder as the subfolder of that name. Raises StorageError where that is refused."""

    def add_files(self, key: str, folder: Path, ignore: Ignore) -> None:
        """Keep a copy of what is in a folder, but for what `ignore` names."""

    def fetch_folder(self, key: str) -> Path:
        """The files of a key as a folder on this machine. Raises BundleError where there are none."""

    def add_file(self, key: str, name: str, content: bytes) -> None:
        """Keep a file of that name, whole or not at all."""

    def save_changes(self, key: str) -> None:
        """Keep what was written in the fetched folder and is not kept yet."""

    def remove(self, key: str) -> None:
        """Remove all files of a key; nothing where there are none."""


@dataclass(frozen=True)
class ArtifactFolder:
    """Artifacts in a folder; what is fetched is what is kept."""

    root: Path

    def add_folder(self, key: str, folder: Path, name: str) -> None:
        """Keep a copy, moved in with one rename."""
        place = self.root / key
        place.mkdir(parents=True, exist_ok=True)
        incoming = place / f".incoming-{uuid.uuid4().hex}"
        try:
            shutil.copytree(folder, incoming)
            incoming.rename(place / name)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def add_files(self, key: str, folder: Path, ignore: Ignore) -> None:
        """Keep a copy of what is in a folder, but for what `ignore` names."""
        shutil.copytree(folder, self.root / key, ignore=ignore)

    def fetch_folder(self, key: str) -> Path:
        """The folder itself."""
        return self.root / key

    def add_file(self, key: str, name: str, content: bytes) -> None:
        """Write the file with one rename."""
        (self.root / key).mkdir(parents=True, exist_ok=True)
        write_atomically(self.root / key / name, content)

    def save_changes(self, key: str) -> None:
        """Nothing: the folder is what is kept."""

    def remove(self, key: str) -> None:
        """Remove the folder, and the task's where nothing else is in it."""
        shutil.rmtree(self.root / key, ignore_errors=True)
