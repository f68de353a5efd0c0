"""Jobs: what is to be done, in which state it is, and what follows when an attempt at it ends.

```
waiting → running → done
   ↑         ├────→ waiting again, after a pause: a fault that may pass, fewer than FAULT_LIMIT times
   └─────────┘────→ dead: a fault that does not pass, or too many that may; it waits for a person
waiting, running → cancelled
```
"""

import json
import shlex
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from epic22.core.errors import UserError

JobState = Literal["waiting", "running", "done", "cancelled", "dead"]
OPEN_STATES: tuple[JobState, ...] = ("waiting", "running")
"""The states in which there is still something to do."""
JOB_VERBS = ("train", "ingest", "predict", "retrain")
"""The verbs of the command line that a worker carries out."""
UNREADABLE = "unreadable"
"""In the place of the verb of a stored request that cannot be read."""
HIGHEST_PRIORITY, USUAL_PRIORITY, LOWEST_PRIORITY = 1, 5, 9
FAULT_LIMIT = 5
"""So many attempts at a job may fail by faults that pass; then it is dead."""
FIRST_PAUSE_SECONDS, PAUSE_FACTOR = 2.0, 4.0
ATTEMPT_SETTING = "EPIC22_ATTEMPT"
"""The environment variable by which a process knows that it is an attempt at a job."""
MAY_PASS_EXIT_CODE = 75
"""The exit code of an attempt that failed by a fault that may pass; the system's EX_TEMPFAIL."""


@dataclass(frozen=True)
class JobRequest:
    """What is asked for: a verb with its arguments, in the directory that relative paths start from, with so many threads, which
    whoever takes over uses too, for they change a model's last bits. `memory` limits it, in bytes."""

    verb: str
    arguments: tuple[str, ...]
    directory: Path
    threads: int
    priority: int = USUAL_PRIORITY
    memory: int | None = None

    def to_json(self) -> str:
        """The request as canonical JSON: equal requests are equal texts."""
        content = asdict(self) | {"directory": str(self.directory)}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "JobRequest":
        """The request of a text, be it of another version of the program: `refuse_unknown` says whether it can be carried out.

        One that cannot be read, or has a value of another type, is a request for UNREADABLE.
        """
        try:
            content = json.loads(text)
            arguments, directory = content.pop("arguments"), Path(content.pop("directory"))
            request = cls(arguments=tuple(arguments), directory=directory, **content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return UNREADABLE_REQUEST
        # A text is a sequence of texts too.
        return request if isinstance(arguments, list) and request._has_own_types() else UNREADABLE_REQUEST

    def _has_own_types(self) -> bool:
        """Whether all its values are such as a process is started with."""
        words = (self.verb, *self.arguments)
        numbers = (self.threads, self.priority, *(() if self.memory is None else (self.memory,)))
        are_words = all(isinstance(word, str) and "\0" not in word for word in words) and "\0" not in str(self.directory)
        return are_words and all(isinstance(number, int) and not isinstance(number, bool) and number >= 1 for number in numbers)

    def refuse_unknown(self) -> None:
        """Raise UserError where it is not for a worker of this program."""
        if self.verb == UNREADABLE:
            raise UserError("the job's request is not one of this program; submit it again.")
        if self.verb not in JOB_VERBS:
            raise UserError(f"a job is to run {self.verb[:40]!r}; give one of {', '.join(JOB_VERBS)}.")

    def __str__(self) -> str:
        return shlex.join((self.verb, *self.arguments))


UNREADABLE_REQUEST = JobRequest(UNREADABLE, (), Path(), 1)
"""What stands for a stored request that cannot be read."""


@dataclass(frozen=True)
class AttemptId:
    """An attempt at a job. Numbers grow with every attempt, and only the newest may change anything; what ends one before its
    time uses up a number too, so that they are no count."""

    job: int
    number: int

    def __str__(self) -> str:
        return f"{self.job}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> "AttemptId":
        """The attempt that a text names. Raises UserError.

        >>> AttemptId.parse("17/3")
        AttemptId(job=17, number=3)
        """
        job, _, number = text.partition("/")
        if not (job.isdecimal() and number.isdecimal()):
            raise UserError(f"{ATTEMPT_SETTING} is {text[:40]!r}; it is set by a worker alone: unset it.")
        return cls(int(job), int(number))


@dataclass(frozen=True)
class JobRecord:
    """A job: its request, the program's version that it was submitted to, its state, the number that fences the newest attempt,
    and how many failed. `attempts` is how many began: what people count."""

    id: int
    request: JobRequest
    program: str
    state: JobState
    attempt: int
    faults: int
    reason: str
    submitted_at: datetime
    not_before: datetime
    worker: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    schedule: str | None = None
    attempts: int = 0

    @property
    def is_open(self) -> bool:
        """Whether there is still something to do."""
        return self.state in OPEN_STATES


@dataclass(frozen=True)
class AttemptRecord:
    """An attempt as it went: by which worker, on which machine, in which process, and how it ended. The first of its job has the
    number 1."""

    number: int
    worker: str
    host: str
    began_at: datetime
    process: int | None = None
    ended_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True)
class LostAttempt:
    """An attempt that a worker had under way when it was taken for dead: on which machine, in which process."""

    attempt: AttemptId
    host: str
    process: int | None


@dataclass(frozen=True)
class JobVersion:
    """A model version that a job registered, and whether it was decided which version serves its task."""

    task: str
    version: str
    is_decided: bool


@dataclass(frozen=True)
class ChildOrder:
    """A process for an attempt: the arguments of the command line, in a directory, its log in a folder, within a memory limit in
    bytes if any. `ordinal` counts the attempts at its job from 1."""

    attempt: AttemptId
    arguments: tuple[str, ...]
    directory: Path
    folder: Path
    threads: int
    memory: int | None = None
    ordinal: int = 1


@dataclass(frozen=True)
class ChildOutcome:
    """How the process of an attempt ended: its exit code, minus the signal that ended it, and why in a sentence. `is_over_limit`
    where it was ended for its memory."""

    code: int
    reason: str = ""
    is_over_limit: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether another attempt may succeed: what it failed by may pass, or a signal ended it that was not for its memory."""
        return not self.is_over_limit and (self.code == MAY_PASS_EXIT_CODE or self.code < 0)


@dataclass(frozen=True)
class NextStep:
    """What follows an attempt: the job's state, after so many seconds where it waits, and why."""

    state: JobState
    reason: str
    faults: int
    pause: float = 0.0

    def __str__(self) -> str:
        again = f"{self.reason} It is tried again in {self.pause:g} s."
        return {"done": "done.", "dead": f"dead: {self.reason}"}.get(self.state, again)


def decide_next_step(faults: int, outcome: ChildOutcome) -> NextStep:
    """What follows an attempt at a job that failed `faults` times before."""
    if outcome.code == 0:
        return NextStep("done", "", faults)
    if not outcome.may_pass:
        return NextStep("dead", outcome.reason, faults + 1)
    return decide_retry(faults, outcome.reason, compute_pause(faults))


def decide_retry(faults: int, reason: str, pause: float = 0.0) -> NextStep:
    """Another attempt after a fault that may pass, or none where there were too many."""
    if faults + 1 >= FAULT_LIMIT:
        return NextStep("dead", f"{reason} This was the last of {FAULT_LIMIT} attempts.", faults + 1)
    return NextStep("waiting", reason, faults + 1, pause)


def compute_pause(faults: int) -> float:
    """Seconds before the attempt that follows a further fault.

    >>> [compute_pause(n) for n in range(4)]
    [2.0, 8.0, 32.0, 128.0]
    """
    return FIRST_PAUSE_SECONDS * PAUSE_FACTOR**faults


def list_devices(device: str) -> tuple[str, ...]:
    """The devices of a machine that a training may compute on that was given this one; each has one training at a time.

    >>> list_devices("auto"), list_devices("cuda"), list_devices("cpu")
    (('accelerator', 'cpu'), ('accelerator',), ('cpu',))
    """
    return ("accelerator", "cpu") if device == "auto" else ("cpu",) if device == "cpu" else ("accelerator",)
