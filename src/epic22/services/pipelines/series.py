"""Training on series: rolling origins, families, a combination, intervals that adapt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from epic22.core.artifact.panel_bundle import PanelBundle, PanelSchema, compute_panel_model_hash, write_panel_bundle
from epic22.core.data.panel_examples import PanelExamples
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import ColumnError
from epic22.core.evaluation.adaptive_conformal import AdaptedIntervals, adapt_intervals
from epic22.core.evaluation.anomaly_detectors import DetectorData
from epic22.core.evaluation.backtest import Backtest, OriginPlan, backtest, plan_origins
from epic22.core.evaluation.baselines import INCUMBENT, ORACLE
from epic22.core.evaluation.challenge import Challenge, challenge_forecaster
from epic22.core.evaluation.forecast_metrics import (
    COVERAGE_80,
    FORECAST_METRICS,
    MIN_BLOCKS,
    PINBALL,
    SKILL,
    Horizon,
    ScoredRows,
    compare_forecasts,
    compute_score_with_interval,
    sum_by_origin,
)
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.evaluation.independent_stretches import StretchGain, compare_over_stretches
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT
from epic22.core.evaluation.significance import Verdict, is_certainly_better
from epic22.core.lineage import ModelVersion
from epic22.core.models.panel.base import QUANTILE_LEVELS, Forecaster
from epic22.core.models.panel.catalog import get_panel_family
from epic22.core.models.panel.combination import combine_quantiles
from epic22.core.progress import Progress
from epic22.core.selection.anomaly_choice import DetectorChoice, choose_detector
from epic22.core.selection.ensemble import compute_combination_weights
from epic22.core.tables.rowhash import hash_values
from epic22.core.task import Task
from epic22.core.time_series import Array, Histories
from epic22.services.challenge import ServingModel, find_responses, refuse_comparison, refuse_other_target
from epic22.services.recent_anomalies import RECENT_PERIODS
from epic22.services.train import Package
from epic22.services.training_run import (
    BASELINE,
    COMBINATION,
    EqualForecast,
    ForecastEvaluation,
    SeriesRun,
    SeriesSelection,
)

MIN_CYCLES = 2
MIN_HISTORY = 24
TREND_HORIZON = 3


@dataclass(frozen=True)
class ForecastConfig:
    """What the user asked: `holdout` periods at the end, the horizon at which a trend is reported, the seed, and the `detectors`
    of anomalies that are tried beside the residuals."""

    holdout: int | None = None
    trend_horizon: int = TREND_HORIZON
    seed: int = 0
    detectors: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeriesPlan:
    """The origins, those that choose and those that judge, and the examples at them."""

    origins: OriginPlan
    examples: PanelExamples


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


@dataclass(frozen=True)
class FittedForecasters:
    """What the champion consists of, fitted on the series as known at the end of the data, and the detector of anomalies in
    them."""

    forecasters: Mapping[str, Forecaster]
    history: Histories
    detection: DetectorChoice


@dataclass(frozen=True)
class SeriesPipeline:
    """Forecasting families from rolling origins, combined and calibrated on earlier ones, judged on the last.

    `truth` [entity, cutoff, h1…] holds the true medians of simulated series; it is only ever compared with.
    """

    data: PanelTaskData
    config: ForecastConfig
    threads: int
    truth: pl.DataFrame | None = None

    def plan(self, progress: Progress) -> SeriesPlan:
        """The origins and the examples at them.

        Raises SplitError where the data are too short for the horizon, ColumnError where nothing can be forecast.
        """
        data, task = self.data, self.data.task
        if task.frequency is None:
            raise ColumnError(f"task {task.name} is not a forecast: it names no frequency.")
        origins = plan_origins(
            data.first,
            data.last,
            len(task.target.horizons),
            task.frequency,
            self.config.holdout,
            max(MIN_HISTORY, MIN_CYCLES * data.season) if data.last - data.first > 3 * MIN_HISTORY else 8,
        )
        return SeriesPlan(origins, data.examples(origins.origins))

    def evaluate(self, plan: SeriesPlan, progress: Progress) -> SeriesBoard:
        """Every family from the same origins, and their combination."""
        backtests = []
        for name in self.data.task.families:
            if name == "seasonal_naive" and self.data.season == 1:
                # Without a season it is the naive rule once more.
                continue
            progress.begin(f"{name}: {len(plan.origins.origins)} origins", len(plan.origins.split_blocks()))
            build = partial(get_panel_family(name).build, self.data.season, self.config.seed, self.threads)
            backtests.append(backtest(name, build, plan.examples, plan.origins, progress.step))
        return build_board(plan, backtests)

    def select(self, plan: SeriesPlan, board: SeriesBoard, progress: Progress) -> SeriesSelection:
        """The champion by the origins before the test, and what its forecasts are worth from the test origins."""
        task, origins, examples, forecasts = self.data.task, plan.origins, plan.examples, board.forecasts
        adapted = {f.family: adapt_intervals(f.quantiles, examples, origins) for f in forecasts}
        candidates = tuple(replace(f, quantiles=adapted[f.family].quantiles) for f in forecasts)
        selected, reason = choose_forecast(plan, candidates, self.data.season, board.get_representative(COMBINATION))
        test = np.flatnonzero(np.isin(examples.origin, origins.test))
        drift = next(f for f in forecasts if f.family == BASELINE).median[test]
        trend_horizon = min(self.config.trend_horizon, origins.horizon)
        rows = ScoredRows.of(examples.take(test), drift, origins, self.data.season, trend_horizon)
        rows = replace(rows, target=task.target.name, seed=self.config.seed)
        # The champion's median stays; its other quantiles are stretched with the adapted interval.
        own = next(f for f in forecasts if f.family == selected.family)
        forecasts = tuple(selected if f.family == selected.family else f for f in forecasts)
        leaderboard = score_backtests((*forecasts, *incumbent_backtest(examples)), test, rows, progress)
        champion = next(e for e in leaderboard if e.family == selected.family)
        verdicts = compare_champion(champion, leaderboard, test, rows)
        oracle, oracle_verdicts = compare_with_true_medians(task, champion, examples, test, rows, self.truth)
        return SeriesSelection(
            leaderboard=leaderboard,
            champion=champion,
            selection_reason=reason,
            verdicts=verdicts,
            members=board.members,
            # For forecasts from the end of the data, when every error is known.
            weights=compute_weights(plan, forecasts, board.members, int(origins.test[-1]) + origins.horizon),
            adapted=record_coverage(adapted[selected.family], rows, test),
            static=adapt_intervals(own.quantiles, examples, origins, adaptive=False),
            test=test,
            rows=rows,
            oracle=oracle,
            oracle_verdicts=oracle_verdicts,
            equals=board.equals,
        )

    def fit(self, plan: SeriesPlan, selection: SeriesSelection, progress: Progress) -> FittedForecasters:
        """What the champion consists of, fitted on everything known at the end of the data."""
        now = self.data.latest_histories().compact()
        if not len(now):
            raise ColumnError("no series reaches the end of the data; there is nothing to forecast from.")
        used = (*selection.members, "naive") if selection.champion.family == COMBINATION else (selection.champion.family,)
        progress.begin("fitting on all of the data", len(used))
        forecasters = {}
        for name in used:
            forecaster = get_panel_family(name).build(self.data.season, self.config.seed, self.threads)
            forecasters[name] = forecaster.fit(now, plan.origins.horizon)
            progress.step()
        return FittedForecasters(forecasters, now, self._choose_detector(now, progress))

    def _choose_detector(self, now: Histories, progress: Progress) -> DetectorChoice:
        """The detector of anomalies, by what it finds before the periods that are reported."""
        values, season = now.known_values(), self.data.season if self.data.season > 1 else None
        if self.config.detectors:
            progress.begin("anomalies", 1)
        choice = choose_detector(
            DetectorData(values, season, self.config.seed, self.threads),
            self.config.detectors,
            values.shape[1] - RECENT_PERIODS,
        )
        if self.config.detectors:
            progress.step()
        return choice

    def package(
        self, plan: SeriesPlan, selection: SeriesSelection, fitted: FittedForecasters, first_model: bool
    ) -> Package[PanelBundle]:
        """The fitted forecasters with their weights and the intervals' state."""
        pooled = [v for v in selection.verdicts if v.metric == SKILL.name and v.horizon == "all"]
        bundle = PanelBundle(
            schema=PanelSchema.of(self.data),
            family=selection.champion.family,
            forecasters=fitted.forecasters,
            weights=selection.weights if selection.champion.family == COMBINATION else np.ones((plan.origins.horizon, 1)),
            state=selection.adapted.state,
            history=fitted.history,
            status="proven" if is_proven(selection.champion.family, pooled) else "provisional",
            model_hash="",
            data_version=self.data.data_version.id,
            seed=self.config.seed,
        )
        bundle = replace(bundle, model_hash=compute_panel_model_hash(bundle))
        return Package(bundle, lambda folder: write_panel_bundle(folder, bundle))

    def evaluate_version(self, plan: SeriesPlan, selection: SeriesSelection) -> tuple[VersionEvaluation, HeldOutPredictions]:
        """The champion's skill and its forecasts from the test origins."""
        score, test = selection.champion.score(SKILL.name), selection.test
        origins = self._frame_origins(plan, test)
        forecasts = selection.champion.forecasts.quantiles[test]
        held_out = HeldOutPredictions(tuple(origins.columns), hash_values(origins, origins.columns), forecasts)
        return VersionEvaluation(SKILL.name, score, len(test)), held_out

    def challenge(self, plan: SeriesPlan, selection: SeriesSelection, serving: ServingModel) -> Challenge:
        """The champion's forecasts against those that the serving model's training kept, from the same origins."""
        try:
            refuse_other_target(self.data.task, serving.model)
            responses = find_responses(self._frame_origins(plan, selection.test), serving)
        except ColumnError as error:
            return refuse_comparison(serving, str(error))
        new = selection.champion.forecasts.quantiles[selection.test]
        if responses.shape != new.shape:
            return refuse_comparison(serving, "it forecasts other horizons")
        known = np.asarray(np.isfinite(responses).all(axis=(1, 2)))
        old = np.where(known[:, None, None], responses, new)
        rows = replace(selection.rows, Y=np.where(known[:, None], selection.rows.Y, np.nan))
        drift = next(e for e in selection.leaderboard if e.family == BASELINE).forecasts.quantiles[selection.test]
        return challenge_forecaster((new, old), rows, serving.number, drift, self.data.task.policy.minimum_effect)

    def _frame_origins(self, plan: SeriesPlan, rows: Array) -> pl.DataFrame:
        """The series and the origin of each of these rows of the examples."""
        examples = plan.examples.take(rows)
        return pl.DataFrame({"series": examples.entity, "origin": plan.origins.frequency.starts(examples.origin)})

    def record(
        self,
        plan: SeriesPlan,
        selection: SeriesSelection,
        fitted: FittedForecasters,
        package: Package[PanelBundle],
        version: ModelVersion,
    ) -> SeriesRun:
        """The run, once its model is registered."""
        return SeriesRun(
            **vars(selection),
            task=self.data.task,
            data_version=self.data.data_version,
            notes=self.data.notes,
            plan=plan.origins,
            season=self.data.season,
            examples=plan.examples,
            bundle=package.bundle,
            seed=self.config.seed,
            version=version,
            promotion=package.promotion,
            detection=fitted.detection,
        )


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
    level = np.maximum(np.abs(examples.histories.last), 1e-9)
    for h in range(plan.origins.horizon):
        known = (examples.origin + h + 1 <= origin) & np.isfinite(examples.Y[:, h])
        count = len(np.unique(examples.origin[known]))
        if not count or not members:
            weights[h, :-1] = 1 / max(len(members), 1)
            weights[h, -1] = 0.0 if members else 1.0
            continue
        naive, scale = by_name["naive"].median, level[known]
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
    """Each candidate's pinball losses by origin before the test, of targets known by its first origin, and their counts."""
    examples, origins = plan.examples, plan.origins
    rows = np.flatnonzero(np.isin(examples.origin, origins.earlier))
    due = examples.origin[:, None] + np.arange(1, origins.horizon + 1)[None, :]
    known = replace(examples, Y=np.where(due <= int(origins.test[0]), examples.Y, np.nan)).take(rows)
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
    pooled; pinball pooled."""
    others = [e for e in leaderboard if e.family != champion.family]
    rivals = [e for e in others if not is_panel_baseline(e.family)][:1]
    horizons: list[Horizon] = ["all", *sorted({1, rows.trend_horizon, rows.plan.horizon})]
    champion_quantiles = champion.forecasts.quantiles[test]
    return tuple(
        compare_forecasts(
            (champion.family, other.family), (champion_quantiles, other.forecasts.quantiles[test]), metric, rows, horizon
        )
        for other in [*(e for e in others if is_panel_baseline(e.family)), *rivals]
        for metric, horizon in [*((SKILL, h) for h in horizons), (PINBALL, "all")]
    )


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


def is_panel_baseline(name: str) -> bool:
    """Whether a name on the board is a rule to be beaten; the combination is not one."""
    return name == INCUMBENT or (name != COMBINATION and get_panel_family(name).is_baseline)
