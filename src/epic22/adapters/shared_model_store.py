"""The registry that several machines share: what is said of versions in a database, their files in artifacts.

A training writes its files under a key of its own first; one transaction then gives them a number, and another makes that version
champion. Nobody sees what came before either.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from epic22.adapters.artifacts import Artifacts
from epic22.adapters.attempt_fence import UNFENCED, Fence
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.locks import hold_lock, lock_in_transaction
from epic22.adapters.metadata.schema import CHAMPIONS, MODEL_DOCUMENTS, MODEL_VERSIONS, PROMOTIONS
from epic22.adapters.model_records import (
    REGISTRY_VIEWS,
    VERSION_NUMBER,
    check_task_name,
    describe_absent_champion,
    describe_absent_version,
    read_decision,
    read_evaluation,
    read_gates,
    read_held_out,
    read_provenance,
    write_decision,
    write_gates,
    write_held_out,
)
from epic22.core.artifact.model import Model
from epic22.core.artifact.openers import open_model
from epic22.core.artifact.sealed import digest_manifest, verify_sealed_folder
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import ModelVersion, Provenance
from epic22.core.ports import PromotionRecord
from epic22.core.serialization import to_json

BUNDLE, HELD_OUT = "bundle", "held_out.npz"
LINEAGE, EXPLANATION, EVALUATION, GATES = "lineage", "explanation", "evaluation", "gates"


class Notices(Protocol):
    """Notices of promotions between processes. No method raises or waits long."""

    def announce(self, task: str) -> None:
        """Say that another version of a task may serve now."""

    def listen(self, on_notice: Callable[[], None]) -> None:
        """Call this, in a thread of its own, at every notice, and whenever some may have been lost."""

    def stop(self) -> None:
        """Listen no more."""


class SharedModelStore:
    """The registry in a database and artifacts; `notices` tell other processes of promotions, where there are any, and `fence`
    is around what an attempt at a job changes."""

    def __init__(self, database: Database, artifacts: Artifacts, notices: Notices | None = None, fence: Fence = UNFENCED) -> None:
        self.database = database
        self.artifacts = artifacts
        self.notices = notices
        self.fence = fence

    def folder(self, task: str, version: str) -> Path:
        """Where a version's files are, on this machine."""
        return self.artifacts.fetch_folder(self._read_row(task, version).artifact)

    def save(self, task: str, family: str, model_hash: str, data_version: str, status: str, folder: Path) -> ModelVersion:
        """Keep a written bundle folder as the task's next version."""
        key = f"{check_task_name(task)}/{uuid.uuid4().hex}"
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self.artifacts.add_folder(key, folder, BUNDLE)
            return self._add_version(ModelVersion(task, "", family, model_hash, data_version, status, made_at), key, folder)
        except BaseException:
            self.artifacts.remove(key)
            raise

    def _add_version(self, version: ModelVersion, key: str, folder: Path) -> ModelVersion:
        """The version under the task's next number, its files kept under a key as they are in a folder."""
        with self._write(version.task) as connection:
            numbers = select(func.coalesce(func.max(MODEL_VERSIONS.c.number), 0)).where(MODEL_VERSIONS.c.task == version.task)
            number = int(connection.execute(numbers).scalar_one()) + 1
            content = {name: value for name, value in to_json(version).items() if name != "version"}
            place = {"artifact": key, "manifest": digest_manifest(folder)}
            connection.execute(insert(MODEL_VERSIONS).values(number=number, **content, **place))
            self.fence.join(connection).add_version(version.task, str(number))
        return replace(version, version=str(number))

    @contextmanager
    def _write(self, task: str) -> Iterator[Connection]:
        """A transaction that changes what is said of a task; those of one task come one after the other."""
        with self.database.write() as connection:
            lock_in_transaction(self.database, connection, f"task/{task}")
            self.fence.join(connection)
            yield connection

    def load(self, task: str, version: str | None = None) -> Model:
        """Open a version, the champion where None."""
        row = self._read_row(task, self.champion(task).version if version is None else version)
        chosen = _to_version(row)
        model = open_model(chosen, self.artifacts.fetch_sealed(row.artifact, BUNDLE, row.manifest))
        if model.bundle.model_hash != chosen.model_hash:
            raise BundleError(f"{task} version {chosen.version} holds another model than was registered; train again.")
        return model

    def champion(self, task: str) -> ModelVersion:
        """The task's champion."""
        check_task_name(task)
        with self.database.read() as connection:
            row = connection.execute(_select_versions(task).join(CHAMPIONS, _is_champion())).one_or_none()
        if row is None:
            raise UnknownTaskError(describe_absent_champion(task, self.list_tasks(), len(self.list_versions(task))))
        return _to_version(row)

    def find_champion(self, task: str) -> ModelVersion | None:
        """The task's champion; None where it has none."""
        try:
            return self.champion(task)
        except UnknownTaskError:
            return None

    @contextmanager
    def lock_champion(self, task: str) -> Iterator[None]:
        """Wait until no other process on any machine decides which version serves the task, which is said where it lasts."""
        with hold_lock(self.database, f"champion/{check_task_name(task)}", f"a training or promotion of task {task}"):
            yield

    def promote(self, task: str, version: str, verdicts: Sequence[Verdict], decision: PromotionDecision | None = None) -> None:
        """Make a version champion; the pointer and the line of the log become visible together."""
        number = int(self._read_version(task, version).version)
        why = "" if decision is None else decision.why
        because = json.dumps(to_json(verdicts, REGISTRY_VIEWS), allow_nan=False)
        with self._write(task) as connection:
            content = {"number": number, "because": because, "at": _log_promotion(connection, task, number, decision), "why": why}
            changed = connection.execute(update(CHAMPIONS).where(CHAMPIONS.c.task == task).values(**content)).rowcount
            if not changed:
                connection.execute(insert(CHAMPIONS).values(task=task, **content))
            self.fence.join(connection).decide_version(task, version)
        if self.notices is not None:
            self.notices.announce(task)

    def refuse(self, task: str, version: str, decision: PromotionDecision) -> None:
        """Leave the champion as it is, and keep the refusal in the same log."""
        number = int(self._read_version(task, version).version)
        with self._write(task) as connection:
            _log_promotion(connection, task, number, decision)
            self.fence.join(connection).decide_version(task, version)

    def discard(self, task: str, version: str) -> None:
        """Remove a version that was saved and not promoted; its number is given to no other."""
        row = self._find_row(task, version)
        if row is not None:
            where = (MODEL_VERSIONS.c.task == task) & (MODEL_VERSIONS.c.number == int(version))
            with self._write(task) as connection:
                connection.execute(update(MODEL_VERSIONS).where(where).values(discarded=True))
                self.fence.join(connection).remove_version(task, version)
            self.artifacts.remove(row.artifact)

    def match_job(self) -> None:
        """Nothing: what is said of a version and of its job is written in one transaction."""

    def list_decisions(self, task: str) -> tuple[PromotionRecord, ...]:
        """What was decided of the task's versions, oldest first."""
        query = select(PROMOTIONS.c.decision).where(PROMOTIONS.c.task == check_task_name(task)).order_by(PROMOTIONS.c.id)
        with self.database.read() as connection:
            return tuple(read_decision(json.loads(line)) for line in connection.execute(query).scalars())

    def save_evaluation(self, task: str, version: str, evaluation: VersionEvaluation, held_out: HeldOutPredictions) -> None:
        """Keep beside a version its score and its held-out responses."""
        self.artifacts.add_file(self._read_row(task, version).artifact, HELD_OUT, write_held_out(held_out))
        self._save_document(task, version, EVALUATION, to_json(evaluation, REGISTRY_VIEWS))

    def load_evaluation(self, task: str, version: str) -> VersionEvaluation | None:
        """A version's score; None where that was never written down."""
        stored = self._load_document(task, version, EVALUATION)
        return None if stored is None else read_evaluation(f"{task} version {version}", stored)

    def load_held_out(self, task: str, version: str) -> HeldOutPredictions | None:
        """A version's held-out responses; None where they were never written down."""
        path = self.folder(task, version) / HELD_OUT
        return read_held_out(str(path), path.read_bytes()) if path.is_file() else None

    def save_gates(self, task: str, version: str, gates: Sequence[GateFinding]) -> None:
        """Keep beside a version what the gates said of it."""
        self._save_document(task, version, GATES, write_gates(gates))

    def load_gates(self, task: str, version: str) -> tuple[GateFinding, ...]:
        """What the gates said of a version; none where that was never written down."""
        stored = self._load_document(task, version, GATES)
        return () if stored is None else read_gates(f"{task} version {version}", stored)

    def list_versions(self, task: str) -> tuple[ModelVersion, ...]:
        """All versions of a task, oldest first."""
        return self._list_versions(_select_versions(check_task_name(task)))

    def list_faults(self, task: str) -> tuple[str, ...]:
        """What is damaged of the champion's files, a sentence each."""
        champion = self.find_champion(task)
        if champion is None:
            return ()
        try:
            row = self._read_row(task, champion.version)
            self.artifacts.fetch_folder(row.artifact)
            verify_sealed_folder(self.artifacts.fetch_sealed(row.artifact, BUNDLE, row.manifest))
            self.load_evaluation(task, champion.version)
            self.load_held_out(task, champion.version)
        except BundleError as error:
            return (str(error),)
        return ()

    def list_tasks(self) -> tuple[str, ...]:
        """The tasks that have a champion, by name."""
        with self.database.read() as connection:
            return tuple(connection.execute(select(CHAMPIONS.c.task).order_by(CHAMPIONS.c.task)).scalars())

    def list_champions(self) -> dict[str, ModelVersion]:
        """The champion of each task that has one."""
        with self.database.read() as connection:
            rows = connection.execute(_select_versions().join(CHAMPIONS, _is_champion()))
            return {row.task: _to_version(row) for row in rows}

    def list_all_versions(self) -> tuple[ModelVersion, ...]:
        """All versions of all tasks, those without a champion too; by task, oldest first."""
        return self._list_versions(_select_versions())

    def save_provenance(self, provenance: Provenance) -> None:
        """Keep beside a version what it was made from; another record of it is replaced."""
        self._save_document(provenance.task, provenance.version, LINEAGE, to_json(provenance))

    def load_provenance(self, task: str, version: str) -> Provenance | None:
        """What a version was made from; None where that was never written down."""
        stored = self._load_document(task, version, LINEAGE)
        return None if stored is None else read_provenance(f"{task} version {version}", stored)

    def save_explanation(self, task: str, version: str, explanation: Mapping[str, Any]) -> None:
        """Keep beside a version what it looks at."""
        self._save_document(task, version, EXPLANATION, explanation)

    def load_explanation(self, task: str, version: str) -> Mapping[str, Any] | None:
        """What a version looks at; None where that was never written down."""
        return self._load_document(task, version, EXPLANATION)

    def save_files(self, task: str, version: str) -> None:
        """Keep what was written in a version's folder since."""
        self.artifacts.save_changes(self._read_row(task, version).artifact)

    def _save_document(self, task: str, version: str, name: str, content: Mapping[str, Any]) -> None:
        number, text = int(self._read_version(task, version).version), json.dumps(content, allow_nan=False)
        table = MODEL_DOCUMENTS.c
        where = (table.task == task) & (table.number == number) & (table.name == name)
        with self._write(task) as connection:
            if not connection.execute(update(MODEL_DOCUMENTS).where(where).values(content=text)).rowcount:
                connection.execute(insert(MODEL_DOCUMENTS).values(task=task, number=number, name=name, content=text))

    def _load_document(self, task: str, version: str, name: str) -> dict[str, Any] | None:
        if not VERSION_NUMBER.fullmatch(version):
            return None
        table = MODEL_DOCUMENTS.c
        where = (table.task == check_task_name(task)) & (table.number == int(version)) & (table.name == name)
        with self.database.read() as connection:
            text = connection.execute(select(table.content).where(where)).scalar_one_or_none()
        return None if text is None else dict(json.loads(text))

    def _list_versions(self, query: "Select[Any]") -> tuple[ModelVersion, ...]:
        with self.database.read() as connection:
            return tuple(map(_to_version, connection.execute(query.order_by(MODEL_VERSIONS.c.task, MODEL_VERSIONS.c.number))))

    def _read_version(self, task: str, version: str) -> ModelVersion:
        return _to_version(self._read_row(task, version))

    def _read_row(self, task: str, version: str) -> "Row[Any]":
        row = self._find_row(task, version)
        if row is None:
            numbers = [one.version for one in self.list_versions(task)]
            tasks = [] if numbers else [one.task for one in self.list_all_versions()]
            raise UnknownTaskError(describe_absent_version(task, version, numbers, tasks, self.find_champion(task)))
        return row

    def _find_row(self, task: str, version: str) -> "Row[Any] | None":
        check_task_name(task)
        if not VERSION_NUMBER.fullmatch(version):
            return None
        with self.database.read() as connection:
            return connection.execute(_select_versions(task).where(MODEL_VERSIONS.c.number == int(version))).one_or_none()


def _select_versions(task: str | None = None) -> "Select[Any]":
    """The versions of a task, of all where None, that were not discarded."""
    versions = select(MODEL_VERSIONS).where(~MODEL_VERSIONS.c.discarded)
    return versions if task is None else versions.where(MODEL_VERSIONS.c.task == task)


def _is_champion() -> Any:
    return (CHAMPIONS.c.task == MODEL_VERSIONS.c.task) & (CHAMPIONS.c.number == MODEL_VERSIONS.c.number)


def _to_version(row: "Row[Any]") -> ModelVersion:
    return ModelVersion(row.task, str(row.number), row.family, row.model_hash, row.data_version, row.status, row.made_at)


def _log_promotion(connection: Connection, task: str, number: int, decision: PromotionDecision | None) -> str:
    """Add a line to the log of promotions; gives its moment."""
    at = datetime.now(UTC).isoformat()
    line = json.dumps({"version": str(number), "at": at, **write_decision(decision)}, allow_nan=False)
    connection.execute(insert(PROMOTIONS).values(task=task, number=number, at=at, decision=line))
    return at
