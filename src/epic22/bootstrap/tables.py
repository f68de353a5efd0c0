"""Tables taken in, and what is wrong in them or in a table of one's own."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from epic22.adapters.mapped_files import canonical_files, mapped_files
from epic22.bootstrap.parts import Parts, user
from epic22.core.data.assignment import Assignment
from epic22.core.data.canonical import CANONICAL
from epic22.core.data.health import Finding
from epic22.core.data.leakage import Suspicion
from epic22.core.data.split import SplitRequest, plan_folds
from epic22.core.data.versions import LakeVersion
from epic22.core.errors import FileError
from epic22.core.lineage import DataVersion
from epic22.features.catalog import feature_named
from epic22.features.flat_file import FlatFile, declare
from epic22.features.task_file import TaskFile
from epic22.features.task_words import Inferred, described
from epic22.services.audit import audit_examples, audit_portfolio
from epic22.services.course import audit_split
from epic22.services.events import source_datasets, table_datasets, told
from epic22.services.ingest import Ingested, ingest
from epic22.services.watch import Watch


def ingest_folder(
    parts: Parts,
    folder: Path,
    as_of: datetime | None = None,
    source: str | None = None,
    mapping: Path | None = None,
    watch: Watch = Watch(),
) -> Ingested:
    """Take a folder of tables in as the next data version, through a mapping file where the source is foreign.

    Raises FileError where the folder holds no table.
    """
    if not folder.is_dir():
        raise FileError(f"{folder} is no folder; name one with files such as leases.csv in it.")
    incoming = canonical_files(folder, source) if mapping is None else mapped_files(folder, mapping, source)
    if not incoming:
        names = ", ".join(table.name for table in CANONICAL)
        raise FileError(f"{folder}: no file named after a table; expected e.g. leases.csv or leases.parquet, of: {names}.")
    inputs = source_datasets([(one.name, one.sha256) for one in incoming])
    with told(parts.lineage, "ingest", inputs) as work:
        done = ingest(incoming, parts.versions, user(), datetime.now(UTC).replace(tzinfo=None), as_of, watch.begin)
        work.outputs += table_datasets(done.version) if done.version else ()
    return done


def task_of_audit(asked: TaskFile, assignment: Assignment, found: tuple[Suspicion, ...]) -> TaskFile:
    """What was asked, with what the audit inferred."""
    return described(asked, Inferred(assignment.task, assignment.examples().X, found, assignment.notes))


def audit_file(
    file: FlatFile, watch: Watch = Watch(), split: SplitRequest | None = None
) -> tuple[Assignment, tuple[Suspicion, ...]]:
    """What the audit finds in the user's own table and in the folds it would get; nothing is stored."""
    watch.begin(f"reading and auditing {file.path.name}", 1)
    assignment = declare(file)
    examples = assignment.examples()
    asked = replace(split or SplitRequest(horizon=file.horizon), repeats=1, test_rows=assignment.test_rows)
    plan = plan_folds(examples, assignment.task.target.kind, asked)
    watch.step()
    return assignment, (*assignment.suspicions, *audit_split(examples, plan))


def audit_stored(parts: Parts, data: int | None = None, watch: Watch = Watch()) -> tuple[LakeVersion, tuple[Finding, ...]]:
    """What is wrong in the tables of a data version, the newest where None, seen also against its parent; nothing is stored."""
    version = parts.versions.chosen(data)
    watch.begin(f"auditing data version {version.number}", 1)
    frames = {table.name: parts.versions.scan(table.name, version.number).collect() for table in CANONICAL}
    before = None
    if version.parent is not None:
        before = {table.name: parts.versions.scan(table.name, version.parent).collect() for table in CANONICAL}
    found = audit_portfolio(frames, before)
    watch.step()
    return version, found


def audit_feature(parts: Parts, name: str, data: int | None = None, watch: Watch = Watch()) -> tuple[Suspicion, ...]:
    """What the inputs of a feature's examples give away; nothing is stored."""
    feature, version = feature_named(name), parts.versions.chosen(data)
    watch.begin(f"auditing the inputs of {name}", 1)
    assigned = feature.assign(feature.task, parts.versions.tables(version.number), DataVersion(version.id, ()))
    found = audit_examples(assigned.task, assigned.examples()) if isinstance(assigned, Assignment) else ()
    watch.step()
    return found
