"""An explanation as JSON: what is stored beside a version, answered by the API and printed by `epic22 explain`."""

from typing import Any

from epic22.core.evaluation.explain.dependence import DependenceBin, DependenceProfile
from epic22.core.evaluation.explain.explanation import ColumnImportance, Explanation
from epic22.core.evaluation.explain.interactions import Interaction
from epic22.core.evaluation.intervals import Estimate
from epic22.core.lineage import ModelVersion
from epic22.core.task import Column
from epic22.core.text import format_time
from epic22.reports.json.numbers import finite_or_none

FORMAT = 1


def explanation_json(explanation: Explanation, version: ModelVersion) -> dict[str, Any]:
    """All of it, strongest first; what is undefined is null, a time is ISO 8601, never a number."""
    return {
        "format": FORMAT,
        "task": version.task,
        "version": version.version,
        "model_hash": version.model_hash,
        "family": explanation.family,
        "unit": explanation.unit,
        "metric": explanation.metric,
        "folds": explanation.folds,
        "rows": explanation.rows,
        "agreement": finite_or_none(explanation.agreement),
        "fold_agreement": finite_or_none(explanation.fold_agreement),
        "top": explanation.top,
        "columns": [_column_json(one) for one in explanation.columns],
        "copies": [
            {"columns": list(group.columns), "agreement": group.agreement, "permutation_loss": _interval_json(group.loss)}
            for group in explanation.near_duplicates
        ],
        "interactions": [_interaction_json(pair) for pair in explanation.interactions],
        "dependence": [_dependence_json(profile) for profile in explanation.dependences],
        "warnings": list(explanation.warnings),
    }


def _interval_json(estimate: Estimate) -> dict[str, float | None]:
    return {"value": finite_or_none(estimate.value), "low": finite_or_none(estimate.low), "high": finite_or_none(estimate.high)}


def _column_json(one: ColumnImportance) -> dict[str, Any]:
    return {
        "column": one.column.name,
        "about": one.column.about,
        "unit": one.column.unit,
        "dtype": one.column.dtype,
        "importance": _interval_json(one.strength),
        "share": one.share,
        "direction": one.direction,
        "toward": one.toward,
        "correlation": finite_or_none(one.correlation),
        "ranks": list(one.ranks),
        "in_top": one.in_top,
        "permutation_loss": None if one.loss is None else _interval_json(one.loss),
    }


def _interaction_json(pair: Interaction) -> dict[str, Any]:
    return {
        "columns": list(pair.columns),
        "strength": _interval_json(pair.strength),
        "share": pair.share,
        "held_out_gain": _interval_json(pair.gain),
        "found": pair.is_significant,
        "h": pair.h,
    }


def _dependence_json(profile: DependenceProfile) -> dict[str, Any]:
    return {
        "column": profile.column.name,
        "toward": profile.toward,
        "marks": [_bin_json(profile.column, dependence_bin) for dependence_bin in profile.bins],
        "missing": None if profile.missing is None else _bin_json(profile.column, profile.missing),
    }


def _bin_json(column: Column, dependence_bin: DependenceBin) -> dict[str, Any]:
    ends = (dependence_bin.low, dependence_bin.middle, dependence_bin.high)
    low, middle, high = (format_time(v) if column.dtype == "time" and v is not None else v for v in ends)
    return {
        "label": dependence_bin.label,
        "low": low,
        "middle": middle,
        "high": high,
        "rows": dependence_bin.rows,
        "contribution": _interval_json(dependence_bin.contribution),
        "folds": [finite_or_none(value) for value in dependence_bin.folds],
    }
