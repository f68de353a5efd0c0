"""The inner loops of a forest, compiled: sums of leaves, exact path-dependent SHAP values, and losses tree by tree.

Shapley values of a tree are integrals of a product over the columns of each leaf's path (Owen 1972), a polynomial whose degree is
one less than its columns; Gauss-Legendre points integrate it exactly. Sums over the leaves below an edge are shared, as they are
in Linear TreeSHAP (Yu et al. 2022): a row costs one pass down and one up each tree's tests for every three points, which are
enough for ways of six columns.

An edge counts with all tests of its column on the way: `share` of cover that they keep, and whether the row follows them all.
With z and o for these, and t from 0 to 1, an edge's factor is z(1 − t) + ot; below an earlier edge of the same column it is
divided by that one's. So the factors of a test's two edges sum to 1, and where the earlier edge is not followed they are the
shares of cover, and nothing is added to the column.
"""

import numpy as np

from epic22.core.compilation import compile_kernel
from epic22.core.models.trees.split_arrays import BITS, LEAF, POINTS_PER_ROUND

BLOCK_ROWS = 64
"""Rows that walk a tree side by side."""

LANES = 64
"""Rows whose SHAP values are computed side by side. Loops over them have no step that waits for another, so the compiler takes
several at once; with fewer lanes what stands around the loops counts, with more the figures of a block leave the near cache."""


@compile_kernel
def is_outside(value, words, begin, size):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether a category is not in the set whose bits begin there in the words."""
    code = int(value)
    if value < 0 or code >= size * BITS:
        return True
    return (words[begin + code // BITS] >> np.uint32(code % BITS)) & np.uint32(1) == 0


@compile_kernel
def is_left(value, threshold, default_left):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether a number goes left; a missing one, and a missing category too, by the test's default."""
    return (value < threshold) | ((value != value) & default_left)


@compile_kernel
def goes_left(value, node, threshold, default_left, sets):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether a value goes left at a test of either kind; `sets` are begin and size (m,) and words of the categories'."""
    begin, size, words = sets
    if size[node] > 0 and value == value:
        return is_outside(value, words, begin[node], size[node])
    return is_left(value, threshold[node], default_left[node])


@compile_kernel
def weigh_edges(point, weight, cover, left_cover, follows, goes):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The share `ratio` of what comes to a test that its left edge passes on, and its `gain`, at one point of the quadrature.

    `cover` and `left_cover` are the test's `share` and `left_share`; `follows` says whether the row follows all earlier tests of
    the column, `goes` whether it goes left here, each 0 or 1.
    """
    absent = (1.0 - point) * cover
    inverse = 1.0 / (absent + point * follows)
    off = absent * inverse
    ratio = left_cover * off + goes * (1.0 - off)
    gain = weight * follows * cover * (goes - left_cover) * inverse * inverse
    return ratio, gain


@compile_kernel
def sum_leaves(X, trees, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add each row's leaves to out (n, k); `trees` are ScoreArrays."""
    root, output, children, feature, threshold, default_left, begin, size, words, leaf = trees
    for tree in range(output.shape[0]):
        for row in range(X.shape[0]):
            node = root[tree]
            while node >= 0:
                to_left = goes_left(X[row, feature[node]], node, threshold, default_left, (begin, size, words))
                node = children[node, 0 if to_left else 1]
            out[row, output[tree]] += leaf[-1 - node]


@compile_kernel
def add_shap(X, trees, arrays, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add each row's SHAP values to out (n, k × (p + 1)).

    Of a test's two edges the factors, as shares of what came, are `ratio` and 1 − ratio, so that one of them tells both; what
    the test adds to its column is an integral of `gain` × the product down to it × how the sums below its two edges differ.
    `trees` are ScoreArrays, `arrays` ShapArrays.
    """
    _, _, _, feature, threshold, default_left, begin, size, words, leaf = trees
    (first, slot, node_place, left, right, earlier, share, left_share, first_root, root_place, first_leaf, leaf_place,
     first_category_test, category_tests, rounds, points, weights, largest) = arrays  # fmt: skip
    goes, follows, follows_earlier = np.empty(largest), np.empty(2 * largest + 1), np.empty(largest)
    ratio, gain = np.empty((POINTS_PER_ROUND, largest)), np.empty((POINTS_PER_ROUND, largest))
    path, below = np.empty((largest, POINTS_PER_ROUND)), np.empty((largest, POINTS_PER_ROUND))
    follows[0] = 1.0
    for block in range(rounds.shape[0]):
        start, tests = first[block], first[block + 1] - first[block]
        for k in range(POINTS_PER_ROUND):
            for i in range(first_root[block], first_root[block + 1]):
                path[root_place[i], k] = 1.0
            for i in range(first_leaf[block], first_leaf[block + 1]):
                below[leaf_place[i], k] = leaf[i]
        for row in range(X.shape[0]):
            # Which way the row goes at each test, whether it comes there or not.
            for i in range(tests):
                to_left = is_left(X[row, feature[start + i]], threshold[start + i], default_left[start + i])
                goes[i] = 1.0 if to_left else 0.0
            for c in range(first_category_test[block], first_category_test[block + 1]):
                test = start + category_tests[c]
                value = X[row, feature[test]]
                if value == value:
                    goes[category_tests[c]] = 1.0 if is_outside(value, words, begin[test], size[test]) else 0.0
            # Whether it follows all earlier tests of the same column.
            for i in range(tests):
                follows_earlier[i] = follows[earlier[start + i]]
                follows[2 * i + 1] = follows_earlier[i] * goes[i]
                follows[2 * i + 2] = follows_earlier[i] - follows_earlier[i] * goes[i]
            rule = POINTS_PER_ROUND * rounds[block] * (rounds[block] - 1) // 2
            for at in range(rule, rule + POINTS_PER_ROUND * rounds[block], POINTS_PER_ROUND):
                # A loop over tests alone has no step that waits for another: the compiler takes several at once.
                for k in range(POINTS_PER_ROUND):
                    point, weight = points[at + k], weights[at + k]
                    for i in range(tests):
                        ratio[k, i], gain[k, i] = weigh_edges(
                            point, weight, share[start + i], left_share[start + i], follows_earlier[i], goes[i]
                        )
                for i in range(tests):
                    here, to_left, to_right = node_place[start + i], left[start + i], right[start + i]
                    for k in range(POINTS_PER_ROUND):
                        reaching = path[here, k]
                        going_left = reaching * ratio[k, i]
                        path[to_left, k] = going_left
                        path[to_right, k] = reaching - going_left
                # What was known of the leaves alone becomes the sum over all below a node.
                for i in range(tests - 1, -1, -1):
                    here, to_left, to_right = node_place[start + i], left[start + i], right[start + i]
                    total = 0.0
                    for k in range(POINTS_PER_ROUND):
                        other = below[to_right, k]
                        more = below[to_left, k] - other
                        total += gain[k, i] * path[here, k] * more
                        below[here, k] = other + ratio[k, i] * more
                    out[row, slot[start + i]] += total


@compile_kernel
def add_shap_by_lanes(X, trees, arrays, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add each row's SHAP values to out (n, k × (p + 1)), the same bits as `add_shap` gives, for many rows.

    Each row's operations are those of `add_shap` in the same order. Every loop over the lanes has few arrays on purpose: a
    compiler that cannot tell whether two overlap compares their places first, and gives up where there are too many.
    """
    leaf = trees[-1]
    (first, slot, node_place, left, right, earlier, share, left_share, first_root, root_place, first_leaf, leaf_place,
     _, _, rounds, points, weights, largest) = arrays  # fmt: skip
    goes, follows = np.empty((largest, LANES)), np.ones((2 * largest + 1, LANES))
    ratio, gain, total = np.empty((largest, LANES)), np.empty((largest, LANES)), np.empty((largest, LANES))
    path, below = np.empty((largest, LANES)), np.empty((largest, LANES))
    tiles = fill_tiles(X)
    for block in range(rounds.shape[0]):
        start, tests = first[block], first[block + 1] - first[block]
        for i in range(first_root[block], first_root[block + 1]):
            path[root_place[i]] = 1.0
        for i in range(first_leaf[block], first_leaf[block + 1]):
            below[leaf_place[i]] = leaf[i]
        for group in range(tiles.shape[0]):
            set_turns(tiles[group], block, trees, arrays, goes, follows)
            rule = POINTS_PER_ROUND * rounds[block] * (rounds[block] - 1) // 2
            for at in range(rule, rule + POINTS_PER_ROUND * rounds[block], POINTS_PER_ROUND):
                total[:tests] = 0.0
                for k in range(at, at + POINTS_PER_ROUND):
                    point, weight = points[k], weights[k]
                    for i in range(tests):
                        before, cover, left_cover = earlier[start + i], share[start + i], left_share[start + i]
                        here, to_left, to_right = node_place[start + i], left[start + i], right[start + i]
                        for lane in range(LANES):
                            ratio[i, lane], own = weigh_edges(
                                point, weight, cover, left_cover, follows[before, lane], goes[i, lane]
                            )
                            gain[i, lane] = own * path[here, lane]
                        for lane in range(LANES):
                            reaching = path[here, lane]
                            going_left = reaching * ratio[i, lane]
                            path[to_left, lane] = going_left
                            path[to_right, lane] = reaching - going_left
                    for i in range(tests - 1, -1, -1):
                        here, to_left, to_right = node_place[start + i], left[start + i], right[start + i]
                        for lane in range(LANES):
                            total[i, lane] += gain[i, lane] * (below[to_left, lane] - below[to_right, lane])
                        for lane in range(LANES):
                            other = below[to_right, lane]
                            below[here, lane] = other + ratio[i, lane] * (below[to_left, lane] - other)
                n_rows = min(LANES, X.shape[0] - group * LANES)
                for i in range(tests - 1, -1, -1):
                    for lane in range(n_rows):
                        out[group * LANES + lane, slot[start + i]] += total[i, lane]


@compile_kernel
def fill_tiles(X):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The rows of X (n, p) in groups of LANES, column by column: (g, p, LANES).

    The last group's free lanes repeat the last row, and what they give is left.
    """
    n_groups = (X.shape[0] + LANES - 1) // LANES
    tiles = np.empty((n_groups, X.shape[1], LANES), X.dtype)
    for group in range(n_groups):
        for lane in range(LANES):
            row = min(group * LANES + lane, X.shape[0] - 1)
            for column in range(X.shape[1]):
                tiles[group, column, lane] = X[row, column]
    return tiles


@compile_kernel
def set_turns(tile, block, trees, arrays, goes, follows):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Set where each lane of a tile (p, LANES) `goes` at a block's tests, and which turns it `follows`, all earlier ones too.

    `trees` are ScoreArrays, `arrays` ShapArrays.
    """
    _, _, _, feature, threshold, default_left, begin, size, words, _ = trees
    first, earlier, first_category_test, category_tests = arrays[0], arrays[5], arrays[12], arrays[13]
    start, tests = first[block], first[block + 1] - first[block]
    for i in range(tests):
        column, limit, missing_left = feature[start + i], threshold[start + i], default_left[start + i]
        for lane in range(LANES):
            goes[i, lane] = 1.0 if is_left(tile[column, lane], limit, missing_left) else 0.0
    for i in category_tests[first_category_test[block] : first_category_test[block + 1]]:
        test = start + i
        for lane in range(LANES):
            value = tile[feature[test], lane]
            if value == value:
                goes[i, lane] = 1.0 if is_outside(value, words, begin[test], size[test]) else 0.0
    for i in range(tests):
        before = earlier[start + i]
        for lane in range(LANES):
            came = follows[before, lane]
            follows[2 * i + 1, lane] = came * goes[i, lane]
            follows[2 * i + 2, lane] = came - came * goes[i, lane]


@compile_kernel
def add_interactions(X, nodes, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add each row's SHAP interaction values to out (n, k, p, p), half a pair's in each of its two places, none on the diagonal.

    A pair's Shapley interaction index is the integral of the second difference of each leaf's product (Grabisch and Roubens
    1999), whose degree is two less than its columns: the points that are exact for single columns are so for pairs.
    `nodes` are NodeArrays.
    """
    (roots, output, feature, threshold, default_left, left, right, leaf, begin, size, words, parent, before, share, points,
     weights) = nodes  # fmt: skip
    count, q, trees = feature.shape[0], points.shape[0], roots.shape[0]
    largest = 0
    for tree in range(trees):
        largest = max(largest, (roots[tree + 1] if tree + 1 < trees else count) - roots[tree])
    followed = np.empty(largest, np.bool_)
    next_node = np.empty(largest, np.int64)
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
                    follows = next_node[above] == node and (same < 0 or followed[same])
                    followed[i] = follows
                    for k in range(q):
                        factor = share[node] * (1.0 - points[k]) + (points[k] if follows else 0.0)
                        inverse[i, k] = 1.0 / factor
                        path[i, k] = path[above, k] * factor * (inverse[same, k] if same >= 0 else 1.0)
                if feature[node] != LEAF:
                    to_left = goes_left(X[row, feature[node]], node, threshold, default_left, (begin, size, words))
                    next_node[i] = left[node] if to_left else right[node]
                    continue
                # The nearest edge of each column on the way up stands for all of that column's tests.
                n_edges, up = 0, i
                while up > 0:
                    column, is_counted = feature[parent[first + up]], False
                    for e in range(n_edges):
                        is_counted = is_counted or feature[parent[first + edges[e]]] == column
                    if not is_counted:
                        edges[n_edges] = up
                        n_edges += 1
                    up = parent[first + up] - first
                for a in range(1, n_edges):
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
                        node[i] = left[k] if is_left(X[first + i, feature[k]], value[k], default_left[k]) else right[k]
                else:
                    for i in range(block_rows):
                        k = node[i]
                        to_left = goes_left(X[first + i, feature[k]], k, value, default_left, (begin, size, words))
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
