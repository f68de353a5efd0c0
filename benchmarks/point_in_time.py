"""Maintenance inputs at 100 weekly cutoffs, ours against DuckDB (`point_in_time.sql`): time, peak memory, and equal rows.

`python benchmarks/point_in_time.py [--readings 10000000]` generates the tables, runs each side in a fresh process from the
Parquet files to a Parquet file of inputs, compares them, and writes benchmarks/results/point_in_time.json. Exit code 1 where a
figure differs, ours takes more than twice as long, or more than 4 GB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from evidence import ROOT, machine

from epic22.core.data.point_in_time import Table, Tables
from epic22.core.task import Column

RESULT = ROOT / "benchmarks" / "results" / "point_in_time.json"
QUERY = ROOT / "benchmarks" / "point_in_time.sql"
SENSORS = ("temperature", "vibration", "pressure")
SENSOR_DAYS = (7, 30, 90)
FIGURES = ("count", "mean", "sd", "slope")
ORDER_KINDS = ("corrective", "preventive", "inspection")
ORDER_DAYS = (30, 90, 365)
START = datetime(2022, 1, 1)
DAYS = 3 * 365
MOST_TIMES = 2.0
MOST_GB = 4.0
TOLERANCE = 1e-6


def generate(folder: Path, readings: int, seed: int = 0) -> dict[str, int]:
    """Write readings, orders and at (every equipment at every cutoff) to Parquet; 3 % of the readings known up to 5 days late."""
    rng = np.random.default_rng(seed)
    equipment = max(readings * 12_000 // 10_000_000, 10)
    names = pl.Series("equipment_id", [f"equipment-{i:06d}" for i in range(equipment)])
    _readings(rng, names, readings).write_parquet(folder / "readings.parquet")
    orders = _orders(rng, names, readings // 50)
    orders.write_parquet(folder / "orders.parquet")
    cutoffs = pl.DataFrame({"cutoff": [START + timedelta(days=DAYS - 7 * i) for i in reversed(range(100))]})
    at = cutoffs.join(names.to_frame(), how="cross").with_row_index("row").select("row", "equipment_id", "cutoff")
    at.write_parquet(folder / "asked.parquet")
    return {"readings": readings, "orders": orders.height, "equipment": equipment, "cutoffs": 100, "rows": at.height}


def _times(rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    return np.datetime64(START, "us") + np.sort(rng.integers(0, DAYS * 86_400, n)).astype("timedelta64[s]").astype("m8[us]")


def _readings(rng: np.random.Generator, names: pl.Series, n: int) -> pl.DataFrame:
    measured = _times(rng, n)
    late = np.where(rng.random(n) < 0.03, rng.integers(0, 5 * 86_400, n), 0).astype("timedelta64[s]")
    frame = {
        "equipment_id": names.gather(rng.integers(0, len(names), n)),
        "measured_at": measured,
        "kind": pl.Series(SENSORS).gather(rng.integers(0, len(SENSORS), n)),
        "value": rng.normal(20, 5, n),
        "known_at": measured + late,
    }
    return pl.DataFrame(frame).unique(["equipment_id", "kind", "measured_at"], keep="first", maintain_order=True)


def _orders(rng: np.random.Generator, names: pl.Series, n: int) -> pl.DataFrame:
    opened = _times(rng, n)
    done = opened + rng.integers(3600, 30 * 86_400, n).astype("timedelta64[s]")
    frame = pl.DataFrame(
        {
            "work_order_id": [f"order-{i}" for i in range(n)],
            "equipment_id": names.gather(rng.integers(0, len(names), n)),
            "kind": pl.Series(ORDER_KINDS).gather(rng.integers(0, len(ORDER_KINDS), n)),
            "opened_at": opened,
            "completed_at": done,
            "cost": np.round(rng.gamma(2, 100, n), 2),
            "known_at": opened,
        }
    )
    finished = pl.col("completed_at") <= START + timedelta(days=DAYS)
    return frame.with_columns(pl.when(finished).then(name).alias(name) for name in ("completed_at", "cost"))


def ours(folder: Path) -> None:
    """The inputs by `AsOfView`, written to ours.parquet."""
    hidden = (Column("completed_at", "time", known_when="completed_at"), Column("cost", "float", known_when="completed_at"))
    readings, orders = (pl.read_parquet(folder / f"{name}.parquet") for name in ("readings", "orders"))
    tables = {
        "readings": Table("readings", readings, ("equipment_id", "kind", "measured_at"), "equipment_id", (), "measured_at"),
        "orders": Table("orders", orders, "work_order_id", "equipment_id", hidden, "opened_at"),
    }
    at = pl.read_parquet(folder / "asked.parquet")
    known = Tables(tables, START + timedelta(days=DAYS)).as_of(at.rename({"equipment_id": "entity"}))
    columns = {"row": at["row"]}
    for kind in SENSORS:
        for days in SENSOR_DAYS:
            found = known.summary("readings", "value", timedelta(days=days), pl.col("kind") == kind)
            columns |= {f"{kind}_{figure}_{days}": found[figure] for figure in FIGURES}
    for kind in ORDER_KINDS:
        for days in ORDER_DAYS:
            of_kind, span = pl.col("kind") == kind, timedelta(days=days)
            columns[f"{kind}_count_{days}"] = known.count("orders", span, of_kind)
            columns[f"{kind}_cost_{days}"] = known.summary("orders", "cost", span, of_kind)["total"]
    columns["days_since_preventive"] = known.days_since("orders", pl.col("kind") == "preventive")
    pl.DataFrame(columns).write_parquet(folder / "ours.parquet")


def duck(folder: Path) -> None:
    """The inputs by the hand-written query, written to duck.parquet."""
    link = duckdb.connect()
    for name in ("readings", "orders", "asked"):
        link.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{folder / name}.parquet')")
    link.execute(f"SET temp_directory = '{folder}'")
    link.execute(f"COPY ({query()}) TO '{folder / 'duck.parquet'}' (FORMAT parquet)")


def query() -> str:
    """The committed query, with its repetitive columns written out by kind and days."""
    wide = [
        f"max({figure}_{days}) FILTER (kind = '{kind}') AS {kind}_{figure}_{days}"
        for kind in SENSORS
        for days in SENSOR_DAYS
        for figure in FIGURES
    ]
    visits = [
        part.format(kind=kind, inside=f"o.kind = '{kind}' AND o.opened_at > a.cutoff - INTERVAL {days} DAY", days=days)
        for kind in ORDER_KINDS
        for days in ORDER_DAYS
        for part in (
            "count(*) FILTER ({inside}) AS {kind}_count_{days}",
            "sum(o.cost) FILTER ({inside} AND o.completed_at <= a.cutoff) AS {kind}_cost_{days}",
        )
    ]
    return QUERY.read_text().partition("\n\n")[2].format(wide=",\n    ".join(wide), visits=",\n    ".join(visits))


def compared(folder: Path) -> tuple[int, float]:
    """How many columns agree in every row, and the largest relative difference. Raises AssertionError where one differs."""
    mine, theirs = (pl.read_parquet(folder / f"{name}.parquet").sort("row") for name in ("ours", "duck"))
    assert set(mine.columns) == set(theirs.columns), set(mine.columns) ^ set(theirs.columns)
    assert mine.height == theirs.height
    worst = 0.0
    for name in mine.columns:
        a, b = (frame[name].cast(pl.Float64) for frame in (mine, theirs))
        # A count over nothing is 0 here and null behind the query's outer join.
        a, b = (s.fill_null(0.0) if "_count_" in name else s.fill_nan(None) for s in (a, b))
        assert a.is_null().equals(b.is_null()), f"{name}: {a.null_count()} nulls here, {b.null_count()} there"
        apart = ((a - b).abs() / pl.Series(np.maximum(b.abs().fill_null(0.0).to_numpy(), 1.0))).max()
        worst = max(worst, float(str(apart or 0.0)))
        assert worst <= TOLERANCE, f"{name}: differs by {worst:g}"
    return len(mine.columns), worst


def timed(side: str, folder: Path) -> dict[str, float]:
    """Seconds and peak memory of one side in a fresh process."""
    answer = subprocess.run(
        [sys.executable, __file__, "--side", side, "--folder", str(folder)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def side(name: str, folder: Path) -> None:
    """Run one side and print its figures as JSON."""
    began = time.perf_counter()
    {"ours": ours, "duck": duck}[name](folder)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": round(seconds, 2), "peak_gb": round(peak / 1e9, 2)}))


def main() -> int:
    """Generate, run both sides, compare, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--note", default="", help="stored with the result, as what else the machine did")
    parser.add_argument("--side", choices=("ours", "duck"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.side:
        side(given.side, given.folder)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = generate(folder, given.readings)
        sides = {one: timed(one, folder) for one in ("duck", "ours")}
        columns, worst = compared(folder)
    ratio = sides["ours"]["seconds"] / sides["duck"]["seconds"]
    result = {
        "machine": machine(),
        "note": given.note,
        **sizes,
        "columns": columns,
        "largest difference": worst,
        "duckdb": {"version": duckdb.__version__, **sides["duck"]},
        "ours": sides["ours"],
        "times duckdb": round(ratio, 2),
    }
    print(json.dumps(result, indent=1))
    if given.readings == parser.get_default("readings"):
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return int(ratio > MOST_TIMES or sides["ours"]["peak_gb"] > MOST_GB)


if __name__ == "__main__":
    sys.exit(main())
