"""`epic22 models`: what is registered."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.lineage import ModelVersion
from epic22.core.serialization import to_json


def models(
    task: Annotated[str | None, typer.Argument(help="One task; all otherwise.")] = None,
    json: Json = False,
) -> None:
    """List the registered models, each task's champion marked. What is damaged is said on standard error, and hides no other."""
    registry = bootstrap.assemble(Settings.read()).registry
    names = sorted({v.task for v in registry.list_all_versions()} | set(registry.list_tasks())) if task is None else [task]
    stored = {name: registry.find_champion(name) for name in names}
    champions = {name: champion.version for name, champion in stored.items() if champion is not None}
    versions = [version for name in names for version in registry.list_versions(name)]
    faults = {name: registry.list_faults(name) for name in names}
    if task is not None and not versions and not faults[task]:
        # Says which tasks there are.
        registry.champion(task)
    if json:
        print_json([to_json(v) | {"champion": champions.get(v.task) == v.version} for v in versions])
    elif not versions and not any(faults.values()):
        print_line("No models yet; train one with 'epic22 train'.")
    else:
        _print_versions(versions, champions)
    for name, sentences in faults.items():
        for sentence in sentences:
            sys.stderr.write(f"epic22: task {name}: {sentence}\n")


def _print_versions(versions: Sequence[ModelVersion], champions: Mapping[str, str]) -> None:
    rows = [
        [
            v.task,
            v.version,
            "champion" if champions.get(v.task) == v.version else "",
            v.family,
            v.status,
            v.made_at,
            v.model_hash[:12],
        ]
        for v in versions
    ]
    print_table("Models", ["task", "version", "", "family", "status", "made at", "model hash"], rows)
