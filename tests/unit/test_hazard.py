"""Time to an event: what the expansion tells, what censoring does to scores, and that no fold learns what was not known yet."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.folds import cross_validate
from tests.portfolios import portfolio_assignment
from tests.predictions import predict_frame, predict_rows
from tests.toy import HORIZONS, daily, inputs, toy

from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, open_bundle, write_bundle
from epic22.core.data.examples import Examples, censor_outcomes
from epic22.core.data.folds import Fold, SplitRequest
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import find_test_start, plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError, SplitError
from epic22.core.evaluation import hazard_calibration
from epic22.core.evaluation.bootstrap import find_resampler
from epic22.core.evaluation.calibration import Calibration
from epic22.core.evaluation.crossval import fit_family
from epic22.core.evaluation.cumulative_incidence import compute_horizon_reliability, compute_incidence_curves
from epic22.core.evaluation.hazard_calibration import HazardScores, calibrate_incidence, choose_hazard_calibration
from epic22.core.evaluation.inner_folds import split_inner_fold
from epic22.core.evaluation.metrics import KS_STATISTIC, TOP_DECILE_LIFT, average_precision, brier_score
from epic22.core.evaluation.predictions import ClusteredPredictions
from epic22.core.evaluation.survival import (
    Concordance,
    HorizonScore,
    IntegratedBrier,
    compute_censoring_survival,
    label_at_horizon,
    list_hazard_metrics,
    make_horizon_metric,
)
from epic22.core.experiment import Experiment
from epic22.core.lineage import ModelVersion
from epic22.core.models.base import BaseEstimator, Family
from epic22.core.models.baseline import LifeTable
from epic22.core.models.catalog import get_family
from epic22.core.models.hazard import (
    HazardTrees,
    compute_at_risk,
    compute_hazard_log_odds,
    compute_median_days,
    estimate_cumulative_incidence,
    expand_person_periods,
    split_inner_arrays,
)
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.targets import KINDS
from epic22.core.task import Array, RowMetadata, Task
from epic22.services.decide import select_decision_value

EDGES = (7.0, 30.0, 90.0)


def outcomes(n: int, seed: int = 0) -> Array:
    """Durations up to the grid's end and observed, (n, 2)."""
    rng = np.random.default_rng(seed)
    event, lost = rng.exponential(60, n), np.minimum(rng.uniform(0, 150, n), EDGES[-1])
    return np.column_stack([np.minimum(event, lost), (event <= lost).astype(float)])


class TestExpansion:
    @pytest.mark.parametrize("seed", range(5))
    def test_time_at_risk_is_what_was_seen_but_for_the_rest_of_an_events_interval(self, seed: int) -> None:
        y = outcomes(500, seed)
        at_risk, events = compute_at_risk(y, EDGES)
        days = at_risk * np.diff(EDGES, prepend=0.0)
        lost = y[:, 1] == 0
        assert np.allclose(days[lost].sum(axis=1), y[lost, 0])
        assert events.sum() == y[:, 1].sum()
        ends = np.array(EDGES)[np.searchsorted(EDGES, y[~lost, 0])]
        assert np.allclose(days[~lost].sum(axis=1), ends)
        assert (events <= at_risk).all()

    def test_nothing_comes_after_the_event(self) -> None:
        at_risk, events = compute_at_risk(np.array([[7.0, 1.0], [7.1, 1.0], [90.0, 0.0], [0.0, 0.0]]), EDGES)
        assert at_risk.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]]
        assert events.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]

    def test_observations_carry_the_row_and_the_number_of_the_interval(self) -> None:
        X = np.arange(6, dtype=np.float32).reshape(3, 2)
        y = np.array([[5.0, 1.0], [18.5, 0.0], [90.0, 0.0]])
        parts = list(expand_person_periods(X, y, EDGES))
        assert [part.X[:, :2].tolist() for part in parts] == [X.tolist(), X[1:].tolist(), X[2:].tolist()]
        assert [set(part.X[:, 2]) for part in parts] == [{0.0}, {1.0}, {2.0}]
        assert [part.weight.tolist() for part in parts] == [[1, 1, 1], [0.5, 1], [1]]

    def test_the_whole_expansion_is_never_held(self) -> None:
        """Twelve intervals, and less than a third of what they would take as float32 at once."""
        edges = tuple(30.0 * month for month in range(1, 13))
        X = np.random.default_rng(0).normal(size=(20_000, 60)).astype(np.float32)
        y = np.column_stack([np.full(len(X), 360.0), np.zeros(len(X))])
        tracemalloc.start()
        for part in expand_person_periods(X, y, edges):
            assert part.X.dtype == np.float32
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 12 * X.nbytes / 3

    def test_hazards_come_back_from_the_probabilities_they_made(self) -> None:
        raw = np.random.default_rng(1).normal(-3, 1, (50, 3))
        assert np.allclose(compute_hazard_log_odds(KINDS["hazard"].inverse_link(raw)), raw)

    def test_the_median_lies_where_half_is_reached(self) -> None:
        rate = np.array([0.001, 0.01, 0.05])
        incidence = 1 - np.exp(-rate[:, None] * np.array(EDGES))
        assert np.allclose(
            compute_median_days(incidence, EDGES), np.where(np.log(2) / rate <= 90, np.log(2) / rate, np.nan), equal_nan=True
        )


class TestFamilies:
    def test_the_life_table_finds_the_rate_where_rows_are_lost_at_random(self) -> None:
        y = outcomes(200_000)
        table = LifeTable(EDGES).fit(np.zeros((len(y), 1), np.float32), y)
        truth = 1 - np.exp(-np.array(EDGES) / 60)
        assert np.allclose(table.predict_proba(np.zeros((1, 1)))[0], truth, atol=0.01)

    def test_an_interval_that_nobody_reached_goes_on_at_the_rate_before(self) -> None:
        y = censor_outcomes(outcomes(2000), np.full(2000, 30.0))
        raw = LifeTable(EDGES).fit(np.zeros((2000, 1), np.float32), y).decision_function(np.zeros((1, 1)))[0]
        force = np.logaddexp(0.0, raw)
        assert force[2] / 60 == pytest.approx(force[1] / 23)

    @pytest.mark.parametrize("name", ["constant", "hazard_linear", "hazard"])
    def test_without_an_event_there_is_nothing_to_learn(self, name: str) -> None:
        made = toy("hazard", 60)
        y = made.examples.Y * [1.0, 0.0]
        with pytest.raises(ValueError, match="none of 60 rows had the event"):
            get_family(name).build(LearningProblem.of(made.task), seed=0, threads=1).fit(np.zeros((60, 5), np.float32), y)

    @pytest.mark.parametrize("name", ["constant", "hazard_linear", "hazard"])
    def test_one_event_is_borne(self, name: str) -> None:
        made = toy("hazard", 60)
        y = made.examples.Y * [1.0, 0.0]
        y[3, 1] = 1.0
        X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
        X[:, [2, 3]] = 0.0
        assert np.isfinite(
            get_family(name).build(LearningProblem.of(made.task), seed=0, threads=1).fit(X, y).decision_function(X)
        ).all()

    @pytest.mark.parametrize("y", [np.ones((10, 3)), np.full((10, 2), 2.0), -np.ones((10, 2)), np.ones(10)])
    def test_outcomes_of_another_form_are_refused(self, y: Array) -> None:
        with pytest.raises(ValueError, match=r"durations of at least 0 days"):
            HazardTrees(EDGES, (False,)).fit(np.zeros((10, 1), np.float32), y)

    def test_trees_learn_that_the_hazard_changes_with_time(self) -> None:
        """Half of the rows have their events early, half late: the curves cross in speed, never in order of horizons."""
        rng = np.random.default_rng(0)
        early = rng.integers(0, 2, 4000)
        event = np.where(early == 1, rng.uniform(0, 7, 4000), rng.uniform(30, 200, 4000))
        y = np.column_stack([np.minimum(event, 90.0), (event <= 90).astype(float)])
        model = HazardTrees(EDGES, (False,)).fit(early[:, None].astype(np.float32), y)
        late, soon = model.predict_proba(np.array([[0.0], [1.0]], np.float32))
        assert soon[0] > 0.9
        assert late[1] < 0.05
        assert late[2] == pytest.approx(60 / 170, abs=0.05)


def simulated(n: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Exponential times of two rates, half of the rows lost at random: outcomes (n, 2), true probabilities (n, 1), true times."""
    rng = np.random.default_rng(seed)
    rate = np.where(rng.random(n) < 0.5, 1 / 200, 1 / 40)
    event, lost = rng.exponential(1 / rate), rng.exponential(60, n)
    y = np.column_stack([np.minimum(event, lost), (event <= lost).astype(float)])
    return y, (1 - np.exp(-rate * 90))[:, None], event


class TestScores:
    def test_the_chance_to_be_in_sight_is_that_of_the_closed_form(self) -> None:
        y, _, _ = simulated(100_000)
        asked = np.array([10.0, 30.0, 90.0])
        assert np.allclose(compute_censoring_survival(y, asked), np.exp(-asked / 60), atol=0.01)

    def test_the_observed_incidence_is_that_of_the_closed_form(self) -> None:
        y, truth, _ = simulated(100_000)
        found, error = estimate_cumulative_incidence(y, np.array([90.0]))
        assert found[0] == pytest.approx(truth.mean(), abs=4 * error[0])
        assert error[0] < 0.005

    @pytest.mark.parametrize("score", [brier_score, average_precision])
    def test_weighted_scores_are_those_of_complete_rows_where_counting_the_lost_as_spared_is_not(self, score: object) -> None:
        """Against what nobody saw: the same rows with nothing lost."""
        assert callable(score)
        y, p, event = simulated(60_000)
        whole = score((event <= 90).astype(float), p[:, 0])
        weighted = HorizonScore(score, 0, 90.0)(y, p)
        ignoring = score(((y[:, 1] == 1) & (y[:, 0] <= 90)).astype(float), p[:, 0])
        known = (y[:, 1] == 1) | (y[:, 0] >= 90)
        dropping = score((y[known, 1] == 1).astype(float) * (y[known, 0] <= 90), p[known, 0])
        assert abs(weighted - whole) < 0.01
        assert abs(ignoring - whole) > 0.02
        assert abs(dropping - whole) > 0.02

    def test_without_loss_scores_are_the_plain_ones(self) -> None:
        _, p, event = simulated(500)
        y = np.column_stack([np.minimum(event, 90.0), (event <= 90).astype(float)])
        assert HorizonScore(brier_score, 0, 90.0)(y, p) == pytest.approx(brier_score(y[:, 1], p[:, 0]))

    def test_no_rows_have_no_score(self) -> None:
        happened, weight = label_at_horizon(np.zeros((0, 2)), 90.0)
        assert len(happened) == len(weight) == 0
        assert np.isnan(HorizonScore(brier_score, 0, 90.0)(np.zeros((0, 2)), np.zeros((0, 1))))

    def test_a_horizon_that_few_were_followed_to_has_no_score(self) -> None:
        y = np.column_stack([np.r_[np.full(95, 10.0), np.full(5, 90.0)], np.zeros(100)])
        assert label_at_horizon(y, 90.0)[1].sum() == 0
        assert np.isnan(HorizonScore(brier_score, 0, 90.0)(y, np.full((100, 1), 0.5)))
        assert label_at_horizon(y, 10.0)[1].tolist() == [1.0] * 100

    def test_concordance_counts_pairs_as_one_by_one(self) -> None:
        y, risk = outcomes(60, 3), np.round(np.random.default_rng(4).random(60), 1)
        weight = compute_censoring_survival(y, y[:, 0])
        right = total = 0.0
        for i in range(60):
            for j in range(60):
                if y[i, 1] == 1 and (y[j, 0] > y[i, 0] or (y[j, 0] == y[i, 0] and y[j, 1] == 0)) and i != j:
                    total += weight[i] ** -2
                    right += weight[i] ** -2 * (1.0 if risk[j] < risk[i] else 0.5 if risk[j] == risk[i] else 0.0)
        found = Concordance(0, EDGES)(y, np.column_stack([risk] * 3))
        assert found == pytest.approx(right / total, rel=0.02)

    def test_the_integrated_score_stops_where_rows_were_no_longer_followed(self) -> None:
        y = censor_outcomes(outcomes(2000), np.full(2000, 30.0))
        p = np.tile([0.1, 0.4, 0.8], (2000, 1))
        each = [HorizonScore(brier_score, j, edge)(y, p) for j, edge in enumerate(EDGES[:2])]
        expected = (each[0] / 2 * 7 + (each[0] + each[1]) / 2 * 23) / 30
        assert IntegratedBrier(EDGES)(y, p) == pytest.approx(expected)

    def test_drawing_every_cluster_once_is_the_score_itself(self) -> None:
        made = toy("hazard", 200)
        p = np.random.default_rng(0).random((200, 3)).cumsum(axis=1) / 3
        unit = np.arange(200) % 40
        target = made.task.target
        of_orders = (make_horizon_metric(metric, target, HORIZONS[1]) for metric in (TOP_DECILE_LIFT, KS_STATISTIC))
        for metric in (*list_hazard_metrics(target), *of_orders):
            drawn = find_resampler(metric.score)
            assert drawn is not None
            once = drawn.finish(*drawn.prepare(ClusteredPredictions(made.examples.y, p, unit))(np.ones((1, 40))))
            assert once[0] == pytest.approx(metric.score(made.examples.y, p, RowMetadata()), nan_ok=True), metric.name


def timed_examples(n: int = 400) -> tuple[Task, Examples]:
    """The toy's hazard with a row every six hours, followed to the horizon or to ten days after the last."""
    made = toy("hazard", n, at=daily(n, every_hours=24))
    end = made.examples.at.max() + np.timedelta64(10, "D")
    days = np.minimum((end - made.examples.at) / np.timedelta64(1, "D"), HORIZONS[-1])
    return made.task, replace(made.examples, Y=censor_outcomes(made.examples.Y, days), follow_up_days=days)


class Watcher:
    """An estimator that keeps what it was told and answers with the life table."""

    def __init__(self) -> None:
        self.told: list[tuple[Array, Array, Fold | None]] = []

    def build(self, problem: LearningProblem, seed: int = 0, threads: int = 1) -> BaseEstimator:
        watcher = self

        class Told(LifeTable):
            def fit(self, X: Array, y: Array, inner: Fold | None = None) -> "Told":
                watcher.told.append((X, y, inner))
                super().fit(X, y, inner)
                return self

        return Told(problem.horizons)

    @property
    def family(self) -> Family:
        return Family("watcher", frozenset({"hazard"}), self.build, LifeTable.restore)


class TestFolds:
    def test_a_training_row_is_known_only_up_to_the_first_test_row(self) -> None:
        """The heart: what happened after the test part began had not happened yet. Nobody is left out for it either."""
        task, examples = timed_examples()
        plan = plan_folds(examples, "hazard", SplitRequest(horizon=HORIZONS[-1]))
        watcher = Watcher()
        cross_validate(Experiment(task, examples, plan), watcher.family)
        assert plan.embargo == 0
        cut = 0
        for fold, (_, y, inner) in zip(plan.folds, watcher.told, strict=True):
            start = examples.at[fold.test].min()
            assert fold.train.tolist() == np.flatnonzero(examples.at < start).tolist()
            known = (start - examples.at[fold.train]) / np.timedelta64(1, "D")
            assert (y[:, 0] <= known + 1e-9).all()
            later = examples.Y[fold.train, 0] > known
            cut += int(examples.Y[fold.train, 1][later].sum())
            assert not y[later, 1].any()
            assert np.array_equal(y[~later], examples.Y[fold.train][~later])
            assert inner is not None
            assert inner.follow_up_days is not None
            begin = examples.at[fold.train][inner.test].min()
            assert np.allclose(
                inner.follow_up_days,
                np.minimum((begin - examples.at[fold.train][inner.train]) / np.timedelta64(1, "D"), HORIZONS[-1]),
            )
        assert cut > 20

    def test_outcomes_after_the_test_began_change_nothing(self) -> None:
        """Whatever happens later is replaced: the fitted model is the same to the byte."""
        task, examples = timed_examples()
        fold = plan_folds(examples, "hazard", SplitRequest()).folds[1]
        start = find_test_start(examples, fold)
        assert start is not None
        days = (start.astype("datetime64[us]") - examples.at).astype(np.int64) / 86_400_000_000
        later = (examples.Y[:, 0] > days) & (days > 0)
        other = examples.Y.copy()
        other[later] = np.column_stack([days[later] + 0.5, 1 - examples.Y[later, 1]])
        assert later.sum() > 20
        files = []
        for outcome in (examples.Y, other):
            known = replace(examples, Y=outcome).censor_at(start)
            plan = plan_folds(examples, "hazard", SplitRequest())
            fitted = fit_family(Experiment(task, known, plan), get_family("hazard"), fold.train)
            files.append(fitted.estimator.files())
        assert files[0] == files[1]

    def test_the_inner_fold_learns_only_what_was_known_when_it_begins_to_watch(self) -> None:
        """As the families see it: the fitted part is cut, the watched one is not."""
        y = outcomes(100)
        inner = Fold(np.arange(60), np.arange(60, 100), follow_up_days=np.full(60, 20.0))
        known, watched = split_inner_arrays(np.zeros((100, 1), np.float32), y, inner)
        assert known[1][:, 0].max() == 20
        assert known[1][:, 1].sum() == ((y[:60, 0] <= 20) & (y[:60, 1] == 1)).sum()
        assert np.array_equal(watched[1], y[60:])

    def test_a_delay_is_kept_between_what_happened_and_what_was_known(self) -> None:
        _, examples = timed_examples(100)
        known = examples.censor_at(np.datetime64("2024-02-01", "us"), delay=5.0)
        assert known.follow_up_days is not None
        assert known.follow_up_days[0] == 26.0
        assert (known.Y[:, 0] <= known.follow_up_days).all()

    def test_inner_folds_of_rows_without_time_need_no_cutting(self) -> None:
        made = toy("hazard", 200)
        plan = plan_folds(made.examples, "hazard", SplitRequest())
        assert split_inner_fold(Experiment(made.task, made.examples, plan), plan.folds[0].train).follow_up_days is None
        assert find_test_start(made.examples, plan.folds[0]) is None

    def test_folds_without_events_are_refused(self) -> None:
        _, examples = timed_examples()
        with pytest.raises(SplitError, match="a hazard needs at least 2 to learn from"):
            plan_folds(replace(examples, Y=examples.Y * [1.0, 0.0]), "hazard", SplitRequest())


class TestCalibration:
    @pytest.mark.slow
    def test_it_mends_what_was_bent_and_keeps_the_order_of_horizons(self) -> None:
        task, examples = timed_examples(1500)
        plan = plan_folds(examples, "hazard", SplitRequest())
        evaluation = cross_validate(Experiment(task, examples, plan), get_family("hazard_linear"))
        bent = tuple(
            replace(part, response=KINDS["hazard"].inverse_link(1.8 * compute_hazard_log_odds(part.response) + 1.0))
            for part in evaluation.fold_predictions
        )
        scores = HazardScores.of(Experiment(task, examples, plan), bent)
        calibration, table = choose_hazard_calibration(scores)
        assert calibration.method == "platt"
        assert table[1].gain > 0
        p = calibrate_incidence(scores)
        assert (np.diff(p, axis=1) >= 0).all()
        judged = scores.calibratable
        told = compute_horizon_reliability(
            scores.y[judged], KINDS["hazard"].inverse_link(scores.raw[judged]), p[judged], HORIZONS
        )
        assert all(one.error < 0.6 * one.before for one in told)
        assert all(one.error < 2 * one.floor for one in told)

    def test_what_teaches_is_known_only_up_to_the_judged_fold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        task, examples = timed_examples()
        plan = plan_folds(examples, "hazard", SplitRequest())
        parts = cross_validate(Experiment(task, examples, plan), get_family("constant")).fold_predictions
        scores = HazardScores.of(Experiment(task, examples, plan), parts)
        for teach, known, judged in scores.iterate_splits():
            start = examples.at[scores.row[judged]].min()
            assert (known[:, 0] <= (start - examples.at[scores.row[teach]]) / np.timedelta64(1, "D") + 1e-9).all()

    def test_a_slope_that_would_turn_the_order_round_is_not_taken(self) -> None:
        y = outcomes(500)
        raw = np.tile(-y[:, :1] * 0 + np.log(y[:, :1] + 1), (1, 3)) - 3
        found = hazard_calibration.fit_hazard_calibration(raw, y, EDGES)
        assert found.numbers[0] > 0
        assert hazard_calibration.fit_hazard_calibration(raw, y * [1.0, 0.0], EDGES) == Calibration()

    def test_curves_of_true_probabilities_lie_on_what_is_observed(self) -> None:
        y, _, _ = simulated(40_000)
        rate = np.random.default_rng(0).exponential(1 / 80, 40_000)
        rng = np.random.default_rng(1)
        event, lost = rng.exponential(1 / rate), rng.exponential(60, len(rate))
        y = np.column_stack([np.minimum(event, lost), (event <= lost).astype(float)])
        p = 1 - np.exp(-rate[:, None] * np.array(EDGES))
        curves = compute_incidence_curves(y, p, EDGES, 1)
        assert len(curves) == 5
        for curve in curves:
            assert np.allclose(curve.predicted, [o.value for o in curve.observed], atol=0.03)
        assert [curve.predicted[2] for curve in curves] == sorted(curve.predicted[2] for curve in curves)


def served(kind: str = "none") -> tuple[ModelVersion, Bundle]:
    """A version and a bundle of trees on the toy's hazard, with costs, calibrated or not."""
    made = toy("hazard")
    preprocessor = Preprocessor.fit(made.task.input_columns, made.examples.X)
    estimator = HazardTrees(HORIZONS, tuple(bool(c) for c in made.task.is_category), default_rounds=30)
    estimator.fit(preprocessor.transform(made.examples.X), made.examples.y)
    calibration = Calibration() if kind == "none" else Calibration("platt", (0.8, -0.2))
    costs = {"miss": 1000.0, "false_alarm": 100.0}
    bundle = Bundle(
        Schema.of(made.task),
        "hazard",
        "proven",
        "h",
        "v0",
        0,
        preprocessor,
        estimator,
        None,
        calibration=calibration,
        costs=costs,
    )
    return ModelVersion("toy", "1", "hazard", "h", "v0", "proven", "2026-01-01T00:00:00"), bundle


@pytest.mark.parametrize("kind", ["none", "platt"])
class TestServing:
    def test_there_is_an_answer_for_each_horizon_and_none_is_below_the_one_before(self, kind: str) -> None:
        version, bundle = served(kind)
        for prediction in predict_rows(version, bundle, inputs(40, seed=3).to_dicts()):
            assert [value.horizon for value in prediction.values] == list(HORIZONS)
            values = [float(value.value) for value in prediction.values]
            assert values == sorted(values)
            assert [value.expected_loss is not None for value in prediction.values] == [False, True, False]
            assert (prediction.median_days is not None) == (values[-1] >= 0.5)
            assert select_decision_value(prediction) is prediction.values[1]

    def test_reasons_sum_to_the_mean_log_odds_of_the_hazard_up_to_the_deciding_horizon(self, kind: str) -> None:
        version, bundle = served(kind)
        rows = inputs(20, seed=3)
        z = bundle.calibration.log_odds(bundle.estimator.decision_function(bundle.preprocessor.transform(rows)))
        for i, prediction in enumerate(predict_rows(version, bundle, rows.to_dicts())):
            assert prediction.score.unit == "log-odds of the hazard, mean over the days up to 90"
            assert prediction.score.value == pytest.approx((30 * z[i, 0] + 60 * z[i, 1]) / 90)
            assert sum(reason.contribution for reason in prediction.reasons) == pytest.approx(prediction.score.value, abs=1e-9)
            assert abs(prediction.reasons[-1].contribution) < 2

    def test_a_row_alone_is_answered_as_in_a_batch(self, kind: str) -> None:
        version, bundle = served(kind)
        rows = inputs(20, seed=3)
        assert predict_frame(version, bundle, rows) == tuple(
            replace(predict_rows(version, bundle, [row])[0], entity=str(i + 1)) for i, row in enumerate(rows.to_dicts())
        )


def test_a_bundle_of_before_has_no_horizons(tmp_path: Path) -> None:
    """What an older program wrote says nothing of them, and opens as before; a hazard's come back."""
    _, bundle = served()
    write_bundle(tmp_path / "b", replace(bundle, model_hash=compute_model_hash(bundle)), toy("hazard").examples.X)
    assert open_bundle(tmp_path / "b").schema.horizons == HORIZONS
    assert toy("binary").task.target.horizon is None
    assert Schema.of(toy("binary").task).horizons == ()


class TestTables:
    @pytest.mark.slow
    def test_a_row_is_followed_to_the_end_of_the_data_and_no_further(self) -> None:
        assigned = portfolio_assignment("churn_hazard")
        assert isinstance(assigned, TaskData)
        examples = assigned.examples()
        assert examples.follow_up_days is not None
        lost = examples.Y[:, 1] == 0
        assert np.allclose(examples.Y[lost, 0], examples.follow_up_days[lost])
        assert examples.at.max() == np.datetime64("2025-12-01", "us")
        assert (examples.follow_up_days < 360).any()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "plain"), [("maintenance_hazard", "predictive_maintenance"), ("churn_hazard", "tenant_churn")]
    )
    def test_up_to_the_deciding_horizon_it_is_the_plain_tasks_label(self, name: str, plain: str) -> None:
        hazard, binary = (portfolio_assignment(one) for one in (name, plain))
        assert isinstance(hazard, TaskData)
        assert isinstance(binary, TaskData)
        held, labelled = hazard.examples(), binary.examples()
        happened, _ = label_at_horizon(held.Y, hazard.task.target.horizon or 0.0)
        told = pl.DataFrame({"entity": held.entity, "at": held.at, "hazard": happened})
        both = pl.DataFrame({"entity": labelled.entity, "at": labelled.at, "plain": labelled.y}).join(told, on=["entity", "at"])
        assert both.height == len(labelled)
        assert both["plain"].equals(both["hazard"].rename("plain"))

    def test_cutoffs_of_which_nothing_was_seen_are_refused(self) -> None:
        assigned = portfolio_assignment("churn_hazard")
        late = pl.DataFrame({"entity": ["L1"], "cutoff": [assigned.tables.end]})
        with pytest.raises(ColumnError, match="at or after the end of the data"):
            assigned.tables.after_censored(late, pl.Series([1]).cast(pl.Duration("us"))[0])
