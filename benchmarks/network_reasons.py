"""Reasons of one row of a network, of three classes: how long they take, and what they leave unexplained.

    OMP_NUM_THREADS=1 python benchmarks/network_reasons.py

Sequences of 30 steps × 5 channels beside a number and a category (of the perceptron all are columns), networks in the size that
their family comes with, ten epochs. An answer has the reasons of its likeliest class, at as many points as their sum needs;
beside them those of all classes, each at every point. Both take turns within one run, in processor time, which other processes
disturb less. Writes benchmarks/results/network_reasons.json and its section of docs/benchmarks.md.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from page import write_section
from stamp import machine

from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.networks.estimator import NetworkEstimator
from epic22.core.models.networks.integrated_gradients import OUTPUTS, POINTS, POINTS_PER_RUN, RULES, TOLERANCE
from epic22.core.task import Array

RESULTS = Path(__file__).resolve().parent / "results" / "network_reasons.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
N_ROWS, N_ASKED, N_STEPS, N_CHANNELS, EPOCHS, BAR_MS = 3000, 100, 30, 5, 10, 5.0
FAMILIES = ("lstm", "gru", "transformer", "cnn", "mlp")


def draw_rows(n: int, seed: int) -> tuple[Array, Array]:
    """A number, a category of three levels and walks of five channels, some missing; and a score that follows from them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2 + N_STEPS * N_CHANNELS)).astype(np.float32)
    X[:, 1] = rng.integers(0, 3, n)
    walks = X[:, 2:].reshape(n, N_STEPS, N_CHANNELS)
    walks += np.cumsum(walks, axis=1) * 0.3
    turns = np.abs(walks[:, -3:, 1]).mean(axis=1) * np.sign(walks[:, -1, 2])
    score = walks[:, -1, 0] - walks[:, -6, 0] + 0.7 * turns + 0.5 * walks[:, :, 3].std(axis=1) + X[:, 0] + (X[:, 1] == 1)
    X[rng.random(X.shape) < 0.03] = np.nan
    return X, np.asarray(score)


def fit_network(name: str) -> NetworkEstimator:
    """A network of three classes, each a third of the rows."""
    X, score = draw_rows(N_ROWS, 0)
    noisy = score + 0.5 * np.random.default_rng(1).logistic(size=N_ROWS)
    steps = tuple(tuple(2 + step * N_CHANNELS + channel for channel in range(N_CHANNELS)) for step in range(N_STEPS))
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    is_category = (False, True, *[False] * (X.shape[1] - 2))
    problem = LearningProblem("multiclass", names, is_category, n_classes=3, steps=steps)
    estimator = get_family(name).build(problem, seed=1, default_epochs=EPOCHS)
    assert isinstance(estimator, NetworkEstimator)
    return estimator.fit(X, np.digitize(noisy, np.quantile(noisy, [1 / 3, 2 / 3])).astype(np.float64))


def take_all_points(estimator: NetworkEstimator, x: Array) -> None:
    """The gradients of every class at every point."""
    session = estimator._reasons.session
    for share in np.eye(3):
        for _ in range(len(RULES[-1].weights) // POINTS_PER_RUN + 1):
            session.run(x, **{POINTS: np.full(POINTS_PER_RUN, 0.5), OUTPUTS: share})


def measure_ms(answer: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of processor time, and the answer."""
    began = time.process_time()
    answered = answer()
    return (time.process_time() - began) * 1000, answered


def measure(name: str) -> dict[str, Any]:
    """A family's figures."""
    estimator, (X, _) = fit_network(name), draw_rows(N_ASKED, 2)
    scores = estimator.decision_function(X)
    shares = np.eye(3)[scores.argmax(axis=1)]
    taken: dict[str, list[float]] = {"score": [], "shown": [], "all": []}
    estimator.explain_outputs(X[:1], shares[:1])
    parts: list[Array] = []
    for i in range(N_ASKED):
        x, share = X[i : i + 1], shares[i : i + 1]
        taken["score"].append(measure_ms(partial(estimator.decision_function, x))[0])
        milliseconds, found = measure_ms(partial(estimator.explain_outputs, x, share))
        taken["shown"].append(milliseconds)
        parts.append(found)
        taken["all"].append(measure_ms(partial(take_all_points, estimator, x))[0])
    values, own = np.concatenate(parts), (scores * shares).sum(axis=1)
    missed, way = np.abs(values.sum(axis=1) - own), np.abs(own - values[:, -1])
    return {
        "family": name,
        "ms": {key: {"median": float(np.median(ms)), "p95": float(np.quantile(ms, 0.95))} for key, ms in taken.items()},
        "ratio": float(np.median(np.array(taken["shown"]) / np.array(taken["all"]))),
        "missed": {"median": float(np.median(missed)), "p90": float(np.quantile(missed, 0.9)), "max": float(missed.max())},
        "median_way": float(np.median(way)),
        "within_tolerance": float((missed <= TOLERANCE * np.maximum(1, way)).mean()),
    }


def render(record: dict[str, Any]) -> str:
    """The page's section."""
    lines = [
        "## Reasons of one row of a network",
        "",
        f"Written by `benchmarks/network_reasons.py`: three classes, {N_STEPS} steps × {N_CHANNELS} channels, {N_ASKED} rows one "
        "after another, one thread, processor time. "
        f"{record['machine']}, load {record['load']:.1f} before, PyTorch {record['torch']}.",
        "",
        "| family | score, ms | reasons of the class that is shown, ms, median (95th percentile) "
        f"| of all classes at all points, ms | ratio | bar {BAR_MS:g} ms "
        f"| left unexplained, log-odds, median / 9 in 10 / largest | within {TOLERANCE:.0%} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in record["families"]:
        score, shown, all_points = (one["ms"][key] for key in ("score", "shown", "all"))
        missed = " / ".join(f"{one['missed'][key]:.4f}" for key in ("median", "p90", "max"))
        verdict = "met" if shown["p95"] <= BAR_MS else "median only" if shown["median"] <= BAR_MS else "missed"
        lines.append(
            f"| {one['family']} | {score['median']:.2f} | {shown['median']:.2f} ({shown['p95']:.2f}) "
            f"| {all_points['median']:.1f} | {one['ratio']:.2f} | {verdict} | {missed} | {one['within_tolerance']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure each family, and write it down."""
    load = os.getloadavg()[0]
    families = []
    for name in FAMILIES:
        families.append(measure(name))
        print(json.dumps(families[-1]))
    record = {"machine": machine(), "load": load, "torch": torch.__version__, "families": families}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    write_section(PAGE, "network_reasons", render(record))


if __name__ == "__main__":
    main()
