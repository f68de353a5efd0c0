"""The log of data versions as files: a manifest each, whole or not at all, and a lock for whoever makes the next."""

import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from epic22.adapters.attempt_fence import UNFENCED, Fence
from epic22.adapters.home import write_atomically

VERSIONS, LOCK = "versions", ".lock"


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest, and the id of the version that it describes."""

    identity: str
    content: bytes


class VersionLog(Protocol):
    """Where the manifests of data versions are kept, by number."""

    def list_numbers(self) -> list[int]:
        """The numbers of all versions, ascending."""

    def read_manifest(self, number: int) -> bytes | None:
        """The manifest of a version; None where there is none of that number."""

    def locate(self, number: int) -> str:
        """Where that manifest is, for people."""

    def add_manifest(self, number: int, identity: str, content: bytes) -> bool:
        """Keep a manifest whole: the moment at which the version comes to be. False where the number is taken."""

    def replace_manifests(self, manifests: Mapping[int, Manifest]) -> None:
        """Put other manifests in the place of those of versions that are there, each whole."""

    def try_lock(self) -> AbstractContextManager[bool]:
        """Hold the lock of whoever makes the next version, where it is free; says whether it was."""


@dataclass(frozen=True)
class VersionFiles:
    """Manifests `versions/00000042.json` in a folder."""

    root: Path
    fence: Fence = UNFENCED

    def list_numbers(self) -> list[int]:
        """The numbers of all versions, ascending."""
        return sorted(int(path.stem) for path in (self.root / VERSIONS).glob("*.json") if path.stem.isdigit())

    def read_manifest(self, number: int) -> bytes | None:
        """The manifest of a version; None where there is none of that number."""
        try:
            return self._path(number).read_bytes()
        except FileNotFoundError:
            return None

    def locate(self, number: int) -> str:
        """The path of the file."""
        return str(self._path(number))

    def add_manifest(self, number: int, identity: str, content: bytes) -> bool:
        """Write the manifest under a name that nobody has. False where somebody has it."""
        place = self._path(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{uuid.uuid4().hex}")
        with fresh.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            with self.fence.hold():
                os.link(fresh, place)
        except FileExistsError:
            return False
        finally:
            fresh.unlink()
        return True

    def replace_manifests(self, manifests: Mapping[int, Manifest]) -> None:
        """Replace the files, each with one rename."""
        for number, manifest in manifests.items():
            write_atomically(self._path(number), manifest.content)

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Hold the folder's lock, which ends with the process, where it is free."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _path(self, number: int) -> Path:
        return self.root / VERSIONS / f"{number:08d}.json"
