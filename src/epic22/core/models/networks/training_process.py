"""Training in a process of its own, where PyTorch and XGBoost must not share one.

On a Mac each brings an OpenMP runtime, and two of them in one process end it or hang. The process is started at the first
training and serves all that follow; it ends with the one that started it.
"""

import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Lock

from epic22.core.errors import InternalError
from epic22.core.models.networks.jobs import NetworkRows, TrainedNetwork, TrainingJob

SECONDS_BETWEEN_LOOKS = 0.1
Expired = Callable[[], bool]
TURNS = Lock()


def train_network_rows(job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None, expired: Expired) -> TrainedNetwork:
    """The trained network of a job: here, or apart where this process may hold XGBoost and the platform forbids both.

    One after another: PyTorch has one state of random numbers, and one exporter, for all threads of a process.
    """
    with TURNS:
        if sys.platform == "darwin":
            return start_process().train(job, rows, validation, expired)
        from epic22.core.models.networks.training import train

        return train(job, rows, validation, expired)


class TrainingProcess:
    """A process that trains, one job after another."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), name="network training", daemon=True)
        self._process.start()
        other.close()

    def train(self, job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None, expired: Expired) -> TrainedNetwork:
        """The trained network of a job.

        Raises InternalError where the process ended, and what it raised.
        """
        self._connection.send((job, rows, validation))
        is_stopped = False
        while not self._connection.poll(SECONDS_BETWEEN_LOOKS):
            if not self._process.is_alive():
                raise InternalError(f"the training process ended with {self._process.exitcode}; was it killed for memory?")
            if not is_stopped and expired():
                self._connection.send("stop")
                is_stopped = True
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, TrainedNetwork):
            raise InternalError(f"the training process answered {type(answer).__name__}, not a network.")
        return answer


@cache
def start_process() -> TrainingProcess:
    """The process that trains for this one."""
    return TrainingProcess()


def _serve(connection: Connection) -> None:
    """Train what is sent until the other end is gone."""
    from epic22.core.models.networks.training import train

    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        if message == "stop":
            # Of a job that had ended before it came.
            continue
        job, rows, validation = message
        try:
            connection.send(train(job, rows, validation, connection.poll))
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised where the job came from
            connection.send(error)
