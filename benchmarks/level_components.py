"""Means over folds with the luck of training in them, of known truth: what `intervals.py` says of explanations."""

import math

import numpy as np

from epic22.core.evaluation.intervals import SamplingVariance, estimate_mean, estimate_mean_loss

FOLDS, FOLD_ROWS = 5, 40
RATIOS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the variance between the folds' trainings to that which sampling gives a fold's figure."""

ESTIMATORS = (estimate_mean, estimate_mean_loss)


def judge_means(ratio: float, rng: np.random.Generator) -> list[float]:
    """Whether each estimator's interval holds the truth, which is zero.

    The folds train on all the others' rows, and training moves a figure as it moves a mean of its rows.
    """
    rows = FOLDS * FOLD_ROWS
    sampled, learned = rng.normal(size=(2, FOLDS, FOLD_ROWS))
    trained = (learned.sum() - learned.sum(axis=1)) / (rows - FOLD_ROWS)
    scale = math.sqrt(ratio / FOLD_ROWS) / math.sqrt(FOLD_ROWS / (rows - FOLD_ROWS) ** 2)
    folds, sampling = sampled.mean(axis=1) + scale * trained, SamplingVariance(1 / rows, 1 / FOLD_ROWS)
    intervals = [estimate(folds, sampling, (FOLDS - 1) ** 2 / FOLDS) for estimate in ESTIMATORS]
    return [float(interval.low <= 0 <= interval.high) for interval in intervals]
