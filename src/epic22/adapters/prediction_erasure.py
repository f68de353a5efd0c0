"""A person taken out of predictions of portfolios and of exported answers.

A file of a table is written without the person under another name, then the commits that name it are written to name that, then
the old one goes: at each moment a reader finds the files that the log names. A file that no commit names only goes.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import orjson
import polars as pl

from epic22.adapters.answer_files import list_unfinished
from epic22.adapters.damaged_files import PARQUET_FAULTS, read_parquet
from epic22.adapters.export_log import NotedExport, list_exports
from epic22.adapters.home import write_atomically
from epic22.adapters.lake_erasure import CHECKPOINT_EVERY, LOG
from epic22.adapters.lake_transaction import has_delta, open_delta
from epic22.adapters.prediction_tables import STAGING, PredictionTables
from epic22.core.tables.erasure import TenantIdentity

SUCCESSOR = re.compile(r"(?P<stem>.+?)(\.e(?P<number>\d+))?\.parquet")
"""A file's name; that of what is written in its place counts on."""


def erase_answers(rows: pl.DataFrame, person: TenantIdentity, table: str | None) -> tuple[pl.DataFrame, int]:
    """The rows of answers without the person, and how many went or lost a text; `table` has the rows that they are about."""
    keys = sorted({person.tenant, *(person.keys.get(table, ()) if table is not None else ())})
    others = rows.filter(~pl.col("entity").cast(pl.String).is_in(keys).fill_null(value=False))
    n_own = rows.height - others.height
    if not person.is_searchable:
        return others, n_own
    names = [place for place, row in enumerate(others.iter_rows()) if person.has_name_in_bytes(orjson.dumps(row, default=str))]
    if not names:
        return others, n_own
    indexed = others.with_row_index("place")
    redacted = pl.DataFrame([person.redact_json(row) for row in indexed[names].to_dicts()], schema=indexed.schema)
    whole = pl.concat([indexed.filter(~pl.col("place").is_in(names)), redacted]).sort("place")
    return whole.drop("place"), n_own + len(names)


@dataclass(frozen=True)
class PredictionPlace:
    """The predictions of portfolios. `tables`, by task: the canonical table whose rows its answers are about."""

    predictions: PredictionTables
    tables: Mapping[str, str]
    name: str = "predictions of portfolios"

    def count(self, person: TenantIdentity) -> int:
        """How many rows are about the person, or name the person."""
        return sum(count for *_, count in self._find_files(person))

    def erase(self, person: TenantIdentity) -> None:
        """Write the files without the person, and their tables' logs anew; what a killed process left goes."""
        with self.predictions.lock():
            self.predictions.remove_abandoned()
            rows_by_task: dict[str, dict[str, pl.DataFrame]] = {}
            for task, name, rows, _ in self._find_files(person):
                rows_by_task.setdefault(task, {})[name] = rows
            for task, files in rows_by_task.items():
                self._replace_files(task, files)

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def _find_files(self, person: TenantIdentity) -> Iterator[tuple[str, str, pl.DataFrame, int]]:
        """The files that have something of the person: task, name, the rows without the person, how many go or change."""
        files = self.predictions.files
        for name in files.list_files(""):
            if not name.endswith(".parquet") or f"/{LOG}/" in name:
                continue
            task = name.partition("/")[0]
            if task == STAGING:
                # What a living process works out it may not store: the data version that it read is changed.
                continue
            rows, count = erase_answers(read_parquet(files.read(name), f"{files.place}/{name}"), person, self.tables.get(task))
            if count:
                yield task, name, rows, count

    def _replace_files(self, task: str, rows_by_name: Mapping[str, pl.DataFrame]) -> None:
        files = self.predictions.files
        successors: dict[str, _Successor] = {}
        if has_delta(files, task):
            commits = {name: files.read(name) or b"" for name in files.list_files(f"{task}/{LOG}") if name.endswith(".json")}
            named = {path for content in commits.values() for path in _list_paths(content)}
            for name, rows in rows_by_name.items():
                path = name.removeprefix(f"{task}/")
                if path in named:
                    successors[path] = self._write_successor(task, path, rows)
            self._rewrite_log(task, commits, successors)
        for name in rows_by_name:
            files.remove_file(name)

    def _write_successor(self, task: str, path: str, rows: pl.DataFrame) -> "_Successor":
        content = io.BytesIO()
        rows.write_parquet(content)
        successor = _name_successor(path)
        self.predictions.files.write(f"{task}/{successor}", content.getvalue())
        return _Successor(successor, len(content.getvalue()), rows.height)

    def _rewrite_log(self, task: str, commits: Mapping[str, bytes], successors: Mapping[str, "_Successor"]) -> None:
        """Have the commits name the successors; what sums them up goes, and is not needed."""
        files = self.predictions.files
        if not successors:
            return
        for name in files.list_files(f"{task}/{LOG}"):
            if "checkpoint" in PurePosixPath(name).name:
                files.remove_file(name)
        for name, content in commits.items():
            lines = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
            after = "".join(f"{json.dumps(_rename_file(line, successors))}\n" for line in lines).encode()
            if any(path in successors for path in _list_paths(content)):
                files.write(name, after)
        if len(commits) > CHECKPOINT_EVERY:
            open_delta(files, task).create_checkpoint()


@dataclass(frozen=True)
class _Successor:
    """What is written in a file's place: its path, bytes and rows."""

    path: str
    size: int
    rows: int


def _name_successor(path: str) -> str:
    """The name of what is written in a file's place.

    >>> _name_successor("request=a/part-00000.parquet"), _name_successor("request=a/part-00000.e1.parquet")
    ('request=a/part-00000.e1.parquet', 'request=a/part-00000.e2.parquet')
    """
    match = SUCCESSOR.fullmatch(path)
    assert match is not None
    return f"{match['stem']}.e{int(match['number'] or 0) + 1}.parquet"


def _list_paths(commit: bytes) -> list[str]:
    """The files that a commit adds or removes."""
    actions = [json.loads(line) for line in commit.decode().splitlines() if line.strip()]
    return [unquote(action[kind]["path"]) for action in actions for kind in ("add", "remove") if kind in action]


def _rename_file(action: dict[str, Any], successors: Mapping[str, _Successor]) -> dict[str, Any]:
    for kind in ("add", "remove"):
        entry = action.get(kind)
        successor = None if entry is None else successors.get(unquote(entry["path"]))
        if entry is not None and successor is not None:
            entry |= {"path": successor.path, "size": successor.size, "stats": json.dumps({"numRecords": successor.rows})}
    return action


@dataclass(frozen=True)
class ExportPlace:
    """The files of answers that were written from this home, as far as they are where they were written."""

    home: Path
    tables: Mapping[str, str]
    name: str = "exported answers"

    def count(self, person: TenantIdentity) -> int:
        """How many rows are about the person, or name the person."""
        return sum(count for *_, count in self._find_files(person))

    def erase(self, person: TenantIdentity) -> None:
        """Write the files without the person; what a killed export left half-written goes."""
        for export in list_exports(self.home):
            for left in list_unfinished(export.path):
                left.unlink(missing_ok=True)
        for export, rows, _ in self._find_files(person):
            content = io.BytesIO()
            WRITERS[export.path.suffix](rows, content)
            write_atomically(export.path, content.getvalue())

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """The files that cannot be read as what was written, or are no longer there and may be elsewhere."""
        remaining = []
        for export in list_exports(self.home):
            if not export.path.is_file():
                remaining.append(f"{export.path}: answers were exported there; where that file is now, it has what it had")
            elif _read_answers(export) is None:
                remaining.append(f"{export.path}: no longer the answers that were exported there; it was not searched")
        return tuple(remaining)

    def _find_files(self, person: TenantIdentity) -> Iterator[tuple[NotedExport, pl.DataFrame, int]]:
        for export in list_exports(self.home):
            answers = _read_answers(export)
            if answers is None:
                continue
            rows, count = erase_answers(answers, person, self.tables.get(export.task))
            if count:
                yield export, rows, count


def _read_answers(export: NotedExport) -> pl.DataFrame | None:
    """The rows of a file; None where it is not there, or is not what was written."""
    try:
        answers = READERS[export.path.suffix](export.path)
    except (KeyError, *PARQUET_FAULTS):
        return None
    return answers if "entity" in answers.columns else None


READERS: Mapping[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": lambda path: pl.read_parquet(path, hive_partitioning=False),
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
}
WRITERS: Mapping[str, Callable[[pl.DataFrame, io.BytesIO], None]] = {
    ".parquet": lambda rows, stream: rows.write_parquet(stream),
    ".csv": lambda rows, stream: rows.write_csv(stream),
    ".jsonl": lambda rows, stream: rows.write_ndjson(stream),
}
