"""Out-of-fold responses of any kind of target, and who may judge whom: a fold is judged by folds that knew nothing of it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import MICROSECONDS_A_DAY, FoldPlan
from epic22.core.evaluation.crossval import FoldResponse
from epic22.core.task import Array

PIECES = 5
"""A single test part is cut into so many pieces, which judge one another."""


@dataclass(frozen=True, kw_only=True)
class FoldRows:
    """Rows of folds that judge, (n,) each: the class or value `y` and fold number a row; rows may repeat.

    `dealing` counts re-dealt folds: a fold is judged by folds of its own dealing. `cluster` is what errs together, `row` the
    position in the examples. `forward`: fold numbers go with time, and only folds before teach. `known` is when a row's label was
    known, `at` its cutoff; both or neither, datetime64.
    """

    y: Array
    fold: Array
    dealing: Array
    cluster: Array
    row: Array
    forward: bool
    at: Array | None = None
    known: Array | None = None

    @classmethod
    def of_parts(cls, parts: tuple[FoldResponse, ...], examples: Examples, plan: FoldPlan, forward: bool, **own: Array) -> Self:
        """An evaluation's parts as one table, with the columns that are its `own`. Labels are known `plan.gap` days after the
        cutoff."""
        row = np.concatenate([part.fold.test for part in parts])
        size = [len(part.fold.test) for part in parts]
        at = examples.at[row] if forward else None
        gap = np.timedelta64(round(plan.gap * MICROSECONDS_A_DAY), "us")
        return cls(
            y=examples.y[row],
            fold=np.repeat(np.arange(len(parts)), size),
            dealing=np.repeat([part.fold.repeat for part in parts], size),
            cluster=row if plan.clusters is None else plan.clusters[row],
            row=row,
            forward=forward,
            at=at,
            known=None if at is None else at + gap,
            **own,
        )

    def take(self, rows: Array) -> Self:
        """These rows alone."""
        columns = ((f.name, getattr(self, f.name)) for f in fields(self))
        cut: dict[str, Any] = {name: column[rows] for name, column in columns if isinstance(column, np.ndarray)}
        return replace(self, **cut)

    def turns(self) -> Iterator[tuple[Array, Array]]:
        """(rows that teach, rows that are judged) a fold; none teach the first of forward folds.

        Forward folds are taught by folds before, by rows whose label was known at the judged fold's first cutoff; others by all
        other folds of their own dealing.
        """
        for number in np.unique(self.fold):
            judged = self.fold == number
            if self.forward:
                teach = self.fold < number
                if self.at is not None and self.known is not None:
                    teach &= self.known <= self.at[judged].min()
            else:
                teach = ~judged & (self.dealing == self.dealing[judged][0])
            yield np.flatnonzero(teach), np.flatnonzero(judged)


@dataclass(frozen=True, kw_only=True)
class HeldOut(FoldRows):
    """Out-of-fold responses: values or probabilities of the positive class (n,), or class probabilities (n, k)."""

    response: Array

    def __len__(self) -> int:
        return len(self.y)

    @property
    def once(self) -> "HeldOut":
        """One row an example: those of the first dealing."""
        return self.take(np.flatnonzero(self.dealing == self.dealing.min())) if len(self) else self

    @property
    def parted(self) -> "HeldOut":
        """The same rows; a single fold cut into pieces that judge one another."""
        if not len(self) or self.fold.min() != self.fold.max():
            return self
        at = self.row if self.at is None else self.at
        return replace(self, fold=_pieces(at, self.cluster, self.forward))

    @property
    def weight(self) -> Array:
        """What each row counts, (n,): a row that was dealt five times counts a fifth each time."""
        _, place, count = np.unique(self.row, return_inverse=True, return_counts=True)
        return np.asarray(1.0 / count[place])


def held_out(parts: tuple[FoldResponse, ...], examples: Examples, plan: FoldPlan) -> HeldOut:
    """An evaluation's parts as one table.

    A single test part (a holdout) is cut into pieces: forward in time where its rows have a time, else by cluster.
    """
    response, at = np.concatenate([part.response for part in parts]), examples.at[parts[0].fold.test]
    single = len(parts) == 1
    forward = plan.kind == "walk_forward" or (single and bool(at.min() != at.max()))
    return HeldOut.of_parts(parts, examples, plan, forward, response=response).parted


def _pieces(at: Array, cluster: Array, forward: bool) -> Array:
    """The piece of a single test part each row lies in, (n,); rows of one moment, or of one cluster, stay together."""
    if forward:
        return np.asarray(np.searchsorted(np.sort(at), at) * PIECES // len(at))
    return np.asarray(np.unique(cluster, return_inverse=True)[1] % PIECES)
