"""A million rows predicted with their reasons, from Parquet into Parquet: 500 trees of depth six over 40 columns, two threads.

    OMP_NUM_THREADS=1 python benchmarks/batch_predictions.py [--minutes 3] [--only trees]

The rows come as ten files of 100,000, each predicted by `epic22.bootstrap.write_answers`, which `epic22 predict TASK FILE --out`
runs, in a process of its own: values, sets, reasons, receipts in the log, all written. A part that is in
benchmarks/results/batch_predictions.json by the same source is not run again, and no part is begun after so many minutes. Beside
the trees: the ensemble that a search finds, a network, and the trees' values alone, a million rows in one file. Seconds are
of the clock and of the processor, without the start of the process; where others use the cores, the clock says little, and the
processor's seconds say how many rows two free cores answer.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from page import write_section
from single_row import table
from stamp import ROOT, machine, source_stamp

from epic22.bootstrap.answer_export import FileRequest, write_answers
from epic22.bootstrap.components import assemble
from epic22.bootstrap.training import train_file
from epic22.config import Settings
from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, write_bundle
from epic22.core.artifact.row_model import RowModel
from epic22.core.data.preprocess import Preprocessor
from epic22.core.models.base import BaseEstimator
from epic22.core.models.catalog import get_family
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.task import Array, Column
from epic22.spec.training_spec import build_spec

RESULTS = ROOT / "benchmarks" / "results" / "batch_predictions.json"
PAGE = ROOT / "docs" / "benchmarks.md"
HOME = Path(tempfile.gettempdir()) / "epic22-batch-predictions"
"""Models and rows, made once; a process that was stopped goes on with them."""
N_COLUMNS, TREES, DEPTH, THREADS, BAR, SEARCHED_ROWS = 40, 500, 6, 2, 3_000, 3_000
PART_ROWS = {"trees": 100_000, "searched ensemble": 50_000, "network": 20_000, "values alone": 1_000_000}
N_PARTS = {"trees": 10, "searched ensemble": 1, "network": 1, "values alone": 1}
COLUMNS = tuple(Column(f"c{i:02d}", "float", about=f"measure {i}") for i in range(N_COLUMNS))
COSTS = {"miss": 900.0, "false_alarm": 60.0}
PROBLEM = LearningProblem("binary", tuple(column.name for column in COLUMNS), (False,) * N_COLUMNS)


def fit_trees(X: Array, y: Array) -> BaseEstimator:
    """A forest of so many trees."""
    params = {"default_rounds": TREES, "max_depth": DEPTH, "learning_rate": 0.05, "threads": THREADS}
    return get_family("boosting").build(PROBLEM, **params).fit(X, y)


def fit_network(X: Array, y: Array) -> BaseEstimator:
    """The network for rows as it comes, on fewer rows and epochs than it would take: its size counts here, not its skill."""
    return get_family("mlp").build(PROBLEM, epochs=2).fit(X[:4000], y[:4000])


def open_settings() -> Settings:
    """A home of this benchmark's own."""
    return Settings(HOME, threads=THREADS)


def register_fitted(family: str, fit: Callable[[Array, Array], BaseEstimator], task: str) -> None:
    """Register what is fitted to the table as the champion of a task."""
    X, y = table()
    preprocessor = Preprocessor(COLUMNS, {})
    schema = Schema(task, "a benchmark", "overdue", COLUMNS, "binary", ("no", "yes"), 30.0, None)
    bundle = Bundle(schema, family, "proven", "", "0" * 64, 0, preprocessor, fit(X, y), None, costs=COSTS)
    bundle = replace(bundle, model_hash=compute_model_hash(bundle))
    registry = assemble(open_settings()).registry
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "bundle", bundle, build_frame(X[:8]))
        version = registry.save(task, family, bundle.model_hash, "0" * 64, "proven", Path(folder) / "bundle")
    registry.promote(task, version.version, ())


def search_ensemble(task: str) -> None:
    """Register what a search of eight trials finds on 3,000 rows of the table: an ensemble, as many members as it has."""
    X, y = table()
    path = HOME / "searched.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    build_frame(X[:SEARCHED_ROWS]).with_columns(overdue=pl.Series(np.where(y[:SEARCHED_ROWS] > 0, "yes", "no"))).write_csv(path)
    spec = build_spec(csv=path, label="overdue", task=task, trials=8, nested=False, repeats=1, folds=3)
    train_file(assemble(open_settings()), spec)


def build_frame(X: Array) -> pl.DataFrame:
    """Rows as a table."""
    return pl.DataFrame({c.name: X[:, i].astype(np.float64) for i, c in enumerate(COLUMNS)}).fill_nan(None)


MODELS: Mapping[str, Callable[[str], None]] = {
    "trees": partial(register_fitted, "boosting", fit_trees),
    "searched ensemble": search_ensemble,
    "network": partial(register_fitted, "mlp", fit_network),
    "values alone": partial(register_fitted, "boosting", fit_trees),
}
"""What makes each model the champion of a task of its name."""


def prepare_model(name: str) -> None:
    """The champion of a task of that name, registered where it is not."""
    task = name.replace(" ", "_")
    if assemble(open_settings()).registry.find_champion(task) is None:
        MODELS[name](task)


def prepare_rows(name: str, part: int) -> Path:
    """A Parquet file of rows of their own, in row groups of 16,384."""
    path = HOME / "rows" / f"{name}-{part}.parquet"
    if not path.exists():
        rng = np.random.default_rng(1000 + part)
        X = rng.normal(size=(PART_ROWS[name], N_COLUMNS))
        X[rng.random(X.shape) < 0.05] = np.nan
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = build_frame(X)
        frame.write_parquet(path.with_suffix(".new"), row_group_size=16_384)
        frame.head(64).write_parquet(path.with_name(f"{name}-warm.parquet"))
        os.replace(path.with_suffix(".new"), path)
    return path


def measure_part(name: str, part: int) -> dict[str, Any]:
    """Predict one file, in this process: seconds, memory, bytes."""
    components, path = assemble(open_settings()), prepare_rows(name, part)
    out = HOME / f"{name}.answers.parquet"
    warm = HOME / "rows" / f"{name}-warm.parquet"
    with_reasons, task = name != "values alone", name.replace(" ", "_")
    write_answers(components, FileRequest(task, warm, with_reasons=with_reasons), out)
    load, peak_before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, processor_began = time.perf_counter(), time.process_time()
    written = write_answers(components, FileRequest(task, path, with_reasons=with_reasons), out)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor_began
    return {
        "rows": written.answers,
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "load": round(load, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_mb_before": round(peak_before / 1024),
        "answer_mb": round(out.stat().st_size / 1e6, 1),
    }


def read_record() -> dict[str, Any]:
    """What was measured of this source; of another nothing counts."""
    stamp = source_stamp(Path(__file__), asked=(PART_ROWS, N_PARTS, THREADS))
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return record if record.get("source") == stamp else {"source": stamp, "machine": machine(), "parts": {}}


def run(minutes: float, only: str | None) -> None:
    """Measure what is not measured yet, each part in a process of its own."""
    record, began = read_record(), time.monotonic()
    for name in MODELS if only is None else [only]:
        for part in range(N_PARTS[name]):
            key = f"{name}/{part}"
            if key in record["parts"]:
                continue
            if time.monotonic() - began > 60 * minutes:
                print(f"{key} and what follows waits for another run")
                return
            prepare_model(name)
            prepare_rows(name, part)
            done = subprocess.run([sys.executable, __file__, "--part", key], capture_output=True, text=True, check=True)
            record["parts"][key] = json.loads(done.stdout.splitlines()[-1])
            if name == "searched ensemble":
                record["members"] = describe_members(name)
            RESULTS.write_text(json.dumps(record, indent=1) + "\n")
            write_section(PAGE, "batch_predictions", render(record))
            print(key, record["parts"][key], flush=True)


def describe_members(name: str) -> str:
    """How many models of which families an ensemble sums."""
    model = assemble(open_settings()).registry.load(name.replace(" ", "_"))
    assert isinstance(model, RowModel)
    assert isinstance(model.bundle.estimator, Ensemble)
    counts = Counter(member.family for member in model.bundle.estimator.members)
    return "that is " + ", ".join(f"{n} {family}" for family, n in counts.items())


def render(record: Mapping[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Batch predictions: rows a second with reasons",
        "",
        "Written by `benchmarks/batch_predictions.py`: rows of 40 columns from Parquet, answers with reasons and receipts into "
        f"Parquet, {THREADS} threads. {record['machine']}.",
        "",
        "| model | rows | seconds | processor seconds | rows a second by the clock (load) | by two free cores | peak, MB |",
        "|---|---|---|---|---|---|---|",
        *(_line(name, parts) for name in MODELS if (parts := _list_parts(record, name))),
        "",
        f"Trees: {TREES} of depth {DEPTH}. Ensemble: of a search of 8 trials on {SEARCHED_ROWS:,} rows,",
        f"{record.get('members', 'not measured yet')}.",
        "Network: as its family comes. The load is",
        "the machine's when a part began, mostly of other processes. Two free cores answer twice the rows of a processor second,",
        "less what they wait for each other. The peak is of the whole process, most of it libraries; it does not grow with the",
        "file.",
        "",
        _judge(record),
    ]
    return "\n".join(lines)


def _list_parts(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [part for key, part in record["parts"].items() if key.startswith(f"{name}/")]


def _sum(parts: list[dict[str, Any]], key: str) -> float:
    return float(sum(part[key] for part in parts))


def _line(name: str, parts: list[dict[str, Any]]) -> str:
    rows, seconds, processor = (_sum(parts, key) for key in ("rows", "seconds", "processor_seconds"))
    load = _sum(parts, "load") / len(parts)
    return (
        f"| {name} | {rows:,.0f} | {seconds:,.0f} | {processor:,.0f} | {rows / seconds:,.0f} ({load:.1f}) | "
        f"{THREADS * rows / processor:,.0f} | {max(part['peak_mb'] for part in parts):,} |"
    )


def _judge(record: Mapping[str, Any]) -> str:
    parts = _list_parts(record, "trees")
    if not parts:
        return "The trees are not measured yet."
    rate = THREADS * _sum(parts, "rows") / _sum(parts, "processor_seconds")
    clock = _sum(parts, "rows") / _sum(parts, "seconds")
    verdict = "met" if clock >= BAR else "met by the processor's seconds alone" if rate >= BAR else "missed"
    rates = f"{clock:,.0f} by the clock, {rate:,.0f} by two free cores"
    return f"Bar: {BAR:,} rows a second with reasons on two cores: {verdict} ({rates})."


def main() -> None:
    """Measure, or one part for the process that asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--only", choices=tuple(MODELS))
    parser.add_argument("--part")
    given = parser.parse_args()
    if given.part is None:
        run(given.minutes, given.only)
    else:
        name, _, part = given.part.partition("/")
        print(json.dumps(measure_part(name, int(part))))


if __name__ == "__main__":
    main()
