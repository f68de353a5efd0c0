"""Trials of one search by several processes at once: faster, and another run may try and find others.

The training part goes to them as plain arrays in a folder, which they map into memory; what is small goes as JSON.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import Fold
from epic22.core.errors import InternalError
from epic22.core.evaluation.metrics import METRICS, deciding_metric
from epic22.core.models.base import Estimator, Part
from epic22.core.models.catalog import searched_family
from epic22.core.models.loss import Loss
from epic22.core.selection.budget import Budget, Clock
from epic22.core.selection.hands import Hands
from epic22.core.selection.search import Bench, Search, complete_trials, likely_seconds, pool_of, reserve_for, try_suggestion
from epic22.core.selection.study import Study, Trial
from epic22.core.task import Column, Known, Later, Target, Task


def write_bench(bench: Bench, folder: Path, threads: int) -> dict[str, Any]:
    """Write a training part's arrays; what else a process needs, for JSON."""
    np.save(folder / "X.npy", bench.X, allow_pickle=False)
    np.save(folder / "y.npy", bench.y, allow_pickle=False)
    for number, fold in enumerate(bench.folds):
        np.save(folder / f"{number}.train.npy", fold.train, allow_pickle=False)
        np.save(folder / f"{number}.test.npy", fold.test, allow_pickle=False)
        if bench.own is not None:
            part = bench.part(number)
            for name, values in (("X", part.X), ("y", part.y), ("X_watched", part.X_watched), ("y_watched", part.y_watched)):
                np.save(folder / f"{number}.{name}.npy", values, allow_pickle=False)
    target, search = bench.task.target, bench.search
    names = ("name", "kind", "classes", "loss", "log", "quantile", "power", "offset")
    return {
        "columns": [[column.name, column.dtype] for column in bench.task.input_columns],
        "target": {name: getattr(target, name) for name in names},
        "metric": target.metric.name,
        "families": [family.name for family in search.families],
        "trials": search.budget.trials,
        "seconds": search.budget.seconds,
        "prune": search.prune,
        "folds": len(bench.folds),
        "own": bench.own is not None,
        "anew": bench.anew,
        "seed": bench.seed,
        "threads": threads,
    }


def read_bench(order: Mapping[str, Any], folder: Path) -> Bench:
    """The training part that another process wrote; for trials alone, without what makes its matrix."""

    def mapped(name: str) -> Any:
        return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    folds = tuple(Fold(mapped(f"{i}.train"), mapped(f"{i}.test")) for i in range(order["folds"]))
    families = tuple(searched_family(name) for name in order["families"])
    search = Search(families, Budget(order["trials"], order["seconds"]), _no_study, order["prune"])
    y = mapped("y")
    bench = Bench(
        search, _task(order), Preprocessor((), {}), mapped("X"), y, np.arange(len(y)), folds, order["anew"], order["seed"],
        order["threads"],
    )  # fmt: skip
    if order["own"]:
        names = ("X", "y", "X_watched", "y_watched")
        bench.parts.update({i: Part(*(mapped(f"{i}.{name}") for name in names)) for i in range(order["folds"])})
    return bench


def work(bench: Bench, study: Study, clock: Clock, folder: Path) -> None:
    """Trials, beside those of other processes, until no more may be begun; models go to the folder."""
    limit, clock = bench.search.budget.trials, clock.sooner(reserve_for(bench, clock.left))
    with Hands(bench.side_by_side(len(bench.folds))[0]) as bench.hands:
        while limit is None or study.begun() < limit:
            done = study.trials
            complete = complete_trials(done)
            if clock.over or (complete and clock.left <= likely_seconds(done)):
                return
            suggestion = study.ask()
            if limit is not None and study.begun(before=suggestion) >= limit:
                study.give_up(suggestion)
                return
            trial = try_suggestion(bench, study, suggestion, complete, clock, False)
            if trial is None:
                study.give_up(suggestion)
                return
            if not bench.anew and not trial.pruned:
                _hand_over(bench.fitted.pop(suggestion.turn), folder / f"{suggestion.turn}.npz")
            study.tell(trial, suggestion)


def take_over(bench: Bench, trials: tuple[Trial, ...], folder: Path) -> None:
    """Take the models of trials that may enter the ensemble from where processes left them."""
    families = {family.name: family for family in bench.search.families}
    for trial in pool_of(trials, bench.task.target.metric.gain):
        path = folder / f"{trial.turn}.npz"
        if path.exists():
            files = _read_files(path, len(bench.folds))
            bench.fitted[trial.turn] = tuple(families[trial.family].restore(one) for one in files)


def _hand_over(estimators: tuple[Estimator, ...], path: Path) -> None:
    """Each fold's files in one archive, whole or not at all."""
    arrays: dict[str, Any] = {
        f"{number}|{name}": np.frombuffer(content, np.uint8)
        for number, estimator in enumerate(estimators)
        for name, content in estimator.files().items()
    }
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, **arrays)
    unfinished.replace(path)


def _read_files(path: Path, folds: int) -> list[dict[str, bytes]]:
    files: list[dict[str, bytes]] = [{} for _ in range(folds)]
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            number, _, name = key.partition("|")
            files[int(number)][name] = archive[key].tobytes()
    return files


def _task(order: Mapping[str, Any]) -> Task:
    """As much of a task as a family looks at."""
    stated = {**order["target"], "classes": tuple(order["target"]["classes"])}
    known = {metric.name: metric for metric in METRICS[stated["kind"]]}
    metric = known.get(order["metric"])
    if metric is None:
        metric = deciding_metric(stated["kind"], Loss(stated["loss"], stated["quantile"], stated["power"]))
    target = Target(labels=_no_labels, metric=metric, **stated)
    columns = tuple(Column(name, dtype) for name, dtype in order["columns"])
    return Task("search", columns, (target,), _no_rows, _no_inputs, ())


def _no_study(part: str) -> Study:
    raise InternalError(f"a process of a search was asked for the study of part {part}.")


def _no_labels(known: Known, later: Later) -> pl.DataFrame:
    return pl.DataFrame()


def _no_rows(known: Known, candidates: pl.DataFrame) -> pl.DataFrame:
    return candidates


def _no_inputs(known: Known) -> pl.LazyFrame:
    return pl.LazyFrame()
