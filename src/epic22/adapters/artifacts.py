"""The files of model versions: kept in a file store, and at hand as a folder of this machine."""

import fnmatch
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from epic22.adapters.file_store import FileStore, FolderFiles
from epic22.adapters.home import write_atomically
from epic22.core.artifact.sealed import MANIFEST, list_digests
from epic22.core.lineage import sha256

MARKS = ".marks.json"
"""What each fetched file's content was marked by."""


class Artifacts(Protocol):
    """Folders of files by key, such as `churn/3f2a…`. A key is used once; nobody sees a folder before its key is told him."""

    def add_folder(self, key: str, folder: Path, name: str = "", ignore: Collection[str] = ()) -> None:
        """Keep a copy of a folder, as the subfolder of that name, but for files of the patterns in `ignore`."""

    def fetch_folder(self, key: str) -> Path:
        """The files of a key as a folder on this machine."""

    def fetch_sealed(self, key: str, name: str, digest: str | None) -> Path:
        """A key's sealed folder of that name on this machine; `digest` is the SHA-256 of its manifest where that is known."""

    def add_file(self, key: str, name: str, content: bytes) -> None:
        """Keep a file of that name, whole or not at all."""

    def save_changes(self, key: str) -> None:
        """Keep what was written in the fetched folder and is not kept yet."""

    def remove(self, key: str) -> None:
        """Remove all files of a key; nothing where there are none."""


class ContentCache(Protocol):
    """Contents by their SHA-256, near by, for some time. Neither method raises or waits long."""

    def read(self, digests: Collection[str]) -> dict[str, bytes]:
        """Those of these contents that are there; none whose bytes are not of its digest."""

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Keep contents by their digests for some time."""


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

    def fetch_sealed(self, key: str, name: str, digest: str | None) -> Path:
        """The folder itself."""
        return self.root / key / name

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
    """Artifacts in a file store elsewhere; `cache` is the folder in which fetched ones lie on this machine, `contents` a cache of
    sealed folders that is nearer than the file store."""

    files: FileStore
    cache: Path
    contents: ContentCache | None = None

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

    def fetch_sealed(self, key: str, name: str, digest: str | None) -> Path:
        """The folder in the cache: of contents that are here or near by, and from the file store where one of them is neither."""
        folder = self.cache / key / name
        if digest is None:
            self.fetch_folder(key)
        elif not _complete_folder(folder, digest, self.contents):
            _remove_damaged(folder, digest)
            self.fetch_folder(key)
            if self.contents is not None:
                self.contents.write(_read_contents(folder, digest))
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


def _complete_folder(folder: Path, digest: str, contents: ContentCache | None) -> bool:
    """Whether a sealed folder has all its files, once those that it lacks were written from contents."""
    manifest = _read_file(folder / MANIFEST, digest) or _read_near_by(contents, [digest]).get(digest)
    if manifest is None:
        return False
    digests = list_digests(manifest) | {MANIFEST: digest}
    lacking = {name: one for name, one in digests.items() if _read_file(folder / name, one) is None}
    present = _read_near_by(contents, set(lacking.values()) - {digest}) | {digest: manifest}
    if not present.keys() >= set(lacking.values()):
        return False
    for name, one in lacking.items():
        # What a manifest of that digest names was named when the version was stored: no name leads out of the folder.
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, present[one])
    return True


def _read_near_by(contents: ContentCache | None, digests: Collection[str]) -> dict[str, bytes]:
    return {} if contents is None or not digests else contents.read(digests)


def _remove_damaged(folder: Path, digest: str) -> None:
    """Remove the files of a sealed folder that are not what its manifest says: their marks say that they need not be fetched."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return
    content = _read_file(manifest, digest)
    if content is None:
        # Which of the others are what they should be, the true manifest tells: all are fetched again.
        FolderFiles(folder.parent).remove(folder.name)
        return
    for name, one in list_digests(content).items():
        if _read_file(folder / name, one) is None:
            (folder / name).unlink(missing_ok=True)


def _read_contents(folder: Path, digest: str) -> dict[str, bytes]:
    """The contents of a sealed folder by their digests; none where its manifest is another."""
    manifest = _read_file(folder / MANIFEST, digest)
    if manifest is None:
        return {}
    contents = {one: _read_file(folder / name, one) for name, one in list_digests(manifest).items()}
    return {one: content for one, content in contents.items() if content is not None} | {digest: manifest}


def _read_file(path: Path, digest: str) -> bytes | None:
    """The content of a file; None where it is not there, or has another digest."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return content if sha256(content) == digest else None


def open_artifacts(files: FileStore, cache: Path, contents: ContentCache | None = None) -> Artifacts:
    """The artifacts in a file store: where that is a folder, it needs no cache."""
    return ArtifactFolder(files.root) if isinstance(files, FolderFiles) else CachedArtifacts(files, cache, contents)
