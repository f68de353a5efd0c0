"""A model of series: each is answered from its latest values, at every horizon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.artifact.model import Model, ModelDescription, RequestSource
from epic22.core.artifact.panel_bundle import DATA_TYPE, PanelBundle, PanelForecast, open_panel_bundle
from epic22.core.artifact.panel_network import PanelNetwork, get_panel_network
from epic22.core.artifact.prediction_request import PredictionRequest, RowsRequest
from epic22.core.artifact.request_model import MIN_VALUES, RequestModel, build_panel_request_model
from epic22.core.data.names import strip_text_ends
from epic22.core.errors import RowError
from epic22.core.lineage import ModelVersion, canonical_json, sha256
from epic22.core.models.base import Capabilities
from epic22.core.models.panel.floor import find_floored_series, lift_quantiles
from epic22.core.prediction import PredictedValue, Prediction, PredictionScore, Reason
from epic22.core.statistics import Interval
from epic22.core.task import CellValue
from epic22.core.time_series import Array, Histories, forward_fill

MAX_EMPTY_PERIODS = 1_000_000
"""Periods without a value that the series of one request may have together, for want of a common span."""


@dataclass(frozen=True)
class SeriesRequest:
    """One series to forecast: its name, its latest values, oldest first (None: as known at training; NaN: missing).

    `last` is the ordinal of the last value's period (None: the last one known at training).
    """

    series: str
    values: tuple[float, ...] | None = None
    last: int | None = None


@dataclass(frozen=True)
class PanelModel(Model):
    """A model on a bundle of series. A row of a request names a `series`, its latest `values` and their `last`
    period; both may be absent for a series that is known from training."""

    bundle: PanelBundle
    data_type = DATA_TYPE
    capabilities = Capabilities(needs_sequences=True)

    @classmethod
    def open(cls, version: ModelVersion, folder: Path, manifest: dict[str, Any] | None = None) -> "PanelModel":
        """The model in a folder, audited; its manifest is read unless it is given. Raises BundleError."""
        return cls(version, open_panel_bundle(folder, manifest))

    def get_network(self, member: str | None = None) -> PanelNetwork:
        """The network of a member of its combination. Raises UserError for a forecast without one, or where several are meant."""
        return get_panel_network(self.version, self.bundle, self.name, member)

    def describe(self) -> ModelDescription:
        """What is reported of its answers."""
        return ModelDescription("quantiles")

    def describe_value(self) -> str:
        """The target."""
        return self.bundle.schema.target

    def request_model(self) -> RequestModel:
        """Rows with a series each."""
        return build_panel_request_model(self.bundle.schema)

    def example_row(self) -> Mapping[str, CellValue]:
        """A series that is known from training."""
        return {"series": str(self.bundle.history.entity[0])}

    def read_request(self, source: RequestSource | None) -> PredictionRequest:
        """The series of a table from its end on; without one, every series known at training, from its last value on."""
        if source is None:
            return RowsRequest([{"series": str(name)} for name in self.bundle.history.entity])
        latest = source.read_histories(self.bundle.schema, self.bundle.is_whole)
        return RowsRequest(
            [
                {"series": str(name), "values": values, "last": self.bundle.schema.periods.start(origin)}
                for name, values, origin in zip(latest.entity, latest.iterate_series(), latest.origin, strict=True)
            ]
        )

    def predict(self, request: PredictionRequest, with_reasons: bool = True) -> tuple[Prediction, ...]:
        """One prediction a series, with its reasons: they cost nothing here. Raises RowError for one that cannot be forecast."""
        columns = (request.column(name) for name in ("series", "values", "last"))
        requests = [
            SeriesRequest(
                series,
                None if values is None else tuple(float("nan") if v is None else float(v) for v in values),
                None if last is None else int(self.bundle.schema.periods.ordinals(pl.Series([last], dtype=pl.Datetime("us")))[0]),
            )
            for series, values, last in zip(*columns, strict=True)
        ]
        return forecast_series(self.version, self.bundle, requests)


def forecast_series(version: ModelVersion, bundle: PanelBundle, requests: Sequence[SeriesRequest]) -> tuple[Prediction, ...]:
    """One prediction a request, with a value and an interval for each horizon.

    Reasons sum to the forecast of the last horizon: the last value, and what each family's forecast adds by its weight.

    Raises RowError for a series that is unknown and comes without values, or with too few.
    """
    if not requests:
        return ()
    histories = _build_histories(bundle, requests)
    forecast = bundle.forecast(histories)
    if bundle.schema.has_floor:
        is_floored = find_floored_series(histories, bundle.is_never_negative)
        forecast = replace(forecast, quantiles=lift_quantiles(forecast.quantiles, is_floored))
    return tuple(_predict_one(version, bundle, histories, forecast, row) for row in range(len(requests)))


def _build_histories(bundle: PanelBundle, requests: Sequence[SeriesRequest]) -> Histories:
    # Requests and files come without blanks around names and with composed accents; stored ones may be otherwise.
    index = {strip_text_ends(str(name)): i for i, name in enumerate(bundle.history.entity)}
    index |= {str(name): i for i, name in enumerate(bundle.history.entity)}
    problems = tuple((i, *fault) for i, r in enumerate(requests) if (fault := _find_problem(bundle, r, index)) is not None)
    if problems:
        row, _, text = problems[0]
        raise RowError(f"row {row + 1}: {text}.", problems)
    newest, spans = int(bundle.history.origin.max()), []
    for request in requests:
        if request.values is None:
            row = index[request.series]
            (known,) = bundle.history.take(np.array([row])).iterate_known_values()
            spans.append((int(bundle.history.origin[row]), known))
        else:
            spans.append((newest if request.last is None else request.last, np.array(request.values, dtype=np.float64)))
    first = min(last - len(values) + 1 for last, values in spans)
    width = max(last for last, _ in spans) - first + 1
    _refuse_wide_span(bundle, spans, width)
    lines = np.full((len(spans), width), np.nan)
    for row, (last, values) in enumerate(spans):
        lines[row, last - first + 1 - len(values) : last - first + 1] = values
    return Histories(
        forward_fill(lines),
        np.isfinite(lines),
        np.arange(len(spans)),
        np.array([last - first + 1 for last, _ in spans]),
        np.array([r.series for r in requests], dtype=object),
        first,
        bundle.history.frequency,
    )


def _refuse_wide_span(bundle: PanelBundle, spans: Sequence[tuple[int, Array]], width: int) -> None:
    """Raise RowError where series lie so far apart that a row of periods common to all would be nearly empty."""
    if len(spans) * width <= 2 * sum(len(values) for _, values in spans) + MAX_EMPTY_PERIODS:
        return
    row = int(np.argmin([last for last, _ in spans]))
    early, late = (bundle.schema.periods.label(int(f(last for last, _ in spans))) for f in (min, max))
    text = f"last is {early}, that of another series {late}: too far apart for one request; send them in requests of their own"
    raise RowError(f"row {row + 1}: {text}.", ((row, "last", text),))


def _find_problem(bundle: PanelBundle, request: SeriesRequest, index: Mapping[str, int]) -> tuple[str, str] | None:
    """The name that is at fault and what is wrong with it; None for a series that can be forecast."""
    if request.values is None:
        if request.series not in index:
            return "series", f"no series {request.series[:100]!r} was trained on; send its latest values as well"
        return None if request.last is None else ("last", "last goes with values: it is the period of the last one of them")
    present = sum(bool(np.isfinite(v)) for v in request.values)
    if present < MIN_VALUES:
        fewest = f"send at least {MIN_VALUES}, better {2 * bundle.schema.season + 1} or more"
        return "values", f"{present} values are too few; {fewest}"
    if not np.isfinite(request.values[-1]):
        return "values", "the last value is missing; end with one that is there, and name its period with last"
    if request.last is not None and not _has_calendar(bundle, request.last, len(request.values)):
        return (
            "last",
            "last lies too near the calendar's end; the values and the forecast must lie in the years "
            f"{MINYEAR + 1} to {MAXYEAR - 1}",
        )
    return None


def _has_calendar(bundle: PanelBundle, last: int, n_values: int) -> bool:
    """Whether every period of the values and of the forecast lies between the first year of the calendar and the last."""
    periods = bundle.schema.periods
    first_and_final = pl.Series([datetime(MINYEAR + 1, 1, 1), datetime(MAXYEAR, 1, 1)], dtype=pl.Datetime("us"))
    low, high = periods.ordinals(first_and_final)
    return bool(low <= last - n_values and last + bundle.schema.horizon < high)


def _predict_one(
    version: ModelVersion, bundle: PanelBundle, histories: Histories, forecast: PanelForecast, row: int
) -> Prediction:
    schema, frequency = bundle.schema, bundle.schema.periods
    quantiles, name = forecast.quantiles[row], str(histories.entity[row])
    values = tuple(
        PredictedValue(
            schema.target, float(h + 1), interval.value, interval, interval_note=bundle.state.explain_level(h + 1, frequency)
        )
        for h, q in enumerate(quantiles)
        for interval in (Interval(float(forecast.median[row, h]), float(q[0]), float(q[-1])),)
    )
    origin = int(histories.origin[row])
    known = histories.get_series(row)
    return Prediction(
        entity=name,
        at=frequency.start(origin + 1),
        values=values,
        score=PredictionScore(values[-1].value if isinstance(values[-1].value, float) else 0.0, schema.unit or schema.target),
        reasons=_build_reasons(bundle, histories, forecast, row),
        model=version,
        receipt=sha256(version.model_hash.encode(), canonical_json([name, origin]), known.tobytes(), quantiles.tobytes()),
    )


def _build_reasons(bundle: PanelBundle, histories: Histories, forecast: PanelForecast, row: int) -> tuple[Reason, ...]:
    """The last value, what the families add, and the rest, which closes the sum to the forecast of the last horizon."""
    last, origin = float(histories.last[row]), int(histories.origin[row])
    frequency, horizon = bundle.schema.periods, bundle.schema.horizon
    present = np.flatnonzero(histories.observed[histories.line[row], : histories.end[row]])
    silent = int(histories.end[row] - 1 - present[-1])
    text = f"the value of {frequency.label(origin - silent)}" + (
        f", carried forward to {frequency.label(origin)}" if silent else ""
    )
    reasons = [Reason(None, last, last, text)]
    weights = forecast.weights[-1]
    for place in np.argsort(-weights, kind="stable"):
        if weights[place] <= 0 or len(reasons) > 4:
            continue
        change = float(weights[place] * (forecast.member_medians[place, row, -1] - last))
        name = forecast.member_names[place]
        text = (
            f"{name} sees {forecast.member_medians[place, row, -1]:,.6g} in "
            f"{frequency.format_periods(horizon)}; weight {weights[place]:.0%}"
        )
        reasons.append(Reason(name, None, change, text))
    rest = float(forecast.median[row, -1]) - sum(reason.contribution for reason in reasons)
    return (*reasons, Reason(None, None, rest, "all other families together"))
