"""The part of the demonstration where promotion is refused: three trainings in a home of their own, on a planted condition."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from epic22.cli.terminal import figure, progress, say

if TYPE_CHECKING:
    from polars import DataFrame

    from epic22.bootstrap import Parts
    from epic22.core.evaluation.fairness import Override
    from epic22.services.portfolio_results import GateStep
    from epic22.simulator.portfolio import Portfolio

TASK = "risk_assessment"
UNUSED = ("sensor_readings", "ledger", "equipment")
"""Tables without a part in the task; left out for speed."""
HELD = 40
"""Tenants whose classes the company holds at first: too few in any group to be compared."""
REASON = "Reviewed by a person: the model sees payments, not the class; to be judged again in 30 days"


def show_gate(parts: "Parts", portfolio: "Portfolio", folder: Path, seed: int) -> "tuple[GateStep, ...]":
    """Provisional, refused, overridden: what the gate makes of the same task, and which model answers after each."""
    from epic22.bootstrap import assemble, ingest_folder, override_by_key
    from epic22.simulator.unfairness import plant_unfair_class

    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    key = secrets.token_hex(16)
    may = frozenset({hashlib.sha256(key.encode()).hexdigest()})
    own = assemble(replace(parts.settings, home=folder / "home", authorised=may))
    unfair, planted = plant_unfair_class(portfolio.tables, seed)
    say(f"Planted for this part alone, in {folder}: {planted.words}.", "yellow")
    tables = {name: frame for name, frame in portfolio.tables.items() if name not in UNUSED}
    first = portfolio.tables["protected"].sample(HELD, seed=seed)
    ingest_folder(own, _written(folder / "first", tables | {"protected": first}), source="sample", as_of=portfolio.end)
    steps = [_step(own, f"the first model, with the classes of {HELD} tenants", None)]
    rest = unfair.join(first, on="tenant_id", how="anti", maintain_order="left")
    ingest_folder(own, _written(folder / "rest", {"protected": rest}), source="sample", as_of=portfolio.end)
    steps.append(_step(own, "trained again, the planted classes of all tenants in", None))
    steps.append(_step(own, "the same, with an authorised key and a reason", override_by_key(REASON, {"EPIC22_KEY": key})))
    show_log(own)
    return tuple(steps)


def _written(folder: Path, tables: "Mapping[str, DataFrame]") -> Path:
    folder.mkdir(parents=True)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def _step(parts: "Parts", what: str, override: "Override | None") -> "GateStep":
    from epic22.bootstrap import train_feature
    from epic22.services.portfolio_results import gate_step

    with progress() as watch:
        run = train_feature(parts, TASK, watch=watch, override=override).run
    step = gate_step(what, run, parts.registry.champion(TASK))
    say(f"{what}: version {step.version} {step.status}", "bold" if step.promoted else "bold red")
    say(f"  {step.why}.")
    say(f"  Served now: version {step.served.version} ({step.served.status}), as every answer says.")
    return step


def show_log(parts: "Parts") -> None:
    """What the log of promotions says: when, who, why, and what was found; a key by its id alone."""
    log = parts.registry.folder(TASK, "1").parent / "promotions.jsonl"
    say(f"{log}:")
    for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
        found, asked = line["fairness"], line["override"]
        ratio = "ratio not known" if found["ratio"] is None else f"{found['group']} {figure(found['ratio'], 2)}"
        by = "" if asked is None else f", by key {asked['key_id'][:12]}…: {asked['reason']}"
        say(f"  {line['at'][:19]} version {line['version']} {line['status']} ({found['class']}: {ratio}){by}")
