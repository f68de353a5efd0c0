"""`epic22 explain`: what a task's model looks at, as its training stored it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.errors import BundleError
from epic22.core.text import format_figure

MAX_COLUMNS = 20
DIRECTIONS = {"raises": "raises", "lowers": "lowers", "mixed": "up and down", "by level": "by level", "none": "–"}


def explain(
    task: Annotated[str, typer.Argument(help="The task, as training named it.")],
    version: Annotated[str | None, typer.Option(help="A version of the task; the champion otherwise.")] = None,
    json: Json = False,
) -> None:
    """Say what a task's model looks at: columns, pairs and shapes, each with its interval, out of fold."""
    model, explanation, pictures = bootstrap.load_explanation(bootstrap.assemble(Settings.read()), task, version)
    if json:
        print_json(dict(explanation))
        return
    try:
        print_line(
            f"{task}: {model.family}, version {model.version} ({model.status}); {explanation['folds']} folds, "
            f"{explanation['rows']:,} test rows."
        )
        print_explanation(explanation, pictures)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise BundleError(
            f"task {task}: what is stored as the explanation of version {model.version} is none; restore it or train again."
        ) from None


def print_explanation(explanation: Mapping[str, Any], pictures: Path) -> None:
    """Print an explanation: columns, pairs, shapes, warnings."""
    unit, metric = explanation["unit"], explanation["metric"]
    print_table(
        f"What moves the score: mean size ({unit}), mean rank over folds, and what {metric} loses without the column",
        ["column", "size", "share", "direction", "rank", f"first {explanation['top']}", "loss"],
        [_format_column(one) for one in explanation["columns"][:MAX_COLUMNS]],
    )
    if explanation["agreement"] is not None:
        print_line(f"Two trainings on fresh rows would agree on this order to {format_figure(explanation['agreement'], 2)} of 1.")
    if explanation["interactions"]:
        print_table(
            "Pairs that work together",
            ["pair", "size", "held-out loss without it", "interaction"],
            [_format_pair(pair) for pair in explanation["interactions"]],
        )
    for profile in explanation["dependence"]:
        _print_dependence(profile, unit)
    for warning in explanation["warnings"]:
        print_line(f"Warning: {warning}", "bold yellow")
    print_line(f"Pictures: {pictures}")


def _format_column(row: Mapping[str, Any]) -> list[str]:
    direction = DIRECTIONS[row["direction"]] + (f" {row['toward']}" if row["toward"] else "")
    rank = sum(row["ranks"]) / len(row["ranks"])
    loss = "not computed" if row["permutation_loss"] is None else format_interval(row["permutation_loss"])
    name = f"{row['column']}: {row['about']}" if row["about"] else row["column"]
    return [
        name,
        format_interval(row["importance"]),
        f"{row['share']:.1%}",
        direction,
        format_figure(rank, 2),
        f"{row['in_top']:.0%}",
        loss,
    ]


def _format_pair(pair: Mapping[str, Any]) -> list[str]:
    gain = pair["held_out_gain"]
    gain_text = (
        "–"
        if gain["value"] is None
        else f"{gain['value']:+.1%} ({_format_percentage(gain['low'])}…{_format_percentage(gain['high'])})"
    )
    return [
        " × ".join(pair["columns"]),
        format_interval(pair["strength"]),
        gain_text,
        "found" if pair["found"] else "not certain",
    ]


def _format_percentage(share: float | None) -> str:
    return "–" if share is None else f"{share:+.1%}"


def _print_dependence(profile: Mapping[str, Any], unit: str) -> None:
    bins: Sequence[Mapping[str, Any]] = [*profile["marks"], *([] if profile["missing"] is None else [profile["missing"]])]
    toward = f" toward {profile['toward']}" if profile["toward"] else ""
    print_table(
        f"{profile['column']}: contribution ({unit}){toward} by value",
        ["value", "rows", "contribution", "folds"],
        [
            [m["label"], f"{m['rows']:,}", format_interval(m["contribution"]), " ".join(format_figure(v, 2) for v in m["folds"])]
            for m in bins
        ],
    )


def format_interval(estimate: Mapping[str, float | None]) -> str:
    """A figure with its interval.

    >>> format_interval({"value": 0.5, "low": 0.4, "high": None})
    '0.5 (0.4…–)'
    """
    return f"{format_figure(estimate['value'], 3)} ({format_figure(estimate['low'], 3)}…{format_figure(estimate['high'], 3)})"
