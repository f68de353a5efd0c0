"""A doubtful column is raced with and without, on the same folds, and what it is worth is told."""

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.leakage import SUSPICION_VIEWS, ColumnPrice, Suspicion
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import evaluate, make_candidate
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.progress import Progress
from epic22.core.serialization import to_json
from epic22.core.statistics import Interval
from epic22.services.column_prices import attach_prices, price_doubtful_columns

DOUBTFUL = Suspicion("wear", "implies the label", "high means y = 1 in 12 of 12 rows.", False)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    data = toy("binary", 300)
    plan = plan_folds(data.examples, "binary", SplitRequest(n_folds=2, repeats=1))
    return Experiment(data.task, data.examples, plan)


def test_a_doubtful_column_is_raced_with_and_without_on_the_same_folds(experiment: Experiment) -> None:
    board = [evaluate(experiment, make_candidate(experiment, get_family(name))) for name in ("linear", "constant")]
    prices = price_doubtful_columns(experiment, [DOUBTFUL], board, Progress())
    assert [(price.column, price.family) for price in prices] == [("wear", "linear")]
    assert prices[0].with_column == board[0].score(prices[0].metric).value
    assert prices[0].difference.value == pytest.approx(prices[0].with_column - prices[0].without_column)
    told = attach_prices([DOUBTFUL], prices)[0]
    assert told.words.startswith("high means y = 1 in 12 of 12 rows. linear has ")
    assert "--drop wear" in told.words
    assert to_json(told, SUSPICION_VIEWS)["price"]["without"] == prices[0].without_column
    assert np.isfinite(prices[0].difference.low)


def test_a_column_that_costs_score_is_worse_with_it_by_an_amount_above_zero() -> None:
    price = ColumnPrice("wear", "linear", "roc_auc", 0.7, 0.72, Interval(-0.02, -0.05, 0.01))
    assert "0.7 with it, 0.72 without (0.02 worse (-0.01 … 0.05) with it): --drop wear" in price.words


def test_what_is_left_out_or_is_no_input_has_no_price(experiment: Experiment) -> None:
    board = [evaluate(experiment, make_candidate(experiment, get_family("constant")))]
    assert price_doubtful_columns(experiment, [DOUBTFUL], board, Progress()) == ()
    left_out = Suspicion("wear", "label echo", "it is the label.", True)
    rows = Suspicion(None, "duplicate rows", "3 rows.", False)
    assert price_doubtful_columns(experiment, [left_out, rows], board, Progress()) == ()
    assert "price" not in to_json(left_out, SUSPICION_VIEWS)
