"""The canonical tables with versions: Delta tables in a folder, and one manifest a version that names what belongs together.

lake/<table>/                      a Delta table: rows are only ever added; Spark and DuckDB read it too
lake/versions/00000042.json        the manifest of version 42: the Delta version of every table, sources, counts, who, when
lake/quarantine/00000042/<table>.parquet   what that ingest set apart: file, line, reason, the row as it came
lake/events/00000042/events.parquet        the ids of events that came in until then (`event_files`)
lake/erasures/00000003.json        what was taken out of it later: how much, and the ids that its versions had before
lake/.staging/                     what an ingest is still writing; worthless after its end

A version exists once its manifest does, and that is one rename of a whole file. Commits to Delta tables that no manifest names
(an ingest was killed) are seen by nobody; the next ingest takes those tables back to what its parent names before it adds rows.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from pydantic import TypeAdapter

from epic22.adapters.damaged_files import read_parquet
from epic22.adapters.erasure_journal import refuse_pending_erasure
from epic22.adapters.event_files import EventFiles
from epic22.adapters.file_store import FileStore, FolderFiles
from epic22.adapters.lake_transaction import QUARANTINE, STAGING, DeltaTransaction, open_delta
from epic22.adapters.version_files import VersionFiles, VersionLog
from epic22.core.data.point_in_time import Tables, build_tables
from epic22.core.errors import LakeBusyError, LakeError
from epic22.core.serialization import to_json
from epic22.core.tables.canonical import CANONICAL, CanonicalTable, get_canonical_table
from epic22.core.tables.versions import LakeVersion, TableVersion

QUARANTINE_SCHEMA = {"table": pl.String(), "file": pl.String(), "line": pl.Int64(), "reason": pl.String(), "row": pl.String()}
STORED_VERSION = TypeAdapter(LakeVersion)
"""A version as its manifest has it."""


class Lake:
    """The versions of the canonical tables in one folder.

    `versions` is where their manifests are, `files` where tables and quarantine are: the folder where None. It is this machine's
    place for what an ingest is still writing all the same.
    """

    def __init__(self, root: Path, versions: VersionLog | None = None, files: FileStore | None = None) -> None:
        self.root = root
        self.versions = VersionFiles(root) if versions is None else versions
        self.files = FolderFiles(root) if files is None else files
        self._event_files = EventFiles(self.files)

    def log(self) -> tuple[LakeVersion, ...]:
        """All versions, oldest first."""
        return tuple(self.version(number) for number in self.versions.list_numbers())

    def latest(self) -> LakeVersion | None:
        """The newest version, None before the first."""
        numbers = self.versions.list_numbers()
        return self.version(numbers[-1]) if numbers else None

    def version(self, number: int) -> LakeVersion:
        """The version of that number. Raises LakeError."""
        manifest = self.versions.read_manifest(number)
        if manifest is None:
            numbers = self.versions.list_numbers()
            range_ = f"there are {numbers[0]} to {numbers[-1]}" if numbers else "there is none yet; ingest something first"
            raise LakeError(f"no data version {number}; {range_}.")
        try:
            return STORED_VERSION.validate_json(manifest, extra="forbid")
        except ValueError:
            place = self.versions.locate(number)
            raise LakeError(f"{place}: does not describe a data version; restore it from a backup.") from None

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The rows of a table in a version (the newest where None), all their versions, in the canonical schema."""
        declared = get_canonical_table(table)
        chosen = self._find_version(version)
        return self.scan_at(declared, chosen.tables.get(table) if chosen else None)

    def scan_at(self, table: CanonicalTable, table_version: TableVersion | None) -> pl.LazyFrame:
        """The rows that one table version holds; none where there is none."""
        if table_version is None:
            return pl.LazyFrame(schema=table.schema)
        return pl.scan_delta(open_delta(self.files, table_version.folder or table.name, table_version.delta_version))

    def frames(self, version: int | None = None) -> dict[str, pl.DataFrame]:
        """All tables of a version that have rows, by name."""
        chosen = self._find_version(version)
        names = [] if chosen is None else [name for name, table_version in chosen.tables.items() if table_version.rows]
        return {name: self.scan(name, version).collect() for name in names}

    def tables(self, version: int | None = None) -> Tables:
        """The tables of a version for point-in-time views; money as floats. Raises LakeError where there is no version."""
        chosen = self.resolve_version(version)
        return build_tables({t.name: self.scan(t.name, chosen.number).collect() for t in CANONICAL}, chosen.end)

    def quarantine(self, number: int | None = None) -> pl.DataFrame:
        """What a version's ingest set apart: frame [table, file, line, reason, row]."""
        chosen = self._find_version(number)
        names = [] if chosen is None else list(self.files.list_files(f"{QUARANTINE}/{chosen.number:08d}"))
        frames = [read_parquet(self.files.read(name), f"{self.files.place}/{name}") for name in names]
        return pl.concat([pl.DataFrame(schema=QUARANTINE_SCHEMA), *frames])

    @contextmanager
    def begin_transaction(self) -> Iterator[DeltaTransaction]:
        """A change of the tables that becomes a version when it is committed, and nothing otherwise.

        Raises LakeBusyError while another process changes them.
        """
        with self.versions.try_lock() as is_free:
            if not is_free:
                raise LakeBusyError(f"{self.files.place}: another ingest is running; wait for its end.")
            refuse_pending_erasure(self.files)
            staging, latest = self.root / STAGING, self.latest()
            transaction = DeltaTransaction(self.files, staging, latest, self.scan_at, self._publish, self._event_files)
            try:
                yield transaction
            finally:
                transaction.clean()

    def restore(self, number: int, who: str) -> LakeVersion:
        """A new version with the content of an older one, and its memory of events; the history stays. Raises LakeError."""
        target = self.version(number)
        with self.begin_transaction():
            now = self.latest()
            assert now is not None
            tables = {name: replace(table_version, added=0) for name, table_version in target.tables.items()}
            self._event_files.note_restore(now.number + 1, number)
            return self._publish(
                replace(
                    target,
                    number=now.number + 1,
                    tables=tables,
                    sources=(),
                    who=who,
                    at=datetime.now(UTC).replace(tzinfo=None),
                    parent=now.number,
                    action=f"restore {number}",
                    notes=(),
                )
            )

    def list_table_folders(self) -> dict[str, str]:
        """The folders in which versions have rows, each with its table."""
        return {one.folder or name: name for version in self.log() for name, one in version.tables.items()}

    def resolve_version(self, number: int | None = None) -> LakeVersion:
        """The version of that number, the newest where None. Raises LakeError where there is none."""
        lake_version = self._find_version(number)
        if lake_version is None:
            raise LakeError(f"no data version in {self.files.place} yet; read your tables with 'epic22 ingest FOLDER' first.")
        return lake_version

    def diff(self, a: int, b: int) -> dict[str, tuple[int, int]]:
        """By table that differs: how many rows only version a has, and how many only b."""
        left, right = self.version(a), self.version(b)
        differences = {}
        for table in CANONICAL:
            one, other = left.tables.get(table.name), right.tables.get(table.name)
            if (one and one.digest) != (other and other.digest):
                frames = [self.scan_at(table, table_version).collect() for table_version in (one, other)]
                on = list(dict.fromkeys(name for frame in frames for name in frame.columns))
                differences[table.name] = (_count_missing(frames[0], frames[1], on), _count_missing(frames[1], frames[0], on))
        return {name: counts for name, counts in differences.items() if any(counts)}

    def _find_version(self, number: int | None) -> LakeVersion | None:
        return self.latest() if number is None else self.version(number)

    def _publish(self, version: LakeVersion) -> LakeVersion:
        """Keep the manifest: the moment at which the version comes to be."""
        if not self.versions.add_manifest(version.number, version.id, write_manifest(version)):
            raise LakeBusyError(f"data version {version.number} was made by another ingest meanwhile; run this one again.")
        return version


def write_manifest(version: LakeVersion) -> bytes:
    """A version as its manifest has it."""
    return json.dumps(to_json(version), indent=1, ensure_ascii=False).encode()


def is_delta(folder: Path) -> bool:
    """Whether a folder is a Delta table."""
    return (folder / "_delta_log").is_dir()


def list_delta_files(folder: Path, version: int | None = None) -> tuple[Path, ...]:
    """The Parquet files of a Delta table's version, the newest where None, in the order in which they were added.

    Raises LakeError where it has no rows, or marks rows in them as deleted.
    """
    table = DeltaTable(folder, version=version)
    files = pl.DataFrame(table.get_add_actions(flatten=True)).sort("modification_time", "path")
    if not files.height:
        raise LakeError(f"{folder}: a Delta table without rows; there is nothing to learn from.")
    if "deletionVector" in "".join(table.protocol().reader_features or ()):
        raise LakeError(f"{folder}: rows are marked as deleted in it; rewrite the table (optimize, then vacuum) first.")
    return tuple(folder / unquote(path) for path in files["path"])


def _count_missing(rows: pl.DataFrame, others: pl.DataFrame, on: list[str]) -> int:
    """How many of these rows are not among those."""
    return rows.join(others, on=[name for name in on if name in rows.columns], how="anti", nulls_equal=True).height
