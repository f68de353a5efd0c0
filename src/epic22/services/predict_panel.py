"""Forecast series with a registered model: by a known series' name, by its latest values, or by both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.errors import RowError
from epic22.core.history import Histories, carried_forward
from epic22.core.lineage import ModelVersion, canonical_json, sha256
from epic22.core.panel_bundle import PanelBundle, PanelForecast
from epic22.core.prediction import PredictedValue, Prediction, Reason, Score

LEAST_VALUES = 3
MOST_VALUES = 2000


@dataclass(frozen=True)
class SeriesRequest:
    """One series to forecast: its name, its latest values, oldest first (None: as known at training; NaN: missing).

    `last` is the ordinal of the last value's period (None: the last one known at training).
    """

    series: str
    values: tuple[float, ...] | None = None
    last: int | None = None


def forecast_series(version: ModelVersion, bundle: PanelBundle, requests: Sequence[SeriesRequest]) -> tuple[Prediction, ...]:
    """One prediction a request, with a value and an interval for each horizon.

    Reasons sum to the forecast of the last horizon: the last value, and what each family's forecast adds by its weight.

    Raises RowError for a series that is unknown and comes without values, or with too few.
    """
    if not requests:
        return ()
    histories = _histories(bundle, requests)
    forecast = bundle.forecast(histories)
    return tuple(_one(version, bundle, histories, forecast, row) for row in range(len(requests)))


def forecast_all(version: ModelVersion, bundle: PanelBundle) -> tuple[Prediction, ...]:
    """Every series known at training, from its last value on."""
    return forecast_series(version, bundle, [SeriesRequest(str(name)) for name in bundle.history.entity])


def _histories(bundle: PanelBundle, requests: Sequence[SeriesRequest]) -> Histories:
    place = {str(name): i for i, name in enumerate(bundle.history.entity)}
    problems = [(i, "series", text) for i, r in enumerate(requests) if (text := _fault(bundle, r, place)) is not None]
    if problems:
        row, _, text = problems[0]
        raise RowError(f"row {row + 1}: {text}.", tuple((i, "values" if "value" in t else "series", t) for i, _, t in problems))
    end = bundle.history.first + bundle.history.lines.shape[1] - 1
    spans = []
    for request in requests:
        if request.values is None:
            known = np.where(bundle.history.observed, bundle.history.lines, np.nan)[place[request.series]]
            spans.append((end, known))
        else:
            spans.append((end if request.last is None else request.last, np.array(request.values, dtype=np.float64)))
    first = min(last - len(values) + 1 for last, values in spans)
    width = max(last for last, _ in spans) - first + 1
    lines = np.full((len(spans), width), np.nan)
    for row, (last, values) in enumerate(spans):
        lines[row, last - first + 1 - len(values) : last - first + 1] = values
    return Histories(
        carried_forward(lines),
        np.isfinite(lines),
        np.arange(len(spans)),
        np.array([last - first + 1 for last, _ in spans]),
        np.array([r.series for r in requests], dtype=object),
        first,
        bundle.history.frequency,
    )


def _fault(bundle: PanelBundle, request: SeriesRequest, place: Mapping[str, int]) -> str | None:
    if request.values is None:
        if request.series not in place:
            return f"no series {request.series[:100]!r} was trained on; send its latest values as well"
        return None
    present = sum(bool(np.isfinite(v)) for v in request.values)
    if present < LEAST_VALUES:
        return f"{present} values are too few; send at least {LEAST_VALUES}, better {2 * bundle.schema.season + 1} or more"
    if not np.isfinite(request.values[-1]):
        return "the last value is missing; end with one that is there, and name its period with last"
    return None


def _one(version: ModelVersion, bundle: PanelBundle, histories: Histories, forecast: PanelForecast, row: int) -> Prediction:
    schema, frequency = bundle.schema, bundle.schema.periods
    quantiles, name = forecast.quantiles[row], str(histories.entity[row])
    values = tuple(
        PredictedValue(schema.target, float(h + 1), float(forecast.median[row, h]), float(q[0]), float(q[-1]))
        for h, q in enumerate(quantiles)
    )
    origin = int(histories.origin[row])
    known = histories.one(row)
    return Prediction(
        entity=name,
        at=frequency.start(origin + 1),
        values=values,
        score=Score(values[-1].value if isinstance(values[-1].value, float) else 0.0, schema.unit or schema.target),
        reasons=_reasons(bundle, forecast, row, float(histories.last[row]), origin),
        model=version,
        receipt=sha256(version.model_hash.encode(), canonical_json([name, origin]), known.tobytes(), quantiles.tobytes()),
    )


def _reasons(bundle: PanelBundle, forecast: PanelForecast, row: int, last: float, origin: int) -> tuple[Reason, ...]:
    """The last value, what the families add, and the rest, which closes the sum to the forecast of the last horizon."""
    frequency, horizon = bundle.schema.periods, bundle.schema.horizon
    listed = [Reason(None, last, last, f"the value of {frequency.label(origin)}")]
    weights = forecast.weights[-1]
    for place in np.argsort(-weights, kind="stable"):
        if weights[place] <= 0 or len(listed) > 4:
            continue
        change = float(weights[place] * (forecast.parts[place, row, -1] - last))
        name = forecast.names[place]
        text = f"{name} sees {forecast.parts[place, row, -1]:,.6g} in {frequency.noun_of(horizon)}; weight {weights[place]:.0%}"
        listed.append(Reason(name, None, change, text))
    rest = float(forecast.median[row, -1]) - sum(reason.contribution for reason in listed)
    return (*listed, Reason(None, None, rest, "all other families together"))
