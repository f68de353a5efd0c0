"""Calibration: monotone, the same for a row and a batch, chosen by rows that did not fit it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from tests.folds import cross_validate
from tests.toy import daily, toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import InternalError
from epic22.core.evaluation.calibration import (
    CALIBRATION_VIEW,
    METHODS,
    Calibration,
    CalibrationMethod,
    OutOfFoldScores,
    calibrate_out_of_fold,
    choose_calibration,
    collect_out_of_fold_scores,
    fit_calibration,
)
from epic22.core.evaluation.metrics import log_loss
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.serialization import to_json
from epic22.core.targets import KINDS
from epic22.core.task import Array

SCORES = arrays(np.float64, st.integers(2, 60), elements=st.floats(-800, 800, allow_nan=False))


def table(raw: Array, y: Array, folds: int = 5, forward: bool = True) -> OutOfFoldScores:
    """Scores in folds of equal size, every row for itself."""
    n = len(y)
    fold = np.arange(n) * folds // n if forward else np.arange(n) % folds
    alone = np.arange(n)
    return OutOfFoldScores(raw=raw, y=y, fold=fold, repeat=np.zeros(n, dtype=int), cluster=alone, row=alone, forward=forward)


def overconfident(n: int, seed: int = 0, stretch: float = 2.5, shift: float = 1.0) -> tuple[Array, Array]:
    """Raw scores that are too extreme and too high, and the classes."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1.5, 1.2, n)
    return stretch * truth + shift, (rng.uniform(size=n) < expit(truth)).astype(float)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_every_kind_is_monotone_finite_and_survives_json(raw: Array, seed: int, kind: CalibrationMethod) -> None:
    y = np.random.default_rng(seed).integers(0, 2, len(raw)).astype(float)
    made = fit_calibration(kind, raw, y)
    p = made(np.sort(raw))
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-12).all()
    again = Calibration.restore(json.loads(json.dumps(to_json(made, {Calibration: CALIBRATION_VIEW}))))
    assert again == made
    assert np.array_equal(again(raw), made(raw))


@pytest.mark.parametrize("kind", METHODS)
def test_a_row_alone_gets_the_bits_it_gets_in_a_batch(kind: CalibrationMethod) -> None:
    raw, y = overconfident(997)
    made = fit_calibration(kind, raw, y)
    alone = np.array([made(raw[i : i + 1])[0] for i in range(len(raw))])
    assert np.array_equal(alone, made(raw))
    assert np.array_equal(made(raw[::3]), made(raw)[::3])


def test_isotonic_keeps_the_order_and_makes_few_ties() -> None:
    raw, y = overconfident(3000)
    made = fit_calibration("isotonic", raw, y)
    assert len(np.unique(made(raw))) > 0.99 * len(np.unique(raw))
    assert made(raw).min() > 0
    assert made(raw).max() < 1


@pytest.mark.parametrize("kind", ["platt", "beta", "isotonic"])
@pytest.mark.parametrize("forward", [True, False])
def test_overconfidence_is_mended_on_rows_that_did_not_fit_it(kind: CalibrationMethod, forward: bool) -> None:
    raw, y = overconfident(5000)
    p = calibrate_out_of_fold(table(raw, y, forward=forward), kind)
    rows = np.arange(5000) >= 1000
    assert log_loss(y[rows], p[rows]) < log_loss(y[rows], expit(raw[rows])) - 0.02


def test_the_chosen_kind_is_fitted_on_all_rows_and_the_table_tells_what_was_gained() -> None:
    raw, y = overconfident(5000)
    made, losses = choose_calibration(table(raw, y))
    best = min(losses, key=lambda row: row.log_loss)
    assert made == fit_calibration(made.method, raw, y)
    assert made.method == best.method != "none"
    assert [row.method for row in losses] == list(METHODS)
    assert all(row.rows == 4000 for row in losses)
    assert best.gain > best.error > 0


def test_a_gain_within_its_error_changes_nothing() -> None:
    found = [choose_calibration(table(*overconfident(2000, seed, 1.0, 0.0))) for seed in range(20)]
    for made, losses in found:
        assert made.method == "none" or any(row.gain > row.error for row in losses if row.method == made.method)
    tempted = [made for made, losses in found if any(row.gain > 0 for row in losses[1:])]
    assert sum(made.method == "none" for made in tempted) >= 2
    assert sum(made.method == "none" for made, _ in found) >= 13


def test_errors_that_come_in_clusters_make_a_gain_less_sure() -> None:
    raw, y = overconfident(1000)
    scores = table(raw, y)
    alone, together = (choose_calibration(replace(scores, cluster=c))[1][1].error for c in (scores.cluster, scores.fold))
    assert together != pytest.approx(alone)


def test_a_single_isotonic_block_keeps_the_order() -> None:
    raw = np.arange(40.0)
    p = fit_calibration("isotonic", raw, (raw < 20).astype(float))(raw)
    assert np.ptp(p) < 1e-3
    assert (np.diff(p) > 0).all()


def test_the_first_forward_fold_stays_as_it_is_and_later_folds_are_taught_by_the_past_alone() -> None:
    raw, y = overconfident(1000)
    scores = table(raw, y)
    p = calibrate_out_of_fold(scores)
    assert np.array_equal(p[:200], expit(raw[:200]))
    q = calibrate_out_of_fold(replace(scores, y=np.where(scores.fold == 3, 1 - y, y)))
    assert np.array_equal(q[:800], p[:800])
    assert not np.array_equal(q[800:], p[800:])


def test_rows_whose_label_was_not_known_yet_do_not_teach() -> None:
    raw, y = overconfident(1000)
    at = np.datetime64("2026-01-01", "us") + np.arange(1000) * np.timedelta64(1, "D")
    late = np.arange(1000) % 200 > 150
    scores = replace(table(raw, y), at=at, label_known_at=at + np.timedelta64(50, "D"))
    flipped = replace(scores, y=np.where(late, 1 - y, y))
    first, second = (calibrate_out_of_fold(one, "platt")[200:400] for one in (scores, flipped))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("forward", [True, False])
def test_a_fold_never_teaches_itself(forward: bool) -> None:
    raw, y = overconfident(500)
    for teach, judged in table(raw, y, forward=forward).iterate_splits():
        assert not set(teach) & set(judged)


def test_repeated_dealings_teach_within_their_own_dealing() -> None:
    raw, y = overconfident(200)
    row = np.tile(np.arange(200), 2)
    fold = np.concatenate([np.arange(200) % 5, 5 + np.arange(200) // 40])
    dealing = np.repeat([0, 1], 200)
    scores = OutOfFoldScores(raw=raw[row], y=y[row], fold=fold, repeat=dealing, cluster=row, row=row, forward=False)
    for teach, judged in scores.iterate_splits():
        assert not set(row[teach]) & set(row[judged])
        assert len(teach) == 160


def test_constant_scores_and_one_class_are_survived() -> None:
    y = np.array([0.0, 1.0] * 20)
    for kind in METHODS:
        assert fit_calibration(kind, np.zeros(40), y)(np.zeros(1))[0] == pytest.approx(0.5, abs=0.02)
    assert fit_calibration("platt", np.arange(40.0), np.zeros(40)) == Calibration()
    assert choose_calibration(table(np.zeros(40), y))[0] == Calibration()


def test_a_single_fold_gives_no_table_and_no_calibration() -> None:
    raw, y = overconfident(100)
    assert choose_calibration(table(raw, y, folds=1)) == (Calibration(), ())


def test_a_few_certain_answers_do_not_make_a_calibration() -> None:
    """Log-odds of certain answers are as those of one in a million millions: as 700 they pulled the slope to 0.001."""
    raw, y = overconfident(2000)
    certain = 1 / (1 + np.exp(-raw))
    certain[:20] = 1.0
    assert fit_calibration("platt", KINDS["binary"].link(certain), y).numbers[0] > 0.2
    assert fit_calibration("platt", raw, y).numbers[0] == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("state", [{"kind": "platt", "numbers": [1.0]}, {"kind": "temperature", "numbers": [1.0]}])
def test_an_unknown_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not known"):
        Calibration.restore(state)


def test_platt_is_logistic_regression_and_isotonic_is_closer_to_the_truth_than_plain_steps() -> None:
    raw, y = overconfident(4000)
    peer = LogisticRegression(C=1e9, tol=1e-10).fit(raw[:, None], y)
    slope, intercept = fit_calibration("platt", raw, y).numbers
    assert [slope, intercept] == pytest.approx([peer.coef_[0, 0], peer.intercept_[0]], abs=0.01)
    steps = IsotonicRegression(out_of_bounds="clip").fit(raw, y)
    ours, truth = fit_calibration("isotonic", raw, y)(raw), expit((raw - 1) / 2.5)
    assert np.abs(ours - steps.predict(raw)).mean() < 0.02
    assert np.abs(ours - truth).mean() < np.abs(steps.predict(raw) - truth).mean()


def test_beta_finds_the_map_that_made_the_scores() -> None:
    rng = np.random.default_rng(4)
    raw = rng.normal(0, 2, 200_000)
    truth = expit(0.5 * log_expit(raw) - 1.7 * log_expit(-raw) - 0.3)
    a, b, c = fit_calibration("beta", raw, (rng.uniform(size=len(raw)) < truth).astype(float)).numbers
    assert [a, b, c] == pytest.approx([0.5, 1.7, -0.3], abs=0.05)


@pytest.mark.parametrize("kind", ["platt", "beta"])
def test_a_score_that_ranks_the_wrong_way_becomes_a_constant_never_a_falling_map(kind: CalibrationMethod) -> None:
    raw, y = overconfident(2000)
    made = fit_calibration(kind, -raw, y)
    assert min(made.numbers[:-1]) == 0
    assert np.ptp(made(raw)) < 0.1


def test_only_rows_that_other_folds_can_calibrate_count_as_taught() -> None:
    raw, y = overconfident(1000)
    assert table(raw, y).calibratable.tolist() == [False] * 200 + [True] * 800
    assert table(raw, y, forward=False).calibratable.all()


@pytest.mark.slow
def test_the_parts_of_an_evaluation_become_a_table_with_the_moments_labels_were_known() -> None:
    made = toy("binary", 240, at=daily(240))
    plan = plan_folds(made.examples, "binary", SplitRequest(horizon=10, n_folds=3))
    found = cross_validate(Experiment(made.task, made.examples, plan), get_family("linear"))
    scores = collect_out_of_fold_scores(Experiment(made.task, made.examples, plan), found.fold_predictions)
    assert scores.forward
    assert scores.at is not None
    assert scores.label_known_at is not None
    assert np.array_equal(scores.label_known_at, scores.at + np.timedelta64(10, "D"))
    assert np.array_equal(scores.y, made.examples.y[scores.row])
    assert np.allclose(Calibration()(scores.raw), np.concatenate([part.response for part in found.fold_predictions]))
    for teach, judged in scores.iterate_splits():
        assert not len(teach) or scores.label_known_at[teach].max() <= scores.at[judged].min()
    choose_calibration(scores)


@pytest.mark.slow
def test_re_dealt_folds_become_a_table_with_their_dealings() -> None:
    made = toy("binary", 200)
    plan = plan_folds(made.examples, "binary", SplitRequest(repeats=2))
    found = cross_validate(Experiment(made.task, made.examples, plan), get_family("linear"))
    scores = collect_out_of_fold_scores(Experiment(made.task, made.examples, plan), found.fold_predictions)
    assert not scores.forward
    assert np.bincount(scores.repeat).tolist() == [200, 200]
    assert calibrate_out_of_fold(scores).shape == (400,)


def test_class_probabilities_are_not_calibrated() -> None:
    made = toy("multiclass", 120)
    plan = plan_folds(made.examples, "multiclass", SplitRequest(repeats=1))
    found = cross_validate(Experiment(made.task, made.examples, plan), get_family("constant"))
    with pytest.raises(InternalError, match="only a binary"):
        collect_out_of_fold_scores(Experiment(made.task, made.examples, plan), found.fold_predictions)
