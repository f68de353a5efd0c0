"""A training whose search is written down trial by trial, from the command's call to MLflow's tables."""

from pathlib import Path

import pytest
from tests import trained

import epic22
from epic22.adapters.tracking.mlflow_runs import MlflowRuns
from epic22.adapters.tracking.mlflow_store import MlflowStore

pytestmark = pytest.mark.slow


def test_the_trials_of_all_parts_of_a_search_are_below_its_run(tmp_path: Path) -> None:
    home, table = tmp_path / "home", trained.table(tmp_path, "binary", 200)
    search = {"trials": 3, "search_family": ["linear"], "engineer": False}
    run = epic22.train(table, label="y", id="who", task="toy", folds=2, repeats=1, families=["constant"], home=home, **search)
    training, *below = MlflowRuns(MlflowStore(home)).read("toy/1")
    families = {one.name: one.id for one in below if one.parent == training.id}
    assert "ensemble" in families
    trials = [one for one in below if one.parent == families["ensemble"]]
    assert len(trials) == 3 * 3, "two folds that judge, and all rows"
    assert {one.parameters["search_part"] for one in trials} == {"fold 1", "fold 2", "all rows"}
    assert all(one.parameters["family"] == "linear" and one.parameters["state"] for one in trials)
    metric = run.result.run.task.target.metric.name
    for one in trials:
        figures = {point.name: point.value for point in one.metrics}
        assert figures["trial_seconds"] > 0
        assert figures.keys() >= {metric, f"{metric}_inner_fold"}
    names = {point.name for point in training.metrics}
    assert {"elapsed_seconds", "processor_seconds", "peak_memory_mb"} <= names
    assert {"epic22.environment.python", "epic22.environment.numpy", "epic22.code_version"} <= set(training.tags)
    (dataset,) = training.datasets
    assert dataset.digest == run.version.data_version[:36]
