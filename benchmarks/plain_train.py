"""Processor time of a plain `epic22 train` beside version 0.1's, with the same families, on three tables; and the verdicts.

    OMP_NUM_THREADS=1 python benchmarks/plain_train.py [--runs 1]

Needs the public data (EPIC22_PUBLIC_DATA) and the repository's history, out of which version 0.1's sources are taken; both run
with the libraries that are installed. Each run is a process of its own with an empty home, the versions in turn, so that what
else the machine does falls on both. What was measured stays in benchmarks/results/plain_train.json: a second call measures what
is missing. Writes its section of docs/benchmarks.md.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from page import write_section
from stamp import DATA, ROOT, machine, source_stamp

RESULTS = ROOT / "benchmarks" / "results" / "plain_train.json"
PAGE = ROOT / "docs" / "benchmarks.md"
OLD, NOW = "0.1", "now"
OLD_COMMIT = "767ae38fe3ee102c679929069dbc8ff64f371043"
MAX_SHARE = 0.5
"""The bar: the share of version 0.1's processor time that a training may take."""


@dataclass(frozen=True)
class Table:
    """A table of the benchmark: what it is called, and how it is trained on."""

    name: str
    arguments: tuple[str, ...]


TABLES = (
    Table("Orange juice, 1,070 rows", ("--csv", str(DATA / "shelf/oj.csv.gz"), "--label", "Purchase")),
    Table("Telco, 7,043 rows", ("--csv", str(DATA / "churn/ibm_telco/Telco-Customer-Churn.csv"), "--label", "Churn")),
    Table(
        "King County, 21,613 rows, forward in time, houses apart",
        (
            *("--csv", str(DATA / "market/king_county/kc_house_data.csv"), "--label", "price"),
            *("--time", "date", "--group", "id"),
        ),
    ),
)


@dataclass(frozen=True)
class Measurement:
    """One training: processor seconds of all its processes, the champion and its score, verdicts in words, the machine's load."""

    table: str
    version: str
    source: str
    seconds: float
    champion: str
    score: float
    verdicts: dict[str, str]
    load: float


def main() -> None:
    """Measure what is missing, version after version, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="trainings of each version on each table")
    runs = parser.parse_args().runs
    sources = {OLD: OLD_COMMIT, NOW: source_stamp()}
    measured = [one for one in read_results() if one.source in sources.values()]
    with tempfile.TemporaryDirectory(prefix="plain-train-") as scratch:
        paths = {OLD: extract_sources(Path(scratch)), NOW: ROOT / "src"}
        missing = [
            (table, version)
            for table in TABLES
            for version in paths
            for _ in range(runs - sum(one.table == table.name and one.version == version for one in measured))
        ]
        for version in {version for _, version in missing}:
            run_training(paths[version], write_small_table(Path(scratch)))
        for table, version in missing:
            measured.append(measure(table, version, sources[version], paths[version]))
            write_results(measured)
    write_section(PAGE, "plain_train", write_page(measured))


def read_results() -> list[Measurement]:
    """What was measured before."""
    return [Measurement(**one) for one in json.loads(RESULTS.read_text())["runs"]] if RESULTS.exists() else []


def write_results(measured: list[Measurement]) -> None:
    """Keep what was measured, with the machine."""
    document = {"machine": machine(), "runs": [asdict(one) for one in measured]}
    RESULTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def extract_sources(scratch: Path) -> Path:
    """The sources of version 0.1, from the repository's history."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", OLD_COMMIT, "src"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(scratch)], input=archive, check=True)
    return scratch / "src"


def write_small_table(scratch: Path) -> tuple[str, ...]:
    """The arguments to train on a few rows: unmeasured, so that no version compiles its code while it is measured."""
    path = scratch / "small.csv"
    rows = [f"{i * 37 % 101},{'abc'[i % 3]},{'yes' if i * 37 % 101 + i % 29 > 60 else 'no'}" for i in range(150)]
    path.write_text("\n".join(["number,letter,label", *rows]) + "\n")
    return ("--csv", str(path), "--label", "label")


@dataclass(frozen=True)
class Training:
    """What a training printed, and the processor seconds of all its processes."""

    printed: dict[str, Any]
    seconds: float


def run_training(path: Path, arguments: tuple[str, ...]) -> Training:
    """Train once by the sources in a path, in a process of its own with an empty home."""
    with tempfile.TemporaryDirectory(prefix="plain-train-home-") as home:
        environment = {**os.environ, "PYTHONPATH": str(path), "EPIC22_HOME": home}
        began = count_seconds()
        command = [sys.executable, "-c", "from epic22.cli.main import run; run()", "train", *arguments, "--json"]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return Training(json.loads(done.stdout), count_seconds() - began)


def measure(table: Table, version: str, source: str, path: Path) -> Measurement:
    """A training on a table."""
    load, done = os.getloadavg()[0], run_training(path, table.arguments)
    champion, verdicts = done.printed["leaderboard"][0], done.printed["verdicts"]
    score = champion["metrics"][verdicts[0]["metric"]]["value"]
    words = {one["against"]: describe(one) for one in verdicts}
    found = Measurement(table.name, version, source, round(done.seconds, 2), champion["family"], score, words, load)
    sys.stderr.write(f"{table.name}, {version}: {found.seconds:.1f} s of processor, load {load:.1f}, {words}\n")
    return found


def count_seconds() -> float:
    """Processor seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def describe(verdict: dict[str, Any]) -> str:
    """A verdict in words that both versions know."""
    if not verdict["certain"]:
        return "can't tell"
    return "certainly better" if verdict["difference"] > 0 else "certainly worse"


def write_page(measured: list[Measurement]) -> str:
    """The section of the page."""
    lines = [
        "## A plain training\n",
        "Written by `benchmarks/plain_train.py`: processor seconds (user and system, all processes) of `epic22 train --csv …",
        "--label …` with an empty home, one thread, by version 0.1 (the last commit before 0.2) and now, with the same families",
        "and libraries, one after the other or side by side on one machine. Below the table: each version's verdicts on its",
        "champion.\n",
        "| table | version 0.1, s | now, s | share | bar | |",
        "|---|---|---|---|---|---|",
    ]
    notes = []
    for table in TABLES:
        both = {v: [one for one in measured if one.table == table.name and one.version == v] for v in (OLD, NOW)}
        if not all(both.values()):
            continue
        old, now = (statistics.median(one.seconds for one in both[v]) for v in (OLD, NOW))
        met = "met" if now <= MAX_SHARE * old else "missed"
        lines.append(f"| {table.name} | {old:.1f} | {now:.1f} | {now / old:.2f} | {MAX_SHARE} | {met} |")
        words = {v: f"{both[v][0].champion} ({both[v][0].score:.4g}): {_list_verdicts(both[v][0])}" for v in (OLD, NOW)}
        same = "the same" if both[OLD][0].verdicts == both[NOW][0].verdicts else "not the same"
        notes.append(f"* {table.name}: version 0.1 {words[OLD]}; now {words[NOW]}; {same}.")
    loads = [one.load for one in measured]
    counts = {sum(one.table == table.name and one.version == v for one in measured) for table in TABLES for v in (OLD, NOW)}
    load = f"load {min(loads):.1f} to {max(loads):.1f}"
    source = ", ".join(sorted({one.source for one in measured} - {OLD_COMMIT}))
    ending = f"Machine: {machine()}, {load}; runs of each: {min(counts)}. Source {source}."
    return "\n".join([*lines, "", *notes, "", ending])


def _list_verdicts(one: Measurement) -> str:
    return ", ".join(f"{words} against {against}" for against, words in one.verdicts.items())


if __name__ == "__main__":
    main()
