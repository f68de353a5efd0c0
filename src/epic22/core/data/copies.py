"""Copies of a row: rows whose inputs are alike although chance does not explain it.

A table of two yes-no columns has four different rows, however many people it is about: that they come again says nothing. Rows
of measurements that agree in every digit are the same record twice. n = rows.
"""

import math

import numpy as np
import polars as pl

from epic22.core.targets import Array

MAX_DISCRETE_VALUES = 20
"""A column of numbers with up to this many values counts as discrete."""

MIN_DENSE_REPEATS = 2.0
"""Where the combinations of the discrete columns come this many times each on average, their shares are those of chance."""

MAX_COMBINATIONS = 1000
"""More combinations than this for each row never come often by chance."""

SPIKE_SHARE = 0.05
"""A number that this share of rows has, as zero in a column of payments, is one that more rows have by chance."""

MAX_CROWDING = 20.0
"""Other numbers lie at most this many times as densely, where they lie densest, as if they were spread evenly."""

MAX_ROUNDING = 0.01
"""Rounded numbers are whole steps apart, but for this part of one."""

MAX_EXCESS = 3.0
"""Up to this many times as many alike pairs as independent columns would give are explained by columns that go together."""


def encode_copies(X: pl.DataFrame) -> Array:
    """Codes (n,) that copies share; a row that is none has its own."""
    if not X.width:
        return np.arange(X.height)
    codes, counts = np.unique(X.hash_rows(seed=0).to_numpy(), return_inverse=True, return_counts=True)[1:]
    return np.arange(X.height) if is_coincidence(compute_alike_share(counts), X) else codes


def compute_alike_share(counts: Array) -> float:
    """The share of pairs of rows that are alike, from how many rows there are of each kind."""
    n = int(counts.sum())
    return float((counts.astype(np.float64) * (counts - 1)).sum() / max(1, n * (n - 1)))


def is_coincidence(alike_share: float, X: pl.DataFrame) -> bool:
    """Whether columns like these, put together at random, give this share of alike pairs, or the better part of it.

    >>> rng = np.random.default_rng(0)
    >>> coarse = pl.DataFrame({"a": rng.integers(0, 2, 100), "b": rng.integers(0, 3, 100)})
    >>> fine = pl.DataFrame({"a": rng.normal(size=50).round(3), "b": rng.normal(size=50).round(3)})
    >>> len(set(encode_copies(coarse))), len(set(encode_copies(pl.concat([fine, fine]))))
    (100, 50)
    """
    if alike_share == 0:
        return False
    discrete = [name for name in X.columns if _is_discrete(X[name])]
    shares = [_compute_measured_share(X[name]) for name in X.columns if name not in discrete]
    joint = X.select(discrete).hash_rows(seed=0) if discrete else None
    if joint is not None and _is_dense(joint, math.prod(X[name].n_unique() for name in discrete)):
        shares.append(_compute_share(joint))
    else:
        shares += [_compute_share(X[name]) for name in discrete]
    return alike_share <= MAX_EXCESS * math.prod(shares)


def _is_dense(joint: pl.Series, n_possible: int) -> bool:
    return joint.n_unique() * MIN_DENSE_REPEATS <= len(joint) and n_possible <= MAX_COMBINATIONS * len(joint)


def _is_discrete(values: pl.Series) -> bool:
    return not (values.dtype.is_numeric() or values.dtype.is_temporal()) or values.n_unique() <= MAX_DISCRETE_VALUES


def _compute_share(values: pl.Series) -> float:
    return compute_alike_share(values.alias("value").value_counts()["count"].to_numpy())


def _compute_measured_share(values: pl.Series) -> float:
    """The share of pairs that a measured column has in common by chance: no more than its steps over its range allow."""
    observed = _compute_share(values)
    counts = values.drop_nulls().to_physical().cast(pl.Float64).alias("value").value_counts().sort("value")
    is_spike = counts["count"] > SPIKE_SHARE * len(values)
    spikes = counts.filter(is_spike)["count"].to_numpy() / len(values)
    others = counts.filter(~is_spike)["value"]
    if len(others) < 2:
        return observed
    return min(observed, float((spikes**2).sum()) + MAX_CROWDING * _compute_step_share(others.to_numpy()))


def _compute_step_share(numbers: Array) -> float:
    """The step between rising numbers, over their range; 0 where they are not all whole steps apart, as rounded ones are."""
    gaps = np.diff(numbers)
    steps = gaps / gaps.min()
    return float(1 / steps.sum()) if np.abs(steps - np.round(steps)).max() < MAX_ROUNDING else 0.0
