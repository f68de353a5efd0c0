"""The families in use as JSON: short lists, money per 1,000 rows, what is as good, whether more data would help."""

from typing import Any

from epic22.core.evaluation.cost_per_thousand import CostPer1000
from epic22.core.evaluation.crossval import MetricScore
from epic22.core.evaluation.learning_curve import LearningCurve
from epic22.core.evaluation.non_inferiority import NonInferiority
from epic22.core.evaluation.operating_points import OperatingPoint
from epic22.reports.json.numbers import finite_or_none
from epic22.services.comparison import Comparison


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Operating points by family, what was weighed in money and chosen, and the learning curve (null where not asked for)."""
    return {
        "operating_points": [_point_json(point) for point in comparison.points],
        "non_inferiority": [_non_inferiority_json(one) for one in comparison.non_inferiority],
        "choice": None if comparison.choice is None else {"family": comparison.choice.family, "why": comparison.choice.why},
        "learning_curve": None if comparison.curve is None else _curve_json(comparison.curve),
    }


def _point_json(point: OperatingPoint) -> dict[str, Any]:
    return {
        "family": point.family,
        "recall_at_top_5_percent": _interval_json(point.recall),
        "precision_at_top_5_percent": _interval_json(point.precision),
        "accuracy": _interval_json(point.accuracy),
        "acted_on": point.acted,
        "cost_per_1000": None if point.cost is None else _interval_json(point.cost),
        "saved_per_1000_against_constant": None if point.saved is None else _interval_json(point.saved),
    }


def _interval_json(figure: MetricScore | CostPer1000) -> dict[str, float | None]:
    return {"value": finite_or_none(figure.value), "low": finite_or_none(figure.low), "high": finite_or_none(figure.high)}


def _non_inferiority_json(test: NonInferiority) -> dict[str, Any]:
    return {
        "family": test.family,
        "against": test.against,
        "difference_per_1000": finite_or_none(test.difference),
        "upper": finite_or_none(test.upper),
        "margin": finite_or_none(test.margin),
        "p": finite_or_none(test.p),
        "not_worse": test.is_shown,
        "words": test.words,
    }


def _curve_json(curve: LearningCurve) -> dict[str, Any]:
    return {
        "metric": curve.metric,
        "folds": curve.folds,
        "points": [
            {
                "rows": point.rows,
                "value": finite_or_none(point.value),
                "low": finite_or_none(point.low),
                "high": finite_or_none(point.high),
            }
            for point in curve.points
        ],
        "doubling": {"gain": finite_or_none(curve.gain), "low": finite_or_none(curve.low), "high": finite_or_none(curve.high)},
        "words": curve.words,
    }
