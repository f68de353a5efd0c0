"""What a model answers to many rows at once, as columns: values, intervals, sets and money, without reasons or receipts.

A row alone is a batch of one: every figure is worked out row by row in the same order, so that both have the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from epic22.core.artifact.bundle import Bundle
from epic22.core.evaluation.conformal import expand_binary
from epic22.core.models.base import compute_response
from epic22.core.models.hazard import compute_interval_shares, compute_median_days
from epic22.core.targets import lift_to_floor
from epic22.core.task import Array


@dataclass(frozen=True)
class PredictionColumns:
    """The answers to n rows, in their order.

    `response` is the calibrated probability of the positive class (n,), of each of k classes (n, k), up to each of h horizons
    (n, h), or the value (n,). `raw` is the estimator's score, `score` (n,) what reasons sum to, `shift` (n,) the part of it
    that is calibration's. `likeliest_class` (n,) is its code, `interval` (2, n) the ends of the interval, `in_set` (n, k)
    whether a class is in the set. Money is that of the target or, for a hazard, of the horizon that decides: NaN where the row
    does not say what is at stake, or states less than nothing. None is what the bundle has not; a median is NaN where it lies
    beyond the horizons.
    """

    raw: Array
    response: Array
    score: Array
    shift: Array
    likeliest_class: Array | None = None
    interval: Array | None = None
    in_set: Array | None = None
    expected_loss: Array | None = None
    act: Array | None = None
    risk_band: Array | None = None
    median_days: Array | None = None


def compute_columns(bundle: Bundle, X: Array, stakes: Array | None) -> PredictionColumns:
    """The answers to a matrix (n, p); `stakes` (n,) is its stake column, NaN where missing, None where rows have none."""
    # Sums along a row must not depend on how the matrix lies in memory.
    raw = np.ascontiguousarray(bundle.estimator.decision_function(X), dtype=np.float64)
    kinds: dict[str, Callable[[Bundle, Array, Array | None], PredictionColumns]] = {
        "binary": _compute_binary,
        "multiclass": _compute_multiclass,
        "hazard": _compute_hazard,
        "regression": partial(_compute_regression, X=X),
    }
    return kinds[bundle.schema.kind](bundle, raw, stakes)


def _compute_binary(bundle: Bundle, raw: Array, stakes: Array | None) -> PredictionColumns:
    score = bundle.calibration.log_odds(raw)
    p = bundle.schema.traits.inverse_link(score)
    in_set = None if bundle.sets is None else bundle.sets.contains(expand_binary(p))
    return PredictionColumns(
        raw, p, score, _compute_calibration_shift(bundle, score, raw), in_set=in_set, **_compute_money(bundle, p, stakes)
    )


def _compute_multiclass(bundle: Bundle, raw: Array, _: Array | None) -> PredictionColumns:
    shares = compute_response(bundle.estimator, raw, "multiclass")
    likeliest_class = raw.argmax(axis=1)
    in_set = None if bundle.sets is None else bundle.sets.contains(shares)
    return PredictionColumns(
        raw, shares, raw[np.arange(len(raw)), likeliest_class], np.zeros(len(raw)), likeliest_class, in_set=in_set
    )


def _compute_regression(bundle: Bundle, raw: Array, _: Array | None, X: Array) -> PredictionColumns:
    # The interval lies around the value that is answered: around one below the floor it would be the floor alone.
    values, interval = lift_to_floor(compute_response(bundle.estimator, raw, "regression"), bundle.floor), None
    if bundle.interval is not None:
        quantiles = bundle.estimator.predict_quantiles(X) if bundle.interval.uses_quantiles else None
        interval = lift_to_floor(np.stack(bundle.interval.compute_intervals(values, quantiles)), bundle.floor)
    return PredictionColumns(raw, values, raw, np.zeros(len(raw)), interval=interval)


def _compute_hazard(bundle: Bundle, raw: Array, stakes: Array | None) -> PredictionColumns:
    """A probability up to each horizon, money at the one that decides; the score is the mean log-odds of the hazard up to it."""
    schema = bundle.schema
    z = bundle.calibration.log_odds(raw)
    incidence = bundle.schema.traits.inverse_link(z)
    share = compute_interval_shares(schema.horizons, schema.horizon)
    score, uncalibrated = (np.array([share @ row for row in odds]) for odds in (z, raw))
    decides = [j for j, horizon in enumerate(schema.horizons) if horizon == schema.horizon]
    money = _compute_money(bundle, incidence[:, decides[0]], stakes) if decides else {}
    shift = _compute_calibration_shift(bundle, score, uncalibrated)
    return PredictionColumns(raw, incidence, score, shift, median_days=compute_median_days(incidence, schema.horizons), **money)


def _compute_calibration_shift(bundle: Bundle, score: Array, uncalibrated: Array) -> Array:
    return np.zeros(len(score)) if bundle.calibration.method == "none" else score - uncalibrated


def _compute_money(bundle: Bundle, p: Array, stakes: Array | None) -> dict[str, Array | None]:
    """What a probability means in money where the task has costs; a person decides."""
    stake_column = bundle.schema.stake_column
    if not bundle.costs or (stake_column is not None and stakes is None):
        return {}
    # Below zero nothing is known to be at stake, as training has it, which refuses such rows.
    known_stakes = np.ones(len(p)) if stake_column is None or stakes is None else np.where(stakes < 0, np.nan, stakes)
    miss = bundle.costs["miss"] * known_stakes
    loss = p * miss
    risk_band = None if bundle.risk_bands is None else bundle.risk_bands.assign_names(loss)
    return {"expected_loss": loss, "act": loss > (1 - p) * bundle.costs["false_alarm"], "risk_band": risk_band}
