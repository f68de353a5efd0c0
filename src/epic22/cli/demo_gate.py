"""The part of the demonstration where promotion is refused: three trainings in a home of their own, on a planted condition."""

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from polars import DataFrame

from epic22.bootstrap import Components, FeatureConfig, IngestOptions, assemble, ingest_folder, override_by_key, train_feature
from epic22.cli.terminal import print_line, show_progress
from epic22.core.evaluation.fairness import Override
from epic22.core.ports import Registry
from epic22.services.portfolio import GateStep, build_gate_step
from epic22.simulator.portfolio import Portfolio
from epic22.simulator.unfairness import plant_unfair_class

TASK = "risk_assessment"
UNUSED_TABLES = ("sensor_readings", "ledger", "equipment")
"""Tables without a part in the task; left out for speed."""
N_FIRST_TENANTS = 40
"""Tenants whose classes the company holds at first: too few in any group to be compared."""
REASON = "Reviewed by a person: the model sees payments, not the class; to be judged again in 30 days"


def demonstrate_gate(components: Components, portfolio: Portfolio, folder: Path, seed: int) -> tuple[GateStep, ...]:
    """The steps of the gate on one task (provisional, refused, overridden), each with the model that answers after it."""
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    key = secrets.token_hex(16)
    authorised = frozenset({hashlib.sha256(key.encode()).hexdigest()})
    # Never where other machines look: what is planted here is no row of the company's.
    gate_parts = assemble(replace(components.settings.embed(folder / "home"), authorised=authorised))
    unfair, planted = plant_unfair_class(portfolio.tables, seed)
    print_line(f"Planted for this part alone, in {folder}: {planted.words}.", "yellow")
    tables = {name: frame for name, frame in portfolio.tables.items() if name not in UNUSED_TABLES}
    first = portfolio.tables["protected"].sample(N_FIRST_TENANTS, seed=seed)
    ingest_folder(
        gate_parts, _write_tables(folder / "first", tables | {"protected": first}), options=IngestOptions(portfolio.end, "sample")
    )
    steps = [_train_step(gate_parts, f"the first model, with the classes of {N_FIRST_TENANTS} tenants", None)]
    rest = unfair.join(first, on="tenant_id", how="anti", maintain_order="left")
    ingest_folder(gate_parts, _write_tables(folder / "rest", {"protected": rest}), options=IngestOptions(portfolio.end, "sample"))
    steps.append(_train_step(gate_parts, "trained again, the planted classes of all tenants in", None))
    steps.append(
        _train_step(gate_parts, "the same, with an authorised key and a reason", override_by_key(REASON, {"EPIC22_KEY": key}))
    )
    print_promotion_log(gate_parts.registry)
    return tuple(steps)


def _write_tables(folder: Path, tables: Mapping[str, DataFrame]) -> Path:
    folder.mkdir(parents=True)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def _train_step(components: Components, what: str, override: Override | None) -> GateStep:
    with show_progress() as bars:
        run = train_feature(components, TASK, progress=bars, config=FeatureConfig(override=override)).run
    step = build_gate_step(what, run, components.registry.champion(TASK))
    print_line(f"{what}: version {step.version} {step.status}", "bold" if step.promoted else "bold red")
    print_line(f"  {step.why}.")
    print_line(f"  Served now: version {step.served.version} ({step.served.status}), as every answer says.")
    return step


def print_promotion_log(registry: Registry, task: str = TASK) -> None:
    """Print the log of promotions: when, which version, as what and why; of a key only its id."""
    print_line("The log of promotions:")
    for record in registry.list_decisions(task):
        print_line(f"  {record.at[:19]} version {record.version} {record.status}: {record.why}")
