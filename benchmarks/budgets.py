"""Does a time limit hurt? `train --time-limit` beside untuned boosting and plain `train`, on rows that none of them saw.

    python benchmarks/budgets.py --load busy --scratch /tmp/budgets                  # the machine as it is
    python benchmarks/budgets.py --load quiet --scratch /tmp/budgets                 # where nothing else runs
    python benchmarks/budgets.py --load busy --neighbours 20 --scratch /tmp/budgets  # beside processes that only count
    python benchmarks/budgets.py --page                                              # writes the page again

Each training is a process of its own. Three rows in ten, drawn once, judge; differences have
paired 95 % intervals of 1,000 draws of these rows. A training that is in benchmarks/results/budgets.json already is not repeated.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from page import write_section
from stamp import DATA, machine

from epic22.core.evaluation.metrics import METRICS
from epic22.core.task import Array, Kind, RowMetadata

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "budgets.json"
PAGE = ROOT / "docs" / "benchmarks.md"
LIMITS = (5, 20, 60)
TEST_SHARE, SEED, N_DRAWS = 0.3, 22, 1000
UNTUNED, PLAIN = "untuned boosting", "plain train"


@dataclass(frozen=True)
class PublicTable:
    """A public table of the shelf: its file, label and kind of label; of two classes the positive one."""

    name: str
    label: str
    kind: Kind
    positive: str | None = None

    def read(self) -> pl.DataFrame:
        """Its rows, read as text where pandas would read text."""
        return pl.read_csv(DATA / "shelf" / f"{self.name}.csv.gz", infer_schema_length=None, null_values=["NA", ""])


TABLES = (
    PublicTable("car_prices", "Price", "regression"),
    PublicTable("sacramento", "price", "regression"),
    PublicTable("concrete", "compressive_strength", "regression"),
    PublicTable("oj", "Purchase", "binary", "MM"),
    PublicTable("saratogahouses", "price", "regression"),
    PublicTable("wage", "wage", "regression"),
    PublicTable("credit_data", "Status", "binary", "bad"),
    PublicTable("email", "spam", "binary", "1"),
    PublicTable("spam7", "yesno", "binary", "y"),
    PublicTable("nmes1988", "visits", "regression"),
)
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    UNTUNED: {"families": ("constant", "boosting")},
    PLAIN: {},
    **{f"--time-limit {limit}": {"time_limit": limit} for limit in LIMITS},
}


@dataclass(frozen=True)
class Outcome:
    """A training's score on the rows that judge, and the interval of how much better it is than two others."""

    score: float
    gains: Mapping[str, tuple[float, float, float]]


def split_rows(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training rows and rows that judge."""
    order = np.random.default_rng(SEED).permutation(frame.height)
    n_test = round(TEST_SHARE * frame.height)
    return frame[np.sort(order[n_test:])], frame[np.sort(order[:n_test])]


def train_once(table: PublicTable, system: str, out: Path) -> None:
    """Train in this process, and write down what it answers to the rows that judge."""
    import epic22

    train, test = split_rows(table.read())
    with tempfile.TemporaryDirectory() as home:
        # What must be known is given, so that reading infers the same of any rows.
        options: dict[str, Any] = {"label": table.label, "kind": table.kind, "home": home, "task": "budgets"}
        options |= {} if table.positive is None else {"positive": table.positive}
        run = epic22.train(train, **options, **SYSTEMS[system])
        seconds = time.clock_gettime(time.CLOCK_MONOTONIC) - PROCESS_START
        predicted = run.predict(test.drop(table.label))["value"].to_numpy()
    warnings = [one for one in run.result.run.warnings if "--time-limit" in one]
    out.write_text(
        json.dumps(
            {
                "champion": run.version.family,
                "seconds": round(seconds, 1),
                "load_before": round(LOAD_BEFORE, 1),
                "board": sorted(run.scores),
                "warning": warnings[0] if warnings else None,
                "predicted": predicted.tolist(),
            }
        )
    )


PROCESS_START, LOAD_BEFORE = time.clock_gettime(time.CLOCK_MONOTONIC), os.getloadavg()[0]


def judge(table: PublicTable, answers: Mapping[str, Array], system: str) -> Outcome:
    """The score of a system by the metric that decides, and its gains over untuned boosting and plain training."""
    label = split_rows(table.read())[1][table.label]
    known = label.is_not_null().to_numpy()
    y = label.to_numpy().astype(float) if table.positive is None else (label.cast(pl.String) == table.positive).to_numpy()
    y = np.asarray(y, dtype=float)[known]
    metric = METRICS[table.kind][0]
    rng = np.random.default_rng(SEED)
    draws = [rng.integers(0, len(y), len(y)) for _ in range(N_DRAWS)]

    def score(name: str, rows: Array) -> float:
        return metric.score(y[rows], answers[name][known][rows], RowMetadata())

    every = np.arange(len(y))
    gains = {}
    for other in (UNTUNED, PLAIN):
        if other == system:
            continue
        gain = metric.gain(score(system, every), score(other, every))
        low, high = np.nanpercentile([metric.gain(score(system, one), score(other, one)) for one in draws], [2.5, 97.5])
        gains[other] = (float(gain), float(low), float(high))
    return Outcome(score(system, every), gains)


def _count_for_ever() -> None:
    n = 0
    while True:
        n += 1


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """So many processes beside that only count."""
    processes = [multiprocessing.get_context("spawn").Process(target=_count_for_ever, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()


def run_table(table: PublicTable, load: str, scratch: Path, results: dict[str, Any]) -> None:
    """All trainings on a table, each in a process of its own; those that are there are kept."""
    answers: dict[str, Array] = {}
    for system in SYSTEMS:
        out = scratch / f"{load}-{table.name}-{system.replace(' ', '_')}.json"
        if not out.exists():
            command = [sys.executable, __file__, "--one", table.name, system, str(out)]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        told = json.loads(out.read_text())
        answers[system] = np.array(told.pop("predicted"), dtype=float)
        results["runs"].setdefault(load, {}).setdefault(table.name, {})[system] = told
    for system in SYSTEMS:
        outcome = judge(table, answers, system)
        results["runs"][load][table.name][system] |= {"score": outcome.score, "gains": outcome.gains}
    results["metrics"][table.name] = METRICS[table.kind][0].name
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def describe_results(results: Mapping[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Budgets: does a time limit hurt?",
        "",
        f"`benchmarks/budgets.py`, {results['machine']}. Public tables of the shelf, three rows in ten judge; the gain of "
        "`--time-limit S` over untuned boosting and over plain `train` with its paired 95 % interval, above zero = better. "
        "Load: the machine's load average when the training began.",
    ]
    for load, tables in results["runs"].items():
        missing = [table.name for table in TABLES if table.name not in tables]
        lines += ["", f"### {load.capitalize()}", ""]
        lines += ["| table | metric | limit | load | seconds | champion | score | over untuned boosting | over plain `train` |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        lines += _list_rows(results, tables)
        losses = [
            (name, system)
            for name, systems in tables.items()
            for system, one in systems.items()
            if system.startswith("--") and any(high < 0 for _, _, high in one["gains"].values())
        ]
        lines += ["", f"Certain losses: {', '.join(f'{a} {b}' for a, b in losses) or 'none'}."]
        if missing:
            lines += [f"Not run yet: {', '.join(missing)}."]
    absent = [load for load in ("quiet", "busy") if load not in results["runs"]]
    if absent:
        lines += ["", f"Not run yet: {', '.join(absent)}."]
    return "\n".join(lines)


def _list_rows(results: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[str]:
    for name, systems in tables.items():
        for system in [one for one in SYSTEMS if one in systems and one.startswith("--")]:
            one = systems[system]
            gains = [f"{g:+.3g} ({low:+.3g} … {high:+.3g})" for g, low, high in (one["gains"][o] for o in (UNTUNED, PLAIN))]
            yield (
                f"| {name} | {results['metrics'][name]} | {system.split()[-1]} | {_format_load(one['load_before'])} "
                f"| {one['seconds']:.0f} | {one['champion']} | {one['score']:.4g} | {gains[0]} | {gains[1]} |"
            )


def _format_load(load: float | None) -> str:
    return "–" if load is None else f"{load:g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not there yet, and write results and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", choices=("quiet", "busy"), default="quiet")
    parser.add_argument("--neighbours", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "epic22-budgets")
    parser.add_argument("--tables", nargs="*", default=[table.name for table in TABLES])
    parser.add_argument("--one", nargs=3, metavar=("TABLE", "SYSTEM", "OUT"))
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args(arguments)
    by_name = {table.name: table for table in TABLES}
    if given.one is not None:
        train_once(by_name[given.one[0]], given.one[1], Path(given.one[2]))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"machine": machine(), "runs": {}, "metrics": {}}
    if not given.page:
        given.scratch.mkdir(parents=True, exist_ok=True)
        with busy_neighbours(given.neighbours):
            for name in given.tables:
                run_table(by_name[name], given.load, given.scratch, results)
    write_section(PAGE, "budgets", describe_results(results))


if __name__ == "__main__":
    main()
