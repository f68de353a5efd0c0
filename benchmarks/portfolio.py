"""The features on simulated portfolios, whose truth is known: `small` with seeds 0 to 4 pooled, `large` once where asked.

    python benchmarks/portfolio.py [--large]

Each task's outcome is kept in benchmarks/results/portfolio/ and not repeated while the source stays; docs/evidence-portfolio.md
is written from them. Seeds are independent portfolios: a pooled difference is the mean of the seeds', its 95 % interval is by
the t distribution over the five, which counts what differs between portfolios as well.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "portfolio"
PAGE = ROOT / "docs" / "evidence-portfolio.md"
SEEDS = range(5)
T_OF_FIVE = 2.776
"""The 97.5 % point of the t distribution with 4 degrees of freedom."""

WATCHED = ("core", "features", "simulator", "services")


def source_stamp() -> str:
    """SHA-256 over the sources that shape the outcome."""
    digest = hashlib.sha256()
    for part in WATCHED:
        for path in sorted((ROOT / "src" / "epic22" / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(size: str, seed: int, made: dict[str, Any], names: Sequence[str], keep: Callable[[], None]) -> None:
    """Simulate, ingest, train the named tasks in a home of its own; each outcome goes into `made`, then `keep` is called."""
    from epic22.bootstrap import FeatureConfig, IngestOptions, assemble, ingest_folder, train_feature
    from epic22.config import Settings
    from epic22.core.serialization import to_json
    from epic22.services.portfolio import summarise_run
    from epic22.simulator.portfolio import select_truth, simulate, write_portfolio

    with tempfile.TemporaryDirectory(prefix="epic22-portfolio-") as aside:
        folder = Path(aside)
        portfolio = simulate(size, seed)
        write_portfolio(portfolio, folder / "sample", "parquet")
        parts = assemble(Settings(folder / "home", os.cpu_count() or 1))
        ingest_folder(parts, folder / "sample" / "tables", options=IngestOptions(portfolio.end))
        for name in names:
            began = time.perf_counter()
            finished = train_feature(parts, name, config=FeatureConfig(truth=select_truth(portfolio, name)))
            made[name] = to_json(summarise_run(finished.run)) | {"seconds": time.perf_counter() - began}
            keep()
            print(f"{size} {seed} {name}: {made[name]['seconds']:.0f} s", flush=True)


def kept(size: str, seed: int) -> dict[str, Any]:
    """The stored outcomes of a portfolio; those that are absent, or of another source, are made."""
    from epic22.features.catalog import FEATURES

    path, stamp = RESULTS / f"{size}-{seed}.json", source_stamp()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    held: dict[str, Any] = {"size": size, "seed": seed, "source": stamp, "machine": machine, "outcomes": {}}
    if path.is_file():
        stored = dict(json.loads(path.read_text()))
        held = stored if stored["source"] == stamp else held
    missing = [feature.name for feature in FEATURES if feature.name not in held["outcomes"]]
    if missing:
        RESULTS.mkdir(parents=True, exist_ok=True)
        run(size, seed, held["outcomes"], missing, lambda: _replace(path, json.dumps(held, indent=1, sort_keys=True)))
    return held


def _replace(path: Path, text: str) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(text)
    aside.replace(path)


def pooled(values: list[float]) -> tuple[float, float, float]:
    """Mean over seeds with its 95 % t interval."""
    mean = statistics.fmean(values)
    half = T_OF_FIVE * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def figure(value: float | None) -> str:
    """Four significant digits, thousands set apart, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def told(values: list[float]) -> str:
    """A pooled figure with its interval."""
    mean, low, high = pooled(values)
    return f"{figure(mean)} ({figure(low)} … {figure(high)})"


def mean_of(outcomes: list[dict[str, Any]], name: str) -> str:
    """The mean of a figure over seeds, a dash where it is not there."""
    values = [o[name] for o in outcomes if o[name] is not None]
    return figure(statistics.fmean(values)) if values else "–"


def told_order(runs: list[dict[str, Any]]) -> list[str]:
    """The tasks in the order of the catalog."""
    from epic22.features.catalog import FEATURES

    return [feature.name for feature in FEATURES if feature.name in runs[0]["outcomes"]]


def rows_of(runs: list[dict[str, Any]]) -> list[str]:
    """The table's rows, a row a task."""
    rows = []
    for task in told_order(runs):
        found = [r["outcomes"][task] for r in runs]
        many = len(found) > 1
        gain, short = ([o[k] for o in found if o[k] is not None] for k in ("gain", "shortfall"))
        tell = (lambda xs: told([x["value"] for x in xs])) if many else _one
        sure = mean_of(found, "calibration_error") if found[0]["coverage"] is None else f"covers {mean_of(found, 'coverage')} %"
        floor = f" (noise {mean_of(found, 'calibration_floor')})" if found[0]["calibration_floor"] is not None else ""
        saving = [o["saving"] for o in found if o["saving"] is not None]
        more = [o["saving_gain"] for o in found if o["saving_gain"] is not None]
        families = ", ".join(sorted({o["family"] for o in found}))
        rows.append(
            f"| {task} | {found[0]['metric']} | {mean_of(found, 'constant')} | {mean_of(found, 'incumbent')} | "
            f"{mean_of(found, 'champion')} ({families}) | {mean_of(found, 'best_possible')} | "
            f"{tell(gain)} | {tell(short) if short else '–'} | {sure}{floor} | {tell(saving) if saving else '–'} | "
            f"{tell(more) if more else '–'} |"
        )
    return rows


def _one(found: list[dict[str, Any]]) -> str:
    return f"{figure(found[0]['value'])} ({figure(found[0]['low'])} … {figure(found[0]['high'])})"


HEAD = (
    "| task | metric | doing nothing | rule of today | champion | best possible | champion − rule | champion − best possible | "
    "calibration error | saved a year and 1,000 entities, at capacity | more than the rule |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def accuracy_rows(runs: list[dict[str, Any]]) -> list[str]:
    """Accuracy of each contestant, for the tasks of two classes."""
    rows = []
    for task in told_order(runs):
        found = [r["outcomes"][task]["accuracy"] for r in runs]
        if found[0] is None:
            continue
        names = ("constant", "incumbent", "champion", "best possible")
        rows.append(f"| {task} | " + " | ".join(f"{100 * statistics.fmean(o[n] for o in found):.2f} %" for n in names) + " |")
    return rows


def page(small: list[dict[str, Any]], large: dict[str, Any] | None) -> str:
    """The document."""
    lines = [
        "# The features on simulated portfolios",
        "",
        "Written by `python benchmarks/portfolio.py`. **Everything here is simulated**; because it is, the best possible score",
        "is known: that of the true probability, or median, given everything the simulator hides. Scores are of rows no model",
        "had seen, walking forward in time. Skill is measured from the drift. The best possible knows hidden states that no",
        "table shows, so no model can be expected to reach it; none may be certainly above it.",
        "",
        f"## `small`, {len(small)} portfolios (seeds 0 to {len(small) - 1}) pooled",
        "",
        "Figures are means over portfolios; differences and savings with the 95 % interval of the mean by t over the portfolios.",
        "",
        HEAD,
        *rows_of(small),
        "",
    ]
    if large is not None:
        lines += [
            "## `large`, once",
            "",
            f"Intervals are of that one portfolio, by clustered bootstrap. Source {large['source']}.",
            "",
            HEAD,
            *rows_of([large]),
            "",
        ]
    lines += [
        "## The plan's “87 → 93 %”",
        "",
        "Accuracy, told beside what doing nothing reaches:",
        "",
        "| task | doing nothing | rule of today | champion | best possible |",
        "|---|---|---|---|---|",
        *accuracy_rows(small),
        "",
        "Where doing nothing is above the plan's 93 %, the figure tells nothing about a model; it decides nothing here.",
        "",
        f"Machine: {small[0]['machine']}. Source {small[0]['source']}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="the large portfolio as well")
    asked = parser.parse_args()
    small = [kept("small", seed) for seed in SEEDS]
    path = RESULTS / "large-0.json"
    large = kept("large", 0) if asked.large else json.loads(path.read_text()) if path.is_file() else None
    PAGE.write_text(page(small, large))
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
