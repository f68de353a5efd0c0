"""Ten million sensor readings from CSV: ingested and versioned by us, against Polars' own conversion to Parquet.

Both run in fresh processes, one after the other, in one run; peak memory is the process's own. `python benchmarks/ingest.py
--rows 10000000`; the result is written to benchmarks/results/ingest.json only at that size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "ingest.json"
FULL = 10_000_000
EQUIPMENT = 5_000
KINDS = ("temperature", "vibration", "pressure", "power", "energy")
MOST_BYTES, MOST_TIMES = 4 * 2**30, 4.0
BATCH = 1_000_000


def make(folder: Path, rows: int) -> None:
    """Readings of 5,000 machines, every machine and kind once a period, as CSV with ISO times; properties and equipment too."""
    for name, frame in build_small_tables().items():
        frame.write_csv(folder / f"{name}.csv")
    chance = np.random.default_rng(0)
    with (folder / "sensor_readings.csv").open("wb") as file:
        for first in range(0, rows, BATCH):
            build_readings(first, min(BATCH, rows - first), chance).write_csv(file, include_header=first == 0)


def build_small_tables() -> dict[str, pl.DataFrame]:
    """One property with all the machines, by table."""
    begin = "2015-01-01"
    place = {"property_id": "P", "name": "P", "city": "X", "state": "TX", "zip_code": "75001", "property_type": "commercial"}
    properties = pl.DataFrame([place | {"year_built": 1990, "total_units": 1, "known_at": begin}])
    equipment = pl.select(
        equipment_id=pl.format("EQ-{}", pl.int_range(EQUIPMENT)),
        property_id=pl.lit("P"),
        kind=pl.lit("hvac"),
        installed_on=pl.lit(begin),
        replacement_cost=pl.lit("5000.00"),
        known_at=pl.lit(begin),
    )
    return {"properties": properties, "equipment": equipment}


def build_readings(first: int, count: int, chance: np.random.Generator) -> pl.DataFrame:
    """Some of the readings, by their numbers."""
    number = pl.int_range(first, first + count)
    period = number // (EQUIPMENT * len(KINDS))
    at = (pl.lit(datetime(2020, 1, 1)) + pl.duration(minutes=period * 15)).dt.strftime("%Y-%m-%dT%H:%M:%S")
    return pl.select(
        equipment_id=pl.format("EQ-{}", number % EQUIPMENT),
        measured_at=at,
        kind=(number // EQUIPMENT % len(KINDS)).replace_strict(dict(enumerate(KINDS)), return_dtype=pl.String),
        value=pl.lit(pl.Series(chance.gamma(4.0, 5.0, count).round(3))),
        quality=pl.lit(pl.Series(1 - chance.random(count).round(2) / 10)),
        known_at=at,
    )


def convert(folder: Path, home: Path) -> int:
    """Polars alone: CSV with dates parsed to Parquet."""
    lazy = pl.scan_csv(folder / "sensor_readings.csv", try_parse_dates=True)
    lazy.sink_parquet(home / "sensor_readings.parquet")
    return int(pl.scan_parquet(home / "sensor_readings.parquet").select(pl.len()).collect().item())


def ingest(folder: Path, home: Path) -> int:
    """The product: every row checked, hashed, compared and committed as a version."""
    from epic22.bootstrap import assemble, ingest_folder
    from epic22.config import Settings

    done = ingest_folder(assemble(Settings.read({"EPIC22_HOME": str(home)})), folder)
    assert done.version is not None
    return done.version.tables["sensor_readings"].rows


WAYS = {"polars csv to parquet": convert, "epic22 ingest": ingest}


def once(way: str, folder: Path) -> None:
    """One way in this process; prints its figures. Loading the modules is not counted, for either."""
    from epic22.bootstrap import assemble, ingest_folder  # noqa: F401

    with tempfile.TemporaryDirectory(dir=folder.parent) as home:
        began, worked = time.perf_counter(), time.process_time()
        rows = WAYS[way](folder, Path(home))
        seconds = time.perf_counter() - began
        kept = sum(path.stat().st_size for path in Path(home).rglob("*.parquet"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": round(seconds, 2), "cpu_seconds": round(time.process_time() - worked, 2)}
    print(json.dumps({"way": way, "rows": rows} | figures | {"peak_bytes": used.ru_maxrss * 1024, "bytes_on_disk": kept}))


def measure(rows: int, repeats: int) -> dict[str, Any]:
    """Both ways in turn, so that a busy machine hits both alike."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "in"
        folder.mkdir()
        make(folder, rows)
        size = (folder / "sensor_readings.csv").stat().st_size
        runs = [_apart(way, folder) for _ in range(repeats) for way in WAYS]
    best = {way: min(run["seconds"] for run in runs if run["way"] == way) for way in WAYS}
    return {
        "rows": rows,
        "csv_bytes": size,
        "machine": machine(),
        "polars": pl.__version__,
        "runs": runs,
        "times_polars": round(best["epic22 ingest"] / best["polars csv to parquet"], 2),
        "rows_per_second": round(rows / best["epic22 ingest"]),
        "peak_bytes": max(run["peak_bytes"] for run in runs if run["way"] == "epic22 ingest"),
        "bars": {"times_polars_at_most": MOST_TIMES, "peak_bytes_at_most": MOST_BYTES},
    }


def _apart(way: str, folder: Path) -> dict[str, Any]:
    line = [sys.executable, str(Path(__file__).resolve()), "--way", way, "--folder", str(folder)]
    answer = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    run: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    print(run, flush=True)
    return run


def machine() -> str:
    """The machine in words, with what else it had to do."""
    from evidence import machine as described

    return f"{described()}; load {os.getloadavg()[0]:.1f} before the runs"


def main() -> int:
    """Measure and store; exit code 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=FULL)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.way:
        once(asked.way, asked.folder)
        return 0
    found = measure(asked.rows, asked.repeats)
    print(json.dumps(found, indent=1))
    if asked.rows == FULL:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["times_polars"] <= MOST_TIMES and found["peak_bytes"] <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
