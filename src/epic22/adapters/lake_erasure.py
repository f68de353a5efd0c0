"""One person taken out of all data versions: tables, their logs, manifests and quarantine written anew, the old files removed.

A table that has something of the person is written into a folder of its own beside the old one, under the same Delta versions.
Then the manifests are replaced, each whole: who reads a data version sees all of the old one or all of the new one. Then the old
folders go. What has been done stands in a journal, so that a run after a kill goes on; until it has, no ingest begins.
"""

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import polars as pl

from epic22.adapters.damaged_files import read_parquet
from epic22.adapters.erasure_journal import (
    complete_journal,
    next_number,
    read_journal,
    write_journal,
)
from epic22.adapters.lake import Lake, write_manifest
from epic22.adapters.lake_transaction import QUARANTINE, STAGING, open_delta
from epic22.adapters.version_files import Manifest
from epic22.core.errors import LakeError
from epic22.core.tables.canonical import CANONICAL, TENANTS, CanonicalTable, get_canonical_table
from epic22.core.tables.erasure import (
    ErasureEntry,
    ErasureJournal,
    TenantIdentity,
    has_free_text,
    list_owned_tables,
    list_text_columns,
    match_broken_rows,
    match_rows,
    redact_rows,
)
from epic22.core.tables.rowhash import add_digests, digest_rows, hash_rows, subtract_digest
from epic22.core.tables.versions import LakeVersion, TableVersion, compute_content_id

LOG = "_delta_log"
CHECKPOINT_EVERY = 100
"""A Delta table of so many versions gets a checkpoint again, without which it is slow to open."""


@dataclass(frozen=True)
class FileChange:
    """What becomes of a file of rows: how many go, how many lose a text, the digests of what goes and of what comes instead."""

    n_removed: int
    n_redacted: int
    removed_digest: int
    added_digest: int

    @property
    def n_rows(self) -> int:
        """Rows that are not as they were."""
        return self.n_removed + self.n_redacted


def change_rows(table: CanonicalTable, frame: pl.DataFrame, person: TenantIdentity) -> tuple[pl.DataFrame, FileChange]:
    """The rows of a file without the person, and what became of them."""
    is_own = match_rows(table, person)
    gone, before = frame.filter(is_own), frame.filter(~is_own)
    after = redact_rows(table, before, person)
    differs = pl.Series([False] * before.height, dtype=pl.Boolean)
    if after is not before:
        differs = pl.DataFrame({name: before[name].ne_missing(after[name]) for name in before.columns}).select(
            pl.any_horizontal(pl.all()).alias("differs")
        )["differs"]
    removed = add_digests([_digest(table, gone), _digest(table, before.filter(differs))])
    redacted = after.filter(differs)
    return after, FileChange(gone.height, redacted.height, removed, _digest(table, redacted))


def _digest(table: CanonicalTable, frame: pl.DataFrame) -> int:
    return digest_rows(hash_rows(frame, table.key).whole) if frame.height else 0


@dataclass(frozen=True)
class TableFolder:
    """The Delta table in one folder of the lake: its files of rows, whether a version names them or not."""

    lake: Lake
    table: CanonicalTable
    folder: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Its files of rows, by their names in the folder."""
        below = (name.removeprefix(f"{self.folder}/") for name in self.lake.files.list_files(self.folder))
        return tuple(name for name in below if name.endswith(".parquet") and not name.startswith(f"{LOG}/"))

    def read(self, name: str, columns: Sequence[str] | pl.Expr | None = None) -> pl.DataFrame:
        """The rows of a file. Raises LakeError where it is not there, StorageError where it is damaged."""
        content, place = self.lake.files.read(f"{self.folder}/{name}"), f"{self.lake.files.place}/{self.folder}/{name}"
        if content is None:
            raise LakeError(f"{place} is not there; restore it from a backup.")
        return read_parquet(content, place, columns)

    def read_texts(self, name: str) -> pl.DataFrame:
        """The columns of text of a file."""
        return self.read(name, pl.col(pl.String))

    def read_log(self, last: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Its commits up to a version, by the names of their files. Raises LakeError where one is not there."""
        for number in range(last + 1):
            name = f"{LOG}/{number:020d}.json"
            content = self.lake.files.read(f"{self.folder}/{name}")
            if content is None:
                raise LakeError(f"{self.lake.files.place}/{self.folder}/{name} is not there; restore it from a backup.")
            yield name, [json.loads(line) for line in content.decode().splitlines() if line.strip()]

    def list_files_of(self, version: int) -> frozenset[str]:
        """The files that a Delta version of it consists of."""
        actions = open_delta(self.lake.files, self.folder, version).get_add_actions(flatten=True)
        return frozenset(unquote(path) for path in pl.DataFrame(actions)["path"])

    def write_without(self, person: TenantIdentity, target: str, last: int) -> None:
        """Write it up to a Delta version into another folder, without the person; what is there goes first."""
        files = self.lake.files
        files.remove(target)
        sizes: dict[str, tuple[int, int]] = {}
        for name in self.names:
            frame, change = change_rows(self.table, self.read(name), person)
            if not change.n_rows:
                files.copy(f"{self.folder}/{name}", f"{target}/{name}")
                continue
            content = io.BytesIO()
            frame.write_parquet(content)
            files.write(f"{target}/{name}", content.getvalue())
            sizes[name] = (len(content.getvalue()), frame.height)
        for name, commit in self.read_log(last):
            lines = [json.dumps(_rewrite_action(action, sizes, person)) for action in commit]
            files.write(f"{target}/{name}", "".join(f"{line}\n" for line in lines).encode())
        if last >= CHECKPOINT_EVERY:
            open_delta(files, target).create_checkpoint()


def _rewrite_action(action: dict[str, Any], sizes: Mapping[str, tuple[int, int]], person: TenantIdentity) -> dict[str, Any]:
    """An action of a Delta log that names the new files, without statistics, which have the least and greatest values."""
    for kind in ("add", "remove"):
        entry = action.get(kind)
        if entry is None or unquote(entry["path"]) not in sizes:
            continue
        size, rows = sizes[unquote(entry["path"])]
        entry["size"] = size
        if entry.get("stats") is not None:
            entry["stats"] = json.dumps({"numRecords": rows})
    return action if "add" in action or "remove" in action else dict(person.redact_json(action))


@dataclass(frozen=True)
class LakeSurvey:
    """What the lake has of a person: what becomes of files of rows that have something, by folder and name; how many rows of the
    quarantine go, by file; the data versions that change."""

    files: Mapping[str, Mapping[str, FileChange]]
    tables: Mapping[str, str]
    quarantine: Mapping[str, int]
    versions: tuple[LakeVersion, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Rows by table, and of the quarantine."""
        counts = {self.tables[folder]: sum(one.n_rows for one in files.values()) for folder, files in self.files.items() if files}
        return counts | ({QUARANTINE: sum(self.quarantine.values())} if self.quarantine else {})


@dataclass(frozen=True)
class LakeErasure:
    """What of the lake is a person's, and how it goes; for one erasure."""

    lake: Lake
    _version_files: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _log(self) -> tuple[LakeVersion, ...]:
        """All versions, as they were before."""
        return self.lake.log()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep ingests away. Raises LakeError while one runs."""
        with self.lake.versions.try_lock() as is_free:
            if not is_free:
                raise LakeError(f"{self.lake.files.place}: an ingest or another erasure is running; wait for its end.")
            yield

    def read_journal(self) -> ErasureJournal | None:
        """The erasure that was begun and is not done."""
        return read_journal(self.lake.files)

    def describe(self, tenant: str) -> TenantIdentity:
        """The tenant with the keys of all rows that are this tenant's alone, in any version."""
        person = TenantIdentity(tenant, {TENANTS.name: frozenset({tenant})}, self._list_similar(tenant))
        for name in list_owned_tables():
            table = get_canonical_table(name)
            if len(table.key) == 1 and name != TENANTS.name and not _is_key_of_another(table):
                person = replace(person, keys={**person.keys, name: self._collect_keys(table, person)})
        return person

    def _list_similar(self, tenant: str) -> frozenset[str]:
        """The ids of other tenants that contain this one."""
        is_similar = pl.col(TENANTS.key[0]).str.contains(tenant, literal=True) & (pl.col(TENANTS.key[0]) != tenant)
        return frozenset(
            value
            for folder in self._list_folders(TENANTS)
            for name in folder.names
            for value in folder.read(name, TENANTS.key).filter(is_similar)[TENANTS.key[0]]
        )

    def _collect_keys(self, table: CanonicalTable, person: TenantIdentity) -> frozenset[str]:
        """The keys of the person's rows; a key under which rows of another person are stored too is nobody's alone."""
        key, is_own = table.key[0], match_rows(table, person)
        columns = list(dict.fromkeys((key, *(one.column for one in list_owned_tables()[table.name]))))
        own: set[str] = set()
        for frame in self._read_all(table, columns):
            own.update(frame.filter(is_own)[key])
        if own:
            for frame in self._read_all(table, columns):
                own.difference_update(frame.filter(~is_own & pl.col(key).is_in(sorted(own)))[key].to_list())
        return frozenset(own)

    def _read_all(self, table: CanonicalTable, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        yield from (folder.read(name, columns) for folder in self._list_folders(table) for name in folder.names)

    def survey(self, person: TenantIdentity) -> LakeSurvey:
        """What the lake has of the person."""
        files: dict[str, dict[str, FileChange]] = {}
        tables: dict[str, str] = {}
        for table in CANONICAL:
            if table.name not in list_owned_tables() and not (person.is_searchable and has_free_text(table)):
                continue
            for folder in self._list_folders(table):
                changes = {name: change_rows(table, folder.read(name), person)[1] for name in folder.names}
                files[folder.folder] = {name: change for name, change in changes.items() if change.n_rows}
                tables[folder.folder] = table.name
        quarantine = {name: sum(match_broken_rows(frame, person)) for name, frame in self._read_quarantine()}
        affected = {name: frozenset(changes) for name, changes in files.items() if changes}
        versions = tuple(one for one in self._log if self._is_affected(one, affected, person))
        return LakeSurvey(files, tables, {name: n for name, n in quarantine.items() if n}, versions)

    def _is_affected(self, version: LakeVersion, affected: Mapping[str, frozenset[str]], person: TenantIdentity) -> bool:
        """Whether a version has something of the person: in its rows, or in names of its sources and notes."""
        for name, table_version in version.tables.items():
            changed = affected.get(table_version.folder or name)
            if changed and changed & self._list_files_of(name, table_version):
                return True
        return person.has_name_in(write_manifest(version).decode())

    def list_remaining(self, person: TenantIdentity) -> tuple[str, ...]:
        """The columns of keys and categories of other rows in which the id stands, in words: what they refer to would be lost."""
        if not person.is_searchable:
            return ()
        # After an erasure the tables are in other folders than those that this one looked at.
        now = LakeErasure(self.lake)
        counts = {(table.name, name): n for table in CANONICAL for name, n in now._count_keys_naming(table, person).items()}
        return tuple(
            f"{table}.{name}: {n:,} other value{'s' if n > 1 else ''} with the id in it; what refers to it would be lost"
            for (table, name), n in counts.items()
        )

    def _count_keys_naming(self, table: CanonicalTable, person: TenantIdentity) -> dict[str, int]:
        """How many values of each column of a table that is no free text name the person, in rows that are not the person's."""
        is_own = match_rows(table, person)
        values: dict[str, set[str]] = {}
        for rows in (folder.read_texts(name) for folder in self._list_folders(table) for name in folder.names):
            others = rows.filter(~is_own)
            for column in others.drop(list_text_columns(table, others)).iter_columns():
                likely = column.drop_nulls().unique()
                likely = likely.filter(likely.str.contains(person.tenant, literal=True))
                values.setdefault(column.name, set()).update(filter(person.has_name_in, likely))
        return {name: len(naming) for name, naming in values.items() if naming}

    def begin(self, person: TenantIdentity, entry: ErasureEntry) -> ErasureJournal:
        """The journal of an erasure that begins now, with the next number."""
        keys = {name: tuple(sorted(keys)) for name, keys in person.keys.items()}
        numbered = replace(entry, number=next_number(self.lake.files))
        journal = ErasureJournal(person.tenant, keys, tuple(sorted(person.similar)), numbered)
        write_journal(self.lake.files, journal)
        return journal

    def erase(self, journal: ErasureJournal) -> ErasureJournal:
        """Take the person out, going on where the journal says that it stopped; the journal then names the superseded ids."""
        person = journal.person
        shutil.rmtree(self.lake.root / STAGING, ignore_errors=True)
        if journal.manifests is None:
            journal = self._write_tables(journal, person)
            write_journal(self.lake.files, journal)
        assert journal.manifests is not None
        contents = {number: content.encode() for number, content in journal.manifests.items()}
        self.lake.versions.replace_manifests({number: _describe_manifest(content) for number, content in contents.items()})
        for folder in journal.old_folders:
            self.lake.files.remove(folder)
        for name, frame in self._read_quarantine():
            self._write_quarantine(name, frame, match_broken_rows(frame, person))
        return journal

    def complete(self, journal: ErasureJournal) -> None:
        """Leave the entry of what was done, and forget whom it was about."""
        complete_journal(self.lake.files, journal.entry)

    def _write_tables(self, journal: ErasureJournal, person: TenantIdentity) -> ErasureJournal:
        """The journal with the manifests to be, once the tables that they name are there."""
        survey = self.survey(person)
        targets = {folder: self._write_folder(folder, survey, journal) for folder, changes in survey.files.items() if changes}
        named = {folder: target for folder, target in targets.items() if target is not None}
        changed: dict[int, LakeVersion] = {}
        superseded: dict[str, str] = {}
        for version in self._log:
            tables = {name: self._change_version(version, name, survey, named) for name in version.tables}
            after = _supersede(version, _redact_manifest(replace(version, tables=tables), person))
            if after != version:
                changed[version.number] = after
            if after.id != version.id:
                superseded[version.id] = after.id
        contents = {number: write_manifest(version).decode() for number, version in changed.items()}
        entry = replace(journal.entry, superseded=superseded)
        return replace(journal, entry=entry, manifests=contents, old_folders=tuple(targets))

    def _write_folder(self, folder: str, survey: LakeSurvey, journal: ErasureJournal) -> str | None:
        """Where a folder's table is written to without the person; None where no version names it, so that it only goes."""
        name = survey.tables[folder]
        tables = [
            one for version in self._log if (one := version.tables.get(name)) is not None and (one.folder or name) == folder
        ]
        if not tables:
            return None
        target = f"{name}.{journal.entry.number}"
        last = max(one.delta_version for one in tables)
        TableFolder(self.lake, get_canonical_table(name), folder).write_without(journal.person, target, last)
        return target

    def _change_version(self, version: LakeVersion, name: str, survey: LakeSurvey, targets: Mapping[str, str]) -> TableVersion:
        """A table's version without the person."""
        before = version.tables[name]
        folder = before.folder or name
        if folder not in targets:
            return before
        files = self._list_files_of(name, before)
        changes = [change for file, change in survey.files[folder].items() if file in files]
        added = before.added and before.added - self._count_removed_of(version, name, survey)
        digest = subtract_digest(int(before.digest, 16), add_digests(one.removed_digest for one in changes))
        digest = add_digests([digest, *(one.added_digest for one in changes)])
        rows = before.rows - sum(one.n_removed for one in changes)
        return TableVersion(before.delta_version, rows, added, f"{digest:032x}", targets[folder])

    def _count_removed_of(self, version: LakeVersion, name: str, survey: LakeSurvey) -> int:
        """How many of the rows that a version added to a table go."""
        now = version.tables[name]
        parent = next((one.tables.get(name) for one in self._log if one.number == version.parent), None)
        changes = survey.files[now.folder or name]

        def count_removed(table_version: TableVersion) -> int:
            files = self._list_files_of(name, table_version)
            return sum(change.n_removed for file, change in changes.items() if file in files)

        # A version may have merged files of its parent, whose rows it did not add.
        return count_removed(now) - (0 if parent is None else count_removed(parent))

    def _write_quarantine(self, name: str, frame: pl.DataFrame, matches: Sequence[bool]) -> None:
        if not any(matches):
            return
        rest = frame.filter(~pl.Series(matches, dtype=pl.Boolean))
        if not rest.height:
            self.lake.files.remove_file(name)
            return
        content = io.BytesIO()
        rest.write_parquet(content)
        self.lake.files.write(name, content.getvalue())

    def _list_files_of(self, name: str, version: TableVersion) -> frozenset[str]:
        """The files that a table's version consists of."""
        key = (version.folder or name, version.delta_version)
        if key not in self._version_files:
            folder = TableFolder(self.lake, get_canonical_table(name), key[0])
            self._version_files[key] = folder.list_files_of(key[1])
        return self._version_files[key]

    def _list_folders(self, table: CanonicalTable) -> tuple[TableFolder, ...]:
        """The folders in which rows of a table are: those that versions name, and the first one, which a killed ingest may have
        left."""
        names = {one.folder for version in self._log if (one := version.tables.get(table.name)) is not None and one.folder}
        return tuple(TableFolder(self.lake, table, name) for name in sorted({*names, table.name}))

    def _read_quarantine(self) -> Iterator[tuple[str, pl.DataFrame]]:
        for name in self.lake.files.list_files(QUARANTINE):
            yield name, read_parquet(self.lake.files.read(name), f"{self.lake.files.place}/{name}")


def _is_key_of_another(table: CanonicalTable) -> bool:
    """Whether a table's key is that of a table that it refers to: a row a tenant."""
    return any(one.column == table.key[0] for one in table.references)


def _redact_manifest(version: LakeVersion, person: TenantIdentity) -> LakeVersion:
    """A version without the person in names of sources and notes; a source that stands at such a value is read from its start."""
    sources = tuple(replace(one, name=person.redact(one.name)) for one in version.sources)
    positions = {
        person.redact(name): position
        for name, position in version.positions.items()
        if position.reached != person.tenant and not person.has_name_in(position.reached)
    }
    notes = tuple(person.redact(note) for note in version.notes)
    return replace(version, sources=sources, positions=positions, notes=notes)


def _supersede(before: LakeVersion, after: LakeVersion) -> LakeVersion:
    """The changed version under the id of its content, with the ids that it had."""
    identity = compute_content_id(after.tables)
    return after if identity == before.id else replace(after, id=identity, supersedes=before.ids)


def _describe_manifest(content: bytes) -> Manifest:
    return Manifest(str(json.loads(content)["id"]), content)
