"""A doubtful column is raced with and without, on the same folds, and what it is worth is told."""

from dataclasses import replace

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
from epic22.services.column_prices import attach_prices, explain_costly_prices, price_doubtful_columns

DOUBTFUL = Suspicion("wear", "implies the label", "high means y = 1 in 12 of 12 rows.", False)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    data = toy("binary", 300)
    plan = plan_folds(data.examples, "binary", SplitRequest(n_folds=2, repeats=1))
    return Experiment(data.task, data.examples, plan)


def test_a_doubtful_column_is_raced_with_and_without_on_the_same_folds(experiment: Experiment) -> None:
    board = [evaluate(experiment, make_candidate(experiment, get_family(name))) for name in ("linear", "constant")]
    prices = price_doubtful_columns(experiment, [DOUBTFUL], board, Progress(), is_planned=False)
    assert [(price.column, price.family) for price in prices] == [("wear", "linear")]
    assert prices[0].with_column == board[0].score(prices[0].metric).value
    assert prices[0].difference.value == pytest.approx(prices[0].with_column - prices[0].without_column)
    told = attach_prices(experiment.task, [DOUBTFUL], prices)[0]
    assert told.words.startswith("high means y = 1 in 12 of 12 rows. linear has ")
    assert "--drop wear" in told.words
    assert to_json(told, SUSPICION_VIEWS)["price"]["without"] == prices[0].without_column
    assert np.isfinite(prices[0].difference.low)


def test_a_column_that_costs_score_is_worse_with_it_by_an_amount_above_zero() -> None:
    price = ColumnPrice("wear", "linear", "roc_auc", 0.7, 0.72, Interval(-0.02, -0.05, 0.01))
    assert "0.7 with it, 0.72 without: 0.02 worse (-0.01 … 0.05) with it; --drop wear" in price.words


def test_where_columns_are_planned_the_race_is_run_on_the_columns_as_they_come(experiment: Experiment) -> None:
    as_it_comes = evaluate(experiment, make_candidate(experiment, get_family("linear")))
    planned = replace(as_it_comes, scores=tuple(replace(score, value=0.1) for score in as_it_comes.scores))
    (price,) = price_doubtful_columns(experiment, [DOUBTFUL], [planned], Progress(), is_planned=True)
    assert price.with_column == as_it_comes.score(price.metric).value


def test_what_is_left_out_or_is_no_input_has_no_price(experiment: Experiment) -> None:
    board = [evaluate(experiment, make_candidate(experiment, get_family("constant")))]
    assert price_doubtful_columns(experiment, [DOUBTFUL], board, Progress(), is_planned=False) == ()
    left_out = Suspicion("wear", "label echo", "it is the label.", True)
    rows = Suspicion(None, "duplicate rows", "3 rows.", False)
    assert price_doubtful_columns(experiment, [left_out, rows], board, Progress(), is_planned=False) == ()
    assert "price" not in to_json(left_out, SUSPICION_VIEWS)


def test_a_doubtful_column_without_a_price_says_why(experiment: Experiment) -> None:
    left_out = Suspicion("wear", "label echo", "it is the label.", True)
    absent = Suspicion("gone", "near-key", "its values name rows.", False)
    attached = attach_prices(experiment.task, [DOUBTFUL, left_out, absent], (), "columns are planned")
    assert attached[0].words.endswith(
        "12 of 12 rows. What it is worth is not known: columns are planned; --drop wear trains without it."
    )
    assert attached[1:] == (left_out, absent)
    assert attach_prices(experiment.task, [DOUBTFUL], ()) == (DOUBTFUL,)


def test_of_more_doubtful_columns_than_are_raced_the_others_say_so(experiment: Experiment) -> None:
    other = replace(DOUBTFUL, column="maker")
    price = ColumnPrice("wear", "linear", "roc_auc", 0.7, 0.72, Interval(-0.02, -0.05, 0.01))
    priced, unpriced = attach_prices(experiment.task, [DOUBTFUL, other], [price])
    assert priced.price == price
    assert "What it is worth is not known: no more than 3 columns are raced; --drop maker" in unpriced.words


def test_under_a_time_limit_the_race_is_run_where_it_takes_less_than_a_tenth_of_it(experiment: Experiment) -> None:
    linear = replace(evaluate(experiment, make_candidate(experiment, get_family("linear"))), fit_seconds=1.0)
    assert explain_costly_prices(experiment, [DOUBTFUL], [linear], 40.0) == ""
    assert explain_costly_prices(experiment, [DOUBTFUL], [linear], 39.0) == (
        "training without it takes about 4 s more, too much beside --time-limit 39"
    )
    assert explain_costly_prices(experiment, [], [linear], 1.0) == ""
