"""A training that is killed at random moments of its steps, and goes on when it is run again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

STEPS = ("plan", "evaluate", "select", "fit", "package", "record")
"""The steps of a training; the last is what follows them: evaluation, report, tracking, promotion."""

COMMAND = """
import os, sys, time
from contextlib import contextmanager
import epic22.cli.train as cli
import epic22.core.evaluation.crossval as crossval
import epic22.core.evaluation.crossval_large as crossval_large
import epic22.core.models.fit_request as fit_request
import epic22.core.models.panel.base as panel
from epic22.adapters.fit_files import FitFiles
from epic22.cli.main import run
from epic22.core.fit_store import fit_once
from epic22.core.progress import Progress, StageFinished, StageStarted

log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
remove_used = FitFiles.remove_used

def note(*words):
    os.write(log, (" ".join(map(str, words)) + "\\n").encode())

def emit(event):
    if isinstance(event, StageStarted):
        note("step", event.stage, time.monotonic())
    elif isinstance(event, StageFinished) and event.stage == "package":
        note("step", "record", time.monotonic())

show_and_say = cli.show_progress

@contextmanager
def show_progress():
    with show_and_say() as progress:
        yield Progress(lambda event: (emit(event), progress.emit(event)))

def fit_and_note(compute_digest, fit, *others, **named):
    def fit_it():
        began = time.perf_counter()
        value = fit()
        note("fit", compute_digest(b""), time.perf_counter() - began)
        return value
    return fit_once(compute_digest, fit_it, *others, **named)

def remove_and_note(files):
    note("done")
    remove_used(files)

cli.show_progress, FitFiles.remove_used = show_progress, remove_and_note
for module in (crossval, crossval_large, fit_request, panel):
    module.fit_once = fit_and_note
try:
    run()
finally:
    note("step", "end", time.monotonic())
"""


@dataclass(frozen=True)
class KilledTraining:
    """The command, the home that it trains in, and the log of its steps and fits, which all its processes write."""

    arguments: tuple[str, ...]
    home: Path
    environment: Mapping[str, str]

    @property
    def log(self) -> Path:
        """Where steps and fits are noted."""
        return self.home.with_suffix(".log")

    def start(self) -> "subprocess.Popen[bytes]":
        """The training in a process of its own; what it answers and says goes beside its home."""
        with self.home.with_suffix(".answer").open("wb") as answer, self.home.with_suffix(".said").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND, str(self.log), "train", *self.arguments, "--json"],
                env={**os.environ, "EPIC22_HOME": str(self.home), **self.environment},
                stdout=answer,
                stderr=said,
            )

    def finish(self) -> Any:
        """What an undisturbed training answers."""
        assert self.start().wait(600) == 0, self.home.with_suffix(".said").read_text()
        return json.loads(self.home.with_suffix(".answer").read_text())

    def read_log(self) -> list[list[str]]:
        """The lines so far, by words."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def kill(self, step: str, share: float, seconds: Mapping[str, float]) -> str | None:
        """Run it and kill it (-9) that share into a step, by how long the steps take; the step that it was in, None where it had
        ended."""
        n_before = len(self.read_log())
        training = self.start()
        while training.poll() is None and not self._has_begun(step, n_before):
            time.sleep(0.002)
        time.sleep(share * seconds[step])
        training.send_signal(signal.SIGKILL)
        if training.wait(60) == 0:
            return None
        return next((line[1] for line in reversed(self.read_log()[n_before:]) if line[0] == "step"), "start")

    def _has_begun(self, step: str, n_before: int) -> bool:
        begun = {line[1] for line in self.read_log()[n_before:] if line[0] == "step"}
        return any(later in begun for later in STEPS[STEPS.index(step) :])

    def measure_steps(self) -> dict[str, float]:
        """How many seconds each step of the first training took."""
        steps = [(line[1], float(line[2])) for line in self.read_log() if line[0] == "step"]
        steps = steps[: [name for name, _ in steps].index("end") + 1]
        return {name: later - began for (name, began), (_, later) in pairwise(steps)}


@dataclass(frozen=True)
class Repetition:
    """What a killed training made: different fits and their seconds, and how many of them again, by what those took at first."""

    fits: int
    seconds: float
    fits_again: int
    seconds_again: float


def count_repetition(log: Sequence[Sequence[str]]) -> Repetition:
    """How much was made again, training by training: one that is done begins anew.

    A fit counts by what it took at first: the first one of a process loads libraries too.
    """
    made, first, again = dict[str, float](), list[float](), list[float]()
    for line in log:
        if line[0] == "done":
            made.clear()
        elif line[0] == "fit" and line[1] in made:
            again.append(made[line[1]])
        elif line[0] == "fit":
            made[line[1]] = float(line[2])
            first.append(made[line[1]])
    return Repetition(len(first), sum(first), len(again), sum(again))


def draw_kills(n: int, seed: int) -> list[tuple[str, float]]:
    """Steps and shares of them at which a training is killed: every step in turn, at a random moment."""
    chance = random.Random(seed)
    return [(STEPS[i % len(STEPS)], chance.random()) for i in range(n)]
