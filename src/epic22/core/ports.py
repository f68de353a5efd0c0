"""What services need from the outside, as protocols; adapters fulfil them and bootstrap brings both together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from polars import DataFrame, LazyFrame

    from epic22.core.artifact.model import Model
    from epic22.core.data.point_in_time import Tables
    from epic22.core.evaluation.fairness import PromotionDecision
    from epic22.core.evaluation.gate_finding import GateFinding
    from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
    from epic22.core.evaluation.significance import Verdict
    from epic22.core.lineage import Dataset, ModelVersion, Node, PredictionRecord, Provenance
    from epic22.core.prediction import Prediction
    from epic22.core.run_record import RunRecord
    from epic22.core.selection.study import Study, StudyConfig
    from epic22.core.tables.canonical import CanonicalTable
    from epic22.core.tables.event_memory import EventMemory
    from epic22.core.tables.events import ArrivedEvent
    from epic22.core.tables.row_contract import CheckResult
    from epic22.core.tables.shares import StoredShares
    from epic22.core.tables.versions import IngestCounts, LakeVersion, Position, SourceFile


@dataclass(frozen=True)
class SourceKeys:
    """Keys of rows under the table's columns, batch by batch: of all that a source still has, or of those it says are deleted."""

    batches: Iterator[DataFrame]
    are_deleted: bool


class Source(Protocol):
    """Rows on the way into a canonical table, already under the table's own column names."""

    @property
    def table(self) -> CanonicalTable:
        """The table that they are for."""

    @property
    def name(self) -> str:
        """What lineage and messages call it."""

    @property
    def sha256(self) -> str | None:
        """The digest of what they are read from; None where that is a stream of which not all has been read yet."""

    @property
    def is_whole(self) -> bool:
        """Whether it gives all rows of its place, and not only those that came after a position."""

    @property
    def position(self) -> Position | None:
        """Where the next ingest goes on, known once all rows have been read; None where they are always read from the start."""

    @property
    def derived(self) -> bool:
        """Whether a `known_at` among its columns was made from an event by a mapping, and so is not the source's own word."""

    @property
    def declared_units(self) -> frozenset[str]:
        """The columns whose unit a mapping states."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of how they came, known before the first row is read."""

    def batches(self) -> Iterator[DataFrame]:
        """The rows, read anew at every call, with `#line`. Raises FileError where they cannot be read."""

    def read_keys(self) -> SourceKeys | None:
        """What tells which stored rows are gone there, asked once all rows have been read; None where nothing does."""


class LakeTransaction(Protocol):
    """The next data version in the making: rows are staged, settled against what is stored, and committed together."""

    def read_references(self, table: CanonicalTable) -> dict[str, DataFrame]:
        """The latest versions of the tables that this one refers to, stored or staged."""

    def add_source(self, name: str, table: CanonicalTable) -> int:
        """Name a source whose rows follow; gives its number."""

    def complete_source(self, number: int, sha256: str, position: Position | None) -> None:
        """Note the digest of a source whose rows have all come, and where it goes on next."""

    def stage_rows(self, table: CanonicalTable, source: int, checked: CheckResult, derived: bool) -> None:
        """Stage checked rows; `derived` where their `known_at` is not stated by the source itself."""

    def resolve_rows(self, table: CanonicalTable, as_of: datetime | None = None, snapshot: bool = False) -> IngestCounts:
        """Decide which staged rows are new. `as_of` dates changed ones where `known_at` was derived; `snapshot`: all came."""

    @property
    def parent(self) -> LakeVersion | None:
        """The version that this one follows; None for the first."""

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """What came of each source so far, and how much of it was set apart."""

    def scan_stored(self, table: str) -> LazyFrame:
        """The table's rows in the parent."""

    @property
    def shares(self) -> Mapping[str, StoredShares]:
        """In which units columns of shares came, in the parent and in what was noted since."""

    def note_shares(self, place: str, shares: StoredShares) -> None:
        """Keep with the version in which unit a column of shares (`table.column`) came."""

    def read_arrived(self, table: CanonicalTable) -> DataFrame:
        """The table's staged rows; after `resolve_rows` those that are new."""

    def reject_rows(self, table: CanonicalTable, keys: DataFrame, reason: str) -> int:
        """Take staged rows with these keys and `known_at` out and into quarantine; says how many."""

    def compute_end(self, requested_end: datetime | None) -> datetime:
        """The moment up to which the version will be complete."""

    def list_rejected_lines(self, table: CanonicalTable) -> Sequence[int]:
        """The lines of the table's rows that were set apart."""

    def read_event_memory(self) -> EventMemory:
        """The events that the parent and those before it took in."""

    def remember_events(self, events: EventMemory, horizon: timedelta) -> None:
        """Keep with the version that these events came; what came so long before the last may be forgotten."""

    def count_gone(self, table: CanonicalTable, keys: Iterator[DataFrame], are_deleted: bool) -> int:
        """How many stored keys are among these (`are_deleted`), or are not among them, in the table's own types."""

    def commit(self, who: str, end: datetime | None = None, notes: tuple[str, ...] = ()) -> LakeVersion | None:
        """Make it a version, whole or not at all; None where there is nothing new."""


class TableStore(Protocol):
    """Where the canonical tables are kept with all their versions."""

    def latest(self) -> LakeVersion | None:
        """The newest version, None before the first."""

    def version(self, number: int) -> LakeVersion:
        """The version of that number. Raises LakeError."""

    def resolve_version(self, number: int | None = None) -> LakeVersion:
        """The version of that number, the newest where None. Raises LakeError where there is none."""

    def log(self) -> tuple[LakeVersion, ...]:
        """All versions, oldest first."""

    def scan(self, table: str, version: int | None = None) -> LazyFrame:
        """The rows of a table in a version, the newest where None, in the canonical schema."""

    def quarantine(self, number: int | None = None) -> DataFrame:
        """What a version's ingest set apart: frame [table, file, line, reason, row]."""

    def tables(self, version: int | None = None) -> Tables:
        """The tables of a version for point-in-time views; money as floats."""

    def begin_transaction(self) -> AbstractContextManager[LakeTransaction]:
        """A change that becomes a version when committed. Raises LakeBusyError while another process makes one."""

    def restore(self, number: int, who: str) -> LakeVersion:
        """A new version with the content of an older one."""


@dataclass(frozen=True)
class Lag:
    """How far a consumer is behind: events that wait, at least so many where `is_bound`, and the age of the oldest in seconds."""

    events: int
    seconds: float
    is_bound: bool = False


class EventStream(Protocol):
    """Events in the order in which they came, each of which is given again until it is acknowledged."""

    @property
    def name(self) -> str:
        """What lineage and messages call it."""

    def read(self, n: int, seconds: float) -> Sequence[ArrivedEvent]:
        """The next events, at most n; none where none comes in so many seconds. Raises UnavailableError while the place where
        they wait does not answer, SourceError where it refuses."""

    @property
    def is_finished(self) -> bool:
        """Whether no event can come any more."""

    def acknowledge(self, events: Sequence[ArrivedEvent]) -> None:
        """Say that these need not be given again. Raises as `read` does; then they may be."""

    def rewind(self) -> None:
        """Begin again at the first event that was not acknowledged."""

    def measure_lag(self) -> Lag | None:
        """How much waits; None where that cannot be known. Raises as `read` does."""


class EventQueue(Protocol):
    """Where events wait that were taken in, until a consumer takes them into a version."""

    def add(self, table: str, events: Sequence[bytes]) -> int:
        """Store these events for good, all or none; says how many wait. Raises QueueFullError, UnavailableError."""


@dataclass(frozen=True)
class PromotionRecord:
    """What was decided of a version, by its status, when (ISO 8601, UTC) and why; `needs_override` where the fairness gate
    refused it, `is_unfinished` where it was to serve, and its process ended before it did."""

    version: str
    status: str
    why: str
    at: str
    needs_override: bool = False
    is_unfinished: bool = False


class Registry(Protocol):
    """Where bundles are kept, and which of them is champion."""

    def folder(self, task: str, version: str) -> Path:
        """Where a version's files are; the bundle is in `bundle/` below it."""

    def save(self, task: str, family: str, model_hash: str, data_version: str, status: str, folder: Path) -> ModelVersion:
        """Take a written bundle folder in as the task's next version, whole or not at all."""

    def load(self, task: str, version: str | None = None) -> Model:
        """Open a version, the champion where None. Raises UnknownTaskError, BundleError."""

    def champion(self, task: str) -> ModelVersion:
        """The task's champion. Raises UnknownTaskError, BundleError where the pointer to it is damaged."""

    def find_champion(self, task: str) -> ModelVersion | None:
        """The task's champion; None where it has none, or the pointer to it is damaged, which the next promotion mends."""

    def lock_champion(self, task: str) -> AbstractContextManager[None]:
        """Wait until no other process decides which version serves the task, and keep the others waiting; it ends with the
        process. Who compares with the champion, and promotes by that, does both inside."""

    def promote(self, task: str, version: str, verdicts: Sequence[Verdict], decision: PromotionDecision | None = None) -> None:
        """Make a version champion, atomically, with the verdicts kept, and what let it pass in a log."""

    def refuse(self, task: str, version: str, decision: PromotionDecision) -> None:
        """Leave the champion as it is, and keep in the log that this version was not to follow it, and who asked that it do."""

    def list_decisions(self, task: str) -> tuple[PromotionRecord, ...]:
        """What was decided of the task's versions, oldest first. Raises BundleError where that cannot be read."""

    def save_evaluation(self, task: str, version: str, evaluation: VersionEvaluation, held_out: HeldOutPredictions) -> None:
        """Keep beside a version its score and its held-out responses, whole or not at all."""

    def load_evaluation(self, task: str, version: str) -> VersionEvaluation | None:
        """A version's score; None where that was never written down. Raises BundleError where it is damaged."""

    def load_held_out(self, task: str, version: str) -> HeldOutPredictions | None:
        """A version's held-out responses; None where they were never written down. Raises BundleError where they are damaged."""

    def save_gates(self, task: str, version: str, gates: Sequence[GateFinding]) -> None:
        """Keep beside a version what the gates of promotion said of it, whole or not at all."""

    def load_gates(self, task: str, version: str) -> tuple[GateFinding, ...]:
        """What the gates said of a version; none where that was never written down. Raises BundleError where it is damaged."""

    def list_versions(self, task: str) -> tuple[ModelVersion, ...]:
        """All versions of a task that can be read, oldest first."""

    def list_faults(self, task: str) -> tuple[str, ...]:
        """What is damaged of a task, a sentence each, with the way out; none where all is well."""

    def match_job(self) -> None:
        """Have the record of the job whose attempt this is say what earlier attempts at it left here, and what was decided."""

    def discard(self, task: str, version: str) -> None:
        """Remove a version that was saved and not promoted: what follows its saving failed."""

    def list_tasks(self) -> tuple[str, ...]:
        """The tasks that have a champion, by name. Raises BundleError where nobody may look."""

    def list_all_versions(self) -> tuple[ModelVersion, ...]:
        """All versions of all tasks, those without a champion too; by task, oldest first."""

    def save_provenance(self, provenance: Provenance) -> None:
        """Keep beside a version what it was made from, whole or not at all; another record of it is replaced."""

    def load_provenance(self, task: str, version: str) -> Provenance | None:
        """What a version was made from; None where that was never written down. Raises BundleError where it is damaged."""

    def save_explanation(self, task: str, version: str, explanation: Mapping[str, Any]) -> None:
        """Keep beside a version what it looks at, as JSON, whole or not at all; not in the bundle: no answer depends on it."""

    def load_explanation(self, task: str, version: str) -> Mapping[str, Any] | None:
        """What a version looks at; None where that was never written down. Raises BundleError where it is damaged."""

    def save_files(self, task: str, version: str) -> None:
        """Keep what was written in a version's folder since it was saved: reports, pictures, the task file."""


class Tracker(Protocol):
    """Where runs are written down for people to compare."""

    def prepare(self) -> None:
        """Mend what can be mended before a training begins. Raises StorageError for what would be refused after it."""

    def log_run(self, run: RunRecord) -> str:
        """Write a finished training down with its files; gives the tracker's own run id."""

    def mark_versions(self, task: str, champion: str | None, challenger: str | None) -> None:
        """Mirror which of the registry's versions of a task serves, and which is the challenger; None where there is none."""


class LineageEmitter(Protocol):
    """Who is told what a piece of work reads and writes. No method raises: what cannot be told is logged, and work goes on."""

    def start(self, job: str, inputs: Sequence[Dataset]) -> str:
        """Say that a job begins; gives the id of this run of it."""

    def complete(self, job: str, run: str, inputs: Sequence[Dataset], outputs: Sequence[Dataset]) -> None:
        """Say that it is done."""

    def fail(self, job: str, run: str, inputs: Sequence[Dataset], error: str) -> None:
        """Say that it ended without a result, and why."""


class PredictionLog(Protocol):
    """Where answers given are noted, so that a receipt can be traced. No method raises or keeps the caller waiting long."""

    def log_predictions(self, version: ModelVersion, predictions: Sequence[Prediction], row_from: Node | None = None) -> None:
        """Note that a model gave these answers now, to rows read from there; None: a client sent them."""

    def close(self) -> None:
        """Write down what still waits."""


class ServedPredictionLog(PredictionLog, Protocol):
    """A prediction log of a server, which writes beside the answers."""

    @property
    def fault(self) -> str | None:
        """Why receipts were lost when some were last to be written, in a sentence; None where they were written."""

    @property
    def is_waiting(self) -> bool:
        """Whether receipts wait, for they could not be written when some last were to be."""


class CacheLink(Protocol):
    """A server that makes answers quicker, and that they do not depend on."""

    @property
    def fault(self) -> str | None:
        """Why it could not be reached when it was last tried, in a sentence; None where it could."""


class PredictionLogReader(Protocol):
    """The answers noted so far."""

    def find_receipts(self, prefix: str) -> tuple[PredictionRecord, ...]:
        """Every time an answer was given whose receipt begins so, oldest first."""

    def count_predictions(self) -> Mapping[tuple[str, str], int]:
        """How many answers each (task, version) gave."""


class StudyStore(Protocol):
    """Where the studies of searches are kept: one for each training part of a run, which a task and a digest name."""

    def claim(self, task: str, digest: str) -> None:
        """Claim a run's studies for this process until it ends. Raises UserError where another command works on them."""

    def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
        """The study of a training part; one that was interrupted goes on."""

    def translate_faults(self) -> AbstractContextManager[None]:
        """Raise StorageError, one sentence, for what the place refuses amid a search, also where another library says so."""

    def remove_claimed(self, task: str) -> None:
        """Remove the studies of the task's runs that this process has claimed, and those of no other. Never raises: what cannot
        be removed is logged, and stays."""

    def release(self) -> None:
        """Let go of all that this process has claimed, which stays for the next who goes on with it. Never raises."""
