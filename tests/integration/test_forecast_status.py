"""A forecast is proven only where it is certainly better than every rule that learns nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.forecast_runs import forecast_run

from epic22.core.evaluation.significance import Verdict
from epic22.core.statistics import Interval
from epic22.core.task import Array
from epic22.services.pipelines.forecast_scores import is_proven
from epic22.services.training_run import SeriesRun

FAMILIES = ("naive", "drift", "pooled_linear")


def train_on(values: Array, folder: Path) -> tuple[SeriesRun, dict[str, Verdict]]:
    """A run over twenty independent stretches, and its verdicts of the pooled skill by rival."""
    run, _ = forecast_run(folder, values, FAMILIES, holdout=62)
    return run, {v.against: v for v in run.verdicts if v.metric == "skill" and v.horizon == "all"}


@pytest.mark.slow
def test_of_a_random_walk_nothing_is_proven_though_the_drift_by_itself_is_beaten(tmp_path: Path) -> None:
    steps = np.random.default_rng(4).normal(size=(8, 160))
    run, verdicts = train_on(100 + np.cumsum(steps, axis=1), tmp_path)
    assert verdicts["drift"].difference.low > 0
    assert verdicts["drift"].enough_data
    assert run.champion.family == "naive" or not verdicts["naive"].better
    assert run.version.status == "provisional"


def test_a_rule_that_learns_nothing_is_never_proven_however_many_others_it_beats() -> None:
    verdict = Verdict("drift", "y", "all", "skill", Interval(0.2, 0.1, 0.3), 0.001, True, "by hand", "")
    assert not is_proven("naive", [verdict])
    assert is_proven("theta", [verdict])
    assert not is_proven("theta", [verdict, replace(verdict, against="naive", enough_data=False)])
    assert not is_proven("theta", [verdict, replace(verdict, against="naive", p=0.02, p_adjusted=0.06)])


@pytest.mark.slow
def test_what_beats_all_that_learns_nothing_is_proven(tmp_path: Path) -> None:
    swing = np.cumsum(np.random.default_rng(0).normal(size=(8, 160)), axis=1)
    run, verdicts = train_on(100 + swing - 0.7 * np.roll(swing, 1, axis=1), tmp_path)
    assert run.version.status == ("proven" if verdicts["naive"].better and verdicts["drift"].better else "provisional")
    assert run.version.status == "proven"
