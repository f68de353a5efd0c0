"""`epic22 models`: what is registered, which version serves, and how another comes to."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from epic22 import bootstrap
from epic22.cli.model_listing import describe_registered, list_registered
from epic22.cli.options import Json
from epic22.cli.promote import promote
from epic22.cli.terminal import format_interval, print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.evaluation.gate_finding import count_outcomes
from epic22.core.serialization import to_json
from epic22.core.text import format_figure

if TYPE_CHECKING:
    from epic22.core.evaluation.gate_finding import GateFinding
    from epic22.core.lineage import Provenance

LIST = "list"


class ListByDefault(TyperGroup):
    """A group whose first command is meant where none is named: `models churn` is `models list churn`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with the command that they leave out."""
        first = next((word for word in args if not word.startswith("-")), None)
        is_help = first is None and "--help" in args
        return super().parse_args(ctx, args if is_help or first in self.commands else [LIST, *args])


models = typer.Typer(
    name="models",
    cls=ListByDefault,
    help="The registered models: list, show, promote, rollback, history; each takes --json.",
    add_completion=False,
)
models.command(LIST)(list_registered)
models.command()(promote)
Task = Annotated[str, typer.Argument(help="The task.")]


@models.command()
def show(
    task: Task,
    version: Annotated[str | None, typer.Argument(help="A version; the champion otherwise.")] = None,
    json: Json = False,
) -> None:
    """Show a version: its score, where it comes from, and what each gate said of it when it was trained."""
    details = bootstrap.describe_model(bootstrap.assemble(Settings.read()).registry, task, version)
    if json:
        more = {"gates": to_json(details.gates), "provenance": to_json(details.provenance)}
        print_json(describe_registered(details.model) | more)
        return
    model, own = details.model, details.model.version
    made_at = own.made_at[:16].replace("T", " ")
    print_line(f"{own.task} version {own.version}: {model.state}; {own.family}, {own.status}, made {made_at} UTC.", "bold")
    if model.why:
        print_line(f"  {model.why}.")
    if model.evaluation is not None:
        print_line(f"{model.evaluation.metric} {format_interval(model.evaluation.score)} on {model.evaluation.rows:,} rows.")
    print_line(f"Model {own.model_hash[:12]}{_describe_provenance(details.provenance)}.")
    _print_gates(details.gates)


def _describe_provenance(provenance: "Provenance | None") -> str:
    if provenance is None:
        return ""
    number = "" if provenance.data_number is None else f" {provenance.data_number}"
    return f", of data version{number} {provenance.data_version[:12]}, seed {provenance.seed}"


def _print_gates(gates: "tuple[GateFinding, ...]") -> None:
    if not gates:
        print_line("What its gates said was not kept: an earlier release trained it.", "dim")
        return
    rows = [[one.gate, one.outcome, format_interval(one.value), _format_limit(one), one.why] for one in gates]
    print_table(count_outcomes(gates), ["gate", "outcome", "value", "limit", "finding"], rows)


def _format_limit(finding: "GateFinding") -> str:
    return "–" if finding.limit is None else format_figure(finding.limit)


@models.command()
def rollback(
    task: Task,
    version: Annotated[str | None, typer.Argument(help="A version that was champion before; the one before otherwise.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the log of promotions.")] = "",
    json: Json = False,
) -> None:
    """Let the champion before the present one serve again, or VERSION, if that was champion before.

    It is opened first, and answers its golden rows; the serving process goes over with the next request. A version that the
    fairness gate refused needs an authorised key in EPIC22_KEY.
    """
    components = bootstrap.assemble(Settings.read())
    before = components.registry.find_champion(task)
    now = bootstrap.roll_back(components, task, version, reason)
    if json:
        print_json({"champion": to_json(now), "before": None if before is None else to_json(before)})
        return
    instead = "" if before is None else f", instead of version {before.version}"
    print_line(f"Champion of task {task}: version {now.version} ({now.family}, {now.status}){instead}.", "bold green")
    refusing = [one.gate for one in components.registry.load_gates(task, now.version) if one.outcome == "refused"]
    if refusing:
        print_line(f"When it was trained, it was refused by: {', '.join(refusing)}.", "bold yellow")


@models.command()
def history(task: Task, json: Json = False) -> None:
    """Show every decision on the task's versions, oldest first: when, which version, as what, why."""
    registry = bootstrap.assemble(Settings.read()).registry
    records, champion = bootstrap.list_history(registry, task), registry.find_champion(task)
    if json:
        document: list[dict[str, Any]] = [dict(to_json(record)) for record in records]
        print_json(document)
        return
    if not records:
        print_line(f"Nothing was decided of task {task} yet.")
    for record in records:
        unfinished = " (its process ended before it served)" if record.is_unfinished else ""
        print_line(
            f"{record.at[:19].replace('T', ' ')} version {record.version} {record.status}{unfinished}: {record.why or '–'}"
        )
    print_line("No version serves now." if champion is None else f"Version {champion.version} serves now.", "bold")
