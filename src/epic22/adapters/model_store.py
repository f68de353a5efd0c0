"""The registry on a file system: models/<task>/<version>/ and a pointer, replaced atomically, to the champion."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epic22.adapters.attempt_fence import UNFENCED, Fence
from epic22.adapters.home import append_line, wait_for_lock, write_atomically
from epic22.adapters.model_records import (
    REGISTRY_VIEWS,
    TASK_NAME,
    VERSION_NUMBER,
    check_task_name,
    describe_absent_champion,
    describe_absent_version,
    read_evaluation,
    read_gates,
    read_held_out,
    read_provenance,
    read_version,
    write_decision,
    write_gates,
    write_held_out,
)
from epic22.adapters.promotion_log import NOT_PROMOTED, REPLACES, read_decisions
from epic22.adapters.registry_files import describe_unreadable, is_file, list_folders, may_hold, read_json, read_lines, write_json
from epic22.core.artifact.model import Model
from epic22.core.artifact.openers import open_model
from epic22.core.artifact.sealed import verify_sealed_folder
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import ModelVersion, Provenance
from epic22.core.ports import PromotionRecord
from epic22.core.serialization import to_json

POINTER = "champion.json"
VERSION = "version.json"
PROMOTIONS_LOG = "promotions.jsonl"
LOCK = ".champion.lock"
PROVENANCE = "lineage.json"
EXPLANATION = "explanation.json"
EVALUATION = "evaluation.json"
HELD_OUT = "held_out.npz"
GATES = "gates.json"
JOB = ".job"
"""Which job made a version, beside it: a kill may come between the version's place and the job's own record of it."""
INCOMING_PREFIX = ".incoming-"
ABANDONED_SECONDS = 24 * 3600
"""A folder that comes in is moved in within minutes; one of a killed process is removed after a day."""


class ModelStore:
    """A registry in a folder; several processes may save at once.

    A version is copied beside its place first and moved in with one rename, so a killed process leaves no half version. `fence`
    is around what an attempt at a job makes visible.
    """

    def __init__(self, root: Path, fence: Fence = UNFENCED) -> None:
        self.root = root
        self.fence = fence

    def folder(self, task: str, version: str) -> Path:
        """Where a version's files are."""
        return self._task_folder(task) / version

    def save(self, task: str, family: str, model_hash: str, data_version: str, status: str, folder: Path) -> ModelVersion:
        """Take a written bundle folder in as the task's next version."""
        place = self._task_folder(task)
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place)
        incoming = place / f"{INCOMING_PREFIX}{uuid.uuid4().hex}"
        try:
            shutil.copytree(folder, incoming / "bundle")
            return self._add_version(incoming, task, family, model_hash, data_version, status)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _add_version(
        self, incoming: Path, task: str, family: str, model_hash: str, data_version: str, status: str
    ) -> ModelVersion:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        number = max(self._list_numbers(task), default=0)
        while True:
            number += 1
            version = ModelVersion(task, str(number), family, model_hash, data_version, status, made_at)
            (incoming / VERSION).write_text(json.dumps(to_json(version), indent=2))
            try:
                with self.fence.hold() as work:
                    if work.origin:
                        (incoming / JOB).write_text(work.origin)
                    os.rename(incoming, self.folder(task, version.version))
                    work.add_version(task, version.version)
            except OSError:
                if not self.folder(task, version.version).exists():
                    raise
                continue
            return version

    def load(self, task: str, version: str | None = None) -> Model:
        """Open a version, the champion where None."""
        chosen = self.champion(task) if version is None else self._read_version(task, version)
        model = open_model(chosen, self.folder(task, chosen.version) / "bundle")
        if model.bundle.model_hash != chosen.model_hash:
            raise BundleError(f"{task} version {chosen.version} holds another model than was registered; train again.")
        return model

    def champion(self, task: str) -> ModelVersion:
        """The task's champion."""
        pointer = self._task_folder(task) / POINTER
        if not may_hold(self._task_folder(task), POINTER):
            raise UnknownTaskError(describe_absent_champion(task, self.list_tasks(), len(self.list_versions(task))))
        way_out = f"let a version serve by 'epic22 promote {task} VERSION', restore it, or train again"
        version = str(read_json(pointer, way_out).get("version"))
        if not VERSION_NUMBER.fullmatch(version) or not may_hold(self.folder(task, version), VERSION):
            raise BundleError(f"{pointer}: points to version {version[:20]!r}, which is not there; {way_out}.")
        return self._read_version(task, version)

    def find_champion(self, task: str) -> ModelVersion | None:
        """The task's champion; None where it has none, or the pointer to it is damaged."""
        try:
            return self.champion(task)
        except (UnknownTaskError, BundleError):
            return None

    @contextmanager
    def lock_champion(self, task: str) -> Iterator[None]:
        """Wait until no other process decides which version serves the task, which is said where it lasts."""
        folder = self._task_folder(task)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a") as lock:
            wait_for_lock(lock, f"a training or promotion of task {task}")
            yield

    def promote(self, task: str, version: str, verdicts: Sequence[Verdict], decision: PromotionDecision | None = None) -> None:
        """Make a version champion; the reasons are kept in the pointer, and every promotion in a log beside it."""
        with self.fence.hold() as work:
            at = self._log_promotion(task, version, decision)
            why = "" if decision is None else decision.why
            content = {"version": version, "because": to_json(verdicts, REGISTRY_VIEWS), "at": at, "why": why}
            write_json(self._task_folder(task) / POINTER, content)
            work.decide_version(task, version)

    def refuse(self, task: str, version: str, decision: PromotionDecision) -> None:
        """Leave the pointer as it is, and keep the refusal in the same log."""
        with self.fence.hold() as work:
            self._log_promotion(task, version, decision)
            work.decide_version(task, version)

    def _log_promotion(self, task: str, version: str, decision: PromotionDecision | None) -> str:
        """Add a line to the log of promotions; gives its moment."""
        at = datetime.now(UTC).isoformat()
        content = write_decision(decision)
        if content["status"] not in NOT_PROMOTED:
            content[REPLACES] = (self._find_pointer(task) or {}).get("at")
        line = {"version": self._read_version(task, version).version, "at": at, **content}
        append_line(self._task_folder(task) / PROMOTIONS_LOG, json.dumps(line, allow_nan=False))
        return at

    def discard(self, task: str, version: str) -> None:
        """Remove a version that was saved and not promoted."""
        folder = self.folder(task, version)
        if folder.is_dir():
            # Renamed first: nobody lists a version that is half removed.
            with self.fence.hold() as work:
                os.rename(folder, leaving := self._task_folder(task) / f"{INCOMING_PREFIX}{uuid.uuid4().hex}")
                work.remove_version(task, version)
            shutil.rmtree(leaving, ignore_errors=True)

    def match_job(self) -> None:
        """Have the record of the job whose attempt this is say what its earlier attempts left here: a kill may have come after
        they registered or decided on a version, and before that was written down with the job."""
        known = {(one.task, one.version): one.is_decided for one in self.fence.list_versions()}
        with self.fence.hold() as work:
            versions = self._list_made_by(work.origin)
            for task, version in set(known) - set(versions):
                if not known[task, version]:
                    # It was removed; its number may be another's by now.
                    work.remove_version(task, version)
            for task, version in versions:
                if (task, version) not in known:
                    work.add_version(task, version)
                if not known.get((task, version)) and self._is_decided(task, version):
                    work.decide_version(task, version)

    def _list_made_by(self, origin: str) -> list[tuple[str, str]]:
        """The versions of all tasks that a job made; none of no job."""
        markers = (path for path in self.root.glob(f"*/*/{JOB}") if VERSION_NUMBER.fullmatch(path.parent.name))
        return [(path.parent.parent.name, path.parent.name) for path in markers if origin and path.read_text() == origin]

    def _is_decided(self, task: str, version: str) -> bool:
        """Whether it was decided what becomes of a version, and that is done."""
        return any(one.version == version and not one.is_unfinished for one in self.list_decisions(task))

    def list_decisions(self, task: str) -> tuple[PromotionRecord, ...]:
        """What was decided of the task's versions, oldest first, by the lines of the log that can be read."""
        return read_decisions(read_lines(self._task_folder(task) / PROMOTIONS_LOG), self._find_pointer(task))

    def _find_pointer(self, task: str) -> dict[str, Any] | None:
        """What the pointer says; nothing of a damaged one, None where there is none."""
        pointer = self._task_folder(task) / POINTER
        try:
            return read_json(pointer) if is_file(pointer) else None
        except BundleError:
            return {}

    def save_evaluation(self, task: str, version: str, evaluation: VersionEvaluation, held_out: HeldOutPredictions) -> None:
        """Keep beside a version its score and its held-out responses, each with one rename of a whole file."""
        folder = self.folder(task, version)
        write_atomically(folder / HELD_OUT, write_held_out(held_out))
        write_json(folder / EVALUATION, to_json(evaluation, REGISTRY_VIEWS))

    def load_evaluation(self, task: str, version: str) -> VersionEvaluation | None:
        """A version's score; None where that was never written down."""
        path = self.folder(task, version) / EVALUATION
        return read_evaluation(str(path), read_json(path)) if is_file(path) else None

    def load_held_out(self, task: str, version: str) -> HeldOutPredictions | None:
        """A version's held-out responses; None where they were never written down."""
        path = self.folder(task, version) / HELD_OUT
        if not is_file(path):
            return None
        try:
            content = path.read_bytes()
        except OSError as error:
            raise describe_unreadable(path, error) from None
        return read_held_out(str(path), content)

    def save_gates(self, task: str, version: str, gates: Sequence[GateFinding]) -> None:
        """Keep beside a version what the gates said of it, with one rename of a whole file."""
        write_json(self.folder(task, version) / GATES, write_gates(gates))

    def load_gates(self, task: str, version: str) -> tuple[GateFinding, ...]:
        """What the gates said of a version; none where that was never written down."""
        path = self.folder(task, version) / GATES
        return read_gates(str(path), read_json(path)) if is_file(path) else ()

    def list_versions(self, task: str) -> tuple[ModelVersion, ...]:
        """All versions of a task that can be read, oldest first."""
        return tuple(version for version in self._read_versions(task) if isinstance(version, ModelVersion))

    def list_faults(self, task: str) -> tuple[str, ...]:
        """What is damaged of a task, a sentence each: versions that cannot be read, and the pointer to the champion."""
        faults = [str(version) for version in self._read_versions(task) if isinstance(version, BundleError)]
        for check in (self._verify_champion, self.list_decisions):
            try:
                check(task)
            except BundleError as error:
                faults.append(str(error))
        return tuple(dict.fromkeys(faults))

    def _verify_champion(self, task: str) -> None:
        """Raise BundleError where the pointer is damaged, or a file of the version that it names; the model is not opened."""
        if may_hold(self._task_folder(task), POINTER):
            version = self.champion(task).version
            verify_sealed_folder(self.folder(task, version) / "bundle")
            self.load_evaluation(task, version)
            self.load_held_out(task, version)

    def _read_versions(self, task: str) -> list[ModelVersion | BundleError]:
        """Each version of a task, oldest first, or why it cannot be read."""
        try:
            folders = list_folders(self._task_folder(task), VERSION_NUMBER)
        except BundleError as error:
            return [error]
        names = [folder.name for folder in folders if may_hold(folder, VERSION)]
        versions: list[ModelVersion | BundleError] = []
        for name in sorted(names, key=int):
            try:
                versions.append(self._read_version(task, name))
            except BundleError as error:
                versions.append(error)
        return versions

    def _list_numbers(self, task: str) -> list[int]:
        """The numbers that are taken: by a version, or by one that was removed since. None is given to two models."""
        folder = self._task_folder(task)
        names = [path.name for path in folder.iterdir()]
        log = folder / PROMOTIONS_LOG
        for line in read_lines(log):
            try:
                names.append(str(json.loads(line)["version"]))
            except (ValueError, TypeError, LookupError, RecursionError):
                # A line that a kill left half-written names no version.
                continue
        return [int(name) for name in names if VERSION_NUMBER.fullmatch(name)]

    def list_tasks(self) -> tuple[str, ...]:
        """The tasks that have a champion, by name; a folder of another kind of name is a person's own, such as a copy."""
        return tuple(folder.name for folder in list_folders(self.root, TASK_NAME) if may_hold(folder, POINTER))

    def list_all_versions(self) -> tuple[ModelVersion, ...]:
        """All versions of all tasks, those without a champion too."""
        return tuple(version for folder in list_folders(self.root, TASK_NAME) for version in self.list_versions(folder.name))

    def save_provenance(self, provenance: Provenance) -> None:
        """Keep beside a version what it was made from, with one rename of a whole file."""
        write_json(self.folder(provenance.task, provenance.version) / PROVENANCE, to_json(provenance))

    def save_explanation(self, task: str, version: str, explanation: Mapping[str, Any]) -> None:
        """Keep beside a version what it looks at, with one rename of a whole file."""
        write_json(self.folder(task, version) / EXPLANATION, explanation)

    def load_explanation(self, task: str, version: str) -> dict[str, Any] | None:
        """What a version looks at; None where that was never written down."""
        path = self.folder(task, version) / EXPLANATION
        return read_json(path) if is_file(path) else None

    def load_provenance(self, task: str, version: str) -> Provenance | None:
        """What a version was made from; None where that was never written down."""
        path = self.folder(task, version) / PROVENANCE
        return read_provenance(str(path), read_json(path)) if is_file(path) else None

    def save_files(self, task: str, version: str) -> None:
        """Nothing: what is in a version's folder is kept."""

    def _task_folder(self, task: str) -> Path:
        return self.root / check_task_name(task)

    def _describe_absence(self, task: str, version: str) -> str:
        """The message about a version that is not there, with those that are."""
        numbers = [one.name for one in list_folders(self._task_folder(task), VERSION_NUMBER) if may_hold(one, VERSION)]
        tasks = [] if numbers else [one.task for one in self.list_all_versions()]
        return describe_absent_version(task, version, numbers, tasks, self.find_champion(task))

    def _read_version(self, task: str, version: str) -> ModelVersion:
        path = self.folder(task, version) / VERSION
        if not VERSION_NUMBER.fullmatch(version) or not may_hold(path.parent, VERSION):
            raise UnknownTaskError(self._describe_absence(task, version))
        stored = read_version(str(path), read_json(path))
        if (stored.task, stored.version) != (task, version):
            raise BundleError(
                f"{path}: is version {stored.version[:20]} of task {stored.task[:80]}, copied or moved here by hand; "
                "remove the copy, or move it back."
            )
        return stored


def _remove_abandoned(place: Path) -> None:
    """Remove what processes that were killed were still copying in."""
    for folder in place.glob(f"{INCOMING_PREFIX}*"):
        # Another process may have renamed its own since the listing, which is how it becomes a version.
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
