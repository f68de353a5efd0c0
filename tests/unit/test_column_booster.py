"""What judges columns: losses compared by hand, permutations that cost what a column is worth, combinations that are screened."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.toy import task as toy_task

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.inner_folds import split_inner_folds
from epic22.core.experiment import Experiment
from epic22.core.models.trees.forest import Forest
from epic22.core.selection.column_booster import ADDITIVE_PARAMS, ColumnBooster, FoldFit, Variant, compare_losses
from epic22.core.selection.combination_screening import MAX_COMBINATIONS, CombinationScreening
from epic22.core.task import Array, Column, Formula

COLUMNS = (Column("torque", "float"), Column("speed", "float"), Column("noise", "float"))


def variant_with(losses: list[list[float]], forest: Forest) -> Variant:
    """A variant of which nothing is known but the held-out losses of its folds."""
    fits = [FoldFit((), np.zeros((len(one), 0)), np.zeros(len(one)), forest, np.array(one), np.zeros(0)) for one in losses]
    return Variant(FeatureRecipe(), tuple(fits))


def product_experiment(n: int = 600) -> Experiment:
    """Rows whose label is torque times speed and nothing else."""
    rng = np.random.default_rng(0)
    X = pl.DataFrame({name: rng.uniform(-1, 1, n) for name in ("torque", "speed", "noise")})
    y = (X["torque"] * X["speed"]).to_numpy() + 0.02 * rng.normal(size=n)
    moments = np.full(n, np.datetime64(0, "us"))
    examples = Examples(X, y[:, None], np.arange(n).astype(str).astype(object), moments, "v0")
    return Experiment(toy_task("regression", COLUMNS), examples, plan_folds(examples, "regression", SplitRequest(repeats=1)))


@pytest.fixture(scope="module")
def booster() -> ColumnBooster:
    experiment = product_experiment()
    rows = np.arange(len(experiment.examples))
    return ColumnBooster(experiment, split_inner_folds(experiment, rows, 3))


@pytest.fixture(scope="module")
def plain(booster: ColumnBooster) -> Variant:
    return booster.fit_variant(FeatureRecipe())


def test_a_gain_is_the_mean_over_folds_with_the_larger_of_two_errors(plain: Variant) -> None:
    forest = plain.fits[0].forest
    old, new = variant_with([[1.0, 1.0], [1.0, 1.0]], forest), variant_with([[0.5, 0.5], [0.9, 0.9]], forest)
    gain, error = compare_losses(old, new)
    assert gain == pytest.approx((0.5 + 0.1) / 2)
    over_folds = np.std([0.5, 0.1], ddof=1) / np.sqrt(2)
    over_rows = np.std([0.5, 0.5, 0.1, 0.1], ddof=1) / np.sqrt(4)
    assert error == pytest.approx(max(over_folds, over_rows))
    assert compare_losses(new, old)[0] == pytest.approx(-gain)


def test_a_single_fold_is_judged_by_its_rows(plain: Variant) -> None:
    forest = plain.fits[0].forest
    old, new = variant_with([[1.0, 2.0, 3.0]], forest), variant_with([[0.0, 2.0, 2.0]], forest)
    gain, error = compare_losses(old, new)
    assert gain == pytest.approx(2 / 3)
    assert error == pytest.approx(np.std([1.0, 0.0, 1.0], ddof=1) / np.sqrt(3))


def test_shuffling_what_the_label_hangs_on_costs_and_noise_costs_next_to_nothing(booster: ColumnBooster, plain: Variant) -> None:
    strengths = {strength.column: strength for strength in booster.measure_strengths(plain)}
    assert set(strengths) == {"torque", "speed", "noise"}
    for name in ("torque", "speed"):
        assert strengths[name].permutation > 10 * abs(strengths["noise"].permutation)
        assert strengths[name].stability == 1.0
    strongest_first = [strength.permutation for strength in booster.measure_strengths(plain)]
    assert strongest_first == sorted(strongest_first, reverse=True)


def test_strengths_of_some_columns_are_those_measured_among_all(booster: ColumnBooster, plain: Variant) -> None:
    among_all = {strength.column: strength for strength in booster.measure_strengths(plain)}
    (alone,) = booster.measure_strengths(plain, ("speed",))
    assert alone == among_all["speed"]


def test_losses_and_residuals_are_of_rows_that_the_fold_held_out(booster: ColumnBooster, plain: Variant) -> None:
    for fold, fit in zip(booster.folds, plain.fits, strict=True):
        assert np.array_equal(fit.y, booster.experiment.examples.y[fold.test])
        raw = fit.forest.decision_function(np.ascontiguousarray(fit.X), 1)
        assert np.allclose(fit.losses, (raw - fit.y) ** 2)
        assert np.allclose(fit.residuals[:, 0], fit.y - raw)


def test_the_product_that_makes_the_label_is_screened_first(booster: ColumnBooster) -> None:
    additive = booster.fit_variant(FeatureRecipe(), params=ADDITIVE_PARAMS)
    combinations = [
        Formula("torque + noise", "torque + noise"),
        Formula("torque * speed", "torque * speed"),
        Formula("speed * torque", "speed * torque"),
    ]
    screening = CombinationScreening.of(combinations, COLUMNS, additive, seed=0)
    chosen = screening.select(range(len(booster.folds)))
    assert chosen[0] in (1, 2)
    assert not {1, 2} <= set(chosen), "two that order the rows alike count as one"
    assert screening.select([0]) == screening.select([0])


def test_a_fold_is_screened_by_the_rows_of_the_folds_it_is_given(booster: ColumnBooster) -> None:
    additive = booster.fit_variant(FeatureRecipe(), params=ADDITIVE_PARAMS)
    combinations = [Formula("torque * speed", "torque * speed"), Formula("speed * noise", "speed * noise")]
    screening = CombinationScreening.of(combinations, COLUMNS, additive, seed=0)
    spoilt = CombinationScreening(
        (tuple(np.zeros_like(column) for column in screening.values[0]), *screening.values[1:]),
        screening.residuals,
        screening.n_numbers,
        screening.seed,
    )
    assert spoilt.select([1, 2]) == screening.select([1, 2])


def test_no_more_combinations_are_taken_than_there_is_room_for() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(20, 500))
    residuals = columns.sum(axis=0)[:, None]
    values = (tuple(np.asarray(column, dtype=np.float64) for column in (rng.normal(size=500), *columns)),)
    chosen = CombinationScreening(values, (residuals,), 1, 0).select([0])
    assert len(chosen) == MAX_COMBINATIONS
    assert len(set(chosen)) == len(chosen)


RECIPE = FeatureRecipe(
    None,
    (Formula("a / b", "a / b"), Formula("c", "c * 2")),
    (CategoryEncoding("site", "share"), CategoryEncoding("site", "target", 1)),
)
NAMES = ("a / b", "c", "share of site", "label by site")


def test_a_recipe_knows_the_names_of_its_columns() -> None:
    assert RECIPE.column_names == NAMES
    assert FeatureRecipe().column_names == ()


@given(names=st.sets(st.sampled_from(NAMES)))
def test_a_recipe_taken_apart_and_merged_has_the_same_columns(names: set[str]) -> None:
    selected, rest = RECIPE.select(names), RECIPE.select(set(NAMES) - names)
    assert set(selected.column_names) == names
    assert set(selected.merge(rest).column_names) == set(NAMES)
    assert RECIPE.merge(FeatureRecipe()) == RECIPE


def test_dropped_inputs_are_not_shown_and_those_left_keep_their_order() -> None:
    dropped = RECIPE.drop({"b", "c", "share of site"}, inputs=("a", "b", "site"))
    assert dropped.inputs == ("a", "site")
    assert dropped.column_names == ("a / b", "label by site")
    again = dropped.drop({"site"}, inputs=("a", "b", "site"))
    assert again.inputs == ("a",), "what was dropped before stays dropped"


def test_array_shapes_of_a_classification_have_an_output_a_class() -> None:
    rng = np.random.default_rng(0)
    X = pl.DataFrame({name: rng.uniform(-1, 1, 300) for name in ("torque", "speed", "noise")})
    y: Array = np.digitize(X["torque"].to_numpy(), [-0.3, 0.3]).astype(float)
    examples = Examples(X, y[:, None], np.arange(300).astype(str).astype(object), np.full(300, np.datetime64(0, "us")), "v0")
    experiment = Experiment(
        toy_task("multiclass", COLUMNS), examples, plan_folds(examples, "multiclass", SplitRequest(repeats=1))
    )
    folds = split_inner_folds(experiment, np.arange(300), 2)
    (first, *_) = ColumnBooster(experiment, folds).fit_variant(FeatureRecipe()).fits
    assert first.residuals.shape == (len(folds[0].test), 3)
    assert np.allclose(first.residuals.sum(axis=1), 0.0, atol=1e-9)
    assert (first.losses >= 0).all()
    assert set(first.compute_mean_absolute_shap()) == {"torque", "speed", "noise"}
