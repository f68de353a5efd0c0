"""What every system's process does alike: read the order, fit, say when, predict the test rows, time single rows, answer.

Runs in each system's own environment: the standard library and NumPy only, pandas where a system reads by it.

    python -m peers.systems.SYSTEM ORDER.json
"""

import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LATENCY_ROWS = 30
LATENCY_SECONDS = 60.0
"""No further row is timed after so long; at least three are."""


@dataclass(frozen=True)
class Order:
    """What a run is to do. `started` is the time of the process's start (seconds since 1970), from which `seconds` count.

    `metric` is average_precision, roc_auc or root_mean_squared_error. `test` has no label. `time` and `group` are columns that
    only validation may use, unless they are among `inputs`.
    """

    train: Path
    test: Path
    out: Path
    label: str
    kind: str
    metric: str
    inputs: list[str]
    time: str | None
    group: str | None
    seconds: float
    cores: int
    seed: int
    started: float
    options: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "Order":
        """The order in a JSON file."""
        stored = json.loads(path.read_text())
        return cls(**stored | {name: Path(stored[name]) for name in ("train", "test", "out")})

    def left(self) -> float:
        """Seconds until fitting has to be over; never less than one."""
        return max(1.0, self.seconds - (time.time() - self.started))


def pandas_frame(path: Path) -> Any:
    """A Parquet file as pandas reads it, text as text."""
    import pandas

    return pandas.read_parquet(path)


def pandas_row(frame: Any, i: int) -> Any:
    """Row i as a frame of one row."""
    return frame.iloc[[i]].reset_index(drop=True)


@dataclass(frozen=True)
class Fitted:
    """A fitted system. `answer` gives from a frame the probability of class 1, or the value, of each row.

    `read` gives that frame from the test file, `row` its row i alone. `one` answers such a row where that goes another way than a
    frame does; `also` are further ways to a single answer, timed under their names.
    """

    version: str
    answer: Callable[[Any], Any]
    notes: dict[str, Any] = field(default_factory=dict)
    one: Callable[[Any], Any] | None = None
    also: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    read: Callable[[Path], Any] = pandas_frame
    row: Callable[[Any, int], Any] = pandas_row


def perform(fit: Callable[[Order], Fitted]) -> None:
    """Do what the order in the first argument says; leaves `fitted`, predictions.npy and answer.json in its `out`."""
    warnings.filterwarnings("ignore")
    order = Order.read(Path(sys.argv[1]))
    _keep_to(order.cores)
    began = time.time()
    fitted = fit(order)
    ended = time.time()
    (order.out / "fitted").write_text(str(ended))
    test = fitted.read(order.test)
    asked = time.perf_counter()
    predictions = np.asarray(fitted.answer(test), dtype=np.float64).ravel()
    batch = time.perf_counter() - asked
    np.save(order.out / "predictions.npy", predictions)
    rows = [fitted.row(test, i) for i in spread(len(predictions))]
    ways = {"row": fitted.one or fitted.answer, **fitted.also}
    told = {
        "version": fitted.version,
        "notes": fitted.notes,
        "fit_seconds": ended - began,
        "predict_seconds": batch,
        "row_ms": {name: milliseconds(way, rows) for name, way in ways.items()},
        "row_difference": row_difference(ways["row"], rows, predictions[spread(len(predictions))]),
    }
    (order.out / "answer.json").write_text(json.dumps(told))


def _keep_to(cores: int) -> None:
    """Stay on the first so many of the cores that this process may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def spread(count: int) -> list[int]:
    """The rows that are timed alone: over the whole test part, the first one for warming up."""
    return [int(i) for i in np.linspace(0, count - 1, min(count, LATENCY_ROWS + 1))]


def milliseconds(answer: Callable[[Any], Any], rows: list[Any]) -> float:
    """The median over the rows, after one to warm up."""
    answer(rows[0])
    taken: list[float] = []
    began = time.perf_counter()
    for row in rows[1:] or rows:
        start = time.perf_counter()
        answer(row)
        taken.append((time.perf_counter() - start) * 1000)
        if len(taken) >= 3 and time.perf_counter() - began > LATENCY_SECONDS:
            break
    return statistics.median(taken)


def row_difference(answer: Callable[[Any], Any], rows: list[Any], batch: Any) -> float:
    """The largest difference of three rows alone from the batch."""
    alone = [float(np.asarray(answer(row), dtype=np.float64).ravel()[0]) for row in rows[:3]]
    return float(np.abs(np.array(alone) - batch[: len(alone)]).max())
