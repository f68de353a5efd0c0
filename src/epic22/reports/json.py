"""What JSON shows of a training, an explanation, a decision list and the stored tables: one view a record, in one table.

`to_json(run, VIEWS)` is what `--json` prints, what is stored beside a version and what the API answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epic22.core.data.feature_engineering import CategoryEncoding
from epic22.core.data.folds import FoldPlan
from epic22.core.data.leakage import SUSPICION_VIEWS
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.conformal import CONFORMAL_VIEWS
from epic22.core.evaluation.cost_per_thousand import CostPer1000
from epic22.core.evaluation.coverage import Coverage, GroupCoverage
from epic22.core.evaluation.crossval import EarlyExit, Evaluation, MetricScore
from epic22.core.evaluation.explain.dependence import DependenceBin, DependenceProfile
from epic22.core.evaluation.explain.explanation import ColumnImportance, Explanation, NearDuplicates
from epic22.core.evaluation.explain.interactions import Interaction
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.family_calibration import FamilyCalibration
from epic22.core.evaluation.forecast_metrics import ForecastScore
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.evaluation.intervals import Estimate
from epic22.core.evaluation.learning_curve import CurvePoint, LearningCurve
from epic22.core.evaluation.non_inferiority import NonInferiority
from epic22.core.evaluation.operating_points import OperatingPoint
from epic22.core.evaluation.power import Power
from epic22.core.evaluation.significance import Verdict
from epic22.core.evaluation.supplementary_tests import TestResult
from epic22.core.lineage import ModelVersion, Node, Trace
from epic22.core.prediction import PREDICTION_VIEWS
from epic22.core.selection.column_booster import ColumnStrength
from epic22.core.selection.column_plan import ColumnPlan, Gain
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import Trial
from epic22.core.serialization import Views, collect_views, to_json, view
from epic22.core.tables.versions import LakeVersion, TableVersion
from epic22.core.task import Column, Formula
from epic22.core.text import format_time
from epic22.services.ablation import AblatedPart, Ablation
from epic22.services.comparison import Comparison
from epic22.services.decide import DecisionList, ListedCase
from epic22.services.family_comparison import ComparedFamily, FamilyComparison, FamilyCost, FamilyVerdict, MachineLoad
from epic22.services.forecast_findings import compute_forecast_coverage
from epic22.services.ingest import IngestResult
from epic22.services.prediction_intervals import PredictionIntervals
from epic22.services.training_run import RowRun, SeriesRun, SplitComparison

EXPLANATION_FORMAT = COMPARISON_FORMAT = ABLATION_FORMAT = 1


@dataclass(frozen=True)
class VersionedExplanation:
    """An explanation and the version of the model that it explains."""

    version: ModelVersion
    explanation: Explanation


@dataclass(frozen=True)
class _ColumnBin:
    """A bin of a column's values; its ends are numbers, for times ISO 8601."""

    column: Column
    bin: DependenceBin

    @property
    def ends(self) -> Mapping[str, float | str | None]:
        """Low, middle and high."""
        values = self.bin.values
        if values is None:
            return dict.fromkeys(("low", "middle", "high"))
        ends = {"low": values.low, "middle": values.value, "high": values.high}
        return ends if self.column.dtype != "time" else {name: format_time(end) for name, end in ends.items()}


def _list_metrics(evaluation: Evaluation) -> Mapping[str, MetricScore]:
    """The scores by their metrics."""
    return {score.metric: score for score in evaluation.scores}


def _describe_loss(run: RowRun) -> Mapping[str, object] | None:
    """What models of values were asked to make small; None for classes."""
    target = run.task.target
    if not target.traits.is_regression:
        return None
    quantile = {"quantile": target.quantile} if target.loss == "quantile" else {}
    power = {"power": target.power} if target.loss == "tweedie" else {}
    return {"name": target.loss, **quantile, **power, "log": bool(target.log), "metric": target.metric.name}


def _weigh_trials(result: SearchResult) -> Sequence[Mapping[str, object]]:
    """Every trial with its weight in the ensemble."""
    weights = dict(result.weights)
    return [{**to_json(trial, VIEWS), "weight": weights.get(trial.number, 0.0)} for trial in result.trials]


def _find_worst_group(coverage: Coverage) -> Mapping[str, object] | None:
    """The group furthest below the level, with what it is a group of and how far below it is."""
    if coverage.worst is None:
        return None
    by, group = coverage.worst
    return {"by": by, "off": group.share.value - coverage.level, **to_json(group, VIEWS)}


def _describe_origins(run: SeriesRun) -> Mapping[str, object]:
    """The origins, as folds are shown."""
    frequency, plan = run.frequency, run.plan
    return {
        "kind": "rolling_origin",
        "n": len(plan.test),
        "repeats": 1,
        "gap": 0.0,
        "earlier_origins": len(plan.earlier),
        "first_test_origin": frequency.label(int(plan.test[0])),
        "last_test_origin": frequency.label(int(plan.test[-1])),
        "horizon": plan.horizon,
        "frequency": frequency.name,
        "season": run.season,
        "why": "each origin sees only what was known by then; the last evaluate what earlier ones chose and calibrated",
    }


def _describe_detector(run: SeriesRun) -> Mapping[str, object] | None:
    """Which detector of anomalies is used, why, and what each found; nothing where none was tried beside the residuals."""
    chosen = run.detection
    return {"used": chosen.name, "because": chosen.reason, "evidence": chosen.evidence} if chosen.tried else None


def _list_horizon_scores(run: SeriesRun) -> Sequence[Mapping[str, object]]:
    """The leaderboard: of each family one entry for the pooled figure and one a horizon."""
    return [
        {
            "family": evaluation.family,
            "target": run.task.target.name,
            "horizon": horizon,
            "metrics": {score.metric: score for score in evaluation.scores if score.horizon == horizon},
            "fit_seconds": evaluation.forecasts.fit_seconds,
            "row_ms": evaluation.forecasts.ms_per_row,
        }
        for evaluation in run.leaderboard
        for horizon in ("all", *range(1, run.plan.horizon + 1))
    ]


def _count_ingested(result: IngestResult) -> Mapping[str, object]:
    return {name: to_json(one) | {"quarantined": result.quarantined.get(name, 0)} for name, one in result.counts.items()}


VIEWS: Views = collect_views(
    *PREDICTION_VIEWS.values(),
    *CONFORMAL_VIEWS.values(),
    *SUSPICION_VIEWS.values(),
    # Trainings.
    view(
        RowRun,
        "task=task.name data_version=data_version.id loss? model_hash=version.model_hash folds=plan audit leaderboard champion "
        "promotion search=search_result average? verdicts comparison explanation honest=split_comparisons coverage=intervals "
        "warnings notes columns=task.columns column_plan derived=task.formulas",
        loss=_describe_loss,
        average=lambda run: dict(run.average_weights) or None,
        champion=lambda run: {
            "family": run.version.family,
            "version": run.version.version,
            "status": run.version.status,
            "chosen_among": run.champion.n_choices,
        },
        explanation=lambda run: run.explanation and VersionedExplanation(run.version, run.explanation),
    ),
    view(
        SeriesRun,
        "task=task.name data_version=data_version.id model_hash=version.model_hash folds audit leaderboard champion "
        "promotion? verdicts intervals weights equals anomaly_detector? notes warnings",
        folds=_describe_origins,
        anomaly_detector=_describe_detector,
        audit=lambda run: (),
        leaderboard=_list_horizon_scores,
        champion=lambda run: {
            "family": run.version.family,
            "version": run.version.version,
            "status": run.version.status,
            "because": run.selection_reason,
        },
        intervals=compute_forecast_coverage,
        weights=lambda run: {name: run.weights[:, i] for i, name in enumerate((*run.members, "naive"))},
        warnings=lambda run: (),
    ),
    view(FoldPlan, "kind=strategy n=n_folds repeats gap=embargo group_by=period why"),
    view(Column, "name dtype role"),
    view(Formula, "name formula=expression unit"),
    view(PromotionDecision, "promoted=promote status why challenge? gates?", gates=lambda decision: decision.gates or None),
    view(GateFinding, "gate outcome why"),
    view(Challenge, "champion passed why rows margin verdict"),
    view(SplitComparison, "metric forced=random_score honest=recommended_score folds=strategy"),
    # Scores and verdicts.
    view(
        Evaluation,
        "family target horizon metrics fit_seconds row_ms=ms_per_row early_exit?",
        metrics=lambda evaluation: _list_metrics(evaluation),
    ),
    view(EarlyExit, "folds of against p words"),
    view(MetricScore, "value low high"),
    view(ForecastScore, "value low high effective_blocks", effective_blocks=lambda score: round(score.blocks, 2)),
    view(
        Verdict,
        "against target horizon metric difference=difference.value low=difference.low high=difference.high p enough_data method "
        "advice p_adjusted certain words power supplementary_tests",
    ),
    view(
        Power,
        "unit=sample.unit count=sample.count clusters=sample.clusters detectable least=minimum_effect "
        "times_for_seen=seen_data_factor times_for_least=minimum_data_factor",
    ),
    view(
        TestResult,
        "test metric difference=difference.value low=difference.low high=difference.high p refused",
        refused=lambda result: result.refusal or None,
    ),
    # Families in use.
    view(Comparison, "operating_points non_inferiority choice=preferred learning_curve=curve"),
    view(
        OperatingPoint,
        "family recall_at_top_5_percent=recall precision_at_top_5_percent=precision accuracy acted_on=acted cost_per_1000=cost "
        "saved_per_1000_against_constant=saved",
    ),
    view(CostPer1000, "value low high"),
    view(NonInferiority, "family against difference_per_1000=difference upper margin p not_worse=is_shown words"),
    view(
        LearningCurve,
        "metric folds points doubling words",
        doubling=lambda curve: {"gain": curve.gain.value, "low": curve.gain.low, "high": curve.gain.high},
    ),
    view(CurvePoint, "rows value low high"),
    # Families compared, and one without its parts.
    view(
        FamilyComparison,
        "format task=task.name data_version folds=plan rows=n_rows seed threads metric=task.target.metric.name reference "
        "families verdicts words=conclusion machine=load notes warnings=plan.warnings",
        format=lambda _: COMPARISON_FORMAT,
    ),
    view(ComparedFamily, "family=name metrics cost calibration", metrics=lambda family: _list_metrics(family.evaluation)),
    view(FamilyCost, "fit_seconds memory_bytes model_bytes ms_alone ms_in_batch"),
    view(FamilyCalibration, "of=what error noise=floor table"),
    view(FamilyVerdict, "family *verdict"),
    view(MachineLoad, "processors load processor_share busy=is_busy words"),
    view(
        Ablation,
        "format task=task.name data_version folds=plan rows=n_rows seed metric=task.target.metric.name family metrics parts "
        "absent words=conclusion notes warnings=plan.warnings",
        format=lambda _: ABLATION_FORMAT,
        metrics=lambda ablation: _list_metrics(ablation.whole),
    ),
    view(
        AblatedPart,
        "part=part.name off=part.params metrics changes_nothing dispensable=is_dispensable verdict words",
        metrics=lambda part: _list_metrics(part.evaluation),
    ),
    # Search and planned columns.
    view(
        SearchResult,
        "ended=stop_reason exhausted=stopping_decision.exhausted why=stopping_decision.reason "
        "gain_of_averaging=ensemble_weights.gain level=level_shift trials",
        trials=_weigh_trials,
    ),
    view(Trial, "family params value folds=fold_scores pruned epoch?=pruned_epoch"),
    view(
        ColumnPlan,
        "inputs=recipe.inputs formulas=recipe.formulas tallies=recipe.encodings loss folds rows fits gains strengths",
        loss=lambda plan: {"name": plan.loss, "before": plan.before, "after": plan.after},
    ),
    view(CategoryEncoding, "name of what=statistic"),
    view(Gain, "change columns gain=gain.value low=gain.low high=gain.high kept=accepted"),
    view(ColumnStrength, "column permutation error contribution stability kept=selected"),
    # Intervals and sets, and what they covered.
    view(PredictionIntervals, "interval sets chosen_by=losses covered=coverage note"),
    view(
        Coverage,
        "stated=level overall tables worst short_months words=sentences",
        worst=_find_worst_group,
        short_months=lambda coverage: [group.name for group in coverage.short_months],
    ),
    view(GroupCoverage, "name rows coverage=share size short"),
    # Explanations.
    view(
        VersionedExplanation,
        "format task=version.task version=version.version model_hash=version.model_hash *explanation",
        format=lambda _: EXPLANATION_FORMAT,
    ),
    view(
        Explanation,
        "family unit metric folds rows agreement fold_agreement top columns copies=near_duplicates interactions "
        "dependence=dependences warnings",
    ),
    view(
        ColumnImportance,
        "column=column.name about=column.about unit=column.unit dtype=column.dtype importance=strength share direction toward "
        "correlation ranks in_top permutation_loss=loss",
    ),
    view(NearDuplicates, "columns agreement permutation_loss=loss"),
    view(Interaction, "columns strength share held_out_gain=gain found=is_significant h"),
    view(
        DependenceProfile,
        "column=column.name toward marks missing",
        marks=lambda profile: [_ColumnBin(profile.column, one) for one in profile.bins],
        missing=lambda profile: None if profile.missing is None else _ColumnBin(profile.column, profile.missing),
    ),
    view(_ColumnBin, "label=bin.label *ends rows=bin.rows contribution=bin.contribution folds=bin.folds"),
    view(Estimate, "value low high"),
    # Decisions, stored tables and where things come from.
    view(
        DecisionList,
        "task model at capacity considered expected_saving=saving in_sample list=listed",
        at=lambda decisions: f"{decisions.at.isoformat()}Z",
    ),
    view(ListedCase, "rank expected_saving=saving expected_change=change *prediction"),
    view(IngestResult, "version counts notes", counts=_count_ingested),
    view(
        LakeVersion,
        "number id tables sources who at parent end action notes rows quarantined supersedes?",
        supersedes=lambda version: version.supersedes or None,
    ),
    view(TableVersion, "delta_version rows added digest folder?"),
    view(Trace, "subject=subject.key nodes edges notes"),
    view(Node, "key kind=type id words=label facts", facts=lambda node: dict(node.facts)),
)
"""The view of each record. A record that is not here is shown with all its fields."""
