"""The families in use as JSON: short lists, money per 1,000 rows, what is as good, whether more data would help."""

from typing import Any

from epic22.core.evaluation.crossval import Score
from epic22.core.evaluation.learning_curve import LearningCurve
from epic22.core.evaluation.non_inferiority import NonInferiority
from epic22.core.evaluation.operating_points import OperatingPoint
from epic22.core.evaluation.thousand import PerThousand
from epic22.services.comparison import Comparison
from epic22.services.numbers import number


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Operating points by family, what was weighed in money and chosen, and the learning curve (null where not asked for)."""
    return {
        "operating_points": [_point_json(point) for point in comparison.points],
        "non_inferiority": [_weighed_json(one) for one in comparison.weighed],
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


def _interval_json(figure: Score | PerThousand) -> dict[str, float | None]:
    return {"value": number(figure.value), "low": number(figure.low), "high": number(figure.high)}


def _weighed_json(one: NonInferiority) -> dict[str, Any]:
    return {
        "family": one.family,
        "against": one.against,
        "difference_per_1000": number(one.difference),
        "upper": number(one.upper),
        "margin": number(one.margin),
        "p": number(one.p),
        "not_worse": one.held,
        "words": one.words,
    }


def _curve_json(curve: LearningCurve) -> dict[str, Any]:
    return {
        "metric": curve.metric,
        "folds": curve.folds,
        "points": [
            {"rows": point.rows, "value": number(point.value), "low": number(point.low), "high": number(point.high)}
            for point in curve.points
        ],
        "doubling": {"gain": number(curve.gain), "low": number(curve.low), "high": number(curve.high)},
        "words": curve.words,
    }
