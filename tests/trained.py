"""A small model trained through the real pipeline, for what needs one."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from epic22.adapters.model_store import ModelStore
from epic22.core.artifact.bundle import Bundle
from epic22.core.artifact.row_model import RowModel
from epic22.core.data.folds import SplitRequest
from epic22.core.lineage import ModelVersion
from epic22.core.task import Kind
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec
from tests.folders import folder_of_process
from tests.toy import CLASSES, inputs, labels

NAMES = {"fitted_on": "fitted on", "load": "load <b>$kN$</b>"}
"""Two columns with names that are hard to write into a page or a picture."""


def table(folder: Path, kind: Kind, n: int = 400, seed: int = 0) -> Path:
    """The toy rows as a file, with an id and hostile column names."""
    X = inputs(n, seed).rename(NAMES)
    y = labels(inputs(n, seed), kind, seed)
    named = [CLASSES[kind][int(v)] for v in y] if CLASSES[kind] else np.round(y, 3)
    path = folder / f"toy-{kind}-{n}-{seed}.csv"
    X.with_columns(pl.Series("who", [f"person {i}" for i in range(n)]), pl.Series("y", named)).write_csv(path)
    return path


def trained(folder: Path, kind: Kind = "binary", seed: int = 0, n: int = 400) -> tuple[RowRun, ModelStore]:
    """A run on the toy table, promoted as task `toy` in a store below the folder; trained once a process."""
    run, made = _trained_once(kind, seed, n)
    store, version = ModelStore(folder / "models"), run.version
    bundle = made.folder("toy", version.version) / "bundle"
    version = store.save("toy", version.family, version.model_hash, version.data_version, version.status, bundle)
    store.promote("toy", version.version, run.verdicts)
    return replace(run, version=version), store


@cache
def _trained_once(kind: Kind, seed: int, n: int) -> tuple[RowRun, ModelStore]:
    folder = folder_of_process()
    store = ModelStore(folder / "models")
    assignment = load_task_data(build_spec(csv=table(folder, kind, n, seed), label="y", id="who", task="toy"))
    return train(RowPipeline(assignment, SplitRequest(seed=seed, repeats=1), threads=1), store), store


def opened(store: ModelStore) -> tuple[ModelVersion, Bundle]:
    """The champion of task `toy`, which is a model of rows."""
    model = store.load("toy")
    assert isinstance(model, RowModel)
    return model.version, model.bundle
