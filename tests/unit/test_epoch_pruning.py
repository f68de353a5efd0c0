"""Trials that are pruned by epoch: by which bar, what is kept of them, and that a search goes on with it after a kill."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.searches import part_of
from tests.toy import toy
from tests.trained import trained

from epic22.adapters.studies import StudyFiles
from epic22.bootstrap import TrainingResult
from epic22.cli.training_result import print_training
from epic22.core.models.base import Capabilities, FoldData, never_expires
from epic22.core.models.catalog import get_family
from epic22.core.models.linear import Linear
from epic22.core.models.networks.jobs import is_behind
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.executor import FoldExecutor
from epic22.core.selection.search import search
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import Study, Suggestion, Trial
from epic22.core.selection.trials import (
    EPOCH_STARTUP_TRIALS,
    PRUNER_WARMUP_EPOCHS,
    SearchConfig,
    TrialRunner,
    compute_epoch_bars,
)
from epic22.core.serialization import to_json
from epic22.core.task import Array
from epic22.reports.html.training import render_report
from epic22.reports.json import VIEWS

N_EPOCHS = 12


@dataclass
class LinearByEpochs(Linear):
    """Stands for a network: a linear model whose held-out loss is what it is in the fourth epoch, and more in others."""

    bar: tuple[float, ...] = ()

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        self.losses_ = list[float]()
        raw = super().fit_with_validation(data)
        least = float(np.mean(np.logaddexp(0.0, raw) - data.y_valid * raw)) if len(data.y_valid) else 0.0
        for epoch in range(N_EPOCHS):
            self.losses_.append(least * (1 + abs(epoch - 3) / 10))
            if is_behind(self.losses_, self.bar):
                break
        return raw


FAMILY = replace(get_family("linear"), name="by epochs", build=LinearByEpochs.of, capabilities=Capabilities(reports_epochs=True))
SUGGESTION = Suggestion(30, "by epochs", {"penalty": 0.1})


def report(number: int, losses: tuple[float, ...], n_folds: int, pruned: bool = False) -> Trial:
    """A trial whose losses are the same in each fold."""
    return Trial(number, "by epochs", {}, (0.5,) * n_folds, ({},) * n_folds, 1.0, pruned, (losses,) * n_folds)


def run_against(losses: tuple[float, ...], n_trials: int = EPOCH_STARTUP_TRIALS, prune: bool = True) -> Trial:
    """What comes of a suggestion after so many complete trials with these losses."""
    data = part_of(toy("binary", 120)).data
    complete = [report(number, losses, len(data.folds)) for number in range(n_trials)]
    with FoldExecutor.split(2, len(data.folds)) as executor:
        runner = TrialRunner(data, SearchConfig((FAMILY,), Budget(9), prune=prune), executor)
        fitted = runner.run(SUGGESTION, complete, Deadline(None), is_first=False)
    assert fitted is not None
    return fitted.trial


def test_the_bar_is_what_three_of_four_reached_so_far_and_without_end_until_half_were_at_their_best() -> None:
    fast, slow = (tuple(factor / epoch for epoch in range(1, 13)) for factor in (1.0, 2.0))
    ended, best_at_7 = (0.9, 0.4, math.nan), (9.0,) * 6 + (0.1, 0.2)
    complete = [report(number, losses, 3) for number, losses in enumerate((ended, fast, slow, best_at_7, ended))]
    bars = compute_epoch_bars([*complete, Trial(9, "trees", {}, (0.5,) * 3, ({},) * 3, 1.0)])
    assert len(bars) == 3
    assert set(bars[0][:7]) == {math.inf}
    assert bars[0][7:] == pytest.approx([0.4] * 5)
    late = [report(number, slow, 1) for number in range(EPOCH_STARTUP_TRIALS)]
    assert set(compute_epoch_bars(late)[0]) == {math.inf}, "who is at the best in the last epoch is not behind before"
    assert compute_epoch_bars(complete[1:]) == ()


def test_a_training_without_any_number_for_a_loss_is_behind() -> None:
    assert is_behind([math.nan, math.nan], [math.inf, 0.5])
    assert not is_behind([math.nan, 0.4], [math.inf, 0.5])


def test_what_falls_behind_in_the_first_fold_is_pruned_at_that_epoch_and_no_other_fold_is_fitted() -> None:
    trial = run_against((1e-6,) * N_EPOCHS)
    assert trial.pruned
    assert trial.pruned_epoch == PRUNER_WARMUP_EPOCHS + 1
    assert [len(losses) for losses in trial.losses] == [PRUNER_WARMUP_EPOCHS + 1]
    assert len(trial.fold_scores) == len(trial.best_params) == 1
    assert trial.end == "epoch 6 of inner fold 1"
    assert replace(trial, pruned_epoch=None, fold_scores=(0.5, 0.5)).end == "after 2 inner folds"


@pytest.mark.parametrize(
    ("losses", "n_trials", "prune"),
    [((9.0,) * N_EPOCHS, 5, True), ((1e-6,) * N_EPOCHS, 4, True), ((1e-6,) * N_EPOCHS, 5, False), ((), 5, True)],
)
def test_nothing_is_pruned_that_keeps_up_or_is_early_or_is_not_to_be_pruned(
    losses: tuple[float, ...], n_trials: int, prune: bool
) -> None:
    trial = run_against(losses, n_trials, prune)
    assert not trial.pruned
    assert (trial.pruned_epoch, trial.end) == (None, "")
    assert {len(one) for one in trial.losses} == {N_EPOCHS}


def search_by_epochs(n_trials: int, place: StudyFiles) -> SearchResult:
    made = toy("binary", 160)
    config, part = SearchConfig((FAMILY,), Budget(n_trials)), part_of(made, threads=1)
    study = place.open("toy", "digest", "part", config.build_study_config(made.task.target.metric, 0))
    return search(part, config, study)


@cache
def search_undisturbed() -> SearchResult:
    """A search of as many trials as make some that are pruned by epoch."""
    made = toy("binary", 160)
    config, part = SearchConfig((FAMILY,), Budget(16)), part_of(made, threads=1)
    return search(part, config, Study(config.build_study_config(made.task.target.metric, 0)))


@pytest.mark.slow
def test_a_trial_pruned_by_epoch_is_shown_with_its_epoch_and_is_no_member(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = search_undisturbed()
    pruned = {trial.number for trial in result.trials if trial.pruned_epoch is not None}
    assert pruned
    assert not pruned & {number for number, _ in result.weights}
    shown = json.loads(json.dumps(to_json(result, VIEWS)))["trials"]
    assert {number for number, trial in enumerate(shown) if trial.get("epoch") is not None} == pruned
    assert all(shown[number]["pruned"] and not shown[number]["weight"] for number in pruned)
    run, _ = trained(tmp_path, "binary")
    page = render_report(replace(run, search_result=result), {})
    all_pruned = [trial for trial in result.trials if trial.pruned]
    assert f"{len(all_pruned)} of 16 trials were pruned, and none of them is a member" in page
    assert all(f"<td>{trial.end}</td>" in page for trial in all_pruned)
    print_training(TrainingResult(replace(run, search_result=result), tmp_path / "report.html", ""))
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{number + 1} (by epochs, {result.trials[number].end})" in printed for number in pruned)


@pytest.mark.slow
@pytest.mark.parametrize("n_before", [10, 13])
def test_a_search_with_pruned_trials_that_was_interrupted_ends_as_if_it_had_not_been(n_before: int, tmp_path: Path) -> None:
    undisturbed = search_undisturbed()
    search_by_epochs(n_before, StudyFiles(tmp_path))
    resumed = search_by_epochs(16, StudyFiles(tmp_path))
    assert [replace(trial, seconds=0.0) for trial in resumed.trials] == [replace(t, seconds=0.0) for t in undisturbed.trials]
    assert resumed.weights == undisturbed.weights
    assert resumed.fitted_fold.estimator.files() == undisturbed.fitted_fold.estimator.files()
