"""The OpenMP runtimes that PyTorch and XGBoost bring into one process, and whether the process survives both.

`python -m epic22.adapters.openmp` is such a process. On a Mac it may hang or be ended: that is what it is for.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from epic22.adapters.probe_process import Record, run_probe
from epic22.core.machine import OpenmpRuntimes

SECONDS = 90.0
THREADS = 2


def check_openmp() -> OpenmpRuntimes:
    """The runtimes in a process of its own that computes with both libraries."""
    records: list[Record] = []
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    end = run_probe(["-m", "epic22.adapters.openmp"], SECONDS, records.append, environment)
    files = records[-1]["files"] if records else ()
    return OpenmpRuntimes(tuple(files), end.fault)


def list_openmp_files() -> list[str]:
    """The files of the OpenMP runtimes that this process has loaded, each below the folder of libraries where it lies there."""
    from threadpoolctl import threadpool_info

    folders = [Path(folder) for folder in sys.path if folder]
    files = sorted({Path(one["filepath"]) for one in threadpool_info() if one["user_api"] == "openmp"})
    return [
        next((path.relative_to(folder).as_posix() for folder in folders if path.is_relative_to(folder)), str(path))
        for path in files
    ]


def _compute_with_both() -> None:
    import numpy as np

    # In this order, which is the worse one: a Mac's process has been ended by it, and not by the other.
    import torch  # isort: skip
    import xgboost  # isort: skip

    _print_record(files=list_openmp_files())
    x = np.random.default_rng(0).normal(size=(4096, 8)).astype(np.float32)
    torch.set_num_threads(THREADS)
    for _ in range(3):
        rows = xgboost.DMatrix(x, x[:, 0] > 0, nthread=THREADS)
        xgboost.train({"objective": "binary:logistic", "nthread": THREADS}, rows, 3)
        tensor = torch.from_numpy(x)
        (tensor.T @ tensor).exp().sum()
    _print_record(files=list_openmp_files())


def _print_record(**record: Any) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _compute_with_both()
