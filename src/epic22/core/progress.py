"""The progress of a piece of work: the events that tell of it, and where they go."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Stage = Literal["plan", "evaluate", "select", "fit", "package"]
"""The steps of a training, in their order."""


@dataclass(frozen=True)
class StageStarted:
    """A step of a training begins."""

    stage: Stage


@dataclass(frozen=True)
class StageFinished:
    """A step of a training is done; what it gave need not be made again."""

    stage: Stage


@dataclass(frozen=True)
class WorkStarted:
    """A piece of work begins, of this many steps (0: not known)."""

    what: str
    steps: int


@dataclass(frozen=True)
class WorkAdvanced:
    """One more step of the piece of work is done."""


@dataclass(frozen=True)
class EpochFinished:
    """A pass of a network over its rows is done, the `epoch`-th of at most `epochs`.

    `loss` is the mean over its rows, `validation_loss` that of the validation rows where there are any, `learning_rate` that of
    its last step, `seconds_left` what all further epochs take.
    """

    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    rows_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Noted:
    """What the user should know of the work, in a sentence."""

    text: str


ProgressEvent = StageStarted | StageFinished | WorkStarted | WorkAdvanced | EpochFinished | Noted


@dataclass(frozen=True)
class Progress:
    """Where progress goes: every event is handed to `emit`, in its order; by default nobody listens."""

    emit: Callable[[ProgressEvent], None] = lambda event: None

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """A step of a training, from its beginning to its end; one that fails is not said to be finished."""
        self.emit(StageStarted(stage))
        yield
        self.emit(StageFinished(stage))

    def begin(self, what: str, steps: int) -> None:
        """Say that a piece of work begins."""
        self.emit(WorkStarted(what, steps))

    def note(self, text: str) -> None:
        """Say what the user should know."""
        self.emit(Noted(text))

    def step(self) -> None:
        """Say that one more step of it is done."""
        self.emit(WorkAdvanced())


_INNER_PROGRESS: ContextVar[Progress | None] = ContextVar("inner progress", default=None)


@contextmanager
def follow_inner_work(progress: Progress) -> Iterator[None]:
    """Have what lies deep inside a step, such as the epochs of a network, told to this progress; nobody listens elsewhere."""
    token = _INNER_PROGRESS.set(progress)
    try:
        yield
    finally:
        _INNER_PROGRESS.reset(token)


def get_inner_progress() -> Progress:
    """Where what lies deep inside a step is told."""
    return _INNER_PROGRESS.get() or Progress()
