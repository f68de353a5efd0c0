"""The process that fits one family: the same models as here, memory that is that family's alone, and faults in one sentence."""

import gc
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.contract.test_every_part import make_request

from epic22.adapters.fit_process import MODEL_FILE, FitMessage, FitProcess, open_fit_process, read_peak_memory
from epic22.core.errors import InternalError, UserError
from epic22.core.models.catalog import get_family
from epic22.core.models.loss import Loss
from epic22.core.progress import EpochFinished, Progress, ProgressEvent, follow_inner_work
from epic22.core.task import Kind

pytestmark = pytest.mark.slow

KILLED_PARENT = """
import os, signal, sys, threading, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from tests.contract.test_every_part import make_request
from epic22.adapters.fit_process import ARRAYS_FILE, FitProcess

request = make_request("boosting", "multiclass")
endless = replace(request, X=np.tile(request.X, (2000, 1)), y=np.tile(request.y, 2000), inner=None)
process = FitProcess(Path(sys.argv[1]))
print(process._process.pid, flush=True)
threading.Thread(target=process.fit, args=(endless,), daemon=True).start()
while not (Path(sys.argv[1]) / ARRAYS_FILE).exists():
    time.sleep(0.05)
time.sleep(2)
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A parent that is killed while its process fits half a million rows."""


@pytest.mark.parametrize(("family", "kind"), [("linear", "multiclass"), ("boosting", "regression"), ("hazard", "hazard")])
def test_a_model_fitted_in_a_process_is_the_one_fitted_here(family: str, kind: Kind, tmp_path: Path) -> None:
    request = make_request(family, kind)
    with open_fit_process(tmp_path / "scratch") as process:
        models = [process.fit(request) for _ in range(2)]
        measurement = process.measurement
    for model in models:
        assert model.decision_function(request.X).tobytes() == request.fit().decision_function(request.X).tobytes()
    assert len(measurement.seconds) == 2
    assert min(measurement.seconds) > 0
    assert measurement.processor_seconds > 0
    # Libraries for linear models and trees hold tens of megabytes, these tables next to nothing.
    assert measurement.memory_bytes is not None
    assert 10e6 < measurement.memory_bytes < 2e9
    assert list((tmp_path / "scratch").iterdir()) == []


def test_memory_counts_what_a_fit_holds_and_not_what_this_process_does(tmp_path: Path) -> None:
    request = make_request("constant", "binary")
    ballast = np.ones(40_000_000)
    with open_fit_process(tmp_path) as process:
        process.fit(request)
        light = process.measurement.memory_bytes
    assert light is not None
    assert light < 40e6 < ballast.nbytes < read_peak_memory()
    del ballast
    gc.collect()


def test_the_rows_that_a_process_was_handed_are_not_counted_as_memory_of_its_training(tmp_path: Path) -> None:
    request = make_request("constant", "binary")
    large = replace(request, X=np.tile(request.X, (4000, 4)), y=np.tile(request.y, 4000), inner=None)
    assert large.X.nbytes > 50e6
    with open_fit_process(tmp_path) as process:
        process.fit(large)
        memory = process.measurement.memory_bytes
    assert memory is not None
    assert memory < large.X.nbytes / 2


def test_a_process_that_is_killed_is_said_to_be_so(tmp_path: Path) -> None:
    process = FitProcess(tmp_path)
    process._process.kill()
    process._process.wait()
    with pytest.raises(InternalError, match="stopped by signal 9; was there too little memory"):
        process.fit(make_request("linear", "binary"))
    process.close()


def test_an_epoch_whose_loss_is_no_number_is_told_as_such() -> None:
    epoch = EpochFinished(1, 5, math.nan, math.inf, 1e-3, 10.0, 2.0)
    told = FitMessage.from_json(FitMessage(epoch=epoch).to_json()).epoch
    assert told is not None
    assert math.isnan(told.loss)
    assert told.validation_loss == math.inf


@pytest.mark.skipif(not get_family("mlp").is_installed, reason="PyTorch is not installed")
def test_the_epochs_of_a_network_are_told_as_if_it_were_trained_here(tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    with open_fit_process(tmp_path) as process, follow_inner_work(Progress(events.append)):
        process.fit(replace(make_request("mlp", "binary"), inner=None, params={}))
    assert [event.epoch for event in events if isinstance(event, EpochFinished)] == list(range(1, len(events) + 1))
    assert len(events) > 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="whether a process is running is read from /proc")
def test_a_fit_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_PARENT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    child, deadline = int(done.stdout), time.monotonic() + 30
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(child)
    assert not (tmp_path / MODEL_FILE).exists(), "it was not ended but had finished"


def is_running(process: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_mistake_in_the_rows_is_told_as_here(tmp_path: Path) -> None:
    request = make_request("linear", "binary")
    problem = replace(request.problem, kind="regression", loss=Loss("poisson"), offset="load")
    with open_fit_process(tmp_path) as process, pytest.raises(UserError, match="the exposure 'load' is -"):
        process.fit(replace(request, problem=problem))


def test_a_fault_on_the_way_ends_in_its_last_words(tmp_path: Path) -> None:
    request = make_request("linear", "binary")
    process = FitProcess(tmp_path)
    with pytest.raises(InternalError, match=r"ended with 1: ValueError: X must be \(n, p\)"):
        process.fit(replace(request, y=request.y[:-1], inner=None))
    process.close()
