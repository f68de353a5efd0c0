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

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.point_in_time import build_tables
from epic22.core.data.split import find_test_start, plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.evaluation.baselines import evaluate_incumbent, evaluate_responses
from epic22.core.evaluation.crossval import Evaluation, evaluate, fit_family, make_candidate
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import Verdict, compare
from epic22.core.evaluation.survival import find_horizon_index, label_at_horizon
from epic22.core.experiment import Experiment
from epic22.core.lineage import DataVersion
from epic22.core.models.base import predict_response
from epic22.core.models.catalog import get_family
from epic22.core.task import Task
from epic22.features.catalog import get_feature
from epic22.services.assess import assess_hazard
from epic22.services.pipelines.rows import compare_with_oracle
from epic22.simulator.portfolio import Portfolio, PortfolioSize, select_truth, simulate

RESULTS = Path(__file__).resolve().parent / "results" / "time_to_event.json"
QUICK = PortfolioSize(
    "quick", properties=8, metros=2, zips=3, units=160, reading_days=6, years_of_ledger=5, years_of_burn_in=1, replicates=5
)
"""160 units: minutes, where `small` takes an hour on busy cores."""

PAIRS = (("churn_hazard", "tenant_churn"), ("maintenance_hazard", "predictive_maintenance"))


def plain_evaluation(hazard: Task, plain: Task, examples: Examples, plan: FoldPlan, name: str, threads: int) -> Evaluation:
    """The plain task's family on the hazard's test rows; it answers at the deciding horizon alone."""
    place, parts = find_horizon_index(hazard.target), []
    horizon = hazard.target.horizons[place]
    waiting = replace(plan, embargo=horizon)
    for fold in plan.folds:
        known = examples.censor_at(find_test_start(examples, fold))
        assert known.follow_up_days is not None
        two = replace(known, Y=label_at_horizon(examples.Y, horizon)[0][:, None], follow_up_days=None)
        over = fold.train[known.follow_up_days[fold.train] >= horizon]
        fitted = fit_family(Experiment(plain, two, waiting, threads=threads), get_family(name), over)
        response = np.full((len(fold.test), len(hazard.target.horizons)), np.nan)
        X = fitted.preprocessor.transform(examples.X[fold.test])
        response[:, place] = predict_response(fitted.estimator, X, "binary", None)
        parts.append(FoldPredictions(fold, response))
    return evaluate_responses(Experiment(hazard, examples, plan), f"plain {name}", tuple(parts))


def outcome(portfolio: Portfolio, names: tuple[str, str], threads: int) -> dict[str, Any]:
    """Scores of both, their paired differences, and the hazard's calibration by horizon."""
    feature = get_feature(names[0])
    assigned = feature.bind(feature.task, build_tables(portfolio.tables, portfolio.end), DataVersion("v0", ()))
    assert isinstance(assigned, TaskData)
    task, plain, examples = assigned.task, get_feature(names[1]).task, assigned.examples()
    plan = plan_folds(examples, "hazard", SplitRequest())
    experiment = Experiment(task, examples, plan, threads=threads)
    hazards = [evaluate(experiment, make_candidate(experiment, get_family(name))) for name in task.families]
    two = [plain_evaluation(task, plain, examples, plan, name, threads) for name in ("linear", "boosting")]
    rule = evaluate_incumbent(Experiment(task, examples, plan))
    metric = task.target.metric
    champion = max(hazards, key=lambda e: e.score(metric.name).value)
    ceiling, _ = compare_with_oracle(Experiment(task, examples, plan), champion, select_truth(portfolio, names[0]))
    board = (*hazards, *([] if rule is None else [rule]))
    worth = assess_hazard(Experiment(task, examples, plan), champion, board, ceiling)
    shown = (*board, *two, *([] if ceiling is None else [ceiling]))
    verdicts = [compare(Experiment(task, examples, plan), champion, other, metric) for other in shown if other is not champion]
    return {
        "rows": len(examples),
        "test_rows": int(sum(len(fold.test) for fold in plan.folds)),
        "champion": champion.family,
        "scores": {e.family: {s.metric: _plain(s.value) for s in e.scores} for e in shown},
        "fit_seconds": {e.family: round(e.fit_seconds, 2) for e in hazards},
        "differences": {v.against: _interval(v) for v in verdicts},
        "calibration": worth.calibration.method,
        "horizons": [
            {n: getattr(h, n) for n in ("horizon", "expected", "observed", "before", "error", "floor")} for h in worth.by_horizon
        ],
        "riskiest_fifth": {
            "predicted": worth.curves[-1].predicted,
            "observed": [_plain(o.value) for o in worth.curves[-1].observed],
        },
    }


def _interval(verdict: Verdict) -> list[float | None]:
    return [_plain(v) for v in (verdict.difference.value, verdict.difference.low, verdict.difference.high)]


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
