"""One run: one system on one split in a fresh process, watched, scored, kept. What is kept is not run again.

A run is known by what decides it: split, limit, metric, the system's script, its requirements, the protocol's number; ours by its
source too. A run that others disturbed is repeated on the next call.
"""

import hashlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from evidence import ROOT, source_digest

from epic22.core.evaluation import metrics
from peers.environments import REQUIREMENTS, System
from peers.sets import DataSet
from peers.splits import Array, Split
from peers.watch import Watch, environment_of

PROTOCOL = 1
"""Raise it when the harness changes in a way that changes results: every run is then repeated."""
LATE = 1.1
"""Fitting that took longer than so many times the limit is marked."""
HOPELESS = 3.0
"""Fitting that takes so many times the limit is ended, and counts as a crash."""
ANSWER_SECONDS = 900.0
DISTURBED = 0.1
"""A run is disturbed when others took more of the machine's cores than this."""
EVERY = 0.25
OPT_OUTS = {
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TABPFN_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
SCORES = {
    "binary": ("average_precision", "roc_auc", "log_loss", "brier_score"),
    "regression": ("root_mean_squared_error", "mean_absolute_error", "r2"),
}


@dataclass(frozen=True)
class Limits:
    """What every system is given."""

    seconds: float = 60.0
    cores: int = 2


@dataclass(frozen=True)
class Run:
    """One system on one split."""

    dataset: DataSet
    split: Split
    system: System
    limits: Limits

    @property
    def name(self) -> str:
        """The file's name below the results."""
        return f"{self.split.set}/{self.system.name}-{self.split.number}"

    def digest(self) -> str:
        """Of all that decides the result."""
        told = {
            "protocol": PROTOCOL,
            "split": self.split.digest,
            "inputs": self.split.inputs,
            "metric": self.dataset.metric,
            "roles": [self.dataset.label, self.dataset.time, self.dataset.group],
            "limits": [self.limits.seconds, self.limits.cores],
            "options": dict(self.system.options),
            "script": hashlib.sha256(self.system.source.read_bytes()).hexdigest(),
            "made of": source_digest() if self.system.is_ours else self._requirements(),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def _requirements(self) -> str:
        if self.system.environment is None:
            return ""
        return (REQUIREMENTS / f"{self.system.environment}.txt").read_text()


@dataclass(frozen=True)
class Store:
    """Results by run, as JSON, and their predictions beside them, as float32."""

    folder: Path

    def path(self, run: Run) -> Path:
        """Where a run's result is."""
        return self.folder / "runs" / f"{run.name}.json"

    def read(self, run: Run) -> dict[str, Any] | None:
        """The stored result of that very run, or None."""
        path = self.path(run)
        if not path.exists():
            return None
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored if stored["digest"] == run.digest() else None

    def latest(self, run: Run) -> dict[str, Any] | None:
        """The stored result of that split and those limits, whatever has changed in the system since; or None."""
        path = self.path(run)
        if not path.exists():
            return None
        stored: dict[str, Any] = json.loads(path.read_text())
        same = stored.get("split_digest") == run.split.digest and stored["limits"] == [run.limits.seconds, run.limits.cores]
        return stored if same else None

    def is_done(self, run: Run, allow_disturbed: bool) -> bool:
        """Whether nothing is left to do. "not run" is tried again: what it lacked may have come."""
        stored = self.read(run)
        return stored is not None and stored["status"] != "not run" and (allow_disturbed or not stored["disturbed"])

    def keep(self, run: Run, result: Mapping[str, Any], predictions: Array | None) -> None:
        """Write the predictions, then the result that vouches for them, each whole or not at all."""
        path = self.path(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = path.with_suffix(".npz")
        numbers.unlink(missing_ok=True)
        if predictions is not None:
            partial = path.with_suffix(".partial.npz")
            np.savez_compressed(partial, predictions=predictions.astype(np.float32))
            partial.replace(numbers)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        partial.replace(path)

    def predictions(self, run: Run) -> Array | None:
        """The kept predictions, or None."""
        path = self.path(run).with_suffix(".npz")
        if not path.exists():
            return None
        return np.asarray(np.load(path, allow_pickle=False)["predictions"], dtype=np.float64)


def perform(run: Run, python: Path, cache: Path) -> tuple[dict[str, Any], Array | None]:
    """The run's result and its predictions in the test's order; a crash is a result with its message."""
    identity = _identity(run)  # before: the source may be edited meanwhile
    mark = mark_of(cache) + f"{os.getpid()}-{time.time_ns()}"
    scratch = cache / "scratch" / f"{run.system.name}-{time.time_ns()}"
    for name in ("out", "home", "tmp"):
        (scratch / name).mkdir(parents=True)
    try:
        ended = _carry_out(run, python, scratch, mark)
        truth = pl.read_parquet(run.split.truth)
        return _judged(run, identity, ended, scratch, truth["label"].to_numpy(), python)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def mark_of(cache: Path) -> str:
    """How the marks of all runs with this cache begin."""
    return hashlib.sha256(str(cache.resolve()).encode()).hexdigest()[:12] + "-"


@dataclass(frozen=True)
class Ended:
    """How the process ended. Seconds count from its start; `fitted` is None where fitting did not end."""

    code: int
    fitted: float | None
    total: float
    killed: str | None
    watch: Watch
    left_over: int


def _carry_out(run: Run, python: Path, scratch: Path, mark: str) -> Ended:
    watch = Watch(mark)
    started = time.time()
    order = scratch / "order.json"
    order.write_text(json.dumps(_order(run, scratch, started)))
    with (scratch / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-m", f"peers.systems.{run.system.module}", str(order)],
            cwd=scratch,
            env=child_environment(run, scratch, mark),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        killed = _watched(process, watch, scratch / "out" / "fitted", run.limits.seconds, started)
    total = time.time() - started
    left_over = watch.kill()
    mark_file = scratch / "out" / "fitted"
    fitted = float(mark_file.read_text()) - started if mark_file.exists() else None
    return Ended(process.returncode, fitted, total, killed, watch, left_over)


def _watched(process: "subprocess.Popen[bytes]", watch: Watch, fitted: Path, limit: float, started: float) -> str | None:
    """Wait for the end; gives why the run was ended, or None."""
    while process.poll() is None:
        watch.sample()
        taken = time.time() - started
        if not fitted.exists() and taken > HOPELESS * limit:
            watch.kill()
            process.wait()
            return f"no model after {HOPELESS:g} times the limit of {limit:g} s"
        if taken > HOPELESS * limit + ANSWER_SECONDS:
            watch.kill()
            process.wait()
            return f"no answer {ANSWER_SECONDS:g} s after the last moment for a model"
        time.sleep(EVERY)
    return None


def _order(run: Run, scratch: Path, started: float) -> dict[str, Any]:
    dataset, split = run.dataset, run.split
    return {
        "train": str(split.train.absolute()),
        "test": str(split.test.absolute()),
        "out": str((scratch / "out").absolute()),
        "label": dataset.label,
        "kind": dataset.kind,
        "metric": dataset.metric,
        "inputs": list(split.inputs),
        "time": dataset.time,
        "group": dataset.group,
        "seconds": run.limits.seconds,
        "cores": run.limits.cores,
        "seed": split.number,
        "started": started,
        "options": dict(run.system.options),
    }


def child_environment(run: Run, scratch: Path, mark: str) -> dict[str, str]:
    """What a run's process sees: no setting of the caller's but the way to programs; its own home; no reporting home."""
    passed = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "JAVA_HOME", "LD_LIBRARY_PATH") if name in os.environ}
    cores = str(run.limits.cores)
    sources = [str(ROOT / "benchmarks")] + ([str(ROOT / "src")] if run.system.is_ours else [])
    return {
        **passed,
        **OPT_OUTS,
        **environment_of(mark),
        "HOME": str((scratch / "home").absolute()),
        "TMPDIR": str((scratch / "tmp").absolute()),
        "OMP_NUM_THREADS": cores,
        "OPENBLAS_NUM_THREADS": cores,
        "MKL_NUM_THREADS": cores,
        "PYTHONPATH": os.pathsep.join(sources),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
    }


def _judged(
    run: Run, identity: Mapping[str, Any], ended: Ended, scratch: Path, y: Array, python: Path
) -> tuple[dict[str, Any], Array | None]:
    usage = ended.watch.usage()
    told: dict[str, Any] = {
        **identity,
        "status": "ok",
        "message": "",
        "machine": machine_words(),
        "seconds_to_model": None if ended.fitted is None else round(ended.fitted, 2),
        "seconds_in_all": round(ended.total, 2),
        "late": ended.fitted is not None and ended.fitted > LATE * run.limits.seconds,
        "disturbed": usage.others_cpu_share is not None and usage.others_cpu_share > DISTURBED,
        "others_cpu_share": usage.others_cpu_share,
        "stolen_cpu_share": usage.stolen_cpu_share,
        "cpu_seconds": usage.own_cpu_seconds,
        "peak_rss_mb": usage.peak_rss_mb,
        "processes_left_over": ended.left_over,
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    reason, answer, predictions = _answered(ended, scratch, y, run.dataset.kind, run.limits.seconds)
    if reason or answer is None or predictions is None:
        return told | {"status": "crash", "message": without_places(reason, scratch, python)}, None
    names = ("version", "notes", "fit_seconds", "predict_seconds", "row_ms", "row_difference")
    return told | {name: answer[name] for name in names} | {"scores": scores_of(run.dataset, y, predictions)}, predictions


def _answered(ended: Ended, scratch: Path, y: Array, kind: str, limit: float) -> tuple[str, dict[str, Any] | None, Array | None]:
    """(why it counts as a crash, or ""; the answer; the predictions)."""
    if ended.killed is not None:
        return ended.killed, None, None
    if ended.code != 0:
        return f"exit status {ended.code}: {last_words(scratch / 'log.txt')}", None, None
    if ended.fitted is None or ended.fitted > HOPELESS * limit:
        return f"no model within {HOPELESS:g} times the limit of {limit:g} s", None, None
    answer: dict[str, Any] = json.loads((scratch / "out" / "answer.json").read_text())
    predictions = np.load(scratch / "out" / "predictions.npy", allow_pickle=False)
    if predictions.shape != y.shape or not np.isfinite(predictions).all():
        wrong = int((~np.isfinite(predictions)).sum())
        return f"{len(predictions)} predictions for {len(y)} rows, {wrong} of them not finite", None, None
    if kind == "binary" and (predictions.min() < 0 or predictions.max() > 1):
        return f"probabilities from {predictions.min():g} to {predictions.max():g}", None, None
    return "", answer, predictions


def last_words(log: Path) -> str:
    """The last line that says something, and the error's line where there is one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (errors or lines or ["it said nothing"])[-1][:400]


def without_places(text: str, scratch: Path, python: Path) -> str:
    """The message without folders of this machine."""
    environment = python.parent.parent
    for place, name in ((scratch, "SCRATCH"), (environment, "ENVIRONMENT"), (ROOT, "PROJECT"), (Path.home(), "HOME")):
        text = text.replace(str(place.absolute()), name)
    return text


def scores_of(dataset: DataSet, y: Array, predictions: Array) -> dict[str, float]:
    """Every score of the kind; probabilities are clipped at 1e-15 in the log loss."""
    scores = {name: float(getattr(metrics, name)(y, predictions)) for name in SCORES[dataset.kind]}
    return {name: value if math.isfinite(value) else math.nan for name, value in scores.items()}


def not_run(run: Run, why: str) -> dict[str, Any]:
    """The result of a run that cannot be made here."""
    return {**_identity(run), "status": "not run", "message": why, "disturbed": False}


def _identity(run: Run) -> dict[str, Any]:
    return {
        "set": run.split.set,
        "split": run.split.number,
        "system": run.system.name,
        "digest": run.digest(),
        "split_digest": run.split.digest,
        "limits": [run.limits.seconds, run.limits.cores],
        "n_train": run.split.n_train,
        "n_test": run.split.n_test,
    }


def machine_words() -> str:
    """The machine: cores, kind of processor, memory, system."""
    info = Path("/proc/meminfo")
    memory = f", {int(info.read_text().split()[1]) / 2**20:.0f} GB of memory" if info.exists() else ""
    return f"{os.cpu_count()} cores {platform.machine()}{memory}, {platform.system()}"


def say(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)
