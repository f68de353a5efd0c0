"""From an assignment to a champion: examples, folds, families, verdicts, bundle, registry."""

import tempfile
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import GOLDEN_ROWS, Bundle, Schema, compute_model_hash, write_bundle
from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.leakage import Suspicion
from epic22.core.data.split import plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError
from epic22.core.evaluation.baselines import INCUMBENT, evaluate_incumbent, evaluate_oracle
from epic22.core.evaluation.calibration import Calibration
from epic22.core.evaluation.crossval import Candidate, Evaluation, evaluate, make_default_recipe
from epic22.core.evaluation.explain.explanation import Explanation, explain
from epic22.core.evaluation.fairness import Override, PromotionDecision
from epic22.core.evaluation.fairness import decide_promotion as fairness_gate
from epic22.core.evaluation.learning_curve import MAX_FOLDS, TRAINING_EIGHTHS, LearningCurve, measure_learning_curve
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare
from epic22.core.experiment import Experiment
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.models.catalog import ENSEMBLE, get_family
from epic22.core.ports import Registry
from epic22.core.selection.feature_selection import ColumnPlan, ColumnPlanner
from epic22.core.selection.search_result import SearchResult
from epic22.core.task import Column, Task
from epic22.services.assess import Assessment, assess
from epic22.services.assess_hazard import assess_hazard
from epic22.services.candidates import Candidates, RunConfig, list_candidates, prepare_candidates
from epic22.services.comparison import Comparison, compare_in_use, is_baseline
from epic22.services.prediction_intervals import PredictionIntervals, compute_prediction_intervals
from epic22.services.prepare import Preparation, prepare
from epic22.services.progress import Progress
from epic22.services.tune import Tuning


@dataclass(frozen=True)
class PromotionGate:
    """Who may let a model pass whose fairness is refused or inconclusive, and whether someone did, with a reason."""

    override: Override | None = None
    authorised: Container[str] = frozenset()

    def decide(self, assessment: Assessment | None, first_model: bool) -> PromotionDecision:
        """Whether the model may become champion."""
        return fairness_gate(None if assessment is None else assessment.fairness, first_model, self.override, self.authorised)


@dataclass(frozen=True)
class HonestScore:
    """Where rows were forced: the champion's score by those folds beside its score by the folds that were right."""

    metric: str
    forced: float
    honest: float
    kind: str
    why: str


@dataclass(frozen=True)
class TrainingRun:
    """All that a training found; reports, tracking and answers are made of this.

    `assessment` is what the champion's score is worth, for two classes, `intervals` its intervals or sets. `oracle` is the best
    possible, and `shortfall` the champion's difference to it (below zero: worse), where the truth is known, which it only is of
    simulated tables. `comparison` is of the families where they are used. `n_table_rows` is set where `examples` are a sample of
    a larger table. `column_plan` says which columns the champion got, and why, where they were planned.
    """

    task: Task
    data_version: DataVersion
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    audit: tuple[Suspicion, ...]
    plan: FoldPlan
    examples: Examples
    leaderboard: tuple[Evaluation, ...]
    champion: Evaluation
    verdicts: tuple[Verdict, ...]
    bundle: Bundle
    honest_scores: tuple[HonestScore, ...]
    seed: int
    version: ModelVersion
    assessment: Assessment | None = None
    promotion: PromotionDecision | None = None
    oracle: Evaluation | None = None
    shortfall: Verdict | None = None
    intervals: PredictionIntervals = field(default_factory=PredictionIntervals)
    comparison: Comparison = field(default_factory=Comparison)
    explanation: Explanation | None = None
    n_table_rows: int | None = None
    column_plan: ColumnPlan | None = None
    search_result: SearchResult | None = None

    @property
    def n_rows(self) -> int:
        """How many rows the scores are of: all examples, or more where only a sample of them is held."""
        return len(self.examples) if self.n_table_rows is None else self.n_table_rows


def train(
    data: TaskData,
    split: SplitRequest,
    registry: Registry,
    threads: int,
    progress: Progress = Progress(),
    truth: pl.DataFrame | None = None,
    gate: PromotionGate = PromotionGate(),
    engineer: bool = False,
    with_explanation: bool = True,
    tuning: Tuning | None = None,
) -> TrainingRun:
    """Race the task's families on honest folds, judge them, and register the best as a version (promotion is another step).

    With `tuning` a search takes part, which searches anew in every training part.

    With `engineer`, each fold's models get the columns that are planned on its training rows (`selection/feature_selection.py`).

    `truth` [entity, cutoff, truth] holds the true probabilities or medians of simulated rows; it is only ever compared with.
    `with_explanation` keeps the best family's models of the folds until it is told what they look at.

    Raises SplitError where no honest split exists, ColumnError where the tables do not give what the task declares, or a column
    of `coverage_by` makes no groups.
    """
    preparation = prepare(data, split, threads)
    tuning = None if tuning is None else tuning.reserve_time(len(preparation.experiment.examples))
    config = RunConfig(engineer, tuning)
    candidates, preparation = prepare_candidates(preparation, config, progress)
    selection = select_champion(preparation, candidates, config, with_explanation, progress)
    experiment, champion = preparation.experiment, selection.champion
    task, examples, plan, seed = experiment.task, experiment.examples, experiment.plan, experiment.seed
    honest = score_honest_folds(experiment, champion, split, config, progress)
    oracle, shortfall = compare_with_oracle(experiment, champion, truth)
    assess_champion = assess_hazard if task.target.traits.is_time_to_event else assess
    assessment = assess_champion(experiment, champion, selection.leaderboard, oracle)
    promotion = gate.decide(assessment, first_model=task.name not in registry.list_tasks())
    intervals = compute_prediction_intervals(
        experiment, champion, Calibration() if assessment is None else assessment.calibration
    )
    column_plan = None if candidates.planner is None else candidates.planner.plan(preparation.rows)
    fitted = candidates.fit_champion(champion.family, preparation, progress)
    bundle = pack_bundle(task, examples, champion, selection.verdicts, assessment, intervals, fitted, seed, promotion)
    version = register_bundle(bundle, examples, registry)
    nested_search = candidates.nested_search
    if nested_search is not None:
        nested_search.remove_studies()
    return TrainingRun(
        task=task,
        data_version=preparation.data.data_version,
        columns=task.columns,
        notes=preparation.data.notes,
        warnings=(
            *plan.warnings,
            *(() if nested_search is None else nested_search.tuning.warnings),
            *(_describe_gap(score) for score in honest),
        ),
        audit=preparation.audit,
        plan=plan,
        examples=examples,
        leaderboard=selection.leaderboard,
        champion=champion,
        verdicts=selection.verdicts,
        bundle=bundle,
        honest_scores=honest,
        seed=seed,
        version=version,
        assessment=assessment,
        promotion=promotion,
        oracle=oracle,
        shortfall=shortfall,
        intervals=intervals,
        comparison=selection.comparison,
        column_plan=column_plan,
        explanation=selection.explanation,
        search_result=None
        if nested_search is None or champion.family != ENSEMBLE.name
        else nested_search.search(examples, preparation.rows),
    )


@dataclass(frozen=True)
class Selection:
    """Who won, and why: the board, best family first, the champion and its verdicts, what the families are worth in use, and
    what the champion looks at."""

    leaderboard: tuple[Evaluation, ...]
    champion: Evaluation
    verdicts: tuple[Verdict, ...]
    comparison: Comparison
    explanation: Explanation | None


def select_champion(
    preparation: Preparation, candidates: Candidates, config: RunConfig, with_explanation: bool, progress: Progress
) -> Selection:
    """The race and who wins it: the best family, or the one that is preferred in use."""
    experiment = preparation.experiment
    leaderboard = evaluate_all(experiment, candidates.members, progress, with_explanation and not config.is_time_limited)
    leaderboard, explanation = explain_best(experiment, leaderboard, progress)
    champion, verdicts = choose_champion(experiment, leaderboard)
    comparison = compare_in_use(experiment, leaderboard, champion)
    if comparison.choice is not None and comparison.choice.family != champion.family:
        champion, verdicts = choose_champion(experiment, leaderboard, comparison.choice.family)
        explanation = None  # it is of the best family, whose place another has taken
    if experiment.task.policy.learning_curve:
        curve = compute_learning_curve(experiment, leaderboard, champion, progress, candidates.planner)
        comparison = replace(comparison, curve=curve)
    return Selection(leaderboard, champion, verdicts, comparison, explanation)


def evaluate_all(
    experiment: Experiment,
    candidates: Sequence[Candidate],
    progress: Progress,
    keep_models: bool = False,
) -> tuple[Evaluation, ...]:
    """Every contender on the same folds, best first by the deciding metric; `keep_models` holds on to the best one's models."""
    task, n_folds = experiment.task, len(experiment.plan.folds)
    evaluations: list[Evaluation] = []
    for candidate in candidates:
        progress.begin(f"{candidate.name}: {n_folds} folds", n_folds)
        evaluation = evaluate(experiment, candidate, progress.step, keep_models)
        best, *others = _sort_by_score(task, [*evaluations, evaluation])
        evaluations = [best, *(other.without_models() for other in others)]
    incumbent = evaluate_incumbent(experiment)
    return tuple(_sort_by_score(task, evaluations if incumbent is None else [*evaluations, incumbent]))


def _sort_by_score(task: Task, evaluations: list[Evaluation]) -> list[Evaluation]:
    metric = task.target.metric
    return sorted(evaluations, key=lambda e: sort_key(e.score(metric.name).value, metric.greater_is_better))


def explain_best(
    experiment: Experiment, leaderboard: tuple[Evaluation, ...], progress: Progress
) -> tuple[tuple[Evaluation, ...], Explanation | None]:
    """The board without models, and what those that were kept, of the best family, look at; None where none was kept."""
    best = best_family(leaderboard)
    if not any(part.fitted for part in best.fold_predictions):
        return leaderboard, None
    progress.begin(f"{best.family}: what it looks at", 1)
    explanation = explain(experiment, best, Schema.of(experiment.task).score_unit)
    progress.step()
    return tuple(evaluation.without_models() for evaluation in leaderboard), explanation


def best_family(leaderboard: tuple[Evaluation, ...]) -> Evaluation:
    """The best of the board that is a family, not the rule of today."""
    return next(e for e in leaderboard if e.family != INCUMBENT)


def sort_key(value: float, greater_is_better: bool) -> float:
    """A number that is the smaller, the better the score; an undefined score is the worst."""
    if np.isnan(value):
        return float("inf")
    return -value if greater_is_better else value


def choose_champion(
    experiment: Experiment, leaderboard: tuple[Evaluation, ...], family: str | None = None
) -> tuple[Evaluation, tuple[Verdict, ...]]:
    """The champion is the best family of the board, or the one that was `family`; its verdicts are against each baseline, the
    incumbent among them, then against each other family, best first, with p adjusted for all of them."""
    champion = best_family(leaderboard) if family is None else next(e for e in leaderboard if e.family == family)
    others = [e for e in leaderboard if e is not champion]
    others.sort(key=lambda e: not is_baseline(e.family))
    task = experiment.task
    return champion, adjust_for_multiple_comparisons(
        [compare(experiment, champion, other, task.target.metric, task.policy.minimum_effect) for other in others]
    )


def compute_learning_curve(
    experiment: Experiment,
    leaderboard: tuple[Evaluation, ...],
    champion: Evaluation,
    progress: Progress,
    planner: ColumnPlanner | None = None,
) -> LearningCurve | None:
    """Whether more data would help the champion's family, with the columns that were planned on each whole training part.

    A search is not repeated on shares of the rows: the best family as it comes stands for it; None where none is on the board.
    """
    if champion.family == ENSEMBLE.name:
        others = [e for e in leaderboard if e is not champion and not is_baseline(e.family)]
        if not others:
            return None
        champion = others[0]
    family = get_family(champion.family)
    recipes = make_default_recipe if planner is None or family.is_baseline else planner.get_recipe
    progress.begin(f"{family.name}: learning curve", MAX_FOLDS * (len(TRAINING_EIGHTHS) - 1))
    return measure_learning_curve(experiment, family, champion, progress=progress.step, recipes=recipes)


def compare_with_oracle(
    experiment: Experiment, champion: Evaluation, truth: pl.DataFrame | None
) -> tuple[Evaluation | None, Verdict | None]:
    """The best possible on the same folds, and the champion's difference to it; nothing where the truth is not known.

    Of a hazard the truth has a column `truth_90` a horizon that is known.

    Raises ColumnError where the truth lacks a row of the examples.
    """
    if truth is None:
        return None, None
    task, examples = experiment.task, experiment.examples
    keys = pl.DataFrame({"entity": examples.entity, "cutoff": examples.at})
    joined = keys.join(truth, on=["entity", "cutoff"], how="left", maintain_order="left")
    values = joined.drop("entity", "cutoff")
    unknown = values.select(pl.max_horizontal(pl.all().is_null())).to_series().sum() if values.width else len(examples)
    if unknown:
        raise ColumnError(f"task {task.name}: the truth is not stated for {unknown:,} of {len(examples):,} examples.")
    if task.target.traits.is_time_to_event:
        names = [f"truth_{horizon:g}" for horizon in task.target.horizons]
        truth_values = np.column_stack(
            [values[n].to_numpy() if n in values.columns else np.full(len(values), np.nan) for n in names]
        )
    else:
        truth_values = values["truth"].to_numpy()
    oracle = evaluate_oracle(experiment, truth_values)
    return oracle, compare(experiment, champion, oracle, task.target.metric)


def score_honest_folds(
    experiment: Experiment, champion: Evaluation, split: SplitRequest, config: RunConfig, progress: Progress
) -> tuple[HonestScore, ...]:
    """Where rows were forced despite their time: the champion again, on the folds that would have been right."""
    examples = experiment.examples
    if not (split.random_rows_despite_time and examples.has_times):
        return ()
    honest_plan = plan_folds(examples, experiment.task.target.kind, replace(split, random_rows_despite_time=False))
    honest = replace(experiment, plan=honest_plan)
    progress.begin(f"{champion.family} on honest folds", len(honest_plan.folds))
    candidates = list_candidates(honest, config, config.build_planner(honest), honest_plan.folds[-1].train, progress)
    candidate = next(c for c in candidates if c.name == champion.family)
    honest_evaluation = evaluate(honest, candidate, progress.step)
    return tuple(
        HonestScore(score.metric, score.value, honest_evaluation.score(score.metric).value, honest_plan.kind, honest_plan.why)
        for score in champion.scores
    )


def _describe_gap(score: HonestScore) -> str:
    return f"{score.metric}: {score.forced:.4g} by random rows, {score.honest:.4g} by honest folds ({score.kind}: {score.why})."


def pack_bundle(
    task: Task,
    examples: Examples,
    champion: Evaluation,
    verdicts: tuple[Verdict, ...],
    assessment: Assessment | None,
    intervals: PredictionIntervals,
    fitted: FittedFold,
    seed: int,
    promotion: PromotionDecision,
) -> Bundle:
    """A fitted champion with all that its answers need; proven where it beats the constant and the gate lets it pass so."""
    proven = any(v.against == "constant" and v.better for v in verdicts)
    bundle = Bundle(
        schema=Schema.of(task),
        family=champion.family,
        preprocessor=fitted.preprocessor,
        estimator=fitted.estimator,
        band=intervals.band,
        sets=intervals.sets,
        status="proven" if proven else "provisional",
        model_hash="",
        data_version=examples.data_version,
        seed=seed,
        positive_share=float(examples.y.mean()) if task.target.traits.has_positive_class else None,
        calibration=Calibration() if assessment is None else assessment.calibration,
        costs=task.costs,
        risk_bands=None if assessment is None else assessment.bands,
    )
    status = bundle.status if promotion.status == "proven" else promotion.status
    return replace(bundle, model_hash=compute_model_hash(bundle), status=status)


def register_bundle(bundle: Bundle, examples: Examples, registry: Registry) -> ModelVersion:
    """Write the bundle aside and hand it to the registry, whole."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as scratch:
        folder = Path(scratch) / "bundle"
        write_bundle(folder, bundle, examples.X.head(GOLDEN_ROWS))
        task, family = bundle.schema.task, bundle.family
        return registry.save(task, family, bundle.model_hash, bundle.data_version, bundle.status, folder)
