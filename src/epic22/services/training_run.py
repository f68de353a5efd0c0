"""What a training found: the fields that every run has, and what runs of rows and of series add to them."""

from dataclasses import dataclass, field
from typing import ClassVar

from epic22.core.artifact.bundle import Bundle
from epic22.core.artifact.panel_bundle import PanelBundle
from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan
from epic22.core.data.leakage import ColumnPrice, Suspicion
from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.adaptive_conformal import AdaptedIntervals
from epic22.core.evaluation.backtest import Backtest, OriginPlan
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.calibration import Calibration
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.explain.explanation import Explanation
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.forecast_metrics import ForecastScore, Horizon, ScoredRows
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.catalog import ENSEMBLE
from epic22.core.models.configuration import Configuration
from epic22.core.models.panel.catalog import get_panel_family
from epic22.core.run_record import FamilyRecord, TrialRecord
from epic22.core.selection.anomaly_choice import DetectorChoice
from epic22.core.selection.column_plan import ColumnPlan
from epic22.core.selection.search_result import SearchResult
from epic22.core.task import Task
from epic22.core.time_series import Array, Frequency
from epic22.services.assess import Assessment
from epic22.services.comparison import Comparison
from epic22.services.prediction_intervals import PredictionIntervals

BASELINE = "drift"
"""The forecasting family that skill is measured from."""

COMBINATION = "combination"
"""The name on the board of the weighted forecasts of several families."""

COMBINATION_ALONE = " (no other family was better than doing nothing)"


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """What every training found. `promotion` is what the fairness gate decided, None where none judges; `explanation` what the
    champion looks at, where that was measured."""

    data_type: ClassVar[str]
    task: Task
    data_version: DataVersion
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...]
    seed: int
    version: ModelVersion
    promotion: PromotionDecision | None = None
    explanation: Explanation | None = None

    def describe_parameters(self) -> dict[str, str]:
        """What a tracker writes down of how it was trained."""
        raise NotImplementedError

    def record_families(self) -> tuple[FamilyRecord, ...]:
        """The figures of every family for a tracker, best first."""
        raise NotImplementedError


@dataclass(frozen=True)
class SplitComparison:
    """The champion's score where rows with a time were split at random as asked, beside that by the recommended folds."""

    metric: str
    random_score: float
    recommended_score: float
    strategy: str
    why: str

    @property
    def words(self) -> str:
        """Both scores, and which folds are recommended, in words."""
        scores = f"{self.random_score:.4g} by random rows, {self.recommended_score:.4g} by honest folds"
        return f"{self.metric}: {scores} ({self.strategy}: {self.why})."


@dataclass(frozen=True, kw_only=True)
class RowSelection:
    """Who won, and what its answers are worth: the board, best family first, the champion and its verdicts.

    `comparison` is of the families where they are used, `explanation` what the champion looks at, where that was measured.
    `assessment` is what the champion's score is worth, for two classes, `intervals` its intervals or sets. `oracle` is the best
    possible, and `oracle_verdict` the champion's difference to it (below zero: worse), where the truth is known, as of simulated
    tables. `column_prices` are what doubtful columns are worth.
    """

    leaderboard: tuple[Evaluation, ...]
    champion: Evaluation
    verdicts: tuple[Verdict, ...]
    comparison: Comparison = field(default_factory=Comparison)
    explanation: Explanation | None = None
    assessment: Assessment | None = None
    intervals: PredictionIntervals = field(default_factory=PredictionIntervals)
    split_comparisons: tuple[SplitComparison, ...] = ()
    oracle: Evaluation | None = None
    oracle_verdict: Verdict | None = None
    column_prices: tuple[ColumnPrice, ...] = ()

    @property
    def calibration(self) -> Calibration:
        """What makes the champion's scores probabilities."""
        return Calibration() if self.assessment is None else self.assessment.calibration


@dataclass(frozen=True, kw_only=True)
class RowRun(TrainingRun, RowSelection):
    """A training on rows: what was chosen, and on what.

    `n_table_rows` is set where `examples` are a sample of a larger table. `column_plan` says which columns the champion got, and
    why, where they were planned. `trials` are those of all searches that took part, the ones that judge the search among them.
    `average_weights` are those of the families as they come in their average, by name, where one was evaluated.
    """

    data_type = "rows"
    audit: tuple[Suspicion, ...]
    plan: FoldPlan
    examples: Examples
    bundle: Bundle
    n_table_rows: int | None = None
    column_plan: ColumnPlan | None = None
    search_result: SearchResult | None = None
    average_weights: tuple[tuple[str, float], ...] = ()
    trials: tuple[TrialRecord, ...] = ()

    @property
    def n_rows(self) -> int:
        """How many rows the scores are of: all examples, or more where only a sample of them is held."""
        return len(self.examples) if self.n_table_rows is None else self.n_table_rows

    @property
    def average_note(self) -> str:
        """What the average of the families as they come is of, in words; empty where there is none."""
        members = ", ".join(f"{name} {weight:.0%}" for name, weight in self.average_weights)
        if not members:
            return ""
        has_configurations = any(Configuration.parse(name).number for name, _ in self.average_weights)
        numbers = " (a number is the place among the configurations that a search begins with)" if has_configurations else ""
        return f"The average of the families as they come{numbers}: {members}."

    @property
    def choice_note(self) -> str:
        """What the champion's intervals allow for, in words; empty where it is certainly better than the others."""
        n = self.champion.n_choices
        if n == 1:
            return ""
        best = next(one for one in self.leaderboard if one.family != INCUMBENT and one.early_exit is None)
        if best.family != self.champion.family:
            return (
                f"The champion was preferred in use among {n} families that are not certainly worse: its intervals are wider "
                "than those of the others, to allow for the choice."
            )
        return (
            f"The champion was chosen among {n} that can't be told apart, and the best of several was lucky too: its intervals "
            "are wider than those of the others, to allow for it."
        )

    def describe_parameters(self) -> dict[str, str]:
        """Target, folds, rows and columns."""
        return {
            "champion": self.champion.family,
            "target": self.task.target.name,
            "kind": self.task.target.kind,
            "seed": str(self.seed),
            "folds": self.plan.strategy,
            "folds_n": str(self.plan.n_folds),
            "folds_repeats": str(self.plan.repeats),
            "gap_days": f"{self.plan.embargo:g}",
            "rows": str(self.n_rows),
            "columns": ", ".join(column.name for column in self.bundle.preprocessor.outputs),
        }

    def record_families(self) -> tuple[FamilyRecord, ...]:
        """Every score, and its values fold by fold; of a search also its trials."""
        return tuple(
            FamilyRecord.of(evaluation, self.trials if evaluation.family == ENSEMBLE.name else ())
            for evaluation in self.leaderboard
        )


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
class EqualForecast:
    """A candidate that forecasts what the family `equals` does, to the digit, from every test origin.

    `everywhere`: from the earlier ones too, so that it is not raced twice.
    """

    family: str
    equals: str
    everywhere: bool = True

    @property
    def words(self) -> str:
        """Both names, and why where that is known."""
        why = COMBINATION_ALONE if self.family == COMBINATION else get_panel_family(self.family).why_equal
        origins = "origin" if self.everywhere else "test origin"
        raced = "it is not raced twice" if self.everywhere else "from earlier ones it does not"
        return f"{self.family} equals {self.equals} to the digit from every {origins}{why}; {raced}."


@dataclass(frozen=True, kw_only=True)
class SeriesSelection:
    """The champion among forecasting families and why, and the board on the test origins, best first.

    `weights` (horizon, members) are the combination's for the next forecasts; `adapted` the champion's adapted 80 % interval
    at every row of the examples, `static` the same calibrated once; `test` are the rows of the test origins.
    """

    leaderboard: tuple[ForecastEvaluation, ...]
    champion: ForecastEvaluation
    selection_reason: str
    verdicts: tuple[Verdict, ...]
    members: tuple[str, ...]
    weights: Array
    adapted: AdaptedIntervals
    static: AdaptedIntervals
    test: Array
    rows: ScoredRows
    oracle: ForecastEvaluation | None = None
    oracle_verdicts: tuple[Verdict, ...] = ()
    equals: tuple[EqualForecast, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SeriesRun(TrainingRun, SeriesSelection):
    """A training on series: what was chosen, and on what; `detection` is what looks for anomalies in them."""

    data_type = "panel"
    plan: OriginPlan
    season: int
    examples: PanelExamples
    bundle: PanelBundle
    detection: DetectorChoice

    @property
    def frequency(self) -> Frequency:
        """The panel's frequency."""
        return self.plan.frequency

    @property
    def shown_horizons(self) -> tuple[int, ...]:
        """The horizons that tables show: the first, the trend's, half way, the last."""
        last = self.plan.horizon
        return tuple(sorted({1, min(self.rows.trend_horizon, last), max(1, last // 2), last}))

    def describe_parameters(self) -> dict[str, str]:
        """Target, origins and series."""
        return {
            "champion": self.champion.family,
            "target": self.task.target.name,
            "kind": "quantiles",
            "seed": str(self.seed),
            "folds": "rolling_origin",
            "origins": str(len(self.plan.test)),
            "horizon": str(self.plan.horizon),
            "frequency": self.frequency.name,
            "season": str(self.season),
            "series": str(len(set(self.examples.entity))),
        }

    def record_families(self) -> tuple[FamilyRecord, ...]:
        """The champion first: the pooled scores, the trend's at its horizon, and skill and MASE horizon by horizon."""
        others = (evaluation for evaluation in self.leaderboard if evaluation is not self.champion)
        return tuple(self._record_family(evaluation) for evaluation in (self.champion, *others))

    def _record_family(self, evaluation: ForecastEvaluation) -> FamilyRecord:
        scores = [s for s in evaluation.scores if s.horizon == "all" or s.metric.startswith("trend_")]
        horizons = range(1, self.plan.horizon + 1)
        return FamilyRecord(
            evaluation.family,
            {s.metric: (s.value, s.low, s.high) for s in scores},
            {f"{m}_horizon": tuple(evaluation.score(m, h).value for h in horizons) for m in ("skill", "mase")},
            evaluation.forecasts.fit_seconds,
            evaluation.forecasts.ms_per_row,
        )
