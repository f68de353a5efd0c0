"""Rounds of XGBoost by its C interface, beside its own Python package."""

from typing import Any

import numpy as np
import pytest
import xgboost

from epic22.core.errors import InternalError
from epic22.core.models.trees.boosting_rounds import find_best_round, train_rounds
from epic22.core.task import Array

PARAMS = {"tree_method": "hist", "nthread": 1, "learning_rate": 0.2, "subsample": 0.8, "colsample_bytree": 0.6, "seed": 3}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "two classes": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "three classes": {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": 3},
    "values": {"objective": "reg:squarederror", "eval_metric": "rmse"},
    "sums": {"objective": "reg:tweedie", "tweedie_variance_power": 1.3, "eval_metric": "tweedie-nloglik@1.3"},
}
ROUNDS, PATIENCE = 90, 9


def make_matrix(what: str, rows: int, seed: int) -> xgboost.DMatrix:
    """Numbers with gaps and a category, with labels that a few trees learn."""
    chance = np.random.default_rng(seed)
    X: Array = chance.normal(size=(rows, 5)).astype(np.float32)
    X[:, 4] = chance.integers(0, 9, rows)
    signal = X[:, 0] + X[:, 1] + (X[:, 4] == 3) + chance.logistic(size=rows)
    y = {"two classes": signal > 0, "three classes": np.digitize(signal, [-1, 1]), "values": signal, "sums": np.exp(signal)}[what]
    X[chance.random(X.shape) < 0.1] = np.nan
    return xgboost.QuantileDMatrix(X, y.astype(float), feature_types=["q"] * 4 + ["c"], enable_categorical=True)


@pytest.mark.parametrize("what", OBJECTIVES)
def test_a_booster_has_the_bytes_that_xgboosts_python_package_gives(what: str) -> None:
    matrix, params = make_matrix(what, 300, 0), PARAMS | OBJECTIVES[what]
    assert train_rounds(params, matrix, 12).save_raw("ubj") == xgboost.train(params, matrix, 12).save_raw("ubj")


@pytest.mark.parametrize("what", OBJECTIVES)
def test_the_best_round_and_its_loss_are_those_of_xgboosts_early_stopping(what: str) -> None:
    matrix, params = make_matrix(what, 300, 0), PARAMS | OBJECTIVES[what]
    watched = xgboost.QuantileDMatrix(*_get_rows(what, 200), ref=matrix, feature_types=["q"] * 4 + ["c"], enable_categorical=True)
    theirs = xgboost.train(
        params, matrix, ROUNDS, evals=[(watched, "watched")], early_stopping_rounds=PATIENCE, verbose_eval=False
    )
    assert theirs.num_boosted_rounds() < ROUNDS, "nothing was stopped"
    ours = find_best_round(params, matrix, watched, ROUNDS, PATIENCE)
    assert (ours.rounds, ours.loss) == (theirs.best_iteration + 1, theirs.best_score)


def _get_rows(what: str, rows: int) -> tuple[Array, Array]:
    matrix = make_matrix(what, rows, 1)
    return matrix.get_data().toarray().astype(np.float32), matrix.get_label()


def test_rounds_that_end_before_the_patience_does_give_the_best_of_them() -> None:
    matrix = make_matrix("values", 300, 0)
    params = PARAMS | OBJECTIVES["values"]
    assert find_best_round(params, matrix, matrix, 5, 50).rounds == 5


def test_what_xgboost_refuses_is_our_own_error_in_its_words() -> None:
    matrix = xgboost.DMatrix(np.zeros((4, 2), np.float32), np.full(4, 7.0))
    with pytest.raises(InternalError, match=r"XGBoost: .*base_score must be in"):
        train_rounds({"objective": "binary:logistic"}, matrix, 1)
