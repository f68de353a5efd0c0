"""From a panel to a champion: origins, families, a combination, verdicts, intervals that adapt, bundle, registry."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.artifact.panel_bundle import PanelBundle, PanelSchema, compute_panel_model_hash, write_panel_bundle
from epic22.core.data.panel_examples import PanelExamples
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import ColumnError
from epic22.core.evaluation.adaptive_conformal import AdaptedIntervals, AdaptiveState, adapt_intervals
from epic22.core.evaluation.backtest import Backtest, OriginPlan, backtest, plan_origins
from epic22.core.evaluation.baselines import INCUMBENT, ORACLE
from epic22.core.evaluation.forecast_metrics import (
    FORECAST_METRICS,
    MIN_BLOCKS,
    PINBALL,
    SKILL,
    ForecastScore,
    Horizon,
    ScoredRows,
    compare_forecasts,
    compute_score_with_interval,
)
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.models.panel.catalog import get_panel_family
from epic22.core.ports import Registry
from epic22.core.selection.forecast_combination import compute_combination_weights
from epic22.core.task import Task
from epic22.core.time_series import Array, Frequency
from epic22.services.progress import Progress

COMBINATION = "combination"
BASELINE = "drift"
MIN_CYCLES = 2
MIN_HISTORY = 24
TREND_HORIZON = 3


@dataclass(frozen=True)
class ForecastConfig:
    """What the user asked: `holdout` periods at the end, the horizon at which a trend is told, the seed."""

    holdout: int | None = None
    trend_horizon: int = TREND_HORIZON
    seed: int = 0


@dataclass(frozen=True)
class ForecastEvaluation:
    """What a family is worth on the test origins: its scores by horizon and pooled, and all of its forecasts."""

    family: str
    forecasts: Backtest
    scores: tuple[ForecastScore, ...]

    def score(self, metric: str, horizon: Horizon = "all") -> ForecastScore:
        """The score of that metric at that horizon; KeyError where it was not measured."""
        return {(s.metric, s.horizon): s for s in self.scores}[metric, horizon]


@dataclass(frozen=True)
class ForecastRun:
    """All that a panel's training found; reports, tracking and answers are made of this.

    `weights` (horizon, members) are the combination's for the next forecasts; `intervals` the champion's adapted 80 % interval
    at every row of `examples`, `static` the same calibrated once; `test` are the rows of the test origins.
    """

    task: Task
    data_version: DataVersion
    notes: tuple[str, ...]
    plan: OriginPlan
    season: int
    examples: PanelExamples
    test: Array
    rows: ScoredRows
    leaderboard: tuple[ForecastEvaluation, ...]
    champion: ForecastEvaluation
    selection_reason: str
    members: tuple[str, ...]
    weights: Array
    adapted: AdaptedIntervals
    static: AdaptedIntervals
    verdicts: tuple[Verdict, ...]
    bundle: PanelBundle
    seed: int
    version: ModelVersion
    oracle: ForecastEvaluation | None = None
    shortfall: tuple[Verdict, ...] = ()

    @property
    def frequency(self) -> Frequency:
        """The panel's frequency."""
        return self.plan.frequency

    @property
    def shown_horizons(self) -> tuple[int, ...]:
        """The horizons that tables show: the first, the trend's, half way, the last."""
        last = self.plan.horizon
        return tuple(sorted({1, min(self.rows.trend_horizon, last), max(1, last // 2), last}))


def train_panel(
    data: PanelTaskData,
    config: ForecastConfig,
    registry: Registry,
    threads: int,
    progress: Progress = Progress(),
    truth: pl.DataFrame | None = None,
) -> ForecastRun:
    """Race the task's forecasting families from rolling origins, combine and calibrate on earlier ones, judge on the last.

    `truth` [entity, cutoff, h1…] holds the true medians of simulated series; it is only ever compared with.

    Raises SplitError where the data are too short for the horizon, ColumnError where nothing can be forecast.
    """
    task, seed = data.task, config.seed
    plan = plan_origins(
        data.first,
        data.last,
        len(task.target.horizons),
        _require_frequency(task),
        config.holdout,
        max(MIN_HISTORY, MIN_CYCLES * data.season) if data.last - data.first > 3 * MIN_HISTORY else 8,
    )
    examples = data.examples(plan.origins)
    forecasts = backtest_all(task, examples, plan, data.season, seed, threads, progress)
    members = tuple(f.family for f in forecasts if get_panel_family(f.family).in_combination)
    forecasts = (*forecasts, combine_backtests(forecasts, members, examples, plan))
    selected, selection_reason = choose_champion(forecasts, examples, plan)
    adapted, static = calibrate_intervals(selected, forecasts, members, examples, plan)
    test = np.flatnonzero(np.isin(examples.origin, plan.test))
    test_examples = examples.take(test)
    drift = next(f for f in forecasts if f.family == BASELINE).median[test]
    rows = ScoredRows.of(test_examples, drift, plan, data.season, min(config.trend_horizon, plan.horizon))
    forecasts = tuple(apply_interval(f, adapted) if f.family == selected.family else f for f in forecasts)
    leaderboard = evaluate_all((*forecasts, *incumbent_backtest(examples)), test, rows, plan, seed, progress)
    champion = next(e for e in leaderboard if e.family == selected.family)
    verdicts = compare_champion(task, champion, leaderboard, test, rows, plan, seed)
    oracle, shortfall = compare_with_oracle(task, champion, examples, test, rows, plan, truth, seed)
    weights = compute_next_weights(forecasts, members, examples, plan)
    bundle = fit_champion(data, champion, members, weights, adapted.state, verdicts, plan, seed, threads, progress)
    version = register_bundle(bundle, data, registry)
    return ForecastRun(
        task=task,
        data_version=data.data_version,
        notes=data.notes,
        plan=plan,
        season=data.season,
        examples=examples,
        test=test,
        rows=rows,
        leaderboard=leaderboard,
        champion=champion,
        selection_reason=selection_reason,
        members=members,
        weights=weights,
        adapted=adapted,
        static=static,
        verdicts=verdicts,
        bundle=bundle,
        seed=seed,
        version=version,
        oracle=oracle,
        shortfall=shortfall,
    )


def _require_frequency(task: Task) -> Frequency:
    if task.frequency is None:
        raise ColumnError(f"task {task.name} is not a forecast: it names no frequency.")
    return task.frequency


def backtest_all(
    task: Task, examples: PanelExamples, plan: OriginPlan, season: int, seed: int, threads: int, progress: Progress
) -> tuple[Backtest, ...]:
    """Every family from the same origins."""
    backtests = []
    for name in task.families:
        if name == "seasonal_naive" and season == 1:
            # Without a season it is the naive rule once more.
            continue
        progress.begin(f"{name}: {len(plan.origins)} origins", len(plan.split_blocks()))
        backtests.append(backtest(get_panel_family(name), examples, plan, season, seed, threads, progress.step))
    return tuple(backtests)


def incumbent_backtest(examples: PanelExamples) -> tuple[Backtest, ...]:
    """The incumbent's forecasts, all quantiles of which are its one value; nothing where the task has no incumbent."""
    if examples.incumbent is None:
        return ()
    return (Backtest(INCUMBENT, np.repeat(examples.incumbent[:, :, None], len(QUANTILE_LEVELS), axis=2), 0.0, 0.0),)


def combine_backtests(
    forecasts: tuple[Backtest, ...], members: tuple[str, ...], examples: PanelExamples, plan: OriginPlan
) -> Backtest:
    """The members weighted, for each block by what was known of their errors at its first origin."""
    quantiles = np.full_like(forecasts[0].quantiles, np.nan)
    for block in plan.split_blocks():
        rows = np.flatnonzero(np.isin(examples.origin, block))
        weights = compute_weights(forecasts, members, examples, plan, int(block[0]))
        quantiles[rows] = mix_quantiles(forecasts, members, weights, rows)
    member_backtests = [f for f in forecasts if f.family in members]
    return Backtest(COMBINATION, quantiles, sum(f.fit_seconds for f in member_backtests), sum(f.row_ms for f in member_backtests))


def compute_weights(
    forecasts: tuple[Backtest, ...], members: tuple[str, ...], examples: PanelExamples, plan: OriginPlan, origin: int
) -> Array:
    """The weights (horizon, members + 1) by the errors known at an origin; the last is the naive rule's."""
    by_name = {f.family: f for f in forecasts}
    weights = np.zeros((plan.horizon, len(members) + 1))
    level = np.maximum(np.abs(examples.histories.last), 1e-9)
    for h in range(plan.horizon):
        known = (examples.origin + h + 1 <= origin) & np.isfinite(examples.Y[:, h])
        count = len(np.unique(examples.origin[known]))
        if not count:
            weights[h, :-1] = 1 / max(len(members), 1)
            weights[h, -1] = 0.0 if members else 1.0
            continue
        naive, scale = by_name["naive"].median, level[known]
        errors = np.stack([(by_name[m].median[known, h] - examples.Y[known, h]) / scale for m in members])
        naive_errors = (naive[known, h] - examples.Y[known, h]) / scale
        weights[h, :-1] = compute_combination_weights(errors, naive_errors, plan.count_effective_blocks(h + 1, count))
        weights[h, -1] = 1.0 - weights[h, :-1].sum()
    return weights


def compute_next_weights(
    forecasts: tuple[Backtest, ...], members: tuple[str, ...], examples: PanelExamples, plan: OriginPlan
) -> Array:
    """The weights for forecasts from the end of the data: every error is known by then."""
    return compute_weights(forecasts, members, examples, plan, int(plan.test[-1]) + plan.horizon)


def mix_quantiles(forecasts: tuple[Backtest, ...], members: tuple[str, ...], weights: Array, rows: Array) -> Array:
    """The weighted quantiles of the members, (rows, horizon, q); ascending, as each member's are."""
    by_name = {f.family: f for f in forecasts}
    stacked = np.stack([by_name[name].quantiles[rows] for name in (*members, "naive")])
    return np.asarray(np.einsum("hm,mnhq->nhq", weights, stacked))


def choose_champion(forecasts: tuple[Backtest, ...], examples: PanelExamples, plan: OriginPlan) -> tuple[Backtest, str]:
    """The champion, by the targets that were known before the first test origin: the test only judges it.

    It is the combination, unless a single family had more skill by a clear margin on enough independent stretches of time:
    of two near equals, and on little evidence, a combination is the safer.
    """
    first = int(plan.test[0])
    horizons = np.arange(1, plan.horizon + 1)[None, :]
    known = (examples.origin[:, None] + horizons <= first) & np.isfinite(examples.Y)
    combination = next(f for f in forecasts if f.family == COMBINATION)
    blocks = plan.count_effective_blocks(plan.horizon, len(np.unique(examples.origin[known.any(axis=1)])))
    if blocks < MIN_BLOCKS:
        return combination, f"{blocks:.1f} independent stretches before the test cannot tell families apart"
    drift = next(f for f in forecasts if f.family == BASELINE).median
    base = float(np.abs(examples.Y - drift)[known].sum())
    skills = {f.family: 1 - float(np.abs(examples.Y - f.median)[known].sum()) / base for f in forecasts}
    best = max(skills, key=lambda name: skills[name])
    if skills[best] < skills[COMBINATION] + CLEAR_MARGIN:
        best = COMBINATION
    reason = (
        f"skill {skills[best]:.3f} before the test, {blocks:.1f} independent stretches (combination {skills[COMBINATION]:.3f})"
    )
    return next(f for f in forecasts if f.family == best), reason


CLEAR_MARGIN = 0.1
"""Skill by which a single family must have been ahead of the combination to be preferred."""


def calibrate_intervals(
    champion: Backtest,
    forecasts: tuple[Backtest, ...],
    members: tuple[str, ...],
    examples: PanelExamples,
    plan: OriginPlan,
) -> tuple[AdaptedIntervals, AdaptedIntervals]:
    """The champion's 80 % interval at every row, adapted over time; and calibrated once before the test, to compare with."""
    used = members if champion.family == COMBINATION else (champion.family,)
    stacked = np.stack([f.quantiles for f in forecasts if f.family in used])
    return adapt_intervals(champion.median, stacked, examples, plan), adapt_intervals(
        champion.median, stacked, examples, plan, adaptive=False
    )


def apply_interval(forecast: Backtest, adapted: AdaptedIntervals) -> Backtest:
    """The forecasts with the adapted interval: the median stays, the other quantiles are stretched with it."""
    return replace(forecast, quantiles=adapted.quantiles(forecast.median))


def evaluate_all(
    forecasts: tuple[Backtest, ...], test: Array, rows: ScoredRows, plan: OriginPlan, seed: int, progress: Progress
) -> tuple[ForecastEvaluation, ...]:
    """Every family's scores on the test origins, best skill first."""
    progress.begin("scores", len(forecasts))
    evaluations = []
    for forecast in forecasts:
        quantiles = forecast.quantiles[test]
        scores = []
        for metric in FORECAST_METRICS:
            horizons: list[Horizon] = [rows.trend_horizon] if metric.trend_only else ["all", *range(1, plan.horizon + 1)]
            scores += [compute_score_with_interval(metric, rows, quantiles, horizon, plan, seed) for horizon in horizons]
        evaluations.append(ForecastEvaluation(forecast.family, forecast, tuple(scores)))
        progress.step()
    return tuple(sorted(evaluations, key=lambda e: -np.nan_to_num(e.score(SKILL.name).value, nan=-np.inf)))


def compare_champion(
    task: Task,
    champion: ForecastEvaluation,
    leaderboard: tuple[ForecastEvaluation, ...],
    test: Array,
    rows: ScoredRows,
    plan: OriginPlan,
    seed: int,
) -> tuple[Verdict, ...]:
    """The champion against each baseline and the best other family: skill at the first, the trend's and the last horizon, and
    pooled; pinball pooled."""
    others = [e for e in leaderboard if e.family != champion.family]
    rivals = [e for e in others if not is_panel_baseline(e.family)][:1]
    horizons: list[Horizon] = ["all", *sorted({1, rows.trend_horizon, plan.horizon})]
    champion_quantiles = champion.forecasts.quantiles[test]
    return tuple(
        compare_forecasts(
            task.target.name,
            (champion.family, other.family),
            (champion_quantiles, other.forecasts.quantiles[test]),
            metric,
            rows,
            horizon,
            plan,
            seed,
        )
        for other in [*(e for e in others if is_panel_baseline(e.family)), *rivals]
        for metric, horizon in [*((SKILL, h) for h in horizons), (PINBALL, "all")]
    )


def compare_with_oracle(
    task: Task,
    champion: ForecastEvaluation,
    examples: PanelExamples,
    test: Array,
    rows: ScoredRows,
    plan: OriginPlan,
    truth: pl.DataFrame | None,
    seed: int,
) -> tuple[ForecastEvaluation | None, tuple[Verdict, ...]]:
    """The best possible from the test origins, and the champion's differences in skill to it; nothing where it is not known.

    Raises ColumnError where the truth lacks a row of the test origins.
    """
    if truth is None:
        return None, ()
    steps = [f"h{h}" for h in range(1, plan.horizon + 1)]
    test_examples = examples.take(test)
    keys = pl.DataFrame({"entity": test_examples.entity, "cutoff": plan.frequency.starts(test_examples.origin + 1)})
    known = keys.join(truth, on=["entity", "cutoff"], how="left", maintain_order="left").select(steps)
    if known.null_count().sum_horizontal().item():
        raise ColumnError(f"task {task.name}: the truth is not stated for all {len(test):,} forecasts of the test origins.")
    quantiles = np.full((len(examples), plan.horizon, len(QUANTILE_LEVELS)), np.nan)
    quantiles[test] = np.repeat(known.to_numpy()[:, :, None], len(QUANTILE_LEVELS), axis=2)
    (oracle,) = evaluate_all((Backtest(ORACLE, quantiles, 0.0, 0.0),), test, rows, plan, seed, Progress())
    pair = (champion.family, ORACLE)
    both = (champion.forecasts.quantiles[test], quantiles[test])
    horizons: list[Horizon] = ["all", 1, plan.horizon]
    return oracle, tuple(compare_forecasts(task.target.name, pair, both, SKILL, rows, h, plan, seed) for h in horizons)


def is_panel_baseline(name: str) -> bool:
    """Whether a name on the board is a rule to be beaten; the combination is not one."""
    return name == INCUMBENT or (name != COMBINATION and get_panel_family(name).is_baseline)


def fit_champion(
    data: PanelTaskData,
    champion: ForecastEvaluation,
    members: tuple[str, ...],
    weights: Array,
    state: AdaptiveState,
    verdicts: tuple[Verdict, ...],
    plan: OriginPlan,
    seed: int,
    threads: int,
    progress: Progress,
) -> PanelBundle:
    """Fit what the champion consists of on everything known at the end of the data, and pack it."""
    now = data.latest_histories()
    if not len(now):
        raise ColumnError("no series reaches the end of the data; there is nothing to forecast from.")
    combined = champion.family == COMBINATION
    used = (*members, "naive") if combined else (champion.family,)
    mixing = weights if combined else np.ones((plan.horizon, 1))
    progress.begin("fitting on all of the data", len(used))
    forecasters = {}
    for name in used:
        forecasters[name] = get_panel_family(name).build(data.season, seed, threads).fit(now, plan.horizon)
        progress.step()
    against = [v for v in verdicts if v.against == BASELINE and v.metric == SKILL.name]
    proven = any(v.enough_data and v.difference.low > 0 for v in against)
    bundle = PanelBundle(
        schema=PanelSchema.of(data),
        family=champion.family,
        forecasters=forecasters,
        weights=mixing,
        state=state,
        history=now,
        status="proven" if proven else "provisional",
        model_hash="",
        data_version=data.data_version.id,
        seed=seed,
    )
    return replace(bundle, model_hash=compute_panel_model_hash(bundle))


def register_bundle(bundle: PanelBundle, data: PanelTaskData, registry: Registry) -> ModelVersion:
    """Write the bundle aside and hand it to the registry, whole."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as scratch:
        folder = Path(scratch) / "bundle"
        write_panel_bundle(folder, bundle)
        return registry.save(bundle.schema.task, bundle.family, bundle.model_hash, bundle.data_version, bundle.status, folder)
