"""An explanation as JSON: what is stored beside a version, answered by the API and printed by `epic22 explain`."""

from typing import Any

from epic22.core.evaluation.dependence import Dependence, Mark
from epic22.core.evaluation.estimate import Estimate
from epic22.core.evaluation.explain import ColumnImportance, Explanation
from epic22.core.evaluation.interactions import Interaction
from epic22.core.lineage import ModelVersion
from epic22.core.task import Column
from epic22.core.wording import moment
from epic22.services.numbers import number

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
        "agreement": number(explanation.agreement),
        "fold_agreement": number(explanation.fold_agreement),
        "top": explanation.top,
        "columns": [_column(one) for one in explanation.columns],
        "copies": [
            {"columns": list(group.columns), "agreement": group.agreement, "permutation_loss": _estimate(group.loss)}
            for group in explanation.copies
        ],
        "interactions": [_interaction(pair) for pair in explanation.interactions],
        "dependence": [_dependence(shape) for shape in explanation.dependences],
        "warnings": list(explanation.warnings),
    }


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {"value": number(found.value), "low": number(found.low), "high": number(found.high)}


def _column(one: ColumnImportance) -> dict[str, Any]:
    return {
        "column": one.column.name,
        "about": one.column.about,
        "unit": one.column.unit,
        "dtype": one.column.dtype,
        "importance": _estimate(one.strength),
        "share": one.share,
        "direction": one.direction,
        "toward": one.toward,
        "correlation": number(one.correlation),
        "ranks": list(one.ranks),
        "in_top": one.in_top,
        "permutation_loss": None if one.loss is None else _estimate(one.loss),
    }


def _interaction(pair: Interaction) -> dict[str, Any]:
    return {
        "columns": list(pair.columns),
        "strength": _estimate(pair.strength),
        "share": pair.share,
        "held_out_gain": _estimate(pair.gain),
        "found": pair.found,
        "h": pair.h,
    }


def _dependence(shape: Dependence) -> dict[str, Any]:
    return {
        "column": shape.column.name,
        "toward": shape.toward,
        "marks": [_mark(shape.column, mark) for mark in shape.marks],
        "missing": None if shape.missing is None else _mark(shape.column, shape.missing),
    }


def _mark(column: Column, mark: Mark) -> dict[str, Any]:
    ends = (mark.low, mark.middle, mark.high)
    low, middle, high = (moment(v) if column.dtype == "time" and v is not None else v for v in ends)
    return {
        "label": mark.label,
        "low": low,
        "middle": middle,
        "high": high,
        "rows": mark.rows,
        "contribution": _estimate(mark.contribution),
        "folds": [number(value) for value in mark.folds],
    }
