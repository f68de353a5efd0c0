"""Training in a process of its own, where PyTorch and XGBoost must not share one.

On a Mac each brings an OpenMP runtime, and two of them in one process end it or hang. The process is started at the first
training and serves all that follow; it ends with the one that started it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock

from epic22.core.errors import InternalError
from epic22.core.models.networks.checkpoint import CheckpointFolder, get_checkpoint_folder, use_checkpoint_folder
from epic22.core.models.networks.jobs import NetworkRows, TrainedNetwork, TrainingJob
from epic22.core.progress import Progress, ProgressEvent, follow_inner_work, get_inner_progress

SECONDS_BETWEEN_LOOKS = 0.1
Expired = Callable[[], bool]
TURNS = Lock()


@dataclass(frozen=True)
class TrainingOrder:
    """What the process is sent: a job, its rows, and the folder of checkpoints that trainings use where the job comes from."""

    job: TrainingJob
    rows: NetworkRows
    validation: NetworkRows | None
    checkpoints: CheckpointFolder | None


@dataclass(frozen=True)
class TrainingAnswer:
    """What comes back: the network, and the checkpoints that were written on the way."""

    network: TrainedNetwork
    checkpoints: frozenset[Path]


def train_network_rows(job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None, expired: Expired) -> TrainedNetwork:
    """The trained network of a job: here, or apart where this process may hold XGBoost and the platform forbids both.

    One after another: PyTorch has one state of random numbers, and one exporter, for all threads of a process.
    """
    with TURNS:
        if sys.platform == "darwin":
            return find_process().train(job, rows, validation, expired)
        from epic22.core.models.networks.training import train

        return train(job, rows, validation, expired)


def export_reason_graph(network: TrainedNetwork) -> bytes:
    """The graph of reasons of a trained network, made where networks are trained."""
    with TURNS:
        if sys.platform == "darwin":
            return find_process().export_reasons(network)
        from epic22.core.models.networks.training import export_reasons

        return export_reasons(network)


class TrainingProcess:
    """A process that trains, one job after another."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), name="network training", daemon=True)
        self._process.start()
        other.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can be sent a job."""
        return self._process.is_alive()

    def train(self, job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None, expired: Expired) -> TrainedNetwork:
        """The trained network of a job.

        Raises InternalError where the process ended, and what it raised.
        """
        folder, progress = get_checkpoint_folder(), get_inner_progress()
        self._connection.send(TrainingOrder(job, rows, validation, folder))
        is_stopped = False
        while isinstance(answer := self._receive(), ProgressEvent | None):
            if answer is not None:
                progress.emit(answer)
            if not is_stopped and expired():
                self._connection.send("stop")
                is_stopped = True
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, TrainingAnswer):
            raise InternalError(f"the training process answered {type(answer).__name__}, not a network.")
        if folder is not None:
            folder.used.update(answer.checkpoints)
        return answer.network

    def export_reasons(self, network: TrainedNetwork) -> bytes:
        """The graph of reasons of a trained network. Raises InternalError where the process ended, and what it raised."""
        self._connection.send(network)
        while (answer := self._receive()) is None:
            continue
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, bytes):
            raise InternalError(f"the training process answered {type(answer).__name__}, not a graph.")
        return answer

    def _receive(self) -> object:
        """What the process says next; None where it says nothing for a while. Raises InternalError where it ended."""
        try:
            return self._connection.recv() if self._connection.poll(SECONDS_BETWEEN_LOOKS) else None
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise InternalError(f"the training process ended with {self._process.exitcode}; was it killed for memory?") from None


@cache
def start_process() -> TrainingProcess:
    """The process that trains for this one."""
    return TrainingProcess()


def find_process() -> TrainingProcess:
    """The process that trains for this one; another where it was killed."""
    if not start_process().is_alive:
        start_process.cache_clear()
    return start_process()


def _serve(connection: Connection) -> None:
    """Train what is sent, or export the reasons of what was trained, until the other end is gone."""
    from epic22.core.models.networks.training import export_reasons, train

    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        if message == "stop":
            # Of a job that had ended before it came.
            continue
        try:
            if isinstance(message, TrainedNetwork):
                connection.send(export_reasons(message))
                continue
            order: TrainingOrder = message
            with use_checkpoint_folder(order.checkpoints) as folder, follow_inner_work(Progress(connection.send)):
                network = train(order.job, order.rows, order.validation, connection.poll)
            connection.send(TrainingAnswer(network, frozenset(folder.used if folder else ())))
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised where the job came from
            connection.send(error)
