"""Permutation importance: what the deciding metric loses on held-out rows when a column's values are dealt anew (Breiman 2001).

Values are dealt within a fold's test rows, and where rows cluster, from another cluster as a whole: dealt row by row, the luck of
a column that is the same for all rows of a tenant would look smaller than it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.drawn import Part
from epic22.core.evaluation.estimate import NO_LUCK, Estimate, Luck, estimate_loss
from epic22.core.evaluation.explained import Sample, Samples
from epic22.core.evaluation.resample import draws_of
from epic22.core.models.base import response_of
from epic22.core.task import Array, Kind, Metric, Rows

DRAWS = 200
ROWS_DEALT = 1000
"""A fold with fewer rows is dealt several times, up to MOST_DEALS, for the luck of one deal is larger there."""
MOST_DEALS = 5


def permuted(samples: Samples, groups: Sequence[tuple[int, ...]], metric: Metric, kind: Kind, seed: int) -> list[Estimate]:
    """What each group of columns, dealt together, is worth on held-out rows; in the metric's unit, positive = worse without."""
    dealers = [_Dealer.of(sample, kind, np.random.default_rng([seed, 3, f])) for f, sample in enumerate(samples.folds)]
    drawn = _Draws(dealers, metric, seed)
    made = []
    for group in groups:
        after = [dealer.responses(group) for dealer in dealers]
        folds = np.array([dealer.loss(metric, responses) for dealer, responses in zip(dealers, after, strict=True)])
        changed = any(responses for responses in after)
        made.append(estimate_loss(folds, drawn.luck(after) if changed else NO_LUCK, samples.shared))
    return made


@dataclass(frozen=True)
class _Dealer:
    """A fold's rows with the row that each takes a value from, a deal: (deals, m)."""

    sample: Sample
    kind: Kind
    donors: Array
    response: Array

    @classmethod
    def of(cls, sample: Sample, kind: Kind, rng: np.random.Generator) -> "_Dealer":
        deals = int(np.clip(np.ceil(ROWS_DEALT / len(sample.rows)), 1, MOST_DEALS))
        donors = np.array([donors_of(sample.unit, rng) for _ in range(deals)])
        return cls(sample, kind, donors, response_of(sample.fitted.estimator, sample.X, kind))

    def responses(self, group: tuple[int, ...]) -> list[Array]:
        """The responses a deal; none where this fold's model uses none of the columns."""
        used = [column for column in group if self.sample.parts[:, :, column].any()]
        if not used:
            return []
        places, made = self.sample.places[used], []
        for donors in self.donors:
            X = self.sample.X.copy()
            X[:, places] = self.sample.X[donors][:, places]
            made.append(response_of(self.sample.fitted.estimator, X, self.kind))
        return made

    def loss(self, metric: Metric, responses: list[Array]) -> float:
        """How much better the metric is before the deal, over the deals."""
        y, own = self.sample.y, metric.score(self.sample.y, self.response, Rows())
        return float(np.mean([metric.gain(own, metric.score(y, one, Rows())) for one in responses])) if responses else 0.0


class _Draws:
    """Draws of clusters, on which responses before and after a deal are both scored."""

    def __init__(self, dealers: Sequence[_Dealer], metric: Metric, seed: int) -> None:
        self.dealers, self.metric, self.seed = dealers, metric, seed
        self.before = self._draws([dealer.response for dealer in dealers])

    def _draws(self, responses: Sequence[Array]) -> Array:
        parts = [
            Part(dealer.sample.y, response, dealer.sample.unit) for dealer, response in zip(self.dealers, responses, strict=True)
        ]
        return np.asarray(draws_of((self.metric,), parts, DRAWS, self.seed)[0])

    def luck(self, after: Sequence[list[Array]]) -> Luck:
        """That of the first deal's loss."""
        responses = [made[0] if made else dealer.response for dealer, made in zip(self.dealers, after, strict=True)]
        lost = self.before - self._draws(responses)
        lost = lost[~np.isnan(lost).any(axis=1)]
        if len(lost) < DRAWS / 2:
            return Luck(math.nan, math.nan)
        return Luck(float(lost.mean(axis=1).var(ddof=1)), float(lost.var(axis=0, ddof=1).mean()))


def donors_of(unit: Array, rng: np.random.Generator) -> Array:
    """For each row (m,) the row whose value it takes: of the cluster that is dealt to its own; any row where all are of one."""
    clusters, code, sizes = np.unique(unit, return_inverse=True, return_counts=True)
    if len(clusters) == 1 or sizes.max() == 1:
        return rng.permutation(len(unit))
    members = np.split(np.argsort(code, kind="stable"), np.cumsum(sizes)[:-1])
    order, donors = rng.permutation(len(clusters)), np.empty(len(unit), dtype=np.int64)
    for own, other in zip(order, np.roll(order, 1), strict=True):
        donors[members[own]] = np.resize(rng.permutation(members[other]), len(members[own]))
    return donors
