"""What an answer costs: an ensemble within a bound that follows from its trees."""

from dataclasses import replace

import numpy as np
import pytest

from epic22.core.models.catalog import get_family
from epic22.core.models.ensemble import MAX_SHALLOW_POINTS, Ensemble, ForestBacked, Member, is_deep
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.linear import Linear
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.selection.answer_cost import MAX_NODE_VISITS, WeightedModels, leave_out_costly, list_members

RNG = np.random.default_rng(5)
X = RNG.normal(size=(300, 3)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=300) > 0).astype(float)


def limit_members(groups: list[WeightedModels], max_visits: int = MAX_NODE_VISITS) -> tuple[Member, ...]:
    return list_members(leave_out_costly(groups, max_visits))


def grow(rounds: int, seed: int = 0) -> XGBoostEstimator:
    model = XGBoostEstimator("binary", (False,) * 3, seed=seed, default_rounds=rounds)
    model.fit(X, Y)
    return model


def count_nodes(model: XGBoostEstimator) -> int:
    return len(model.forest.nodes.feature)


def test_an_ensemble_within_the_bound_is_whole() -> None:
    heavy, light = tuple(grow(3, seed) for seed in range(5)), tuple(grow(3, seed + 5) for seed in range(5))
    members = limit_members([WeightedModels("boosting", 0.75, heavy), WeightedModels("boosting", 0.25, light)])
    assert [member.estimator for member in members] == [*heavy, *light]
    assert [member.weight for member in members] == pytest.approx([0.15] * 5 + [0.05] * 5)


def test_beyond_the_bound_light_configurations_lose_models_first_and_weights_sum_to_one() -> None:
    heavy, light = tuple(grow(3, seed) for seed in range(5)), tuple(grow(3, seed + 5) for seed in range(5))
    visits = sum(map(count_nodes, (*heavy, *light))) * len(heavy[0].forest.nodes.points)
    groups = [WeightedModels("boosting", 0.75, heavy), WeightedModels("boosting", 0.25, light)]
    members = limit_members(groups, visits * 7 // 10)
    of_light = [member for member in members if member.estimator in light]
    assert len(members) <= 7
    assert 1 <= len(of_light) < len(members) - len(of_light)
    assert sum(member.weight for member in members) == pytest.approx(1.0)
    assert sum(member.weight for member in of_light) == pytest.approx(0.25)


def test_one_model_stays_whatever_the_bound() -> None:
    one = grow(3)
    (member,) = limit_members([WeightedModels("boosting", 1.0, (one, grow(3, 1)))], 1)
    assert member.weight == 1.0


def test_what_is_no_forest_costs_nothing() -> None:
    linear = Linear("binary", (False,) * 3)
    linear.fit(X, Y)
    members = limit_members([WeightedModels("linear", 0.1, (linear,) * 5), WeightedModels("boosting", 0.9, (grow(3),))], 10**6)
    assert len(members) == 6
    assert np.isfinite(Ensemble("binary", members).decision_function(X)).all()


def test_deep_trees_are_walked_apart_and_sum_as_one() -> None:
    """Joined with shallow ones, every node of all would be visited as often as theirs."""
    deep = get_family("extra_trees").build(
        LearningProblem("binary", ("a", "b", "c"), (False,) * 3, n_classes=2), min_samples_leaf=1
    )
    deep.fit(X, Y)
    shallow = grow(3)
    assert isinstance(deep, ForestBacked)
    forest = replace(deep.forest, nodes=deep.forest.nodes._replace(points=np.zeros(MAX_SHALLOW_POINTS + 1)))
    assert is_deep(forest)
    assert not is_deep(shallow.forest)
    ensemble = Ensemble("binary", (Member("boosting", 0.6, shallow), Member("extra_trees", 0.4, deep)))
    expected = 0.6 * shallow.decision_function(X) + 0.4 * deep.decision_function(X)
    assert ensemble.decision_function(X) == pytest.approx(expected)
    assert ensemble.shap_values(X).sum(axis=1) == pytest.approx(expected)
