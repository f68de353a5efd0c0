"""Distillation: one model of trees that learns what an ensemble says."""

import numpy as np
import pytest
from tests.searches import searched
from tests.toy import Toy, toy

from epic22.core.models.catalog import get_family
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.distillation import distill_ensemble
from epic22.core.task import Array, Kind


def ensemble_of(made: Toy) -> tuple[Ensemble, Array]:
    found = searched(made, 5)
    estimator = found.fitted_fold.estimator
    assert isinstance(estimator, Ensemble)
    return estimator, found.fitted_fold.preprocessor.transform(made.examples.X)


@pytest.mark.slow
def test_an_ensemble_that_answers_in_time_stays_as_it_is() -> None:
    made = toy("binary", 200)
    ensemble, X = ensemble_of(made)
    assert distill_ensemble(ensemble, X, LearningProblem.of(made.task).categorical, 1e6).estimator is ensemble


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_student_says_what_the_ensemble_says_with_additive_reasons(kind: Kind) -> None:
    made = toy(kind, 600)
    ensemble, X = ensemble_of(made)
    found = distill_ensemble(ensemble, X, LearningProblem.of(made.task).categorical, 0.0)
    told, learned = ensemble.decision_function(X), found.estimator.decision_function(X)
    assert found.is_student
    assert np.corrcoef(told, learned)[0, 1] > 0.97
    assert np.abs(found.estimator.shap_values(X).sum(axis=1) - learned).max() < 1e-9
    again = get_family("ensemble").restore(found.estimator.files())
    assert (again.decision_function(X) == learned).all()


@pytest.mark.slow
def test_of_several_classes_the_heaviest_members_stay() -> None:
    made = toy("multiclass", 300)
    ensemble, X = ensemble_of(made)
    found = distill_ensemble(ensemble, X, LearningProblem.of(made.task).categorical, 0.0).estimator
    assert isinstance(found, Ensemble)
    assert len(found.members) == 1
    assert found.members[0].weight == 1.0
