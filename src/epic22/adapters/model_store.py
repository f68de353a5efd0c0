"""The registry on a file system: models/<task>/<version>/ and a pointer, replaced atomically, to the champion."""

import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epic22.core.bundle import Bundle, open_bundle
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.compare import Verdict
from epic22.core.evaluation.fairness import FairnessVerdict, PromotionDecision
from epic22.core.lineage import ModelVersion, Provenance
from epic22.core.panel_bundle import KIND as PANEL
from epic22.core.panel_bundle import PanelBundle, open_panel_bundle
from epic22.core.sealed import kind_of, read_manifest

TASK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
POINTER = "champion.json"
PROMOTIONS = "promotions.jsonl"
PROVENANCE = "lineage.json"
EXPLANATION = "explanation.json"
INCOMING = ".incoming-"


class ModelStore:
    """A registry in a folder; several processes may save at once.

    A version is copied beside its place first and moved in with one rename, so a killed process leaves no half version.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, task: str, version: str) -> Path:
        """Where a version's files are."""
        return self._task(task) / version

    def save(self, task: str, family: str, model_hash: str, data_version: str, status: str, folder: Path) -> ModelVersion:
        """Take a written bundle folder in as the task's next version."""
        place = self._task(task)
        place.mkdir(parents=True, exist_ok=True)
        incoming = place / f"{INCOMING}{uuid.uuid4().hex}"
        try:
            shutil.copytree(folder, incoming / "bundle")
            return self._move_in(incoming, task, family, model_hash, data_version, status)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _move_in(self, incoming: Path, task: str, family: str, model_hash: str, data_version: str, status: str) -> ModelVersion:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        number = max((int(v.version) for v in self.history(task)), default=0)
        while True:
            number += 1
            version = ModelVersion(task, str(number), family, model_hash, data_version, status, made_at)
            (incoming / "version.json").write_text(json.dumps(asdict(version), indent=2))
            try:
                os.rename(incoming, self.folder(task, version.version))
            except OSError:
                if not self.folder(task, version.version).exists():
                    raise
                continue
            return version

    def load(self, task: str, version: str | None = None) -> tuple[ModelVersion, Bundle | PanelBundle]:
        """Open a version, the champion where None."""
        chosen = self.champion(task) if version is None else self._version(task, version)
        folder = self.folder(task, chosen.version) / "bundle"
        is_panel = kind_of(read_manifest(folder)) == PANEL
        bundle: Bundle | PanelBundle = open_panel_bundle(folder) if is_panel else open_bundle(folder)
        if bundle.model_hash != chosen.model_hash:
            raise BundleError(f"{task} version {chosen.version} holds another model than was registered; train again.")
        return chosen, bundle

    def champion(self, task: str) -> ModelVersion:
        """The task's champion."""
        pointer = self._task(task) / POINTER
        if not pointer.is_file():
            known = ", ".join(self.tasks()) or "none yet"
            raise UnknownTaskError(f"no champion for task {task!r}; tasks with one: {known}. Train it with 'epic22 train'.")
        version = _read(pointer).get("version")
        if not (self.folder(task, str(version)) / "version.json").is_file():
            raise BundleError(f"{pointer}: points to version {version!r}, which is not there; promote another or train again.")
        return self._version(task, str(version))

    def promote(self, task: str, version: str, because: Sequence[Verdict], decision: PromotionDecision | None = None) -> None:
        """Make a version champion; the reasons are kept in the pointer, and every promotion in a log beside it."""
        at = self._log(task, version, decision)
        why = "" if decision is None else decision.why
        content = {"version": version, "because": [asdict(v) for v in because], "at": at, "why": why}
        fresh = self._task(task) / f".{POINTER}-{uuid.uuid4().hex}"
        fresh.write_text(json.dumps(content, indent=2))
        os.replace(fresh, self._task(task) / POINTER)

    def refuse(self, task: str, version: str, decision: PromotionDecision) -> None:
        """Leave the pointer as it is, and keep the refusal in the same log."""
        self._log(task, version, decision)

    def _log(self, task: str, version: str, decision: PromotionDecision | None) -> str:
        """Add a line to the log of promotions; gives its moment."""
        at = datetime.now(UTC).isoformat()
        line = {"version": self._version(task, version).version, "at": at, **_decided(decision)}
        with (self._task(task) / PROMOTIONS).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, allow_nan=False) + "\n")
        return at

    def history(self, task: str) -> tuple[ModelVersion, ...]:
        """All versions of a task, oldest first."""
        found = [path.parent.name for path in self._task(task).glob("*/version.json") if path.parent.name.isdigit()]
        return tuple(self._version(task, name) for name in sorted(found, key=int))

    def tasks(self) -> tuple[str, ...]:
        """The tasks that have a champion, by name."""
        return tuple(sorted(path.parent.name for path in self.root.glob(f"*/{POINTER}")))

    def everything(self) -> tuple[ModelVersion, ...]:
        """All versions of all tasks, those without a champion too."""
        names = sorted(path.name for path in self.root.glob("*") if path.is_dir() and TASK_NAME.fullmatch(path.name))
        return tuple(version for name in names for version in self.history(name))

    def keep_provenance(self, provenance: Provenance) -> None:
        """Keep beside a version what it was made from, with one rename of a whole file."""
        self._keep(provenance.task, provenance.version, PROVENANCE, asdict(provenance))

    def keep_explanation(self, task: str, version: str, explanation: Mapping[str, Any]) -> None:
        """Keep beside a version what it looks at, with one rename of a whole file."""
        self._keep(task, version, EXPLANATION, explanation)

    def explanation(self, task: str, version: str) -> dict[str, Any] | None:
        """What a version looks at; None where that was never written down."""
        path = self.folder(task, version) / EXPLANATION
        return _read(path) if path.is_file() else None

    def _keep(self, task: str, version: str, name: str, content: Mapping[str, Any]) -> None:
        folder = self.folder(task, version)
        fresh = folder / f".{name}-{uuid.uuid4().hex}"
        fresh.write_text(json.dumps(content, indent=2, allow_nan=False), encoding="utf-8")
        os.replace(fresh, folder / name)

    def provenance(self, task: str, version: str) -> Provenance | None:
        """What a version was made from; None where that was never written down."""
        path = self.folder(task, version) / PROVENANCE
        if not path.is_file():
            return None
        try:
            stored = _read(path)
            return Provenance(**stored | {"sources": tuple((str(name), str(digest)) for name, digest in stored["sources"])})
        except (TypeError, KeyError, ValueError):
            raise BundleError(f"{path}: does not describe where a model comes from; restore it or train again.") from None

    def _task(self, task: str) -> Path:
        if not TASK_NAME.fullmatch(task):
            raise UnknownTaskError(f"{task[:80]!r} is not a task name; use up to 64 small letters, digits, '-' and '_'.")
        return self.root / task

    def _version(self, task: str, version: str) -> ModelVersion:
        path = self.folder(task, version) / "version.json"
        if not version.isdigit() or not path.is_file():
            raise UnknownTaskError(f"task {task!r} has no version {version[:20]!r}.")
        try:
            return ModelVersion(**_read(path))
        except TypeError:
            raise BundleError(f"{path}: does not describe a model version; restore it or train again.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        raise BundleError(f"{path}: not readable as JSON; restore it or train again.") from None


def _decided(decision: PromotionDecision | None) -> dict[str, Any]:
    """What a line of the log says of a decision; a key by its id, never the key."""
    if decision is None:
        return {"status": "promoted", "why": "", "fairness": None, "override": None}
    return {
        "status": decision.status,
        "why": decision.why,
        "fairness": None if decision.fairness is None else _fairness(decision.fairness),
        "override": None if decision.override is None else asdict(decision.override),
    }


def _fairness(verdict: FairnessVerdict) -> dict[str, Any]:
    worst = verdict.worst.worst
    found = {"status": verdict.status, "class": verdict.worst.column, "against": verdict.worst.reference}
    if worst is None:
        return found | {"group": None, "ratio": None, "low": None, "high": None}
    return found | {"group": worst.group} | {name: _number(getattr(worst, name)) for name in ("ratio", "low", "high")}


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
