"""A process in which one family is fitted, fold by fold, so that what the fits take is that family's alone.

`python -m epic22.adapters.fit_process` is such a process, a fresh interpreter: nothing is forked, nothing pickled. It reads one
fit a line, as JSON on standard input with the arrays in a folder, and ends when that is closed, or its parent is gone.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from epic22.adapters.scratch import scratch_folder
from epic22.core.data.folds import Fold
from epic22.core.errors import InternalError, UserError
from epic22.core.models.base import BaseEstimator
from epic22.core.models.catalog import get_family
from epic22.core.models.fit_request import FitMeasurement, FitRequest
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.progress import EpochFinished, Progress, ProgressEvent, follow_inner_work, get_inner_progress

ARRAYS_FILE, MODEL_FILE = "fit.npz", "model.npz"
INNER_ARRAYS = ("train", "test", "follow_up_days")
SECONDS_BETWEEN_LOOKS = 0.5
ORPHAN_EXIT_CODE = 3
"""Exit code of a process whose parent has ended."""


@dataclass(frozen=True)
class FitOrder:
    """What a fit is, beside its arrays in `folder`: plain values, for a line of JSON."""

    family: str
    problem: LearningProblem
    seed: int
    threads: int
    folder: Path


@dataclass(frozen=True)
class FitReply:
    """What a fit took: wall-clock and processor seconds, and the process's peak of resident memory since its start, in bytes,
    with what its rows hold of it. `error` is the message of a UserError, with which the fit ended."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_bytes: int = 0
    row_bytes: int = 0
    error: str | None = None


@dataclass(frozen=True)
class FitMessage:
    """A line from the process: an epoch of the fit under way, or the reply that ends it."""

    epoch: EpochFinished | None = None
    reply: FitReply | None = None

    def to_json(self) -> bytes:
        """The line without its end; a loss that is no number stays so."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, line: bytes) -> "FitMessage":
        """The message of a line."""
        return TypeAdapter(cls).validate_json(line)


class FitProcess:
    """A process that fits the estimators of one family; `measurement` says what they took."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.replies = folder, list[FitReply]()
        with (folder / "fit.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "epic22.adapters.fit_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self.idle_bytes = int(self._read_line())

    def fit(self, request: FitRequest) -> BaseEstimator:
        """The estimator of a request, which must state no arguments of its own, restored from the bytes that would be stored.

        Raises UserError as the fit does, such as for a library that is absent, InternalError where the process ends on the way.
        """
        write_arrays(request, self.folder / ARRAYS_FILE)
        order = FitOrder(request.family.name, request.problem, request.seed, request.threads, self.folder)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(TypeAdapter(FitOrder).dump_json(order) + b"\n")
            self._process.stdin.flush()
        reply = self._read_reply()
        if reply.error is not None:
            raise UserError(reply.error)
        self.replies.append(reply)
        return request.family.restore(read_model(self.folder / MODEL_FILE))

    @property
    def measurement(self) -> FitMeasurement:
        """What all fits took; memory above what the process held before the first, less the rows that it was handed."""
        peak = max(reply.peak_bytes for reply in self.replies)
        rows = max(reply.row_bytes for reply in self.replies)
        return FitMeasurement(
            tuple(reply.seconds for reply in self.replies),
            sum(reply.processor_seconds for reply in self.replies),
            max(0, peak - self.idle_bytes - rows),
        )

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_reply(self) -> FitReply:
        """The reply to the fit under way; until it comes, epochs are told as if they were of this process."""
        while True:
            message = FitMessage.from_json(self._read_line())
            if message.reply is not None:
                return message.reply
            if message.epoch is not None:
                get_inner_progress().emit(message.epoch)

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            last_line = (self.folder / "fit.log").read_text(errors="replace").strip().rpartition("\n")[2]
            why = f"it was stopped by signal {-code}; was there too little memory?" if code < 0 else last_line[:500]
            raise InternalError(f"the process that fits a family ended with {code}: {why}")
        return line


@contextmanager
def open_fit_process(scratch: Path) -> Iterator[FitProcess]:
    """A process for the fits of one family, its files in a folder below `scratch`; both are gone afterwards."""
    with scratch_folder(scratch) as folder:
        process = FitProcess(folder)
        try:
            yield process
        finally:
            process.close()


def write_arrays(request: FitRequest, path: Path) -> None:
    """Write the rows of a request and its inner fold."""
    inner = {name: value for name in INNER_ARRAYS if (value := getattr(request.inner, name, None)) is not None}
    arrays: dict[str, Any] = {"X": request.X, "y": request.y, **inner}
    np.savez(path, allow_pickle=False, **arrays)


def read_request(order: FitOrder) -> FitRequest:
    """The request of an order. Raises UnknownTaskError for a family that there is not."""
    with np.load(order.folder / ARRAYS_FILE, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    inner = None
    if "train" in arrays:
        inner = Fold(arrays["train"], arrays["test"], follow_up_days=arrays.get("follow_up_days"))
    family = get_family(order.family)
    return FitRequest(family, order.problem, arrays["X"], arrays["y"], inner, order.seed, order.threads)


def write_model(files: Mapping[str, bytes], path: Path) -> None:
    """Write a model's files as one archive."""
    arrays: dict[str, Any] = {name: np.frombuffer(content, np.uint8) for name, content in files.items()}
    np.savez(path, allow_pickle=False, **arrays)


def read_model(path: Path) -> dict[str, bytes]:
    """A model's files by name."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name].tobytes() for name in archive.files}


def read_peak_memory() -> int:
    """The most resident memory that this process ever held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a process inherits that of the one that started it.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def carry_out(order: FitOrder) -> FitReply:
    """Fit what is ordered and write its model."""
    request = read_request(order)
    began, processor_began = time.perf_counter(), time.process_time()
    try:
        estimator = request.fit()
    except UserError as error:
        return FitReply(error=str(error))
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - processor_began
    peak = read_peak_memory()
    write_model(estimator.files(), order.folder / MODEL_FILE)
    return FitReply(seconds, processor_seconds, peak, request.X.nbytes + request.y.nbytes)


def main() -> None:
    """Fit what comes in on standard input, until it ends."""
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    # What libraries print goes to the log, so that replies stand alone.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as replies:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        replies.write(json.dumps(read_peak_memory()).encode() + b"\n")

        def send(message: FitMessage) -> None:
            replies.write(message.to_json() + b"\n")

        def tell(event: ProgressEvent) -> None:
            if isinstance(event, EpochFinished):
                send(FitMessage(epoch=event))

        with follow_inner_work(Progress(tell)):
            for line in sys.stdin.buffer:
                send(FitMessage(reply=carry_out(TypeAdapter(FitOrder).validate_json(line))))


def _exit_with_parent(parent: int) -> None:
    """A fit that nobody waits for is not finished: it may take hours."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(ORPHAN_EXIT_CODE)


if __name__ == "__main__":
    main()
