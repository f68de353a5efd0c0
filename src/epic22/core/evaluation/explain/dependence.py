"""How a column's contribution to the score goes with its value: by bins, levels, and missing, fold by fold."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from epic22.core.evaluation.explain.shap_samples import ShapSamples
from epic22.core.evaluation.intervals import Estimate, compute_sampling_variances, estimate_mean
from epic22.core.statistics import Interval
from epic22.core.task import Array, Column
from epic22.core.text import MISSING, format_value

MAX_BINS = 10
MAX_LEVELS = 12
OTHERS = "all others"


@dataclass(frozen=True)
class DependenceBin:
    """The rows with one of the `values`, their median within its bounds (None for a level): how many, and their mean
    contribution, over folds and in each (NaN where a fold has none)."""

    label: str
    values: Interval | None
    rows: int
    contribution: Estimate
    folds: tuple[float, ...]


@dataclass(frozen=True)
class DependenceProfile:
    """A column's contribution against its value: `bins` in the order of the value, or of the rows for levels; `missing` apart.

    `toward` is the class whose score is meant, where there are many.
    """

    column: Column
    bins: tuple[DependenceBin, ...]
    missing: DependenceBin | None
    toward: str | None = None


def compute_dependence(samples: ShapSamples, column: int, output: int, toward: str | None) -> DependenceProfile:
    """The column's dependence, of the contribution to one output."""
    model_column = samples.columns[column]
    values = [sample.get_values(column) if sample.column_indices[column] >= 0 else np.full(0, np.nan) for sample in samples.folds]
    parts = [
        sample.shap_values[:, output, column] if sample.column_indices[column] >= 0 else np.zeros(0) for sample in samples.folds
    ]
    clusters = [sample.cluster[: len(part)] for sample, part in zip(samples.folds, parts, strict=True)]
    level = model_column.dtype == "category"
    groups = _group_levels(values) if level else _group_bins(model_column, values)
    bins = [
        _make_bin(group, [group.contains(v) for v in values], values, parts, clusters, samples.training_overlap)
        for group in groups
    ]
    missing_masks = [np.array([v is None for v in value], dtype=bool) if level else np.isnan(value) for value in values]
    missing = _make_bin(
        _Group(MISSING, None, _is_one_of(MISSING)), missing_masks, values, parts, clusters, samples.training_overlap
    )
    return DependenceProfile(model_column, tuple(m for m in bins if m is not None), missing, toward)


@dataclass(frozen=True)
class _Group:
    """Values that are shown together; `contains` says which rows' are, (m,)."""

    label: str
    bounds: tuple[float, float] | None
    contains: Callable[[Array], Array]


def _group_levels(values: list[Array]) -> list[_Group]:
    """The most frequent levels, and all others together."""
    names, counts = np.unique([v for value in values for v in value if v is not None], return_counts=True)
    ranked = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
    frequent = ranked if len(ranked) <= MAX_LEVELS else ranked[: MAX_LEVELS - 1]
    groups = [_Group(name, None, _is_one_of(name)) for name in frequent]
    rest = ranked[len(frequent) :]
    return [*groups, _Group(OTHERS, None, _is_one_of(*rest))] if rest else groups


def _is_one_of(*names: str) -> Callable[[Array], Array]:
    return lambda value: np.array([v in names for v in value], dtype=bool)


def _group_bins(column: Column, values: list[Array]) -> list[_Group]:
    """Each value where there are few, else bins of about equal count."""
    present = np.concatenate(values)
    present = present[~np.isnan(present)]
    distinct = np.unique(present)
    if len(distinct) <= MAX_LEVELS:
        return [_Group(format_value(column, float(v)), (float(v), float(v)), _is_between(v, v)) for v in distinct]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, MAX_BINS + 1), method="inverted_cdf"))
    return [
        _Group(
            f"{format_value(column, float(a))} … {format_value(column, float(b))}",
            (float(a), float(b)),
            _is_between(a, b, first=i == 0),
        )
        for i, (a, b) in enumerate(pairwise(edges))
    ]


def _is_between(low: float, high: float, first: bool = True) -> Callable[[Array], Array]:
    """Within the ends; the lower one belongs to the bin before, but for the first."""
    return lambda value: ((value >= low) if first else (value > low)) & (value <= high)


def _make_bin(
    group: _Group, masks: list[Array], values: list[Array], parts: list[Array], clusters: list[Array], shared: float
) -> DependenceBin | None:
    contributions = [part[rows][:, None] for part, rows in zip(parts, masks, strict=True)]
    count = sum(len(one) for one in contributions)
    if not count:
        return None
    folds = np.array([one.mean() if len(one) else np.nan for one in contributions])
    (variance,) = compute_sampling_variances(
        contributions, [cluster[rows] for cluster, rows in zip(clusters, masks, strict=True)]
    )
    bounds = None
    if group.bounds is not None:
        here = np.concatenate([value[rows] for value, rows in zip(values, masks, strict=True)])
        # A value there is, so that a day stays a day.
        bounds = Interval(float(np.quantile(here, 0.5, method="inverted_cdf")), *group.bounds)
    return DependenceBin(group.label, bounds, count, estimate_mean(folds, variance, shared), tuple(folds.tolist()))
