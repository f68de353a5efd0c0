"""Tables larger than memory: a million and ten million rows of 30 columns, trained with fixed rounds and depth, a process each.

    nice python benchmarks/external_memory.py

A child process reads the Parquet file in batches, quantises it and boosts on it; its own peak of resident memory is what counts.
Writes benchmarks/results/external_memory.json and the section of docs/benchmarks.md. Ratios are of one run.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb
from page import write_section

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "external_memory.json"
SIZES = (1_000_000, 10_000_000)
NUMBERS, CATEGORIES, BATCH = 25, 5, 250_000
ROUNDS, DEPTH, CAP = 30, 6, 4_000_000_000
BARS = {"peak_gb": 4.0, "boosting_ratio": 1.5}


def write_table(path: Path, rows: int) -> None:
    """Numbers with gaps, categories of 3 to 80 levels, and a label that some of them shape; the same rows for every run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None
    for number in range(rows // BATCH):
        rng = np.random.default_rng([22, number])
        X = rng.standard_normal((BATCH, NUMBERS), dtype=np.float32)
        codes = [rng.integers(0, 3 + 19 * j, BATCH) for j in range(CATEGORIES)]
        score = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * np.sin(3 * X[:, 3]) + 0.7 * (codes[1] % 3 == 0) + rng.logistic(size=BATCH)
        X[rng.random(X.shape, dtype=np.float32) < 0.03] = np.nan
        columns = {f"number_{j}": pa.array(X[:, j].astype(np.float64), from_pandas=True) for j in range(NUMBERS)}
        for j, code in enumerate(codes):
            names = pa.array([f"level {k}" for k in range(3 + 19 * j)])
            columns[f"category_{j}"] = pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), names).cast(pa.string())
        table = pa.table(columns | {"y": pa.array((score > 1).astype(np.int64))})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()


def train(path: Path, on_disk: bool) -> dict[str, Any]:
    """Read, quantise and boost in this process; seconds of each, and the peak of its resident memory."""
    from epic22.core.data.batches import open_batches
    from epic22.core.evaluation.crossval_large import TableTrainingPart, TrainingResources, build_matrix, select_sample
    from epic22.core.models.trees.boosted import TREE_SHAPES
    from epic22.core.models.xgboost_batches import fit_matrix
    from epic22.spec.large_file import load_batched_task_data
    from epic22.spec.training_spec import build_spec

    seconds = {}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        began = time.perf_counter()
        assigned = load_batched_task_data(build_spec(csv=path, label="y"), open_batches(path), Path(scratch))
        seconds["reading, auditing, writing float32 rows"] = time.perf_counter() - began
        table = assigned.table
        train = np.ones(len(table), dtype=bool)
        setting = TrainingResources(os.cpu_count() or 1, 0 if on_disk else CAP, Path(scratch))
        began = time.perf_counter()
        fitted = table.fit_preprocessor()
        part = TableTrainingPart(fitted, train)
        sample = select_sample(assigned.task, table, part)
        model, matrix = build_matrix(assigned.task, table, part, sample, setting)
        seconds["quantising"] = time.perf_counter() - began
        began, worked = time.perf_counter(), time.process_time()
        fit_matrix(model, matrix, {**TREE_SHAPES[0], "max_depth": DEPTH}, ROUNDS)
        seconds["boosting"], seconds["boosting, processor"] = time.perf_counter() - began, time.process_time() - worked
        inside = table.sample_rows[:100_000]
        learned = float(np.mean((model.decision_function(sample.X[:100_000]) > 0) == table.y[inside]))
        return {
            "rows": len(table),
            "columns": len(table.columns),
            "quantised": "on disk" if on_disk else "in memory",
            "peak_gb": round(peak_bytes() / 1e9, 3),
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
            "quantising_us_a_row": round(seconds["quantising"] / len(table) * 1e6, 3),
            "boosting_us_a_row": round(seconds["boosting"] / len(table) * 1e6, 3),
            "boosting_cpu_us_a_row": round(seconds["boosting, processor"] / len(table) * 1e6, 3),
            "accuracy_in_sample": round(learned, 4),
        }


def peak_bytes() -> int:
    """The peak of this process's resident memory; elsewhere than on Linux also that of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def child(path: Path, on_disk: bool) -> dict[str, Any]:
    """`train` in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--train", str(path), *(["--on-disk"] if on_disk else [])]
    # A thread that waits must not burn a core that others use, nor count as work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def section(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "## Tables larger than memory",
        "",
        "`python benchmarks/external_memory.py`:",
        f"{ROUNDS} rounds of depth {DEPTH} on 30 columns ({NUMBERS} numbers with gaps, {CATEGORIES} categories) of Parquet, a",
        f"process each, cap {CAP / 1e9:.0f} GB; {found['machine']}. Bars: peak below {BARS['peak_gb']:g} GB, boosting a row",
        f"at ten million rows at most {BARS['boosting_ratio']:g} × that at one million.",
        "",
        "| rows | quantised | peak memory, GB | read and audit, s | quantising, µs a row | boosting, µs a row | of processor |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in found["runs"]:
        read = run["seconds"]["reading, auditing, writing float32 rows"]
        lines.append(
            f"| {run['rows']:,} | {run['quantised']} | {run['peak_gb']:.2f} | {read:.0f} "
            f"| {run['quantising_us_a_row']:.2f} | {run['boosting_us_a_row']:.2f} "
            f"| {run['boosting_cpu_us_a_row']:.2f} |"
        )
    told = f"Boosting a row at {max(SIZES):,} rows ÷ that at {min(SIZES):,}"
    lines += ["", f"{told}: **{found['boosting_ratio']:.2f}** by the clock, {found['boosting_cpu_ratio']:.2f} by processor time."]
    if found["busy"]:
        lines.append("Other work took the cores as the load says: processor time is the fairer ratio.")
    return "\n".join(lines)


def main() -> None:
    """Make both tables, train on each, on the smaller one also with the matrix on disk, write the results."""
    runs, load, cores = list[dict[str, Any]](), os.getloadavg()[0], os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="epic22-bench-", dir=os.environ.get("EPIC22_BENCH_FOLDER")) as folder:
        for rows, on_disk in ((SIZES[1], False), (SIZES[0], False), (SIZES[0], True)):
            path = Path(folder) / f"{rows}.parquet"
            if not path.exists():
                write_table(path, rows)
            runs.append(child(path, on_disk))
            print(json.dumps(runs[-1]), flush=True)
    found = {
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores, "
        f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after",
        "busy": load > cores or os.getloadavg()[0] > 2 * cores,
        "xgboost": xgb.__version__,
        "polars": pl.__version__,
        "rounds": ROUNDS,
        "depth": DEPTH,
        "runs": runs,
        "boosting_ratio": ratio(runs, "boosting_us_a_row"),
        "boosting_cpu_ratio": ratio(runs, "boosting_cpu_us_a_row"),
        "bars": BARS,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_section(ROOT / "docs" / "benchmarks.md", "external_memory", section(found))
    print(json.dumps(found, indent=1))


def ratio(runs: list[dict[str, Any]], what: str) -> float:
    """A figure of the largest table to the mean of the smaller one's, both quantised in memory."""
    means: list[float] = [
        statistics.mean(r[what] for r in runs if r["rows"] == rows and r["quantised"] == "in memory") for rows in SIZES
    ]
    return round(means[1] / means[0], 3)


if __name__ == "__main__":
    if "--train" in sys.argv:
        print(json.dumps(train(Path(sys.argv[sys.argv.index("--train") + 1]), "--on-disk" in sys.argv)))
    else:
        main()
