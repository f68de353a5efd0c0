"""A bootstrap over clusters: every metric of every part in many draws.

A draw gives each cluster a whole number of times; a row drawn k times weighs k. A metric that has no way through many draws at
once (`drawn.DRAWN`) is called draw by draw, on rows in the order of their response.

d = draws, n = rows of a part, c = clusters, u = clusters of a part. Draws are (d, c); a summary gets its part's, (d, u).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from epic22.core.evaluation.drawn import Drawn, Part, Summary, way_of
from epic22.core.task import Array, Metric, Rows

CHUNK = 2_000_000
"""Entries of an array that are held for some draws at once."""


def draw_times(count: int, draws: int, seed: int, rows: int) -> Iterator[Array]:
    """How often each of `count` clusters is drawn, (d, count) at a time until `draws`; `rows` of a part bound the memory."""
    rng = np.random.default_rng([seed, 22])
    step = max(1, CHUNK // max(count, rows))
    for first in range(0, draws, step):
        drawn = (rng.integers(0, count, count) for _ in range(min(step, draws - first)))
        yield np.stack([np.bincount(units, minlength=count) for units in drawn]).astype(np.float64)


def draws_of(measured: Sequence[Metric], parts: Sequence[Part], draws: int, seed: int) -> Array:
    """Each metric in each draw and part, (metrics, draws, parts); NaN where undefined, or nothing of a part was drawn."""
    count = 1 + max(int(part.unit.max()) for part in parts)
    held = [_own_units(part) for part in parts]
    prepared = [_prepared(measured, part) for part, _ in held]
    rows = max(len(part.y) for part in parts)
    blocks = [
        np.stack([_values(measured, part, ways, times[:, used]) for (part, used), ways in zip(held, prepared, strict=True)], -1)
        for times in draw_times(count, draws, seed, rows)
    ]
    return np.concatenate(blocks, axis=1)


def values_at(metric: Metric, part: Part, times: Array) -> Array:
    """One metric of one part where each cluster counts so many times, times (d, c): (d,)."""
    own, used = _own_units(part)
    return np.asarray(_values((metric,), own, _prepared((metric,), own), times[:, used])[0])


def _own_units(part: Part) -> tuple[Part, Array | slice]:
    """The part with its own clusters numbered from 0, and where they stand among all; a slice spares a copy."""
    used, code = np.unique(part.unit, return_inverse=True)
    whole = used[-1] - used[0] + 1 == len(used)
    return Part(part.y, part.response, code), slice(used[0], used[-1] + 1) if whole else used


Prepared = Mapping[Callable[[Part], Summary], Summary]


def _prepared(measured: Sequence[Metric], part: Part) -> Prepared:
    """One summary for all metrics that share it."""
    ways = {drawn.prepare for metric in measured if (drawn := drawn_of(metric, part)) is not None}
    return {prepare: prepare(part) for prepare in ways}


def drawn_of(metric: Metric, part: Part) -> Drawn | None:
    """The metric's way through many draws, None where it has none (or where class probabilities are of two classes)."""
    own: Drawn | None = getattr(metric.score, "drawn", None)
    if own is not None:
        return own
    return None if part.response.shape[1:] == (2,) else way_of(metric.score)


def _values(measured: Sequence[Metric], part: Part, summaries: Prepared, times: Array) -> Array:
    """(metrics, d) of one part."""
    summed = {prepare: summary(times) for prepare, summary in summaries.items()}
    made = np.empty((len(measured), len(times)))
    for row, metric in enumerate(measured):
        drawn = drawn_of(metric, part)
        made[row] = _one_by_one(metric, part, times) if drawn is None else drawn.finish(*summed[drawn.prepare])
    return made


def _one_by_one(metric: Metric, part: Part, times: Array) -> Array:
    """The metric called a draw; rows are sorted by response, so that a metric that sorts them has little left to do."""
    order = np.argsort(-part.response, kind="stable") if part.response.ndim == 1 else np.arange(len(part.y))
    y, response, unit = part.y[order], part.response[order], part.unit[order]
    weights = (one[unit] for one in times)
    return np.array([metric.score(y, response, Rows(weight=w)) if w.any() else math.nan for w in weights])
