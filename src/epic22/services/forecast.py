"""From a panel to a champion: origins, families, a combination, verdicts, intervals that adapt, bundle, registry."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.data.assignment import PanelAssignment
from epic22.core.data.panel_examples import PanelExamples
from epic22.core.errors import ColumnError
from epic22.core.evaluation.adaptive import Adapted, AdaptiveState, adapt
from epic22.core.evaluation.backtest import Backtest, OriginPlan, backtest, plan_origins
from epic22.core.evaluation.compare import Verdict
from epic22.core.evaluation.forecast_scores import (
    FORECAST_METRICS,
    PINBALL,
    SKILL,
    SURE_BLOCKS,
    ForecastScore,
    Horizon,
    ScoredRows,
    compare_forecasts,
    score_with_interval,
)
from epic22.core.evaluation.yardsticks import BEST_POSSIBLE, INCUMBENT
from epic22.core.history import Array, Frequency
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.panel.base import LEVELS
from epic22.core.models.panel.catalog import panel_family_named
from epic22.core.panel_bundle import PanelBundle, PanelSchema, panel_model_hash, write_panel_bundle
from epic22.core.ports import Registry
from epic22.core.selection.combination import combination_weights
from epic22.core.task import Task
from epic22.services.watch import Watch

COMBINATION = "combination"
BASELINE = "drift"
LEAST_CYCLES = 2
LEAST_HISTORY = 24
TREND_HORIZON = 3


@dataclass(frozen=True)
class PanelRequest:
    """What the user asked: `holdout` periods at the end, the horizon at which a trend is told, the seed."""

    holdout: int | None = None
    trend_horizon: int = TREND_HORIZON
    seed: int = 0


@dataclass(frozen=True)
class PanelEvaluation:
    """What a family is worth on the test origins: its scores by horizon and pooled, and all of its forecasts."""

    family: str
    forecasts: Backtest
    scores: tuple[ForecastScore, ...]

    def score(self, metric: str, horizon: Horizon = "all") -> ForecastScore:
        """The score of that metric at that horizon; KeyError where it was not measured."""
        return {(s.metric, s.horizon): s for s in self.scores}[metric, horizon]


@dataclass(frozen=True)
class PanelRun:
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
    leaderboard: tuple[PanelEvaluation, ...]
    champion: PanelEvaluation
    chosen_because: str
    members: tuple[str, ...]
    weights: Array
    adapted: Adapted
    static: Adapted
    verdicts: tuple[Verdict, ...]
    bundle: PanelBundle
    seed: int
    version: ModelVersion
    ceiling: PanelEvaluation | None = None
    shortfall: tuple[Verdict, ...] = ()

    @property
    def frequency(self) -> Frequency:
        """The panel's frequency."""
        return self.plan.frequency

    @property
    def told_horizons(self) -> tuple[int, ...]:
        """The horizons that tables show: the first, the trend's, half way, the last."""
        last = self.plan.horizon
        return tuple(sorted({1, min(self.rows.trend_horizon, last), max(1, last // 2), last}))


def train_panel(
    assignment: PanelAssignment,
    request: PanelRequest,
    registry: Registry,
    threads: int,
    watch: Watch = Watch(),
    truth: pl.DataFrame | None = None,
) -> PanelRun:
    """Race the task's forecasting families from rolling origins, combine and calibrate on earlier ones, judge on the last.

    `truth` [entity, cutoff, h1…] holds the true medians of simulated series; it is only ever compared with.

    Raises SplitError where the data are too short for the horizon, ColumnError where nothing can be forecast.
    """
    task, seed = assignment.task, request.seed
    plan = plan_origins(
        assignment.first,
        assignment.last,
        len(task.target.horizons),
        _frequency(task),
        request.holdout,
        max(LEAST_HISTORY, LEAST_CYCLES * assignment.season) if assignment.last - assignment.first > 3 * LEAST_HISTORY else 8,
    )
    examples = assignment.examples(plan.origins)
    forecasts = race(task, examples, plan, assignment.season, seed, threads, watch)
    members = tuple(f.family for f in forecasts if panel_family_named(f.family).member)
    forecasts = (*forecasts, combine(forecasts, members, examples, plan))
    chosen, because = choose(forecasts, examples, plan)
    adapted, static = calibrate(chosen, forecasts, members, examples, plan)
    test = np.flatnonzero(np.isin(examples.origin, plan.test))
    tested = examples.take(test)
    drift = next(f for f in forecasts if f.family == BASELINE).median[test]
    rows = ScoredRows.of(tested, drift, plan, assignment.season, min(request.trend_horizon, plan.horizon))
    forecasts = tuple(with_interval(f, adapted) if f.family == chosen.family else f for f in forecasts)
    leaderboard = evaluate((*forecasts, *rule_of_today(examples)), test, rows, plan, seed, watch)
    champion = next(e for e in leaderboard if e.family == chosen.family)
    verdicts = judge(task, champion, leaderboard, test, rows, plan, seed)
    ceiling, shortfall = against_truth(task, champion, examples, test, rows, plan, truth, seed)
    weights = next_weights(forecasts, members, examples, plan)
    bundle = fit_champion(assignment, champion, members, weights, adapted.state, verdicts, plan, seed, threads, watch)
    version = register(bundle, assignment, registry)
    return PanelRun(
        task=task,
        data_version=assignment.data_version,
        notes=assignment.notes,
        plan=plan,
        season=assignment.season,
        examples=examples,
        test=test,
        rows=rows,
        leaderboard=leaderboard,
        champion=champion,
        chosen_because=because,
        members=members,
        weights=weights,
        adapted=adapted,
        static=static,
        verdicts=verdicts,
        bundle=bundle,
        seed=seed,
        version=version,
        ceiling=ceiling,
        shortfall=shortfall,
    )


def _frequency(task: Task) -> Frequency:
    if task.frequency is None:
        raise ColumnError(f"task {task.name} is not a forecast: it names no frequency.")
    return task.frequency


def race(
    task: Task, examples: PanelExamples, plan: OriginPlan, season: int, seed: int, threads: int, watch: Watch
) -> tuple[Backtest, ...]:
    """Every family from the same origins."""
    found = []
    for name in task.families:
        if name == "seasonal_naive" and season == 1:
            # Without a season it is the naive rule once more.
            continue
        watch.begin(f"{name}: {len(plan.origins)} origins", len(plan.blocks()))
        found.append(backtest(panel_family_named(name), examples, plan, season, seed, threads, watch.step))
    return tuple(found)


def rule_of_today(examples: PanelExamples) -> tuple[Backtest, ...]:
    """The incumbent's forecasts, all quantiles of which are its one value; nothing where the task has no incumbent."""
    if examples.incumbent is None:
        return ()
    return (Backtest(INCUMBENT, np.repeat(examples.incumbent[:, :, None], len(LEVELS), axis=2), 0.0, 0.0),)


def combine(forecasts: tuple[Backtest, ...], members: tuple[str, ...], examples: PanelExamples, plan: OriginPlan) -> Backtest:
    """The members weighted, for each block by what was known of their errors at its first origin."""
    quantiles = np.full_like(forecasts[0].quantiles, np.nan)
    for block in plan.blocks():
        rows = np.flatnonzero(np.isin(examples.origin, block))
        weights = weights_at(forecasts, members, examples, plan, int(block[0]))
        quantiles[rows] = mixture(forecasts, members, weights, rows)
    of_members = [f for f in forecasts if f.family in members]
    return Backtest(COMBINATION, quantiles, sum(f.fit_seconds for f in of_members), sum(f.row_ms for f in of_members))


def weights_at(
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
        nothing = (naive[known, h] - examples.Y[known, h]) / scale
        weights[h, :-1] = combination_weights(errors, nothing, plan.blocks_of(h + 1, count))
        weights[h, -1] = 1.0 - weights[h, :-1].sum()
    return weights


def next_weights(forecasts: tuple[Backtest, ...], members: tuple[str, ...], examples: PanelExamples, plan: OriginPlan) -> Array:
    """The weights for forecasts from the end of the data: every error is known by then."""
    return weights_at(forecasts, members, examples, plan, int(plan.test[-1]) + plan.horizon)


def mixture(forecasts: tuple[Backtest, ...], members: tuple[str, ...], weights: Array, rows: Array) -> Array:
    """The weighted quantiles of the members, (rows, horizon, q); ascending, as each member's are."""
    by_name = {f.family: f for f in forecasts}
    stacked = np.stack([by_name[name].quantiles[rows] for name in (*members, "naive")])
    return np.asarray(np.einsum("hm,mnhq->nhq", weights, stacked))


def choose(forecasts: tuple[Backtest, ...], examples: PanelExamples, plan: OriginPlan) -> tuple[Backtest, str]:
    """The champion, by the targets that were known before the first test origin: the test only judges it.

    It is the combination, unless a single family had more skill by a clear margin on enough independent stretches of time:
    of two near equals, and on little evidence, a combination is the safer.
    """
    first = int(plan.test[0])
    horizons = np.arange(1, plan.horizon + 1)[None, :]
    known = (examples.origin[:, None] + horizons <= first) & np.isfinite(examples.Y)
    combination = next(f for f in forecasts if f.family == COMBINATION)
    blocks = plan.blocks_of(plan.horizon, len(np.unique(examples.origin[known.any(axis=1)])))
    if blocks < SURE_BLOCKS:
        return combination, f"{blocks:.1f} independent stretches before the test cannot tell families apart"
    drift = next(f for f in forecasts if f.family == BASELINE).median
    base = float(np.abs(examples.Y - drift)[known].sum())
    skills = {f.family: 1 - float(np.abs(examples.Y - f.median)[known].sum()) / base for f in forecasts}
    best = max(skills, key=lambda name: skills[name])
    if skills[best] < skills[COMBINATION] + CLEAR_MARGIN:
        best = COMBINATION
    because = (
        f"skill {skills[best]:.3f} before the test, {blocks:.1f} independent stretches (combination {skills[COMBINATION]:.3f})"
    )
    return next(f for f in forecasts if f.family == best), because


CLEAR_MARGIN = 0.1
"""Skill by which a single family must have been ahead of the combination to be preferred."""


def calibrate(
    chosen: Backtest,
    forecasts: tuple[Backtest, ...],
    members: tuple[str, ...],
    examples: PanelExamples,
    plan: OriginPlan,
) -> tuple[Adapted, Adapted]:
    """The champion's 80 % interval at every row, adapted over time; and calibrated once before the test, to compare with."""
    used = members if chosen.family == COMBINATION else (chosen.family,)
    stacked = np.stack([f.quantiles for f in forecasts if f.family in used])
    return adapt(chosen.median, stacked, examples, plan), adapt(chosen.median, stacked, examples, plan, adaptive=False)


def with_interval(forecast: Backtest, adapted: Adapted) -> Backtest:
    """The forecasts with the adapted interval: the median stays, the other quantiles are stretched with it."""
    return replace(forecast, quantiles=adapted.quantiles(forecast.median))


def evaluate(
    forecasts: tuple[Backtest, ...], test: Array, rows: ScoredRows, plan: OriginPlan, seed: int, watch: Watch
) -> tuple[PanelEvaluation, ...]:
    """Every family's scores on the test origins, best skill first."""
    watch.begin("scores", len(forecasts))
    found = []
    for forecast in forecasts:
        quantiles = forecast.quantiles[test]
        scores = []
        for metric in FORECAST_METRICS:
            told: list[Horizon] = [rows.trend_horizon] if metric.trend_only else ["all", *range(1, plan.horizon + 1)]
            scores += [score_with_interval(metric, rows, quantiles, horizon, plan, seed) for horizon in told]
        found.append(PanelEvaluation(forecast.family, forecast, tuple(scores)))
        watch.step()
    return tuple(sorted(found, key=lambda e: -np.nan_to_num(e.score(SKILL.name).value, nan=-np.inf)))


def judge(
    task: Task,
    champion: PanelEvaluation,
    leaderboard: tuple[PanelEvaluation, ...],
    test: Array,
    rows: ScoredRows,
    plan: OriginPlan,
    seed: int,
) -> tuple[Verdict, ...]:
    """The champion against each baseline and the best other family: skill at the first, the trend's and the last horizon, and
    pooled; pinball pooled."""
    others = [e for e in leaderboard if e.family != champion.family]
    rivals = [e for e in others if not panel_is_baseline(e.family)][:1]
    told: list[Horizon] = ["all", *sorted({1, rows.trend_horizon, plan.horizon})]
    own = champion.forecasts.quantiles[test]
    return tuple(
        compare_forecasts(
            task.target.name,
            (champion.family, other.family),
            (own, other.forecasts.quantiles[test]),
            metric,
            rows,
            horizon,
            plan,
            seed,
        )
        for other in [*(e for e in others if panel_is_baseline(e.family)), *rivals]
        for metric, horizon in [*((SKILL, h) for h in told), (PINBALL, "all")]
    )


def against_truth(
    task: Task,
    champion: PanelEvaluation,
    examples: PanelExamples,
    test: Array,
    rows: ScoredRows,
    plan: OriginPlan,
    truth: pl.DataFrame | None,
    seed: int,
) -> tuple[PanelEvaluation | None, tuple[Verdict, ...]]:
    """The best possible from the test origins, and the champion's differences in skill to it; nothing where it is not known.

    Raises ColumnError where the truth lacks a row of the test origins.
    """
    if truth is None:
        return None, ()
    steps = [f"h{h}" for h in range(1, plan.horizon + 1)]
    tested = examples.take(test)
    asked = pl.DataFrame({"entity": tested.entity, "cutoff": plan.frequency.starts(tested.origin + 1)})
    known = asked.join(truth, on=["entity", "cutoff"], how="left", maintain_order="left").select(steps)
    if known.null_count().sum_horizontal().item():
        raise ColumnError(f"task {task.name}: the truth is not stated for all {len(test):,} forecasts of the test origins.")
    quantiles = np.full((len(examples), plan.horizon, len(LEVELS)), np.nan)
    quantiles[test] = np.repeat(known.to_numpy()[:, :, None], len(LEVELS), axis=2)
    (ceiling,) = evaluate((Backtest(BEST_POSSIBLE, quantiles, 0.0, 0.0),), test, rows, plan, seed, Watch())
    pair = (champion.family, BEST_POSSIBLE)
    both = (champion.forecasts.quantiles[test], quantiles[test])
    told: list[Horizon] = ["all", 1, plan.horizon]
    return ceiling, tuple(compare_forecasts(task.target.name, pair, both, SKILL, rows, h, plan, seed) for h in told)


def panel_is_baseline(name: str) -> bool:
    """Whether a name on the board is a rule to be beaten; the combination is not one."""
    return name == INCUMBENT or (name != COMBINATION and panel_family_named(name).is_baseline)


def fit_champion(
    assignment: PanelAssignment,
    champion: PanelEvaluation,
    members: tuple[str, ...],
    weights: Array,
    state: AdaptiveState,
    verdicts: tuple[Verdict, ...],
    plan: OriginPlan,
    seed: int,
    threads: int,
    watch: Watch,
) -> PanelBundle:
    """Fit what the champion consists of on everything known at the end of the data, and pack it."""
    now = assignment.now()
    if not len(now):
        raise ColumnError("no series reaches the end of the data; there is nothing to forecast from.")
    combined = champion.family == COMBINATION
    used = (*members, "naive") if combined else (champion.family,)
    mixing = weights if combined else np.ones((plan.horizon, 1))
    watch.begin("fitting on all of the data", len(used))
    forecasters = {}
    for name in used:
        forecasters[name] = panel_family_named(name).build(assignment.season, seed, threads).fit(now, plan.horizon)
        watch.step()
    against = [v for v in verdicts if v.against == BASELINE and v.metric == SKILL.name]
    proven = any(v.enough_data and v.low > 0 for v in against)
    bundle = PanelBundle(
        schema=PanelSchema.of(assignment),
        family=champion.family,
        forecasters=forecasters,
        weights=mixing,
        state=state,
        history=now,
        status="proven" if proven else "provisional",
        model_hash="",
        data_version=assignment.data_version.id,
        seed=seed,
    )
    return replace(bundle, model_hash=panel_model_hash(bundle))


def register(bundle: PanelBundle, assignment: PanelAssignment, registry: Registry) -> ModelVersion:
    """Write the bundle aside and hand it to the registry, whole."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as aside:
        folder = Path(aside) / "bundle"
        write_panel_bundle(folder, bundle)
        return registry.save(bundle.schema.task, bundle.family, bundle.model_hash, bundle.data_version, bundle.status, folder)
