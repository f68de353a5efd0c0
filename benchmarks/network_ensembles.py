"""Searches with and without neural networks, ten minutes each, beside AutoGluon's best preset and a linear model.

    python benchmarks/network_ensembles.py [--systems epic22 epic22-networks] [--sets telco] [--seconds 600] [--page]

Four public sets, one split each, every run with one core: so two may run at once, each held to a core of its own (`taskset`),
with a folder of its own (`--cache`). Runs of the same source and split are not repeated. Writes a section of docs/benchmarks.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from evidence import DATA
from page import write_section
from peers.environments import LINEAR, OURS, WITH_NETWORKS, System, environments_home, python_of, system_named
from peers.runs import Limits, Run, Store, perform
from peers.sets import set_named
from peers.splits import splits_of
from peers.statistics import METRICS, Difference, over_rows
from stamp import ROOT, machine

RESULTS = ROOT / "benchmarks" / "results" / "network_ensembles"
CACHE = ROOT / "benchmarks" / "peers" / "cache"
PAGE = ROOT / "docs" / "benchmarks.md"
SETS = ("uci-default", "give-me-some-credit", "hotel", "king-county")
SYSTEMS = {one.name: one for one in (system_named(OURS), WITH_NETWORKS, system_named("autogluon-best"), LINEAR)}
HARM = 0.001
"""A loss of more than this share of the score is one that matters."""


def list_runs(sets: Sequence[str], systems: Sequence[System], seconds: float, cache: Path) -> list[Run]:
    """A run for each set and system, with one core."""
    limits = Limits(seconds, 1)
    return [
        Run(set_named(name), splits_of(set_named(name), DATA, cache)[0], system, limits) for name in sets for system in systems
    ]


def carry_out(runs: Sequence[Run], store: Store, cache: Path) -> None:
    """Perform what the store lacks."""
    for run in runs:
        if store.is_done(run, allow_disturbed=True):
            continue
        print(f"{run.name}: {run.limits.seconds:g} s", flush=True)
        store.keep(run, *perform(run, python_of(run.system, environments_home()), cache))


def compare_runs(store: Store, first: Run, second: Run) -> Difference | None:
    """How much better the first scores on the test rows, with its interval; None where one has no predictions."""
    predictions = [store.predictions(run) if store.latest(run) else None for run in (first, second)]
    if predictions[0] is None or predictions[1] is None:
        return None
    truth = pl.read_parquet(first.split.truth)
    metric = METRICS[first.dataset.metric]
    return over_rows(metric, truth["label"].to_numpy(), predictions[0], predictions[1], truth["cluster"].to_numpy())


def describe_set(store: Store, runs: Sequence[Run]) -> list[str]:
    """The rows of one set's systems."""
    with_networks = next(run for run in runs if run.system is WITH_NETWORKS)
    lines = []
    for run in runs:
        result: dict[str, Any] | None = store.latest(run)
        if result is None or result["status"] != "ok":
            lines.append(
                f"| {run.dataset.name} | {run.system.title} | {'not run' if result is None else result['status']} | | | |"
            )
            continue
        gap = None if run is with_networks else compare_runs(store, with_networks, run)
        told = "" if gap is None else f"{gap.value:+.4g} ({gap.low:.4g} … {gap.high:.4g})"
        members = ", ".join(f"{family} {weight:g}" for family, weight in result["notes"].get("members", []))
        score = result["scores"][run.dataset.metric]
        seconds = result["seconds_to_model"]
        mark = " *" if result["disturbed"] else ""
        lines.append(f"| {run.dataset.name} | {run.system.title}{mark} | {score:.5g} | {told} | {members} | {seconds:.0f} |")
    return lines


def write_page(store: Store, runs: Sequence[Run]) -> None:
    """The section of docs/benchmarks.md."""
    by_set = {name: [run for run in runs if run.dataset.name == name] for name in SETS}
    gains = {name: compare_runs(store, of[1], of[0]) for name, of in by_set.items()}
    known = {name: gain for name, gain in gains.items() if gain is not None}
    better = [name for name, gain in known.items() if gain.low > 0]
    scores = {name: store.latest(of[0]) for name, of in by_set.items()}
    harmed = [
        name
        for name, gain in known.items()
        if (result := scores[name]) is not None and gain.value < -HARM * abs(result["scores"][by_set[name][0].dataset.metric])
    ]
    lines = [
        "## Searches with neural networks",
        "",
        "Written by `benchmarks/network_ensembles.py`. Ten minutes and one core a run, one split a set, the same rows and",
        "columns for all; the difference is of the search with networks to each other one, above zero where it is better,",
        f"with its 95 % interval over the test rows. Machine: {machine()}.",
        "",
        "| set | system | score | with networks minus it | members and weights | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
        *(line for of in by_set.values() for line in describe_set(store, of)),
        "",
        "* Something else ran on the machine's other core meanwhile.",
        "",
        f"Certainly better than without: {', '.join(better) or 'none'}. Worse by more than {HARM:.1%} of the score: "
        f"{', '.join(harmed) or 'none'}. Compared: {', '.join(known) or 'none yet'}.",
    ]
    write_section(PAGE, "network ensembles", "\n".join(lines))


def main() -> None:
    """Run what is lacking of the systems and sets that are named, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--page", action="store_true", help="run nothing, write the page of what is there")
    options = parser.parse_args()
    store = Store(RESULTS if options.seconds == 600 else options.cache / f"ensembles-{options.seconds:g}s")
    if not options.page:
        runs = list_runs(options.sets, [SYSTEMS[name] for name in options.systems], options.seconds, options.cache)
        carry_out(runs, store, options.cache)
    if options.seconds == 600:
        write_page(store, list_runs(SETS, list(SYSTEMS.values()), 600.0, options.cache))
    else:
        for path in sorted((store.folder / "runs").rglob("*.json")):
            result = json.loads(path.read_text())
            print(path, {key: result.get(key) for key in ("status", "message", "scores", "seconds_to_model", "notes")})


if __name__ == "__main__":
    main()
