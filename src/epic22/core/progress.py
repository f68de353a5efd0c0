"""The progress of a piece of work: the events that tell of it, and where they go."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal

PROGRESS_SETTING = "EPIC22_PROGRESS"
"""The environment variable that names a file or pipe which events are written to as lines: internal to jobs."""

Stage = Literal["plan", "evaluate", "select", "fit", "package"]
"""The steps of a training, in their order."""

Unit = Literal["step", "family", "fold", "trial"]
"""What the steps of a piece of work are. Families take times so unlike that none says how long the next one takes."""


BLANK = "…"
"""Where in what a piece of work is there stands what it is about."""


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
    """A piece of work begins, of this many steps (0: not known), each a `unit`; of `depth` 1 inside a step of one of depth 0.

    `what` is in words of this program alone, which any client may read; what it is about and is somebody's own, such as a file's
    name, an address or a column, is `about`, and stands where `what` has "…".
    """

    what: str
    steps: int
    unit: Unit = "step"
    depth: int = 0
    about: str = ""

    @property
    def text(self) -> str:
        """What it is with what it is about, for who may see both.

        >>> WorkStarted("reading … in batches", 1, about="churn file.csv").text
        'reading churn file.csv in batches'
        """
        return self.what.replace(BLANK, self.about, 1) if self.about else self.what


@dataclass(frozen=True)
class WorkAdvanced:
    """One more step of the piece of work of that depth is done, and with it all work inside the step."""

    depth: int = 0


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


@dataclass(frozen=True)
class DeviceUsed:
    """A network begins to train on this device: cpu, cuda or mps."""

    device: str


@dataclass(frozen=True)
class ProcessSample:
    """What a job's processes take at this moment: their share of the processors that they may use, 0 to 1, and their resident
    memory together, where memory that two of them share counts twice."""

    processor_share: float
    memory_bytes: int
    processes: int


@dataclass(frozen=True)
class AttemptStarted:
    """An attempt at a job begins, the `number`-th: what earlier ones had under way is under way no more."""

    number: int


ProgressEvent = (
    StageStarted
    | StageFinished
    | WorkStarted
    | WorkAdvanced
    | EpochFinished
    | Noted
    | DeviceUsed
    | ProcessSample
    | AttemptStarted
)


@dataclass(frozen=True)
class Progress:
    """Where progress goes: every event is handed to `emit`, in its order; by default nobody listens. Its work is at `depth`."""

    emit: Callable[[ProgressEvent], None] = lambda event: None
    depth: int = 0

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """A step of a training, from its beginning to its end; one that fails is not said to be finished."""
        self.emit(StageStarted(stage))
        yield
        self.emit(StageFinished(stage))

    def enter_step(self) -> "Progress":
        """The progress of work inside a step of this one's."""
        return replace(self, depth=self.depth + 1)

    def begin(self, what: str, steps: int, unit: Unit = "step", about: str = "") -> None:
        """Say that a piece of work begins: "…" in `what` stands for what it is about, such as a file's name."""
        self.emit(WorkStarted(what, steps, unit, self.depth, about))

    def note(self, text: str) -> None:
        """Say what the user should know."""
        self.emit(Noted(text))

    def step(self) -> None:
        """Say that one more step of it is done."""
        self.emit(WorkAdvanced(self.depth))


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
