"""Explanations: what was planted is found in its order, noise is no proof, copies and pairs are told, figures have intervals."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from tests.folds import cross_validate

from epic22.core.data.examples import Examples
from epic22.core.data.folds import Fold, FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.explain.explanation import (
    ColumnImportance,
    Explanation,
    compute_kendalls_w,
    explain,
    find_near_duplicates,
    write_warnings,
)
from epic22.core.evaluation.explain.permutation import draw_donors
from epic22.core.evaluation.intervals import Estimate, compute_sampling_variances, compute_training_overlap, estimate_mean
from epic22.core.evaluation.metrics import METRICS
from epic22.core.experiment import Experiment
from epic22.core.models import linear
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.task import Array, Column, Kind, Target, Task

CLASSES: dict[Kind, tuple[str, ...]] = {"binary": ("stays", "leaves"), "multiclass": ("low", "mid", "high")}


def _quick(problem: LearningProblem, seed: int = 0, threads: int = 1) -> XGBoostEstimator:
    categorical = problem.categorical
    shape = {"max_depth": 4, "min_child_weight": 5.0, "colsample_bytree": 1.0, "learning_rate": 0.1, "default_rounds": 60}
    return XGBoostEstimator(problem.kind, categorical, max(2, problem.n_classes), seed, threads, **shape)  # type: ignore[arg-type]


QUICK = Family(
    "boosting", frozenset({"binary", "multiclass", "regression"}), _quick, get_family("boosting").restore, is_baseline=True
)
"""Trees of a given shape: without an inner fold, so that a fit takes a blink."""


def task_of(X: pl.DataFrame, kind: Kind) -> Task:
    dtypes = {pl.Float64: "float", pl.String: "category", pl.Boolean: "bool", pl.Datetime: "time"}
    columns = tuple(Column(name, dtypes[type(dtype)]) for name, dtype in X.schema.items())  # type: ignore[arg-type]
    target = Target("y", kind, lambda known, later: pl.DataFrame(), METRICS[kind][0], classes=CLASSES.get(kind, ()))
    return Task("planted", columns, (target,), lambda known, at: at, lambda known: pl.LazyFrame(), ())


def explained(
    X: pl.DataFrame, y: Array, kind: Kind = "regression", group: Array | None = None, family: Family = QUICK, n: int = 5
) -> Explanation:
    made, examples, plan, evaluation = evaluated(X, y, kind, group, family, n)
    found = explain(Experiment(made, examples, plan), evaluation)
    assert found is not None
    return found


def evaluated(X: pl.DataFrame, y: Array, kind: Kind, group: Array | None = None, family: Family = QUICK, n: int = 5):  # type: ignore[no-untyped-def]
    made = task_of(X, kind)
    at = np.full(len(y), np.datetime64(0, "us"))
    examples = Examples(X, y[:, None].astype(float), np.arange(len(y)).astype(str), at, "v0", group)
    plan = plan_folds(examples, kind, SplitRequest(repeats=1, n_folds=n))
    return made, examples, plan, cross_validate(Experiment(made, examples, plan), family, keep_models=True)


@cache
def planted() -> Explanation:
    """y = 3 a − 1.5 b + 0.7 c + b·c, beside a flag, a copy of a, levels, a date and two columns of noise."""
    rng = np.random.default_rng(0)
    n = 900
    a, b, c, d, e = rng.normal(size=(5, n))
    maker = rng.choice(["arden", "brook", "calder"], n)
    X = pl.DataFrame(
        {
            "a": np.where(rng.random(n) < 0.06, np.nan, a),
            "b": b,
            "c": c,
            "noise": d,
            "more noise": e,
            "a again": 2 * a + 0.01 * rng.normal(size=n),
            "maker": maker,
            "flag": rng.random(n) < 0.5,
            "day": pl.Series(rng.integers(15_000, 19_000, n)).cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("us")),
        }
    ).with_columns(pl.col("a").fill_nan(None))
    y = 3 * a - 1.5 * b + 0.7 * c + 1.5 * b * c + (maker == "brook") + rng.normal(size=n)
    return explained(X, y)


def named(found: Explanation, name: str):  # type: ignore[no-untyped-def]
    return next(one for one in found.columns if one.column.name == name)


@pytest.mark.slow
def test_the_planted_order_is_found_with_intervals_and_direction() -> None:
    found = planted()
    order = [one.column.name for one in found.columns]
    assert order.index("a again") < order.index("b") < order.index("c") < order.index("noise")
    strongest = found.columns[0]
    assert strongest.column.name in ("a", "a again")
    assert 0 < strongest.strength.low < strongest.strength.value < strongest.strength.high
    assert sum(one.share for one in found.columns) == pytest.approx(1)
    assert (strongest.direction, named(found, "b").direction, named(found, "maker").direction) == ("raises", "lowers", "by level")
    assert strongest.in_top == 1.0
    assert len(strongest.ranks) == found.folds == 5
    assert found.agreement > 0.7


@pytest.mark.slow
def test_noise_is_no_proof_and_the_planted_columns_are() -> None:
    found = planted()
    for name in ("noise", "more noise", "flag", "day"):
        assert named(found, name).loss.low <= 0, name
    assert named(found, "b").loss.low > 0
    assert named(found, "c").loss.low > 0


@pytest.mark.slow
def test_copies_are_told_and_their_joint_loss_is_more_than_either_ones() -> None:
    found = planted()
    (group,) = found.near_duplicates
    assert set(group.columns) == {"a", "a again"}
    assert group.loss.value > named(found, "a").loss.value + named(found, "a again").loss.value
    assert any("near copies" in warning for warning in found.warnings)


@pytest.mark.slow
def test_the_planted_product_is_the_pair_that_is_found() -> None:
    first, *others = planted().interactions
    assert set(first.columns) == {"b", "c"}
    assert first.is_significant
    assert first.strength.low > 0
    assert not any(pair.is_significant for pair in others)


@pytest.mark.slow
def test_a_dependence_has_bins_levels_dates_and_missing_with_bands() -> None:
    shapes = {shape.column.name: shape for shape in planted().dependences}
    middles = [mark.contribution.value for mark in shapes["a again"].bins]
    assert middles == sorted(middles)
    a = shapes["a"]
    assert a.missing is not None
    assert all(mark.contribution.low < mark.contribution.value < mark.contribution.high for mark in a.bins)
    assert all(len(mark.folds) == 5 for mark in a.bins)
    assert {mark.label for mark in shapes["maker"].bins} == {"arden", "brook", "calder"}
    assert sum(mark.rows for mark in a.bins) + a.missing.rows == planted().rows
    if "day" in shapes:
        assert all(mark.label.startswith(("2011", "201", "202")) for mark in shapes["day"].bins)


@pytest.mark.slow
@pytest.mark.parametrize("family", [linear.FAMILY, QUICK], ids=lambda f: f.name)
def test_an_additive_truth_has_no_pair_that_is_found(family: Family) -> None:
    rng = np.random.default_rng(1)
    X = pl.DataFrame({name: rng.normal(size=800) for name in "abcd"})
    y = 2 * X["a"] + X["b"].abs() - X["c"] + rng.normal(size=800)
    found = explained(X, y.to_numpy(), family=family)
    assert not any(pair.is_significant for pair in found.interactions)
    if family is linear.FAMILY:
        assert found.interactions == ()


@pytest.mark.slow
def test_columns_that_can_be_exchanged_have_no_steady_rank() -> None:
    rng = np.random.default_rng(2)
    X = pl.DataFrame({f"x{i}": rng.normal(size=700) for i in range(8)})
    found = explained(X, rng.normal(size=700) + sum(X[f"x{i}"].to_numpy() for i in range(8)))
    assert found.agreement < 0.4 < 0.8 < planted().agreement
    assert any("order the columns differently" in warning for warning in found.warnings)


@pytest.mark.slow
def test_classes_have_odds_and_many_classes_the_one_that_is_moved() -> None:
    rng = np.random.default_rng(3)
    X = pl.DataFrame({"a": rng.normal(size=500), "noise": rng.normal(size=500)})
    two = explained(X, (X["a"].to_numpy() + rng.logistic(size=500) > 0).astype(float), "binary")
    assert (two.unit, two.metric, two.columns[0].direction, two.columns[0].toward) == (
        "log-odds",
        "average_precision",
        "raises",
        None,
    )
    three = explained(X, np.digitize(2 * X["a"].to_numpy() + rng.logistic(size=500), [-1.0, 1.5]).astype(float), "multiclass")
    assert three.columns[0].toward in ("low", "high")
    assert three.columns[0].direction == ("raises" if three.columns[0].toward == "high" else "lowers")


@pytest.mark.slow
def test_rows_of_few_tenants_leave_more_doubt_than_rows_of_many() -> None:
    rng = np.random.default_rng(4)
    tenant = np.repeat(np.arange(30), 20)
    X = pl.DataFrame({"a": rng.normal(size=30)[tenant] + 0.1 * rng.normal(size=600), "b": rng.normal(size=600)})
    y = X["a"].to_numpy() + rng.normal(size=600)
    grouped = explained(X, y, group=tenant.astype(str).astype(object))
    alone = explained(X, y)
    width = {one: named(one, "a").strength.high - named(one, "a").strength.low for one in (grouped, alone)}
    assert width[grouped] > 1.5 * width[alone]


def test_what_moves_the_score_without_proof_is_warned_of() -> None:
    sure, open_ = Estimate(0.2, 0.1, 0.3), Estimate(0.01, -0.1, 0.1)
    columns = tuple(
        ColumnImportance(Column(name, "float"), sure, share, "raises", 1.0, (1.0, 1.0), 1.0, loss)
        for name, share, loss in (("a", 0.5, sure), ("b", 0.3, open_), ("c", 0.1, open_), ("d", 0.01, open_))
    )
    (said,) = write_warnings(columns, (), "roc_auc", 0.9, 5)
    assert said.startswith("b (30%) and c (10%) move the score, but without any one roc_auc is not certainly worse")
    late = replace(columns[3], loss=Estimate(0.9, 0.8, 1.0))
    assert any(said.startswith("d is only number 4") for said in write_warnings((*columns[:3], late), (), "roc_auc", 0.9, 5))


@pytest.mark.slow
def test_one_fold_says_that_it_knows_nothing_of_another_training() -> None:
    rng = np.random.default_rng(5)
    X = pl.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
    made, examples, plan, evaluation = evaluated(X, X["a"].to_numpy() + rng.normal(size=300), "regression")
    one = FoldPlan("holdout", plan.folds[:1], 1, 0.0, "one")
    experiment = Experiment(made, examples, one)
    found = explain(experiment, cross_validate(experiment, QUICK, keep_models=True))
    assert found is not None
    assert np.isnan(found.agreement)
    assert found.columns[0].strength.low < found.columns[0].strength.value
    assert any("one fold" in warning for warning in found.warnings)
    assert all(part.fitted is None for part in evaluation.without_models().fold_predictions)
    assert explain(Experiment(made, examples, plan), evaluation.without_models()) is None


def test_a_constant_has_nothing_to_explain() -> None:
    rng = np.random.default_rng(6)
    X = pl.DataFrame({"a": rng.normal(size=100)})
    made, examples, plan, evaluation = evaluated(X, rng.normal(size=100), "regression", family=get_family("constant"))
    assert explain(Experiment(made, examples, plan), evaluation) is None


@pytest.mark.slow
def test_models_are_kept_only_when_asked_and_scores_are_the_same() -> None:
    rng = np.random.default_rng(7)
    X = pl.DataFrame({"a": rng.normal(size=200)})
    made, examples, plan, kept = evaluated(X, rng.normal(size=200), "regression")
    plain = cross_validate(Experiment(made, examples, plan), QUICK)
    assert all(part.fitted is None for part in plain.fold_predictions)
    assert plain.scores == kept.scores


def test_a_cluster_is_dealt_as_a_whole_to_another() -> None:
    unit = np.repeat([7, 3, 9, 5], [4, 2, 6, 3])
    donors = draw_donors(unit, np.random.default_rng(0))
    given = [set(unit[donors[unit == one]]) for one in (7, 3, 9, 5)]
    assert all(len(one) == 1 for one in given)
    assert set.union(*given) == {7, 3, 9, 5}
    assert (unit[donors] != unit).all()
    assert sorted(draw_donors(np.arange(50), np.random.default_rng(0))) == list(range(50))
    assert sorted(draw_donors(np.zeros(50, dtype=int), np.random.default_rng(0))) == list(range(50))


def test_categories_that_tell_each_other_are_copies_and_a_coarser_one_is_not() -> None:
    rng = np.random.default_rng(8)
    city = rng.integers(0, 12, 600)
    values = [
        np.array([f"city {c}" for c in city], dtype=object),
        100.0 - city,
        np.array([f"region {c // 4}" for c in city], dtype=object),
    ]
    columns = [Column("city", "category"), Column("code", "float"), Column("region", "category")]
    ((members, agreement),) = find_near_duplicates(columns, values)
    assert members == (0, 1)
    assert agreement == pytest.approx(1)
    lone = [np.array([str(i) for i in range(600)], dtype=object), np.arange(600.0)]
    assert find_near_duplicates(columns[:2], lone) == []


def test_kendalls_w_puts_ties_right() -> None:
    assert compute_kendalls_w(np.array([[1.0, 2.0, 3.5, 3.5], [1.0, 2.0, 3.5, 3.5]])) == pytest.approx(1)
    assert compute_kendalls_w(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])) == pytest.approx(0)
    assert np.isnan(compute_kendalls_w(np.array([[1.0, 2.0]])))


def test_the_variance_between_clusters_is_that_of_drawing_them() -> None:
    rng = np.random.default_rng(9)
    unit = [rng.integers(0, 25, 200), rng.integers(0, 25, 150)]
    level = rng.normal(size=25)
    values = [(level[u] + rng.normal(size=len(u)))[:, None] for u in unit]
    draws = []
    for _ in range(1500):
        times = np.bincount(rng.integers(0, 25, 25), minlength=25)
        draws.append(np.mean([np.average(v[:, 0], weights=times[u]) for v, u in zip(values, unit, strict=True)]))
    (luck,) = compute_sampling_variances(values, unit)
    assert luck.mean == pytest.approx(np.var(draws), rel=0.2)


@pytest.mark.parametrize("plan", ["dealt", "forward"])
def test_intervals_cover_the_truth_though_training_parts_share_rows(plan: str) -> None:
    """300 tables; a fold's figure is a mean over its training rows, and over its own test rows, of something with mean 1."""
    rng, n, b, covered = np.random.default_rng(10), 300, 50, 0
    if plan == "dealt":
        folds = [
            Fold(np.setdiff1d(np.arange(n), np.arange(f * 60, f * 60 + 60)), np.arange(f * 60, f * 60 + 60)) for f in range(5)
        ]
    else:
        folds = [Fold(np.arange((f + 1) * b), np.arange((f + 1) * b, (f + 2) * b)) for f in range(5)]
    for _ in range(300):
        training, seen = rng.normal(size=n), 0.5 * rng.normal(size=n)
        values = [(1.0 + training[fold.train].mean() + seen[fold.test])[:, None] for fold in folds]
        (luck,) = compute_sampling_variances(values, [fold.test for fold in folds])
        found = estimate_mean(np.array([v.mean() for v in values]), luck, compute_training_overlap(folds, n))
        covered += found.low <= 1.0 <= found.high
    assert 0.9 < covered / 300 < 0.995


def test_folds_that_train_on_all_other_rows_are_a_grouped_jackknife() -> None:
    folds = [Fold(np.setdiff1d(np.arange(100), np.arange(f, 100, 5)), np.arange(f, 100, 5)) for f in range(5)]
    assert compute_training_overlap(folds, 100) == pytest.approx(16 / 5)
    apart = [Fold(np.arange(f, 100, 4), np.arange(0)) for f in range(4)]
    assert compute_training_overlap(apart, 100) == pytest.approx(1 / 4)
    assert compute_training_overlap(folds[:1], 100) == 0.0
