"""A training's result as one JSON object, the same for the command line and every other interface."""

from dataclasses import asdict
from typing import Any

from epic22.core.data.folds import FoldPlan
from epic22.core.data.leakage import Suspicion
from epic22.core.evaluation.coverage import Coverage, GroupCoverage
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.power import Power
from epic22.core.evaluation.significance import Verdict
from epic22.core.evaluation.supplementary_tests import TestResult
from epic22.core.selection.feature_selection import ColumnPlan
from epic22.core.selection.search import SearchResult
from epic22.reports.json.comparison import comparison_json
from epic22.reports.json.explanation import explanation_json
from epic22.reports.json.numbers import finite_or_none
from epic22.services.prediction_intervals import PredictionIntervals
from epic22.services.train import TrainingRun


def run_json(run: TrainingRun) -> dict[str, Any]:
    """Task, versions, folds, audit, board, champion, verdicts, explanation, coverage, warnings, notes, columns, formulas."""
    return {
        "task": run.task.name,
        "data_version": run.data_version.id,
        **_loss_json(run),
        "model_hash": run.version.model_hash,
        "folds": plan_json(run.plan),
        "audit": audit_json(run.audit),
        "leaderboard": [_evaluation_json(evaluation) for evaluation in run.leaderboard],
        "champion": {"family": run.version.family, "version": run.version.version, "status": run.version.status},
        "promotion": None
        if run.promotion is None
        else {"promoted": run.promotion.promote, "status": run.promotion.status, "why": run.promotion.why},
        "search": None if run.search_result is None else search_json(run.search_result),
        "verdicts": [verdict_json(verdict) for verdict in run.verdicts],
        "comparison": comparison_json(run.comparison),
        "explanation": None if run.explanation is None else explanation_json(run.explanation, run.version),
        "honest": [
            {"metric": h.metric, "forced": finite_or_none(h.forced), "honest": finite_or_none(h.honest), "folds": h.kind}
            for h in run.honest_scores
        ],
        "coverage": prediction_intervals_json(run.intervals),
        "warnings": list(run.warnings),
        "notes": list(run.notes),
        "columns": [{"name": c.name, "dtype": c.dtype, "role": c.role} for c in run.columns],
        "column_plan": None if run.column_plan is None else _column_plan_json(run.column_plan),
        "derived": [{"name": f.name, "formula": f.expression, "unit": f.unit} for f in run.task.formulas],
    }


def _loss_json(run: TrainingRun) -> dict[str, Any]:
    """What models of values were asked to make small; nothing for classes."""
    target = run.task.target
    if not target.traits.is_regression:
        return {}
    quantile = {"quantile": target.quantile} if target.loss == "quantile" else {}
    power = {"power": target.power} if target.loss == "tweedie" else {}
    return {"loss": {"name": target.loss, **quantile, **power, "log": bool(target.log), "metric": target.metric.name}}


def search_json(result: SearchResult) -> dict[str, Any]:
    """The champion's search: every trial with its folds, the weights of the ensemble, and whether more would help."""
    weights = dict(result.weights)
    return {
        "ended": result.stop_reason,
        "exhausted": result.exhausted.exhausted,
        "why": result.exhausted.reason,
        "gain_of_averaging": finite_or_none(result.ensemble_weights.gain),
        "level": None if result.level_shift is None else asdict(result.level_shift),
        "trials": [
            {
                "family": trial.family,
                "params": dict(trial.params),
                "value": finite_or_none(trial.value),
                "folds": [finite_or_none(value) for value in trial.fold_scores],
                "pruned": trial.pruned,
                "weight": weights.get(trial.number, 0.0),
            }
            for trial in result.trials
        ],
    }


def _column_plan_json(plan: ColumnPlan) -> dict[str, Any]:
    """The columns made and left out, what each change gained on held-out rows, and what each column is worth there."""
    recipe = plan.recipe
    return {
        "inputs": None if recipe.inputs is None else list(recipe.inputs),
        "formulas": [{"name": f.name, "formula": f.expression, "unit": f.unit} for f in recipe.formulas],
        "tallies": [{"name": t.name, "of": t.of, "what": t.statistic} for t in recipe.encodings],
        "loss": {"name": plan.loss, "before": finite_or_none(plan.before), "after": finite_or_none(plan.after)},
        "folds": plan.folds,
        "rows": plan.rows,
        "fits": plan.fits,
        "gains": [
            {"change": g.change, "columns": list(g.columns), "gain": g.gain, "low": g.low, "high": g.high, "kept": g.accepted}
            for g in plan.gains
        ],
        "strengths": [
            {
                "column": s.column,
                "permutation": s.permutation,
                "error": finite_or_none(s.error),
                "contribution": s.contribution,
                "stability": s.stability,
                "kept": s.selected,
            }
            for s in plan.strengths
        ],
    }


def plan_json(plan: FoldPlan) -> dict[str, Any]:
    """Kind, number, repeats, gap in days, the period that groups rows, and why."""
    return {
        "kind": plan.kind,
        "n": plan.n,
        "repeats": plan.repeats,
        "gap": plan.gap,
        "group_by": plan.period,
        "why": plan.why,
    }


def audit_json(audit: tuple[Suspicion, ...]) -> list[dict[str, Any]]:
    """Each suspicion with its evidence, and whether the column was withheld from training."""
    return [{"column": s.column, "suspicion": s.suspicion, "evidence": s.evidence, "withheld": s.withheld} for s in audit]


def _evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "family": evaluation.family,
        "target": evaluation.target,
        "horizon": evaluation.horizon,
        "metrics": {
            score.metric: {
                "value": finite_or_none(score.value),
                "low": finite_or_none(score.low),
                "high": finite_or_none(score.high),
            }
            for score in evaluation.scores
        },
        "fit_seconds": finite_or_none(evaluation.fit_seconds),
        "row_ms": finite_or_none(evaluation.row_ms),
    }


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as every interface tells it."""
    return {
        "against": verdict.against,
        "target": verdict.target,
        "horizon": verdict.horizon,
        "metric": verdict.metric,
        "difference": finite_or_none(verdict.difference),
        "low": finite_or_none(verdict.low),
        "high": finite_or_none(verdict.high),
        "p": finite_or_none(verdict.p),
        "enough_data": verdict.enough_data,
        "method": verdict.method,
        "advice": verdict.advice,
        "p_adjusted": None if verdict.p_adjusted is None else finite_or_none(verdict.p_adjusted),
        "certain": verdict.certain,
        "words": verdict.words,
        "power": None if verdict.power is None else power_json(verdict.power),
        "opinions": [_test_result_json(result) for result in verdict.opinions],
    }


def power_json(power: Power) -> dict[str, Any]:
    """What a comparison could have shown; `times` are how many times as much data it would take, null for never."""
    return {
        "unit": power.sample.unit,
        "count": power.sample.count,
        "clusters": power.sample.clusters,
        "detectable": finite_or_none(power.detectable),
        "least": finite_or_none(power.least),
        "times_for_seen": finite_or_none(power.for_seen),
        "times_for_least": finite_or_none(power.for_least),
    }


def _test_result_json(result: TestResult) -> dict[str, Any]:
    figures = {name: finite_or_none(getattr(result, name)) for name in ("difference", "low", "high", "p")}
    return {"test": result.test, "metric": result.metric, **figures, "refused": result.refused or None}


def prediction_intervals_json(intervals: PredictionIntervals) -> dict[str, Any]:
    """The interval or sets that were promised, what they were chosen by, and what they covered: overall, by group and month."""
    return {
        "interval": None if intervals.band is None else intervals.band.state(),
        "sets": None if intervals.sets is None else intervals.sets.state(),
        "chosen_by": [
            {
                "kind": loss.kind,
                "symmetric": loss.symmetric,
                "interval_score": finite_or_none(loss.interval_score),
                "gain": finite_or_none(loss.gain),
                "error": finite_or_none(loss.error),
                "rows": loss.rows,
            }
            for loss in intervals.losses
        ],
        "covered": None if intervals.coverage is None else _coverage_json(intervals.coverage),
        "note": intervals.note,
    }


def _coverage_json(coverage: Coverage) -> dict[str, Any]:
    worst = coverage.worst
    return {
        "stated": coverage.level,
        "overall": _group_json(coverage.overall),
        "tables": [{"by": t.by, "groups": [_group_json(group) for group in t.groups]} for t in coverage.tables],
        "worst": None if worst is None else {"by": worst[0], "off": worst[1].share - coverage.level, **_group_json(worst[1])},
        "short_months": [group.name for group in coverage.short_months],
        "words": list(coverage.sentences),
    }


def _group_json(group: GroupCoverage) -> dict[str, Any]:
    size = {"value": finite_or_none(group.size), "low": finite_or_none(group.size_low), "high": finite_or_none(group.size_high)}
    share = {"value": group.share, "low": group.low, "high": group.high}
    return {"name": group.name, "rows": group.rows, "coverage": share, "size": size, "short": group.short}
