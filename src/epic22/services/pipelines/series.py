"""Training on series: rolling origins, families, a combination, intervals that adapt."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.core.artifact.panel_bundle import PanelBundle, PanelSchema, compute_panel_model_hash, write_panel_bundle
from epic22.core.artifact.panel_model import PanelModel
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import ColumnError
from epic22.core.evaluation.adaptive_conformal import LEVEL, adapt_intervals
from epic22.core.evaluation.anomaly_detectors import DetectorData
from epic22.core.evaluation.backtest import backtest, plan_origins
from epic22.core.evaluation.challenge import Challenge, challenge_forecaster
from epic22.core.evaluation.forecast_metrics import COVERAGE_80, MIN_BLOCKS, SKILL, ScoredRows
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.lineage import ModelVersion
from epic22.core.models.panel.base import Forecaster, ForecasterSetup
from epic22.core.models.panel.catalog import get_panel_family
from epic22.core.models.panel.floor import find_floored_origins, lift_quantiles
from epic22.core.progress import Progress
from epic22.core.selection.anomaly_choice import DetectorChoice, choose_detector
from epic22.core.statistics import Interval
from epic22.core.tables.rowhash import hash_values
from epic22.core.time_series import Array, Histories
from epic22.services.challenge import ServingModel, find_responses, refuse_comparison, refuse_other_target
from epic22.services.gates.gate import CoverageShare, Evidence
from epic22.services.pipelines.forecast_choice import choose_forecast
from epic22.services.pipelines.forecast_scores import (
    compare_champion,
    compare_with_true_medians,
    is_proven,
    record_coverage,
    score_backtests,
)
from epic22.services.pipelines.series_board import SeriesBoard, SeriesPlan, build_board, compute_weights, incumbent_backtest
from epic22.services.recent_anomalies import RECENT_PERIODS
from epic22.services.train import Package
from epic22.services.training_run import (
    BASELINE,
    COMBINATION,
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
        # Without a season the seasonal rule is the naive one once more.
        names = [name for name in self.data.task.families if name != "seasonal_naive" or self.data.season != 1]
        progress.begin("families", len(names), "family")
        blocks = progress.enter_step()
        for name in names:
            blocks.begin(f"{name}: {len(plan.origins.origins)} origins", len(plan.origins.split_blocks()), "fold")
            backtests.append(backtest(self._set_up(name), plan.examples, plan.origins, blocks.step))
            progress.step()
        return build_board(plan, backtests)

    def select(self, plan: SeriesPlan, board: SeriesBoard, progress: Progress) -> SeriesSelection:
        """The champion by the origins before the test, and what its forecasts are worth from the test origins."""
        task, origins, examples, forecasts = self.data.task, plan.origins, plan.examples, board.forecasts
        # What is scored is what is served; weights, and what stretches the quantiles, are of what the families said before that.
        is_floored = self._find_floored(examples.histories)
        adapted = {f.family: adapt_intervals(f.quantiles, examples, origins).lift(is_floored) for f in forecasts}
        candidates = tuple(replace(f, quantiles=adapted[f.family].quantiles) for f in forecasts)
        forecasts = tuple(replace(f, quantiles=lift_quantiles(f.quantiles, is_floored)) for f in forecasts)
        selected, reason = choose_forecast(plan, candidates, self.data.season, board.get_representative(COMBINATION))
        test = np.flatnonzero(np.isin(examples.origin, origins.test))
        drift = next(f for f in forecasts if f.family == BASELINE).median[test]
        trend_horizon = min(self.config.trend_horizon, origins.horizon)
        rows = ScoredRows.of(examples.take(test), drift, origins, self.data.season, trend_horizon)
        rows = replace(rows, target=task.target.name, seed=self.config.seed)
        # The champion's median stays; its other quantiles are stretched with the adapted interval.
        own = next(f for f in board.forecasts if f.family == selected.family)
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
            weights=compute_weights(plan, board.forecasts, board.members, int(origins.test[-1]) + origins.horizon),
            adapted=record_coverage(adapted[selected.family], rows, test),
            static=adapt_intervals(own.quantiles, examples, origins, adaptive=False).lift(is_floored),
            test=test,
            rows=rows,
            oracle=oracle,
            oracle_verdicts=oracle_verdicts,
            equals=board.equals,
        )

    def _find_floored(self, histories: Histories) -> Array:
        """Which histories have no forecast below zero, (n,)."""
        has_floor = PanelSchema.of(self.data).has_floor
        return find_floored_origins(histories) if has_floor else np.zeros(len(histories), dtype=bool)

    def fit(self, plan: SeriesPlan, selection: SeriesSelection, progress: Progress) -> FittedForecasters:
        """What the champion consists of, fitted on everything known at the end of the data."""
        now = self.data.latest_histories().compact()
        if not len(now):
            raise ColumnError("no series reaches the end of the data; there is nothing to forecast from.")
        used = (*selection.members, "naive") if selection.champion.family == COMBINATION else (selection.champion.family,)
        progress.begin("fitting on all of the data", len(used))
        forecasters = {}
        for name in used:
            forecasters[name] = self._set_up(name).fit(now, plan.origins.horizon).value
            progress.step()
        return FittedForecasters(forecasters, now, self._choose_detector(now, progress))

    def _set_up(self, family: str) -> ForecasterSetup:
        """The family of that name as it is trained here."""
        return ForecasterSetup(get_panel_family(family), self.data.season, self.config.seed, self.threads)

    def _choose_detector(self, now: Histories, progress: Progress) -> DetectorChoice:
        """The detector of anomalies, by what it finds before the periods that are reported."""
        values, season = now.build_known_values(), self.data.season if self.data.season > 1 else None
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
        if isinstance(serving.model, PanelModel) and serving.model.bundle.schema.has_floor:
            # Versions before kept what the families said, and serve none of it that lies below zero.
            responses = lift_quantiles(responses, find_floored_origins(plan.examples.histories)[selection.test])
        known = np.asarray(np.isfinite(responses).all(axis=(1, 2)))
        old = np.where(known[:, None, None], responses, new)
        rows = replace(selection.rows, Y=np.where(known[:, None], selection.rows.Y, np.nan))
        drift = next(e for e in selection.leaderboard if e.family == BASELINE).forecasts.quantiles[selection.test]
        return challenge_forecaster((new, old), rows, serving.number, drift, self.data.task.policy.minimum_effect)

    def collect_evidence(self, plan: SeriesPlan, selection: SeriesSelection) -> Evidence:
        """The champion's skill beside the other families', and what its 80 % intervals held on the test origins."""
        covered = selection.champion.score(COVERAGE_80.name)
        share = Interval(covered.value / 100, covered.low / 100, covered.high / 100)
        return Evidence(
            task=self.data.task,
            baseline=BASELINE,
            verdicts=tuple(v for v in selection.verdicts if v.metric == SKILL.name and v.horizon == "all"),
            scores={one.family: one.score(SKILL.name).value for one in selection.leaderboard},
            coverage=CoverageShare(share, LEVEL, covered.blocks >= MIN_BLOCKS),
        )

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
