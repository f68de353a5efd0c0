"""Out-of-fold responses made in memory."""

import numpy as np

from epic22.core.evaluation.predictions import OutOfFoldPredictions
from epic22.core.task import Array


def held(response: Array, y: Array, folds: int = 5, forward: bool = False, cluster: Array | None = None) -> OutOfFoldPredictions:
    """Responses in folds of equal size, every row for itself; forward folds follow their order, a day each, known at once."""
    n = len(y)
    fold = np.arange(n) * folds // n if forward else np.arange(n) % folds
    at = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "D") if forward else None
    units = np.arange(n) if cluster is None else cluster
    return OutOfFoldPredictions(
        response=response,
        y=y,
        fold=fold,
        repeat=np.zeros(n, dtype=int),
        cluster=units,
        row=np.arange(n),
        forward=forward,
        at=at,
        label_known_at=at,
        floor=0.0 if (y >= 0).all() else None,
    )
