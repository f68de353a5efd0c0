"""The families of a panel beside one another: those that forecast alike named once, and their combination."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.backtest import Backtest, OriginPlan
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.forecast_metrics import compute_naive_scales
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.models.panel.catalog import get_panel_family
from epic22.core.models.panel.combination import combine_quantiles
from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.selection.ensemble import compute_combination_weights
from epic22.core.time_series import Array, Histories
from epic22.services.training_run import (
    COMBINATION,
    EqualForecast,
)

NEARLY_NOTHING = 0.01
"""A last value of less than this share of a series' recent ones says nothing of its size."""


@dataclass(frozen=True)
class SeriesPlan:
    """The origins, those that choose and those that judge, and the examples at them."""

    origins: OriginPlan
    examples: PanelExamples

    @cached_property
    def sizes(self) -> "RowSizes":
        """In what the errors of the rows are measured."""
        return RowSizes.of(self.examples.histories, compute_naive_scales(self.examples, 1)[0], self.origins.frequency.season)


@dataclass(frozen=True)
class RowSizes:
    """In what the errors of n rows are measured, (n,) each: `last`, the size of the last value; where a series comes `near_zero`
    that says nothing of its size, and there its `step`, the mean change a period, counts."""

    last: Array
    step: Array
    near_zero: Array

    @classmethod
    def of(cls, histories: Histories, step: Array, season: int) -> "RowSizes":
        """Of the rows' histories and steps.

        Near zero are values of a series, never below it, that are not seen in logarithms, and a last value of nearly nothing.
        """
        growth, last = LogGrowth(histories, season), np.abs(histories.last)
        never_below = ~np.any(growth.window < 0, axis=1)
        near_zero = (never_below & ~growth.is_log) | (last < NEARLY_NOTHING * growth.level)
        return cls(np.maximum(last, 1e-9), step, near_zero)

    def compute_scales(self, rows: Array) -> Array:
        """The unit of each row's errors, by a mask of the rows that are known (n,): a series near zero counts as much as the
        others do in the middle, for errors beside a last value of nearly nothing would outweigh all others'."""
        last, step, near_zero = self.last[rows], self.step[rows], self.near_zero[rows]
        usual = step[~near_zero] / last[~near_zero]
        return np.where(near_zero, step / (float(np.median(usual)) if len(usual) else 1.0), last)


@dataclass(frozen=True)
class SeriesBoard:
    """Every family's forecasts from every origin, the combination's of its `members` last.

    `equals` are the candidates that forecast what another does, to the digit: they are named and not raced twice.
    """

    forecasts: tuple[Backtest, ...]
    members: tuple[str, ...]
    equals: tuple[EqualForecast, ...] = ()

    def get_representative(self, family: str) -> str:
        """The family itself, or the one on the board that forecasts the same."""
        return next((one.equals for one in self.equals if one.family == family and one.everywhere), family)


def incumbent_backtest(examples: PanelExamples) -> tuple[Backtest, ...]:
    """The incumbent's forecasts, all quantiles of which are its one value; nothing where the task has no incumbent."""
    if examples.incumbent is None:
        return ()
    return (Backtest(INCUMBENT, np.repeat(examples.incumbent[:, :, None], len(QUANTILE_LEVELS), axis=2), 0.0, 0.0),)


def build_board(plan: SeriesPlan, backtests: Sequence[Backtest]) -> SeriesBoard:
    """The families, those that equal another named, and their combination last."""
    families = drop_equal_forecasts(plan, SeriesBoard(tuple(backtests), ()))
    entering = (families.get_representative(f.family) for f in backtests if get_panel_family(f.family).in_combination)
    members = tuple(name for name in dict.fromkeys(entering) if name != "naive")
    combination = combine_backtests(plan, families.forecasts, members)
    return drop_equal_forecasts(plan, replace(families, forecasts=(*families.forecasts, combination), members=members))


def drop_equal_forecasts(plan: SeriesPlan, board: SeriesBoard) -> SeriesBoard:
    """The board without the candidates that forecast what an earlier one does, to the digit, from every origin.

    Those that do so from the test origins alone are named and stay: the test chooses nothing. Baselines stay too, for the
    others are measured from them.
    """
    test = np.isin(plan.examples.origin, plan.origins.test)
    forecasts: list[Backtest] = []
    equals = [one for one in board.equals if one.everywhere]
    for candidate in board.forecasts:
        if not is_panel_baseline(candidate.family) and (twin := _find_twin(candidate, forecasts, test)) is not None:
            equals.append(twin)
            if twin.everywhere:
                continue
        forecasts.append(candidate)
    return replace(board, forecasts=tuple(forecasts), equals=tuple(equals))


def _find_twin(candidate: Backtest, others: Sequence[Backtest], test: Array) -> EqualForecast | None:
    """The first of the others that forecasts the same from the test origins, rather one that does so from every origin."""
    twins = [f for f in others if np.array_equal(f.quantiles[test], candidate.quantiles[test], equal_nan=True)]
    for twin in twins:
        if np.array_equal(twin.quantiles, candidate.quantiles, equal_nan=True):
            return EqualForecast(candidate.family, twin.family)
    return EqualForecast(candidate.family, twins[0].family, everywhere=False) if twins else None


def combine_backtests(plan: SeriesPlan, forecasts: Sequence[Backtest], members: tuple[str, ...]) -> Backtest:
    """The members weighted, for each block by what was known of their errors at its first origin."""
    quantiles = np.full_like(forecasts[0].quantiles, np.nan)
    by_name = {f.family: f for f in forecasts}
    for block in plan.origins.split_blocks():
        rows = np.flatnonzero(np.isin(plan.examples.origin, block))
        weights = compute_weights(plan, forecasts, members, int(block[0]))
        stacked = np.stack([by_name[name].quantiles[rows] for name in (*members, "naive")])
        quantiles[rows] = combine_quantiles(stacked, weights)
    member_backtests = [f for f in forecasts if f.family in members]
    return Backtest(
        COMBINATION, quantiles, sum(f.fit_seconds for f in member_backtests), sum(f.ms_per_row for f in member_backtests)
    )


def compute_weights(plan: SeriesPlan, forecasts: Sequence[Backtest], members: tuple[str, ...], origin: int) -> Array:
    """The weights (horizon, members + 1) by the errors known at an origin; the last is the naive rule's.

    At a horizon where a member forecasts what an earlier one does, to the digit, it has no weight.
    """
    examples, by_name = plan.examples, {f.family: f for f in forecasts}
    weights = np.zeros((plan.origins.horizon, len(members) + 1))
    for h in range(plan.origins.horizon):
        known = (examples.origin + h + 1 <= origin) & np.isfinite(examples.Y[:, h])
        count = len(np.unique(examples.origin[known]))
        if not count or not members:
            weights[h, :-1] = 1 / max(len(members), 1)
            weights[h, -1] = 0.0 if members else 1.0
            continue
        naive, scale = by_name["naive"].median, plan.sizes.compute_scales(known)
        errors = np.stack([(by_name[m].median[known, h] - examples.Y[known, h]) / scale for m in members])
        naive_errors = (naive[known, h] - examples.Y[known, h]) / scale
        distinct = find_distinct_forecasts(errors)
        blocks = plan.origins.count_effective_blocks(h + 1, count)
        weights[h, distinct] = compute_combination_weights(errors[distinct], naive_errors, blocks)
        weights[h, -1] = 1.0 - weights[h, :-1].sum()
    return weights


def find_distinct_forecasts(errors: Array) -> Array:
    """Which of the errors (m, n) are no copies of earlier ones, ascending: a forecast that is there twice has one share.

    >>> find_distinct_forecasts(np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])).tolist()
    [0, 1]
    """
    return np.sort(np.unique(errors, axis=0, return_index=True)[1])


def is_panel_baseline(name: str) -> bool:
    """Whether a name on the board is a rule to be beaten; the combination is not one."""
    return name == INCUMBENT or (name != COMBINATION and get_panel_family(name).is_baseline)
