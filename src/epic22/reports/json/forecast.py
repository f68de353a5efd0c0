"""A panel's training as one JSON object, of the same shape as a table's."""

from typing import Any

import numpy as np

from epic22.core.evaluation.adaptive_conformal import AdaptedIntervals
from epic22.core.evaluation.forecast_metrics import ForecastScore, compute_winkler
from epic22.core.time_series import Array
from epic22.reports.json.numbers import finite_or_none
from epic22.reports.json.training import verdict_json
from epic22.services.train_panel import ForecastEvaluation, ForecastRun


def forecast_run_json(run: ForecastRun) -> dict[str, Any]:
    """Task, versions, origins, leaderboard by horizon and pooled, champion, verdicts, coverage by year, weights, notes."""
    return {
        "task": run.task.name,
        "data_version": run.data_version.id,
        "model_hash": run.version.model_hash,
        "folds": origins_json(run),
        "audit": [],
        "leaderboard": [entry for evaluation in run.leaderboard for entry in _evaluation_entries(run, evaluation)],
        "champion": {
            "family": run.version.family,
            "version": run.version.version,
            "status": run.version.status,
            "because": run.selection_reason,
        },
        "verdicts": [verdict_json(verdict) for verdict in run.verdicts],
        "intervals": intervals_json(run),
        "weights": {name: [float(w) for w in run.weights[:, i]] for i, name in enumerate((*run.members, "naive"))},
        "notes": list(run.notes),
        "warnings": [],
    }


def origins_json(run: ForecastRun) -> dict[str, Any]:
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


def _evaluation_entries(run: ForecastRun, evaluation: ForecastEvaluation) -> list[dict[str, Any]]:
    """One entry for the pooled figure, one a horizon."""
    horizons = ["all", *range(1, run.plan.horizon + 1)]
    return [
        {
            "family": evaluation.family,
            "target": run.task.target.name,
            "horizon": horizon,
            "metrics": {s.metric: _score_json(s) for s in evaluation.scores if s.horizon == horizon},
            "fit_seconds": finite_or_none(evaluation.forecasts.fit_seconds),
            "row_ms": finite_or_none(evaluation.forecasts.row_ms),
        }
        for horizon in horizons
    ]


def _score_json(score: ForecastScore) -> dict[str, float | None]:
    return {
        "value": finite_or_none(score.value),
        "low": finite_or_none(score.low),
        "high": finite_or_none(score.high),
        "effective_blocks": round(score.blocks, 2),
    }


def intervals_json(run: ForecastRun) -> dict[str, Any]:
    """Coverage and interval score of the adapted interval, of the same calibrated once, and of each family's own, by year."""
    return {
        "nominal": 80.0,
        "years": [int(y) for y in np.unique(test_years(run))],
        "by_origin": [
            {"origin": name, "coverage": finite_or_none(share)} for name, share in coverage_by_origin(run, run.adapted)
        ],
        "by_group": [
            {"group": name, "series": count, "coverage": finite_or_none(share)} for name, count, share in coverage_by_group(run)
        ],
        "kinds": [
            {
                "kind": kind,
                "coverage": finite_or_none(100 * float(np.nanmean(inside))),
                "coverage_by_year": by_year,
                "mean_distance": finite_or_none(float(np.mean(np.abs(np.array(by_year) - 80.0)))),
                "winkler": finite_or_none(winkler),
            }
            for kind, inside, by_year, winkler in compare_interval_kinds(run)
        ],
    }


GROUPS = ("calm", "usual", "lively")
"""Thirds of the series by their naive error relative to their level, from their own past."""


def interval_hits(run: ForecastRun, quantiles: Array) -> Array:
    """1 where the target of a test row lies in the 80 % interval, else 0, (n, H); NaN where there is no target."""
    targets = run.rows.Y
    inside = (targets >= quantiles[:, :, 0]) & (targets <= quantiles[:, :, -1])
    return np.where(np.isnan(targets), np.nan, inside)


def champion_hits(run: ForecastRun, adapted: AdaptedIntervals) -> Array:
    """`hits` of the champion's medians with these half-widths."""
    return interval_hits(run, adapted.quantiles(run.champion.forecasts.median)[run.test])


def coverage_by_origin(run: ForecastRun, adapted: AdaptedIntervals) -> list[tuple[str, float]]:
    """Coverage of the champion's interval with these half-widths in per cent, by test origin."""
    inside = champion_hits(run, adapted)
    shares = [100 * float(np.nanmean(inside[run.rows.origin_index == i])) for i in range(len(run.plan.test))]
    return [(run.frequency.label(int(origin)), share) for origin, share in zip(run.plan.test, shares, strict=True)]


def coverage_by_group(run: ForecastRun) -> list[tuple[str, int, float]]:
    """Group of series, how many they are, and the coverage of the champion's interval in per cent."""
    names, code = np.unique(run.examples.entity[run.test].astype(str), return_inverse=True)
    relative = run.rows.scale / np.maximum(np.abs(run.rows.last), 1e-9)
    liveliness = np.bincount(code, relative, minlength=len(names)) / np.bincount(code, minlength=len(names))
    third = np.minimum(np.argsort(np.argsort(liveliness, kind="stable"), kind="stable") * 3 // max(len(names), 1), 2)
    inside = champion_hits(run, run.adapted)
    present = [g for g in range(3) if (third == g).any()]
    return [(GROUPS[g], int((third == g).sum()), 100 * float(np.nanmean(inside[third[code] == g]))) for g in present]


def test_years(run: ForecastRun) -> Array:
    """The calendar year of each test row's origin, (n,)."""
    return np.array([moment.year for moment in run.frequency.starts(run.examples.origin[run.test])])


def compare_interval_kinds(run: ForecastRun) -> list[tuple[str, Any, list[float], float]]:
    """For each kind of interval: name, hits (n, H), coverage in per cent by year of origin, interval score in naive errors."""
    kinds = [
        (f"{run.champion.family}, adaptive", run.adapted.quantiles(run.champion.forecasts.median)[run.test]),
        (f"{run.champion.family}, calibrated once", run.static.quantiles(run.champion.forecasts.median)[run.test]),
    ]
    kinds += [(f"{e.family}, own", e.forecasts.quantiles[run.test]) for e in run.leaderboard if e.family != run.champion.family]
    of_year, results = test_years(run), []
    for kind, quantiles in kinds:
        inside = interval_hits(run, quantiles)
        by_year = [100 * float(np.nanmean(inside[of_year == year])) for year in np.unique(of_year)]
        results.append((kind, inside, by_year, float(np.nanmean(compute_winkler(run.rows, quantiles)))))
    return results
