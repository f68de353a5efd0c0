"""The search as a contender in a whole training: nested, and judged by its own folds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.searches import plan
from tests.toy import toy
from tests.trained import table

from epic22.adapters.model_store import ModelStore
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import SplitRequest
from epic22.core.experiment import Experiment
from epic22.core.selection.budget import Budget, Deadline
from epic22.services.candidates import NOT_NESTED_WARNING
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun
from epic22.services.tune import FINISHING_SECONDS, NestedSearch, Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

LINEAR = Tuning(Budget(2), families=("linear",))


def run(folder: Path, tuning: Tuning) -> RowRun:
    assignment = load_task_data(build_spec(csv=table(folder, "binary", 200), label="y", task="tuned"))
    pipeline = RowPipeline(assignment, SplitRequest(n_folds=2, repeats=1), 1, tuning=tuning, with_explanation=False)
    return train(pipeline, ModelStore(folder / "models"))


@pytest.mark.slow
def test_every_family_and_the_search_are_judged_by_the_same_folds(tmp_path: Path) -> None:
    found = run(tmp_path, LINEAR)
    assert {"constant", "linear", "boosting", "ensemble"} == {e.family for e in found.leaderboard}
    assert len({e.fingerprint for e in found.leaderboard}) == 1
    assert NOT_NESTED_WARNING not in found.warnings


@pytest.mark.slow
def test_a_search_that_judges_itself_does_so_by_its_inner_folds_and_says_so(tmp_path: Path) -> None:
    found = run(tmp_path, replace(LINEAR, budget=Budget(2, seconds=60), nested=False))
    ensemble = next(e for e in found.leaderboard if e.family == "ensemble")
    assert found.search_result is not None
    assert [part.response.tolist() for part in ensemble.fold_predictions] == [
        part.response.tolist() for part in found.search_result.out_of_fold
    ]
    assert {e.family for e in found.leaderboard} == {"constant", "ensemble"}
    assert NOT_NESTED_WARNING in found.warnings
    assert len(found.plan.folds) == 5
    tested = np.concatenate([fold.test for fold in found.plan.folds])
    assert sorted(tested) == list(range(200))
    for part in ensemble.fold_predictions:
        assert not set(part.fold.train) & set(part.fold.test)


def test_the_clock_stops_sooner_by_what_judging_takes() -> None:
    tuning = replace(LINEAR, deadline=Deadline(100.0, lambda: 0.0))
    assert tuning.reserve_time(100_000).deadline.end == pytest.approx(
        100.0 - FINISHING_SECONDS[0] - FINISHING_SECONDS[1] * 100_000
    )


def test_a_part_is_searched_once_and_a_larger_budget_is_the_same_study() -> None:
    made = toy("binary", 200)
    folds = plan(made)
    searcher = NestedSearch(LINEAR, Experiment(made.task, made.examples, folds), lambda train: FeatureRecipe(), False)
    train_rows = folds.folds[0].train
    assert searcher(made.examples, train_rows) is searcher(made.examples, train_rows)
    same, other = (replace(LINEAR, budget=Budget(9)), replace(LINEAR, sampling="random"))
    digests = [one.compute_digest(Experiment(made.task, made.examples, folds)) for one in (LINEAR, same, other)]
    assert digests[0] == digests[1] != digests[2]
