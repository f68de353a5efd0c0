"""What every model family must do; a new family is greeted here."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from tests.folds import cross_validate
from tests.toy import Toy, inputs, list_tried_kinds, toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.significance import compare
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator, Family, predict_response
from epic22.core.models.catalog import FAMILIES, get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.targets import KINDS
from epic22.core.task import Array, Kind


def list_marks(family: Family) -> tuple[pytest.MarkDecorator, ...]:
    is_absent = pytest.mark.skipif(not family.is_installed, reason=f"{family.needs} is not installed")
    return (is_absent, pytest.mark.slow) if family.needs == "torch" else (is_absent,)


CASES = [
    pytest.param(family, kind, id=f"{family.name}-{kind}", marks=list_marks(family))
    for family in FAMILIES
    for kind in list_tried_kinds(family)
    if not family.capabilities.needs_sequences
]


def fitted(family: Family, made: Toy, seed: int = 0) -> tuple[BaseEstimator, Array]:
    """The family's estimator on all of a toy's rows, and their matrix."""
    X = Preprocessor.fit(made.task.input_columns, made.examples.X).transform(made.examples.X)
    estimator = family.build(LearningProblem.of(made.task), seed=seed, threads=1)
    assert estimator.fit(X, made.examples.y) is estimator
    return estimator, X


@cache
def _fit_by_name(name: str, kind: Kind) -> tuple[BaseEstimator, Array]:
    return fitted(get_family(name), toy(kind))


def fitted_once(family: Family, kind: Kind) -> tuple[BaseEstimator, Array]:
    """The same for tests that only ask the estimator."""
    return _fit_by_name(family.name, kind)


def test_names_are_unique_and_found() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert all(get_family(family.name) is family for family in FAMILIES)


@pytest.mark.parametrize(("family", "kind"), CASES)
class TestEveryFamily:
    def test_its_constructor_only_assigns(self, family: Family, kind: Kind) -> None:
        made = family.build(LearningProblem.of(toy(kind).task), seed=3, threads=1)
        params = made.get_params()
        assert params == {name: getattr(made, name) for name in params}
        assert not [name for name in vars(made) if name.endswith("_")]

    def test_it_refuses_rows_and_labels_that_do_not_match(self, family: Family, kind: Kind) -> None:
        estimator = family.build(LearningProblem.of(toy(kind).task), seed=0, threads=1)
        with pytest.raises(ValueError, match="must be"):
            estimator.fit(np.zeros((5, 5), dtype=np.float32), np.zeros(4))
        with pytest.raises(ValueError, match="missing or infinite"):
            estimator.fit(np.zeros((2, 5), dtype=np.float32), np.array([0.0, np.nan]))

    @pytest.mark.slow
    def test_one_row_answers_as_in_a_batch_to_the_bit_where_it_says_so(self, family: Family, kind: Kind) -> None:
        estimator, X = fitted_once(family, kind)
        batch = estimator.decision_function(X[:40])
        alone = np.concatenate([estimator.decision_function(X[i : i + 1]) for i in range(40)])
        # Both bounds: a score near zero is a difference of larger ones, each rounded in single precision.
        assert batch == pytest.approx(alone, rel=1e-5, abs=1e-6)
        if family.capabilities.same_bits_for_one_row:
            assert batch.tobytes() == alone.tobytes()

    @pytest.mark.slow
    def test_its_response_is_the_link_of_its_raw_score(self, family: Family, kind: Kind) -> None:
        estimator, X = fitted_once(family, kind)
        assert np.allclose(predict_response(estimator, X, kind, None), KINDS[kind].inverse_link(estimator.decision_function(X)))

    @pytest.mark.slow
    def test_probabilities_are_probabilities(self, family: Family, kind: Kind) -> None:
        if kind == "regression":
            pytest.skip("values have no probabilities")
        made = toy(kind)
        estimator, X = fitted_once(family, kind)
        shares = estimator.predict_proba(X)
        if kind == "hazard":
            assert shares.shape == (len(X), len(made.task.target.horizons))
            assert (shares >= 0).all()
            assert (np.diff(shares, axis=1, append=1.0) >= 0).all()
            return
        assert shares.shape == (len(X), len(made.task.target.classes))
        assert (shares >= 0).all()
        assert np.allclose(shares.sum(axis=1), 1)
        assert np.array_equal(estimator.predict(X), shares.argmax(axis=1))

    @pytest.mark.slow
    def test_contributions_sum_to_the_raw_score(self, family: Family, kind: Kind) -> None:
        if not family.capabilities.exact_reasons:
            pytest.skip("its reasons are an approximation")
        estimator, X = fitted_once(family, kind)
        parts = estimator.shap_values(X)
        assert parts.shape[-1] == X.shape[1] + 1
        assert np.allclose(parts.sum(axis=-1), estimator.decision_function(X), atol=1e-4)

    @pytest.mark.slow
    def test_it_comes_back_from_its_files_the_same(self, family: Family, kind: Kind) -> None:
        estimator, X = fitted_once(family, kind)
        again = family.restore(estimator.files())
        assert again.decision_function(X).tobytes() == estimator.decision_function(X).tobytes()
        assert again.files() == estimator.files()
        # Some rows are enough: a network is asked hundreds of times for the reasons of each.
        assert np.allclose(again.shap_values(X[:40]), estimator.shap_values(X[:40]))

    @pytest.mark.slow
    def test_the_same_seed_gives_the_same_bytes(self, family: Family, kind: Kind) -> None:
        made = toy(kind)
        assert fitted(family, made, 5)[0].files() == fitted(family, made, 5)[0].files()

    @pytest.mark.slow
    def test_it_bears_missing_values_unseen_categories_and_a_constant_column(self, family: Family, kind: Kind) -> None:
        made = toy(kind)
        X = made.examples.X.with_columns(pl.lit(1.0).alias("load"))
        preprocessor = Preprocessor.fit(made.task.input_columns, X)
        estimator = family.build(LearningProblem.of(made.task), seed=0, threads=1).fit(preprocessor.transform(X), made.examples.y)
        odd = preprocessor.transform_row({"maker": "never seen"})
        assert np.isfinite(estimator.decision_function(odd)).all()
        assert np.isfinite(estimator.shap_values(odd)).all()

    @pytest.mark.slow
    def test_it_is_evaluated_like_all_others_and_beats_the_constant_unless_it_is_a_baseline(
        self, family: Family, kind: Kind
    ) -> None:
        made = toy(kind, 600)
        plan = plan_folds(made.examples, kind, SplitRequest(n_folds=3, repeats=1))
        mine = cross_validate(Experiment(made.task, made.examples, plan), family)
        constant = cross_validate(Experiment(made.task, made.examples, plan), get_family("constant"))
        verdict = compare(Experiment(made.task, made.examples, plan), mine, constant, made.task.target.metric)
        assert (verdict.difference.low > 0) != family.is_baseline

    def test_columns_in_another_order_are_the_same_columns(self, family: Family, kind: Kind) -> None:
        made = toy(kind)
        preprocessor = Preprocessor.fit(made.task.input_columns, made.examples.X)
        estimator = family.build(LearningProblem.of(made.task), seed=0, threads=1).fit(
            preprocessor.transform(made.examples.X), made.examples.y
        )
        later = inputs(50, seed=9)
        turned = later.select(reversed(later.columns))
        assert np.array_equal(
            estimator.decision_function(preprocessor.transform(turned)),
            estimator.decision_function(preprocessor.transform(later)),
        )
