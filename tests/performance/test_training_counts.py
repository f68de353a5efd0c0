"""What a training costs in fits: each family once a fold, and the champion once more on all rows."""

from pathlib import Path

import numpy as np
import pytest
from tests.performance.counts import Counter
from tests.searches import FAMILIES, searched
from tests.toy import toy
from tests.trained import table

from epic22.adapters.model_store import ModelStore
from epic22.core.data.folds import SplitRequest
from epic22.core.models.base import FoldData
from epic22.core.models.baseline import Constant
from epic22.core.models.linear import Linear
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.task import Kind
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

pytestmark = pytest.mark.slow


def run(folder: Path, kind: Kind, repeats: int = 1) -> RowRun:
    data = load_task_data(build_spec(csv=table(folder, kind), label="y", id="who", task="toy"))
    return train(RowPipeline(data, SplitRequest(repeats=repeats), threads=1), ModelStore(folder / "models"))


def count_fits(monkeypatch: pytest.MonkeyPatch) -> Counter:
    fits = Counter()
    for owner in (Constant, Linear, XGBoostEstimator):
        fits.watch(monkeypatch, owner, "fit")
    return fits


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_each_family_is_fitted_once_a_fold_and_the_champion_once_more(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = count_fits(monkeypatch)
    trained = run(tmp_path, kind)
    n_folds, champion = len(trained.plan.folds), type(trained.bundle.estimator).__name__
    each = {"Constant": n_folds, "Linear": n_folds, "XGBoostEstimator": n_folds}
    assert fits.by_class == each | {champion: n_folds + 1}


def test_another_dealing_of_the_folds_costs_as_many_fits_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = count_fits(monkeypatch)
    trained = run(tmp_path, "binary", repeats=2)
    assert fits.total == 3 * len(trained.plan.folds) + 1
    assert len(trained.plan.folds) == 2 * 5


def test_a_search_never_fits_more_than_its_trials_on_each_inner_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight trials on the inner folds, and at the end the few that are blended, each once."""
    fits = Counter()
    for owner in (Linear, XGBoostEstimator):
        fits.watch(monkeypatch, owner, "fit_with_validation")
    made = toy("binary", 300)
    searched(made, 8, prune=False)
    inner = fits.total / 8
    assert inner <= 5 + 2
    assert len(FAMILIES) == 2


def test_pruning_only_ever_saves_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = []
    for prune in (False, True):
        with monkeypatch.context() as patch:
            fits = Counter()
            for owner in (Linear, XGBoostEstimator):
                fits.watch(patch, owner, "fit_with_validation")
            searched(toy("binary", 300), 10, prune=prune)
            totals.append(fits.total)
    assert totals[1] <= totals[0]


def test_what_trials_share_of_a_fold_is_made_once() -> None:
    data = FoldData(np.zeros((3, 1)), np.zeros(3), np.zeros((0, 1)), np.zeros(0))
    builds: list[int] = []

    def build() -> int:
        builds.append(1)
        return len(builds)

    assert [data.get_cached("matrix", build) for _ in range(5)] == [1] * 5
    assert data.get_cached("another", build) == 2
