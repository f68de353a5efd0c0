"""Forests of trees that are grown each by itself: what they average, how many tests they have, when they end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.models.averaged_trees import FAMILIES, AveragedTrees, ExtraTrees, RandomForest
from epic22.core.models.base import FoldData, never_expires
from epic22.core.models.catalog import default_families, get_family, name_families
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.loss import Loss
from epic22.core.models.trees.forest import Forest
from epic22.core.models.trees.independent import DEEP_TREES, IndependentTrees
from epic22.core.models.trees.level_order import order_levels, rank_levels
from epic22.core.task import Array, Kind

CATEGORICAL = (False, True, False)
BOTH = pytest.mark.parametrize("build", [ExtraTrees, RandomForest])


def rows(n: int = 600, seed: int = 0) -> tuple[Array, Array]:
    """A column with gaps, a category, a column of noise; and values with a signal in the first two."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 1] = rng.integers(0, 12, n)
    signal = np.nan_to_num(X[:, 0]) + np.sin(5 * X[:, 1])
    X[rng.uniform(size=n) < 0.1, 0] = np.nan
    return X, np.asarray(signal + 0.1 * rng.normal(size=n))


def classes(n: int = 600, share: float = 0.3) -> tuple[Array, Array]:
    X, y = rows(n)
    return X, (y > np.quantile(y, 1 - share)).astype(float)


def count_splits(model: AveragedTrees) -> int:
    return int((model.forest.nodes.feature >= 0).sum())


def fit_part(model: AveragedTrees, X: Array, y: Array, expired: Any = never_expires) -> Array:
    """Scores of the second half of the rows, the first half being fitted."""
    half = len(y) // 2
    return model.fit_with_validation(FoldData(X[:half], y[:half], X[half:], y[half:]), expired)


def test_one_tree_without_a_bound_says_what_each_row_was() -> None:
    X, y = rows()
    model = ExtraTrees(
        "regression", CATEGORICAL, n_trees=1, max_splits=100_000, min_samples_leaf=1, max_features=1.0, slope=1.0, shift=0.0
    )
    assert np.allclose(model.fit(X, y).predict(X), y)


@BOTH
def test_scores_are_the_mean_of_the_trees_own(build: type[AveragedTrees]) -> None:
    X, y = classes()
    whole = build("binary", CATEGORICAL, n_trees=8, slope=1.0, shift=0.0).fit(X, y)
    ends = np.cumsum(whole.trees_.n_nodes)
    parts = []
    for size, end in zip(whole.trees_.n_nodes, ends, strict=True):
        one = {name: values[end - size : end] for name, values in vars(whole.trees_).items() if name != "n_nodes"}
        parts.append(IndependentTrees(n_nodes=np.array([size]), **one).average(whole.order_).decision_function(X))
    assert len(parts) == 8
    assert np.allclose(whole.decision_function(X), np.mean(parts, axis=0))


@BOTH
@pytest.mark.parametrize(("kind", "n_classes"), [("binary", 2), ("multiclass", 4), ("regression", 2)])
def test_there_are_never_more_tests_than_the_bound(build: type[AveragedTrees], kind: Kind, n_classes: int) -> None:
    X, values = rows()
    y = values if kind == "regression" else np.digitize(values, np.quantile(values, np.arange(1, n_classes) / n_classes))
    bound = DEEP_TREES * n_classes * 3
    few = build(kind, CATEGORICAL, n_classes, max_splits=bound, slope=1.0, shift=0.0).fit(X, y.astype(float))
    assert bound / 2 < count_splits(few) <= bound
    assert len(few.trees_.n_nodes) >= DEEP_TREES


def test_small_tables_have_more_trees() -> None:
    X, y = rows(60)
    assert len(ExtraTrees("regression", CATEGORICAL, slope=1.0, shift=0.0).fit(X, y).trees_.n_nodes) == ExtraTrees.n_trees


@BOTH
def test_time_that_is_over_leaves_the_trees_made_so_far(build: type[AveragedTrees]) -> None:
    X, y = classes()
    looks = iter([False, False, True])
    short, whole = build("binary", CATEGORICAL, slope=1.0, shift=0.0), build("binary", CATEGORICAL, slope=1.0, shift=0.0)
    fit_part(short, X, y, lambda: next(looks))
    fit_part(whole, X, y)
    assert short.best_params()["n_trees"] == 3
    assert len(whole.trees_.n_nodes) > 3
    assert np.array_equal(short.trees_.bound, whole.trees_.bound[: len(short.trees_.bound)])


def test_validation_rows_say_slope_and_shift_and_a_last_fit_takes_them() -> None:
    X, y = classes(2000, share=0.03)
    model = RandomForest("binary", CATEGORICAL)
    scores = fit_part(model, X, y)
    raw = fit_part(RandomForest("binary", CATEGORICAL, slope=1.0, shift=0.0), X, y)
    held_out = y[1000:]
    losses = [float(np.mean(np.logaddexp(0, one) - held_out * one)) for one in (scores, raw)]
    assert losses[0] < 0.9 * losses[1]
    last = RandomForest("binary", CATEGORICAL).set_params(**model.best_params())
    assert last.fit_with_validation(FoldData(X, y, X[:0], y[:0])).shape == (0,)
    assert (last.slope_, last.shift_) == (model.slope_, model.shift_) != (1.0, 0.0)


def test_without_an_inner_fold_every_fifth_row_says_them() -> None:
    X, y = classes(share=0.1)
    model = ExtraTrees("binary", CATEGORICAL, min_samples_leaf=2).fit(X, y)
    assert model.shift_ != 0.0
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), abs=0.03)


def test_values_are_stretched_about_their_mean_and_not_shifted() -> None:
    X, y = rows()
    model = ExtraTrees("regression", CATEGORICAL, max_splits=100).fit(X, 1000 + y)
    assert model.slope_ > 1.0
    assert model.shift_ == 0.0
    assert model.predict(X).mean() == pytest.approx(1000 + y.mean(), abs=0.1)


@BOTH
def test_reasons_sum_to_the_score_and_other_levels_count_as_missing(build: type[AveragedTrees]) -> None:
    X, y = classes()
    model, strange = build("binary", CATEGORICAL).fit(X, y), X[:40].copy()
    strange[:20, 1], strange[10:30, 0] = np.nan, np.nan
    parts = model.shap_values(strange)
    assert np.allclose(parts.sum(axis=1), model.decision_function(strange), atol=1e-9)
    assert np.abs(parts[:, 2]).mean() < np.abs(parts[:, 0]).mean()


def test_more_rows_than_a_tree_may_have_are_drawn_for_it_and_all_are_in_the_leaves() -> None:
    X, y = rows()
    model = ExtraTrees("regression", CATEGORICAL, max_rows=50, min_samples_leaf=5, slope=1.0, shift=0.0).fit(X, y)
    roots = model.forest.nodes.roots
    assert (model.trees_.cover[roots] == 50).all()
    # A leaf's mean is of all rows that end in it: so their mean is that of all labels.
    assert model.predict(X).mean() == pytest.approx(y.mean(), abs=1e-9)


def test_levels_stand_in_the_order_of_their_labels_and_ranks_come_back() -> None:
    X = np.array([[4.0], [4.0], [0.0], [0.0], [2.0], [2.0], [np.nan]], np.float32)
    y = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    order = order_levels(X, (True,), y[:, None])
    assert order in (((4, 2, 0),), ((0, 2, 4),))
    ranks = rank_levels(np.array([[4.0], [2.0], [0.0], [1.0], [9.0], [np.nan], [-1.0]], np.float32), ((4, 2, 0),))
    assert np.array_equal(ranks[:, 0], [0, 1, 2, np.nan, np.nan, np.nan, np.nan], equal_nan=True)


def test_a_category_without_a_level_is_no_obstacle() -> None:
    X, y = rows(80)
    X[:, 1] = np.nan
    assert np.isfinite(RandomForest("regression", CATEGORICAL).fit(X, y).predict(X)).all()


@pytest.mark.parametrize("loss", [Loss("poisson"), Loss("absolute"), Loss("quantile", 0.8)])
def test_leaves_hold_what_the_loss_asks_for(loss: Loss) -> None:
    X, values = rows(800)
    y = np.random.default_rng(1).poisson(np.exp(values)).astype(float)
    model = RandomForest("regression", CATEGORICAL, loss=loss, min_samples_leaf=20).fit(X, y)
    value, constant = model.predict(X), loss.fit_constant(y)
    assert loss.compute_losses(y, value).mean() < 0.8 * loss.compute_losses(y, np.full(len(y), constant)).mean()


@BOTH
def test_threads_change_no_byte(build: type[AveragedTrees], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.core.models.averaged_trees.CELLS_PER_THREAD", 1)
    X, y = classes()
    # With a bound that ends the growth amid a turn of the threads.
    one, three = (build("binary", CATEGORICAL, threads=threads, max_splits=700).fit(X, y).files() for threads in (1, 3))
    assert one == three


def test_an_ensemble_makes_one_forest_of_them_and_boosted_trees() -> None:
    X, y = classes()
    forests = [build("binary", CATEGORICAL).fit(X, y) for build in (ExtraTrees, RandomForest)]
    names = [family.name for family in FAMILIES]
    joint = Ensemble("binary", tuple(Member(name, 0.5, one) for name, one in zip(names, forests, strict=True)))
    assert [type(part) for _, part in joint.components] == [Forest]
    assert np.allclose(joint.decision_function(X), np.mean([one.decision_function(X) for one in forests], axis=0))
    again = get_family("ensemble").restore(joint.files())
    assert again.decision_function(X).tobytes() == joint.decision_function(X).tobytes()


def test_they_are_evaluated_where_they_are_named() -> None:
    assert not {"extra_trees", "random_forest"} & set(default_families("binary"))
    task = toy("binary").task
    assert name_families(task, ["random_forest", "linear"]).families == ("constant", "linear", "random_forest")
    assert replace(get_family("extra_trees"), races_by_default=True).is_installed


def test_a_model_opens_and_answers_without_scikit_learn(tmp_path: Path) -> None:
    X, y = classes(200)
    model = ExtraTrees("binary", CATEGORICAL).fit(X, y)
    script = (
        "import sys, numpy as np, pathlib\n"
        "sys.modules['sklearn'] = None\n"
        "from epic22.core.models.catalog import get_family\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "files = {path.name: path.read_bytes() for path in (folder / 'files').iterdir()}\n"
        "model, X = get_family('extra_trees').restore(files), np.load(folder / 'X.npy')\n"
        "assert (model.decision_function(X) == np.load(folder / 'scores.npy')).all()\n"
    )
    (tmp_path / "files").mkdir()
    for name, content in model.files().items():
        (tmp_path / "files" / name).write_bytes(content)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "scores.npy", model.decision_function(X))
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
