"""An additive model: a linear one whose numbers' lines bend."""

import json

import numpy as np
import pytest

from epic22.core.data.folds import Fold
from epic22.core.models.catalog import default_families, default_search_families
from epic22.core.models.linear import ADDITIVE_FAMILY, FAMILY, Additive, Linear
from epic22.core.models.loss import Loss
from epic22.core.task import Array


def draw_rows(n: int, seed: int) -> tuple[Array, Array]:
    """A column with a valley, one with two values, a category, and labels that follow all."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(-3, 3, n), rng.integers(0, 2, n), rng.integers(0, 3, n)])
    y = X[:, 0] ** 2 + X[:, 1] + (X[:, 2] == 1) + rng.normal(0, 0.3, n)
    X[rng.random(n) < 0.1, 0] = np.nan
    return X.astype(np.float32), y


CATEGORICAL = (False, False, True)


def test_a_valley_is_learned_that_a_line_cannot_follow() -> None:
    (X, y), (held, truth) = draw_rows(1000, 0), draw_rows(500, 1)
    bent, straight = (kind("regression", CATEGORICAL).fit(X, y) for kind in (Additive, Linear))
    errors = [np.mean((model.predict(held) - truth)[~np.isnan(held[:, 0])] ** 2) for model in (bent, straight)]
    assert errors[0] < 0.05 * errors[1]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_without_knots_it_is_the_linear_model_to_the_bit(kind: str) -> None:
    X, y = draw_rows(300, 2)
    labels = y if kind == "regression" else np.digitize(y, [3.0] if kind == "binary" else [2.0, 5.0]).astype(float)
    inner = Fold(np.arange(240), np.arange(240, 300))
    models = [
        Additive(kind, CATEGORICAL, 3, n_knots=0).fit(X, labels, inner),  # type: ignore[arg-type]
        Linear(kind, CATEGORICAL, 3).fit(X, labels, inner),  # type: ignore[arg-type]
    ]
    assert models[0].files() == models[1].files()
    assert "knots" not in json.loads(models[0].files()["linear.json"])


def test_lines_bend_at_quantiles_of_what_was_seen_and_only_where_there_are_more_than_two_values() -> None:
    X, y = draw_rows(1000, 3)
    model = Additive("regression", CATEGORICAL, n_knots=4).fit(X, y)
    assert [len(knots) for knots in model.knots_] == [4, 0, 0]
    seen = X[~np.isnan(X[:, 0]), 0].astype(np.float64)
    assert model.knots_[0] == pytest.approx(np.quantile(seen, [0.2, 0.4, 0.6, 0.8]))


def test_a_value_that_is_half_of_all_bends_a_line_once() -> None:
    X = np.concatenate([np.zeros(500), np.linspace(1, 2, 500)])[:, None].astype(np.float32)
    model = Additive("regression", (False,), n_knots=9).fit(X, X[:, 0].astype(np.float64))
    assert len(model.knots_[0]) == len(set(model.knots_[0])) == 5
    assert model.knots_[0].min() > 0


def test_a_columns_reasons_are_all_its_terms_and_sum_to_the_score() -> None:
    X, y = draw_rows(400, 4)
    model = Additive("regression", CATEGORICAL).fit(X, y)
    values = model.shap_values(X)
    assert values.shape == (400, 4)
    assert values.sum(axis=1) == pytest.approx(model.decision_function(X), abs=1e-9)
    moved = X.copy()
    moved[:, 0] = 2.5
    assert (model.shap_values(moved)[:, 1:] == values[:, 1:]).all(), "no other column's reason changes"


def test_its_bends_come_back_from_its_files() -> None:
    X, y = draw_rows(400, 5)
    model = Additive("regression", CATEGORICAL).fit(X, y)
    again = ADDITIVE_FAMILY.restore(model.files())
    assert again.decision_function(X).tobytes() == model.decision_function(X).tobytes()
    assert again.files() == model.files()


def test_the_penalty_is_chosen_with_the_bends_that_it_then_has() -> None:
    X, y = draw_rows(400, 6)
    inner = Fold(np.arange(300), np.arange(300, 400))
    free = Additive("regression", CATEGORICAL).fit(X, y, inner)
    losses = []
    for penalty in (0.01, 0.1, 1.0, 10.0, 100.0):
        trial = Additive("regression", CATEGORICAL, penalty=penalty).fit(X[inner.train], y[inner.train])
        losses.append((np.mean(Loss().compute_losses(y[inner.test], trial.predict(X[inner.test]))), penalty))
    assert free.penalty_ == min(losses)[1]


def test_it_is_evaluated_and_searched_where_it_is_named() -> None:
    assert "additive" not in default_families("binary")
    assert "additive" not in default_search_families("binary", by_time=True)
    assert FAMILY.space == {"penalty": (1e-3, 1e3, "log")}, "a linear model is searched as before"
