"""All that a registry keeps of a task, read from one registry and written into another: what `epic22 store copy` moves."""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from epic22.adapters.home import write_atomically
from epic22.adapters.metadata.schema import CHAMPIONS, MODEL_DOCUMENTS, MODEL_VERSIONS, PROMOTIONS
from epic22.adapters.model_store import (
    EVALUATION,
    EXPLANATION,
    GATES,
    INCOMING_PREFIX,
    POINTER,
    PROMOTIONS_LOG,
    PROVENANCE,
    VERSION,
    ModelStore,
)
from epic22.adapters.registry_files import is_file, read_json, read_lines, write_json
from epic22.adapters.shared_model_store import BUNDLE, SharedModelStore
from epic22.core.artifact.sealed import digest_manifest
from epic22.core.errors import StorageError
from epic22.core.lineage import ModelVersion
from epic22.core.serialization import to_json

DOCUMENTS = {"lineage": PROVENANCE, "explanation": EXPLANATION, "evaluation": EVALUATION, "gates": GATES}
"""The documents of a version, and the files that they are in a folder."""
NOT_FILES = (VERSION, *DOCUMENTS.values(), ".*")


@dataclass(frozen=True)
class VersionContent:
    """A version, its documents by name as JSON, and the folder of its other files."""

    version: ModelVersion
    documents: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class TaskContent:
    """A task's versions, oldest first, the lines of its log of promotions, and what its pointer says; None without a champion."""

    task: str
    versions: tuple[VersionContent, ...]
    decisions: tuple[Mapping[str, Any], ...]
    champion: Mapping[str, Any] | None

    def is_same(self, other: "TaskContent") -> bool:
        """Whether another has the same versions, documents, decisions and champion; files are told by the models' hashes."""
        return _strip_folders(self) == _strip_folders(other)


def _strip_folders(content: TaskContent) -> tuple[object, ...]:
    versions = tuple((one.version, dict(one.documents)) for one in content.versions)
    return versions, content.decisions, None if content.champion is None else dict(content.champion)


def read_folder_task(store: ModelStore, task: str) -> TaskContent:
    """A task of a registry in a folder. Raises BundleError where something of it cannot be read."""
    place = store.root / task
    versions = []
    for version in store.list_versions(task):
        folder = store.folder(task, version.version)
        documents = {name: read_json(folder / file) for name, file in DOCUMENTS.items() if is_file(folder / file)}
        versions.append(VersionContent(version, documents, folder))
    champion = read_json(place / POINTER) if is_file(place / POINTER) else None
    return TaskContent(task, tuple(versions), tuple(_read_log(place)), champion)


def _read_log(place: Path) -> list[Mapping[str, Any]]:
    lines: list[Mapping[str, Any]] = []
    for line in read_lines(place / PROMOTIONS_LOG):
        try:
            lines.append(dict(json.loads(line)))
        except (ValueError, TypeError, RecursionError):
            # A line that a kill left half-written decided nothing.
            continue
    return lines


def write_folder_task(store: ModelStore, content: TaskContent) -> None:
    """Write a task that a registry in a folder does not have; the pointer comes last."""
    place = store.root / content.task
    place.mkdir(parents=True, exist_ok=True)
    for one in content.versions:
        incoming = place / f"{INCOMING_PREFIX}{uuid.uuid4().hex}"
        try:
            shutil.copytree(one.folder, incoming, ignore=shutil.ignore_patterns(*NOT_FILES))
            for name, document in one.documents.items():
                write_json(incoming / DOCUMENTS[name], document)
            write_json(incoming / VERSION, to_json(one.version))
            shutil.rmtree(store.folder(content.task, one.version.version), ignore_errors=True)
            incoming.rename(store.folder(content.task, one.version.version))
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in content.decisions)
    write_atomically(place / PROMOTIONS_LOG, lines.encode())
    if content.champion is not None:
        write_json(place / POINTER, content.champion)


def read_shared_task(store: SharedModelStore, task: str) -> TaskContent:
    """A task of a shared registry."""
    documents, decisions, champion = select(MODEL_DOCUMENTS), select(PROMOTIONS.c.decision), select(CHAMPIONS)
    with store.database.read() as connection:
        rows = connection.execute(documents.where(MODEL_DOCUMENTS.c.task == task)).all()
        log = connection.execute(decisions.where(PROMOTIONS.c.task == task).order_by(PROMOTIONS.c.id)).scalars().all()
        pointer = connection.execute(champion.where(CHAMPIONS.c.task == task)).one_or_none()
    by_number: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_number.setdefault(str(row.number), {})[row.name] = json.loads(row.content)
    versions = tuple(
        VersionContent(one, by_number.get(one.version, {}), store.folder(task, one.version)) for one in store.list_versions(task)
    )
    content = None
    if pointer is not None:
        because = json.loads(pointer.because)
        content = {"version": str(pointer.number), "because": because, "at": pointer.at, "why": pointer.why}
    return TaskContent(task, versions, tuple(json.loads(line) for line in log), content)


def write_shared_task(store: SharedModelStore, content: TaskContent) -> None:
    """Write a task that a shared registry does not have: files first, then all rows in one transaction."""
    keys = {one.version.version: f"{content.task}/{uuid.uuid4().hex}" for one in content.versions}
    try:
        for one in content.versions:
            store.artifacts.add_folder(keys[one.version.version], one.folder, ignore=NOT_FILES)
        _insert_task(store, content, keys)
    except BaseException:
        for key in keys.values():
            store.artifacts.remove(key)
        raise


def _insert_task(store: SharedModelStore, content: TaskContent, keys: Mapping[str, str]) -> None:
    task = content.task
    versions = [
        {name: value for name, value in to_json(one.version).items() if name != "version"}
        | {"number": int(one.version.version), "artifact": keys[one.version.version], "discarded": False}
        | {"manifest": digest_manifest(one.folder / BUNDLE)}
        for one in content.versions
    ]
    removed = {str(line["version"]) for line in content.decisions} - set(keys)
    versions += [_describe_removed(task, int(number)) for number in sorted(removed, key=int)]
    documents = [
        {"task": task, "number": int(one.version.version), "name": name, "content": json.dumps(document, allow_nan=False)}
        for one in content.versions
        for name, document in one.documents.items()
    ]
    decisions = [
        {"task": task, "number": int(line["version"]), "at": str(line["at"]), "decision": json.dumps(line, allow_nan=False)}
        for line in content.decisions
    ]
    with store.database.write() as connection:
        for table, rows in ((MODEL_VERSIONS, versions), (MODEL_DOCUMENTS, documents), (PROMOTIONS, decisions)):
            if rows:
                connection.execute(insert(table), rows)
        if content.champion is not None:
            pointer = {name: str(content.champion.get(name) or "") for name in ("at", "why")}
            because = json.dumps(content.champion.get("because", []), allow_nan=False)
            number = int(content.champion["version"])
            connection.execute(insert(CHAMPIONS).values(task=task, number=number, because=because, **pointer))


def _describe_removed(task: str, number: int) -> dict[str, Any]:
    """The row of a version that is gone, and whose number is given to no other."""
    texts = dict.fromkeys(("family", "model_hash", "data_version", "status", "made_at", "artifact"), "")
    return {"task": task, "number": number, "discarded": True, "manifest": None, **texts}


def refuse_other_content(task: str, existing: TaskContent, content: TaskContent) -> None:
    """Raise StorageError where a task is there already with other content."""
    if not existing.is_same(content):
        raise StorageError(
            f"task {task} is there already with other versions or decisions; nothing was changed. Copy into a store without it."
        )
