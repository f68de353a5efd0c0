"""Categories in an order, for trees that ask about numbers alone: a threshold in it parts the levels into two sets.

For a label of two classes or of values the best of all partings is a threshold in the order of the levels' mean labels (Fisher
1958); for more classes levels are ordered along the first principal component of their shares (Coppersmith et al. 1999).
"""

from dataclasses import replace

import numpy as np

from epic22.core.models.trees.forest import ExternalTree, next_float32_above
from epic22.core.task import Array

PRIOR_ROWS = 10
"""A level's mean counts as if so many rows more had the mean of all: what few rows say of a level is mostly chance."""

LevelOrder = tuple[tuple[int, ...] | None, ...]
"""Of each column its codes in order, None for a number."""


def order_levels(X: Array, categorical: tuple[bool, ...], outcomes: Array) -> LevelOrder:
    """The codes that each category of X (n, p) has, ordered by their mean outcomes (n, k)."""
    return tuple(_order_column(X[:, j], outcomes) if is_category else None for j, is_category in enumerate(categorical))


def _order_column(column: Array, outcomes: Array) -> tuple[int, ...]:
    is_present = ~np.isnan(column)
    levels, level, counts = np.unique(column[is_present].astype(np.int64), return_inverse=True, return_counts=True)
    sums = np.column_stack([np.bincount(level, one, len(levels)) for one in outcomes[is_present].T])
    overall = outcomes.mean(axis=0)
    distances = (sums + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS)[:, None] - overall
    direction = np.linalg.eigh((distances * counts[:, None]).T @ distances)[1][:, -1]
    # An eigenvector has no sign of its own.
    direction *= np.sign(direction[np.argmax(np.abs(direction))])
    return tuple(levels[np.argsort(distances @ direction, kind="stable")].tolist())


def rank_levels(X: Array, order: LevelOrder) -> Array:
    """X (n, p) float32 with each code's place in the order in its stead, NaN for a code that has none."""
    ranked = np.array(X, np.float32, order="C")
    for j, codes in enumerate(order):
        if codes is not None:
            places = np.full(max(codes, default=0) + 2, np.nan, np.float32)
            places[list(codes)] = np.arange(len(codes))
            code = np.where(np.isnan(X[:, j]), -1, X[:, j]).astype(np.int64)
            ranked[:, j] = places[np.where((code < 0) | (code >= len(places)), len(places) - 1, code)]
    return ranked


def restore_levels(tree: ExternalTree, bounds: Array, order: LevelOrder) -> ExternalTree:
    """The tree grown on ranks, a row left where its own is at most a test's bound (m,), as one that asks for codes."""
    threshold, sets = next_float32_above(bounds), []
    for node in np.flatnonzero(tree.left >= 0):
        codes = order[tree.split[node]]
        if codes is not None:
            # A test that parts missing values from all others has a bound without end, and no codes to the right.
            right = () if np.isinf(bounds[node]) else codes[int(np.floor(bounds[node])) + 1 :]
            threshold[node] = np.inf
            sets += [(int(node), np.array(right, np.int64))] if right else []
    return replace(tree, threshold=threshold, sets=tuple(sets))
