"""Columns that say the same: a model may split on either, so they share the credit and neither's importance is its own."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from epic22.core.task import Array, Column

MIN_AGREEMENT = 0.95
"""Rank correlation of numbers, or shared information of categories, from which two columns are near copies."""
MAX_DISTINCT_VALUES = 20
MIN_ROWS_PER_LEVEL = 10
"""A category with fewer rows a level than this agrees with another by chance."""


def find_near_duplicates(columns: Sequence[Column], values: Sequence[Array]) -> list[tuple[tuple[int, ...], float]]:
    """Groups of columns, by place, each a near copy of another in its group, and the weakest such agreement in it.

    `values` (n,) a column: numbers with NaN for missing, levels with None. Numbers agree by the size of Spearman's correlation
    (missing counts as the middle), categories and numbers of few values by mutual information ÷ the larger entropy.
    """
    pairs = [*_compare_numbers(columns, values), *_compare_categories(columns, values)]
    groups: list[tuple[set[int], float]] = []
    for a, b, agreement in pairs:
        touching = [group for group in groups if group[0] & {a, b}]
        joined = ({a, b}.union(*(group[0] for group in touching)), min([agreement, *(group[1] for group in touching)]))
        groups = [group for group in groups if group not in touching] + [joined]
    return [(tuple(sorted(members)), agreement) for members, agreement in groups]


def _compare_numbers(columns: Sequence[Column], values: Sequence[Array]) -> list[tuple[int, int, float]]:
    places = [j for j, column in enumerate(columns) if column.dtype != "category"]
    ranks = [_standardise_ranks(values[j]) for j in places]
    ranked_columns = [(j, rank) for j, rank in zip(places, ranks, strict=True) if rank is not None]
    if len(ranked_columns) < 2:
        return []
    table = np.stack([rank for _, rank in ranked_columns])
    agreement = np.abs(table @ table.T)
    pairs = np.argwhere(np.triu(agreement >= MIN_AGREEMENT, k=1))
    return [(ranked_columns[a][0], ranked_columns[b][0], float(min(agreement[a, b], 1.0))) for a, b in pairs]


def _standardise_ranks(value: Array) -> Array | None:
    """Ranks of length one about zero, missing as zero; None for a constant."""
    known = ~np.isnan(value)
    if not known.any():
        return None
    rank = np.zeros(len(value))
    rank[known] = stats.rankdata(value[known])
    rank[known] -= rank[known].mean()
    length = float(np.linalg.norm(rank))
    return rank / length if length > 0 else None


def _compare_categories(columns: Sequence[Column], values: Sequence[Array]) -> list[tuple[int, int, float]]:
    """Pairs of which one at least is a category."""
    coded = {}
    for j, (column, value) in enumerate(zip(columns, values, strict=True)):
        named = value.astype(str)
        levels, code = np.unique(named, return_inverse=True)
        enough = 1 < len(levels) <= len(value) / MIN_ROWS_PER_LEVEL
        if enough and (column.dtype == "category" or len(levels) <= MAX_DISTINCT_VALUES):
            coded[j] = code
    pairs = []
    for a in coded:
        for b in coded:
            if a < b and "category" in (columns[a].dtype, columns[b].dtype):
                agreement = _compute_shared_information(coded[a], coded[b])
                if agreement >= MIN_AGREEMENT:
                    pairs.append((a, b, agreement))
    return pairs


def _compute_shared_information(a: Array, b: Array) -> float:
    """Mutual information by the larger of the entropies: 1 where each tells the other."""
    together = np.bincount(a * (int(b.max()) + 1) + b)
    first, second, both = (_compute_entropy(np.bincount(a)), _compute_entropy(np.bincount(b)), _compute_entropy(together))
    return (first + second - both) / max(first, second)


def _compute_entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
