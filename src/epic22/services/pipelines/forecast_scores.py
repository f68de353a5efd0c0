"""What the forecasts of a panel score on its test origins, and what the champion is worth beside others."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import polars as pl

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.errors import ColumnError
from epic22.core.evaluation.adaptive_conformal import AdaptedIntervals
from epic22.core.evaluation.backtest import Backtest
from epic22.core.evaluation.baselines import INCUMBENT, ORACLE
from epic22.core.evaluation.forecast_metrics import (
    COVERAGE_80,
    FORECAST_METRICS,
    PINBALL,
    SKILL,
    Horizon,
    ScoredRows,
    compare_forecasts,
    compute_score_with_interval,
    sum_by_origin,
)
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, is_certainly_better
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.progress import Progress
from epic22.core.task import Task
from epic22.core.time_series import Array
from epic22.services.pipelines.series_board import is_panel_baseline
from epic22.services.training_run import (
    ForecastEvaluation,
)


def record_coverage(adapted: AdaptedIntervals, rows: ScoredRows, test: Array) -> AdaptedIntervals:
    """The intervals with what they held of the test's values, a horizon, in per cent; 0 where there was no value."""
    hits, counts = sum_by_origin(COVERAGE_80, rows, adapted.quantiles[test]).sum(axis=1)
    coverage = 100 * hits / np.maximum(counts, 1)
    return replace(adapted, state=replace(adapted.state, coverage=tuple(float(c) for c in coverage)))


def score_backtests(
    forecasts: Sequence[Backtest], test: Array, rows: ScoredRows, progress: Progress
) -> tuple[ForecastEvaluation, ...]:
    """Every family's scores on the test origins, best skill first."""
    progress.begin("scores", len(forecasts))
    evaluations = []
    for forecast in forecasts:
        quantiles = forecast.quantiles[test]
        scores = []
        for metric in FORECAST_METRICS:
            horizons: list[Horizon] = [rows.trend_horizon] if metric.trend_only else ["all", *range(1, rows.plan.horizon + 1)]
            scores += [compute_score_with_interval(metric, rows, quantiles, horizon) for horizon in horizons]
        evaluations.append(ForecastEvaluation(forecast.family, forecast, tuple(scores)))
        progress.step()
    return tuple(sorted(evaluations, key=lambda e: -np.nan_to_num(e.score(SKILL.name).value, nan=-np.inf)))


def compare_champion(
    champion: ForecastEvaluation, leaderboard: tuple[ForecastEvaluation, ...], test: Array, rows: ScoredRows
) -> tuple[Verdict, ...]:
    """The champion against each baseline and the best other family: skill at the first, the trend's and the last horizon, and
    pooled; pinball pooled.

    Of each such figure p is adjusted for all rivals. The figures are not adjusted for one another: the pooled skill decides, and
    the others say of the same forecasts where it comes from.
    """
    others = [e for e in leaderboard if e.family != champion.family]
    rivals = [*(e for e in others if is_panel_baseline(e.family)), *[e for e in others if not is_panel_baseline(e.family)][:1]]
    horizons: list[Horizon] = ["all", *sorted({1, rows.trend_horizon, rows.plan.horizon})]
    own = champion.forecasts.quantiles[test]
    by_figure = [
        adjust_for_multiple_comparisons(
            [
                compare_forecasts((champion.family, one.family), (own, one.forecasts.quantiles[test]), metric, rows, horizon)
                for one in rivals
            ]
        )
        for metric, horizon in [*((SKILL, h) for h in horizons), (PINBALL, "all")]
    ]
    return tuple(chain.from_iterable(zip(*by_figure, strict=True)))


def is_proven(champion: str, verdicts: Sequence[Verdict]) -> bool:
    """Whether the champion learns something, and is certainly better than every rule that does not: of a random walk the drift
    alone is beaten by whatever repeats the last value, and nothing is proven by that."""
    rules = {verdict.against for verdict in verdicts if verdict.against != INCUMBENT and is_panel_baseline(verdict.against)}
    return not is_panel_baseline(champion) and all(is_certainly_better(verdicts, rule) for rule in rules)


def compare_with_true_medians(
    task: Task,
    champion: ForecastEvaluation,
    examples: PanelExamples,
    test: Array,
    rows: ScoredRows,
    truth: pl.DataFrame | None,
) -> tuple[ForecastEvaluation | None, tuple[Verdict, ...]]:
    """The best possible from the test origins, and the champion's differences in skill to it; nothing where it is not known.

    Raises ColumnError where the truth lacks a row of the test origins.
    """
    if truth is None:
        return None, ()
    plan = rows.plan
    steps = [f"h{h}" for h in range(1, plan.horizon + 1)]
    test_examples = examples.take(test)
    keys = pl.DataFrame({"entity": test_examples.entity, "cutoff": plan.frequency.starts(test_examples.origin + 1)})
    known = keys.join(truth, on=["entity", "cutoff"], how="left", maintain_order="left").select(steps)
    if known.null_count().sum_horizontal().item():
        raise ColumnError(f"task {task.name}: the truth is not stated for all {len(test):,} forecasts of the test origins.")
    quantiles = np.full((len(examples), plan.horizon, len(QUANTILE_LEVELS)), np.nan)
    quantiles[test] = np.repeat(known.to_numpy()[:, :, None], len(QUANTILE_LEVELS), axis=2)
    (oracle,) = score_backtests((Backtest(ORACLE, quantiles, 0.0, 0.0),), test, rows, Progress())
    pair = (champion.family, ORACLE)
    both = (champion.forecasts.quantiles[test], quantiles[test])
    horizons: list[Horizon] = ["all", 1, plan.horizon]
    return oracle, tuple(compare_forecasts(pair, both, SKILL, rows, h) for h in horizons)
