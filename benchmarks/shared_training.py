"""How much more a mean over folds scatters than leaving out test rows shows, because folds share their training rows.

    python benchmarks/shared_training.py

Linear models of five columns on tables of known truth, two repeats of five folds: the standard deviation of the mean area under
the ROC curve over tables, divided by the mean of its delete-a-group jackknife error (decision 0020). Where columns say nothing
two folds' areas rise and fall together (a degenerate U-statistic, whose variance is up to twice what its test rows show); with a
signal the part goes as rows are added. Prints a line a cell; nothing is written.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from epic22.core.task import Array

TABLES, COLUMNS, FOLDS, REPEATS, PARTS = 150, 5, 5, 2, 50
CELLS = ((0.0, 60), (0.0, 300), (1.0, 300))
"""Slope of the first column in standard deviations of the noise, and rows."""


def compute_area(y: Array, score: Array) -> float:
    """The area under the ROC curve of scores (n,) for classes (n,)."""
    n_positives = y.sum()
    ranks = rankdata(score)[y == 1].sum() - n_positives * (n_positives + 1) / 2
    return float(ranks / (n_positives * (len(y) - n_positives)))


def fit_folds(X: Array, y: Array, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """The test rows of each fold, a mask (n,), and what a linear model of the others says of them."""
    for _ in range(REPEATS):
        fold = rng.permutation(np.arange(len(y)) % FOLDS)
        for number in range(FOLDS):
            train, test = fold != number, fold == number
            weights = np.linalg.lstsq(X[train] - X[train].mean(axis=0), y[train] - y[train].mean(), rcond=None)[0]
            yield test, X[test] @ weights


def judge_table(slope: float, n: int, rng: np.random.Generator) -> tuple[float, float]:
    """The mean area over the folds of one table, and its jackknife error."""
    X = rng.normal(size=(n, COLUMNS))
    y = (slope * X[:, 0] + rng.normal(size=n) > 0).astype(float) if slope else rng.permutation(np.arange(n) % 2).astype(float)
    folds, part = list(fit_folds(X, y, rng)), rng.permutation(n) % PARTS
    means = [np.mean([compute_area(y[t][part[t] != one], score[part[t] != one]) for t, score in folds]) for one in range(PARTS)]
    error = np.sqrt((PARTS - 1) / PARTS * ((means - np.mean(means)) ** 2).sum())
    return float(np.mean([compute_area(y[test], score) for test, score in folds])), float(error)


def main() -> None:
    """Print every cell."""
    rng = np.random.default_rng(0)
    for slope, n in CELLS:
        areas, errors = np.array([judge_table(slope, n, rng) for _ in range(TABLES)]).T
        print(f"slope {slope:g}, {n} rows: mean area {areas.mean():.3f}, scatter ÷ error {areas.std() / errors.mean():.2f}")


if __name__ == "__main__":
    main()
