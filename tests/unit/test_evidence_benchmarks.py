"""The pure parts of the benchmarks on public data: columns never look ahead, what is fitted is of training rows, units and days
are drawn whole, variants are paired on the same folds alone."""

import numpy as np
import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module

from epic22.core.data.folds import Fold, FoldPlan

columns, cmapss, lbnl, ai4i = (benchmark_module(name) for name in ("cmapss_columns", "cmapss", "lbnl", "ai4i"))


def units(count: int = 4, cycles: int = 60, seed: int = 0) -> pl.DataFrame:
    """Turbofans that wear out in two regimes, ten cycles longer each."""
    rng = np.random.default_rng(seed)
    parts = []
    for unit in range(1, count + 1):
        n = cycles + 10 * unit
        wear = np.linspace(0, 1, n) ** 2
        high = rng.random(n) < 0.5
        settings = {"setting_1": 35.0 * high, "setting_2": 0.84 * high, "setting_3": np.full(n, 100.0)}
        values = {
            name: (10.0 if i % 2 else -10.0) * high + (i % 5 - 2) * wear + rng.normal(0, 0.3, n)
            for i, name in enumerate(columns.SENSORS)
        }
        parts.append(pl.DataFrame({"unit": np.full(n, unit), "cycle": np.arange(1, n + 1), **settings, **values}))
    return pl.concat(parts)


def made(rows: pl.DataFrame, learned: pl.DataFrame) -> pl.DataFrame:
    """The columns of rows, by regimes and index of other rows."""
    regimes = columns.Regimes.fit(learned)
    life = np.minimum(columns.remaining(learned).to_numpy(), columns.CAP)
    return pl.DataFrame(columns.window_columns(rows, regimes, columns.Health.fit(learned, regimes, life)))


def test_window_columns_never_look_ahead() -> None:
    table = units()
    whole = made(table, table)
    for last in (3, 12, 25, 50):
        seen = pl.Series(table["cycle"] <= last)
        np.testing.assert_allclose(made(table.filter(seen), table).to_numpy(), whole.filter(seen).to_numpy(), atol=1e-9)


def test_a_units_columns_are_of_its_own_rows_alone() -> None:
    table = units()
    own = pl.Series(table["unit"] == 2)
    np.testing.assert_allclose(made(table.filter(own), table).to_numpy(), made(table, table).filter(own).to_numpy(), atol=1e-9)


def test_regimes_and_index_are_fitted_on_training_units_alone() -> None:
    table, other = units(), units(2, seed=1)
    rows = cmapss.last_rows(other)
    life = np.array([10.0, 20.0])
    moved = other.with_columns(pl.col(columns.SENSORS) * 2 + 5.0)
    one, two = (cmapss.frames(table, those, rows, life, 3) for those in (other, moved))
    assert one[0].equals(two[0])
    assert not one[1].equals(two[1])


def test_a_sensor_is_standardised_within_its_regime() -> None:
    table = units()
    regimes = columns.Regimes.fit(table)
    z, at = regimes.standardised(table), regimes.of(table)
    for regime in (0, 1):
        np.testing.assert_allclose(z.filter(pl.Series(at == regime)).mean().to_numpy(), 0.0, atol=1e-9)


def test_units_are_cut_before_their_end_and_no_sooner_than_asked() -> None:
    table = units()
    rows = columns.cut(table, 0, 20, 5)
    cut = table[rows]
    assert cut.group_by("unit").len()["len"].to_list() == [5] * 4
    assert cut["cycle"].min() == cut["cycle"].clip(20).min()
    assert (columns.remaining(table).to_numpy()[rows] > 0).all()


def test_an_interval_over_units_is_that_of_units_not_of_rows() -> None:
    rng = np.random.default_rng(0)
    of_unit = rng.normal(0, 10, 40)
    value, low, high = cmapss.by_units(np.repeat(of_unit, 25), np.repeat(np.arange(40), 25))
    alone = cmapss.by_units(of_unit, np.arange(40))
    np.testing.assert_allclose((value, low, high), alone)
    assert low < value < high


def test_a_test_unit_is_scored_at_its_last_cycle() -> None:
    table = units()
    last = table[cmapss.last_rows(table)]
    assert last["cycle"].to_list() == [70, 80, 90, 100]


def test_unit_folds_keep_units_whole() -> None:
    table = units(8)
    folds = table.with_columns(fold=pl.Series(cmapss.unit_folds(table))).group_by("unit").agg(pl.col("fold").n_unique())
    assert folds["fold"].to_list() == [1] * 8


def test_values_outside_the_training_range_are_counted() -> None:
    assert lbnl.outside(np.array([0.0, np.nan, 1.0]), np.array([-1.0, 0.0, 1.0, np.nan, 2.0])) == 0.5


def test_an_auc_over_days_is_wider_than_one_over_rows() -> None:
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(12), 50)
    y = (np.arange(12) % 2)[day].astype(float)
    response = y + rng.normal(0, 1, 12)[day] + rng.normal(0, 0.1, 600)
    value, low, high = lbnl.clustered_auc(y, response, day)
    _, row_low, row_high = lbnl.clustered_auc(y, response, np.arange(600))
    assert low < value < high
    assert high - low > 2 * (row_high - row_low)


def test_variants_are_paired_fold_by_fold_and_on_the_same_folds_alone() -> None:
    folds = tuple(Fold(np.arange(8), np.arange(8, 10), i) for i in range(4))
    plan = FoldPlan("repeated_stratified", folds, 4, 0.0, "")
    one = {"fingerprint": "a", "champion": "boosting", "by_fold": {"boosting": [0.5, 0.9, 0.7, 0.8]}}
    other = {"fingerprint": "a", "champion": "linear", "by_fold": {"linear": [0.4, 0.81, 0.6, 0.69]}}
    mean, low, high = ai4i.gain(one, other, plan)
    assert abs(mean - 0.1) < 1e-9
    assert 0 < low < mean < high < 0.2
    with pytest.raises(SystemExit, match="different folds"):
        ai4i.gain(one, {**other, "fingerprint": "b"}, plan)
