"""`epic22 models list`: what is registered."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import format_interval, print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.serialization import to_json

if TYPE_CHECKING:
    from epic22.services.promote import RegisteredModel, State


REMARKS: Mapping["State", str] = {
    "challenger": "is a challenger",
    "not promoted": "was registered, and nothing was decided of it: its training ended before that, or is under way",
    "promotion unfinished": "was to serve, and its process ended before it did",
}
"""What is said of versions that a person may want to let serve, by their state."""


def list_registered(
    task: Annotated[str | None, typer.Argument(help="One task; all otherwise.")] = None,
    json: Json = False,
) -> None:
    """List the registered models: scores, champions, challengers.

    A challenger is a version that was not shown to be as good as the champion; epic22 promote lets it serve. What is damaged of a
    task is said on standard error, with the way out, and hides no other.
    """
    settings = Settings.read()
    registry = bootstrap.assemble(settings).registry
    names = sorted({v.task for v in registry.list_all_versions()} | set(registry.list_tasks())) if task is None else [task]
    registered = [model for name in names for model in bootstrap.list_models(registry, name)]
    faults = {name: registry.list_faults(name) for name in names}
    if task is not None and not registered and not faults[task]:
        # Says which tasks there are.
        registry.champion(task)
    if json:
        print_json([describe_registered(one) for one in registered])
    elif not registered and not any(faults.values()):
        print_line(_describe_emptiness(settings))
    else:
        _print_models(registered)
    for name, sentences in faults.items():
        for sentence in sentences:
            sys.stderr.write(f"epic22: task {name}: {sentence}\n")


def _describe_emptiness(settings: Settings) -> str:
    """What to say where no model is registered, with the way to those that a database lacks and the home has."""
    n_left = bootstrap.count_models_left_in_files(settings)
    if not n_left:
        return "No models yet; train one with 'epic22 train'."
    return (
        f"No models yet in the database of EPIC22_DATABASE_URL. The files of {settings.home} hold {n_left:,}: copy them with "
        "'epic22 store copy --to ADDRESS', EPIC22_DATABASE_URL and EPIC22_ARTIFACTS unset; or train one with 'epic22 train'."
    )


def _print_models(registered: "Sequence[RegisteredModel]") -> None:
    rows = [
        [
            one.version.task,
            one.version.version,
            one.state,
            one.version.family,
            one.version.status,
            one.version.made_at[:16].replace("T", " "),
        ]
        for one in registered
    ]
    print_table("Models", ["task", "version", "state", "family", "status", "made at, UTC"], rows)
    for one in registered:
        # In the table it would leave the other columns no width in a terminal of 80 columns.
        if one.evaluation is not None:
            score, model = format_interval(one.evaluation.score), one.version.model_hash[:12]
            print_line(f"{one.version.task} version {one.version.version}: {one.evaluation.metric} {score}; model {model}.")
        remark = REMARKS.get(one.state)
        if remark is not None:
            why = f": {one.why}" if one.why else ""
            print_line(f"{one.version.task} version {one.version.version} {remark}{why}.")
            print_line(f"  To let it serve: epic22 promote {one.version.task} {one.version.version} --reason …", "dim")


def describe_registered(model: "RegisteredModel") -> dict[str, Any]:
    """A version with its state and score, as JSON."""
    evaluation = model.evaluation
    score = None if evaluation is None else {"metric": evaluation.metric, **to_json(evaluation.score), "rows": evaluation.rows}
    state = {"champion": model.state == "champion", "state": model.state, "why": model.why, "score": score}
    return dict(to_json(model.version)) | state
