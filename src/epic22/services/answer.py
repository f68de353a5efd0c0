"""What a model answers to many rows at once, as columns: values, intervals, sets and money, without reasons or receipts.

A row alone is a batch of one: every figure is worked out row by row in the same order, so that both have the same bits.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.bundle import Bundle
from epic22.core.evaluation.conformal import two_columns
from epic22.core.models.base import link, respond
from epic22.core.models.hazard import days_share, median_days
from epic22.core.task import Array


@dataclass(frozen=True)
class Answers:
    """The answers to n rows, in their order.

    `response` is the calibrated probability of the positive class (n,), of each of k classes (n, k), up to each of h horizons
    (n, h), or the value (n,). `raw` is the estimator's score, `score` (n,) what reasons sum to, `shift` (n,) the part of it
    that is calibration's. `chosen` (n,) is the likeliest class, `inside` (n, k) whether a class is in the set. Money is that of
    the target or, for a hazard, of the horizon that decides: NaN where the row does not say what is at stake. None is what the
    bundle has not; a median is NaN where it lies beyond the horizons.
    """

    raw: Array
    response: Array
    score: Array
    shift: Array
    chosen: Array | None = None
    low: Array | None = None
    high: Array | None = None
    inside: Array | None = None
    expected_loss: Array | None = None
    act: Array | None = None
    band: Array | None = None
    median_days: Array | None = None


def answer_frame(bundle: Bundle, frame: pl.DataFrame) -> Answers:
    """The answers to a frame whose columns have the schema's types; the values are those of `predict_frame` to the last bit."""
    exposure = next((column.name for column in bundle.schema.inputs if column.name == bundle.schema.exposure), None)
    stakes = None if exposure is None else frame[exposure].cast(pl.Float64).to_numpy()
    return answer(bundle, bundle.preprocessor.transform(frame), stakes)


def answer(bundle: Bundle, X: Array, stakes: Array | None) -> Answers:
    """The answers to a matrix (n, p); `stakes` (n,) is the schema's exposure, NaN where missing, None where rows have none."""
    # Sums along a row must not depend on how the matrix lies in memory.
    raw = np.ascontiguousarray(bundle.estimator.raw(X), dtype=np.float64)
    kinds = {"binary": _binary, "multiclass": _classes, "hazard": _hazard, "regression": _values}
    return kinds[bundle.schema.kind](bundle, raw, stakes)


def _binary(bundle: Bundle, raw: Array, stakes: Array | None) -> Answers:
    score = bundle.calibration.log_odds(raw)
    p = link(score, "binary")
    inside = None if bundle.sets is None else bundle.sets.holds(two_columns(p))
    return Answers(raw, p, score, _shift(bundle, score, raw), inside=inside, **_money(bundle, p, stakes))


def _classes(bundle: Bundle, raw: Array, _: Array | None) -> Answers:
    shares = respond(bundle.estimator, raw, "multiclass")
    chosen = raw.argmax(axis=1)
    inside = None if bundle.sets is None else bundle.sets.holds(shares)
    return Answers(raw, shares, raw[np.arange(len(raw)), chosen], np.zeros(len(raw)), chosen, inside=inside)


def _values(bundle: Bundle, raw: Array, _: Array | None) -> Answers:
    values = respond(bundle.estimator, raw, "regression")
    low, high = (None, None) if bundle.band is None else bundle.band.ends(values)
    return Answers(raw, values, raw, np.zeros(len(raw)), low=low, high=high)


def _hazard(bundle: Bundle, raw: Array, stakes: Array | None) -> Answers:
    """A probability up to each horizon, money at the one that decides; the score is the mean log-odds of the hazard up to it."""
    schema = bundle.schema
    z = bundle.calibration.log_odds(raw)
    incidence = link(z, "hazard")
    share = days_share(schema.horizons, schema.horizon)
    score, uncalibrated = (np.array([share @ row for row in odds]) for odds in (z, raw))
    decides = [j for j, horizon in enumerate(schema.horizons) if horizon == schema.horizon]
    money = _money(bundle, incidence[:, decides[0]], stakes) if decides else {}
    shift = _shift(bundle, score, uncalibrated)
    return Answers(raw, incidence, score, shift, median_days=median_days(incidence, schema.horizons), **money)


def _shift(bundle: Bundle, score: Array, uncalibrated: Array) -> Array:
    return np.zeros(len(score)) if bundle.calibration.kind == "none" else score - uncalibrated


def _money(bundle: Bundle, p: Array, stakes: Array | None) -> dict[str, Array | None]:
    """What a probability means in money where the task has costs; a person decides."""
    exposure = bundle.schema.exposure
    if not bundle.costs or (exposure is not None and stakes is None):
        return {}
    miss = bundle.costs["miss"] * (np.ones(len(p)) if exposure is None or stakes is None else stakes)
    loss = p * miss
    band = None if bundle.risk_bands is None else bundle.risk_bands.named(loss)
    return {"expected_loss": loss, "act": loss > (1 - p) * bundle.costs["false_alarm"], "band": band}
