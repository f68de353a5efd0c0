"""`epic22 predict`: a file's rows through a task's champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22.cli.table_options import Json
from epic22.cli.terminal import figure, print_json, progress, say, table

if TYPE_CHECKING:
    from epic22.core.prediction import Prediction

MOST_SHOWN = 20


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
    from epic22.bootstrap import assemble, predict_file
    from epic22.config import Settings
    from epic22.core.prediction import model_json, prediction_json

    parts = assemble(Settings.read())
    with progress() as watch:
        model, predictions = predict_file(parts, task, file, version, watch, reasons)
    if json:
        answers = [prediction_json(prediction) for prediction in predictions]
        print_json({"task": task, "model": model_json(model), "predictions": answers})
        return
    say(f"{task}: {model.family}, version {model.version} ({model.status}); {len(predictions):,} rows.")
    sets = any(value.set for prediction in predictions for value in prediction.values)
    table(
        "Predictions",
        ["entity", "target", "horizon", "value", *(["may be"] if sets else ["low", "high"]), "because"],
        [_row(p, i) for p in predictions[:MOST_SHOWN] for i in _places(p)],
    )
    if len(predictions) > MOST_SHOWN:
        say(f"… and {len(predictions) - MOST_SHOWN:,} more; --json prints all of them.")


def _places(prediction: "Prediction") -> list[int]:
    """Which values are shown: the first, the last, and the one that is acted on."""
    acted = [i for i, value in enumerate(prediction.values) if value.expected_loss is not None]
    return sorted({0, len(prediction.values) - 1, *acted})


def _row(prediction: "Prediction", place: int) -> list[str]:
    value = prediction.values[place]
    said = value.value if isinstance(value.value, str) else figure(value.value)
    because = "; ".join(reason.text for reason in prediction.reasons[1:3]) if place == len(prediction.values) - 1 else ""
    horizon = "" if value.horizon is None else f"{value.horizon:g}"
    ends = [figure(value.low), figure(value.high)] if value.set is None else [" or ".join(value.set)]
    return [prediction.entity, value.target, horizon, said, *ends, because]
