"""`epic22 explain`: what a task's model looks at, from what its training wrote down."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from epic22.cli.table_options import Json
from epic22.cli.terminal import figure, print_json, say, table

MOST_COLUMNS = 20
DIRECTIONS = {"raises": "raises", "lowers": "lowers", "mixed": "up and down", "by level": "by level", "none": "–"}


def explain(
    task: Annotated[str, typer.Argument(help="The task, as training named it.")],
    version: Annotated[str | None, typer.Option(help="A version of the task; the champion otherwise.")] = None,
    json: Json = False,
) -> None:
    """Say what a task's model looks at: columns, pairs and shapes, each with its interval, out of fold."""
    from epic22.bootstrap import assemble, explained
    from epic22.config import Settings

    model, found, pictures = explained(assemble(Settings.read()), task, version)
    if json:
        print_json(dict(found))
        return
    say(f"{task}: {model.family}, version {model.version} ({model.status}); {found['folds']} folds, {found['rows']:,} test rows.")
    show(found, pictures)


def show(found: Mapping[str, Any], pictures: Path) -> None:
    """An explanation for a person at a terminal."""
    unit, metric = found["unit"], found["metric"]
    table(
        f"What moves the score: mean size ({unit}), mean rank over folds, and what {metric} loses without the column",
        ["column", "size", "share", "direction", "rank", f"first {found['top']}", "loss"],
        [_column(one) for one in found["columns"][:MOST_COLUMNS]],
    )
    if found["agreement"] is not None:
        say(f"Two trainings on fresh rows would agree on this order to {figure(found['agreement'], 2)} of 1.")
    if found["interactions"]:
        table(
            "Pairs that work together",
            ["pair", "size", "held-out loss without it", "interaction"],
            [_pair(pair) for pair in found["interactions"]],
        )
    for shape in found["dependence"]:
        _show_shape(shape, unit)
    for warning in found["warnings"]:
        say(f"Warning: {warning}", "bold yellow")
    say(f"Pictures: {pictures}")


def _column(one: Mapping[str, Any]) -> list[str]:
    direction = DIRECTIONS[one["direction"]] + (f" {one['toward']}" if one["toward"] else "")
    rank = sum(one["ranks"]) / len(one["ranks"])
    loss = "not tried" if one["permutation_loss"] is None else interval(one["permutation_loss"])
    name = f"{one['column']}: {one['about']}" if one["about"] else one["column"]
    return [name, interval(one["importance"]), f"{one['share']:.1%}", direction, figure(rank, 2), f"{one['in_top']:.0%}", loss]


def _pair(pair: Mapping[str, Any]) -> list[str]:
    gain = pair["held_out_gain"]
    told = "–" if gain["value"] is None else f"{gain['value']:+.1%} ({_points(gain['low'])}…{_points(gain['high'])})"
    return [" × ".join(pair["columns"]), interval(pair["strength"]), told, "found" if pair["found"] else "not certain"]


def _points(share: float | None) -> str:
    return "–" if share is None else f"{share:+.1%}"


def _show_shape(shape: Mapping[str, Any], unit: str) -> None:
    marks: Sequence[Mapping[str, Any]] = [*shape["marks"], *([] if shape["missing"] is None else [shape["missing"]])]
    toward = f" toward {shape['toward']}" if shape["toward"] else ""
    table(
        f"{shape['column']}: contribution ({unit}){toward} by value",
        ["value", "rows", "contribution", "folds"],
        [[m["label"], f"{m['rows']:,}", interval(m["contribution"]), " ".join(figure(v, 2) for v in m["folds"])] for m in marks],
    )


def interval(found: Mapping[str, float | None]) -> str:
    """A figure with its interval.

    >>> interval({"value": 0.5, "low": 0.4, "high": None})
    '0.5 (0.4…–)'
    """
    return f"{figure(found['value'], 3)} ({figure(found['low'], 3)}…{figure(found['high'], 3)})"
