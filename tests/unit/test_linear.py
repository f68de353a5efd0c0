"""A linear model's terms, what they add, and where numbers are cut."""

import json

import numpy as np
import pytest

from epic22.core.evaluation.metrics import roc_auc
from epic22.core.models.linear import FAMILY, Linear
from epic22.core.task import Array

NONE = np.nan


def test_numbers_and_categories_are_spread_into_terms_in_the_order_of_the_columns() -> None:
    X = np.array([[0, 2.5, 1], [2, NONE, NONE], [NONE, 4.0, 0], [1, 1.0, 1]], dtype=np.float32)
    model = Linear("regression", (True, False, True)).fit(X, np.arange(4.0))
    unseen = np.array([[7, 2.5, 3]], dtype=np.float32)
    assert model._build_terms(np.vstack([X, unseen])).tolist() == [
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
    products = (model._build_terms(X) - model.mean_) / model.scale_ * model.coef_
    parts = np.column_stack([products[:, model.owner_ == j].sum(axis=1) for j in range(3)])
    found = model.shap_values(X)
    np.testing.assert_allclose(found[:, :-1], parts, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), model.decision_function(X), atol=1e-12)
    assert all((model.shap_values(X[i : i + 1])[0] == found[i]).all() for i in range(50))


def rows(n: int, wild: float, seed: int) -> tuple[Array, Array]:
    """Two columns, (n, 2), and labels that follow the first, of which a hundredth and a half is `wild` times too large."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(float)
    X[rng.uniform(size=n) < 0.005, 0] *= wild
    return X.astype(np.float32), y


def fitted(X: Array, y: Array) -> Linear:
    return Linear("binary", (False, False)).fit(X, y)


def test_a_few_wild_values_do_not_spoil_a_column() -> None:
    held, truth = rows(4000, 1.0, seed=2)
    sound, spoiled = (fitted(*rows(2000, wild, seed=1)) for wild in (1.0, 1e5))
    told = [roc_auc(truth, model.predict_proba(held)[:, 1]) for model in (sound, spoiled)]
    assert told[0] > 0.85
    assert told[1] > told[0] - 0.01


def test_a_wild_value_counts_as_the_edge_and_the_bulk_as_itself() -> None:
    X, y = rows(2000, 1e5, seed=1)
    model = fitted(X, y)
    low, high = model.edges_[0]
    ask = np.array([[high * 2, 0.0], [high * 1e6, 0.0], [low / 2, 0.0], [low / 4, 0.0]], dtype=np.float32)
    raw = model.decision_function(ask)
    assert raw[1] == raw[0]
    assert raw[2] != raw[3]


def test_columns_without_wild_values_have_no_edges_and_are_stored_as_before() -> None:
    model = fitted(*rows(2000, 1.0, seed=1))
    assert "edges" not in json.loads(model.files()["linear.json"])
    assert not np.isfinite(model.edges_).any()


def test_edges_come_back_from_the_files() -> None:
    X, y = rows(2000, 1e5, seed=1)
    model = fitted(X, y)
    again = FAMILY.restore(model.files())
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    assert again.files() == model.files()


@pytest.mark.parametrize("absent", [[2], [0, 3]])
def test_classes_that_the_rows_lack_are_next_to_impossible_and_the_others_as_if_there_were_no_more(absent: list[int]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)).astype(np.float32)
    present = np.setdiff1d(np.arange(4), absent)
    codes = np.digitize(X[:, 0] + rng.logistic(size=200), np.linspace(-1, 1, len(present) - 1))
    model = Linear("multiclass", (False, False), 4, penalty=1.0).fit(X, present[codes].astype(float))
    alone = Linear("multiclass" if len(present) > 2 else "binary", (False, False), len(present), penalty=1.0)
    p = model.predict_proba(X)
    assert p.shape == (200, 4)
    assert p[:, present] == pytest.approx(alone.fit(X, codes.astype(float)).predict_proba(X), abs=1e-6)
    assert (p[:, absent] < 1e-6).all()
    assert FAMILY.restore(model.files()).predict_proba(X) == pytest.approx(p)
