"""How a forecast is asked: {"rows": [{"series": name, "values": [latest values], "last": period}]}.

`series` alone is forecast from its last value known at training; with `values` (oldest first, null = missing), from those, `last`
being any moment in the period of the last value.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from epic22.api.requests import RequestModel, Text, Timestamp
from epic22.core.artifact.panel_bundle import PanelBundle, PanelSchema
from epic22.core.task import Column
from epic22.services.predict_panel import MAX_VALUES, MIN_VALUES, SeriesRequest

MAX_SERIES = 100
MAX_VALUE = 1e15
BoundedNumber = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_VALUE, le=MAX_VALUE)]


def build_panel_request_model(schema: PanelSchema) -> RequestModel:
    """The request model of a forecasting task."""
    noun = schema.periods.noun
    values = Annotated[list[BoundedNumber | None], Field(min_length=MIN_VALUES, max_length=MAX_VALUES)]
    fields: dict[str, Any] = {
        "series": (Text, Field(description=f"The series' name: {' / '.join(schema.id)}.")),
        "values": (
            values | None,
            Field(
                default=None,
                description=f"Its latest values, oldest first, one a {noun}; null = missing. Absent: as known at training.",
            ),
        ),
        "last": (
            Timestamp,
            Field(
                default=None,
                description=f"ISO 8601: a moment in the {noun} of the last value. Absent: the last {noun} of training.",
            ),
        ),
    }
    row = create_model(f"{schema.task}-row", __config__=ConfigDict(extra="forbid", title=f"A series of {schema.task}"), **fields)
    row_list = Annotated[list[row], Field(min_length=1, max_length=MAX_SERIES, description="One to a hundred series.")]
    config = ConfigDict(extra="forbid", title=f"Series for {schema.task}")
    rows: type[BaseModel] = create_model(f"{schema.task}-rows", __config__=config, rows=(row_list, ...))
    return RequestModel(list_panel_columns(schema), rows, row)


def list_panel_columns(schema: PanelSchema) -> tuple[Column, ...]:
    """What a request names, as columns."""
    noun = schema.periods.noun
    return (
        Column("series", "text", role="id", about=f"the series' name: {' / '.join(schema.id)}"),
        Column("values", "float", optional=True, about=f"its latest values, oldest first, one a {noun}"),
        Column("last", "time", role="time", optional=True, about=f"a moment in the {noun} of the last value"),
    )


def build_series_requests(bundle: PanelBundle, rows: list[dict[str, Any]]) -> list[SeriesRequest]:
    """The checked rows as requests."""
    import polars as pl

    frequency = bundle.schema.periods
    requests = []
    for row in rows:
        values, last = row["values"], row["last"]
        ordinal = None if last is None else int(frequency.ordinals(pl.Series([last], dtype=pl.Datetime("us")))[0])
        latest_values = None if values is None else tuple(float("nan") if v is None else v for v in values)
        requests.append(SeriesRequest(row["series"], latest_values, ordinal))
    return requests
