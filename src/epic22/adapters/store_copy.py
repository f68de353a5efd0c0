"""Moving what is kept to another place: data versions with their tables, models with their champions.

What is there already with the same content is passed over, so that a copy that was interrupted goes on when it is run again;
what is there with other content is refused before anything is changed.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from epic22.adapters.erasure_journal import ERASURES, refuse_pending_erasure
from epic22.adapters.event_files import EVENTS
from epic22.adapters.file_store import FileStore
from epic22.adapters.lake import Lake
from epic22.adapters.lake_transaction import QUARANTINE
from epic22.adapters.model_store import ModelStore
from epic22.adapters.prediction_tables import PredictionTables
from epic22.adapters.receipt_copy import CopyCounts
from epic22.adapters.scratch import scratch_folder
from epic22.adapters.shared_model_store import SharedModelStore
from epic22.adapters.task_content import (
    TaskContent,
    read_folder_task,
    read_shared_task,
    refuse_other_content,
    write_folder_task,
    write_shared_task,
)
from epic22.core.errors import LakeError, StorageError
from epic22.core.ports import Registry


def copy_models(source: Registry, target: Registry) -> CopyCounts:
    """Copy all tasks; each is there whole or not at all. Raises StorageError where one is there with other content."""
    names = sorted({one.task for one in source.list_all_versions()} | set(source.list_tasks()))
    contents = [_read_task(source, name) for name in names]
    present = {name: _read_task(target, name) for name in names if target.list_versions(name)}
    for content in contents:
        if content.task in present:
            refuse_other_content(content.task, present[content.task], content)
    copied = [content for content in contents if content.task not in present]
    for content in copied:
        if isinstance(target, SharedModelStore):
            write_shared_task(target, content)
        else:
            assert isinstance(target, ModelStore)
            write_folder_task(target, content)
    versions = sum(len(content.versions) for content in copied)
    return CopyCounts(versions, sum(len(content.versions) for content in contents) - versions)


def _read_task(registry: Registry, task: str) -> TaskContent:
    if isinstance(registry, SharedModelStore):
        return read_shared_task(registry, task)
    assert isinstance(registry, ModelStore)
    return read_folder_task(registry, task)


def copy_lake(source: Lake, target: Lake) -> CopyCounts:
    """Copy all data versions, their tables first. Raises LakeError while an ingest runs, or where others are there."""
    with ExitStack() as stack:
        for lake in (source, target):
            if not stack.enter_context(lake.versions.try_lock()):
                raise LakeError(f"{lake.files.place}: an ingest is running; wait for its end.")
        refuse_pending_erasure(source.files)
        manifests = {number: source.versions.read_manifest(number) or b"" for number in source.versions.list_numbers()}
        present = target.versions.list_numbers()
        if any(target.versions.read_manifest(number) != manifests.get(number) for number in present):
            raise StorageError("other data versions are there already; nothing was changed. Copy into a store that has none.")
        lacking = [number for number in manifests if number not in present]
        if lacking:
            for folder in (*source.list_table_folders(), EVENTS, ERASURES):
                _copy_files(source.files, target.files, folder)
        for number in lacking:
            _copy_files(source.files, target.files, f"{QUARANTINE}/{number:08d}")
            target.versions.add_manifest(number, source.version(number).id, manifests[number])
    return CopyCounts(len(lacking), len(present))


def copy_predictions(source: PredictionTables, target: PredictionTables, scratch: Path) -> CopyCounts:
    """Copy the requests of portfolios that are not there yet, each whole, in the order in which they were made."""
    n_copied = n_present = 0
    with source.lock(), target.lock():
        for task in source.list_tasks():
            present = target.list_requests(task)
            for request in source.list_requests(task):
                if request in present:
                    n_present += 1
                    continue
                with scratch_folder(target.staging or scratch) as folder:
                    target.add(task, request, list(_write_parts(source.read_parts(task, request), folder)))
                n_copied += 1
    return CopyCounts(n_copied, n_present)


def _write_parts(contents: Iterable[bytes], folder: Path) -> Iterator[Path]:
    for number, content in enumerate(contents):
        path = folder / f"part-{number:05d}.parquet"
        path.write_bytes(content)
        yield path


def _copy_files(source: FileStore, target: FileStore, prefix: str) -> None:
    """Copy the files below a prefix: of a Delta table the rows first, then the logs that name them."""
    for name in sorted(source.list_files(prefix), key=lambda name: ("/_delta_log/" in name, name)):
        content = source.read(name)
        if content is not None:
            target.write(name, content)
