"""Tables taken in, and what is wrong in them or in a table of one's own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from epic22.adapters.home import translate_storage_faults
from epic22.adapters.sources.base import SourceAddress, SourceRequest
from epic22.adapters.sources.catalog import connect_sources, list_sources
from epic22.adapters.sources.file_reader import list_files
from epic22.adapters.sources.folder import describe_left_files, list_left_files, load_mapping
from epic22.adapters.sources.mapping_draft import draft_files, draft_foreign_files, write_draft
from epic22.adapters.sources.object_storage import fetch_objects
from epic22.adapters.sources.presets import find_mapping
from epic22.bootstrap.components import Components, current_user
from epic22.bootstrap.quality import GateOptions, build_gate
from epic22.bootstrap.stores import SCRATCH
from epic22.core.data.leakage import Suspicion
from epic22.core.data.split import plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError, FileError, SplitError
from epic22.core.lineage import Dataset, DataVersion
from epic22.core.ports import Source
from epic22.core.progress import Progress
from epic22.core.quality import Finding
from epic22.core.tables.canonical import CANONICAL
from epic22.core.tables.versions import LakeVersion
from epic22.features.catalog import get_feature
from epic22.services.audit import audit_inputs, audit_portfolio
from epic22.services.ingest import IngestRequest, IngestResult, ingest
from epic22.services.ingest_gate import QualityGate
from epic22.services.lineage_events import emit_lineage, list_source_datasets, list_table_datasets
from epic22.services.prepare import audit_split
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_comments import Inferred, add_inferred
from epic22.spec.task_request import build_split_request, locate_errors, refuse_contradictions
from epic22.spec.task_yaml import refuse_unwritable, write_task_file
from epic22.spec.training_spec import TrainingSpec

MAPPING_DRAFT = "mapping.yaml"
"""The name of a drafted mapping, in the folder of the files that it maps."""


@dataclass(frozen=True)
class IngestOptions:
    """What is asked of an ingest: the moment of the snapshot, now where None, a name for where files come from, and the gate."""

    as_of: datetime | None = None
    source_name: str | None = None
    gate: GateOptions = field(default_factory=GateOptions)


def ingest_folder(
    components: Components,
    folder: Path,
    mapping: Path | None = None,
    options: IngestOptions = IngestOptions(),
    progress: Progress = Progress(),
) -> IngestResult:
    """Take a folder of tables in as the next data version, through a mapping file where the source is foreign.

    Raises QualityError where the gate refuses it, FileError where the folder holds no table, ColumnError where one lacks a
    column; then a mapping is drafted beside it.
    """
    sources = list_sources(folder, options.source_name, mapping)
    if mapping is None:
        _refuse_foreign_files(folder, folder / MAPPING_DRAFT)
    result = ingest_sources(components, sources, options.as_of, build_gate(options.gate, mapping), progress)
    return result if mapping is not None else _note_left_files(result, folder)


def ingest_objects(
    components: Components,
    address: str,
    mapping: Path | None = None,
    options: IngestOptions = IngestOptions(),
    progress: Progress = Progress(),
) -> IngestResult:
    """Take the tables' files below an address of object storage in as the next data version, as those of a folder.

    Raises StorageError where the storage refuses, else as `ingest_folder`; a mapping is drafted in the working folder.
    """
    progress.begin("fetching …", 1, about=address)
    with fetch_objects(address, components.settings.home / SCRATCH) as folder:
        name = options.source_name or (None if mapping is not None else address.rstrip("/"))
        sources = list_sources(folder, name, mapping)
        if mapping is None:
            _refuse_foreign_files(folder, Path(MAPPING_DRAFT))
        result = ingest_sources(components, sources, options.as_of, build_gate(options.gate, mapping), progress)
        return result if mapping is not None else _note_left_files(result, folder)


def ingest_address(
    components: Components,
    address: str | None,
    mapping: Path,
    options: IngestOptions = IngestOptions(),
    progress: Progress = Progress(),
) -> IngestResult:
    """Take what a mapping file asks of a server in as the next data version, from one state of it; no address: the mapping's own.

    Raises FileError for a mistake in the mapping, SourceError where the server cannot be reached or does not give the rows.
    """
    latest = components.table_store.latest()
    # A mapping may name variables with secrets: they are read from the environment when a request needs them, and never kept.
    request = SourceRequest(
        SourceAddress(address) if address else None,
        load_mapping(find_mapping(mapping)),
        latest.positions if latest else {},
        components.settings.home / "http",
        os.environ,
        frozenset(name for name, table in latest.tables.items() if table.rows) if latest else frozenset(),
    )
    with connect_sources(request) as sources:
        return ingest_sources(components, sources, options.as_of, build_gate(options.gate, find_mapping(mapping)), progress)


def ingest_sources(
    components: Components, sources: Sequence[Source], as_of: datetime | None, gate: QualityGate, progress: Progress
) -> IngestResult:
    """Take the rows of sources in as the next data version, and emit where they come from. Raises as `ingest` does."""
    request = IngestRequest(current_user(), datetime.now(UTC).replace(tzinfo=None), as_of, gate)
    storage = translate_storage_faults(components.settings.home)
    with storage, emit_lineage(components.lineage, "ingest", _list_inputs(sources)) as work:
        result = ingest(sources, components.table_store, request, progress)
        work.inputs[:] = _list_inputs(sources)
        work.outputs += list_table_datasets(result.version) if result.version else ()
    return result


def _note_left_files(result: IngestResult, folder: Path) -> IngestResult:
    """The result, with a note of files that are named after no table."""
    left = list_left_files(folder, [path for table in CANONICAL for path in list_files(folder, table.name)])
    note = f"left out, for no table has such a name: {describe_left_files(left)}"
    return replace(result, notes=(*result.notes, note)) if left else result


def _list_inputs(sources: Sequence[Source]) -> tuple[Dataset, ...]:
    """What is read, as far as its digest is known: that of a query is not before its end."""
    return list_source_datasets([(one.name, one.sha256) for one in sources if one.sha256 is not None])


def _refuse_foreign_files(folder: Path, place: Path) -> None:
    """Draft a mapping at a place where the files are not the canonical tables, and raise an error that says what is missing."""
    named = [(path, path.relative_to(folder).as_posix(), table) for table in CANONICAL for path in list_files(folder, table.name)]
    drafts = draft_files(named)
    if named and not drafts:
        return
    foreign, others = draft_foreign_files(folder, [name for _, name, _ in named])
    if not named and not foreign:
        names = ", ".join(table.name for table in CANONICAL)
        raise FileError(f"{folder}: no file named after a table; expected e.g. leases.csv or leases.parquet, of: {names}.")
    try:
        write_draft(place, (*drafts, *foreign), others)
        advice = f"A mapping to be completed was written: {place}"
    except FileError as error:
        advice = f"A mapping would be drafted, but {error}".removesuffix(".")
    lacking = "; ".join((*(draft.describe() for draft in (*drafts, *foreign)), *(f"{name} is like no table" for name in others)))
    command = f"epic22 ingest {folder} --mapping {place}"
    raise ColumnError(f"{lacking}. Nothing was stored. {advice}; then '{command}'.")


def audit_file(spec: TrainingSpec, progress: Progress = Progress()) -> tuple[TaskData, tuple[Suspicion, ...]]:
    """What the audit finds in the user's own table and in the folds it would get; nothing is stored.

    What was asked and inferred is written where `write_task` says. Raises UserError as `train_file` does.
    """
    write_to = spec.run.write_task
    refuse_unwritable(write_to)
    with locate_errors(spec):
        data, suspicions = _audit_table(spec, progress)
    if write_to is not None:
        write_task_file(add_inferred(spec, Inferred(data.task, data.examples().X, suspicions, data.notes)), write_to)
    return data, suspicions


def _audit_table(spec: TrainingSpec, progress: Progress) -> tuple[TaskData, tuple[Suspicion, ...]]:
    refuse_contradictions(spec)
    request = build_split_request(spec)
    progress.begin("reading and auditing …", 1, about=spec.path.name)
    data = load_task_data(spec)
    examples = data.examples()
    request = replace(request, repeats=1, test_rows=data.test_rows, classes=data.task.target.classes)
    try:
        split = audit_split(examples, plan_folds(examples, data.task.target.kind, request))
    except SplitError as error:
        # What the columns give away is of use where the rows are not yet enough to train on, or not yet split.
        data, split = replace(data, notes=(*data.notes, f"Cannot be trained on as it is: {error}")), ()
    progress.step()
    return data, (*data.suspicions, *split)


def audit_stored(
    components: Components, version_number: int | None = None, progress: Progress = Progress()
) -> tuple[LakeVersion, tuple[Finding, ...]]:
    """What is wrong in the tables of a data version, the newest where None, seen also against its parent; nothing is stored."""
    version = components.table_store.resolve_version(version_number)
    progress.begin(f"auditing data version {version.number}", 1)
    frames = {table.name: components.table_store.scan(table.name, version.number).collect() for table in CANONICAL}
    before = None
    if version.parent is not None:
        before = {table.name: components.table_store.scan(table.name, version.parent).collect() for table in CANONICAL}
    findings = audit_portfolio(frames, before)
    progress.step()
    return version, findings


def audit_feature(
    components: Components, name: str, version_number: int | None = None, progress: Progress = Progress()
) -> tuple[Suspicion, ...]:
    """What the inputs of a feature's examples give away; nothing is stored."""
    feature, version = get_feature(name), components.table_store.resolve_version(version_number)
    progress.begin(f"auditing the inputs of {name}", 1)
    task_data = feature.bind(feature.task, components.table_store.tables(version.number), DataVersion(version.id, ()))
    suspicions = audit_inputs(task_data)
    progress.step()
    return suspicions
