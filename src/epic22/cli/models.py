"""`epic22 models`: what is registered."""

from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.serialization import to_json


def models(
    task: Annotated[str | None, typer.Argument(help="One task; all otherwise.")] = None,
    json: Json = False,
) -> None:
    """List the registered models, each task's champion marked."""
    registry = bootstrap.assemble(Settings.read()).registry
    names = registry.list_tasks() if task is None else (task,)
    champions = {name: registry.champion(name).version for name in names}
    versions = [version for name in names for version in registry.list_versions(name)]
    if json:
        print_json([to_json(v) | {"champion": champions[v.task] == v.version} for v in versions])
        return
    if not versions:
        print_line("No models yet; train one with 'epic22 train'.")
        return
    rows = [
        [
            v.task,
            v.version,
            "champion" if champions[v.task] == v.version else "",
            v.family,
            v.status,
            v.made_at,
            v.model_hash[:12],
        ]
        for v in versions
    ]
    print_table("Models", ["task", "version", "", "family", "status", "made at", "model hash"], rows)
