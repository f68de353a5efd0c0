"""How a column's contribution to the score goes with its value: by bins, levels, and missing, fold by fold."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from epic22.core.evaluation.estimate import Estimate, estimate, luck_of
from epic22.core.evaluation.explained import Samples
from epic22.core.task import Array, Column
from epic22.core.wording import said

MOST_BINS = 10
MOST_LEVELS = 12
OTHERS = "all others"


@dataclass(frozen=True)
class Mark:
    """The rows with a value in [`low`, `high`] (None for a level): how many, and their mean contribution, over folds and in each
    (NaN where a fold has none)."""

    label: str
    low: float | None
    high: float | None
    rows: int
    contribution: Estimate
    folds: tuple[float, ...]


@dataclass(frozen=True)
class Dependence:
    """A column's contribution against its value: `marks` in the order of the value, or of the rows for levels; `missing` apart.

    `toward` is the class whose score is meant, where there are many.
    """

    column: Column
    marks: tuple[Mark, ...]
    missing: Mark | None
    toward: str | None = None


def dependence(samples: Samples, column: int, output: int, toward: str | None) -> Dependence:
    """The column's dependence, of the contribution to one output."""
    told = samples.columns[column]
    values = [sample.values(column) if sample.places[column] >= 0 else np.full(0, np.nan) for sample in samples.folds]
    parts = [sample.parts[:, output, column] if sample.places[column] >= 0 else np.zeros(0) for sample in samples.folds]
    units = [sample.unit[: len(part)] for sample, part in zip(samples.folds, parts, strict=True)]
    level = told.dtype == "category"
    groups = _levels(values) if level else _bins(told, values)
    marks = [
        _mark(label, low, high, [test(v) for v in values], parts, units, samples.shared) for label, low, high, test in groups
    ]
    gone = [np.array([v is None for v in value], dtype=bool) if level else np.isnan(value) for value in values]
    missing = _mark("missing", None, None, gone, parts, units, samples.shared)
    return Dependence(told, tuple(m for m in marks if m is not None), missing, toward)


def _levels(values: list[Array]) -> list[tuple[str, None, None, Any]]:
    """The most frequent levels, and all others together."""
    names, counts = np.unique([v for value in values for v in value if v is not None], return_counts=True)
    ranked = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
    kept = ranked if len(ranked) <= MOST_LEVELS else ranked[: MOST_LEVELS - 1]
    groups: list[tuple[str, None, None, Any]] = [(name, None, None, _is(name)) for name in kept]
    rest = set(ranked) - set(kept)
    return [*groups, (OTHERS, None, None, _is_in(rest))] if rest else groups


def _is(name: str) -> Any:
    return lambda value: np.array([v == name for v in value], dtype=bool)


def _is_in(names: set[str]) -> Any:
    return lambda value: np.array([v in names for v in value], dtype=bool)


def _bins(column: Column, values: list[Array]) -> list[tuple[str, float, float, Any]]:
    """Each value where there are few, else bins of about equal count."""
    present = np.concatenate(values)
    present = present[~np.isnan(present)]
    distinct = np.unique(present)
    if len(distinct) <= MOST_LEVELS:
        return [(said(column, float(v)), float(v), float(v), _between(v, v)) for v in distinct]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, MOST_BINS + 1), method="inverted_cdf"))
    ends = list(pairwise(edges))
    return [
        (f"{said(column, float(a))} … {said(column, float(b))}", float(a), float(b), _between(a, b, first=i == 0))
        for i, (a, b) in enumerate(ends)
    ]


def _between(low: float, high: float, first: bool = True) -> Any:
    """Within the ends; the lower one belongs to the bin before, but for the first."""
    return lambda value: ((value >= low) if first else (value > low)) & (value <= high)


def _mark(
    label: str, low: float | None, high: float | None, held: list[Array], parts: list[Array], units: list[Array], shared: float
) -> Mark | None:
    chosen = [part[rows][:, None] for part, rows in zip(parts, held, strict=True)]
    count = sum(len(one) for one in chosen)
    if not count:
        return None
    folds = np.array([one.mean() if len(one) else np.nan for one in chosen])
    (luck,) = luck_of(chosen, [unit[rows] for unit, rows in zip(units, held, strict=True)])
    return Mark(label, low, high, count, estimate(folds, luck, shared), tuple(folds.tolist()))
