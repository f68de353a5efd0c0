"""Out-of-fold responses of any kind of target, and who may judge whom: a fold is judged by folds that knew nothing of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import MICROSECONDS_A_DAY, FoldPlan
from epic22.core.evaluation.crossval import FoldResponse
from epic22.core.task import Array

PIECES = 5
"""A single test part is cut into so many pieces, which judge one another."""


def turns_of(
    fold: Array, dealing: Array, forward: bool, at: Array | None = None, known: Array | None = None
) -> Iterator[tuple[Array, Array]]:
    """(rows that teach, rows that are judged) a fold; none teach the first of forward folds.

    Forward folds are taught by folds before, by rows whose label was known at the judged fold's first cutoff; others by all
    other folds of their own dealing.
    """
    for number in np.unique(fold):
        judged = fold == number
        if forward:
            teach = fold < number
            if at is not None and known is not None:
                teach &= known <= at[judged].min()
        else:
            teach = ~judged & (dealing == dealing[judged][0])
        yield np.flatnonzero(teach), np.flatnonzero(judged)


@dataclass(frozen=True)
class HeldOut:
    """Out-of-fold responses: values or probabilities of the positive class (n,), or class probabilities (n, k); rows may repeat.

    `y`, `fold`, `dealing`, `cluster`, `row`, `at` and `known` are (n,), as in `calibrate.OutOfFold`.
    """

    response: Array
    y: Array
    fold: Array
    dealing: Array
    cluster: Array
    row: Array
    forward: bool
    at: Array | None = None
    known: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> "HeldOut":
        """These rows alone."""
        at, known = (None if x is None else x[rows] for x in (self.at, self.known))
        cut = {name: getattr(self, name)[rows] for name in ("response", "y", "fold", "dealing", "cluster", "row")}
        return replace(self, **cut, at=at, known=known)

    @property
    def once(self) -> "HeldOut":
        """One row an example: those of the first dealing."""
        return self.take(np.flatnonzero(self.dealing == self.dealing.min())) if len(self) else self

    @property
    def weight(self) -> Array:
        """What each row counts, (n,): a row that was dealt five times counts a fifth each time."""
        _, place, count = np.unique(self.row, return_inverse=True, return_counts=True)
        return np.asarray(1.0 / count[place])

    def turns(self) -> Iterator[tuple[Array, Array]]:
        """(rows that teach, rows that are judged) a fold."""
        return turns_of(self.fold, self.dealing, self.forward, self.at, self.known)


def held_out(parts: tuple[FoldResponse, ...], examples: Examples, plan: FoldPlan) -> HeldOut:
    """An evaluation's parts as one table. Labels are known `plan.gap` days after the cutoff.

    A single test part (a holdout) is cut into pieces: forward in time where its rows have a time, else by cluster.
    """
    row = np.concatenate([part.fold.test for part in parts])
    size = [len(part.fold.test) for part in parts]
    cluster = row if plan.clusters is None else plan.clusters[row]
    single = len(parts) == 1
    at = examples.at[row]
    forward = plan.kind == "walk_forward" or (single and bool(at.min() != at.max()))
    gap = np.timedelta64(round(plan.gap * MICROSECONDS_A_DAY), "us")
    return HeldOut(
        response=np.concatenate([part.response for part in parts]),
        y=examples.y[row],
        fold=_pieces(at, cluster, forward) if single else np.repeat(np.arange(len(parts)), size),
        dealing=np.repeat([part.fold.repeat for part in parts], size),
        cluster=cluster,
        row=row,
        forward=forward,
        at=at if forward else None,
        known=at + gap if forward else None,
    )


def _pieces(at: Array, cluster: Array, forward: bool) -> Array:
    """The piece of a single test part each row lies in, (n,); rows of one moment, or of one cluster, stay together."""
    if forward:
        return np.asarray(np.searchsorted(np.sort(at), at) * PIECES // len(at))
    return np.asarray(np.unique(cluster, return_inverse=True)[1] % PIECES)
