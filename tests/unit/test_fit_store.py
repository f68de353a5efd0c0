"""Fits that are kept until a training is done: read back they are the same, and what is damaged or of another fit is not used."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tests.searches import searched
from tests.toy import daily, toy

from epic22.adapters.abandoned import ABANDONED_SECONDS
from epic22.adapters.fit_files import FitFiles, open_fit_files, parse_fit, serialise_fit
from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.data.folds import Fold, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import Evaluation, evaluate, make_candidate
from epic22.core.experiment import Experiment
from epic22.core.fit_store import StoredFit, act_when_done, list_array_bytes
from epic22.core.lineage import sha256
from epic22.core.models.base import BaseEstimator, FoldData
from epic22.core.models.catalog import FAMILIES, get_family
from epic22.core.models.fit_request import FitRequest, ValidatedFitRequest
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.column_booster import ColumnStrength
from epic22.core.selection.column_plan import COLUMN_PLAN_FORM, ColumnPlan, Gain
from epic22.core.selection.feature_selection import plan_columns
from epic22.core.statistics import Interval
from epic22.core.task import Formula, Kind

STORED = [
    (family.name, kind)
    for family in FAMILIES
    for kind in ("binary", "multiclass", "regression", "hazard")
    if kind in family.kinds and family.needs is None
]


@pytest.fixture(autouse=True)
def _fits_of_any_length_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.core.fit_store.MIN_SECONDS", 0.0)


class SimulatedKillError(Exception):
    """What stands for a kill."""


class CountingFit:
    """The fit in this process, counted."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, request: FitRequest) -> BaseEstimator:
        self.n += 1
        return request.fit()


def build_experiment(kind: Kind = "binary", n: int = 200) -> Experiment:
    made = toy(kind, n, at=daily(n))
    return Experiment(made.task, made.examples, plan_folds(made.examples, kind, SplitRequest(n_folds=3)))


def evaluate_in(folder: Path, experiment: Experiment, family: str, fit: CountingFit, is_interrupted: bool) -> Evaluation:
    """The family's evaluation with its fits kept in the folder; one that is interrupted leaves them there."""
    evaluations = []
    with suppress(SimulatedKillError), open_fit_files(folder):
        candidate = make_candidate(experiment, get_family(family), fit=fit)
        evaluations.append(evaluate(experiment, candidate, keep_models=True))
        if is_interrupted:
            raise SimulatedKillError
    return evaluations[0]


def build_request(seed: int = 0) -> FitRequest:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)).astype(np.float32), (rng.random(40) < 0.5).astype(np.float64)
    problem = LearningProblem("binary", ("a", "b"), (False, False), n_classes=2)
    return FitRequest(get_family("linear"), problem, X, y, Fold(np.arange(30), np.arange(30, 40)), seed, 1)


@pytest.mark.parametrize(("family", "kind"), STORED)
def test_an_evaluation_that_is_read_back_equals_the_one_that_was_made(family: str, kind: Kind, tmp_path: Path) -> None:
    experiment, first, second = build_experiment(kind), CountingFit(), CountingFit()
    made = evaluate_in(tmp_path / "fits", experiment, family, first, is_interrupted=True)
    again = evaluate_in(tmp_path / "fits", experiment, family, second, is_interrupted=False)
    assert (first.n, second.n) == (3, 0)
    assert repr(again.scores) == repr(made.scores)
    assert again.fit_seconds == made.fit_seconds
    for one, other in zip(made.fold_predictions, again.fold_predictions, strict=True):
        assert one.response.tobytes() == other.response.tobytes()
        assert one.fitted is not None
        assert other.fitted is not None
        assert one.fitted.estimator.files() == other.fitted.estimator.files()
        X = one.fitted.preprocessor.transform(experiment.examples.X)
        assert one.fitted.estimator.shap_values(X).tobytes() == other.fitted.estimator.shap_values(X).tobytes()
    assert not (tmp_path / "fits").exists(), "a training that is done removes its fits"


@pytest.mark.slow
@pytest.mark.parametrize("is_timed", [False, True], ids=["fold models", "refitted members"])
def test_a_search_that_was_interrupted_after_its_trials_fits_no_model_again(is_timed: bool, tmp_path: Path) -> None:
    made = toy("binary", 200, at=daily(200) if is_timed else None)
    results = []
    for n_new in (1, 0):
        before = set(tmp_path.glob("fits/*"))
        with suppress(SimulatedKillError), open_fit_files(tmp_path / "fits"):
            results.append(
                searched(made, 4, storage=JournalStorage(JournalFileBackend(str(tmp_path / "study"))), folder=tmp_path)
            )
            raise SimulatedKillError
        assert (len(set(tmp_path.glob("fits/*")) - before) > 0) == (n_new > 0)
    assert len(list(tmp_path.glob("fits/*"))) >= 2
    assert results[0].fitted_fold.estimator.files() == results[1].fitted_fold.estimator.files()
    assert results[0].trials == results[1].trials


def test_a_fit_that_was_cut_short_is_not_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)).astype(np.float32), (rng.random(40) < 0.5).astype(np.float64)
    problem = LearningProblem("binary", ("a", "b"), (False, False), n_classes=2)
    request = ValidatedFitRequest(get_family("boosting"), problem, FoldData(X[:30], y[:30], X[30:], y[30:]), 0, 1, {})
    with suppress(SimulatedKillError), open_fit_files(tmp_path):
        request.fit_once(lambda: True)
        assert not list(tmp_path.iterdir())
        whole = request.fit_once().value
        raise SimulatedKillError
    with open_fit_files(tmp_path) as files:
        again = request.fit_once().value
    assert files.n_read == 1
    assert again.estimator.files() == whole.estimator.files()
    assert again.raw.tobytes() == whole.raw.tobytes()
    assert again.best_params == whole.best_params


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
stored_arrays = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_]), arrays.array_shapes(min_side=0)
)
names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@given(
    st.builds(
        StoredFit,
        st.dictionaries(names, st.binary(max_size=50), max_size=3),
        st.dictionaries(names, stored_arrays, max_size=3),
        st.dictionaries(st.text(max_size=5), values, max_size=3),
    )
)
def test_any_fit_comes_back_from_its_bytes(fit: StoredFit) -> None:
    again = parse_fit(serialise_fit(fit))
    assert (again.files, again.facts) == (fit.files, fit.facts)
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in again.arrays.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in fit.arrays.items()
    }


figures, texts = st.floats(allow_nan=False), st.text(max_size=6)
recipes = st.builds(
    FeatureRecipe,
    st.none() | st.lists(texts, max_size=3).map(tuple),
    st.lists(st.builds(Formula, texts, texts, st.none() | texts), max_size=2).map(tuple),
    st.lists(
        st.builds(CategoryEncoding, texts, st.sampled_from(["share", "target"]), st.none() | st.integers(0, 5)), max_size=2
    ).map(tuple),
)
gains = st.builds(
    Gain, texts, st.lists(texts, max_size=2).map(tuple), st.builds(Interval, figures, figures, figures), st.booleans()
)
strengths = st.builds(ColumnStrength, texts, figures, figures, figures, figures, st.booleans())
counts = st.integers(0, 10**6)


@given(
    st.builds(
        ColumnPlan,
        recipes,
        st.lists(gains, max_size=3).map(tuple),
        st.lists(strengths, max_size=3).map(tuple),
        texts,
        figures,
        figures,
        counts,
        counts,
        counts,
        st.floats(0, 1e6),
    )
)
def test_any_plan_of_columns_comes_back(plan: ColumnPlan) -> None:
    again = COLUMN_PLAN_FORM.read(parse_fit(serialise_fit(COLUMN_PLAN_FORM.write(plan))))
    assert again == plan
    assert again.seconds == plan.seconds


@pytest.mark.slow
def test_columns_that_were_planned_are_not_planned_again(tmp_path: Path) -> None:
    experiment, rows = build_experiment(n=300), np.arange(240)
    with suppress(SimulatedKillError), open_fit_files(tmp_path / "fits"):
        plan = plan_columns(experiment, rows)
        raise SimulatedKillError
    with suppress(SimulatedKillError), open_fit_files(tmp_path / "fits") as files:
        again, n_read = plan_columns(experiment, rows), files.n_read
        plan_columns(experiment, rows[:-1])
        assert files.n_read == n_read == 1
        raise SimulatedKillError
    assert again == plan


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, change_a_byte, empty])
def test_a_damaged_fit_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    experiment, second = build_experiment(), CountingFit()
    made = evaluate_in(tmp_path / "fits", experiment, "linear", CountingFit(), is_interrupted=True)
    damage(sorted((tmp_path / "fits").glob("*.fit"))[0])
    again = evaluate_in(tmp_path / "fits", experiment, "linear", second, is_interrupted=False)
    assert second.n == 1
    assert repr(again.scores) == repr(made.scores)


def list_changes() -> Iterator[tuple[str, FitRequest]]:
    request = build_request()
    assert request.inner is not None
    other_row, other_label = request.X.copy(), request.y.copy()
    other_row[3, 1] += 1e-6
    other_label[3] = 1 - other_label[3]
    yield "a cell", replace(request, X=other_row)
    yield "a label", replace(request, y=other_label)
    yield "the order of rows", replace(request, X=request.X[::-1], y=request.y[::-1])
    yield "the inner fold", replace(request, inner=Fold(request.inner.train[:-1], request.inner.test))
    yield "no inner fold", replace(request, inner=None)
    yield "the family", replace(request, family=get_family("boosting"))
    yield "the seed", replace(request, seed=1)
    yield "the threads", replace(request, threads=2)
    yield "a parameter", replace(request, params={"penalty": 0.1})
    yield "a column's name", replace(request, problem=replace(request.problem, columns=("a", "c")))


def test_whatever_decides_a_fit_is_in_its_digest() -> None:
    request = build_request()
    digests = {what: changed.compute_digest(b"code") for what, changed in list_changes()}
    assert request.compute_digest(b"code") not in digests.values()
    assert len(set(digests.values())) == len(digests)
    assert build_request().compute_digest(b"code") == request.compute_digest(b"code")
    assert request.compute_digest(b"other code") != request.compute_digest(b"code")


def test_what_a_search_can_go_on_from_is_removed_once_all_is_done(tmp_path: Path) -> None:
    removed: list[str] = []
    with suppress(SimulatedKillError), open_fit_files(tmp_path):
        act_when_done(lambda: removed.append("of a killed training"))
        raise SimulatedKillError
    with open_fit_files(tmp_path):
        act_when_done(lambda: removed.append("of one that is done"))
        assert removed == []
    act_when_done(lambda: removed.append("where nobody keeps fits"))
    assert removed == ["of one that is done", "where nobody keeps fits"]


def test_equal_arrays_alone_have_equal_bytes() -> None:
    times = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[us]")
    numbers = np.arange(6, dtype=np.float64)
    different = [times, times[::-1], numbers, numbers[::-1], numbers.reshape(2, 3), numbers[:0], numbers > 2, None]
    assert len({sha256(*list_array_bytes(array)) for array in different}) == len(different)
    assert list(list_array_bytes(numbers[::2])) == list(list_array_bytes(numbers[::2].copy()))
    with pytest.raises(TypeError, match="objects"):
        list(list_array_bytes(np.array(["a"], dtype=object)))


def test_a_fit_that_nobody_went_on_with_is_removed_after_two_weeks(tmp_path: Path) -> None:
    fits, now = FitFiles(tmp_path), time.time()
    fits.write("old", StoredFit())
    fits.write("new", StoredFit())
    os.utime(tmp_path / "old.fit", (now, now - ABANDONED_SECONDS - 60))
    with open_fit_files(tmp_path) as opened:
        assert opened.read("old") is None
        assert opened.read("new") is not None


def test_fits_of_another_training_stay_when_one_is_done(tmp_path: Path) -> None:
    FitFiles(tmp_path).write("another", StoredFit())
    with open_fit_files(tmp_path) as opened:
        opened.write("own", StoredFit())
    assert [path.name for path in tmp_path.iterdir()] == ["another.fit"]


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path) -> None:
    fits = FitFiles(tmp_path, max_bytes=3000)
    for number in range(3):
        fits.write(str(number), StoredFit({"model": bytes(1000)}))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3000
    assert (tmp_path / "0.fit").exists()


def test_a_folder_that_refuses_does_not_stop_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "fits").write_text("a file where the folder would be")
    fits = FitFiles(tmp_path / "fits")
    fits.write("one", StoredFit())
    fits.write("two", StoredFit())
    fits.remove_used()
    assert caplog.text.count("no more fits of this training are kept") == 1
