"""Copies of a row are kept together; rows that are alike by chance, as a few categories make them, are not copies."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from epic22.core.data.copies import encode_copies
from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.leakage import audit_folds
from epic22.core.data.split import plan_folds

N = 400
RNG = np.random.default_rng(7)


def draw_categories(n_values: int, n: int = N) -> list[str]:
    return [f"c{value}" for value in RNG.integers(0, n_values, n)]


def measure(n: int = N) -> pl.DataFrame:
    numbers = {name: RNG.normal(size=n).round(3) for name in "abc"}
    return pl.DataFrame({**numbers, "k": draw_categories(4, n)})


ZIPS = RNG.integers(0, 50, N)
BY_CHANCE = {
    "two yes-no columns": pl.DataFrame({"a": draw_categories(2), "b": draw_categories(2)}),
    "one coarse number": pl.DataFrame({"age": RNG.integers(20, 80, N)}),
    "age, sex and class": pl.DataFrame({"age": RNG.integers(20, 80, N), "sex": draw_categories(2), "class": draw_categories(3)}),
    "a town that goes with its zip": pl.DataFrame({"zip": [f"z{z}" for z in ZIPS], "town": [f"t{z // 5}" for z in ZIPS]}),
    "rare flags": pl.DataFrame({f"flag{i}": RNG.random(N) < 0.02 for i in range(30)}),
    "a number rounded to a decimal": pl.DataFrame({"a": RNG.normal(size=N).round(1), "k": draw_categories(3)}),
    "missing and not": pl.DataFrame({"a": [None if value == "c0" else value for value in draw_categories(3)], "b": [True] * N}),
}
COPIES = {
    "five rows twice": (measure(), 5),
    "every row twice": (measure(), N),
    "one precise number": (pl.DataFrame({"a": RNG.normal(size=N)}), 20),
    "twelve categories": (pl.DataFrame({f"c{i}": draw_categories(6) for i in range(12)}), 30),
    "a number, mostly zero": (measure().with_columns(z=np.where(RNG.random(N) < 0.9, 0, RNG.integers(1, 9999, N))), 10),
}


@pytest.mark.parametrize("X", BY_CHANCE.values(), ids=BY_CHANCE)
def test_rows_alike_by_chance_are_no_copies(X: pl.DataFrame) -> None:
    assert X.n_unique() < len(X)
    assert len(np.unique(encode_copies(X))) == len(X)


@pytest.mark.parametrize(("X", "n_copies"), COPIES.values(), ids=COPIES)
def test_rows_alike_beyond_chance_are_copies(X: pl.DataFrame, n_copies: int) -> None:
    codes = encode_copies(pl.concat([X, X[:n_copies]]))
    assert (codes[:n_copies] == codes[len(X) :]).all()


def test_a_table_of_few_categories_has_folds_and_no_suspicion_of_copies() -> None:
    X = BY_CHANCE["two yes-no columns"]
    at = np.full(N, np.datetime64("2024-01-01", "us"))
    examples = Examples(X, (RNG.random(N) < 0.3).astype(float)[:, None], np.arange(N).astype(str), at, "0")
    plan = plan_folds(examples, "binary", SplitRequest())
    assert plan.n_folds == 5
    assert audit_folds(X, [(fold.train, fold.test) for fold in plan.folds], None, timedelta(), None) == ()
