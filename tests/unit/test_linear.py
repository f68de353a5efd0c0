"""A linear model's terms, and what they add."""

import numpy as np

from epic22.core.models.linear import Linear

NONE = np.nan


def test_numbers_and_categories_are_spread_into_terms_in_the_order_of_the_columns() -> None:
    X = np.array([[0, 2.5, 1], [2, NONE, NONE], [NONE, 4.0, 0], [1, 1.0, 1]], dtype=np.float32)
    model = Linear("regression", (True, False, True)).fit(X, np.arange(4.0))
    unseen = np.array([[7, 2.5, 3]], dtype=np.float32)
    assert model._terms(np.vstack([X, unseen])).tolist() == [
        [1, 0, 0, 0, 2.5, 0, 0, 1, 0],
        [0, 0, 1, 0, 2.5, 1, 0, 0, 1],
        [0, 0, 0, 1, 4.0, 0, 1, 0, 0],
        [0, 1, 0, 0, 1.0, 0, 0, 1, 0],
        [0, 0, 0, 1, 2.5, 0, 0, 0, 1],
    ]


def test_a_columns_contribution_is_what_all_its_terms_add() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 12, 200), rng.normal(size=200), rng.integers(0, 3, 200)]).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = NONE
    model = Linear("regression", (True, False, True)).fit(X, np.nan_to_num(X).sum(axis=1).astype(np.float64))
    products = (model._terms(X) - model.mean_) / model.scale_ * model.coef_
    parts = np.column_stack([products[:, model.owner_ == j].sum(axis=1) for j in range(3)])
    found = model.contributions(X)
    np.testing.assert_allclose(found[:, :-1], parts, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), model.raw(X), atol=1e-12)
    assert all((model.contributions(X[i : i + 1])[0] == found[i]).all() for i in range(50))
