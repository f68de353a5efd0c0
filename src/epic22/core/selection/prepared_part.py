"""The rows of a training part, prepared for a search."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.fit_store import list_array_bytes
from epic22.core.lineage import sha256
from epic22.core.selection.trials import SearchData, slice_folds
from epic22.core.task import Array

DEALING_SEED = 100_003
"""What the seeds of fits grow by from one dealing of inner folds to the next."""


@dataclass(frozen=True)
class PreparedPart:
    """The rows of a training part, prepared for a search: `rows` (n,) are their positions among all, `data` what trials see.

    `times` (n,): the times of the rows where the inner folds go forward. `deal_folds(number)` deals the inner folds anew; None
    where there is but one way.
    """

    rows: Array
    preprocessor: Preprocessor
    times: Array | None
    threads: int
    data: SearchData
    deal_folds: Callable[[int], tuple[Fold, ...]] | None = None

    @cached_property
    def name(self) -> str:
        """Equal where trials see the same problem, matrices, labels, inner folds and seed; the name of the part's study."""
        data = self.data
        how = (data.problem, data.metric.name, data.refit, data.seed)
        positions = [positions for fold in data.folds for positions in (fold.train, fold.test)]
        own_matrices = [data.get_fold(i).digest.encode() for i in range(len(data.folds))] if data.encodes_labels else []
        return sha256(repr(how).encode(), *list_array_bytes(data.X, data.y, *positions), *own_matrices)[:16]

    def deal_again(self, number: int) -> SearchData:
        """What trials see with the inner folds of another dealing, the `number`-th from 1 on; ValueError where there is none."""
        if self.deal_folds is None:
            raise ValueError("the inner folds of this part are dealt in one way")
        folds, data = self.deal_folds(number), self.data
        return replace(data, folds=folds, get_fold=slice_folds(data.X, data.y, folds), seed=data.seed + DEALING_SEED * number)
