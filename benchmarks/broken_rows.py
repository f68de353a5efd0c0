"""A CSV of one gigabyte of which one row in a hundred is broken: the good rows in, the others in quarantine, in bounded memory.

    python benchmarks/broken_rows.py --scratch FOLDER [--bytes 1000000000]

Sensor readings of `benchmarks/ingest.py` with faults of seven kinds in turn, each known by its line. `epic22 ingest` runs in a
process of its own, whose peak memory is measured; then every line of the quarantine and its reason are compared with what was
broken, and the stored rows with the others. At one gigabyte benchmarks/results/broken_rows.json and the section of
docs/benchmarks.md are written.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ingest as files
import numpy as np
import polars as pl
from page import write_section
from stamp import machine, source_stamp

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "broken_rows.json", ROOT / "docs" / "benchmarks.md"
FULL, MAX_PEAK_BYTES = 10**9, 10**9
ONE_IN, FIRST = 100, 7
"""Row 7 of every hundred is broken."""
FAULTS: Mapping[str, tuple[str, Callable[[dict[str, str]], dict[str, str]]]] = {
    "value is no number": ("value is", lambda row: row | {"value": "n/a"}),
    "quality out of bounds": ("quality is", lambda row: row | {"quality": "7.5"}),
    "unknown equipment": ("equipment_id", lambda row: row | {"equipment_id": "EQ-gone"}),
    "time is none": ("measured_at", lambda row: row | {"measured_at": "soon"}),
    "value is missing": ("value", lambda row: row | {"value": ""}),
    "a field too many": ("7 fields where the header has 6", lambda row: row | {"quality": f"{row['quality']},1"}),
    "a field too few": ("5 fields where the header has 6", lambda row: {k: v for k, v in row.items() if k != "quality"}),
}
"""Faults in turn: what the reason says, and the row with the fault."""


def write_csv(folder: Path, n_bytes: int) -> int:
    """The tables as CSV, the readings at least so large; gives how many rows they are."""
    folder.mkdir(parents=True)
    for name, frame in files.build_small_tables().items():
        frame.write_csv(folder / f"{name}.csv")
    chance, rows = np.random.default_rng(0), 0
    with (folder / "sensor_readings.csv").open("wb") as file:
        while file.tell() < n_bytes:
            frame = files.build_readings(rows, files.BATCH // 2, chance)
            lines = frame.write_csv(include_header=False).splitlines()
            for at in range(FIRST, len(lines), ONE_IN):
                fault = list(FAULTS.values())[(rows + at) // ONE_IN % len(FAULTS)][1]
                lines[at] = ",".join(fault(dict(zip(frame.columns, lines[at].split(","), strict=True))).values())
            if not rows:
                file.write((",".join(frame.columns) + "\n").encode())
            file.write(("\n".join(lines) + "\n").encode())
            rows += frame.height
    return rows


def measure(folder: Path, home: Path) -> dict[str, Any]:
    """The ingest in a process of its own: seconds, peak memory, and what it says."""
    command = [sys.executable, str(Path(__file__).resolve()), "--folder", str(folder)]
    began = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "EPIC22_HOME": str(home)}, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer | {"seconds": round(time.perf_counter() - began, 1)}


def ingest_here(folder: Path) -> None:
    """The command in this process; prints its peak memory."""
    from epic22.cli.main import run

    sys.argv = ["epic22", "ingest", str(folder)]
    try:
        run()
    except SystemExit as stopped:
        if stopped.code:
            raise
    print(json.dumps({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def compare(home: Path, rows: int) -> dict[str, Any]:
    """What is stored and set apart against what was written: rows, and broken lines by fault."""
    from epic22.adapters.lake import Lake

    lake = Lake(home / "lake")
    quarantine = lake.quarantine().select("line", "reason")
    kinds = list(FAULTS)
    broken = pl.DataFrame({"number": range(FIRST, rows, ONE_IN)}, schema={"number": pl.Int64}).with_columns(
        line=pl.col("number") + 2, fault=(pl.col("number") // ONE_IN % len(kinds)).replace_strict(dict(enumerate(kinds)))
    )
    both = broken.join(quarantine, on="line", how="full", coalesce=True)
    by_fault = {
        name: {
            "written": broken.filter(pl.col("fault") == name).height,
            "set_apart": both.filter((pl.col("fault") == name) & pl.col("reason").str.contains(words, literal=True)).height,
        }
        for name, (words, _) in FAULTS.items()
    }
    stored = lake.scan("sensor_readings").select(pl.len()).collect().item()
    return {
        "good_rows": rows - broken.height,
        "stored_rows": stored,
        "broken_rows": broken.height,
        "quarantined_rows": quarantine.height,
        "set_apart_without_fault": both.filter(pl.col("fault").is_null()).height,
        "faults": by_fault,
    }


def describe_results(results: dict[str, Any]) -> str:
    """The section of the page."""
    peak, seconds = results["peak_bytes"] / 1e9, results["seconds"]
    lines = [
        "## A gigabyte with broken rows",
        "",
        f"By `benchmarks/broken_rows.py`: {results['csv_bytes'] / 1e9:.2f} GB of CSV, {results['rows']:,} sensor readings, one "
        f"in a hundred broken. {results['machine']}.",
        "",
        f"`epic22 ingest` takes {seconds:,.0f} s and at most {peak:.2f} GB of memory (bar: 1 GB). Of {results['good_rows']:,} "
        f"good rows {results['stored_rows']:,} are stored; {results['set_apart_without_fault']:,} of them were set apart.",
        "",
        "| fault | broken lines | in quarantine under their line, with that reason |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {one['written']:,} | {one['set_apart']:,} |" for name, one in results["faults"].items()]
    return "\n".join(lines)


def main() -> int:
    """Measure and store; exit code 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--bytes", type=int, default=FULL)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        ingest_here(options.folder)
        return 0
    scratch = options.scratch.resolve()
    folder, home = scratch / f"csv-{options.bytes}", scratch / "home"
    shutil.rmtree(home, ignore_errors=True)
    if not folder.exists():
        write_csv(folder.with_suffix(".part"), options.bytes)
        folder.with_suffix(".part").rename(folder)
    with (folder / "sensor_readings.csv").open("rb") as file:
        rows = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 24), b"")) - 1
    results = {
        "csv_bytes": (folder / "sensor_readings.csv").stat().st_size,
        "rows": rows,
        "machine": f"{machine()}; load {os.getloadavg()[0]:.1f} before the run",
    }
    results |= measure(folder, home) | compare(home, rows)
    results |= {"sources": source_stamp(Path(__file__)), "bars": {"peak_bytes": MAX_PEAK_BYTES}}
    print(json.dumps(results, indent=1))
    if options.bytes == FULL:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_section(PAGE, "broken-rows", describe_results(results))
    is_whole = results["good_rows"] == results["stored_rows"] and results["broken_rows"] == results["quarantined_rows"]
    return 0 if is_whole and results["peak_bytes"] <= MAX_PEAK_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
