"""Families where they are used: money by hand, intervals that hold the truth, and 'not worse' that is shown, not assumed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats
from tests.folds import cross_validate
from tests.toy import task, toy
from tests.trained import table

from epic22.adapters.model_store import ModelStore
from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation.baselines import evaluate_responses
from epic22.core.evaluation.cost_per_thousand import compute_acting_costs, compute_cost_per_1000
from epic22.core.evaluation.costs import CostMatrix
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.metrics import precision_at_top, recall_at_top
from epic22.core.evaluation.non_inferiority import NonInferiority, choose_preferred_family, run_non_inferiority_test
from epic22.core.evaluation.operating_points import CalibratedCandidate, compute_operating_points
from epic22.core.evaluation.power import SampleSize
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.serialization import to_json
from epic22.core.task import Array, EvaluationPolicy
from epic22.reports.html.training import render_report
from epic22.reports.json import VIEWS
from epic22.services.comparison import compare_in_use
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

COSTS = CostMatrix(100.0, 10.0)
TASK = task("binary")


def made_of(y: Array, groups: Array | None = None, tests: int | None = None) -> tuple[Examples, FoldPlan]:
    """Examples with these classes; by group, else the last `tests` rows as a test file, else re-dealt folds."""
    n = len(y)
    moments = np.full(n, np.datetime64(0, "us"))
    entity = np.array([f"e{i}" for i in range(n)], dtype=object)
    X = pl.DataFrame({"load": np.arange(n, dtype=float)})
    examples = Examples(X, y[:, None], entity, moments, "v0", groups)
    return examples, plan_folds(examples, "binary", SplitRequest(test_rows=tests or 0))


def contestant(name: str, p: Array, examples: Examples, plan: FoldPlan) -> CalibratedCandidate:
    parts = tuple(FoldPredictions(fold, p[fold.test]) for fold in plan.folds)
    empty = Evaluation(name, "y", None, (), parts, "", 0.0, 0.0)
    return CalibratedCandidate(empty, parts)


def test_what_rows_cost_by_hand() -> None:
    y, acted = np.array([1, 1, 0, 0]), np.array([True, False, True, False])
    assert COSTS.compute_realised_cost(y, acted).tolist() == [0.0, 100.0, 10.0, 0.0]
    assert CostMatrix(100.0, 10.0, 0.6).compute_realised_cost(y, acted).tolist() == [40.0, 100.0, 10.0, 0.0]
    own = CostMatrix(np.array([1.0, 2.0, 3.0, 4.0]), 5.0)
    assert own.compute_realised_cost(y, acted).tolist() == [0.0, 2.0, 5.0, 0.0]


def test_acting_follows_the_threshold_of_expected_cost() -> None:
    y = np.tile([1.0, 0.0, 0.0, 0.0], 30)
    examples, plan = made_of(y, tests=20)
    p = np.tile([0.2, 0.2, 0.05, 0.05], 30)  # the threshold is 10 ÷ 110
    one = contestant("one", p, examples, plan)
    spent = compute_acting_costs(one.fold_predictions, COSTS, examples)[0]
    assert spent.tolist() == np.tile([0.0, 10.0, 0.0, 0.0], 5).tolist()
    assert compute_cost_per_1000(Experiment(TASK, examples, plan), [spent], one.fold_predictions).value == pytest.approx(2500.0)


def test_the_top_twentieth_shares_ties_and_equals_a_count() -> None:
    rng = np.random.default_rng(0)
    y, score = (rng.uniform(size=400) < 0.1).astype(float), rng.uniform(size=400)
    top = np.argsort(-score)[:20]
    assert recall_at_top(y, score) == pytest.approx(y[top].sum() / y.sum())
    assert precision_at_top(y, score) == pytest.approx(y[top].mean())
    assert precision_at_top(y, np.ones(400)) == pytest.approx(y.mean())
    assert recall_at_top(y, np.ones(400)) == pytest.approx(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True], ids=["rows", "clusters"])
def test_the_interval_of_a_cost_holds_the_true_cost_about_ninety_five_times_in_a_hundred(clustered: bool) -> None:
    """Test rows whose rate of positives differs by cluster. Broken once on purpose: with rows in place of the clusters drawn, the
    second interval holds the truth 87 times in a hundred and this fails."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rate = np.repeat(rng.beta(2, 6, size=80), 5) if clustered else np.full(400, 0.25)
        y = (rng.uniform(size=400) < rate).astype(float)
        groups = np.repeat(np.arange(80).astype(str), 5) if clustered else None
        examples, plan = made_of(y, groups, None if clustered else 380)
        one = contestant("none", np.zeros(400), examples, plan)
        spent = compute_acting_costs(one.fold_predictions, COSTS, examples)
        found = compute_cost_per_1000(Experiment(TASK, examples, plan, seed), spent, one.fold_predictions)
        held += found.low <= 25_000 <= found.high
        assert found.upper < found.high
    assert 0.90 <= held / 200 <= 0.985


@pytest.mark.slow
def test_a_model_that_is_worse_by_the_margin_is_let_through_about_five_times_in_a_hundred() -> None:
    """The size: b costs exactly the margin more, so each passing is an error. And the power where both cost the same."""
    passed, shown, dropped = 0, 0, 0.1
    margin = 1000 * 0.3 * 0.9 * dropped * 100.0  # of 1,000 rows 300 are positives, 270 found, a tenth of them dropped
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y = (rng.uniform(size=420) < 0.3).astype(float)
        a, b = (np.where(rng.uniform(size=420) < 0.1, 1 - y, y) for _ in range(2))
        worse = np.where((rng.uniform(size=420) < dropped) & (y == 1), 0.0, b)
        examples, plan = made_of(y, tests=400)
        best, equal, dearer = (contestant(n, p, examples, plan) for n, p in (("best", a), ("equal", b), ("dearer", worse)))
        passed += run_non_inferiority_test(Experiment(TASK, examples, plan, seed), dearer, best, COSTS, margin).is_shown
        shown += run_non_inferiority_test(Experiment(TASK, examples, plan, seed), equal, best, COSTS, margin).is_shown
    assert 0.01 <= passed / 100 <= 0.11
    assert shown / 100 > 0.5


def weighed(family: str, upper: float, p: float, margin: float = 10.0, against: str = "ensemble") -> NonInferiority:
    return NonInferiority(family, against, upper - 5, upper, margin, p, 2.0, SampleSize("positives", 100, None))


def test_the_simplest_that_is_shown_not_to_be_worse_is_taken_only_where_asked_for() -> None:
    board = [weighed("boosting", 2.0, 0.001), weighed("linear", 8.0, 0.01)]
    assert choose_preferred_family("ensemble", board, prefer_simpler=True).family == "linear"
    stated = choose_preferred_family("ensemble", board, prefer_simpler=False)
    assert stated.family == "ensemble"
    assert "--prefer-simpler would take it" in stated.why
    assert "linear costs 3 more per 1,000 rows than ensemble (at most 8 more" in stated.why


def test_what_cannot_be_told_apart_is_not_taken_for_as_good() -> None:
    """Absence of evidence: the difference may be nothing, or more than the margin."""
    vague = weighed("linear", 40.0, 0.4)
    assert choose_preferred_family("boosting", [vague], prefer_simpler=True).family == "boosting"
    assert "not shown to be within 10" in vague.words
    assert "about 100 more positives would be needed" in vague.words


def test_several_simpler_families_are_several_chances() -> None:
    """Broken once on purpose: without Holm's correction linear is taken and this fails."""
    board = [weighed("linear", 9.9, 0.03), weighed("boosting", 9.9, 0.04)]
    assert choose_preferred_family("ensemble", board, prefer_simpler=True).family == "ensemble"
    assert choose_preferred_family("ensemble", board[:1], prefer_simpler=True).family == "linear"
    assert (
        choose_preferred_family("linear", [weighed("boosting", -5.0, 0.001, against="linear")], prefer_simpler=True).family
        == "linear"
    )


def test_re_dealt_folds_count_each_row_once() -> None:
    rng = np.random.default_rng(4)
    y = (rng.uniform(size=200) < 0.3).astype(float)
    examples, plan = made_of(y)
    one = contestant("one", rng.uniform(size=200), examples, plan)
    spent = compute_acting_costs(one.fold_predictions, COSTS, examples)
    found = compute_cost_per_1000(Experiment(TASK, examples, plan), spent, one.fold_predictions)
    by_row = np.zeros(200)
    for part, cost in zip(one.fold_predictions, spent, strict=True):
        by_row[part.fold.test] += cost / 5
    assert found.error == pytest.approx(1000 * by_row.std(ddof=1) / np.sqrt(200), rel=0.3)
    half = stats.t.ppf(0.975, found.degrees_of_freedom) * found.error
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
    assert found.p_below(found.upper) == pytest.approx(0.05)


@pytest.mark.slow
def test_the_board_in_use_has_money_where_there_are_costs_and_a_choice_that_is_stated() -> None:
    made = toy("binary", 400)
    plan = plan_folds(made.examples, "binary", SplitRequest(repeats=1))
    board = tuple(
        cross_validate(Experiment(made.task, made.examples, plan), get_family(n)) for n in ("boosting", "linear", "constant")
    )
    bare = compare_in_use(Experiment(made.task, made.examples, plan), board, board[0])
    assert [point.cost for point in bare.operating_points] == [None, None, None]
    assert bare.preferred is None
    costly = replace(made.task, costs={"miss": 100.0, "false_alarm": 10.0})
    found = compare_in_use(Experiment(costly, made.examples, plan), board, board[0])
    by_name = {point.family: point for point in found.operating_points}
    constant = by_name["constant"]
    assert constant.cost is not None
    assert constant.saved is None
    # At this rate acting on everybody is cheaper than on nobody: every negative is a false alarm.
    assert constant.cost.value == pytest.approx(1000 * 10 * (1 - made.examples.y.mean()), rel=0.02)
    for name in ("linear", "boosting"):
        point = by_name[name]
        assert point.cost is not None
        assert point.saved is not None
        assert point.saved.value == pytest.approx(constant.cost.value - point.cost.value)
        assert point.saved.low < point.saved.value < point.saved.high
    assert [one.family for one in found.non_inferiority] == ["linear"]
    assert found.non_inferiority[0].margin == pytest.approx(0.01 * constant.cost.value)
    simpler = replace(made.task, policy=EvaluationPolicy(prefer_simpler=True))
    with pytest.raises(UserError, match="state what a miss and a false alarm cost"):
        compare_in_use(Experiment(simpler, made.examples, plan), board, board[0])


def test_operating_points_read_the_responses_of_the_evaluation_and_the_calibrated_parts_for_money() -> None:
    made = toy("binary", 200)
    plan = plan_folds(made.examples, "binary", SplitRequest(repeats=1))
    parts = tuple(FoldPredictions(fold, np.linspace(0, 1, len(fold.test))) for fold in plan.folds)
    idle = tuple(FoldPredictions(fold, np.zeros(len(fold.test))) for fold in plan.folds)
    one = CalibratedCandidate(evaluate_responses(Experiment(made.task, made.examples, plan), "one", parts), idle)
    point = compute_operating_points(Experiment(made.task, made.examples, plan), [one], COSTS)[0]
    assert point.acted == 0
    assert point.cost is not None
    assert point.cost.value == pytest.approx(1000 * 100 * made.examples.y.mean(), rel=0.05)
    assert point.recall.value > 0


@pytest.mark.slow
def test_costs_of_a_table_of_ones_own_reach_the_result_and_the_page(tmp_path: Path) -> None:
    file = build_spec(
        csv=table(tmp_path, "binary"),
        label="y",
        id="who",
        task="toy",
        cost_miss=100.0,
        cost_false_alarm=50.0,
        prefer_simpler=True,
        learning_curve=True,
    )
    store = ModelStore(tmp_path / "models")
    run = train(RowPipeline(load_task_data(file), SplitRequest(repeats=1), threads=1), store)
    found = to_json(run, VIEWS)["comparison"]
    points = {point["family"]: point for point in found["operating_points"]}
    assert points["constant"]["saved_per_1000_against_constant"] is None
    assert points["linear"]["cost_per_1000"]["value"] < points["constant"]["cost_per_1000"]["value"]
    assert found["choice"]["family"] == run.champion.family
    assert found["learning_curve"]["folds"] == 3
    page = render_report(run)
    assert "saved against the constant" in page
    assert "Would more data help?" in page
    assert run.bundle.costs == {"miss": 100.0, "false_alarm": 50.0}


def test_costs_of_a_value_are_refused(tmp_path: Path) -> None:
    file = build_spec(csv=table(tmp_path, "regression"), label="y", id="who", cost_miss=1.0, cost_false_alarm=1.0)
    with pytest.raises(ColumnError, match="not one of two classes"):
        load_task_data(file)
