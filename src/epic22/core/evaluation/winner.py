"""What the best of many is worth: its score without the luck of having been chosen by that score.

Bootstrap bias-corrected cross-validation (BBC-CV; Tsamardinos, Greasidou and Borboudakis 2018): whole clusters are drawn, the
best candidate is chosen on those drawn and judged on those left out. It needs the candidates' out-of-fold responses alone, no
further fit. What it corrects is the choice among these candidates; that they were tuned on the same folds is corrected only if
all that were tried are among them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan
from epic22.core.errors import InternalError
from epic22.core.evaluation.bootstrap import compute_values, draw_cluster_counts
from epic22.core.evaluation.crossval import (
    FoldPredictions,
    average_folds,
    build_clustered_predictions,
    compute_percentile_interval,
)
from epic22.core.evaluation.metric_resamplers import ClusteredPredictions
from epic22.core.task import Array, Metric, RowMetadata

DRAWS = 300


@dataclass(frozen=True)
class Winner:
    """The best candidate's number, its own score, and the honest score of "the best of them" with its 95 % interval.

    `optimism` is how much better the apparent score is, in the metric's unit, whichever way it runs.
    """

    best: int
    apparent: float
    honest: float
    low: float
    high: float
    candidates: int
    optimism: float


def honest_winner(
    candidates: Sequence[tuple[FoldPredictions, ...]],
    metric: Metric,
    examples: Examples,
    plan: FoldPlan,
    seed: int = 0,
    draws: int = DRAWS,
) -> Winner:
    """The honest score of the best of these candidates, all of them evaluated on the plan's folds.

    Scores are means over folds, as everywhere. Raises InternalError for no candidate, or for candidates of different test rows.
    """
    if not candidates:
        raise InternalError("there is no candidate to choose the best of.")
    _refuse_different_rows(candidates)
    parts = [build_clustered_predictions(one, examples, plan) for one in candidates]
    sign = 1 if metric.greater_is_better else -1
    apparent = np.array([_mean_score(metric, one) for one in parts])
    best = _best(sign * apparent[None, :])[0]
    inside, outside = _scores_in_and_out(metric, parts, seed, draws)
    chosen = _best(sign * inside)
    judged = np.take_along_axis(outside, chosen[:, None], axis=1)[:, 0]
    honest = float(np.nanmean(judged)) if not np.isnan(judged).all() else math.nan
    low, high = compute_percentile_interval(judged)
    own = float(apparent[best])
    return Winner(int(best), own, honest, low, high, len(candidates), metric.gain(own, honest))


def _refuse_different_rows(candidates: Sequence[tuple[FoldPredictions, ...]]) -> None:
    first = candidates[0]
    for number, one in enumerate(candidates[1:], start=1):
        same = len(one) == len(first) and all(np.array_equal(a.fold.test, b.fold.test) for a, b in zip(one, first, strict=True))
        if not same:
            raise InternalError(f"candidates 0 and {number} were evaluated on different test rows and cannot be compared.")


def _mean_score(metric: Metric, parts: list[ClusteredPredictions]) -> float:
    folds = np.array([metric.score(part.y, part.response, RowMetadata()) for part in parts])
    return float(average_folds(folds))


def _best(scores: Array) -> Array:
    """The number of the highest score of each row of (d, candidates); the undefined are never the best."""
    return np.asarray(np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1))


def _scores_in_and_out(metric: Metric, parts: list[list[ClusteredPredictions]], seed: int, draws: int) -> tuple[Array, Array]:
    """Each candidate's score on the clusters drawn and on those left out, (draws, candidates) each."""
    count = 1 + max(int(part.unit.max()) for part in parts[0])
    rows = max(len(part.y) for part in parts[0])
    blocks = []
    for times in draw_cluster_counts(count, draws, seed, rows):
        both = np.concatenate([times, times == 0])
        scored = [average_folds(np.stack([compute_values(metric, part, both) for part in one], axis=-1)) for one in parts]
        blocks.append(np.stack(np.split(np.stack(scored, axis=1), 2)))
    scores = np.concatenate(blocks, axis=1)
    return scores[0], scores[1]
