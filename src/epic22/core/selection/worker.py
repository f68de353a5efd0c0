"""Trials of one search by several processes at once: faster, and another run may try and find others.

The training part goes to them as plain arrays in a folder, which they map into memory; what is small goes as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import InternalError
from epic22.core.evaluation.metrics import METRICS, ROOT_MEAN_SQUARED_LOG_ERROR, choose_metric
from epic22.core.models.base import FoldData
from epic22.core.models.catalog import get_search_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.study import Sampling, Study, Trial
from epic22.core.selection.trials import (
    FoldModels,
    SearchConfig,
    SearchData,
    TrialRunner,
    estimate_reserve,
    estimate_trial_seconds,
    select_complete,
    select_top_trials,
    slice_folds,
)
from epic22.core.task import Metric

FOLD_ARRAYS = ("X", "y", "X_valid", "y_valid")
"""What is written of an inner fold that has a matrix of its own."""


@dataclass(frozen=True)
class SearchState:
    """What another process needs of a search beside its arrays: plain values, for JSON. Metric and families are names."""

    problem: LearningProblem
    metric: str
    n_folds: int
    encodes_labels: bool
    refit: bool
    seed: int
    families: tuple[str, ...]
    budget: Budget
    sampling: Sampling
    prune: bool

    def build_config(self) -> SearchConfig:
        """What is asked of the search. Raises UnknownTaskError for a family that there is not."""
        return SearchConfig(tuple(map(get_search_family, self.families)), self.budget, self.sampling, self.prune)

    def read_data(self, folder: Path) -> SearchData:
        """The training part whose arrays another process wrote."""

        def load_array(name: str) -> Any:
            return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

        @cache
        def load_fold(number: int) -> FoldData:
            return FoldData(*(load_array(f"{number}.{name}") for name in FOLD_ARRAYS))

        X, y = load_array("X"), load_array("y")
        folds = tuple(Fold(load_array(f"{i}.train"), load_array(f"{i}.test")) for i in range(self.n_folds))
        get_fold, metric = load_fold if self.encodes_labels else slice_folds(X, y, folds), self._find_metric()
        return SearchData(self.problem, metric, X, y, folds, get_fold, self.encodes_labels, self.refit, self.seed)

    def _find_metric(self) -> Metric:
        """The metric of that name for targets like this one."""
        kind = self.problem.kind
        metrics = (*METRICS[kind], ROOT_MEAN_SQUARED_LOG_ERROR, choose_metric(kind, self.problem.loss))
        for metric in metrics:
            if metric.name == self.metric:
                return metric
        raise InternalError(f"a process of a search knows no metric {self.metric!r}.")


def write_search(data: SearchData, config: SearchConfig, folder: Path) -> SearchState:
    """Write a training part's arrays; what else another process needs."""
    arrays = {"X": data.X, "y": data.y}
    for number, fold in enumerate(data.folds):
        arrays |= {f"{number}.train": fold.train, f"{number}.test": fold.test}
        if data.encodes_labels:
            arrays |= {f"{number}.{name}": getattr(data.get_fold(number), name) for name in FOLD_ARRAYS}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    return SearchState(
        data.problem,
        data.metric.name,
        len(data.folds),
        data.encodes_labels,
        data.refit,
        data.seed,
        tuple(family.name for family in config.families),
        config.budget,
        config.sampling,
        config.prune,
    )


def run_worker(runner: TrialRunner, study: Study, deadline: Deadline, folder: Path) -> None:
    """Trials, beside those of other processes, until no more may be begun; models go to the folder."""
    limit, deadline = runner.config.budget.trials, deadline.move_earlier(estimate_reserve(runner.data, deadline.remaining))
    while limit is None or study.count_started() < limit:
        trials = study.trials
        complete = select_complete(trials)
        if deadline.is_over or (complete and deadline.remaining <= estimate_trial_seconds(trials)):
            return
        suggestion = study.ask()
        is_beyond_limit = limit is not None and study.count_started(before=suggestion) >= limit
        fitted = (
            None if is_beyond_limit else runner.run(suggestion, complete, deadline, False, runner.build_rivals(study, complete))
        )
        if fitted is None:
            study.fail(suggestion)
            return
        if not fitted.trial.pruned:
            study.save_scores(fitted.trial, fitted.raw)
            if not runner.data.refit:
                _save_models(fitted.models, folder / f"{suggestion.number}.npz")
        study.tell(fitted.trial, suggestion)


def load_worker_models(data: SearchData, config: SearchConfig, trials: Sequence[Trial], folder: Path) -> dict[int, FoldModels]:
    """The models of trials that may enter the ensemble, by number, from where processes left them."""
    families, models = {family.name: family for family in config.families}, {}
    for trial in select_top_trials(trials, data.metric.gain):
        path = folder / f"{trial.number}.npz"
        if path.exists():
            files = _read_files(path, len(data.folds))
            models[trial.number] = tuple(families[trial.family].restore(one) for one in files)
    return models


def _save_models(estimators: FoldModels, path: Path) -> None:
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
