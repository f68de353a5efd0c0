"""Which files of answers were written where, so that an erasure finds them: exports.jsonl in the home, a line a file."""

import json
from dataclasses import dataclass
from pathlib import Path

from epic22.adapters.home import append_line

EXPORTS = "exports.jsonl"


@dataclass(frozen=True)
class NotedExport:
    """A file of answers of a task."""

    path: Path
    task: str


def note_export(home: Path, path: Path, task: str) -> None:
    """Note that a file was written; one that is noted already is noted once."""
    export = NotedExport(path.resolve(), task)
    if export not in list_exports(home):
        home.mkdir(parents=True, exist_ok=True)
        append_line(home / EXPORTS, json.dumps({"path": str(export.path), "task": task}))


def copy_exports(home: Path, target: Path) -> None:
    """Note in another home what was exported from this one, so that an erasure there finds the same files."""
    for export in list_exports(home):
        note_export(target, export.path, export.task)


def list_exports(home: Path) -> tuple[NotedExport, ...]:
    """The files that were noted, as far as their lines are whole."""
    try:
        lines = (home / EXPORTS).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(dict.fromkeys(export for line in lines if (export := _parse_line(line)) is not None))


def _parse_line(line: str) -> NotedExport | None:
    try:
        stored = json.loads(line)
        return NotedExport(Path(stored["path"]), str(stored["task"]))
    except (ValueError, KeyError, TypeError):
        return None
