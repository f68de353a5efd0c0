"""`epic22 predict`: a file's rows, a panel's series or a whole portfolio through a task's champion."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.portfolio_result import print_portfolio, show_portfolio
from epic22.cli.terminal import format_answer, print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.prediction import PREDICTION_VIEWS, Prediction
from epic22.core.text import format_figure, parse_timestamp

if TYPE_CHECKING:
    from epic22.bootstrap import Components, FeatureMoment, FilePredictions, WrittenAnswers

MAX_SHOWN = 20


def predict(
    task: Annotated[str, typer.Argument(help="The task, as training named it.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Rows with the task's columns: CSV, Excel, Parquet, JSON or JSON lines. For a forecast a panel as trained on; "
            "without one, every series from its last known value."
        ),
    ] = None,
    portfolio: Annotated[
        bool, typer.Option("--portfolio", help="Every eligible entity of a feature, from the stored tables; the rows are stored.")
    ] = False,
    at: Annotated[str | None, typer.Option(help="With --portfolio: the moment, UTC; the end of the data otherwise.")] = None,
    data: Annotated[int | None, typer.Option(help="With --portfolio: a data version; the newest otherwise.")] = None,
    version: Annotated[str | None, typer.Option(help="A version of the task; the champion otherwise.")] = None,
    reasons: Annotated[bool, typer.Option(help="Say why, which takes most of the time.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the answers to this file, .parquet, .csv or .jsonl, which is replaced: however many, in bounded memory."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Predict the rows of FILE, or with --portfolio all entities of a feature, with intervals and reasons that add up.

    A row has its interval or set of classes, and reasons that sum to the score.

    epic22 predict churn-churned new.csv

    epic22 predict tenant_churn --portfolio --at 2024-06-01
    """
    moment = check_question(task, file, portfolio, at, data)
    if out is not None:
        bootstrap.check_answer_file(out)
    components = bootstrap.assemble(Settings.read())
    if portfolio:
        _predict_portfolio(components, bootstrap.FeatureMoment(task, moment, data, version), reasons, out, json)
    elif out is not None:
        with show_progress() as bars:
            written = bootstrap.write_answers(components, bootstrap.FileRequest(task, file, version, reasons), out, bars)
        _print_written(written, json)
    else:
        with show_progress() as bars:
            predicted = bootstrap.predict_file(components, task, file, version, bars, reasons)
        if json:
            print_json({"task": task, "model": predicted.model, "predictions": predicted.predictions}, PREDICTION_VIEWS)
        else:
            _print_predictions(task, predicted)


def _predict_portfolio(components: "Components", query: "FeatureMoment", reasons: bool, out: Path | None, json: bool) -> None:
    with show_progress() as bars:
        predicted = bootstrap.predict_portfolio(components, query, reasons, bars)
    if out is not None:
        _print_written(bootstrap.export_portfolio(components, predicted, out), json)
    elif json:
        print_json(show_portfolio(predicted), PREDICTION_VIEWS)
    else:
        print_portfolio(predicted)


def _print_written(written: "WrittenAnswers", json: bool) -> None:
    if json:
        print_json(written, PREDICTION_VIEWS)
        return
    model = written.model
    print_line(f"{written.task}: {model.family}, version {model.version} ({model.status}); {written.answers:,} answers.")
    print_line(f"Answers: {written.path}")


def check_question(task: str, file: Path | None, portfolio: bool, at: str | None, data: int | None) -> datetime | None:
    """The moment of a portfolio, where one is named. Raises UserError for what needs no model to be refused: options that do not
    go together, a portfolio of what is no feature, a moment that is none."""
    if portfolio and file is not None:
        raise UserError(f"--portfolio predicts from the stored tables; leave {file} or --portfolio out.")
    for name, value in (("--at", at), ("--data", data)):
        if value is not None and not portfolio:
            raise UserError(f"{name} goes with --portfolio; the rows of a file have their own moments. Add --portfolio.")
    if portfolio:
        bootstrap.get_feature(task)
    return None if at is None else parse_timestamp(at, "--at")


def _print_predictions(task: str, predicted: "FilePredictions") -> None:
    model, predictions = predicted.model, predicted.predictions
    print_line(f"{task}: {model.family}, version {model.version} ({model.status}); {len(predictions):,} rows.")
    print_line(f"value: {predicted.value_name}.")
    sets = any(value.set for prediction in predictions for value in prediction.values)
    has_horizon = any(value.horizon is not None for prediction in predictions for value in prediction.values)
    print_table(
        "Predictions",
        [
            "entity",
            "target",
            *(["horizon"] if has_horizon else []),
            "value",
            *(["may be"] if sets else ["low", "high"]),
            "because",
        ],
        [_format_row(p, i, predicted.is_probability, has_horizon) for p in predictions[:MAX_SHOWN] for i in _select_values(p)],
    )
    for horizon, note in sorted({(v.horizon or 0.0, v.interval_note) for p in predictions for v in p.values if v.interval_note}):
        print_line(f"No 80 % is stated of the interval {horizon:g} ahead: {note}.")
    hidden = max((len(p.values) - len(_select_values(p)) for p in predictions), default=0)
    if hidden:
        print_line(f"… and {hidden} horizons more of each; --json prints all, --out FILE writes them.")
    if len(predictions) > MAX_SHOWN:
        print_line(f"… and {len(predictions) - MAX_SHOWN:,} rows more; --json prints all, --out FILE writes them.")


def _select_values(prediction: Prediction) -> list[int]:
    """The indices of the values to print: the first, the last, and the one that is acted on."""
    decisive = [i for i, value in enumerate(prediction.values) if value.expected_loss is not None]
    return sorted({0, len(prediction.values) - 1, *decisive})


def _format_row(prediction: Prediction, index: int, is_probability: bool, has_horizon: bool) -> list[str]:
    value = prediction.values[index]
    text = format_answer(value.value, is_probability)
    because = prediction.describe_reasons(2) if index == len(prediction.values) - 1 else ""
    horizon = ["" if value.horizon is None else f"{value.horizon:g}"] if has_horizon else []
    bounds = (None, None) if value.interval is None else (value.interval.low, value.interval.high)
    ends = [format_figure(bound) for bound in bounds] if value.set is None else [" or ".join(value.set)]
    return [prediction.entity, value.target, *horizon, text, *ends, because]
