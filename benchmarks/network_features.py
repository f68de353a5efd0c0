"""The features raced with neural networks on the sample portfolio, beside boosting and linear models.

    python benchmarks/network_features.py [--only tenant_churn]

Each feature of rows is compared on the folds that its training has (`epic22 compare`), every family fitted in a process of its
own; each that forecasts series is trained with the networks for panels taking part (`epic22 train NAME --also …`). What is in
benchmarks/results/network_features.json by the same source is not run again. Writes a section of docs/benchmarks.md.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from network_series import SERIES_FEATURES, describe_weights, measure_series
from page import write_section
from stamp import ROOT, machine, source_stamp

from epic22.bootstrap.comparison import compare_feature
from epic22.bootstrap.components import Components, assemble
from epic22.bootstrap.ingest_and_audit import IngestOptions, ingest_folder
from epic22.config import Settings
from epic22.features.catalog import FEATURES
from epic22.services.family_comparison import ComparedFamily, FamilyComparison
from epic22.simulator.portfolio import simulate, write_portfolio

RESULTS = ROOT / "benchmarks" / "results" / "network_features.json"
PAGE = ROOT / "docs" / "benchmarks.md"
SIZE, SEED = "small", 0
READERS = ("lstm", "transformer", "cnn")
NAMES = tuple(feature.name for feature in FEATURES)


def list_families(name: str) -> tuple[str, ...]:
    """Who is compared on a feature: its own family of trees first, then the networks that can take part."""
    task = next(feature.task for feature in FEATURES if feature.name == name)
    trees = "hazard" if task.target.traits.is_time_to_event else "boosting"
    return (trees, "mlp", *(READERS if task.has_sequence else ()))


def open_portfolio(folder: Path) -> Components:
    """A home with the sample portfolio as its data version."""
    portfolio = simulate(SIZE, SEED)
    write_portfolio(portfolio, folder / "sample", "parquet")
    components = assemble(Settings(folder / "home", threads=1))
    ingest_folder(components, folder / "sample" / "tables", options=IngestOptions(portfolio.end))
    return components


def measure(components: Components, name: str) -> dict[str, Any]:
    """What is kept of a feature's comparison."""
    began = time.perf_counter()
    comparison = compare_feature(components, name, list_families(name)).comparison
    words = {one.family: one.verdict for one in comparison.verdicts}
    return {
        "source": source_stamp(),
        "rows": comparison.n_rows,
        "metric": comparison.task.target.metric.name,
        "reference": comparison.reference,
        "conclusion": comparison.conclusion,
        "load": comparison.load.words,
        "seconds": round(time.perf_counter() - began, 1),
        "families": {one.name: _summarise(comparison, one, words) for one in comparison.families},
    }


def _summarise(comparison: FamilyComparison, family: ComparedFamily, verdicts: Any) -> dict[str, Any]:
    score, verdict = family.evaluation.score(comparison.task.target.metric.name), verdicts.get(family.name)
    against = (
        {}
        if verdict is None
        else {
            "difference": [verdict.difference.value, verdict.difference.low, verdict.difference.high],
            "certain": verdict.certain,
        }
    )
    cost = family.cost
    costs = (
        {}
        if cost is None
        else {
            "fit_seconds": round(cost.fit_seconds, 2),
            "memory_mb": None if cost.memory_bytes is None else round(cost.memory_bytes / 1e6),
            "ms_alone": round(cost.ms_alone, 3),
        }
    )
    return {"score": [score.value, score.low, score.high], **against, **costs}


def write_page(stored: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md."""
    lines = [
        "## Features by neural networks",
        "",
        "`python benchmarks/network_features.py`: the sample portfolio (small, seed 0), each feature on the folds that its",
        "training has, one thread, each family in a process of its own; forecasts on their test origins, networks taking part by",
        "`--also`. *Against*: the paired difference to the feature's family of trees (the pooled linear model where the trees",
        "equal it), above zero where the family is the better one, with its 95 % interval. Memory is the peak of the family's",
        "training, of a forecast's that of the whole training.",
    ]
    for name, outcome in stored["features"].items():
        lines += [
            "",
            _describe_outcome(name, outcome),
            "",
            f"| family | {outcome['metric']} | against {outcome['reference']} | seconds a fit | memory, MB | ms a row alone |",
            "|---|---|---|---|---|---|",
        ]
        for family, figures in outcome["families"].items():
            against = "–" if "difference" not in figures else _format(figures["difference"])
            certain = ", certain" if figures.get("certain") else ""
            cells = [family, _format(figures["score"]), against + certain]
            cells += [str(figures.get(key, "–")) for key in ("fit_seconds", "memory_mb", "ms_alone")]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Machine: {stored['machine']}."]
    return "\n".join(lines)


def _describe_outcome(name: str, outcome: dict[str, Any]) -> str:
    start = f"**{name}**, {outcome['rows']:,} rows, {outcome['metric']}. {outcome['conclusion']}"
    if name not in SERIES_FEATURES:
        return f"{start} {outcome['load']}"
    cost = f"The whole training took {outcome['seconds']:.0f} s and {outcome['memory_mb']:,} MB."
    weights = f"Weights of the combination, first to last horizon: {describe_weights(outcome)}."
    return " ".join([start, weights, cost, *outcome["equals"]])


def _format(interval: list[float]) -> str:
    value, low, high = (f"{figure:.4g}" for figure in interval)
    return f"{value} ({low} … {high})" if all(map(math.isfinite, interval)) else f"{value} (one stretch)"


def main() -> None:
    """Compare what is missing or of another source, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args()
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"features": {}}
    missing = [name for name in options.only if stored["features"].get(name, {}).get("source") != source_stamp()]
    with tempfile.TemporaryDirectory(prefix="epic22-networks-") as folder:
        components = open_portfolio(Path(folder)) if missing else None
        for name in missing:
            assert components is not None
            measure_one = measure_series if name in SERIES_FEATURES else measure
            stored["features"][name] = measure_one(components, name)
            stored["machine"] = machine()
            RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
            print(f"{name}: {stored['features'][name]['conclusion']}", flush=True)
    write_section(PAGE, "network features", write_page(stored))


if __name__ == "__main__":
    main()
