"""The models of what the API answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A target's value with its interval; `probabilities` where there are more than two classes, a `set` where there are classes.

    `expected_loss`, `act` and `band` where the task has costs.
    """

    target: str
    horizon: float | None
    value: float | str
    low: float | None
    high: float | None
    probabilities: dict[str, float] | None = None
    set: list[str] | None = Field(
        default=None, description="The classes the outcome may be of; how often it holds the outcome is the task's `coverage`."
    )
    expected_loss: float | None = None
    act: bool | None = None
    band: str | None = None
    interval_note: str | None = Field(
        default=None,
        description="Why no level is stated of this interval: a forecast from too few independent stretches of time.",
    )


class ScoreAnswer(BaseModel):
    """What the reasons sum to."""

    value: float
    unit: str


class ReasonAnswer(BaseModel):
    """What a column adds to the score; `column` is null for the average and for the rest."""

    column: str | None
    value: str | float | bool | None
    contribution: float
    text: str


class PredictionAnswer(BaseModel):
    """One row's answer; `median_days` of a time to an event, where it is as likely as not within the horizons."""

    entity: str
    at: str | None
    values: list[Value]
    score: ScoreAnswer
    reasons: list[ReasonAnswer]
    receipt: str
    warnings: list[str]
    median_days: float | None = None


class ModelAnswer(BaseModel):
    """Which model answered; `status` is proven, provisional, or overridden (fairness refused it, and someone answers for it)."""

    family: str
    version: str
    model_hash: str
    status: str


class Predictions(BaseModel):
    """The answer to a prediction request, rows in the order they came."""

    task: str
    model: ModelAnswer
    predictions: list[PredictionAnswer]


class ColumnAnswer(BaseModel):
    """A column of a task."""

    name: str
    dtype: str
    role: str
    unit: str | None
    low: float | None
    high: float | None
    levels: list[str]
    optional: bool
    about: str


class TaskAnswer(BaseModel):
    """A task that can be asked. For a regression with its loss, and whether the label's logarithm was learned."""

    task: str
    about: str
    target: str
    kind: str
    classes: list[str]
    loss: str | None = None
    log: bool | None = None
    coverage: float | None = Field(
        description="The share of outcomes that intervals or sets are made to hold; null for a forecast, which states 80 % but "
        "where `interval_note` says otherwise."
    )
    model: ModelAnswer
    columns: list[ColumnAnswer]


class IntervalAnswer(BaseModel):
    """A figure with its 95 % interval; null where it is not defined."""

    model_config = ConfigDict(title="Interval")

    value: float | None
    low: float | None
    high: float | None


class ColumnExplanation(BaseModel):
    """What a column is to the model: its mean |contribution|, its share of all, how the score goes with its value, its rank in
    each fold, and what the metric loses on held-out rows when the column is permuted (null where that was not computed)."""

    column: str
    about: str
    unit: str | None
    dtype: str
    importance: IntervalAnswer
    share: float
    direction: str
    toward: str | None
    correlation: float | None
    ranks: list[float]
    in_top: float
    permutation_loss: IntervalAnswer | None


class CopiesAnswer(BaseModel):
    """Columns that say nearly the same and share the credit, and what the metric loses when they are permuted together."""

    columns: list[str]
    agreement: float
    permutation_loss: IntervalAnswer


class InteractionAnswer(BaseModel):
    """A pair's joint part of the score; `found` where held-out rows are certainly predicted worse without it. `h`: Friedman's."""

    columns: list[str]
    strength: IntervalAnswer
    share: float
    held_out_gain: IntervalAnswer
    found: bool
    h: float | None


class MarkAnswer(BaseModel):
    """The rows with a value from `low` to `high` (times in ISO 8601; null for a level): their mean contribution, and by fold."""

    label: str
    low: float | str | None
    middle: float | str | None
    high: float | str | None
    rows: int
    contribution: IntervalAnswer
    folds: list[float | None]


class DependenceAnswer(BaseModel):
    """How a column's contribution goes with its value, toward a class where there are many."""

    column: str
    toward: str | None
    marks: list[MarkAnswer]
    missing: MarkAnswer | None


class ExplanationAnswer(BaseModel):
    """What the champion looks at, out of fold, strongest first. `agreement`: how far two trainings on fresh rows would agree on
    the order of the columns, 1 wholly; `fold_agreement`: Kendall's W of the folds; `top`: how many places count as the first."""

    format: int
    task: str
    version: str
    model_hash: str
    family: str
    unit: str
    metric: str
    folds: int
    rows: int
    agreement: float | None
    fold_agreement: float | None
    top: int
    columns: list[ColumnExplanation]
    copies: list[CopiesAnswer]
    interactions: list[InteractionAnswer]
    dependence: list[DependenceAnswer]
    warnings: list[str]


class Tasks(BaseModel):
    """All tasks that can be asked."""

    tasks: list[TaskAnswer]


class DegradedTask(BaseModel):
    """A task whose champion does not answer, and the version that still does. `reason`: `pointer-unreadable`, `model-unreadable`
    or, for one that is new and slow to open, `model-opening`."""

    task: str
    reason: str
    serving: str | None


class Health(BaseModel):
    """Whether the process answers, `ok` or `degraded`, how many tasks have a champion, and whose does not answer. `cache` is `ok`
    or `away` where a Redis is set, upon which no answer depends."""

    status: str
    tasks: int
    version: str
    degraded: list[DegradedTask] = []
    cache: str | None = None


class HealthWithoutReceipts(Health):
    """The same of a process whose answers' receipts could not be written when some last were to be: they are lost, or wait to be
    written again. The log has the reason."""

    receipts: Literal["lost", "waiting"]


class FaultAnswer(BaseModel):
    """One thing that is wrong, and the JSON pointer to where."""

    pointer: str
    detail: str


class ProblemAnswer(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FaultAnswer] | None = None
