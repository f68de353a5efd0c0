"""Labels that are large beside their spread are learned by their distance from a centre, for float32 cannot part them, and those
that spread too little or too far for trees in parts of a scale."""

from dataclasses import replace

import numpy as np
import pytest
from tests.toy import task

from epic22.core.models.base import FoldData
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.target_transform import choose_label_scale

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2)).astype(np.float32)
Y = 1.7e9 + 10 * X[:, 0].astype(np.float64)
PROBLEM = LearningProblem("regression", ("a", "b"), (False, False), center=1.7e9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_a_label_of_seconds_is_learned_by_every_family_and_comes_back_from_its_files(name: str) -> None:
    family = get_family(name)
    model = family.build(PROBLEM).fit(X, Y)
    assert 1 - np.var(model.predict(X) - Y) / np.var(Y) > 0.9
    np.testing.assert_allclose(model.shap_values(X).sum(axis=1) - 1.7e9, model.predict(X) - 1.7e9, atol=1e-4)
    again = family.restore(model.files())
    assert again.predict(X).tobytes() == model.predict(X).tobytes()


@pytest.mark.slow
def test_scores_of_validation_rows_are_values() -> None:
    model = get_family("boosting").build(PROBLEM)
    raw = model.fit_with_validation(FoldData(X[:150], Y[:150], X[150:], Y[150:]))
    assert np.corrcoef(raw, Y[150:])[0, 1] > 0.9
    assert "model" in model.best_params()


@pytest.mark.parametrize(("y", "center"), [(np.arange(1000.0) + 0.5, 0.0), (Y, 1.7e9), (np.full(9, 1 / 3), 0.0)])
def test_only_labels_that_float32_would_merge_have_a_centre(y: np.ndarray, center: float) -> None:
    plain = task("regression")
    assert choose_label_scale(plain, y).target.center == pytest.approx(center, abs=20)
    by_log = replace(plain, targets=(replace(plain.target, log=True),))
    assert choose_label_scale(by_log, Y).target.center == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "center"), [(1e-15, 0.0), (1e-5, 0.0), (1e-5, 3e9), (1e25, 0.0)])
def test_what_is_learned_of_a_label_does_not_depend_on_its_unit(unit: float, center: float) -> None:
    y = (center + X[:, 0].astype(np.float64)) * unit
    target = choose_label_scale(task("regression"), y).target
    problem = replace(PROBLEM, center=target.center, scale=target.scale)
    family = get_family("boosting")
    model = family.build(problem).fit(X, y)
    assert 1 - np.var(model.predict(X) - y) / np.var(y) > 0.9
    np.testing.assert_allclose(model.shap_values(X).sum(axis=1) / unit, model.predict(X) / unit, atol=1e-4, rtol=1e-9)
    again = family.restore(model.files())
    assert again.predict(X).tobytes() == model.predict(X).tobytes()


@pytest.mark.parametrize(("deviation", "scale"), [(1.0, 1.0), (0.01, 1.0), (1e9, 1.0), (2.0**-20, 2.0**-20), (2.0**60, 2.0**60)])
def test_only_labels_that_spread_too_little_or_too_far_have_a_scale(deviation: float, scale: float) -> None:
    y = deviation * np.array([-1.001, 1.001] * 50)
    assert choose_label_scale(task("regression"), y).target.scale == scale
