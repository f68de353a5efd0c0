"""Runs in one file that travels: a zip of a JSON document, with a version of its form, and of the runs' files.

What is read may come from anybody: the document is checked field by field before anything is written, names lead nowhere but
below a run's own folder, and what a small file swells to is bounded.
"""

import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from epic22.adapters.tracking.run_tree import MAX_DIGEST, MAX_NAME, MAX_TAG, MAX_VALUE, VERSION
from epic22.adapters.tracking.stored_run import Content, RunTree, StoredRun, read_content
from epic22.core.data.workbook import ARCHIVE_FAULTS
from epic22.core.errors import FileError

FORMAT, FORMAT_VERSION = "epic22-runs", 1
DOCUMENT, FILES = "runs.json", "files"

MAX_FILES = 100_000
MAX_FILE_BYTES = 1 << 30
MAX_BYTES = 16 << 30
SMALL_BYTES, MAX_RATIO = 64 << 20, 200
"""A file may swell to so many bytes whatever it has, and beyond that to so many times its own."""

MAX_DATASET = 500
LAST_MOMENT, MAX_STEP = 253_402_300_799_999, (1 << 63) - 1
"""The end of the year 9999, in milliseconds since 1970; the largest number of the tables."""

RUN_ID = re.compile(r"[0-9a-f]{32}")
TASK = re.compile(r"\w[\w.\- ]{0,199}")
STATES = {"FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"}


@dataclass(frozen=True)
class ArchivedTree:
    """A tree of runs in the document; its files are beside it, by the run's id and their names."""

    task: str
    runs: tuple[StoredRun, ...]


@dataclass(frozen=True)
class ArchiveDocument:
    """The document of a file of runs."""

    format: str
    format_version: int
    trees: tuple[ArchivedTree, ...]


DOCUMENTS: TypeAdapter[ArchiveDocument] = TypeAdapter(ArchiveDocument)


def write_archive(path: Path, trees: Sequence[RunTree]) -> None:
    """Write trees into one file, whole or not at all."""
    document = ArchiveDocument(FORMAT, FORMAT_VERSION, tuple(ArchivedTree(tree.task, tree.runs) for tree in trees))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(DOCUMENT, DOCUMENTS.dump_json(document))
            for tree in trees:
                for name, content in tree.files.items():
                    archive.writestr(f"{FILES}/{tree.id}/{name}", read_content(content))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_archive(path: Path) -> tuple[RunTree, ...]:
    """The trees of a file, checked; their files are read when they are written, so long as the file is there.

    Raises FileError for a file that is none of ours, of another version, damaged, or not to be trusted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _list_entries(path, archive)
            if DOCUMENT not in entries:
                raise FileError(f"{path}: it has no {DOCUMENT}; give a file that 'epic22 runs export' wrote.")
            document = _read_document(path, archive.read(DOCUMENT))
    except ARCHIVE_FAULTS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise FileError(f"{path}: no file of runs ({reason}); give one that 'epic22 runs export' wrote.") from None
    files = _assign_files(path, document, [name for name in entries if name != DOCUMENT])
    return tuple(RunTree(tree.task, tree.runs, files[tree.runs[0].id]) for tree in document.trees)


def _list_entries(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The names in a file, once what they swell to is known to be bounded."""
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    limit = min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * path.stat().st_size))
    if len(entries) > MAX_FILES or total > limit or any(entry.file_size > MAX_FILE_BYTES for entry in entries):
        raise FileError(
            f"{path}: it would swell to {total / 1e6:,.0f} MB in {len(entries):,} files, {limit / 1e6:,.0f} MB in {MAX_FILES:,} "
            "are the most; nothing of it was read. Export fewer runs at once."
        )
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise FileError(f"{path}: it names a file twice; nothing of it was imported.")
    return names


def _read_document(path: Path, content: bytes) -> ArchiveDocument:
    try:
        document = DOCUMENTS.validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, fault["loc"]))
        raise FileError(f"{path}: its {DOCUMENT} is not as it was written ({where}: {fault['msg']}); export it again.") from None
    if document.format != FORMAT:
        raise FileError(f"{path}: a {document.format[:40]!r}, not {FORMAT!r}; give a file that 'epic22 runs export' wrote.")
    if document.format_version != FORMAT_VERSION:
        raise FileError(
            f"{path}: version {document.format_version} of its form, this program reads {FORMAT_VERSION}; import it with the "
            "epic22 that wrote it."
        )
    for tree in document.trees:
        _check_tree(path, tree)
    return document


def _check_tree(path: Path, tree: ArchivedTree) -> None:
    """Raise FileError for a tree that is none, or holds what the tables do not take."""
    if not TASK.fullmatch(tree.task):
        raise FileError(f"{path}: {tree.task[:40]!r} is no name of a task; nothing of it was imported.")
    above: set[str] = set()
    for number, run in enumerate(tree.runs):
        if not RUN_ID.fullmatch(run.id) or run.id in above or (run.parent in above) != (number > 0):
            raise FileError(f"{path}: run {run.id[:40]!r} of {tree.task} is in no place of the tree; nothing was imported.")
        if (fault := _find_fault(run)) is not None:
            raise FileError(f"{path}: run {run.id} of {tree.task}: {fault}; nothing of it was imported.")
        above.add(run.id)
    if not above:
        raise FileError(f"{path}: {tree.task} has no run; nothing of it was imported.")
    if VERSION not in tree.runs[0].tags:
        raise FileError(f"{path}: run {tree.runs[0].id} of {tree.task} has no tag {VERSION}; nothing of it was imported.")


def _find_fault(run: StoredRun) -> str | None:
    """What of a run the tables do not take, or nobody could show afterwards; None where there is nothing."""
    for moment in (run.start, run.end, *(point.at for point in run.metrics)):
        if not 0 <= moment <= LAST_MOMENT:
            return f"{moment:.6g} is no time in milliseconds since 1970"
    texts: list[tuple[str, str, int]] = [("name", run.name, MAX_NAME)]
    for values, most in ((run.parameters, MAX_VALUE), (run.tags, MAX_TAG)):
        texts += [(f"text of {name[:40]!r}", text, most) for name, text in values.items()]
    texts += [("name of a value", name, MAX_NAME) for name in (*run.parameters, *run.tags, *(one.name for one in run.metrics))]
    for one in run.datasets:
        sizes = ((one.name, MAX_DATASET), (one.digest, MAX_DIGEST), (one.source_type, MAX_DIGEST), (one.context, MAX_DATASET))
        texts += [("description of its data", text, most) for text, most in (*sizes, (one.source + one.profile, MAX_FILE_BYTES))]
    for what, text, most in texts:
        if len(text) > most or "\0" in text:
            return f"its {what} has {len(text):,} characters of at most {most:,}, or the character 0"
    if any(not math.isfinite(point.value) or abs(point.step) > MAX_STEP for point in run.metrics):
        return "it has a figure that is no number"
    if len({(one.name, one.digest) for one in run.datasets}) < len(run.datasets):
        return "it names its data twice"
    return None if run.status in STATES else f"{run.status[:40]!r} is no state of a run"


def _assign_files(path: Path, document: ArchiveDocument, names: Sequence[str]) -> dict[str, dict[str, Content]]:
    """The files of each tree, by its first run's id and their names. Raises FileError for a name that leads elsewhere."""
    files: dict[str, dict[str, Content]] = {tree.runs[0].id: {} for tree in document.trees}
    if len(files) < len(document.trees):
        raise FileError(f"{path}: it has a run twice; nothing of it was imported.")
    for name in names:
        folder, _, rest = name.partition("/")
        run, _, own = rest.partition("/")
        if folder != FILES or run not in files or not is_safe_name(own):
            raise FileError(f"{path}: the file {name[:80]!r} belongs to no run of it; nothing of it was imported.")
        files[run][own] = partial(_read_entry, path, name)
    return files


def is_safe_name(name: str) -> bool:
    """Whether a name leads to a file below the folder that it is in.

    >>> is_safe_name("model/MLmodel"), is_safe_name("../x"), is_safe_name("/x"), is_safe_name("a//b")
    (True, False, False, False)
    """
    parts = name.split("/")
    odd = any(part in ("", ".", "..") or len(part) > 255 for part in parts)
    return not odd and "\\" not in name and name.isprintable() and not PurePosixPath(name).is_absolute()


def _read_entry(path: Path, name: str) -> bytes:
    """A file's bytes. Raises FileError where they are not those that were written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except ARCHIVE_FAULTS as error:
        raise FileError(f"{path}: {name[:80]} cannot be read ({error}); export it again.") from None
