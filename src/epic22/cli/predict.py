"""`epic22 predict`: a file's rows through a task's champion."""

from pathlib import Path
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.prediction import PREDICTION_VIEWS, Prediction
from epic22.core.text import format_figure

MAX_SHOWN = 20


def predict(
    task: Annotated[str, typer.Argument(help="The task, as training named it.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Rows with the task's columns: CSV, Parquet, JSON or JSON lines. For a forecast a panel as trained on; "
            "without one, every series from its last known value."
        ),
    ] = None,
    version: Annotated[str | None, typer.Option(help="A version of the task; the champion otherwise.")] = None,
    reasons: Annotated[bool, typer.Option(help="Say why, which takes most of the time.")] = True,
    json: Json = False,
) -> None:
    """Predict every row of FILE, with an interval or a set of classes and reasons that sum to the score."""
    components = bootstrap.assemble(Settings.read())
    with show_progress() as bars:
        model, predictions = bootstrap.predict_file(components, task, file, version, bars, reasons)
    if json:
        print_json({"task": task, "model": model, "predictions": predictions}, PREDICTION_VIEWS)
        return
    print_line(f"{task}: {model.family}, version {model.version} ({model.status}); {len(predictions):,} rows.")
    sets = any(value.set for prediction in predictions for value in prediction.values)
    print_table(
        "Predictions",
        ["entity", "target", "horizon", "value", *(["may be"] if sets else ["low", "high"]), "because"],
        [_format_row(p, i) for p in predictions[:MAX_SHOWN] for i in _select_values(p)],
    )
    for horizon, note in sorted({(v.horizon or 0.0, v.interval_note) for p in predictions for v in p.values if v.interval_note}):
        print_line(f"No 80 % is stated of the interval {horizon:g} ahead: {note}.")
    if len(predictions) > MAX_SHOWN:
        print_line(f"… and {len(predictions) - MAX_SHOWN:,} more; --json prints all of them.")


def _select_values(prediction: Prediction) -> list[int]:
    """The indices of the values to print: the first, the last, and the one that is acted on."""
    decisive = [i for i, value in enumerate(prediction.values) if value.expected_loss is not None]
    return sorted({0, len(prediction.values) - 1, *decisive})


def _format_row(prediction: Prediction, index: int) -> list[str]:
    value = prediction.values[index]
    text = value.value if isinstance(value.value, str) else format_figure(value.value)
    because = prediction.describe_reasons(2) if index == len(prediction.values) - 1 else ""
    horizon = "" if value.horizon is None else f"{value.horizon:g}"
    bounds = (None, None) if value.interval is None else (value.interval.low, value.interval.high)
    ends = [format_figure(bound) for bound in bounds] if value.set is None else [" or ".join(value.set)]
    return [prediction.entity, value.target, horizon, text, *ends, because]
