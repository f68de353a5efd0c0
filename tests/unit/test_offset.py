"""The offset by hand: its column is taken out, its logarithm is added, and nothing without a size above zero is predicted.

A model of a constant rate stands within, so that every figure can be worked out on paper.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.errors import RowError
from epic22.core.models.base import FoldData
from epic22.core.models.baseline import FAMILY as CONSTANT
from epic22.core.models.baseline import Constant
from epic22.core.models.catalog import FAMILIES
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import Loss
from epic22.core.models.offset import STATE_FILE, OffsetRegressor, unwrap_offset
from epic22.core.task import Array

PROBLEM = LearningProblem("regression", ("size", "years", "age"), (False, False, False), loss=Loss("poisson"), offset="years")
YEARS = np.array([1.0, 2.0, 4.0, 1.0])
CLAIMS = np.array([1.0, 1.0, 1.0, 1.0])


def matrix(years: Array = YEARS) -> Array:
    return np.column_stack([np.arange(len(years)), years, np.full(len(years), 30.0)]).astype(np.float32)


def fitted() -> OffsetRegressor:
    """A constant rate of 4 claims in 8 years."""
    return OffsetRegressor(Constant("regression", loss=Loss("poisson")), 1, "years").fit(matrix(), CLAIMS)


def test_the_rate_is_all_that_was_counted_over_all_the_exposure() -> None:
    assert fitted().model.level_[0] == pytest.approx(np.log(4 / 8))


def test_twice_the_exposure_is_twice_the_value() -> None:
    assert fitted().predict(matrix(np.array([1.0, 2.0, 8.0]))).tolist() == pytest.approx([0.5, 1.0, 4.0])


def test_the_score_is_the_logarithm_of_the_rate_and_of_the_exposure() -> None:
    scores = fitted().decision_function(matrix())
    assert np.allclose(scores, np.log(0.5) + np.log(YEARS))


def test_the_offset_s_contribution_stands_at_its_own_place() -> None:
    reasons = fitted().shap_values(matrix())
    assert reasons.shape == (4, 4)
    assert np.allclose(reasons[:, 1], np.log(YEARS))
    assert np.allclose(reasons.sum(axis=1), fitted().decision_function(matrix()))


def test_the_model_within_never_sees_the_offset() -> None:
    assert fitted().model.n_columns_ == 2
    assert fitted().drop_offset_column(matrix()).tolist() == matrix()[:, [0, 2]].tolist()


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "is missing"), (0.0, "is 0"), (-2.0, "is -2"), (np.inf, "is inf")], ids=str
)
def test_an_exposure_that_is_not_above_zero_is_refused_by_row_and_column(value: float, words: str) -> None:
    years = YEARS.copy()
    years[2] = value
    with pytest.raises(RowError, match=f"row 3: the exposure 'years' {words}") as refused:
        fitted().decision_function(matrix(years))
    assert [(row, column) for row, column, _ in refused.value.problems] == [(2, "years")]
    with pytest.raises(RowError):
        fitted().fit(matrix(years), CLAIMS)


@settings(max_examples=30, deadline=None)
@given(years=st.lists(st.floats(0.0078125, 64, width=32), min_size=1, max_size=8), factor=st.sampled_from([0.5, 2.0, 4.0]))
def test_values_are_proportional_to_the_exposure(years: list[float], factor: float) -> None:
    model, X = fitted(), matrix(np.array(years))
    more = X.copy()
    more[:, 1] *= factor
    assert np.allclose(model.predict(more), factor * model.predict(X), rtol=1e-12)


def test_validation_rows_are_scored_by_their_own_exposure() -> None:
    data = FoldData(matrix(), CLAIMS, matrix(np.array([10.0])), np.array([3.0]))
    model = OffsetRegressor(Constant("regression", loss=Loss("poisson")), 1, "years")
    assert model.fit_with_validation(data).tolist() == pytest.approx([np.log(0.5) + np.log(10.0)])


def test_with_no_validation_rows_there_is_nothing_to_score() -> None:
    data = FoldData(matrix(), CLAIMS, matrix()[:0], CLAIMS[:0])
    model = OffsetRegressor(Constant("regression", loss=Loss("poisson")), 1, "years")
    assert len(model.fit_with_validation(data)) == 0


def test_all_trials_of_a_fold_share_the_rows_without_their_offset() -> None:
    data = FoldData(matrix(), CLAIMS, matrix(), CLAIMS)
    for _ in range(2):
        OffsetRegressor(Constant("regression", loss=Loss("poisson")), 1, "years").fit_with_validation(data)
    assert list(data.cache) == ["exposure apart"]


def test_files_say_where_the_offset_stands_and_open_again() -> None:
    built = CONSTANT.build(PROBLEM)
    assert isinstance(built, OffsetRegressor)
    built.fit(matrix(), CLAIMS)
    files = built.files()
    assert files[STATE_FILE] == b'{"name":"years","place":1}'
    again = CONSTANT.restore(files)
    assert again.files() == files
    assert again.decision_function(matrix()).tolist() == built.decision_function(matrix()).tolist()


def test_a_problem_without_an_offset_gets_the_plain_estimator() -> None:
    plain = CONSTANT.build(replace(PROBLEM, offset=None))
    assert isinstance(plain, Constant)
    assert unwrap_offset(plain) is plain
    assert isinstance(unwrap_offset(fitted()), Constant)


def test_every_family_of_counts_takes_an_offset() -> None:
    assert {f.name for f in FAMILIES if f.supports_offset} >= {"constant", "linear", "boosting"}


def test_dropping_a_column_from_a_problem_keeps_the_others_in_order() -> None:
    problem = replace(PROBLEM, categorical=(True, False, False))
    less = problem.drop_column("years")
    assert less.columns == ("size", "age")
    assert less.categorical == (True, False)
    assert less.offset == "years"


def test_the_constant_of_each_loss_is_the_value_that_makes_it_least() -> None:
    y = np.array([0.0, 1.0, 2.0, 3.0, 14.0])
    X = np.zeros((5, 1), dtype=np.float32)
    grid = np.linspace(0.01, 14, 1400)
    for loss in (Loss(), Loss("absolute"), Loss("quantile", quantile=0.8), Loss("poisson"), Loss("tweedie", power=1.3)):
        level = Constant("regression", loss=loss).fit(X, y).predict(X)[0]
        least = min(float(loss.compute_losses(y, np.full(5, value)).sum()) for value in grid)
        assert float(loss.compute_losses(y, np.full(5, level)).sum()) <= least + 1e-9, loss


def test_a_constant_gives_no_reason_but_the_average() -> None:
    X = np.zeros((3, 2), dtype=np.float32)
    classes = Constant("multiclass", 3).fit(X, np.array([0.0, 1.0, 2.0]))
    assert classes.shap_values(X).shape == (3, 3, 3)
    assert np.abs(classes.shap_values(X)[..., :2]).sum() == 0
    assert classes.predict_proba(X)[0].tolist() == pytest.approx([1 / 3] * 3)


def test_a_class_that_never_occurred_keeps_a_finite_score() -> None:
    X = np.zeros((3, 2), dtype=np.float32)
    for model in (Constant("binary").fit(X, np.zeros(3)), Constant("multiclass", 3).fit(X, np.zeros(3))):
        assert np.isfinite(model.decision_function(X)).all()
        assert (model.predict(X) == 0).all()
