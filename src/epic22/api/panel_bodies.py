"""How a forecast is asked: {"rows": [{"series": name, "values": [latest values], "last": period}]}.

`series` alone is forecast from its last value known at training; with `values` (oldest first, null = missing), from those, `last`
being any moment in the period of the last value.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from epic22.api.bodies import Body, Moment, Text
from epic22.core.panel_bundle import PanelBundle, PanelSchema
from epic22.core.task import Column
from epic22.services.predict_panel import LEAST_VALUES, MOST_VALUES, SeriesRequest

MOST_SERIES = 100
LARGEST_VALUE = 1e15
Bounded = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST_VALUE, le=LARGEST_VALUE)]


def panel_body_of(schema: PanelSchema) -> Body:
    """The request model of a forecasting task."""
    noun = schema.periods.noun
    values = Annotated[list[Bounded | None], Field(min_length=LEAST_VALUES, max_length=MOST_VALUES)]
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
            Moment,
            Field(
                default=None,
                description=f"ISO 8601: a moment in the {noun} of the last value. Absent: the last {noun} of training.",
            ),
        ),
    }
    row = create_model(f"{schema.task}-row", __config__=ConfigDict(extra="forbid", title=f"A series of {schema.task}"), **fields)
    listed = Annotated[list[row], Field(min_length=1, max_length=MOST_SERIES, description="One to a hundred series.")]
    config = ConfigDict(extra="forbid", title=f"Series for {schema.task}")
    rows: type[BaseModel] = create_model(f"{schema.task}-rows", __config__=config, rows=(listed, ...))
    return Body(panel_columns(schema), rows, row)


def panel_columns(schema: PanelSchema) -> tuple[Column, ...]:
    """What a request names, as columns."""
    noun = schema.periods.noun
    return (
        Column("series", "text", role="id", about=f"the series' name: {' / '.join(schema.id)}"),
        Column("values", "float", optional=True, about=f"its latest values, oldest first, one a {noun}"),
        Column("last", "time", role="time", optional=True, about=f"a moment in the {noun} of the last value"),
    )


def series_requests(bundle: PanelBundle, rows: list[dict[str, Any]]) -> list[SeriesRequest]:
    """The checked rows as requests."""
    import polars as pl

    frequency = bundle.schema.periods
    found = []
    for row in rows:
        values, last = row["values"], row["last"]
        ordinal = None if last is None else int(frequency.ordinals(pl.Series([last], dtype=pl.Datetime("us")))[0])
        told = None if values is None else tuple(float("nan") if v is None else v for v in values)
        found.append(SeriesRequest(row["series"], told, ordinal))
    return found
