"""What one column, or all of them together, say of two classes: scores of rows that were not learned from."""

import numpy as np
import polars as pl
import scipy

from epic22.core.task import Array

MAX_ROWS = 20_000
N_FOLDS = 4
N_BINS = 20
PRIOR_ROWS = 20.0
"""Rows' worth of the overall rate mixed into the rate of each value."""


def sample_entities(entity: Array, seed: int) -> Array:
    """Row numbers, of about 20,000 rows at most: some entities, with all their rows."""
    codes = encode_entities(entity)
    if len(codes) <= MAX_ROWS:
        return np.arange(len(codes))
    share = MAX_ROWS / len(codes)
    return np.flatnonzero(np.random.default_rng([seed, 1]).uniform(size=codes.max() + 1)[codes] < share)


def encode_entities(entity: Array) -> Array:
    """The entities as whole numbers from 0, (n,)."""
    return np.asarray(pl.Series(entity).rank("dense").to_numpy().astype(int) - 1)


def assign_folds(entity: Array, seed: int) -> Array:
    """A fold (n,) a row, the same for all rows of an entity."""
    codes = encode_entities(entity)
    return np.asarray(np.random.default_rng(seed).integers(0, N_FOLDS, codes.max() + 1)[codes])


def bin_values(series: pl.Series, n_bins: int = N_BINS) -> Array:
    """Each value as a whole number: the category, or the quantile of a number; 0 for missing."""
    if series.dtype.is_numeric() and series.n_unique() > 2 * n_bins:
        values = series.cast(pl.Float64).fill_nan(None)
        cuts = np.unique(np.quantile(values.drop_nulls().to_numpy(), np.linspace(0, 1, n_bins + 1)[1:-1]))
        code = 1 + np.searchsorted(cuts, values.fill_null(0).to_numpy(), side="right")
        return np.where(values.is_null().to_numpy(), 0, code)
    if series.dtype.is_temporal():
        return bin_values(series.to_physical().cast(pl.Float64), n_bins)
    text = series.cast(pl.String)
    return np.where(text.is_null().to_numpy(), 0, text.fill_null("").rank("dense").to_numpy())


def compute_risk(series: pl.Series, y: Array, fold: Array) -> Array:
    """The rate of the label at each row's value, (n,), learned from the other entities."""
    code = bin_values(series)
    risk = np.zeros(len(y))
    for k in range(N_FOLDS):
        train, test = fold != k, fold == k
        base = y[train].mean() if train.any() else 0.0
        hits = np.bincount(code[train], weights=y[train], minlength=code.max() + 1)
        counts = np.bincount(code[train], minlength=code.max() + 1)
        risk[test] = ((hits + PRIOR_ROWS * base) / (counts + PRIOR_ROWS))[code[test]]
    return risk


def score_boosting(rest: Array, y: Array, fold: Array, seed: int, objective: str = "binary:logistic") -> Array:
    """Out-of-fold scores (n,) of a small boosted model; of values with the objective of squared errors."""
    import xgboost as xgb

    score = np.zeros(len(y))
    params = {"objective": objective, "max_depth": 4, "eta": 0.15, "nthread": 1, "seed": seed}
    for k in range(N_FOLDS):
        train, test = fold != k, fold == k
        if test.any() and train.any():
            model = xgb.train(params, xgb.DMatrix(rest[train], y[train], nthread=1), num_boost_round=60)
            score[test] = model.predict(xgb.DMatrix(rest[test], nthread=1))
    return score


def bound_auc(y: Array, scores: list[Array], entity: Array, seed: int) -> tuple[float, float]:
    """The ROC AUC of the first score, less that of the second where there is one, and its lower bound at 99.99 %.

    The spread is that of 40 draws of the entities (Poisson weights), taken for normal.
    """
    from sklearn.metrics import roc_auc_score

    rng, codes = np.random.default_rng([seed, 2]), encode_entities(entity)

    def difference(weight: Array | None) -> float:
        areas = [float(roc_auc_score(y, score, sample_weight=weight)) for score in scores]
        return areas[0] - areas[1] if len(areas) > 1 else areas[0]

    replicates = [difference(rng.poisson(1.0, codes.max() + 1)[codes].astype(float)) for _ in range(40)]
    whole = difference(None)
    return whole, whole - float(scipy.stats.norm.isf(1e-4)) * float(np.std(replicates, ddof=1))
