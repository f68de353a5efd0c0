"""Which forecast is the champion: the combination, or the best single family, by what was known before the test."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from epic22.core.evaluation.backtest import Backtest
from epic22.core.evaluation.forecast_metrics import (
    MIN_BLOCKS,
    PINBALL,
    ScoredRows,
    sum_by_origin,
)
from epic22.core.evaluation.independent_stretches import StretchGain, compare_over_stretches
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT
from epic22.core.time_series import Array
from epic22.services.pipelines.series_board import SeriesPlan
from epic22.services.training_run import (
    COMBINATION,
)

CLEAR_MARGIN = 0.2
"""Share of the best family's loss by which the combination may be behind where the stretches are too few to show a gain."""

EXACT_SHARE = 1e-9
"""Mean losses of less than this, in naive errors, are of the arithmetic; nothing can be told beside them."""


def choose_forecast(
    plan: SeriesPlan, candidates: Sequence[Backtest], season: int, combined: str = COMBINATION
) -> tuple[Backtest, str]:
    """The champion and why, by the pinball loss of the candidates' adapted quantiles on targets known before the first test
    origin.

    The combination, or the family `combined` that equals it, serves instead of the best single family only where the paired
    interval of its gain lies above zero, or holds no loss larger than the minimum effect while the gain exceeds that; neither its
    weights nor the intervals knew the origins that judge them. With fewer than MIN_BLOCKS independent stretches no interval can
    say so: there the combination, the safer of near equals (Stock and Watson 2004), stays while it is behind by less than
    CLEAR_MARGIN.
    """
    losses, counts = compute_known_losses(plan, candidates, season)
    combination = next(f for f in candidates if f.family == combined)
    singles = [f for f in candidates if f.family != COMBINATION]
    best = min(singles, key=lambda f: float(losses[f.family].sum()))
    total = float(losses[best.family].sum())
    if not counts.any() or total <= EXACT_SHARE * counts.sum():
        return combination, "no error before the test tells the families apart; none can be shown to be better"
    gain = compare_over_stretches(losses[best.family] - losses[combined], counts, plan.origins.horizon)
    stretches = plan.origins.count_effective_blocks(plan.origins.horizon, int((counts > 0).sum()))
    unit = total / float(counts.sum())
    serves = is_combination_better(gain, unit) if stretches >= MIN_BLOCKS else gain.mean.value > -CLEAR_MARGIN * unit
    chosen = combination if serves else best
    return chosen, describe_choice(chosen.family, best.family, combined, gain, unit, stretches)


def compute_known_losses(plan: SeriesPlan, candidates: Sequence[Backtest], season: int) -> tuple[dict[str, Array], Array]:
    """Each candidate's pinball losses by origin before the test, of targets known by its first origin, and their counts.

    Series that have never moved have no naive error that a loss could be measured in, and are left out.
    """
    examples, origins = plan.examples, plan.origins
    rows = np.flatnonzero(np.isin(examples.origin, origins.earlier))
    due = examples.origin[:, None] + np.arange(1, origins.horizon + 1)[None, :]
    counted = (due <= int(origins.test[0])) & examples.histories.is_lively()[:, None]
    known = replace(examples, Y=np.where(counted, examples.Y, np.nan)).take(rows)
    scored = ScoredRows.of(known, known.Y, replace(origins, test=origins.earlier), season, origins.horizon)
    sums = {f.family: sum_by_origin(PINBALL, scored, f.quantiles[rows]).sum(axis=2) for f in candidates}
    return {family: loss for family, (loss, _) in sums.items()}, next(iter(sums.values()))[1]


def is_combination_better(gain: StretchGain, unit: float) -> bool:
    """Whether a gain in loss beside the best family's `unit` is shown, or shown to hold no loss that matters while it matters."""
    smallest = DEFAULT_MINIMUM_EFFECT * unit
    return gain.mean.low > 0 or (gain.mean.value > smallest and gain.mean.low >= -smallest)


def describe_choice(champion: str, best: str, combined: str, gain: StretchGain, unit: float, stretches: float) -> str:
    """Why the champion was chosen, in words."""
    if best == combined:
        return f"{best} lost least in pinball before the test, and the combination equals it"
    share = gain.mean.value / unit
    sentence = (
        f"before the test {combined} lost {abs(share):.1%} {'less' if share > 0 else 'more'} in pinball than {best}, the best"
    )
    if gain.groups < 2:
        return f"{sentence}; {stretches:.1f} independent stretches tell no more"
    ends = f"95 % interval of its gain {gain.mean.low / unit:.1%} … {gain.mean.high / unit:.1%}"
    spread = f"{sentence} ({ends}, {stretches:.1f} independent stretches)"
    if stretches >= MIN_BLOCKS:
        return f"{spread}, so that its gain is {'shown' if champion == combined else 'not shown'}"
    side = "less" if champion == combined else "more"
    return f"{spread}: too few to show a gain, and it is {side} than {CLEAR_MARGIN:.0%} behind"
