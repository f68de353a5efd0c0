"""Is one family better than another? Paired on the same folds, or not at all."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.errors import InternalError
from epic22.core.evaluation.crossval import (
    CONFIDENCE,
    Evaluation,
    corrected_error,
    fold_draws,
    fold_means,
    percentiles,
)
from epic22.core.task import Array, Kind, Metric


@dataclass(frozen=True)
class Verdict:
    """Champion against rival. `difference` > 0: the champion is better, in the metric's unit, whichever way it runs.


    `horizon` is "all" for a figure pooled over horizons. `p` is two-sided.
    `enough_data` is whether the interval excludes zero; where it does not, `advice` says what it would take.
    """

    against: str
    target: str
    horizon: float | str | None
    metric: str
    difference: float
    low: float
    high: float
    p: float
    enough_data: bool
    method: str
    advice: str


def compare(
    a: Evaluation, b: Evaluation, metric: Metric, examples: Examples, plan: FoldPlan, kind: Kind, seed: int = 0
) -> Verdict:
    """The verdict on `a` against `b`, by the metric, on the plan that both were evaluated on.

    Re-dealt folds: corrected resampled t on the fold differences (Nadeau and Bengio 2003). Otherwise: paired bootstrap in
    which whole groups, or blocks of time, are drawn (Field and Welsh 2007).

    Raises InternalError for evaluations of different folds or of another plan.
    """
    if not a.fingerprint == b.fingerprint == plan.fingerprint(examples.data_version):
        raise InternalError(f"{a.family} and {b.family} were evaluated on different folds and cannot be compared.")
    folds = np.array([metric.gain(x, y) for x, y in zip(a.score(metric.name).folds, b.score(metric.name).folds, strict=True)])
    folds = folds[~np.isnan(folds)]
    difference = float(folds.mean()) if len(folds) else math.nan
    if plan.kind in ("repeated", "repeated_stratified"):
        low, high, p, method = _corrected_t(folds, plan)
    else:
        low, high, p, method = _paired_bootstrap(a, b, metric, examples, plan, seed)
    sure = bool(low > 0 or high < 0)
    advice = "" if sure else _advice(difference, low, high, examples, kind)
    return Verdict(b.family, a.target, a.horizon, metric.name, difference, low, high, p, sure, method, advice)


def _corrected_t(folds: Array, plan: FoldPlan) -> tuple[float, float, float, str]:
    name = f"corrected resampled t over {len(folds)} folds"
    if len(folds) < 2 or folds.var(ddof=1) == 0:
        mean = float(folds.mean()) if len(folds) else math.nan
        return mean, mean, 0.0 if mean else 1.0, name
    error, mean = corrected_error(folds, plan), float(folds.mean())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(folds) - 1)) * error
    return mean - half, mean + half, float(2 * stats.t.sf(abs(mean / error), len(folds) - 1)), name


def _paired_bootstrap(
    a: Evaluation, b: Evaluation, metric: Metric, examples: Examples, plan: FoldPlan, seed: int
) -> tuple[float, float, float, str]:
    """Both are scored on the same draws: one plan and seed draw the same clusters."""
    first, second = (fold_draws((metric,), one.parts, examples, plan, seed)[0] for one in (a, b))
    draws = fold_means(first - second if metric.greater_is_better else second - first)
    low, high = percentiles(draws)
    present = draws[~np.isnan(draws)]
    tail = (1 + min((present <= 0).sum(), (present >= 0).sum())) / (1 + len(present))
    return low, high, float(min(1.0, 2 * tail)), f"paired bootstrap, {_units(plan, examples)}"


def _units(plan: FoldPlan, examples: Examples) -> str:
    tested = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    if plan.clusters is None:
        return f"{len(tested)} rows drawn"
    return f"{len(np.unique(plan.clusters[tested]))} clusters drawn"


def _advice(difference: float, low: float, high: float, examples: Examples, kind: Kind) -> str:
    """How many more rows, or positives, would show a difference of the size seen (its error shrinks with the root)."""
    half = (high - low) / 2
    if not difference or math.isnan(half):
        return "no difference seen"
    have = int((examples.y == 1).sum()) if kind == "binary" else len(examples)
    needed = math.ceil(have * max(0.0, (half / abs(difference)) ** 2 - 1))
    return f"can't tell: about {needed:,} more {'positives' if kind == 'binary' else 'rows'} would be needed"
