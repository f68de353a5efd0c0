"""The files of model versions: kept in a file store, and at hand as a folder of this machine."""

import fnmatch
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from epic22.adapters.file_store import FileStore, FolderFiles
from epic22.adapters.home import write_atomically

MARKS = ".marks.json"
"""What each fetched file's content was marked by."""


class Artifacts(Protocol):
    """Folders of files by key, such as `churn/3f2a…`. A key is used once; nobody sees a folder before its key is told him."""

    def add_folder(self, key: str, folder: Path, name: str = "", ignore: Collection[str] = ()) -> None:
        """Keep a copy of a folder, as the subfolder of that name, but for files of the patterns in `ignore`."""

    def fetch_folder(self, key: str) -> Path:
        """The files of a key as a folder on this machine."""

    def add_file(self, key: str, name: str, content: bytes) -> None:
        """Keep a file of that name, whole or not at all."""

    def save_changes(self, key: str) -> None:
        """Keep what was written in the fetched folder and is not kept yet."""

    def remove(self, key: str) -> None:
        """Remove all files of a key; nothing where there are none."""


def _list_own_files(folder: Path, ignore: Collection[str] = ()) -> dict[str, Path]:
    """The files of a folder by their names in it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path for name, path in names.items() if not any(fnmatch.fnmatch(name, pattern) for pattern in ignore)}


@dataclass(frozen=True)
class ArtifactFolder:
    """Artifacts in a folder; what is fetched is what is kept."""

    root: Path

    def add_folder(self, key: str, folder: Path, name: str = "", ignore: Collection[str] = ()) -> None:
        """Copy the files."""
        for own, path in _list_own_files(folder, ignore).items():
            self.add_file(key, f"{name}/{own}" if name else own, path.read_bytes())

    def fetch_folder(self, key: str) -> Path:
        """The folder itself."""
        return self.root / key

    def add_file(self, key: str, name: str, content: bytes) -> None:
        """Write the file with one rename."""
        FolderFiles(self.root).write(f"{key}/{name}", content)

    def save_changes(self, key: str) -> None:
        """Nothing: the folder is what is kept."""

    def remove(self, key: str) -> None:
        """Remove the folder."""
        FolderFiles(self.root).remove(key)


@dataclass(frozen=True)
class CachedArtifacts:
    """Artifacts in a file store elsewhere; `cache` is the folder in which fetched ones lie on this machine."""

    files: FileStore
    cache: Path

    def add_folder(self, key: str, folder: Path, name: str = "", ignore: Collection[str] = ()) -> None:
        """Put the files there."""
        for own, path in _list_own_files(folder, ignore).items():
            self.add_file(key, f"{name}/{own}" if name else own, path.read_bytes())

    def fetch_folder(self, key: str) -> Path:
        """The folder in the cache, with all files as they are kept."""
        folder, before = self.cache / key, self._read_marks(key)
        stored = {name.removeprefix(f"{key}/"): mark for name, mark in self.files.list_files(key).items()}
        for name, mark in stored.items():
            if before.get(name) != mark or not (folder / name).is_file():
                content = self.files.read(f"{key}/{name}")
                if content is not None:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(folder / name, content)
        if stored and stored != before:
            write_atomically(folder / MARKS, json.dumps(stored).encode())
        return folder

    def add_file(self, key: str, name: str, content: bytes) -> None:
        """Put the file there."""
        self.files.write(f"{key}/{name}", content)

    def save_changes(self, key: str) -> None:
        """Put there what is in the cache and not there, or otherwise."""
        for name, path in _list_own_files(self.cache / key, (MARKS,)).items():
            content = path.read_bytes()
            if self.files.read(f"{key}/{name}") != content:
                self.add_file(key, name, content)

    def remove(self, key: str) -> None:
        """Remove the files there and in the cache."""
        self.files.remove(key)
        FolderFiles(self.cache).remove(key)

    def _read_marks(self, key: str) -> dict[str, str]:
        try:
            return dict(json.loads((self.cache / key / MARKS).read_bytes()))
        except (OSError, ValueError, TypeError):
            # Without marks all files are fetched again.
            return {}


def open_artifacts(files: FileStore, cache: Path) -> Artifacts:
    """The artifacts in a file store: where that is a folder, it needs no cache."""
    return ArtifactFolder(files.root) if isinstance(files, FolderFiles) else CachedArtifacts(files, cache)
