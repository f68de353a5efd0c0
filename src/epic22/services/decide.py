"""This week's list: whom to visit, call or look at, ranked by what acting is expected to save."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import Bundle
from epic22.core.artifact.panel_bundle import PanelBundle
from epic22.core.data.panel_examples import build_histories_at, get_frequency_and_horizon
from epic22.core.data.task_data import PanelTaskData, TaskData, list_entity_cutoffs
from epic22.core.errors import ColumnError
from epic22.core.evaluation.costs import rank_entities
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import PredictedValue, Prediction
from epic22.services.assess import build_cost_matrix
from epic22.services.predict import predict_frame
from epic22.services.predict_panel import SeriesRequest, forecast_series

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


def decide_rows(
    version: ModelVersion, bundle: Bundle, data: TaskData, at: datetime, capacity: int, in_sample: bool
) -> DecisionList:
    """The entities eligible at the moment, by expected saving; only where acting is expected to save anything.

    Raises ColumnError where nobody is eligible, or the task has no costs.
    """
    task, tables = data.task, data.tables
    everyone = list_entity_cutoffs(task, tables, pl.Series([at], dtype=pl.Datetime("us")))
    eligible = task.rows(tables.as_of(everyone), everyone)
    if not eligible.height:
        raise ColumnError(f"task {task.name}: no entity of {task.entities} is eligible at {at:%Y-%m-%d}; choose another date.")
    if not bundle.costs:
        raise ColumnError(f"task {task.name}: its model has no costs, so nothing can be ranked in money; train it as a feature.")
    frame = task.inputs(tables.as_of(eligible)).collect()
    predictions = predict_frame(version, bundle, frame)
    p = np.array([decision_value(one).value for one in predictions], dtype=np.float64)
    stakes = None if task.stake_column is None else frame[task.stake_column].cast(pl.Float64).to_numpy()
    places = rank_entities(eligible["entity"].to_numpy(), p, build_cost_matrix(bundle.costs, stakes), capacity)
    listed = tuple(
        ListedCase(place.rank, _set_entity(predictions[place.row], place.entity, at), place.saving) for place in places
    )
    saving = float(sum(place.saving for place in places))
    return DecisionList(task.name, version, at, capacity, eligible.height, listed, saving, in_sample)


def decision_value(prediction: Prediction) -> PredictedValue:
    """The value that is acted on: of several horizons the one that is told in money."""
    return next((value for value in prediction.values if value.expected_loss is not None), prediction.values[0])


def _set_entity(prediction: Prediction, entity: str, at: datetime) -> Prediction:
    return replace(prediction, entity=entity, at=at)


def decide_series(
    version: ModelVersion, bundle: PanelBundle, data: PanelTaskData, at: datetime, capacity: int, in_sample: bool
) -> DecisionList:
    """The series whose forecast departs most from the last value, relative to it, downwards first where figures tie.

    Raises ColumnError where no series is known at the moment.
    """
    task, tables = data.task, data.tables
    get_frequency_and_horizon(task)
    everyone = pl.DataFrame({"entity": data.entities}).with_columns(pl.lit(at).cast(pl.Datetime("us")).alias("cutoff"))
    eligible = task.rows(tables.as_of(everyone), everyone)
    if not eligible.height:
        raise ColumnError(f"task {task.name}: no series is known at {at:%Y-%m-%d}; choose another date.")
    histories = build_histories_at(task, tables, eligible)
    silent = histories.periods_since_last_value()
    requests = [
        SeriesRequest(str(name), tuple(float(v) for v in values[: len(values) - int(gap)]), int(origin - gap))
        for name, values, origin, gap in zip(histories.entity, histories.iterate_series(), histories.origin, silent, strict=True)
    ]
    predictions = forecast_series(version, bundle, requests)
    changes = [_relative_change(one, float(last)) for one, last in zip(predictions, histories.last, strict=True)]
    order = _order_by_change(changes)[:capacity]
    listed = tuple(ListedCase(rank, predictions[i], None, changes[i]) for rank, i in enumerate(order, start=1))
    return DecisionList(task.name, version, at, capacity, len(predictions), listed, None, in_sample)


def _relative_change(prediction: Prediction, last: float) -> float:
    value = prediction.values[min(SHOWN_HORIZON, len(prediction.values)) - 1].value
    return (float(value) - last) / abs(last) if last else 0.0


def _order_by_change(changes: Sequence[float]) -> list[int]:
    return sorted(range(len(changes)), key=lambda i: (-abs(changes[i]), changes[i]))
