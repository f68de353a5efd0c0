"""`epic22 decide`: the ranked list of a week, in money."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22.cli.table_options import Json
from epic22.cli.terminal import figure, print_json, progress, say, table

if TYPE_CHECKING:
    from epic22.services.decide import DecisionList, ListedCase


def decide(
    task: Annotated[str, typer.Argument(help="A trained feature, such as predictive_maintenance.")],
    at: Annotated[str | None, typer.Option(help="The moment of the decision, UTC; the end of the data otherwise.")] = None,
    capacity: Annotated[
        int | None, typer.Option(min=1, help="How many can be acted on this week; the task's own otherwise.")
    ] = None,
    data: Annotated[int | None, typer.Option(help="A data version; the newest otherwise.")] = None,
    json: Json = False,
) -> None:
    """Rank who to visit, call or look at this week by what acting is expected to save, with reasons. A person decides."""
    from epic22.bootstrap import assemble, decide_feature
    from epic22.cli.ingest import moment
    from epic22.config import Settings

    with progress() as watch:
        found = decide_feature(assemble(Settings.read()), task, moment(at, "--at"), capacity, data, watch)
    if json:
        print_json(decision_json(found))
    else:
        show(found)


def decision_json(found: "DecisionList") -> dict[str, Any]:
    """The list as JSON."""
    from epic22.core.prediction import model_json, prediction_json

    return {
        "task": found.task,
        "model": model_json(found.model),
        "at": found.at.isoformat() + "Z",
        "capacity": found.capacity,
        "considered": found.considered,
        "expected_saving": found.saving,
        "in_sample": found.in_sample,
        "list": [
            {"rank": c.rank, "expected_saving": c.saving, "expected_change": c.change, **prediction_json(c.prediction)}
            for c in found.listed
        ],
    }


def show(found: "DecisionList") -> None:
    """The list for a person at a terminal."""
    say(
        f"{found.task} at {found.at:%Y-%m-%d}: {len(found.listed)} of {found.considered:,} listed, capacity {found.capacity} "
        f"({found.model.family}, version {found.model.version}, {found.model.status})."
    )
    if found.in_sample:
        say("The model was trained on data from after this moment: the list shows how it works, not how well.", "yellow")
    what = "expected saving" if found.saving is not None else "expected change"
    headers = ["", "entity", "probability" if found.saving is not None else "forecast", what, "because"]
    table("This week's list", headers, [_row(case) for case in found.listed])
    if found.saving is not None:
        say(f"Acting on this list is expected to save {figure(found.saving)} against acting on nobody.", "bold")


def _row(case: "ListedCase") -> list[str]:
    from epic22.services.decide import TOLD_HORIZON, deciding

    values = case.prediction.values
    value = deciding(case.prediction) if case.saving is not None else values[min(TOLD_HORIZON, len(values)) - 1]
    said = value.value if isinstance(value.value, str) else figure(value.value)
    if value.low is not None and value.high is not None:
        said = f"{said} ({figure(value.low)} … {figure(value.high)})"
    if value.band is not None:
        said = f"{said}, {value.band}"
    worth = figure(case.saving) if case.saving is not None else f"{case.change or 0.0:+.1%}"
    because = "; ".join(reason.text for reason in case.prediction.reasons[1:4])
    return [str(case.rank), case.prediction.entity, said, worth, because]
