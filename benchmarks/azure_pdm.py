"""`make evidence`, the machines: component failures within 24 hours, 7 and 30 days on Microsoft's Azure PdM event tables.

Reads EPIC22_PUBLIC_DATA (default ../shared/data beside the repository) through the committed mapping, trains each horizon forward
in time, and keeps every outcome in benchmarks/results/azure_pdm.json; docs/evidence-azure-pdm.md is written from it. A run is
not repeated while source, mapping and data stay.
"""

import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from azure_pdm_page import LISTED, TOP_SHARE, page

from epic22.adapters.model_store import ModelStore
from epic22.bootstrap import assemble, ingest_folder
from epic22.config import Settings
from epic22.core.data.folds import SplitRequest
from epic22.core.data.point_in_time import Tables
from epic22.core.data.task_data import bind_task
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.lineage import DataVersion
from epic22.core.serialization import to_json
from epic22.core.task import Array, Task
from epic22.core.time_series import DAILY, WEEKLY, Frequency
from epic22.features.predictive_maintenance import DAY, MONTH, WEEK, build_maintenance_task, format_span
from epic22.reports.json import VIEWS
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA") or ROOT.parent / "shared" / "data").resolve() / "maintenance" / "azure_pdm"
MAPPING = ROOT / "docs" / "how-to" / "mappings" / "azure_pdm.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "azure_pdm.json"
PAGE = ROOT / "docs" / "evidence-azure-pdm.md"
WATCHED = ("core", "features", "services")
ERROR_CODES = tuple(f"error{number}" for number in range(1, 6))
RHYTHM = 15 * DAY
"""The planned replacements of a machine are so far apart."""


@dataclass(frozen=True)
class Question:
    """A horizon, asked at every cutoff of a cadence; models learn from every `stride`-th."""

    horizon: timedelta
    cadence: Frequency
    stride: int

    @property
    def name(self) -> str:
        """The horizon in words."""
        return format_span(self.horizon)


QUESTIONS = (
    Question(DAY, DAILY, 3),
    Question(WEEK, WEEKLY, 1),
    Question(MONTH, WEEKLY, 4),
)


def task_of(question: Question) -> Task:
    """The feature's task at that horizon, with the machines' five error codes.

    Failures are recorded from the first error on (replacements from half a year earlier), so cutoffs begin a month after that.
    The components of a machine share its errors and visits: machines are drawn together.
    """
    task = build_maintenance_task(question.horizon, question.cadence, question.stride, ERROR_CODES)
    return replace(
        task,
        start_column=("sensor_readings", "measured_at"),
        warmup=MONTH,
        cluster=lambda known: known.latest("equipment")["property_id"],
    )


def outcome(question: Question, tables: Tables, version: DataVersion, threads: int) -> dict[str, Any]:
    """Train, and tell what is reported."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="epic22-azure-") as aside:
        split = SplitRequest(horizon=question.horizon / DAY, seed=0)
        pipeline = RowPipeline(bind_task(task_of(question), tables, version), split, threads)
        run = train(pipeline, ModelStore(Path(aside)))
    examples, worth = run.examples, run.assessment
    if worth is None:
        raise SystemExit(f"{question.name}: nothing was said of the champion's calibration.")
    return dict(to_json(run, VIEWS)) | {
        "cadence": question.cadence.noun,
        "stride": question.stride,
        "rows": len(examples),
        "positives": int(examples.y.sum()),
        "parts": [
            {"from": str(examples.at[fold.test].min())[:10], "train": len(fold.train), "test": len(fold.test)}
            | {"rate": float(examples.y[fold.test].mean())}
            for fold in run.plan.folds
        ],
        "by_part": {e.family: list(e.score("average_precision").folds) for e in run.leaderboard},
        "lists": {e.family: lists(run, e) for e in run.leaderboard},
        "calibration": {"kind": worth.calibration.method, "error": worth.after.error, "floor": worth.after.floor},
        "seconds": round(time.perf_counter() - began, 1),
    }


def count_top_hits(y: Array, score: Array, k: int) -> float:
    """How many of the k rows with the highest scores failed; at equal scores, the mean over their orders."""
    if k == 0:
        return 0.0
    cut = np.sort(score)[-min(k, len(score))]
    return float(y[score > cut].sum() + (min(k, len(score)) - (score > cut).sum()) * y[score == cut].mean())


def lists(run: RowRun, evaluation: Evaluation) -> dict[str, float]:
    """Of each cutoff's list of ten, the share that failed (and that of a perfect list); of failures, the share in the top 5 %."""
    precision, best, caught, happened = [], [], 0.0, 0.0
    for part in evaluation.fold_predictions:
        y, at = run.examples.y[part.fold.test], run.examples.at[part.fold.test]
        for moment in np.unique(at):
            rows = at == moment
            truth, score = y[rows], part.response[rows]
            precision.append(count_top_hits(truth, score, LISTED) / min(LISTED, len(truth)))
            best.append(count_top_hits(truth, truth, LISTED) / min(LISTED, len(truth)))
            if truth.sum():
                caught += count_top_hits(truth, score, round(TOP_SHARE * len(truth)))
                happened += truth.sum()
    return {"precision": float(np.mean(precision)), "most": float(np.mean(best)), "recall": caught / happened}


def facts(tables: Tables) -> dict[str, int]:
    """What the events look like, by which the figures are to be read."""
    orders, readings = tables.tables["work_orders"].frame, tables.tables["sensor_readings"].frame
    failed = orders.filter(pl.col("kind") == "corrective")
    machine = pl.col("equipment_id").str.replace("-comp.$", "").alias("property_id")
    errors = readings.filter(pl.col("kind") == "error").select(machine, at=pl.col("measured_at")).unique()
    warned = errors.select("property_id", (pl.col("at") + DAY).alias("opened_at"))
    moments = failed.select("property_id", "opened_at").unique()
    of_failures = errors.filter(pl.col("at").dt.hour() == 6)
    before = failed.join(orders.select("equipment_id", last="opened_at"), on="equipment_id").filter(
        pl.col("last") < pl.col("opened_at")
    )
    age = before.group_by("work_order_id").agg((pl.col("opened_at").first() - pl.col("last").max()).alias("age"))["age"]
    return {
        "failures": failed.height,
        "preventive": orders.filter(pl.col("kind") == "preventive").height,
        "moments": moments.height,
        "moments_warned": moments.join(warned, on=["property_id", "opened_at"], how="semi").height,
        "errors": errors.height,
        "errors_at_six": of_failures.height,
        "errors_at_six_of_failures": of_failures.with_columns(opened_at=pl.col("at") + DAY)
        .join(moments, on=["property_id", "opened_at"], how="semi")
        .height,
        "ages": len(age),
        "ages_in_rhythm": int((age.dt.total_seconds() % round(RHYTHM.total_seconds()) == 0).sum()),
    }


def source_stamp() -> str:
    """SHA-256 over data, mapping and the sources that shape the outcome."""
    digest = hashlib.sha256(repr((QUESTIONS, ERROR_CODES)).encode() + MAPPING.read_bytes())
    for path in sorted(DATA.glob("*.csv")):
        digest.update(path.read_bytes())
    for part in WATCHED:
        for path in sorted((ROOT / "src" / "epic22" / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def outcomes() -> dict[str, Any]:
    """The stored outcomes, made where they are absent or something has changed since."""
    stamp = source_stamp()
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if stored.get("source") != stamp:
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        stored = {"source": stamp, "machine": machine, "runs": {}}
    if all(question.name in stored["runs"] for question in QUESTIONS):
        return stored
    with tempfile.TemporaryDirectory(prefix="epic22-azure-") as home:
        threads = os.cpu_count() or 1
        parts = assemble(Settings(Path(home), threads))
        taken = ingest_folder(parts, DATA, mapping=MAPPING)
        version = parts.table_store.resolve_version(None)
        tables = parts.table_store.tables(version.number)
        told = DataVersion(version.id, ())
        stored |= {"data_version": version.id, "apart": sum(taken.quarantined.values()), "facts": facts(tables)}
        for question in QUESTIONS:
            if question.name not in stored["runs"]:
                stored["runs"][question.name] = outcome(question, tables, told, threads)
                print(f"{question.name}: {stored['runs'][question.name]['seconds']:.0f} s", flush=True)
                RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    return stored


def main() -> int:
    """Run what is missing, write the page; says so where the data is absent."""
    if not DATA.is_dir():
        print(f"No public data in {DATA}; set EPIC22_PUBLIC_DATA.")
        return 0
    PAGE.write_text(page(outcomes()))
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
