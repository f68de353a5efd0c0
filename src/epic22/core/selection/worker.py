"""Trials of one search by several processes at once: faster, and another run may try and find others.

The training part goes to them as plain arrays in a folder, which they map into memory; what is small goes as JSON.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import InternalError
from epic22.core.evaluation.metrics import METRICS, choose_metric
from epic22.core.models.base import Estimator, FoldData
from epic22.core.models.catalog import get_search_family
from epic22.core.models.loss import Loss
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.search import (
    HyperparameterSearch,
    SearchSetup,
    estimate_reserve,
    estimate_trial_seconds,
    run_trial,
    select_complete,
    select_top_trials,
)
from epic22.core.selection.study import Study, Trial
from epic22.core.task import AsOfView, Column, Future, Target, Task


def write_setup(setup: SearchSetup, folder: Path, threads: int) -> dict[str, Any]:
    """Write a training part's arrays; what else a process needs, for JSON."""
    np.save(folder / "X.npy", setup.X, allow_pickle=False)
    np.save(folder / "y.npy", setup.y, allow_pickle=False)
    for number, fold in enumerate(setup.folds):
        np.save(folder / f"{number}.train.npy", fold.train, allow_pickle=False)
        np.save(folder / f"{number}.test.npy", fold.test, allow_pickle=False)
        if setup.build_fold_data is not None:
            data = setup.get_fold_data(number)
            for name, values in (("X", data.X), ("y", data.y), ("X_watched", data.X_valid), ("y_watched", data.y_valid)):
                np.save(folder / f"{number}.{name}.npy", values, allow_pickle=False)
    target, search = setup.task.target, setup.search
    names = ("name", "kind", "classes", "loss", "log", "quantile", "power", "offset")
    return {
        "columns": [[column.name, column.dtype] for column in setup.task.input_columns],
        "target": {name: getattr(target, name) for name in names},
        "metric": target.metric.name,
        "families": [family.name for family in search.families],
        "trials": search.budget.trials,
        "seconds": search.budget.seconds,
        "prune": search.prune,
        "folds": len(setup.folds),
        "own": setup.build_fold_data is not None,
        "anew": setup.refit,
        "seed": setup.seed,
        "threads": threads,
    }


def read_setup(message: Mapping[str, Any], folder: Path) -> SearchSetup:
    """The training part that another process wrote; for trials alone, without what makes its matrix."""

    def load_array(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    folds = tuple(Fold(load_array(f"{i}.train"), load_array(f"{i}.test")) for i in range(message["folds"]))
    families = tuple(get_search_family(name) for name in message["families"])
    search = HyperparameterSearch(families, Budget(message["trials"], message["seconds"]), _no_study, message["prune"])
    y = load_array("y")
    setup = SearchSetup(
        search, _build_task(message), Preprocessor((), {}), load_array("X"), y, np.arange(len(y)), folds,
        message["anew"], message["seed"], message["threads"],
    )  # fmt: skip
    if message["own"]:
        names = ("X", "y", "X_watched", "y_watched")
        setup.fold_data.update({i: FoldData(*(load_array(f"{i}.{name}") for name in names)) for i in range(message["folds"])})
    return setup


def run_worker(setup: SearchSetup, study: Study, deadline: Deadline, folder: Path) -> None:
    """Trials, beside those of other processes, until no more may be begun; models go to the folder."""
    limit, deadline = setup.search.budget.trials, deadline.move_earlier(estimate_reserve(setup, deadline.remaining))
    with FoldExecutor(setup.split_threads(len(setup.folds))[0]) as setup.executor:
        while limit is None or study.count_started() < limit:
            trials = study.trials
            complete = select_complete(trials)
            if deadline.is_over or (complete and deadline.remaining <= estimate_trial_seconds(trials)):
                return
            suggestion = study.ask()
            if limit is not None and study.count_started(before=suggestion) >= limit:
                study.fail(suggestion)
                return
            trial = run_trial(setup, study, suggestion, complete, deadline, False)
            if trial is None:
                study.fail(suggestion)
                return
            if not setup.refit and not trial.pruned:
                _save_models(setup.fold_models.pop(suggestion.number), folder / f"{suggestion.number}.npz")
            study.tell(trial, suggestion)


def load_worker_models(setup: SearchSetup, trials: tuple[Trial, ...], folder: Path) -> None:
    """Take the models of trials that may enter the ensemble from where processes left them."""
    families = {family.name: family for family in setup.search.families}
    for trial in select_top_trials(trials, setup.task.target.metric.gain):
        path = folder / f"{trial.number}.npz"
        if path.exists():
            files = _read_files(path, len(setup.folds))
            setup.fold_models[trial.number] = tuple(families[trial.family].restore(one) for one in files)


def _save_models(estimators: tuple[Estimator, ...], path: Path) -> None:
    """Each fold's files in one archive, whole or not at all."""
    arrays: dict[str, Any] = {
        f"{number}|{name}": np.frombuffer(content, np.uint8)
        for number, estimator in enumerate(estimators)
        for name, content in estimator.files().items()
    }
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


def _read_files(path: Path, n_folds: int) -> list[dict[str, bytes]]:
    files: list[dict[str, bytes]] = [{} for _ in range(n_folds)]
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            number, _, name = key.partition("|")
            files[int(number)][name] = archive[key].tobytes()
    return files


def _build_task(message: Mapping[str, Any]) -> Task:
    """As much of a task as a family looks at."""
    target_fields = {**message["target"], "classes": tuple(message["target"]["classes"])}
    metrics = {metric.name: metric for metric in METRICS[target_fields["kind"]]}
    metric = metrics.get(message["metric"])
    if metric is None:
        metric = choose_metric(
            target_fields["kind"], Loss(target_fields["loss"], target_fields["quantile"], target_fields["power"])
        )
    target = Target(labels=_no_labels, metric=metric, **target_fields)
    columns = tuple(Column(name, dtype) for name, dtype in message["columns"])
    return Task("search", columns, (target,), _no_rows, _no_inputs, ())


def _no_study(part: str) -> Study:
    raise InternalError(f"a process of a search was asked for the study of part {part}.")


def _no_labels(view: AsOfView, future: Future) -> pl.DataFrame:
    return pl.DataFrame()


def _no_rows(view: AsOfView, candidates: pl.DataFrame) -> pl.DataFrame:
    return candidates


def _no_inputs(view: AsOfView) -> pl.LazyFrame:
    return pl.LazyFrame()
