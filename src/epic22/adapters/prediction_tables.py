"""Predictions of whole portfolios: a Delta table a task, beside the data versions, one version of it a request.

predictions/<task>/request=<id>/part-00000.parquet   the rows of one request, in the order of its entities
predictions/<task>/_delta_log/                       what names them; Spark and DuckDB read it too
predictions/.staging/                                what is still being worked out; worthless after its end

A request's rows are there once one commit names them all. Files that no commit names (a process was killed) are seen by nobody;
the same request removes them before it writes. Erasure reads and removes them as well.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction

from epic22.adapters.file_store import FileStore, FolderFiles
from epic22.adapters.home import wait_for_lock
from epic22.adapters.lake_transaction import KEEP_ALL_VERSIONS, has_delta, open_delta
from epic22.adapters.scratch import scratch_folder
from epic22.core.artifact.portfolio_schema import PORTFOLIO_SCHEMA, REQUEST
from epic22.core.errors import StorageError

FOLDER = "predictions"
LOCK, STAGING = ".lock", ".staging"


@dataclass(frozen=True)
class PredictionTables:
    """The tables in one place. `lock` keeps others from changing them meanwhile."""

    files: FileStore
    lock: Callable[[], AbstractContextManager[None]]

    @property
    def place(self) -> str:
        """Where they are, for people."""
        return self.files.place

    def list_requests(self, task: str) -> dict[str, int]:
        """The requests of a task, oldest first, each with the version of the table that its rows came with."""
        if not has_delta(self.files, task):
            return {}
        commits = sorted(open_delta(self.files, task).history(), key=lambda commit: int(commit["version"]))
        return {str(commit[REQUEST]): int(commit["version"]) for commit in commits if REQUEST in commit}

    def find_version(self, task: str, request_id: str) -> int | None:
        """The version of the task's table that a request's rows came with; None where they are not there."""
        return self.list_requests(task).get(request_id)

    def read_parts(self, task: str, request_id: str) -> Iterator[bytes]:
        """The Parquet files of a request, one after another."""
        paths = pl.DataFrame(open_delta(self.files, task).get_add_actions(flatten=True))["path"]
        for path in sorted(path for path in paths if path.startswith(f"{REQUEST}={request_id}/")):
            content = self.files.read(f"{task}/{path}")
            if content is None:
                raise StorageError(f"{self.files.place}/{task}/{path} is not there; restore it from a backup.")
            yield content

    def add(self, task: str, request_id: str, parts: Sequence[Path]) -> int:
        """Move Parquet files in as a request's rows, in one commit, under the lock; gives the table's version."""
        folder = f"{REQUEST}={request_id}"
        delta = self._open(task)
        self.files.remove(f"{task}/{folder}")
        actions = [
            self._move_in(task, f"{folder}/part-{number:05d}.parquet", request_id, part) for number, part in enumerate(parts)
        ]
        delta.create_write_transaction(
            list(actions),
            "append",
            delta.schema(),
            partition_by=[REQUEST],
            commit_properties=CommitProperties(custom_metadata={REQUEST: request_id}),
        )
        return int(open_delta(self.files, task).version())

    def scan(self, task: str, request_id: str | None = None) -> pl.LazyFrame:
        """The rows of a request, or of all requests."""
        if not has_delta(self.files, task):
            return pl.LazyFrame(schema={REQUEST: pl.String(), **PORTFOLIO_SCHEMA})
        rows = pl.scan_delta(open_delta(self.files, task))
        return rows if request_id is None else rows.filter(pl.col(REQUEST) == request_id)

    def list_tasks(self) -> tuple[str, ...]:
        """The tasks that have a folder here, whether a table names its files or not."""
        return tuple(sorted({name.partition("/")[0] for name in self.files.list_files("") if "/" in name} - {STAGING}))

    @property
    def staging(self) -> Path | None:
        """Where files wait on the same disk, so that they are moved and not copied; None where the place is no folder."""
        return self.files.root / STAGING if isinstance(self.files, FolderFiles) else None

    def remove_abandoned(self) -> None:
        """Remove what killed processes left waiting."""
        if self.staging is not None and self.staging.is_dir():
            with scratch_folder(self.staging):
                pass

    def _move_in(self, task: str, name: str, request_id: str, part: Path) -> AddAction:
        n_rows = pl.scan_parquet(part).select(pl.len()).collect().item()
        size, moment = self.files.move_in(part, f"{task}/{name}")
        return AddAction(name, size, {REQUEST: request_id}, moment, True, json.dumps({"numRecords": n_rows}))

    def _open(self, task: str) -> DeltaTable:
        """The task's table, made where there is none, with the columns that were not yet there when it was made."""
        schema = _build_schema()
        if not has_delta(self.files, task):
            self.files.remove(task)
            options = self.files.delta_options
            return DeltaTable.create(
                self.files.locate(task),
                schema=schema,
                partition_by=[REQUEST],
                configuration=KEEP_ALL_VERSIONS,
                storage_options=None if options is None else dict(options),
            )
        delta = open_delta(self.files, task)
        present = {field.name for field in delta.schema().fields}
        absent = [field for field in schema.fields if field.name not in present]
        if absent:
            delta.alter.add_columns(absent)
            delta = open_delta(self.files, task)
        return delta


def _build_schema() -> Schema:
    frame = pl.DataFrame(schema={REQUEST: pl.String(), **PORTFOLIO_SCHEMA})
    return Schema.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).schema)


@contextmanager
def lock_folder(root: Path) -> Iterator[None]:
    """Wait until no other process changes the tables in a folder; it ends with the process."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("a") as file:
        wait_for_lock(file, "predictions of a portfolio are being stored")
        yield
