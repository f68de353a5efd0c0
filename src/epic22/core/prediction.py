"""A prediction: value, interval, reasons that sum to the score, and a receipt."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from epic22.core.lineage import ModelVersion

MAX_REASONS = 4


@dataclass(frozen=True)
class Reason:
    """What one part adds to the score. `column` is None for the average and for all the rest; `text` is for people."""

    column: str | None
    value: str | float | int | bool | None
    contribution: float
    text: str


@dataclass(frozen=True)
class PredictedValue:
    """A target's value at a horizon (days, None where the label belongs to the row), with its interval where there is one.

    For classes `value` is the probability of the positive class, or the likeliest class beside all `probabilities`. Where the
    task has costs, `expected_loss` is the probability times what a miss costs, `act` whether acting is expected to save money; a
    risk has its `band`. `set` names the classes the outcome may be of. A person decides.
    """

    target: str
    horizon: float | None
    value: float | str
    low: float | None
    high: float | None
    probabilities: tuple[tuple[str, float], ...] = ()
    expected_loss: float | None = None
    act: bool | None = None
    band: str | None = None
    set: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PredictionScore:
    """What the reasons sum to: log-odds for classes (of the likeliest class where there are many), else the value.

    Of a hazard the mean log-odds of its intervals up to the horizon that decides, each by its days: the probability up to there
    rises with it, but is not a function of it alone.
    """

    value: float
    unit: str


@dataclass(frozen=True)
class Prediction:
    """One answer. `reasons`: the average first, at most four columns, then the rest; they sum to `score`.

    `median_days` until the event is as likely as not, where that lies within a hazard's horizons.

    `receipt` is the SHA-256 of model, row and answer: equal receipts are equal answers.
    """

    entity: str
    at: datetime | None
    values: tuple[PredictedValue, ...]
    score: PredictionScore
    reasons: tuple[Reason, ...]
    model: ModelVersion
    receipt: str
    median_days: float | None = None


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """The prediction as every interface answers it; times in ISO 8601, UTC."""
    return {
        "entity": prediction.entity,
        "at": None if prediction.at is None else prediction.at.isoformat() + "Z",
        "values": [_value_json(value) for value in prediction.values],
        "score": {"value": prediction.score.value, "unit": prediction.score.unit},
        "reasons": [
            {"column": r.column, "value": r.value, "contribution": r.contribution, "text": r.text} for r in prediction.reasons
        ],
        "receipt": prediction.receipt,
    } | ({} if prediction.median_days is None else {"median_days": prediction.median_days})


def model_json(model: ModelVersion) -> dict[str, str]:
    """Which model answered, as every interface says it."""
    return {"family": model.family, "version": model.version, "model_hash": model.model_hash, "status": model.status}


def _value_json(value: PredictedValue) -> dict[str, Any]:
    required = {
        "target": value.target,
        "horizon": value.horizon,
        "value": value.value,
        "low": value.low,
        "high": value.high,
    }
    decision = {"expected_loss": value.expected_loss, "act": value.act, "band": value.band, "set": value.set and list(value.set)}
    optional = {name: item for name, item in decision.items() if item is not None}
    return required | ({"probabilities": dict(value.probabilities)} if value.probabilities else {}) | optional
