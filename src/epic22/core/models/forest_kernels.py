"""The inner loops of a forest, compiled: sums of leaves, and exact path-dependent SHAP values.

Shapley values of a tree are integrals of a product over the columns of each leaf's path (Owen 1972), a polynomial whose degree is
one less than its columns; Gauss-Legendre points integrate it exactly. Sums over the leaves below an edge are shared, as they are
in Linear TreeSHAP (Yu et al. 2022): a row costs one pass down and one up each tree, with three points for trees of depth six.

An edge counts with all tests of its column on the way: `share` of cover that they keep, and whether the row follows them all.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from epic22.core.task import Array

LEAF = -1
BITS = 32


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, kept on disk between runs where there is a place to write to; it lets other threads run."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        made = numba.njit(nogil=True)(function)
    return made


@compiled
def goes_left(value, node, threshold, default_left, begin, size, words):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether a value goes left at a node, as XGBoost decides: below the threshold, or not in the node's set of categories."""
    if np.isnan(value):
        return default_left[node]
    if size[node] == 0:
        return value < threshold[node]
    code = int(value)
    if value < 0 or code >= size[node] * BITS:
        return True
    return (words[begin[node] + code // BITS] >> np.uint32(code % BITS)) & np.uint32(1) == 0


@compiled
def sum_leaves(X, roots, output, feature, threshold, default_left, left, right, leaf, begin, size, words, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add each row's leaves to out (n, k)."""
    for tree in range(roots.shape[0]):
        for row in range(X.shape[0]):
            node = roots[tree]
            while feature[node] != LEAF:
                value = X[row, feature[node]]
                node = left[node] if goes_left(value, node, threshold, default_left, begin, size, words) else right[node]
            out[row, output[tree]] += leaf[node]


@compiled
def add_shap(  # type: ignore[no-untyped-def]  # pragma: no cover
    X, roots, output, feature, threshold, default_left, left, right, leaf, begin, size, words,
    parent, before, share, points, weights, out,
):  # fmt: skip
    """Add each row's SHAP values to out (n, k, p); `before` is the last node split on the same feature."""
    count, q, trees = feature.shape[0], points.shape[0], roots.shape[0]
    largest = 0
    for tree in range(trees):
        largest = max(largest, (roots[tree + 1] if tree + 1 < trees else count) - roots[tree])
    # One tree's figures at a time, so that they stay in the processor's nearest cache.
    followed = np.empty(largest, np.bool_)
    chosen = np.empty(largest, np.int64)
    path = np.empty((largest, q))
    inverse = np.empty((largest, q))
    for row in range(X.shape[0]):
        for tree in range(trees):
            first = roots[tree]
            nodes = (roots[tree + 1] if tree + 1 < trees else count) - first
            followed[0] = True
            for k in range(q):
                path[0, k] = 1.0
            for i in range(nodes):
                node = first + i
                if i > 0:
                    above, same = parent[node] - first, before[node] - first
                    follows = chosen[above] == node and (same < 0 or followed[same])
                    followed[i] = follows
                    z = share[node]
                    for k in range(q):
                        factor = z * (1.0 - points[k]) + (points[k] if follows else 0.0)
                        inverse[i, k] = 1.0 / factor
                        path[i, k] = path[above, k] * factor * (inverse[same, k] if same >= 0 else 1.0)
                if feature[node] != LEAF:
                    value = X[row, feature[node]]
                    to_left = goes_left(value, node, threshold, default_left, begin, size, words)
                    chosen[i] = left[node] if to_left else right[node]
            # What was the product down to a node becomes the sum over its leaves of product and value.
            for i in range(nodes):
                node = first + i
                for k in range(q):
                    path[i, k] = path[i, k] * leaf[node] if feature[node] == LEAF else 0.0
            for i in range(nodes - 1, 0, -1):
                node = first + i
                above, same = parent[node] - first, before[node] - first
                own = (1.0 if followed[i] else 0.0) - share[node]
                total = 0.0
                for k in range(q):
                    gain = own * inverse[i, k]
                    if same >= 0:
                        gain -= ((1.0 if followed[same] else 0.0) - share[first + same]) * inverse[same, k]
                    total += weights[k] * path[i, k] * gain
                    path[above, k] += path[i, k]
                out[row, output[tree], feature[parent[node]]] += total


@compiled
def add_interactions(  # type: ignore[no-untyped-def]  # pragma: no cover
    X, roots, output, feature, threshold, default_left, left, right, leaf, begin, size, words,
    parent, before, share, points, weights, out,
):  # fmt: skip
    """Add each row's SHAP interaction values to out (n, k, p, p), half a pair's in each of its two places, none on the diagonal.

    A pair's Shapley interaction index is the integral of the second difference of each leaf's product (Grabisch and Roubens
    1999), whose degree is two less than its columns: the points that are exact for single columns are so for pairs.
    """
    count, q, trees = feature.shape[0], points.shape[0], roots.shape[0]
    largest = 0
    for tree in range(trees):
        largest = max(largest, (roots[tree + 1] if tree + 1 < trees else count) - roots[tree])
    followed = np.empty(largest, np.bool_)
    chosen = np.empty(largest, np.int64)
    path = np.empty((largest, q))
    inverse = np.empty((largest, q))
    edges = np.empty(largest, np.int64)
    for row in range(X.shape[0]):
        for tree in range(trees):
            first = roots[tree]
            nodes = (roots[tree + 1] if tree + 1 < trees else count) - first
            followed[0] = True
            for k in range(q):
                path[0, k] = 1.0
            for i in range(nodes):
                node = first + i
                if i > 0:
                    above, same = parent[node] - first, before[node] - first
                    follows = chosen[above] == node and (same < 0 or followed[same])
                    followed[i] = follows
                    for k in range(q):
                        factor = share[node] * (1.0 - points[k]) + (points[k] if follows else 0.0)
                        inverse[i, k] = 1.0 / factor
                        path[i, k] = path[above, k] * factor * (inverse[same, k] if same >= 0 else 1.0)
                if feature[node] != LEAF:
                    to_left = goes_left(X[row, feature[node]], node, threshold, default_left, begin, size, words)
                    chosen[i] = left[node] if to_left else right[node]
                    continue
                # The nearest edge of each column on the way up stands for all of that column's tests.
                told, up = 0, i
                while up > 0:
                    column, known = feature[parent[first + up]], False
                    for e in range(told):
                        known = known or feature[parent[first + edges[e]]] == column
                    if not known:
                        edges[told] = up
                        told += 1
                    up = parent[first + up] - first
                for a in range(1, told):
                    one = edges[a]
                    own = (1.0 if followed[one] else 0.0) - share[first + one]
                    for b in range(a):
                        other = edges[b]
                        total = 0.0
                        for k in range(q):
                            total += weights[k] * path[i, k] * inverse[one, k] * inverse[other, k]
                        both = own * ((1.0 if followed[other] else 0.0) - share[first + other])
                        half = 0.5 * leaf[node] * both * total
                        this, that = feature[parent[first + one]], feature[parent[first + other]]
                        out[row, output[tree], this, that] += half
                        out[row, output[tree], that, this] += half


def quadrature(depth: int) -> tuple[Array, Array]:
    """Points and weights on (0, 1) that integrate the polynomials of a path with `depth` features exactly: (q,), (q,)."""
    points, weights = np.polynomial.legendre.leggauss(max(1, (depth + 1) // 2))
    return (points + 1) / 2, weights / 2
