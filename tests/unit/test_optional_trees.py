"""LightGBM's and CatBoost's trees as arrays: beside the libraries themselves, and without them."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toy import toy

import epic22
from epic22.core.errors import InternalError, NotInstalledError, UnknownTaskError
from epic22.core.models.base import FoldData, require_library
from epic22.core.models.catalog import FAMILIES, TIME_SEARCH_FAMILIES, default_families, get_family, get_search_family
from epic22.core.models.catboost import CatBoostEstimator, find_frequent_levels, one_hot_encode
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.lightgbm import LightGBMEstimator
from epic22.core.models.lightgbm import parse_model_text as forest_of_leafwise
from epic22.core.models.loss import Loss
from epic22.core.models.trees.forest import next_float32_above
from epic22.core.models.value_scale import EXPONENTIAL
from epic22.core.selection.budget import Budget
from epic22.core.task import Array, Kind
from epic22.services.tune import Tuning

needs_lightgbm = pytest.mark.skipif(find_spec("lightgbm") is None, reason="lightgbm is not installed")
needs_catboost = pytest.mark.skipif(find_spec("catboost") is None, reason="catboost is not installed")
ROUNDS = 25
CATEGORICAL = (False, False, True, False, True)
ASKED = [
    ("binary", Loss()),
    ("multiclass", Loss()),
    ("regression", Loss()),
    ("regression", Loss("quantile", 0.8)),
    ("regression", Loss("tweedie", power=1.4)),
]


def rows(n: int = 500) -> tuple[Array, Array]:
    """Columns with ties, gaps, neighbouring floats, categories; and other rows: all missing, levels never seen, bounds."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5)).astype(np.float32)
    X[:, 1] = rng.integers(-4, 5, n) / 2
    X[:, 3] = np.where(rng.uniform(size=n) < 0.5, np.float32(1), np.nextafter(np.float32(1), np.float32(2)))
    X[:, 2], X[:, 4] = rng.integers(0, 40, n), rng.integers(0, 3, n)
    X[:, [0, 2, 4]] = np.where(rng.uniform(size=(n, 3)) < 0.1, np.nan, X[:, [0, 2, 4]])
    other = X.copy()
    other[::3], other[1::3, 2] = np.nan, rng.integers(0, 90, len(other[1::3]))
    other[1::3, 1] += 0.25  # halfway between two values, where trees have their bounds
    return X, np.concatenate([X, other])


def labels(X: Array, kind: str, loss: Loss) -> Array:
    rng = np.random.default_rng(1)
    signal = np.nan_to_num(X[:, 0]) + X[:, 1] + np.sin(7 * np.nan_to_num(X[:, 2])) + np.isnan(X[:, 4]) + (X[:, 3] > 1)
    noisy = signal + rng.normal(size=len(X))
    if kind == "binary":
        return np.asarray((noisy > 0).astype(float))
    if kind == "multiclass":
        return np.asarray(np.digitize(noisy, [-1.0, 1.0]).astype(float))
    return rng.poisson(np.exp(signal / 2)) * 90.0 if loss.log_link else np.asarray(noisy)


@needs_lightgbm
@pytest.mark.parametrize(("kind", "loss"), ASKED, ids=lambda asked: getattr(asked, "name", asked))
def test_lightgbm_itself_says_the_same_to_the_last_bits(kind: Any, loss: Loss) -> None:
    import lightgbm

    X, asked = rows()
    model = LightGBMEstimator(kind, CATEGORICAL, 3, loss=loss, default_rounds=ROUNDS).fit(X, labels(X, kind, loss))
    library = lightgbm.Booster(model_str=model.text_.decode())
    shift = np.log(model.unit_)
    assert np.allclose(model.decision_function(asked), library.predict(asked, raw_score=True) + shift, rtol=0, atol=1e-12)
    parts = np.asarray(library.predict(asked, pred_contrib=True)).reshape((len(asked), -1, 6))
    parts[..., -1] += shift
    assert np.allclose(model.shap_values(asked).reshape(parts.shape), parts, rtol=0, atol=1e-10)


@pytest.mark.slow
@needs_catboost
@pytest.mark.parametrize(("kind", "loss"), ASKED, ids=lambda asked: getattr(asked, "name", asked))
def test_catboost_itself_says_the_same_to_the_last_bits(kind: Any, loss: Loss) -> None:
    from catboost import CatBoost, Pool

    X, asked = rows()
    y = labels(X, kind, loss)
    for categorical in (CATEGORICAL, (False,) * 5):
        model = CatBoostEstimator(kind, categorical, 3, loss=loss, default_rounds=ROUNDS).fit(X, y)
        library = CatBoost(model._params(1, ROUNDS)).fit(Pool(one_hot_encode(X, model.levels_), y / model.unit_))
        table, shift = one_hot_encode(asked, model.levels_), np.log(model.unit_)
        found = model.decision_function(asked)
        assert np.allclose(found, library.predict(table, prediction_type="RawFormulaVal") + shift, rtol=0, atol=1e-12)
    parts = library.get_feature_importance(Pool(table), type="ShapValues")
    parts[..., -1] += shift
    assert np.allclose(model.shap_values(asked), parts, rtol=0, atol=1e-10)


@needs_catboost
def test_levels_of_a_category_are_the_frequent_ones_and_others_are_none_of_them() -> None:
    X = np.array([[5.0], [5.0], [2.0], [np.nan]], np.float32)
    assert find_frequent_levels(X, (True,)) == ((2, 5),)
    assert one_hot_encode(np.array([[2.0], [7.0], [np.nan]], np.float32), ((2, 5),)).tolist() == [[1, 0], [0, 0], [0, 0]]


def test_just_above_a_bound_is_the_next_float_that_is_not_at_most_it() -> None:
    bounds = np.array([0.1, np.float64(np.float32(0.1)), -0.3, 0.0, 1e300, -3.4028234663852886e38])
    above = next_float32_above(bounds)
    for bound, limit in zip(bounds, above, strict=True):
        near = np.float32(bound) if abs(bound) < 1e38 else np.float32(np.sign(bound) * 3.4e38)
        for value in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))):
            assert (value < limit) == (float(value) <= bound)


def test_an_absent_library_is_told_with_the_way_out_and_not_raced() -> None:
    absent = replace(get_family("lightgbm"), needs="no_such_library")
    assert not absent.is_installed
    with pytest.raises(NotInstalledError, match=r"pip install 'epic22\[no_such_library\]'"):
        require_library("lightgbm", "no_such_library")
    with pytest.raises(UnknownTaskError, match="lightgbm"):
        get_family("forest of elms")
    assert default_families("binary") == ("constant", "linear", "boosting")
    optional = {family.name for family in FAMILIES if family.needs}
    assert optional == {"lightgbm", "catboost", "mlp", "lstm", "gru", "transformer", "cnn"}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_search_by_trials_tries_the_same_families_whatever_is_installed_and_one_by_time_what_there_is(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = toy(kind, 40).task
    tried = {}
    for is_installed in (True, False):
        monkeypatch.setattr("epic22.core.models.base.find_spec", lambda name, found=is_installed or None: found)
        for seconds, trials in ((None, 2), (60.0, 2), (60.0, None)):
            tuning = Tuning(Budget(trials, seconds))
            tried[is_installed, seconds, trials] = {family.name for family in tuning.list_families(task)}
    by_trials = [tried[is_installed, seconds, 2] for is_installed in (True, False) for seconds in (None, 60.0)]
    assert by_trials == [{"linear", "boosting"}] * 4
    assert tried[False, 60.0, None] == {"linear", "boosting", "extra_trees"}
    assert tried[True, 60.0, None] == {"linear", "boosting", *TIME_SEARCH_FAMILIES}
    assert "catboost" in TIME_SEARCH_FAMILIES


@pytest.mark.slow
@needs_catboost
def test_a_search_by_trials_ends_in_the_same_model_with_catboost_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = toy("binary", 150)
    frame = made.examples.X.with_columns(y=made.examples.y)
    asked = {"label": "y", "task": "toy", "trials": 6, "nested": False, "folds": 2, "repeats": 1}
    runs = [epic22.train(frame, home=tmp_path / "with", **asked)]
    monkeypatch.setattr("epic22.core.models.base.find_spec", lambda name: None if name == "catboost" else find_spec(name))
    runs.append(epic22.train(frame, home=tmp_path / "without", **asked))
    first, second = (run.version for run in runs)
    assert (first.family, first.model_hash) == (second.family, second.model_hash)
    assert [list(run.scores) for run in runs] == [list(runs[0].scores)] * 2


@needs_catboost
def test_beside_logarithms_a_search_learns_the_means_own_logarithm() -> None:
    made = toy("regression", 600)
    tuning, plain = Tuning(Budget(1), families=("linear", "catboost")), made.task.target
    logs = replace(made.task, targets=(replace(plain, log=True),))
    assert [f.name for f in tuning.list_families(made.task)] == ["linear", "catboost"]
    assert [f.name for f in tuning.list_families(logs)] == ["linear", "catboost", "catboost_tweedie"]
    medians = replace(made.task, targets=(replace(plain, log=True, loss="absolute"),))
    assert [f.name for f in tuning.list_families(medians)] == ["linear", "catboost"]
    with pytest.raises(UnknownTaskError):
        get_family("catboost_tweedie")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5)).astype(np.float32)
    y = np.exp(X[:, 0]) * rng.gamma(2.0, 0.5, size=600)
    model = get_search_family("catboost_tweedie").build(LearningProblem.of(logs), default_rounds=60, learning_rate=0.2)
    model.fit_with_validation(FoldData(X, y, X[:0], y[:0]))
    assert np.corrcoef(model.decision_function(X), X[:, 0])[0, 1] > 0.9
    assert np.allclose(model.predict(X), np.exp(model.decision_function(X)))
    assert model.predict(X).mean() == pytest.approx(y.mean(), rel=0.05)
    joint = Ensemble("regression", (Member("catboost_tweedie", 1.0, model),), value_scale_=EXPONENTIAL)
    again = get_family("ensemble").restore(joint.files())
    assert np.array_equal(again.predict(X), joint.predict(X))
    assert np.allclose(joint.predict(X), model.predict(X))


@pytest.mark.slow
@needs_lightgbm
@needs_catboost
def test_models_open_and_answer_without_their_library(tmp_path: Any) -> None:
    made = toy("binary", 200)
    X = np.random.default_rng(2).normal(size=(200, 5)).astype(np.float32)
    script = (
        "import sys, numpy as np, pathlib\n"
        "sys.modules['lightgbm'] = sys.modules['catboost'] = None\n"
        "from epic22.core.models.catalog import get_family\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "X = np.load(folder / 'X.npy')\n"
        "for name in ('lightgbm', 'catboost'):\n"
        "    files = {path.name: path.read_bytes() for path in (folder / name).iterdir()}\n"
        "    assert (get_family(name).restore(files).decision_function(X) == np.load(folder / f'{name}.npy')).all()\n"
    )
    np.save(tmp_path / "X.npy", X)
    for name in ("lightgbm", "catboost"):
        model = get_family(name).build(LearningProblem.of(made.task), default_rounds=5).fit(X, (X[:, 0] > 0).astype(float))
        (tmp_path / name).mkdir()
        for file, content in model.files().items():
            (tmp_path / name / file).write_bytes(content)
        np.save(tmp_path / f"{name}.npy", model.decision_function(X))
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


@needs_lightgbm
def test_trees_that_arrays_cannot_hold_are_refused() -> None:
    X, _ = rows(100)
    model = LightGBMEstimator("regression", CATEGORICAL, default_rounds=2).fit(X, labels(X, "regression", Loss()))
    with pytest.raises(InternalError, match="one value a leaf"):
        forest_of_leafwise(model.text_.decode().replace("is_linear=0", "is_linear=1"), 5)


@pytest.mark.slow
@needs_lightgbm
@needs_catboost
@pytest.mark.parametrize("family", ["lightgbm", "catboost"])
def test_threads_change_no_byte(family: str) -> None:
    X = np.random.default_rng(3).normal(size=(60_001, 10)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] > 0).astype(float)
    task = toy("binary").task
    columns = tuple(replace(task.columns[1], name=f"c{j}") for j in range(10))
    made = [
        get_family(family)
        .build(LearningProblem.of(replace(task, columns=columns)), threads=threads, default_rounds=3)
        .fit(X, y)
        .files()
        for threads in (1, 2)
    ]
    assert made[0] == made[1]
