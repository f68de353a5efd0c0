"""How far a piece of work is: what its events amount to, with the share that is done and an estimate of the time that is left."""

from dataclasses import dataclass, replace
from typing import Self

from epic22.core.progress import (
    AttemptStarted,
    DeviceUsed,
    EpochFinished,
    Noted,
    ProcessSample,
    ProgressEvent,
    Stage,
    StageFinished,
    StageStarted,
    Unit,
    WorkAdvanced,
    WorkStarted,
)

UNLIKE = 100.0
"""A step that took so many times less than others was done before, by a training that was interrupted: no other is as quick."""
MAX_NOTES = 20


@dataclass(frozen=True)
class WorkState:
    """A piece of work under way: `done` of its `steps` (0: not known). Moments are seconds on one clock.

    `step_seconds` is the mean of `n_timed` steps that were done now, 0 of none.
    """

    what: str
    steps: int
    unit: Unit
    depth: int
    started_at: float
    step_at: float
    done: int = 0
    step_seconds: float = 0.0
    n_timed: int = 0

    @classmethod
    def of(cls, event: WorkStarted, at: float) -> Self:
        """The work as it begins."""
        return cls(event.what, event.steps, event.unit, event.depth, at, at)

    @property
    def is_done(self) -> bool:
        """Whether no step is left, as far as that is known."""
        return 0 < self.steps <= self.done

    def advance(self, at: float) -> "WorkState":
        """The work after one more step."""
        seconds, mean, n = max(at - self.step_at, 0.0), self.step_seconds, self.n_timed
        if n == 0 or seconds > UNLIKE * mean:
            mean, n = seconds, 1
        elif seconds * UNLIKE >= mean:
            mean, n = (mean * n + seconds) / (n + 1), n + 1
        return replace(self, done=self.done + 1, step_at=at, step_seconds=mean, n_timed=n)


@dataclass(frozen=True)
class ProgressState:
    """What is under way after some events: the stage, the pieces of work from the outermost in, the last epoch of a network that
    is training, the device, what the processes take, and the last notes. `attempt` is that of a job."""

    stage: Stage | None = None
    finished_stages: tuple[Stage, ...] = ()
    works: tuple[WorkState, ...] = ()
    epoch: EpochFinished | None = None
    device: str | None = None
    sample: ProcessSample | None = None
    notes: tuple[str, ...] = ()
    attempt: int = 0

    def advance(self, event: ProgressEvent, at: float) -> "ProgressState":
        """The state after an event at that moment."""
        match event:
            case StageStarted(stage):
                return replace(self, stage=stage, works=(), epoch=None)
            case StageFinished(stage):
                return replace(self, stage=None, finished_stages=(*self.finished_stages, stage), works=(), epoch=None)
            case WorkStarted(depth=depth):
                outer = tuple(work for work in self.works if work.depth < depth and not work.is_done)
                return replace(self, works=(*outer, WorkState.of(event, at)), epoch=None)
            case WorkAdvanced(depth):
                works = tuple(work.advance(at) if work.depth == depth else work for work in self.works if work.depth <= depth)
                return replace(self, works=works, epoch=None)
            case EpochFinished():
                return replace(self, epoch=event)
            case DeviceUsed(device):
                return replace(self, device=device)
            case ProcessSample():
                return replace(self, sample=event)
            case Noted(text):
                return replace(self, notes=(*self.notes, text)[-MAX_NOTES:])
            case AttemptStarted(number):
                return ProgressState(attempt=number)

    @property
    def share(self) -> float | None:
        """The share of the outermost work that is done, with what is done inside its present step; None where nobody knows."""
        return self.get_share(0) if self.works else None

    def get_share(self, number: int) -> float | None:
        """The same of the work of that number from the outermost."""
        work = self.works[number]
        if work.steps <= 0:
            return None
        inner = self._get_inner_share(number)
        return min(1.0, (work.done + inner) / work.steps)

    def estimate_seconds_left(self, number: int, now: float) -> float | None:
        """About how long the work of that number still takes, by what its steps took; None where nothing tells.

        Steps of families are as unlike as families, so that nothing is said of them.
        """
        work = self.works[number]
        if work.steps <= 0 or work.unit == "family":
            return None
        if work.is_done:
            return 0.0
        elapsed, inner = now - work.step_at, self._get_inner_share(number)
        if work.n_timed:
            step = work.step_seconds
        elif inner > 0:
            step = elapsed / inner
        else:
            return None
        present = max(step - elapsed, 0.0) if inner <= 0 else max(elapsed / inner - elapsed, 0.0)
        return present + step * (work.steps - work.done - 1)

    def estimate_longest_left(self, now: float) -> float | None:
        """The time left of the outermost work of which it can be told."""
        estimates = (self.estimate_seconds_left(number, now) for number in range(len(self.works)))
        return next((seconds for seconds in estimates if seconds is not None), None)

    def _get_inner_share(self, number: int) -> float:
        """How much of the present step of a work is done, by the work inside it, or the epochs of a network."""
        if number + 1 < len(self.works):
            return min(self.get_share(number + 1) or 0.0, 1.0)
        if self.epoch is not None and self.epoch.epochs > 0:
            return min(max(self.epoch.epoch / self.epoch.epochs, 0.0), 1.0)
        return 0.0
