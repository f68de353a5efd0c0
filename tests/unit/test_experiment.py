"""An experiment: what is compared on it, and what is known of it when a fold's test part begins."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.folds import cross_validate
from tests.toy import daily, toy

from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import Candidate, compute_scores, count_folds_at_once, evaluate, make_candidate
from epic22.core.evaluation.metrics import AVERAGE_PRECISION
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.task import Array, Kind


def experiment_of(kind: Kind = "binary", n: int = 200, timed: bool = False, grouped: bool = False) -> Experiment:
    """The toy task's rows in the folds that are right for them."""
    group = np.repeat(np.arange(n // 4), 4).astype(str) if grouped else None
    made = toy(kind, n, at=daily(n) if timed else None, group=group)
    return Experiment(made.task, made.examples, plan_folds(made.examples, kind, SplitRequest(label_delay=2.0)))


def test_experiments_on_the_same_rows_and_folds_have_one_fingerprint_whatever_their_seed() -> None:
    one = experiment_of()
    assert replace(one, seed=7, threads=4).fingerprint == one.fingerprint


def test_another_version_of_the_data_or_other_folds_have_another_fingerprint() -> None:
    one = experiment_of()
    other_data = replace(one, examples=replace(one.examples, data_version="v2"))
    other_folds = replace(one, plan=replace(one.plan, folds=one.plan.folds[::-1]))
    assert len({one.fingerprint, other_data.fingerprint, other_folds.fingerprint}) == 3


def test_an_evaluation_carries_the_fingerprint_of_its_experiment() -> None:
    one = experiment_of()
    assert cross_validate(one, get_family("constant")).fingerprint == one.fingerprint


def test_labels_that_cannot_be_censored_are_the_same_before_every_test_part() -> None:
    one = experiment_of(timed=True)
    for fold in one.plan.folds:
        assert one.censor_for(fold) is one.examples


def test_events_after_the_test_part_begins_are_unknown_to_its_training() -> None:
    one = experiment_of("hazard", 400, timed=True)
    fold = one.plan.folds[0]
    start = one.examples.at[fold.test].min()
    known = one.censor_for(fold)
    days = (start - one.examples.at) / np.timedelta64(1, "D") - one.plan.embargo
    seen = known.Y[:, 1] == 1
    assert seen.any()
    assert (known.Y[seen, 0] <= days[seen]).all()
    assert (seen <= (one.examples.Y[:, 1] == 1)).all()


def test_rows_without_clusters_err_each_for_itself() -> None:
    one = replace(experiment_of(), plan=replace(experiment_of().plan, clusters=None))
    rows = np.array([3, 1, 3])
    assert one.get_clusters(rows).tolist() == [3, 1, 3]


@given(st.lists(st.integers(0, 199), min_size=1, max_size=30))
def test_rows_of_a_group_err_together(rows: list[int]) -> None:
    codes = GROUPED.get_clusters(np.array(rows))
    groups = GROUPED.examples.group[rows]  # type: ignore[index]
    assert ((codes[:, None] == codes[None, :]) == (groups[:, None] == groups[None, :])).all()


GROUPED = experiment_of(grouped=True)


def test_the_same_seed_divides_many_rows_alike_and_another_seed_otherwise() -> None:
    """More rows than are left out one by one."""
    response = GROUPED.examples.y + np.random.default_rng(0).normal(size=200)
    parts = tuple(FoldPredictions(fold, response[fold.test]) for fold in GROUPED.plan.folds)
    rows = replace(GROUPED, plan=replace(GROUPED.plan, clusters=None))
    first, again, other = (
        compute_scores(one, (AVERAGE_PRECISION,), parts)[0] for one in (rows, replace(rows), replace(rows, seed=1))
    )
    assert first == again
    assert first.value == other.value
    assert first != other


def test_only_re_dealt_folds_test_a_row_more_than_once() -> None:
    redealt, forward, grouped = experiment_of().plan, experiment_of(timed=True).plan, GROUPED.plan
    assert (redealt.is_repeated, forward.is_repeated, grouped.is_repeated) == (True, False, False)
    counts = np.bincount(np.concatenate([fold.test for fold in redealt.folds]))
    assert counts.tolist() == [redealt.repeats] * 200


def test_folds_fitted_side_by_side_give_the_same_bits_in_the_same_order() -> None:
    experiment = replace(experiment_of(), threads=3)
    family, steps = get_family("boosting"), list[int]()
    assert count_folds_at_once(experiment, family) == 3
    one = evaluate(experiment, make_candidate(experiment, family), keep_models=True)
    side_by_side = replace(make_candidate(experiment, family), folds_at_once=3)
    other = evaluate(experiment, side_by_side, lambda: steps.append(1), True)
    assert len(steps) == len(experiment.plan.folds)
    for a, b in zip(one.fold_predictions, other.fold_predictions, strict=True):
        assert a.fold is b.fold
        assert np.array_equal(a.response, b.response)
        assert (a.fitted is None) == (b.fitted is None) == (a.fold.repeat > 0)
        if a.fitted is not None and b.fitted is not None:
            assert a.fitted.estimator.files() == b.fitted.estimator.files()
    assert other.ms_per_row > 0


def test_a_fold_that_fails_side_by_side_fails_all() -> None:
    experiment = replace(experiment_of(), threads=3)

    def fail(known: Examples, train: Array) -> FittedFold:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate(experiment, Candidate("boosting", fail, folds_at_once=3))


def test_folds_of_a_large_table_and_of_networks_are_fitted_one_after_another() -> None:
    experiment = replace(experiment_of(), threads=3)
    assert count_folds_at_once(experiment, get_family("mlp")) == 1
    wide = replace(experiment.task, columns=experiment.task.columns * 1000)
    assert count_folds_at_once(replace(experiment, task=wide), get_family("boosting")) == 1
