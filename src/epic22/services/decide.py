"""This week's list: whom to visit, call or look at, ranked by what acting is expected to save, or by how much is to change."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from epic22.core.artifact.model import Model
from epic22.core.artifact.prediction_request import FrameRequest
from epic22.core.data.task_data import BoundTask
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation.costs import rank_entities
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import PredictedValue, Prediction
from epic22.core.task import Task
from epic22.services.assess import build_cost_matrix

SHOWN_HORIZON = 3


@dataclass(frozen=True)
class ListedCase:
    """One place on the list: the prediction, and what acting is expected to save (money; None where only the order counts).

    `change` is the expected relative change of a forecast at `SHOWN_HORIZON` periods, None otherwise.
    """

    rank: int
    prediction: Prediction
    saving: float | None
    change: float | None = None

    @property
    def ranked_value(self) -> PredictedValue:
        """The value by which it is ranked: the one that is acted on, of a forecast the one at `SHOWN_HORIZON`."""
        values = self.prediction.values
        return select_decision_value(self.prediction) if self.saving is not None else values[min(SHOWN_HORIZON, len(values)) - 1]


@dataclass(frozen=True)
class DecisionList:
    """The list of a task at a moment: at most `capacity` of the `considered` entities. `saving` is what it is expected to save.

    `in_sample`: the model was trained on data from after the moment, so the list flatters it.
    """

    task: str
    model: ModelVersion
    at: datetime
    capacity: int
    considered: int
    listed: tuple[ListedCase, ...]
    saving: float | None
    in_sample: bool


@dataclass(frozen=True)
class EligibleCases:
    """Whom a task is asked of at a moment, [entity, cutoff], what was asked of each, and the answers, in one order."""

    entities: pl.DataFrame
    request: pl.DataFrame
    predictions: tuple[Prediction, ...]


def decide(model: Model, data: BoundTask, at: datetime, capacity: int, in_sample: bool) -> DecisionList:
    """The ranked list of whom the task is asked of at the moment.

    Raises UserError where the model is of another kind than the task, ColumnError where nobody is eligible, or nothing can be
    ranked.
    """
    name = data.task.name
    refuse_other_type(model, data)
    eligible = data.list_eligible(at)
    request = data.build_request(eligible)
    cases = EligibleCases(eligible, request, model.predict(FrameRequest(request)))
    listed = RANKINGS[data.data_type](model.costs, data.task, cases, capacity)
    saving = math.fsum(case.saving or 0.0 for case in listed) if model.costs else None
    return DecisionList(name, model.version, at, capacity, len(cases.predictions), listed, saving, in_sample)


def refuse_other_type(model: Model, data: BoundTask) -> None:
    """Raise UserError where the model predicts from another type of data than the task has."""
    if model.data_type != data.data_type:
        name = data.task.name
        raise UserError(
            f"task {name}: the champion is of another kind than the feature; train it again with 'epic22 train {name}'."
        )


def rank_by_saving(costs: Mapping[str, float], task: Task, cases: EligibleCases, capacity: int) -> tuple[ListedCase, ...]:
    """The entities by expected saving; only where acting is expected to save anything.

    Raises ColumnError where the model has no costs.
    """
    if not costs:
        raise ColumnError(f"task {task.name}: its model has no costs, so nothing can be ranked in money; train it as a feature.")
    p = np.array([select_decision_value(one).value for one in cases.predictions], dtype=np.float64)
    stakes = None if task.stake_column is None else cases.request[task.stake_column].cast(pl.Float64).to_numpy()
    places = rank_entities(cases.entities["entity"].to_numpy(), p, build_cost_matrix(costs, stakes), capacity)
    at = cases.entities["cutoff"][0]
    return tuple(
        ListedCase(place.rank, replace(cases.predictions[place.row], entity=place.entity, at=at), place.saving)
        for place in places
    )


def select_decision_value(prediction: Prediction) -> PredictedValue:
    """The value that is acted on: of several horizons the one that is reported in money."""
    return next((value for value in prediction.values if value.expected_loss is not None), prediction.values[0])


def rank_by_change(costs: Mapping[str, float], task: Task, cases: EligibleCases, capacity: int) -> tuple[ListedCase, ...]:
    """The series whose forecast departs most from the last value, relative to it, downwards first where figures tie."""
    last_values = cases.request["values"].list.last().to_list()
    changes = [
        compute_relative_change(_get_shown_value(one), last) for one, last in zip(cases.predictions, last_values, strict=True)
    ]
    order = sorted(range(len(changes)), key=lambda i: (-abs(changes[i]), changes[i]))[:capacity]
    return tuple(ListedCase(rank, cases.predictions[i], None, changes[i]) for rank, i in enumerate(order, start=1))


def _get_shown_value(prediction: Prediction) -> float:
    return float(prediction.values[min(SHOWN_HORIZON, len(prediction.values)) - 1].value)


def compute_relative_change(value: float, last: float) -> float:
    """How far a forecast departs from the last value, relative to it; 0 where that is 0."""
    return (value - last) / abs(last) if last else 0.0


RANKINGS: Mapping[str, Callable[[Mapping[str, float], Task, EligibleCases, int], tuple[ListedCase, ...]]] = {
    "rows": rank_by_saving,
    "panel": rank_by_change,
}
"""How answers become a list, by the type of data that models predict from."""
