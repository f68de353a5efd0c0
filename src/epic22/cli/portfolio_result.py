"""What `epic22 predict --portfolio` prints: what was stored and where, and the head of the list of decisions."""

from typing import TYPE_CHECKING, Any

from epic22.cli.terminal import format_answer, print_line, print_table
from epic22.core.text import format_figure

if TYPE_CHECKING:
    from epic22.bootstrap import PortfolioPredictions

MAX_SHOWN = 20
HEAD_KEYS = (
    *("task", "request", "model", "at", "data_version", "capacity", "in_sample", "value_name", "table", "table_version"),
    *("is_new", "entities", "listed", "saving"),
)


def show_portfolio(predicted: "PortfolioPredictions") -> dict[str, Any]:
    """The stored rows and what they are of, for JSON; columns that the task has not are left out."""
    rows = predicted.rows
    known = rows.select(column for column in rows if column.null_count() < len(column))
    known = known.with_columns(known["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    head = {key: getattr(predicted, key) for key in HEAD_KEYS}
    return head | {"predictions": known.drop("request").to_dicts()}


def print_portfolio(predicted: "PortfolioPredictions") -> None:
    """Print it."""
    model = predicted.model
    print_line(
        f"{predicted.task} at {predicted.at:%Y-%m-%d}: {predicted.entities:,} entities of data version {predicted.data_version} "
        f"({model.family}, version {model.version}, {model.status}), {predicted.listed:,} listed, capacity {predicted.capacity}."
    )
    print_line(f"value: {predicted.value_name}.")
    if predicted.in_sample:
        print_line("The model was trained on data from after this moment: the list shows how it works, not how well.", "yellow")
    top = predicted.rows.filter("is_listed").sort("rank").head(MAX_SHOWN)
    if top.height:
        what = "expected saving" if predicted.saving is not None else "expected change"
        print_table(
            "Where acting comes first",
            ["", "entity", "value", what, "because"],
            [_format_row(row, predicted.is_probability) for row in top.to_dicts()],
        )
    if predicted.saving is not None:
        print_line(f"Acting on this list is expected to save {format_figure(predicted.saving)} against acting on nobody.", "bold")
    state = "stored as" if predicted.is_new else "was there already as"
    print_line(f"Request {predicted.request} {state} version {predicted.table_version} of the Delta table {predicted.table}.")


def _format_row(row: dict[str, Any], is_probability: bool) -> list[str]:
    text = format_answer(row["value"], is_probability)
    if row["low"] is not None:
        text = f"{text} ({format_figure(row['low'])} … {format_figure(row['high'])})"
    if row["band"] is not None:
        text = f"{text}, {row['band']}"
    benefit = f"{row['change'] or 0.0:+.1%}" if row["saving"] is None else format_figure(row["saving"])
    because = "; ".join([reason["text"] for reason in row["reasons"] or () if reason["column"] is not None][:3])
    return [str(row["rank"]), row["entity"], text, benefit, because]
