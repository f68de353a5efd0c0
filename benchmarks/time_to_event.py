"""A hazard against the plain model of two classes, on the same test rows of simulated portfolios.

    python benchmarks/time_to_event.py [--size small] [--seeds 0 1]

At the horizon that decides, average precision weighted by censoring; the plain model learns as it does alone: from rows whose
whole horizon was over when the test part began. Results are kept in benchmarks/results/time_to_event.json.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from epic22.core.data.assignment import Assignment
from epic22.core.data.canonical import tables_of
from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan, SplitRequest, begins, plan_folds
from epic22.core.evaluation.compare import Verdict, compare
from epic22.core.evaluation.crossval import Evaluation, FoldResponse, cross_validate, fit_family
from epic22.core.evaluation.survival import place_of, status
from epic22.core.evaluation.yardsticks import evaluation_of, incumbent_evaluation
from epic22.core.lineage import DataVersion
from epic22.core.models.base import response_of
from epic22.core.models.catalog import family_named
from epic22.core.task import Task
from epic22.features.catalog import feature_named
from epic22.services.hazard_worth import assess_hazard
from epic22.services.train import against_truth
from epic22.simulator.portfolio import Portfolio, Size, simulate, truth_of

RESULTS = Path(__file__).resolve().parent / "results" / "time_to_event.json"
QUICK = Size(
    "quick", properties=8, metros=2, zips=3, units=160, reading_days=6, years_of_ledger=5, years_of_burn_in=1, replicates=5
)
"""160 units: minutes, where `small` takes an hour on busy cores."""

PAIRS = (("churn_hazard", "tenant_churn"), ("maintenance_hazard", "predictive_maintenance"))


def plain_evaluation(hazard: Task, plain: Task, examples: Examples, plan: FoldPlan, name: str, threads: int) -> Evaluation:
    """The plain task's family on the hazard's test rows; it answers at the deciding horizon alone."""
    place, parts = place_of(hazard.target), []
    horizon = hazard.target.horizons[place]
    waiting = replace(plan, gap=horizon)
    for fold in plan.folds:
        known = examples.as_known(begins(examples, fold))
        assert known.followed is not None
        two = replace(known, Y=status(examples.Y, horizon)[0][:, None], followed=None)
        over = fold.train[known.followed[fold.train] >= horizon]
        fitted = fit_family(family_named(name), plain, two, waiting, over, 0, threads)
        response = np.full((len(fold.test), len(hazard.target.horizons)), np.nan)
        X = fitted.preprocessor.transform(examples.X[fold.test])
        response[:, place] = response_of(fitted.estimator, X, "binary")
        parts.append(FoldResponse(fold, response))
    return evaluation_of(f"plain {name}", hazard, examples, plan, tuple(parts), 0)


def outcome(portfolio: Portfolio, names: tuple[str, str], threads: int) -> dict[str, Any]:
    """Scores of both, their paired differences, and the hazard's calibration by horizon."""
    feature = feature_named(names[0])
    assigned = feature.assign(feature.task, tables_of(portfolio.tables, portfolio.end), DataVersion("v0", ()))
    assert isinstance(assigned, Assignment)
    task, plain, examples = assigned.task, feature_named(names[1]).task, assigned.examples()
    plan = plan_folds(examples, "hazard", SplitRequest())
    hazards = [cross_validate(task, examples, plan, family_named(name), 0, threads) for name in task.families]
    two = [plain_evaluation(task, plain, examples, plan, name, threads) for name in ("linear", "boosting")]
    rule = incumbent_evaluation(task, examples, plan, 0)
    metric = task.target.metric
    champion = max(hazards, key=lambda e: e.score(metric.name).value)
    ceiling, _ = against_truth(task, examples, plan, champion, truth_of(portfolio, names[0]), 0)
    board = (*hazards, *([] if rule is None else [rule]))
    worth = assess_hazard(task, examples, plan, champion, board, ceiling, 0)
    shown = (*board, *two, *([] if ceiling is None else [ceiling]))
    verdicts = [compare(champion, other, metric, examples, plan, "hazard") for other in shown if other is not champion]
    return {
        "rows": len(examples),
        "test_rows": int(sum(len(fold.test) for fold in plan.folds)),
        "champion": champion.family,
        "scores": {e.family: {s.metric: _plain(s.value) for s in e.scores} for e in shown},
        "fit_seconds": {e.family: round(e.fit_seconds, 2) for e in hazards},
        "differences": {v.against: _interval(v) for v in verdicts},
        "calibration": worth.calibration.kind,
        "horizons": [
            {n: getattr(h, n) for n in ("horizon", "expected", "observed", "before", "error", "floor")} for h in worth.by_horizon
        ],
        "riskiest_fifth": {"predicted": worth.curves[-1].predicted, "observed": [_plain(v) for v in worth.curves[-1].observed]},
    }


def _interval(verdict: Verdict) -> list[float | None]:
    return [_plain(v) for v in (verdict.difference, verdict.low, verdict.high)]


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def main() -> None:
    """Run what is asked, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", default="quick")
    asked = parser.parse_args()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    held: dict[str, Any] = {"machine": machine, "size": asked.size, "outcomes": {}}
    for seed in asked.seeds:
        portfolio = simulate(QUICK if asked.size == "quick" else asked.size, seed)
        for names in PAIRS:
            began = time.perf_counter()
            held["outcomes"][f"{names[0]} {seed}"] = outcome(portfolio, names, 1)
            print(f"{names[0]}, seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
            RESULTS.write_text(json.dumps(held, indent=1))


if __name__ == "__main__":
    main()
