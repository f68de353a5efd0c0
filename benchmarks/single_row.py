"""One row in process: score and exact reasons of 500 trees of depth six over 40 columns, one thread, beside XGBoost's own.

    OMP_NUM_THREADS=1 python benchmarks/single_row.py

Writes benchmarks/results/single_row.json and its section of docs/benchmarks.md. Ratios are of one run; both ways answer the same
rows in turn.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from page import write_section

from epic22.core.models.trees.forest import read_booster
from epic22.core.task import Array

RESULTS = Path(__file__).resolve().parent / "results" / "single_row.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
ROWS, COLUMNS, TREES, DEPTH, ASKED = 20_000, 40, 500, 6, 400
BARS = {"score_ms": 0.5, "reasons_ms": 2.0, "difference": 1e-5}


def table() -> tuple[Array, Array]:
    """Numbers with gaps, and a label of two classes that some of them shape."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    clean = np.nan_to_num(X)
    score = clean[:, 0] + clean[:, 1] * clean[:, 2] + 0.5 * np.sin(3 * clean[:, 5]) + rng.normal(size=ROWS)
    return X, (score > 0.5).astype(np.float64)


def milliseconds(answer: Callable[[Array], object], X: Array) -> dict[str, float]:
    """Median and 95th percentile of answering one row after another."""
    taken = []
    for row in range(ASKED):
        one = X[row : row + 1].copy()
        began = time.perf_counter()
        answer(one)
        taken.append((time.perf_counter() - began) * 1000)
    return {"median": round(statistics.median(taken), 4), "p95": round(float(np.quantile(taken, 0.95)), 4)}


def main() -> None:
    """Train once, time both ways, compare every answer."""
    X, y = table()
    booster = xgb.train(
        {"objective": "binary:logistic", "max_depth": DEPTH, "learning_rate": 0.05, "subsample": 0.7, "nthread": 1},
        xgb.QuantileDMatrix(X, y, nthread=1),
        TREES,
    )
    began = time.perf_counter()
    forest = read_booster(booster)
    read = time.perf_counter() - began
    batch = X[:ASKED]
    matrix = xgb.DMatrix(batch, nthread=1)
    raw, reasons = forest.decision_function(batch), forest.shap_values(batch)
    difference = {
        "score": float(np.abs(raw - booster.predict(matrix, output_margin=True)).max()),
        "reasons": float(np.abs(reasons - booster.predict(matrix, pred_contribs=True)).max()),
        "sum of reasons to score": float(np.abs(reasons.sum(axis=1) - raw).max()),
    }
    alone = all(
        (forest.decision_function(batch[i : i + 1])[0] == raw[i])
        and (forest.shap_values(batch[i : i + 1])[0] == reasons[i]).all()
        for i in range(0, ASKED, 20)
    )
    ours = {"score": milliseconds(forest.decision_function, X), "reasons": milliseconds(forest.shap_values, X)}
    theirs = {
        "score": milliseconds(lambda one: booster.inplace_predict(one, predict_type="margin"), X),
        "reasons": milliseconds(lambda one: booster.predict(xgb.DMatrix(one, nthread=1), pred_contribs=True), X),
    }
    found: dict[str, Any] = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "xgboost": xgb.__version__,
        "nodes": len(forest.nodes.feature),
        "seconds to read the booster": round(read, 3),
        "ours, ms": ours,
        "xgboost, ms": theirs,
        "times faster": {name: round(theirs[name]["median"] / ours[name]["median"], 1) for name in ours},
        "largest difference": difference,
        "a row alone has the bits of the batch": alone,
        "bars": BARS,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_section(PAGE, "single_row", told(found))
    print(json.dumps(found, indent=1))


def told(found: Mapping[str, Any]) -> str:
    """The page's section."""
    difference, alone = found["largest difference"], found["a row alone has the bits of the batch"]
    head = f"{TREES} trees of depth {DEPTH} on {COLUMNS} columns, one thread, {ASKED} rows one after another"
    lines = [
        "## One row in process",
        "",
        f"Written by `benchmarks/single_row.py`: {head}.",
        f"{found['machine']}; XGBoost {found['xgboost']}.",
        "",
        "| of one row | ours, ms, median (95th percentile) | XGBoost's own | times faster | bar, ms | |",
        "|---|---|---|---|---|---|",
        *(_line(found, name) for name in found["ours, ms"]),
        "",
        f"Largest difference from XGBoost's own, which sums in float32: {max(difference['score'], difference['reasons']):.1e} "
        f"(bar {BARS['difference']:g}).",
        f"The reasons sum to the score within {difference['sum of reasons to score']:.0e}.",
        f"A row alone has the bits of the batch: {'yes' if alone else 'no'}.",
    ]
    return "\n".join(lines)


def _line(found: Mapping[str, Any], name: str) -> str:
    ours, theirs = (found[whose][name] for whose in ("ours, ms", "xgboost, ms"))
    bar = BARS[f"{name}_ms"]
    taken = " | ".join(f"{one['median']:.3g} ({one['p95']:.3g})" for one in (ours, theirs))
    return f"| {name} | {taken} | {found['times faster'][name]:g} | {bar:g} | {'met' if ours['median'] <= bar else 'missed'} |"


if __name__ == "__main__":
    main()
