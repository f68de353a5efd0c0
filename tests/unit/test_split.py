"""Folds: time goes forward with its gap, groups stay whole, copies stay together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.folds import count_leaking_rows
from tests.toy import Toy, daily, task, toy

from epic22.core.data.examples import Examples
from epic22.core.data.folds import Fold, FoldPlan, SplitRequest
from epic22.core.data.split import compute_period_starts, encode_values, plan_folds
from epic22.core.errors import SplitError
from epic22.core.evaluation.inner_folds import select_training_share, split_inner_fold, split_inner_folds, split_search_folds
from epic22.core.experiment import Experiment
from epic22.core.progress import Progress
from epic22.core.task import Array, Kind
from epic22.services.pipelines.rows import RowPipeline
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

DAY = np.timedelta64(1, "D")


def forward(n: int = 600, gap: float = 0.0, horizon: float = 0.0, seed: int = 0) -> tuple[Toy, FoldPlan]:
    made = toy("regression", n, seed, at=daily(n))
    return made, plan_folds(made.examples, "regression", SplitRequest(label_delay=gap, horizon=horizon))


def test_timed_rows_walk_forward() -> None:
    made, plan = forward()
    assert plan.strategy == "walk_forward"
    assert all(made.examples.at[f.train].max() < made.examples.at[f.test].min() for f in plan.folds)
    assert np.array_equal(np.unique(np.concatenate([f.test for f in plan.folds])), np.arange(100, 600))


@settings(max_examples=40, deadline=None)
@given(gap=st.floats(0, 12), horizon=st.floats(0, 12), seed=st.integers(0, 10))
def test_no_training_label_was_still_unknown_when_its_test_row_was_predicted(gap: float, horizon: float, seed: int) -> None:
    made, plan = forward(gap=gap, horizon=horizon, seed=seed)
    span = np.timedelta64(round((gap + horizon) * 86_400_000_000), "us")
    for fold in plan.folds:
        assert (made.examples.at[fold.train] + span <= made.examples.at[fold.test].min()).all()
    assert plan.embargo == gap + horizon
    assert count_leaking_rows(plan.folds, made.examples.at, plan.embargo) == 0


def test_folds_without_the_gap_are_seen_as_leaking() -> None:
    made, plan = forward(gap=0.0)
    assert count_leaking_rows(plan.folds, made.examples.at, 7.0) > 0


def test_early_stopping_watches_only_what_comes_after_its_own_gap() -> None:
    made, plan = forward(gap=3)
    inner = split_inner_fold(Experiment(made.task, made.examples, plan), plan.folds[-1].train)
    assert (made.examples.at[inner.train] + 3 * DAY <= made.examples.at[inner.test].min()).all()
    assert set(inner.train) | set(inner.test) <= set(plan.folds[-1].train)


def test_a_gap_longer_than_the_history_is_refused() -> None:
    with pytest.raises(SplitError, match="gap leaves no training rows"):
        forward(gap=4000)


def test_a_forward_fold_that_would_lack_a_class_makes_whole_days_the_groups() -> None:
    made = toy("binary", 960, at=daily(960, every_hours=1))
    first_half = (np.arange(960) < 480).astype(float)
    examples = replace(made.examples, Y=first_half[:, None])
    plan = plan_folds(examples, "binary", SplitRequest())
    assert (plan.strategy, plan.period) == ("by_group", "day")
    assert "one class only" in plan.why
    days = compute_period_starts(examples.at, "day")
    for fold in plan.folds:
        assert not set(days[fold.train]) & set(days[fold.test])
        assert len(np.unique(examples.y[fold.test])) == 2


def test_random_rows_despite_time_leave_a_warning() -> None:
    made = toy("binary", 200, at=daily(200))
    plan = plan_folds(made.examples, "binary", SplitRequest(random_rows_despite_time=True))
    assert (plan.strategy, plan.why) == ("repeated_stratified", "requested with --random-rows-despite-time")
    assert "leak" in plan.warnings[0]


def test_two_kinds_of_groups_are_refused_before_anything_is_fitted_where_rows_are_random_too(tmp_path: Path) -> None:
    path, n = tmp_path / "t.csv", 120
    at = [f"2024-{1 + i // 12:02}-{1 + i % 12:02}" for i in range(n)]
    columns = {"x": [float(i % 7) for i in range(n)], "y": [float(i % 11) for i in range(n)]}
    pl.DataFrame({"at": at, "site": [f"s{i % 6}" for i in range(n)], **columns}).write_csv(path)
    data = load_task_data(build_spec(csv=path, label="y", time=("at",), group="site", task="t"))
    split = SplitRequest(random_rows_despite_time=True, separate_groups=True, group_by="month")
    with pytest.raises(SplitError, match="name two kinds of groups"):
        RowPipeline(data, split, threads=1).plan(Progress())


def test_random_rows_despite_time_change_nothing_without_a_time() -> None:
    examples, request = toy("binary", 200).examples, SplitRequest(random_rows_despite_time=True)
    plan, usual = plan_folds(examples, "binary", request), plan_folds(examples, "binary", SplitRequest())
    assert plan.fingerprint("v") == usual.fingerprint("v")
    assert plan.why == usual.why
    assert plan.warnings == ("--random-rows-despite-time changed nothing: the rows have no time.",)


@settings(max_examples=25, deadline=None)
@given(groups=st.integers(4, 30), seed=st.integers(0, 5))
def test_a_group_is_never_on_both_sides(groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.array([f"g{i}" for i in rng.integers(0, groups, 300)], dtype=object)
    made = toy("regression", 300, group=group)
    plan = plan_folds(made.examples, "regression", SplitRequest(seed=seed))
    assert plan.strategy == "by_group"
    for fold in plan.folds:
        assert not set(group[fold.train]) & set(group[fold.test])
    assert sorted(np.concatenate([f.test for f in plan.folds])) == list(range(300))


def grouped_and_timed(group: Array, kind: Kind = "regression", days: int = 600) -> Examples:
    """Rows over time with a group each."""
    n = len(group)
    return toy(kind, n, at=daily(n, every_hours=round(24 * days / n)), group=group.astype(object)).examples


def shared_groups(group: Array, fold: Fold) -> set[object]:
    return set(group[fold.train]) & set(group[fold.test])


@settings(max_examples=25, deadline=None)
@given(n_groups=st.integers(9, 60), persistent=st.booleans(), seed=st.integers(0, 5))
def test_groups_with_a_time_are_kept_apart_and_time_goes_forward(n_groups: int, persistent: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Groups come again all the time, or one after the other as guests do.
    codes = rng.integers(0, n_groups, 600) if persistent else np.sort(rng.integers(0, n_groups, 600))
    examples = grouped_and_timed(codes)
    plan = plan_folds(examples, "regression", SplitRequest(horizon=10, seed=seed, separate_groups=True))
    assert plan.strategy == "walk_forward"
    assert len(plan.folds) >= 2
    assert count_leaking_rows(plan.folds, examples.at, plan.embargo) == 0
    for fold in plan.folds:
        assert not shared_groups(codes, fold)
        experiment = Experiment(task("regression"), examples, plan, seed)
        inner = [split_inner_fold(experiment, fold.train), *split_inner_folds(experiment, fold.train, 4)]
        inner += split_search_folds(experiment, fold.train)
        assert inner
        assert not any(shared_groups(codes, one) for one in inner)
        share = select_training_share(experiment, fold.train, 3)
        assert not set(codes[share]) & set(codes[fold.test])


def test_groups_that_follow_one_another_are_tested_in_whole_windows() -> None:
    codes = np.repeat(np.arange(60), 10)
    plan = plan_folds(grouped_and_timed(codes), "regression", SplitRequest(separate_groups=True))
    forward = plan_folds(grouped_and_timed(codes), "regression", SplitRequest())
    assert [len(fold.test) for fold in plan.folds] == [len(fold.test) for fold in forward.folds]
    assert "no group is in both training and test" in plan.why
    assert "come again" not in plan.why


def test_groups_that_come_again_are_tested_one_part_a_window() -> None:
    codes = np.tile(np.arange(50), 12)
    examples = grouped_and_timed(codes)
    plan = plan_folds(examples, "regression", SplitRequest(separate_groups=True))
    assert "each window tests one part in 5" in plan.why
    parts = [set(codes[fold.test]) for fold in plan.folds]
    assert [len(part) for part in parts] == [10] * 5
    assert set.union(*parts) == set(range(50))


def test_an_id_that_repeats_does_not_keep_rows_of_a_time_apart() -> None:
    codes = np.tile(np.arange(50), 12)
    plan = plan_folds(grouped_and_timed(codes), "regression", SplitRequest())
    assert all(shared_groups(codes, fold) for fold in plan.folds)


def test_a_holdout_leaves_out_training_rows_of_the_groups_it_tests() -> None:
    codes = np.repeat(np.arange(61), 10)[5:605]
    plan = plan_folds(grouped_and_timed(codes), "regression", SplitRequest(holdout_last=20, separate_groups=True))
    assert len(plan.folds[0].test) == 20
    assert not shared_groups(codes, plan.folds[0])
    assert "5 rows of its groups do not train" in plan.why


def test_a_holdout_of_groups_that_all_come_again_is_refused() -> None:
    codes = np.tile(np.arange(5), 120)
    with pytest.raises(SplitError, match="leave --group out"):
        plan_folds(grouped_and_timed(codes), "regression", SplitRequest(holdout_last=20, separate_groups=True))


def test_a_holdout_that_leaves_one_group_to_learn_from_is_refused() -> None:
    codes = np.repeat([0, 1, 2], [560, 20, 20])
    with pytest.raises(SplitError, match=r"fold 1: 1\. Early stopping"):
        plan_folds(grouped_and_timed(codes), "regression", SplitRequest(holdout_last=40, separate_groups=True))


def test_a_forward_fold_with_one_group_to_learn_from_is_left_out() -> None:
    codes = np.repeat(np.arange(4), 150)
    plan = plan_folds(grouped_and_timed(codes), "regression", SplitRequest(separate_groups=True))
    assert [len(np.unique(codes[fold.train])) for fold in plan.folds] == [2, 3]
    with pytest.raises(SplitError, match="two groups to learn from; bring more groups"):
        plan_folds(grouped_and_timed(codes), "regression", SplitRequest(separate_groups=True, n_folds=2))


def test_two_groups_of_one_class_each_are_refused_to_learn_from() -> None:
    group = np.repeat(np.array(["a", "b", "c", "d"], dtype=object), 25)
    examples = replace(toy("binary", 100, group=group).examples, Y=np.isin(group, ["a", "b"]).astype(float)[:, None])
    with pytest.raises(SplitError, match=r"fold 1: 2\. Early stopping"):
        plan_folds(examples, "binary", SplitRequest(n_folds=2))


@pytest.mark.parametrize("positive", ["a", "a b"])
def test_inner_folds_have_rows_of_both_classes_to_learn_from(positive: str) -> None:
    group = np.repeat(np.array(["a", "b", "c", "d", "e", "f"], dtype=object), 25)
    examples = replace(toy("binary", 150, group=group).examples, Y=np.isin(group, ["a", "b", "c"]).astype(float)[:, None])
    experiment = Experiment(task("binary"), examples, plan_folds(examples, "binary", SplitRequest(n_folds=2)))
    train = np.flatnonzero(np.isin(group, [*positive.split(), "d"]))
    inner = [
        split_inner_fold(experiment, train),
        *split_inner_folds(experiment, train, 3),
        *split_search_folds(experiment, train),
    ]
    assert len(inner) > 3
    assert all(len(fold.test) and len(np.unique(examples.y[fold.train])) == 2 for fold in inner)


@pytest.mark.parametrize(("first_positive", "n_folds"), [(100, 2), (200, 1)])
def test_forward_inner_folds_leave_out_what_would_learn_from_one_class_alone(first_positive: int, n_folds: int) -> None:
    y = (np.arange(400) >= first_positive) & (np.arange(400) % 4 == 2)
    examples = replace(toy("binary", 400, at=daily(400)).examples, Y=y.astype(float)[:, None])
    plan = FoldPlan("walk_forward", (Fold(np.arange(380), np.arange(380, 400)),), 1, 0.0, "rows have a time")
    inner = split_inner_folds(Experiment(task("binary"), examples, plan), np.arange(380), 3)
    assert len(inner) == n_folds
    assert all(fold.train.max() < fold.test.min() for fold in inner)
    assert all(len(np.unique(examples.y[fold.train])) == 2 for fold in inner)


def test_inner_folds_of_groups_of_one_class_each_have_rows_of_every_class_to_learn_from() -> None:
    group = np.repeat(np.array(list("abcdef"), dtype=object), 25)
    y = np.repeat(np.arange(3.0), 50)[:, None]
    examples = replace(toy("multiclass", 150, group=group).examples, Y=y)
    experiment = Experiment(task("multiclass"), examples, plan_folds(examples, "multiclass", SplitRequest()))
    for fold in experiment.plan.folds:
        inner = [split_inner_fold(experiment, fold.train), *split_search_folds(experiment, fold.train)]
        assert all(len(part.test) and len(np.unique(examples.y[part.train])) == 3 for part in inner)


def test_a_part_of_one_group_is_split_by_rows() -> None:
    codes = np.repeat(np.arange(4), 150)
    examples = grouped_and_timed(codes)
    plan = plan_folds(examples, "regression", SplitRequest(separate_groups=True))
    inner = split_inner_fold(Experiment(task("regression"), examples, plan), np.arange(100))
    assert (len(inner.train), len(inner.test)) == (80, 20)


def test_one_group_alone_cannot_go_forward_apart_and_the_error_says_what_it_takes() -> None:
    codes = np.zeros(600, dtype=np.int64)
    with pytest.raises(SplitError, match="bring more groups or a longer history, or leave --group or --time out"):
        plan_folds(grouped_and_timed(codes, "binary"), "binary", SplitRequest(separate_groups=True))


def test_a_group_and_periods_as_groups_exclude_one_another() -> None:
    examples = grouped_and_timed(np.tile(np.arange(50), 12))
    with pytest.raises(SplitError, match="leave one of them out"):
        plan_folds(examples, "regression", SplitRequest(group_by="month", separate_groups=True))


def test_random_rows_despite_time_keep_groups_whole() -> None:
    codes = np.tile(np.arange(50), 12)
    plan = plan_folds(grouped_and_timed(codes), "regression", SplitRequest(random_rows_despite_time=True, separate_groups=True))
    assert plan.warnings
    assert not any(shared_groups(codes, fold) for fold in plan.folds)


def test_rows_without_time_or_group_are_dealt_by_class_five_times_five() -> None:
    made = toy("binary", 500)
    plan = plan_folds(made.examples, "binary", SplitRequest())
    assert (plan.strategy, plan.n_folds, plan.repeats) == ("repeated_stratified", 5, 5)
    positives = [made.examples.y[f.test].sum() for f in plan.folds]
    assert max(positives) - min(positives) <= 1
    for repeat in range(5):
        tested = np.concatenate([f.test for f in plan.folds if f.repeat == repeat])
        assert sorted(tested) == list(range(500))


def test_copies_of_a_row_stay_together() -> None:
    made = toy("binary", 300)
    doubled = made.examples.take(np.concatenate([np.arange(300), np.arange(100)]))
    plan = plan_folds(doubled, "binary", SplitRequest())
    copies = encode_values(doubled.X.hash_rows(seed=0).to_numpy())
    assert all(not set(copies[f.train]) & set(copies[f.test]) for f in plan.folds)


def test_the_last_rows_are_tested_when_they_came_from_a_file_of_their_own() -> None:
    made = toy("binary", 100)
    plan = plan_folds(made.examples, "binary", SplitRequest(test_rows=30))
    assert (plan.strategy, plan.n_folds) == ("holdout", 1)
    assert np.array_equal(plan.folds[0].test, np.arange(70, 100))


def test_copies_of_rows_of_a_test_file_do_not_train() -> None:
    made = toy("binary", 100)
    examples = made.examples.take(np.concatenate([np.arange(100), np.arange(20), np.arange(90, 100)]))
    plan = plan_folds(examples, "binary", SplitRequest(test_rows=30))
    assert np.array_equal(plan.folds[0].train, np.arange(20, 90))
    assert np.array_equal(plan.folds[0].test, np.arange(100, 130))
    assert plan.why == "tested on a file of its own; 30 rows that are copies of its rows do not train"
    whole = made.examples.take(np.concatenate([np.arange(100), np.arange(100)]))
    with pytest.raises(SplitError, match="every row to train on is a row of the test file too"):
        plan_folds(whole, "binary", SplitRequest(test_rows=100))


def test_a_holdout_begins_at_its_date_and_keeps_the_gap() -> None:
    made = toy("regression", 400, at=daily(400))
    start = np.datetime64("2024-03-01", "us")
    fold = plan_folds(made.examples, "regression", SplitRequest(holdout_from=start, label_delay=5)).folds[0]
    assert made.examples.at[fold.test].min() == start
    assert (made.examples.at[fold.train] + 5 * DAY <= start).all()


def test_a_holdout_beyond_the_data_is_refused() -> None:
    made = toy("regression", 100, at=daily(100))
    with pytest.raises(SplitError, match="0 test rows"):
        plan_folds(made.examples, "regression", SplitRequest(holdout_from=np.datetime64("2030-01-01", "us")))


def test_the_last_moments_can_be_held_out() -> None:
    made = toy("regression", 100, at=daily(100))
    assert len(plan_folds(made.examples, "regression", SplitRequest(holdout_last=7)).folds[0].test) == 7


def test_a_holdout_by_time_of_timeless_rows_is_refused() -> None:
    with pytest.raises(SplitError, match="needs --time"):
        plan_folds(toy("regression").examples, "regression", SplitRequest(holdout_last=3))


def test_a_class_rarer_than_the_folds_is_refused() -> None:
    made = toy("binary", 100)
    rare = np.zeros(100)
    rare[:3] = 1
    with pytest.raises(SplitError, match="rarest class has 3"):
        plan_folds(replace(made.examples, Y=rare[:, None]), "binary", SplitRequest())


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(SplitError, match="too few"):
        plan_folds(toy("binary", 12).examples, "binary", SplitRequest())


def test_one_group_alone_is_refused() -> None:
    made = toy("regression", 60, group=np.array(["g"] * 60, dtype=object))
    with pytest.raises(SplitError, match="one group"):
        plan_folds(made.examples, "regression", SplitRequest())


def test_a_class_in_one_group_only_is_refused() -> None:
    group = np.repeat(np.array(["a", "b", "c", "d"], dtype=object), 25)
    made = toy("binary", 100, group=group)
    label = (group == "a").astype(float)
    with pytest.raises(SplitError, match="occurs in only 1 of 4"):
        plan_folds(replace(made.examples, Y=label[:, None]), "binary", SplitRequest())


def test_the_same_seed_deals_the_same_folds_and_another_seed_others() -> None:
    made = toy("binary", 200)
    prints = [plan_folds(made.examples, "binary", SplitRequest(seed=s)).fingerprint("v") for s in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_periods_begin_where_the_calendar_says() -> None:
    at = np.array(["2024-02-29T13:00", "2024-03-01T00:00"], dtype="datetime64[us]")
    assert list(compute_period_starts(at, "month")) == list(np.array(["2024-02-01", "2024-03-01"], dtype="datetime64[us]"))
    assert pl.Series(compute_period_starts(at, "week")).dt.weekday().to_list() == [1, 1]


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_dealt_so_that_no_training_part_lacks_a_class_of_two_of_them(seed: int) -> None:
    sets = ["AB", "AC", "BC", "C"]
    group = np.repeat(np.array([f"site {i}" for i, classes in enumerate(sets) for _ in classes], dtype=object), 10)
    y = np.repeat(["ABC".index(one) for classes in sets for one in classes], 10).astype(float)
    examples = replace(toy("multiclass", len(y), group=group).examples, Y=y[:, None])
    plan = plan_folds(examples, "multiclass", SplitRequest(seed=seed))
    assert [len(np.unique(y[fold.train])) for fold in plan.folds] == [3, 3]
    assert not any(set(group[fold.train]) & set(group[fold.test]) for fold in plan.folds)
