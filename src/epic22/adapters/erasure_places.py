"""Places beside the tables that may name a person: receipts, texts of the metadata database, files; each counts and erases."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Protocol

from epic22.adapters.file_store import FileStore
from epic22.adapters.packed_content import search_content
from epic22.adapters.prediction_log import ReceiptStore
from epic22.core.tables.erasure import TenantIdentity, is_statement_of

CACHES = ("cache", "http", "errors", "scratch", "studies")
"""Folders of the home whose files are made again where they are missed: one that names the person goes."""
TEXTS = (".json", ".jsonl", ".html", ".svg", ".yaml", ".txt", ".log")
"""Files of text that are read by people or line by line: the id is taken out of them, outside a bundle, which is sealed."""
BUNDLE = "bundle"


@dataclass(frozen=True)
class ReceiptPlace:
    """The receipts of answers. `tables`, by task: the canonical table whose rows its answers are about."""

    log: ReceiptStore
    tables: Mapping[str, str]
    name: str = "receipts"

    def count(self, person: TenantIdentity) -> int:
        """How many answers are about the person, or read from a file of that name."""
        return self.log.count_answers_about(person, self.tables)

    def erase(self, person: TenantIdentity) -> None:
        """Remove them."""
        self.log.erase_answers_about(person, self.tables)

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """Nothing."""
        return ()


class ErasableQueue(Protocol):
    """Events that wait, of which some can be removed."""

    def count_events(self, is_meant: Callable[[bytes], bool]) -> int:
        """How many events of such content wait."""

    def remove_events(self, is_meant: Callable[[bytes], bool]) -> None:
        """Remove them, and what is left of those that were removed before."""


@dataclass(frozen=True)
class EventPlace:
    """The events that wait for a consumer; `keeper` is a server whose own files may keep what was removed for a while."""

    queue: ErasableQueue
    name: str = "events that wait"
    keeper: str | None = None

    def count(self, person: TenantIdentity) -> int:
        """How many state something of the person."""
        return self.queue.count_events(partial(_is_event_about, person))

    def erase(self, person: TenantIdentity) -> None:
        """Remove them."""
        self.queue.remove_events(partial(_is_event_about, person))

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """What the server keeps for a while of what was removed."""
        if self.keeper is None or not n_erased:
            return ()
        return (describe_keeper(self.keeper),)


def describe_keeper(server: str) -> str:
    """What the files of a server keep of what was removed from it, in words."""
    return f"{server}: its append-only file, dumps and replicas have what was removed until they are written anew"


def _is_event_about(person: TenantIdentity, content: bytes) -> bool:
    """Whether an event names the person, or a row that is the person's."""
    return is_statement_of(content.decode("utf-8", "replace"), person)


@dataclass(frozen=True)
class FilePlace:
    """Files below a place, but for those below the `skipped` names, which are places of their own; `caches` are folders whose
    files are made again."""

    files: FileStore
    name: str
    caches: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def count(self, person: TenantIdentity) -> int:
        """How many files name the person and need not."""
        return sum(_is_below(name, self.caches) or _is_redacted(name) for name in self._list_naming(person))

    def erase(self, person: TenantIdentity) -> None:
        """Remove them where they are made again, and take the id out of the others."""
        for name in self._list_naming(person):
            if _is_below(name, self.caches):
                self.files.remove_file(name)
            elif _is_redacted(name):
                text = (self.files.read(name) or b"").decode("utf-8", errors="surrogateescape")
                self.files.write(name, person.redact(text).encode("utf-8", errors="surrogateescape"))

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """The files that name the person and cannot be changed: a model that has the id as a category, a database of another,
        one whose own name is the id; and those that are damaged, so that only what could be read of them was searched."""
        remaining = []
        for name, names_person in self._search_files(person):
            if names_person is None:
                unread = "is damaged, and what could not be unpacked of it was not searched"
                remaining.append(f"{self.files.place}/{name} {unread}; remove it where a run that was killed left it")
            elif _is_below(name, self.caches):
                continue
            elif person.has_name_in(name):
                remaining.append(f"{self.files.place}/{name} has the tenant in its name; rename it, or remove what it belongs to")
            elif names_person and not _is_redacted(name):
                remaining.append(f"{self.files.place}/{name} names the tenant and is not changed; remove what it belongs to")
        return tuple(remaining)

    def _list_naming(self, person: TenantIdentity) -> Iterator[str]:
        return (name for name, names_person in self._search_files(person) if names_person)

    def _search_files(self, person: TenantIdentity) -> Iterator[tuple[str, bool | None]]:
        """Each file, and whether it names the person: None where it is damaged, and what could be read does not."""
        if not person.is_searchable:
            return
        for name in self.files.list_files(""):
            if not _is_below(name, self.skipped):
                is_named_after = _is_below(name, self.caches) and person.has_name_in(name)
                yield name, is_named_after or search_content(self.files.read(name) or b"", person)


@dataclass(frozen=True)
class UnfinishedTrainings:
    """What trainings that were interrupted left to go on from, in `folders`: models and answers by row number, no ids.

    Some may be of the person's rows, and which cannot be told: all of it goes, and those trainings begin again.
    """

    files: FileStore
    folders: tuple[str, ...]
    name: str = "fits of unfinished trainings"

    def count(self, person: TenantIdentity) -> int:
        """Nothing: none of it names anybody."""
        return 0

    def erase(self, person: TenantIdentity) -> None:
        """Remove the folders."""
        for folder in self.folders:
            self.files.remove(folder)

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """Nothing."""
        return ()


def _is_below(name: str, folders: tuple[str, ...]) -> bool:
    return any(PurePosixPath(name).is_relative_to(folder) for folder in folders)


def _is_redacted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in TEXTS and BUNDLE not in path.parts
