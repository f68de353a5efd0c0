"""Each use of the bootstrap draws whole clusters, from a stream of random numbers of its own."""

import numpy as np

from epic22.core.evaluation.bootstrap import (
    CLUSTERS,
    FOLDS,
    SAVINGS,
    bootstrap_totals,
    draw_cluster_counts,
    resample_folds,
)


def test_each_replicate_draws_as_many_clusters_as_there_are_and_chunks_change_nothing() -> None:
    in_one = np.concatenate(list(draw_cluster_counts(30, 50, seed=4, rows=30)))
    in_chunks = np.concatenate(list(draw_cluster_counts(30, 50, seed=4, rows=1_000_000)))
    assert (in_one.sum(axis=1) == 30).all()
    assert (in_one == in_chunks).all()


def test_uses_of_the_bootstrap_with_one_seed_draw_different_clusters() -> None:
    assert len({CLUSTERS, SAVINGS, FOLDS}) == 3
    own, other = (next(draw_cluster_counts(40, 20, 1, 40, stream)) for stream in (CLUSTERS, SAVINGS))
    assert (own != other).any()


def test_totals_are_the_sums_of_the_clusters_drawn() -> None:
    sums = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    totals = bootstrap_totals(sums, 300, seed=0, stream=SAVINGS)
    times = np.concatenate(list(draw_cluster_counts(3, 300, 0, 3, SAVINGS)))
    assert (totals == times @ sums).all()
    assert (totals[:, 1] == 10 * totals[:, 0]).all()


def test_resampled_folds_are_folds_of_the_same_replicate() -> None:
    replicates = np.arange(24.0).reshape(4, 2, 3)
    resampled = resample_folds(replicates, seed=2)
    assert resampled.shape == replicates.shape
    assert all(set(resampled[d, s]) <= set(replicates[d, s]) for d in range(4) for s in range(2))
    # One draw of folds serves all shares of a replicate.
    assert (resampled[:, 1] - resampled[:, 0] == 3).all()
