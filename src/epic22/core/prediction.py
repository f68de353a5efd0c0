"""A prediction: value, interval, reasons that sum to the score, and a receipt."""

from dataclasses import dataclass
from datetime import datetime

from epic22.core.column import CellValue
from epic22.core.lineage import ModelVersion
from epic22.core.serialization import collect_views, view
from epic22.core.statistics import Interval

MAX_REASONS = 4


@dataclass(frozen=True)
class Reason:
    """What one part adds to the score. `column` is None for the average and for all the rest; `text` is for people."""

    column: str | None
    value: CellValue
    contribution: float
    text: str


@dataclass(frozen=True)
class PredictedValue:
    """A target's value at a horizon (days, None where the label belongs to the row), with its interval where there is one.

    For classes `value` is the probability of the positive class, or the likeliest class beside all `probabilities`. Where the
    task has costs, `expected_loss` is the probability times what a miss costs, `act` whether acting is expected to save money; a
    risk has its `risk_band`. `set` names the classes the outcome may be of. `interval_note` says why no level is stated of the
    interval, where none is. A person decides.
    """

    target: str
    horizon: float | None
    value: float | str
    interval: Interval | None = None
    probabilities: tuple[tuple[str, float], ...] = ()
    expected_loss: float | None = None
    act: bool | None = None
    risk_band: str | None = None
    set: tuple[str, ...] | None = None
    interval_note: str | None = None


@dataclass(frozen=True)
class PredictionScore:
    """What the reasons sum to: log-odds for two classes, the likeliest class's score for more, else the value or, where a model
    learned that, its logarithm.

    Of a hazard the mean log-odds of its intervals up to the horizon that decides, each by its days: the probability up to there
    rises with it, but is not a function of it alone.
    """

    value: float
    unit: str


@dataclass(frozen=True)
class Prediction:
    """One answer. `reasons`: the average first, at most four columns, then the rest; they sum to `score`.

    `median_days` until the event is as likely as not, where that lies within a hazard's horizons.

    `receipt` is the SHA-256 of the model's hash, the row's inputs and the raw scores: equal receipts are equal answers.
    """

    entity: str
    at: datetime | None
    values: tuple[PredictedValue, ...]
    score: PredictionScore
    reasons: tuple[Reason, ...]
    model: ModelVersion
    receipt: str
    median_days: float | None = None

    def describe_reasons(self, most: int) -> str:
        """Why, in words: the columns or members that add most. Neither the average nor all the rest is a cause.

        >>> model = ModelVersion("churn", "1", "linear", "", "", "proven", "")
        >>> parts = (("", "the average"), ("rent", "rent is high"), ("", "all other columns together"))
        >>> reasons = tuple(Reason(name or None, None, 0.0, text) for name, text in parts)
        >>> Prediction("1", None, (), PredictionScore(0.0, "log-odds"), reasons, model, "").describe_reasons(3)
        'rent is high'
        """
        return "; ".join([reason.text for reason in self.reasons if reason.column is not None][:most])


PREDICTION_VIEWS = collect_views(
    view(
        Prediction,
        "entity at values score reasons receipt median_days?",
        at=lambda prediction: None if prediction.at is None else f"{prediction.at.isoformat()}Z",
    ),
    view(
        PredictedValue,
        "target horizon value low high probabilities? expected_loss? act? band?=risk_band set? interval_note?",
        low=lambda value: value.interval and value.interval.low,
        high=lambda value: value.interval and value.interval.high,
        probabilities=lambda value: dict(value.probabilities) or None,
    ),
    view(ModelVersion, "family version model_hash status"),
)
"""What every interface shows of a prediction and of the model that gave it; times in ISO 8601, UTC."""
