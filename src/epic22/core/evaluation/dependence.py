"""How a column's contribution to the score goes with its value: by bins, levels, and missing, fold by fold."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from epic22.core.evaluation.estimate import Estimate, estimate, luck_of
from epic22.core.evaluation.explained import Samples
from epic22.core.task import Array, Column
from epic22.core.wording import MISSING, said

MOST_BINS = 10
MOST_LEVELS = 12
OTHERS = "all others"


@dataclass(frozen=True)
class Mark:
    """The rows with a value in [`low`, `high`], `middle` their median (None for a level): how many, and their mean contribution,
    over folds and in each (NaN where a fold has none)."""

    label: str
    low: float | None
    middle: float | None
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
    marks = [_mark(group, [group.holds(v) for v in values], values, parts, units, samples.shared) for group in groups]
    gone = [np.array([v is None for v in value], dtype=bool) if level else np.isnan(value) for value in values]
    missing = _mark(_Group(MISSING, None, None, _is(MISSING)), gone, values, parts, units, samples.shared)
    return Dependence(told, tuple(m for m in marks if m is not None), missing, toward)


@dataclass(frozen=True)
class _Group:
    """Values that are told together; `holds` says which rows' are, (m,)."""

    label: str
    low: float | None
    high: float | None
    holds: Callable[[Array], Array]


def _levels(values: list[Array]) -> list[_Group]:
    """The most frequent levels, and all others together."""
    names, counts = np.unique([v for value in values for v in value if v is not None], return_counts=True)
    ranked = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
    kept = ranked if len(ranked) <= MOST_LEVELS else ranked[: MOST_LEVELS - 1]
    groups = [_Group(name, None, None, _is(name)) for name in kept]
    rest = ranked[len(kept) :]
    return [*groups, _Group(OTHERS, None, None, _is(*rest))] if rest else groups


def _is(*names: str) -> Callable[[Array], Array]:
    return lambda value: np.array([v in names for v in value], dtype=bool)


def _bins(column: Column, values: list[Array]) -> list[_Group]:
    """Each value where there are few, else bins of about equal count."""
    present = np.concatenate(values)
    present = present[~np.isnan(present)]
    distinct = np.unique(present)
    if len(distinct) <= MOST_LEVELS:
        return [_Group(said(column, float(v)), float(v), float(v), _between(v, v)) for v in distinct]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, MOST_BINS + 1), method="inverted_cdf"))
    return [
        _Group(f"{said(column, float(a))} … {said(column, float(b))}", float(a), float(b), _between(a, b, first=i == 0))
        for i, (a, b) in enumerate(pairwise(edges))
    ]


def _between(low: float, high: float, first: bool = True) -> Callable[[Array], Array]:
    """Within the ends; the lower one belongs to the bin before, but for the first."""
    return lambda value: ((value >= low) if first else (value > low)) & (value <= high)


def _mark(
    group: _Group, held: list[Array], values: list[Array], parts: list[Array], units: list[Array], shared: float
) -> Mark | None:
    chosen = [part[rows][:, None] for part, rows in zip(parts, held, strict=True)]
    count = sum(len(one) for one in chosen)
    if not count:
        return None
    folds = np.array([one.mean() if len(one) else np.nan for one in chosen])
    (luck,) = luck_of(chosen, [unit[rows] for unit, rows in zip(units, held, strict=True)])
    middle = None
    if group.low is not None:
        here = np.concatenate([value[rows] for value, rows in zip(values, held, strict=True)])
        middle = float(np.quantile(here, 0.5, method="inverted_cdf"))  # a value there is, so that a day stays a day
    return Mark(group.label, group.low, middle, group.high, count, estimate(folds, luck, shared), tuple(folds.tolist()))
