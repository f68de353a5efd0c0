"""`epic22 decide`: the ranked list of a week, in money."""

from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import format_answer, print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.text import format_figure, parse_timestamp

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
    with show_progress() as bars:
        components = bootstrap.assemble(Settings.read())
        moment = None if at is None else parse_timestamp(at, "--at")
        decisions = bootstrap.decide_feature(components, task, moment, capacity, data, bars)
    if json:
        print_json(decisions, bootstrap.VIEWS)
    else:
        print_decisions(decisions)


def print_decisions(decisions: "DecisionList") -> None:
    """Print the list."""
    print_line(
        f"{decisions.task} at {decisions.at:%Y-%m-%d}: {len(decisions.listed)} of {decisions.considered:,} "
        f"listed, capacity {decisions.capacity} "
        f"({decisions.model.family}, version {decisions.model.version}, {decisions.model.status})."
    )
    if decisions.in_sample:
        print_line("The model was trained on data from after this moment: the list shows how it works, not how well.", "yellow")
    what = "expected saving" if decisions.saving is not None else "expected change"
    headers = ["", "entity", "probability" if decisions.saving is not None else "forecast", what, "because"]
    print_table("This week's list", headers, [_format_row(case) for case in decisions.listed])
    if decisions.saving is not None:
        print_line(f"Acting on this list is expected to save {format_figure(decisions.saving)} against acting on nobody.", "bold")


def _format_row(case: "ListedCase") -> list[str]:
    value = case.ranked_value
    # What is ranked by money is a probability.
    text = format_answer(value.value, case.saving is not None)
    if value.interval is not None:
        text = f"{text} ({value.interval.ends})"
    if value.risk_band is not None:
        text = f"{text}, {value.risk_band}"
    benefit = format_figure(case.saving) if case.saving is not None else f"{case.change or 0.0:+.1%}"
    return [str(case.rank), case.prediction.entity, text, benefit, case.prediction.describe_reasons(3)]
