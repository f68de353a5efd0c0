"""Where a training of a network is, in a file, so that one that was killed goes on and ends with the same bytes.

A file is named by a hash of the whole job: what is built and how, the bytes of all rows, threads, device, code and libraries.
So one of another job is never read. It is written aside and renamed: tensors as safetensors, all else as JSON in its header; no
pickle.
"""

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from epic22.core.environment import compute_environment_digest
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob

LOG = logging.getLogger(__name__)
SUFFIX = ".safetensors"
FORMAT = 2
MAX_RESULT_BYTES = 2 * 10**9
"""What ended trainings may take together before none is kept any more."""


@dataclass(frozen=True)
class Pace:
    """Seconds of training before the first checkpoint, between two at the ends of epochs, and between two inside one; they are
    more where writing would take more than a share of the time, as on a slow disk."""

    first: float = 5.0
    between_epochs: float = 5.0
    inside_epoch: float = 30.0
    writing_share: float = 0.02


@dataclass(frozen=True)
class CheckpointFolder:
    """Where checkpoints lie, how often they are written, and which were `used` by trainings since it was opened."""

    path: Path
    pace: Pace = Pace()
    used: set[Path] = field(default_factory=set, compare=False)


_FOLDER: ContextVar[CheckpointFolder | None] = ContextVar("folder of checkpoints", default=None)


@contextmanager
def keep_checkpoints(path: Path, pace: Pace = Pace()) -> Iterator[CheckpointFolder]:
    """Have trainings of networks within keep checkpoints in a folder, which the first of them makes; elsewhere none keeps any.

    A training that ended is kept too, so that of several those that are whole are not done again. Where all that lies within ends
    well, their files are removed; where it does not, they stay for the next who does the same.
    """
    with use_checkpoint_folder(CheckpointFolder(path, pace)) as folder:
        yield folder
    for file in folder.used:
        with suppress(OSError):  # what cannot be removed now goes by age
            file.unlink(missing_ok=True)


@contextmanager
def use_checkpoint_folder(folder: CheckpointFolder | None) -> Iterator[Any]:
    """Have trainings keep checkpoints in a folder that another opened."""
    token = _FOLDER.set(folder)
    try:
        yield folder
    finally:
        _FOLDER.reset(token)


def get_checkpoint_folder() -> CheckpointFolder | None:
    """Where trainings keep checkpoints now."""
    return _FOLDER.get()


@dataclass(frozen=True)
class SavedTraining:
    """What a checkpoint holds: tensors by name, and facts of JSON's types."""

    tensors: Mapping[str, Any]
    facts: Mapping[str, Any]


class Checkpoint:
    """The file of one training; without a folder it is never there, and never due. `digest` names the job, when it is needed."""

    def __init__(self, folder: CheckpointFolder | None = None, digest: Callable[[], str] = lambda: "") -> None:
        self._folder, self._compute_digest = folder, digest
        self._began = self._written = time.monotonic()
        self._writing_seconds, self._is_first = 0.0, True

    @cached_property
    def digest(self) -> str:
        """The hash of the job."""
        return self._compute_digest()

    def read(self) -> SavedTraining | None:
        """What was kept of this job by a process before; a file that is damaged or of another job is logged and left alone."""
        folder = self._folder
        # An empty folder is the rule: no bytes are hashed for it.
        if folder is None or not any(folder.path.glob(f"*{SUFFIX}")):
            return None
        path = folder.path / (self.digest + SUFFIX)
        if path in folder.used or not path.exists():
            return None
        saved = _read_file(path, self.digest)
        if saved is not None:
            folder.used.add(path)
        return saved

    def is_due(self, is_epoch_over: bool) -> bool:
        """Whether the time has come to write, at the end of an epoch or inside one."""
        if self._folder is None:
            return False
        pace, now = self._folder.pace, time.monotonic()
        pause = pace.between_epochs if is_epoch_over else pace.inside_epoch
        if self._is_first:
            pause = max(pause, pace.first)
        return now - self._written >= max(pause, self._writing_seconds / pace.writing_share)

    def write(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write where the training is; a disk that refuses is logged, and the training goes on without."""
        if self._folder is None:
            return
        began, path = time.monotonic(), self._folder.path / (self.digest + SUFFIX)
        try:
            _write_file(path, serialise_training(tensors, facts, self.digest))
            self._folder.used.add(path)
        except OSError as error:
            LOG.warning("no more checkpoints of this training: %s", error)
            self._folder = None
        self._is_first, self._written = False, time.monotonic()
        self._writing_seconds = self._written - began

    def finish(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Keep what a training that ended came to, where it took long enough and there is room for it."""
        folder = self._folder
        if folder is None or (self._is_first and time.monotonic() - self._began < folder.pace.first):
            return
        path = folder.path / (self.digest + SUFFIX)
        others = sum(other.stat().st_size for other in folder.used if other != path and other.exists())
        if others > MAX_RESULT_BYTES:
            path.unlink(missing_ok=True)
        else:
            self.write(tensors, facts)


def find_checkpoint(job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None) -> Checkpoint:
    """The checkpoint of a job on these rows, in the folder that is used now."""
    return Checkpoint(get_checkpoint_folder(), lambda: compute_job_digest(job, rows, validation))


def compute_job_digest(job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None) -> str:
    """The hash of all that decides a training: job, rows' bytes, code and libraries, and what the processor computes with."""
    import torch

    environment = compute_environment_digest()
    machine = repr((FORMAT, torch.backends.cpu.get_cpu_capability())).encode()
    return sha256(repr(job).encode(), environment, machine, *_list_bytes(rows), b"validation", *_list_bytes(validation))


def _list_bytes(rows: NetworkRows | None) -> Iterator[bytes | memoryview]:
    """Every array of the rows, each behind its name, type and shape."""
    for one in () if rows is None else fields(rows):
        value = getattr(rows, one.name)
        if isinstance(value, np.ndarray):
            yield repr((one.name, value.dtype.str, value.shape)).encode()
            yield np.ascontiguousarray(value).data.cast("B") if value.size else b""
        else:
            yield repr((one.name, value)).encode()


def serialise_training(tensors: Mapping[str, Any], facts: Mapping[str, Any], digest: str) -> bytes:
    """A checkpoint's bytes; a hash of the tensors is among the facts."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"job": digest, "content": _hash_tensors(plain), "facts": facts}
    return bytes(save(plain, {"training": canonical_json(header).decode()}))


def _read_file(path: Path, digest: str) -> SavedTraining | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if header["job"] != digest:
            raise ValueError("it is of another training")
        if header["content"] != _hash_tensors(tensors):
            raise ValueError("its content is not what was written")
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        LOG.warning("checkpoint %s is not used, the training begins anew: %s", path.name, error)
        return None
    return SavedTraining(tensors, header["facts"])


def _hash_tensors(tensors: Mapping[str, Any]) -> str:
    parts = [(name.encode(), tensors[name].reshape(-1).numpy().tobytes()) for name in sorted(tensors)]
    return sha256(*(part for pair in parts for part in pair))


def _write_file(path: Path, content: bytes) -> None:
    """Write aside, have the disk keep it, and rename: a kill leaves the file of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}-{uuid.uuid4().hex}")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
