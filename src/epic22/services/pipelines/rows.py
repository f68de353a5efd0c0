"""Training on rows that fit in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import GOLDEN_ROWS, Bundle, Schema, compute_model_hash, write_bundle
from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.leakage import ColumnPrice, Suspicion
from epic22.core.data.split import plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError, SplitError
from epic22.core.evaluation.baselines import INCUMBENT, evaluate_incumbent, evaluate_oracle
from epic22.core.evaluation.challenge import Challenge, meet_recipe
from epic22.core.evaluation.crossval import Candidate, Evaluation, evaluate, make_default_recipe, widen_scores
from epic22.core.evaluation.early_exit import N_FINALISTS, evaluate_with_early_exits, restrict_evaluation
from epic22.core.evaluation.explain.explanation import Explanation, explain
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.evaluation.learning_curve import MAX_FOLDS, TRAINING_EIGHTHS, LearningCurve, measure_learning_curve
from epic22.core.evaluation.operating_points import CONSTANT
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare, is_certainly_better
from epic22.core.experiment import Experiment
from epic22.core.fit_store import act_when_done
from epic22.core.lineage import ModelVersion
from epic22.core.models.catalog import AVERAGE, ENSEMBLE, get_family, is_combination
from epic22.core.progress import Progress
from epic22.core.selection.feature_selection import ColumnPlanner
from epic22.core.task import Array, Kind, Task
from epic22.services.assess import assess_binary, assess_hazard
from epic22.services.average import evaluate_average
from epic22.services.candidates import Candidates, RunConfig, list_candidates, prepare_candidates
from epic22.services.challenge import ServingModel, challenge_with_rows, evaluate_recipe, find_recipe
from epic22.services.column_prices import attach_prices, explain_costly_prices, price_doubtful_columns
from epic22.services.comparison import compare_in_use, is_baseline
from epic22.services.gates.gate import CoverageShare, Evidence
from epic22.services.prediction_intervals import compute_prediction_intervals
from epic22.services.prepare import Preparation, prepare
from epic22.services.train import Package, PromotionGate
from epic22.services.training_run import RowRun, RowSelection, SplitComparison
from epic22.services.tune import IncompleteSearchError, Tuning


@dataclass(frozen=True)
class RowPlan:
    """The examples with the folds that judge, who takes part, and how they learn.

    `recommended_folds` are those that the champion is scored on again, where rows with a time were split at random.
    """

    preparation: Preparation
    candidates: Candidates
    config: RunConfig
    recommended_folds: FoldPlan | None


@dataclass(frozen=True)
class RowPipeline:
    """Training on rows that fit in memory.

    With `tuning` a search takes part, which searches anew in every training part. With `engineer`, each fold's models get the
    columns that are planned on its training rows (`selection/feature_selection.py`). `truth` [entity, cutoff, truth] holds the
    true probabilities or medians of simulated rows; it is only ever compared with. `with_explanation` keeps the best family's
    models of the folds until it is known what they look at.
    """

    data: TaskData
    split: SplitRequest
    threads: int
    gate: PromotionGate = field(default_factory=PromotionGate)
    engineer: bool = False
    tuning: Tuning | None = None
    truth: pl.DataFrame | None = None
    with_explanation: bool = True

    def plan(self, progress: Progress) -> RowPlan:
        """The examples, audited and cut into folds, and who takes part.

        Raises SplitError where no honest split exists, ColumnError where the tables do not give what the task declares, or a
        column of `coverage_by` makes no groups.
        """
        preparation = prepare(self.data, self.split, self.threads)
        examples, kind = preparation.experiment.examples, preparation.experiment.task.target.kind
        recommended_folds = plan_recommended_folds(examples, kind, self.split)
        tuning = None if self.tuning is None else self.tuning.reserve_time(len(examples))
        config = RunConfig(self.engineer, tuning)
        own_config = config
        if tuning is not None and recommended_folds is not None:
            # Else the candidates would take it all, and what the honest folds take came on top.
            own_config = replace(config, tuning=tuning.take_share(1 - HONEST_SHARE))
        candidates, preparation = prepare_candidates(preparation, own_config, progress)
        return RowPlan(preparation, candidates, config, recommended_folds)

    def evaluate(self, plan: RowPlan, progress: Progress) -> tuple[Evaluation, ...]:
        """Every candidate and the incumbent on the same folds, best first; a search only where the time is enough to judge it."""
        keep_models = self.with_explanation and not plan.config.is_time_limited
        with_early_exits = can_leave_early(plan)
        board = evaluate_all(plan.preparation.experiment, plan.candidates.members, progress, keep_models, with_early_exits)
        return drop_incomparable_search(plan, board)

    def select(self, plan: RowPlan, board: tuple[Evaluation, ...], progress: Progress) -> RowSelection:
        """The best family, or the one that is preferred in use, and what its answers are worth."""
        experiment, selection = plan.preparation.experiment, select_champion(plan, board, progress)
        comparisons = compare_with_recommended_split(plan, selection.champion, progress)
        oracle, oracle_verdict = compare_with_oracle(experiment, selection.champion, self.truth)
        prices = self._price_columns(plan, board, progress)
        return assess_selection(
            experiment,
            replace(
                selection,
                split_comparisons=comparisons,
                oracle=oracle,
                oracle_verdict=oracle_verdict,
                column_prices=prices,
            ),
        )

    def _price_columns(self, plan: RowPlan, board: tuple[Evaluation, ...], progress: Progress) -> tuple[ColumnPrice, ...]:
        """What doubtful columns of a table of one's own are worth."""
        if self.data.task.entities is not None or self._explain_missing_prices(plan, board):
            return ()
        return price_doubtful_columns(
            plan.preparation.experiment, plan.preparation.audit, board, progress, plan.candidates.planner is not None
        )

    def _explain_missing_prices(self, plan: RowPlan, board: tuple[Evaluation, ...]) -> str:
        """Why doubtful columns are not raced with and without; "" where they are, and of a feature, which declares its own."""
        if self.data.task.entities is not None:
            return ""
        limit = None if plan.config.tuning is None else plan.config.tuning.budget.seconds
        if limit is None:
            return ""
        return explain_costly_prices(plan.preparation.experiment, plan.preparation.audit, board, limit)

    def fit(self, plan: RowPlan, selection: RowSelection, progress: Progress) -> FittedFold:
        """The champion, fitted on all its rows."""
        candidates, rows, family = plan.candidates, plan.preparation.champion_rows, selection.champion.family
        if candidates.planner is not None:
            candidates.planner.plan(rows)
        progress.begin(f"{family}: the champion, on all its rows", 1)
        fitted = candidates.get(family).fit(plan.preparation.experiment.examples, rows)
        progress.step()
        return fitted

    def package(self, plan: RowPlan, selection: RowSelection, fitted: FittedFold, first_model: bool) -> Package[Bundle]:
        """The fitted champion with calibration, intervals, costs and bands."""
        experiment = plan.preparation.experiment
        fairness = None if selection.assessment is None else selection.assessment.fairness
        is_certain = is_certainly_better(selection.verdicts, "constant")
        promotion = self.gate.decide(fairness, first_model, is_certain, experiment.task.protected_columns)
        return pack_rows(experiment, experiment.examples.y, selection, fitted, promotion)

    def evaluate_version(self, plan: RowPlan, selection: RowSelection) -> tuple[VersionEvaluation, HeldOutPredictions]:
        """The champion's score and out-of-fold responses."""
        return evaluate_row_version(plan.preparation.experiment, selection.champion)

    def challenge(self, plan: RowPlan, selection: RowSelection, serving: ServingModel) -> Challenge:
        """The champion against the model that serves, on the folds that judged it; and against that one's recipe, where it has
        one and no time is limited."""
        experiment, board, constant = plan.preparation.experiment, selection.leaderboard, find_constant(selection.leaderboard)
        challenge = challenge_with_rows(experiment, selection.champion, constant, serving)
        family = find_recipe(experiment.task, serving)
        has_planned_columns = plan.candidates.planner is not None
        if not challenge.passed or family is None or plan.config.is_time_limited:
            return challenge
        if selection.champion.family == family.name and not has_planned_columns:
            return challenge
        recipe = evaluate_recipe(experiment, () if has_planned_columns else board, family)
        return meet_recipe(experiment, challenge, selection.champion, recipe, constant)

    def collect_evidence(self, plan: RowPlan, selection: RowSelection) -> Evidence:
        """The champion's comparisons, audit and assessment."""
        return collect_row_evidence(plan.preparation.experiment, selection, plan.preparation.audit)

    def record(
        self, plan: RowPlan, selection: RowSelection, fitted: FittedFold, package: Package[Bundle], version: ModelVersion
    ) -> RowRun:
        """The run, once its model is registered; the studies of its searches are removed when all is done."""
        prepared, experiment = plan.preparation, plan.preparation.experiment
        search, planner = plan.candidates.search, plan.candidates.planner
        why_no_prices = self._explain_missing_prices(plan, selection.leaderboard)
        search_warnings: tuple[str, ...] = ()
        search_result = None
        if self.split.random_rows_despite_time and experiment.examples.has_times and not selection.split_comparisons:
            has_folds = plan.recommended_folds is not None
            search_warnings = (NO_TIME_FOR_HONEST_FOLDS if has_folds and plan.config.is_time_limited else NO_HONEST_FOLDS,)
        if search is not None:
            act_when_done(partial(search.tuning.remove_studies, experiment.task.name))
            search_warnings += search.tuning.warnings
            if all(evaluation.family != ENSEMBLE.name for evaluation in selection.leaderboard):
                search_warnings = (search.describe_shortfall(selection.leaderboard), *search_warnings)
            if selection.champion.family == ENSEMBLE.name:
                search_result = search.search(experiment.examples, prepared.champion_rows)
        return RowRun(
            **vars(selection),
            task=experiment.task,
            data_version=prepared.data.data_version,
            notes=prepared.data.notes,
            warnings=(*experiment.plan.warnings, *search_warnings, *(one.words for one in selection.split_comparisons)),
            audit=attach_prices(experiment.task, prepared.audit, selection.column_prices, why_no_prices),
            plan=experiment.plan,
            examples=experiment.examples,
            bundle=package.bundle,
            seed=experiment.seed,
            version=version,
            promotion=package.promotion,
            column_plan=None if planner is None else planner.plan(prepared.champion_rows),
            search_result=search_result,
            average_weights=() if plan.candidates.average is None else plan.candidates.average.weights,
            trials=() if search is None else search.record_trials(),
        )


HONEST_SHARE = 0.5
"""Of a time limit, what is left for the folds that keep the order of time, where rows were split at random."""

NO_TIME_FOR_HONEST_FOLDS = (
    "--time-limit left no time to fit the champion anew on folds that keep the order of time, so what it is worth there is not "
    "known; give more of it, or leave --random-rows-despite-time out."
)
NO_HONEST_FOLDS = (
    "no folds that keep the order of time can judge these rows, so what the champion is worth in rows to come is not known; "
    "bring a longer history."
)


def can_leave_early(plan: RowPlan) -> bool:
    """Whether a family that is certainly worse leaves before all repeats are fitted.

    Not where the families are weighed by their costs as well, where one that scores worse may be preferred, nor beside a search.
    """
    experiment = plan.preparation.experiment
    return experiment.plan.repeats > 1 and not experiment.task.costs and plan.candidates.search is None


def drop_incomparable_search(plan: RowPlan, board: tuple[Evaluation, ...]) -> tuple[Evaluation, ...]:
    """The board without a search that would win by folds whose searches were more thorough than the one that would serve."""
    preparation, search = plan.preparation, plan.candidates.search
    if search is None or best_family(board).family != ENSEMBLE.name:
        return board
    if search.is_comparable(preparation.experiment.examples, preparation.champion_rows):
        return board
    return tuple(evaluation for evaluation in board if evaluation.family != ENSEMBLE.name)


def select_champion(plan: RowPlan, leaderboard: tuple[Evaluation, ...], progress: Progress) -> RowSelection:
    """Who wins: the best family, or the one that is preferred in use."""
    experiment = plan.preparation.experiment
    leaderboard, explanation = explain_best(experiment, leaderboard, progress)
    champion, verdicts = choose_champion(experiment, leaderboard)
    comparison = compare_in_use(experiment, leaderboard, champion)
    if comparison.preferred is not None and comparison.preferred.family != champion.family:
        champion, verdicts = choose_champion(experiment, leaderboard, comparison.preferred.family)
        explanation = None  # it is of the best family, whose place another has taken
    if experiment.task.policy.learning_curve:
        curve = compute_learning_curve(experiment, leaderboard, champion, progress, plan.candidates.planner)
        comparison = replace(comparison, curve=curve)
    selection = RowSelection(
        leaderboard=leaderboard, champion=champion, verdicts=verdicts, comparison=comparison, explanation=explanation
    )
    return allow_for_choice(experiment, selection)


def evaluate_all(
    experiment: Experiment,
    candidates: Sequence[Candidate],
    progress: Progress,
    keep_models: bool = False,
    with_early_exits: bool = False,
) -> tuple[Evaluation, ...]:
    """Every candidate on the same folds, best first by the deciding metric; `keep_models` holds on to the best one's models.

    `with_early_exits` those that learn and are certainly worse leave early, where there are more than the two that stay. A search
    whose time was too short for a comparison is left out.
    """
    task, n_folds = experiment.task, len(experiment.plan.folds)
    learners = [one for one in candidates if with_early_exits and not get_family(one.name).is_baseline]
    leaving = learners if len(learners) > N_FINALISTS else []
    evaluations: list[Evaluation] = []
    progress.begin("families", len(candidates), "family")
    folds = progress.enter_step()
    for candidate in candidates:
        if candidate in leaving:
            continue
        if candidate.evaluation is None:
            folds.begin(f"{candidate.name}: {n_folds} folds", n_folds, "fold")
        try:
            evaluation = evaluate(experiment, candidate, folds.step, keep_models)
        except IncompleteSearchError:
            continue
        finally:
            progress.step()
        best, *others = _sort_by_score(task, [*evaluations, evaluation])
        evaluations = [best, *(other.without_models() for other in others)]
    if leaving:
        names = ", ".join(one.name for one in leaving)
        folds.begin(f"{names}: {n_folds} folds, fewer where certainly worse", n_folds * len(leaving), "fold")
        best, *others = _sort_by_score(
            task, [*evaluations, *evaluate_with_early_exits(experiment, leaving, folds.step, keep_models)]
        )
        evaluations = [best, *(other.without_models() for other in others)]
        for _ in leaving:
            progress.step()
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
    """The best of the board that is a family, not the rule of today, and was evaluated on all folds."""
    return next(e for e in leaderboard if e.family != INCUMBENT and e.early_exit is None)


def sort_key(value: float, greater_is_better: bool) -> float:
    """A number that is the smaller, the better the score; an undefined score is the worst."""
    if np.isnan(value):
        return float("inf")
    return -value if greater_is_better else value


def choose_champion(
    experiment: Experiment, leaderboard: tuple[Evaluation, ...], family: str | None = None
) -> tuple[Evaluation, tuple[Verdict, ...]]:
    """The champion, which is the best family of the board or the one named `family`, and its verdicts: against each baseline, the
    incumbent among them, then against each other family, best first, with p adjusted for all of them."""
    champion = best_family(leaderboard) if family is None else next(e for e in leaderboard if e.family == family)
    others = [e for e in leaderboard if e is not champion]
    others.sort(key=lambda e: not is_baseline(e.family))
    return champion, adjust_for_multiple_comparisons([_compare_common_folds(experiment, champion, other) for other in others])


def count_choices(champion: Evaluation, verdicts: Sequence[Verdict]) -> int:
    """Among how many the champion was chosen by their scores: itself, and each family that learns and is not certainly worse."""
    return 1 + sum(not is_baseline(one.against) and not one.better for one in verdicts)


def allow_for_choice(experiment: Experiment, selection: RowSelection) -> RowSelection:
    """The selection with a champion whose intervals hold though it was chosen, on the board as well."""
    chosen = selection.champion
    champion = widen_scores(experiment, chosen, count_choices(chosen, selection.verdicts))
    return replace(selection, champion=champion, leaderboard=tuple(champion if e is chosen else e for e in selection.leaderboard))


def _compare_common_folds(experiment: Experiment, champion: Evaluation, other: Evaluation) -> Verdict:
    """The champion against another of the board, which may have left early."""
    task = experiment.task
    if other.early_exit is not None:
        experiment = experiment.take_repeats(other.early_exit.folds // experiment.plan.n_folds)
        champion = restrict_evaluation(experiment, champion)
    return compare(experiment, champion, other, task.target.metric, task.policy.minimum_effect)


def compute_learning_curve(
    experiment: Experiment,
    leaderboard: tuple[Evaluation, ...],
    champion: Evaluation,
    progress: Progress,
    planner: ColumnPlanner | None = None,
) -> LearningCurve | None:
    """Whether more data would help the champion's family, with the columns that were planned on each whole training part.

    What is of several families is not repeated on shares of the rows: the best one as it comes stands for it; None where none is
    on the board.
    """
    if is_combination(champion.family):
        others = [e for e in leaderboard if not is_combination(e.family) and not is_baseline(e.family)]
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


def plan_recommended_folds(examples: Examples, kind: Kind, split: SplitRequest) -> FoldPlan | None:
    """The folds that are right for rows with a time that were split at random; None for others, and where there are none."""
    if not (split.random_rows_despite_time and examples.has_times):
        return None
    try:
        return plan_folds(examples, kind, replace(split, random_rows_despite_time=False))
    except SplitError:
        return None


def compare_with_recommended_split(plan: RowPlan, champion: Evaluation, progress: Progress) -> tuple[SplitComparison, ...]:
    """The champion's scores again on the recommended folds, where rows with a time were split at random; else none, nor where a
    time limit leaves too little for them."""
    folds, average = plan.recommended_folds, plan.candidates.average
    if folds is None:
        return ()
    recommended, config = replace(plan.preparation.experiment, plan=folds), plan.config
    if config.tuning is not None:
        # A search that judged itself is searched anew for each of these folds: as thorough as one must be, or not at all.
        config = replace(config, tuning=replace(config.tuning, nested=True))
    candidates = list_candidates(recommended, config, folds.folds[-1].train, progress)
    is_average = average is not None and champion.family == AVERAGE.name
    needed_seconds = champion.fit_seconds * len(folds.folds) if is_average else 0.0
    # Without its planned columns, or some of its members, it would be another model.
    if (is_average or candidates.planner is not None) and not config.has_time_for(needed_seconds):
        return ()
    n_families = len(average.families) if average is not None and is_average else 1
    progress.begin(f"{champion.family} on honest folds", n_families * len(folds.folds), "fold")
    if average is not None and candidates.search is not None and champion.family == AVERAGE.name:
        evaluation = evaluate_average(recommended, average.families, candidates.search, progress.step)
    else:
        try:
            evaluation = evaluate(recommended, candidates.get(champion.family), progress.step)
        except IncompleteSearchError:
            return ()
    return tuple(
        SplitComparison(score.metric, score.value, evaluation.score(score.metric).value, folds.strategy, folds.why)
        for score in champion.scores
    )


def find_constant(leaderboard: tuple[Evaluation, ...]) -> Evaluation:
    """The constant's evaluation, which is always on the board."""
    return next(evaluation for evaluation in leaderboard if evaluation.family == CONSTANT)


def evaluate_row_version(
    experiment: Experiment, champion: Evaluation, has_all_rows: bool = True
) -> tuple[VersionEvaluation, HeldOutPredictions]:
    """What is kept of a champion's evaluation: its score, and its responses to the rows of the experiment."""
    task, metric = experiment.task, experiment.task.target.metric.name
    columns = [column.name for column in task.input_columns]
    held_out = HeldOutPredictions.of_folds(experiment.examples.X, columns, champion.fold_predictions, has_all_rows)
    target = experiment.task.target
    held_out = replace(held_out, quantile=target.quantile if target.loss == "quantile" else None)
    return VersionEvaluation(metric, champion.score(metric), held_out.n_held_out), held_out


def collect_row_evidence(experiment: Experiment, selection: RowSelection, audit: Sequence[Suspicion]) -> Evidence:
    """What gates are shown of a champion of rows."""
    task, metric = experiment.task, experiment.task.target.metric
    assessment, covered = selection.assessment, selection.intervals.coverage
    return Evidence(
        task=task,
        baseline=CONSTANT,
        verdicts=selection.verdicts,
        scores={one.family: one.score(metric.name).value for one in selection.leaderboard},
        greater_is_better=metric.greater_is_better,
        columns=tuple(column.name for column in task.input_columns),
        audit=tuple(audit),
        fairness=None if assessment is None else assessment.fairness,
        saving=None if assessment is None else assessment.savings.limited,
        miscalibration=None if assessment is None else assessment.miscalibration,
        coverage=None if covered is None else CoverageShare(covered.overall.share, covered.level),
    )


ASSESSORS = {"binary": assess_binary, "hazard": assess_hazard}
"""What a champion's score is worth, by the kinds of target whose answers are probabilities to act on."""


def assess_selection(experiment: Experiment, selection: RowSelection) -> RowSelection:
    """The selection with what the champion's score is worth, and its intervals or sets."""
    assess = ASSESSORS.get(experiment.task.target.kind)
    assessment = None if assess is None else assess(experiment, selection.champion, selection.leaderboard, selection.oracle)
    selection = replace(selection, assessment=assessment)
    return replace(selection, intervals=compute_prediction_intervals(experiment, selection.champion, selection.calibration))


def pack_rows(
    experiment: Experiment, y: Array, selection: RowSelection, fitted: FittedFold, promotion: PromotionDecision
) -> Package[Bundle]:
    """A fitted champion with all that its answers need; called what the gate decided.

    `y` (n,) are the labels that it learned from.
    """
    task, examples, assessment = experiment.task, experiment.examples, selection.assessment
    bundle = Bundle(
        schema=Schema.of(task),
        family=selection.champion.family,
        preprocessor=fitted.preprocessor,
        estimator=fitted.estimator,
        interval=selection.intervals.interval,
        sets=selection.intervals.sets,
        status=promotion.status,
        model_hash="",
        data_version=examples.data_version,
        seed=experiment.seed,
        positive_share=float(y.mean()) if task.target.traits.has_positive_class else None,
        calibration=selection.calibration,
        costs=task.costs,
        risk_bands=None if assessment is None else assessment.risk_bands,
    )
    bundle = replace(bundle, model_hash=compute_model_hash(bundle))
    return Package(bundle, lambda folder: write_bundle(folder, bundle, examples.X.head(GOLDEN_ROWS)), promotion)
