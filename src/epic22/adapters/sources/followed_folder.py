"""A folder into which files come: each is read once, when it is complete, whatever ends this program in between."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import polars as pl

from epic22.adapters.home import write_atomically
from epic22.adapters.sources.base import FileSource
from epic22.core.errors import FileError


@dataclass(frozen=True)
class FileState:
    """What tells a file's contents apart: its bytes and when they were last changed, in nanoseconds."""

    size: int
    changed_at: int

    @classmethod
    def of(cls, path: Path) -> "FileState | None":
        """The state of a file; None where it is gone."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns)


@dataclass
class FollowedFolder:
    """The files that `list_files` finds, each once it looks the same as at the look before and was not taken as it is.

    `record` is the file that says which were taken; what is in it is not read again after a restart. `read_digests` gives the
    SHA-256 of files as the data versions have them, by name: of a file that was stored by a process that was killed before it
    could note so, the rows are not read again either. `list_others` gives the names of files that are none of these.
    """

    list_files: Callable[[], Sequence[FileSource]]
    record: Path
    read_digests: Callable[[], Mapping[str, str]]
    list_others: Callable[[Collection[Path]], Sequence[str]]
    _last_look: dict[str, FileState] = field(default_factory=dict)
    _paths: frozenset[Path] = frozenset()
    _left: set[str] = field(default_factory=set)
    _is_resumed: bool = False

    def list_arrived(self) -> tuple[FileSource, ...]:
        """The files that are complete and were not taken, in the order in which tables refer to one another."""
        sources = self.list_files()
        self._paths = frozenset(source.path for source in sources)
        states = {source.name: state for source in sources if (state := FileState.of(source.path)) is not None}
        before, self._last_look = self._last_look, states
        states_before = self._read_record()
        complete = {name for name, state in states.items() if state.size and before.get(name) == state}
        arrived = {name for name in complete if states_before.get(name) != states[name]}
        if arrived and not self._is_resumed:
            self._is_resumed = True
            arrived -= self._note_stored([source for source in sources if source.name in arrived])
        return tuple(_require_unchanged(source, states[source.name]) for source in sources if source.name in arrived)

    def list_left(self) -> tuple[str, ...]:
        """The names of the files beside those of the last look, each once."""
        new = tuple(name for name in self.list_others(self._paths) if name not in self._left)
        self._left.update(new)
        return new

    def _note_stored(self, sources: Sequence[FileSource]) -> set[str]:
        """The names of files that are in a data version as they are, which are noted as taken."""
        digests = self.read_digests()
        stored = {source.name for source in sources if digests.get(source.name) == source.sha256}
        if stored:
            self.note_files(sorted(stored))
        return stored

    def note_files(self, names: Sequence[str]) -> None:
        """Note that these were read, or refused, as they were at the last look."""
        noted = {**self._read_record(), **{name: self._last_look[name] for name in names}}
        content = {name: [state.size, state.changed_at] for name, state in sorted(noted.items())}
        self.record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.record, json.dumps(content, indent=1).encode())

    def _read_record(self) -> Mapping[str, FileState]:
        try:
            return {name: FileState(*map(int, state)) for name, state in json.loads(self.record.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            # Without it all files are read again, and give nothing new.
            return {}


def name_record(folder: Path) -> str:
    """The name of a folder's record, the same for every way to write its path."""
    return f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.json"


def _require_unchanged(source: FileSource, state: FileState) -> FileSource:
    """The source, which refuses what was written to while it was read; it is a part of its table, and not the whole."""
    return replace(source, read=partial(_read_unchanged, source.read, state), is_whole=False)


def _read_unchanged(read: Callable[[Path], Iterator[pl.DataFrame]], state: FileState, path: Path) -> Iterator[pl.DataFrame]:
    yield from read(path)
    if FileState.of(path) != state:
        raise FileError(f"{path} was written to while it was read; it is read again once it is complete.")
