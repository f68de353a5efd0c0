"""Coverage: judged by rows that did not make the promise, with intervals that know what errs together, and told plainly."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.small_rows import held
from tests.toy import daily, toy

from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import ColumnError
from epic22.core.evaluation.calibration import choose_calibration, collect_out_of_fold_scores
from epic22.core.evaluation.conformal import expand_binary, fit_sets
from epic22.core.evaluation.coverage import (
    MAX_LEVELS,
    MONTH,
    Coverage,
    EvaluatedRows,
    check_groups,
    compute_coverage,
    compute_coverage_table,
    compute_group_coverage,
    evaluate_intervals,
    evaluate_sets,
)
from epic22.core.evaluation.crossval import build_evaluation
from epic22.core.evaluation.predictions import FoldPredictions, OutOfFoldPredictions, collect_out_of_fold_predictions
from epic22.core.experiment import Experiment
from epic22.core.task import Array
from epic22.services.prediction_intervals import compute_prediction_intervals

ROWS = 1200


def in_time(drift: float = 0.0, seed: int = 0) -> OutOfFoldPredictions:
    """Rows in five forward folds; the errors of the last grow by `drift`."""
    rng = np.random.default_rng(seed)
    value = rng.normal(10, 2, ROWS)
    rows = held(value, value + rng.normal(size=ROWS), forward=True)
    return replace(rows, y=np.where(rows.fold == 4, value + (rows.y - value) * (1 + drift), rows.y))


def told(rows: OutOfFoldPredictions) -> Coverage:
    """The coverage of rows whose examples are the toy's at their times."""
    made = toy("regression", ROWS, at=daily(ROWS, every_hours=24))
    judged = evaluate_intervals(rows)
    assert judged is not None
    return compute_coverage(Experiment(made.task, made.examples, plan_folds(made.examples, "regression", SplitRequest())), judged)


def months(coverage: Coverage) -> dict[str, float]:
    (table,) = (table for table in coverage.tables if table.by == MONTH)
    return {group.name: group.share.value for group in table.groups}


def test_on_rows_that_stay_alike_the_stated_share_is_covered_and_no_month_is_called_short() -> None:
    coverage = told(in_time())
    assert coverage.overall.share.low < 0.9 < coverage.overall.share.high
    assert coverage.overall.rows == ROWS * 4 // 5
    assert coverage.short_months == ()
    assert coverage.warning is None


def test_a_drift_in_the_last_fold_shows_as_months_that_fell_short_and_is_said_plainly() -> None:
    coverage, plain = told(in_time(drift=2.0)), told(in_time())
    short = {group.name for group in coverage.short_months}
    drifted = {name for name in months(plain) if name >= "2026-08"}
    assert short
    assert short <= drifted
    assert all(share < 0.75 for name, share in months(coverage).items() if name > "2026-08")
    assert {n: s for n, s in months(coverage).items() if n < "2026-08"} == {
        n: s for n, s in months(plain).items() if n < "2026-08"
    }
    assert coverage.warning is not None
    assert "fell short in" in coverage.warning
    assert coverage.sentences[-1] == coverage.warning


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_outcomes_after_a_fold_change_nothing_of_how_it_is_judged(fold: int, timed: bool) -> None:
    """Once by the order of folds alone, and once by when labels were known as well."""
    rows = in_time() if timed else replace(in_time(), at=None, label_known_at=None)
    noise = np.random.default_rng(9).normal(0, 50, ROWS)
    changed = replace(rows, y=np.where(rows.fold > fold, rows.y + noise, rows.y))
    own, other = evaluate_intervals(rows), evaluate_intervals(changed)
    assert own is not None
    assert other is not None
    before = rows.fold[own.row] <= fold
    assert before.any()
    assert np.array_equal(own.size[before], other.size[before])
    assert np.array_equal(own.is_covered[before], other.is_covered[before])
    assert not np.array_equal(own.is_covered, other.is_covered)


def test_a_label_not_known_yet_teaches_nothing() -> None:
    """With labels known 300 days late the fold before has nothing to say."""
    rows = in_time()
    late = replace(rows, label_known_at=None if rows.at is None else rows.at + np.timedelta64(300, "D"))
    judged = evaluate_intervals(late)
    assert judged is not None
    assert set(rows.fold[judged.row]) == {2, 3, 4}


def test_a_fold_is_never_its_own_judge() -> None:
    rng = np.random.default_rng(1)
    value = rng.normal(size=500)
    rows = held(value, value + rng.normal(size=500))
    own = evaluate_intervals(rows)
    worse = evaluate_intervals(replace(rows, y=np.where(rows.fold == 0, rows.y + 100, rows.y)))
    assert own is not None
    assert worse is not None
    first = rows.fold[own.row] == 0
    assert np.array_equal(own.size[first], worse.size[first])


def test_sets_are_judged_for_both_classes_and_the_rare_one_is_a_group_of_its_own() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(-3, 1.5, 3000)
    p = 1 / (1 + np.exp(-z))
    rows = held(p, (rng.uniform(size=3000) < p).astype(float))
    judged = evaluate_sets(rows, is_calibrated=True)
    assert judged is not None
    made = toy("binary", 3000)
    examples = replace(made.examples, Y=rows.y[:, None])
    coverage = compute_coverage(Experiment(made.task, examples, FoldPlan("repeated_stratified", (), 1, 0.0, "")), judged)
    (by_class,) = (table for table in coverage.tables if table.by == "y")
    assert [group.name for group in by_class.groups] == ["no", "yes"]
    frequent, rare = by_class.groups
    assert rare.share.low < 0.9 < rare.share.high
    assert frequent.share.low > 0.88
    assert not frequent.short
    assert not rare.short
    assert 1 <= coverage.overall.size.value <= 2


def test_rows_that_err_together_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(40), 25)
    inside = np.repeat(rng.uniform(size=40) < 0.9, 25)
    alone = compute_group_coverage("all", inside, np.ones(1000), np.arange(1000))
    together = compute_group_coverage("all", inside, np.ones(1000), cluster)
    assert together.share.high - together.share.low > 3 * (alone.share.high - alone.share.low)
    assert (together.n_clusters, alone.n_clusters) == (40, 1000)


def test_the_interval_of_a_share_holds_the_truth_as_often_as_it_says() -> None:
    """Of 600 made-up groups of 40 clusters of 10 rows, the 95 % interval holds the true share in 92 to 98 %."""
    rng, held_truth = np.random.default_rng(4), []
    for _ in range(600):
        share = rng.beta(18, 2, 40)
        inside = rng.uniform(size=(40, 10)) < share[:, None]
        group = compute_group_coverage("g", inside.ravel(), np.ones(400), np.repeat(np.arange(40), 10))
        held_truth.append(group.share.low <= 0.9 <= group.share.high)
    assert 0.92 <= np.mean(held_truth) <= 0.98


def test_a_group_of_few_rows_is_listed_and_never_the_worst() -> None:
    inside = np.concatenate([np.zeros(10, bool), np.arange(90) % 10 > 0])
    judged = EvaluatedRows(np.arange(100), inside, np.ones(100), np.zeros(100))
    table = compute_coverage_table("maker", np.repeat(["few", "many"], [10, 90]), judged, np.arange(100), 0.9)
    assert [(g.name, g.rows, g.short) for g in table.groups] == [("few", 10, False), ("many", 90, False)]
    coverage = Coverage(0.9, "interval", compute_group_coverage("all", inside, judged.size, judged.row), (table,))
    assert coverage.worst is not None
    assert coverage.worst[1].name == "many"


def grouped(by: tuple[str, ...], slices: pl.DataFrame | None = None) -> Coverage:
    made = toy("regression", 400)
    rng = np.random.default_rng(5)
    examples = replace(made.examples, slices=slices)
    judged = EvaluatedRows(np.arange(400), rng.uniform(size=400) < 0.9, np.ones(400), rng.normal(size=400))
    return compute_coverage(Experiment(made.task, examples, FoldPlan("repeated", (), 1, 0.0, "")), judged, by)


def test_protected_columns_and_named_columns_are_groups_and_missing_values_one_of_them() -> None:
    coverage = grouped(("maker",), pl.DataFrame({"age": ["young", "old", None, "old"] * 100}))
    by = {table.by: [group.name for group in table.groups] for table in coverage.tables}
    assert by == {
        "predicted y": ["1 low", "2 middle", "3 high"],
        "age": ["(missing)", "old", "young"],
        "maker": ["(missing)", "arden", "brook", "calder"],
    }


def test_every_level_of_a_column_that_may_be_shown_has_its_name_beside_the_missing_ones() -> None:
    levels = [None, *(f"level {i:02d}" for i in range(MAX_LEVELS))]
    slices = pl.DataFrame({"age": [levels[i % len(levels)] for i in range(400)]})
    check_groups(("age",), slices)
    (table,) = (table for table in grouped((), slices).tables if table.by == "age")
    assert [group.name for group in table.groups] == ["(missing)", *levels[1:]]


@pytest.mark.parametrize(("column", "said"), [("nobody", "no such input"), ("load", "at most 20")])
def test_a_column_that_makes_no_groups_is_refused_with_the_reason(column: str, said: str) -> None:
    with pytest.raises(ColumnError, match=said):
        check_groups((column,), toy().examples.X)


def test_a_single_test_part_is_cut_forward_in_time_so_that_it_can_be_judged() -> None:
    made = toy("regression", 600, at=daily(600))
    plan = plan_folds(made.examples, "regression", SplitRequest(holdout_last=300))
    (fold,) = plan.folds
    rows = collect_out_of_fold_predictions(
        Experiment(made.task, made.examples, plan), (FoldPredictions(fold, made.examples.y[fold.test] + 0.5),)
    )
    assert rows.forward
    assert (np.diff(rows.fold[np.argsort(made.examples.at[rows.row])]) >= 0).all()
    assert len(np.unique(rows.fold)) == 5
    assert evaluate_intervals(rows) is not None


def test_a_single_test_part_without_time_is_cut_by_cluster() -> None:
    made = toy("regression", 300)
    clusters: Array = np.arange(300) // 3
    plan = replace(plan_folds(made.examples, "regression", SplitRequest(test_rows=150)), clusters=clusters)
    (fold,) = plan.folds
    rows = collect_out_of_fold_predictions(
        Experiment(made.task, made.examples, plan), (FoldPredictions(fold, made.examples.y[fold.test]),)
    )
    assert not rows.forward
    assert all(len(np.unique(rows.fold[rows.cluster == one])) == 1 for one in np.unique(rows.cluster))


def test_the_sets_that_are_judged_on_one_test_part_are_of_the_probabilities_that_serve() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(0, 1, 1000)
    y, too_high = (rng.uniform(size=1000) < 1 / (1 + np.exp(-z))).astype(float), 1 / (1 + np.exp(-z - 3))
    made = toy("binary", 1000)
    examples = replace(made.examples, Y=y[:, None])
    experiment = Experiment(made.task, examples, plan_folds(examples, "binary", SplitRequest(test_rows=600)))
    (fold,) = experiment.plan.folds
    parts = (FoldPredictions(fold, too_high[fold.test]),)
    calibration, _ = choose_calibration(collect_out_of_fold_scores(experiment, parts))
    assert calibration.method == "none"
    intervals = compute_prediction_intervals(experiment, build_evaluation(experiment, "linear", (), parts), calibration)
    rows, sizes = collect_out_of_fold_predictions(experiment, parts), []
    for teaching, judged in rows.iterate_splits():
        sets = fit_sets(expand_binary(rows.response[teaching]), rows.y[teaching], np.ones(len(teaching)))
        assert sets is not None
        sizes.append(sets.contains(expand_binary(rows.response[judged])).sum(axis=1))
    assert intervals.coverage is not None
    assert intervals.coverage.overall.size.value == pytest.approx(np.concatenate(sizes).mean())
