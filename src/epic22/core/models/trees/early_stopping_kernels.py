"""The inner loops of early stopping, compiled: rows walk a tree side by side, and their losses are summed after each."""

import numpy as np

from epic22.core.models.trees.forest_kernels import compile_kernel, is_outside

BLOCK_ROWS = 64
"""Rows that walk a tree side by side."""


@compile_kernel
def compute_depths(roots, left, right):  # type: ignore[no-untyped-def]  # pragma: no cover
    """How many tests the longest way down each tree has, (t,); a leaf's children are itself, a parent comes before its own."""
    depth = np.zeros(roots.shape[0], np.int32)
    level = np.zeros(left.shape[0], np.int32)
    for tree in range(roots.shape[0]):
        end = roots[tree + 1] if tree + 1 < roots.shape[0] else left.shape[0]
        for node in range(roots[tree], end):
            if left[node] != node:
                level[left[node]] = level[right[node]] = level[node] + 1
            depth[tree] = max(depth[tree], level[node])
    return depth


@compile_kernel
def add_validation_scores(X, y, trees, squared, raw, losses):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add each row's leaves to raw (n,) float32 and the rows' loss after each tree to losses (t,), logistic or squared.

    `trees` are TreeArrays.
    """
    roots, depth, feature, value, default_left, left, right, begin, size, words = trees
    n_rows = X.shape[0]
    node = np.empty(BLOCK_ROWS, np.int32)
    for first in range(0, n_rows, BLOCK_ROWS):
        block_rows = min(BLOCK_ROWS, n_rows - first)
        for tree in range(roots.shape[0]):
            for i in range(block_rows):
                node[i] = roots[tree]
            # Level by level, a row at its leaf staying there: no row waits for the memory that another asks.
            for _ in range(depth[tree]):
                if words.shape[0] == 0:
                    for i in range(block_rows):
                        k = node[i]
                        x = X[first + i, feature[k]]
                        node[i] = left[k] if (x < value[k]) | (np.isnan(x) & default_left[k]) else right[k]
                else:
                    for i in range(block_rows):
                        k = node[i]
                        x = X[first + i, feature[k]]
                        to_left = (x < value[k]) | (np.isnan(x) & default_left[k])
                        if size[k] > 0 and x == x:
                            to_left = is_outside(x, words, begin[k], size[k])
                        node[i] = left[k] if to_left else right[k]
            product, total = 1.0, 0.0
            for i in range(block_rows):
                score = raw[first + i] + value[node[i]]
                raw[first + i] = score
                if squared:
                    total += (np.float64(score) - y[first + i]) ** 2
                else:
                    # ln(1 + e^m), the logarithm taken once a block: each factor is at most 2.
                    margin = -np.float64(score) if y[first + i] > 0 else np.float64(score)
                    product *= 1.0 + np.exp(-abs(margin))
                    total += max(margin, 0.0)
            losses[tree] += total + np.log(product)
