"""A panel's training as one JSON object, of the same shape as a table's."""

from typing import Any

import numpy as np

from epic22.core.evaluation.adaptive import Adapted
from epic22.core.evaluation.forecast_scores import ForecastScore, winkler
from epic22.core.history import Array
from epic22.services.forecast import PanelEvaluation, PanelRun
from epic22.services.numbers import number
from epic22.services.results import verdict_json


def panel_run_json(run: PanelRun) -> dict[str, Any]:
    """Task, versions, origins, leaderboard by horizon and pooled, champion, verdicts, coverage by year, weights, notes."""
    return {
        "task": run.task.name,
        "data_version": run.data_version.id,
        "model_hash": run.version.model_hash,
        "folds": plan_json(run),
        "audit": [],
        "leaderboard": [entry for evaluation in run.leaderboard for entry in _entries(run, evaluation)],
        "champion": {
            "family": run.version.family,
            "version": run.version.version,
            "status": run.version.status,
            "because": run.chosen_because,
        },
        "verdicts": [verdict_json(verdict) for verdict in run.verdicts],
        "intervals": intervals_json(run),
        "weights": {name: [float(w) for w in run.weights[:, i]] for i, name in enumerate((*run.members, "naive"))},
        "notes": list(run.notes),
        "warnings": [],
    }


def plan_json(run: PanelRun) -> dict[str, Any]:
    """The origins, as folds are told."""
    frequency, plan = run.frequency, run.plan
    return {
        "kind": "rolling_origin",
        "n": len(plan.test),
        "repeats": 1,
        "gap": 0.0,
        "earlier_origins": len(plan.earlier),
        "first_test_origin": frequency.label(int(plan.test[0])),
        "last_test_origin": frequency.label(int(plan.test[-1])),
        "horizon": plan.horizon,
        "frequency": frequency.name,
        "season": run.season,
        "why": "each origin sees what was over by then; the last judge what the earlier ones chose and calibrated",
    }


def _entries(run: PanelRun, evaluation: PanelEvaluation) -> list[dict[str, Any]]:
    """One entry for the pooled figure, one a horizon."""
    horizons = ["all", *range(1, run.plan.horizon + 1)]
    return [
        {
            "family": evaluation.family,
            "target": run.task.target.name,
            "horizon": horizon,
            "metrics": {s.metric: _score(s) for s in evaluation.scores if s.horizon == horizon},
            "fit_seconds": number(evaluation.forecasts.fit_seconds),
            "row_ms": number(evaluation.forecasts.row_ms),
        }
        for horizon in horizons
    ]


def _score(score: ForecastScore) -> dict[str, float | None]:
    return {
        "value": number(score.value),
        "low": number(score.low),
        "high": number(score.high),
        "effective_blocks": round(score.blocks, 2),
    }


def intervals_json(run: PanelRun) -> dict[str, Any]:
    """Coverage and interval score of the adapted interval, of the same calibrated once, and of each family's own, by year."""
    return {
        "nominal": 80.0,
        "years": [int(y) for y in np.unique(years(run))],
        "by_origin": [{"origin": name, "coverage": number(share)} for name, share in coverage_by_origin(run, run.adapted)],
        "by_group": [
            {"group": name, "series": count, "coverage": number(share)} for name, count, share in coverage_by_group(run)
        ],
        "kinds": [
            {
                "kind": kind,
                "coverage": number(100 * float(np.nanmean(inside))),
                "coverage_by_year": by_year,
                "mean_distance": number(float(np.mean(np.abs(np.array(by_year) - 80.0)))),
                "winkler": number(winkler),
            }
            for kind, inside, by_year, winkler in interval_kinds(run)
        ],
    }


GROUPS = ("calm", "usual", "lively")
"""Thirds of the series by their naive error relative to their level, from their own past."""


def hits(run: PanelRun, quantiles: Array) -> Array:
    """1 where the target of a test row lies in the 80 % interval, else 0, (n, H); NaN where there is no target."""
    targets = run.rows.Y
    inside = (targets >= quantiles[:, :, 0]) & (targets <= quantiles[:, :, -1])
    return np.where(np.isnan(targets), np.nan, inside)


def adapted_hits(run: PanelRun, adapted: Adapted) -> Array:
    """`hits` of the champion's medians with these half-widths."""
    return hits(run, adapted.quantiles(run.champion.forecasts.median)[run.test])


def coverage_by_origin(run: PanelRun, adapted: Adapted) -> list[tuple[str, float]]:
    """Coverage of the champion's interval with these half-widths in per cent, by test origin."""
    inside = adapted_hits(run, adapted)
    shares = [100 * float(np.nanmean(inside[run.rows.place == i])) for i in range(len(run.plan.test))]
    return [(run.frequency.label(int(origin)), share) for origin, share in zip(run.plan.test, shares, strict=True)]


def coverage_by_group(run: PanelRun) -> list[tuple[str, int, float]]:
    """Group of series, how many they are, and the coverage of the champion's interval in per cent."""
    names, code = np.unique(run.examples.entity[run.test].astype(str), return_inverse=True)
    relative = run.rows.scale / np.maximum(np.abs(run.rows.last), 1e-9)
    liveliness = np.bincount(code, relative, minlength=len(names)) / np.bincount(code, minlength=len(names))
    third = np.minimum(np.argsort(np.argsort(liveliness, kind="stable"), kind="stable") * 3 // max(len(names), 1), 2)
    inside = adapted_hits(run, run.adapted)
    present = [g for g in range(3) if (third == g).any()]
    return [(GROUPS[g], int((third == g).sum()), 100 * float(np.nanmean(inside[third[code] == g]))) for g in present]


def years(run: PanelRun) -> Array:
    """The calendar year of each test row's origin, (n,)."""
    return np.array([moment.year for moment in run.frequency.starts(run.examples.origin[run.test])])


def interval_kinds(run: PanelRun) -> list[tuple[str, Any, list[float], float]]:
    """For each kind of interval: name, hits (n, H), coverage in per cent by year of origin, interval score in naive errors."""
    kinds = [
        (f"{run.champion.family}, adaptive", run.adapted.quantiles(run.champion.forecasts.median)[run.test]),
        (f"{run.champion.family}, calibrated once", run.static.quantiles(run.champion.forecasts.median)[run.test]),
    ]
    kinds += [(f"{e.family}, own", e.forecasts.quantiles[run.test]) for e in run.leaderboard if e.family != run.champion.family]
    of_year, found = years(run), []
    for kind, quantiles in kinds:
        inside = hits(run, quantiles)
        by_year = [100 * float(np.nanmean(inside[of_year == year])) for year in np.unique(of_year)]
        found.append((kind, inside, by_year, float(np.nanmean(winkler(run.rows, quantiles)))))
    return found
