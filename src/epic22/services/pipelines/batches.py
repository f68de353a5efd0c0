"""Training on a table larger than memory: the rows on disk, a sample of them in memory."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from epic22.core.artifact.bundle import Bundle
from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.large_examples import build_large_examples, drop_columns
from epic22.core.data.large_split import LargeFoldPlan, plan_large_folds
from epic22.core.data.large_table import LargeTable
from epic22.core.data.split import encode_values, find_clusters
from epic22.core.data.task_data import BatchedTaskData, TaskData
from epic22.core.evaluation.baselines import evaluate_incumbent
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.coverage import check_groups
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.crossval_large import (
    LARGE_FAMILIES,
    LargeEvaluation,
    TrainingResources,
    build_fold_plan,
    evaluate,
    fit_all,
    is_matrix_on_disk,
    widen_large_scores,
)
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.evaluation.metrics import note_zero_labels
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.evaluation.significance import is_certainly_better
from epic22.core.experiment import Experiment
from epic22.core.lineage import ModelVersion
from epic22.core.models.catalog import get_family
from epic22.core.progress import Progress
from epic22.core.task import Array, Task
from epic22.services.audit import audit_examples
from epic22.services.challenge import ServingModel, challenge_with_rows
from epic22.services.column_prices import attach_prices
from epic22.services.comparison import compare_in_use
from epic22.services.gates.gate import Evidence
from epic22.services.pipelines.rows import (
    allow_for_choice,
    assess_selection,
    choose_champion,
    collect_row_evidence,
    count_choices,
    evaluate_row_version,
    explain_best,
    find_constant,
    pack_rows,
    sort_key,
)
from epic22.services.prepare import audit_split
from epic22.services.train import Package, PromotionGate
from epic22.services.training_run import RowRun, RowSelection


@dataclass(frozen=True)
class MemoryEstimate:
    """Why a table is not read whole: about how much memory it would take, and the cap, in bytes."""

    needed: int
    cap: int

    @property
    def words(self) -> str:
        """The reason in words."""
        return f"read whole it would take about {self.needed / 1e9:.1f} GB of memory, the cap is {self.cap / 1e9:.1f} GB"


@dataclass(frozen=True)
class BatchPlan:
    """The folds of all rows, and the experiment on the sample, whose task has the families that learn in batches."""

    large_split: LargeFoldPlan
    experiment: Experiment


@dataclass(frozen=True)
class BatchBoard:
    """The families, best first by all test rows, and the incumbent where there is one, which is scored on the sample."""

    families: tuple[LargeEvaluation, ...]
    incumbents: tuple[Evaluation, ...]


@dataclass(frozen=True)
class BatchSelection:
    """Who won on the sample and what that is worth there; `board` are the scores over all test rows."""

    sampled: RowSelection
    champion: LargeEvaluation
    board: tuple[Evaluation, ...]


@dataclass(frozen=True)
class BatchPipeline:
    """Constant, linear and boosting on rows that are read block by block; what needs every row at once looks at the sample."""

    data: BatchedTaskData
    split: SplitRequest
    setting: TrainingResources
    memory: MemoryEstimate
    gate: PromotionGate = field(default_factory=PromotionGate)

    def plan(self, progress: Progress) -> BatchPlan:
        """The folds of all rows and of the sample.

        Raises SplitError where no honest split exists, UserError for what is only done in memory.
        """
        families = tuple(name for name in LARGE_FAMILIES if name in self.data.task.families or get_family(name).is_baseline)
        data, task = self.data, replace(self.data.task, families=families)
        check_groups(task.policy.coverage_by, data.examples.X)
        large_split = plan_large_folds(data.table, task.target.kind, self.split, data.group_column, data.group_repeats)
        folds = build_fold_plan(large_split, data.table, _find_clusters(large_split, data.table, data.examples))
        experiment = Experiment(task, data.examples, folds, self.setting.seed, self.setting.threads)
        return BatchPlan(large_split, experiment)

    def evaluate(self, plan: BatchPlan, progress: Progress) -> BatchBoard:
        """Every family and the incumbent on the same folds."""
        task, n_folds, evaluations = plan.experiment.task, len(plan.experiment.plan.folds), []
        progress.begin("families", len(task.families), "family")
        folds = progress.enter_step()
        for name in task.families:
            folds.begin(f"{name}: {n_folds} folds", n_folds, "fold")
            evaluation = evaluate(plan.experiment, get_family(name), self.data.table, plan.large_split, self.setting, folds.step)
            evaluations.append(evaluation)
            progress.step()
        metric = task.target.metric
        evaluations.sort(key=lambda m: sort_key(m.full.score(metric.name).value, metric.greater_is_better))
        incumbent = evaluate_incumbent(plan.experiment)
        return BatchBoard(tuple(evaluations), () if incumbent is None else (incumbent,))

    def select(self, plan: BatchPlan, board: BatchBoard, progress: Progress) -> BatchSelection:
        """The best family by the sample, and what its answers are worth there."""
        experiment = plan.experiment
        sampled = (*(one.sampled for one in board.families), *board.incumbents)
        leaderboard, explanation = explain_best(experiment, sampled, progress)
        champion, verdicts = choose_champion(experiment, leaderboard)
        selection = RowSelection(
            leaderboard=leaderboard,
            champion=champion,
            verdicts=verdicts,
            comparison=compare_in_use(experiment, leaderboard, champion),
            explanation=explanation,
        )
        chosen, n_choices = champion.family, count_choices(champion, verdicts)
        families = [
            widen_large_scores(experiment, one, n_choices if one.sampled.family == chosen else 1) for one in board.families
        ]
        return BatchSelection(
            assess_selection(experiment, allow_for_choice(experiment, selection)),
            next(one for one in families if one.sampled.family == chosen),
            (*(one.full.without_models() for one in families), *board.incumbents),
        )

    def fit(self, plan: BatchPlan, selection: BatchSelection, progress: Progress) -> FittedFold:
        """The champion, fitted on all rows."""
        family = selection.champion.sampled.family
        progress.begin(f"{family}: all rows", 1)
        fitted = fit_all(get_family(family), plan.experiment.task, self.data.table, selection.champion.best_params, self.setting)
        progress.step()
        return fitted

    def package(self, plan: BatchPlan, selection: BatchSelection, fitted: FittedFold, first_model: bool) -> Package[Bundle]:
        """The fitted champion with calibration, intervals, costs and bands of the sample."""
        assessment = selection.sampled.assessment
        fairness = None if assessment is None else assessment.fairness
        is_certain = is_certainly_better(selection.sampled.verdicts, "constant")
        promotion = self.gate.decide(fairness, first_model, is_certain, plan.experiment.task.protected_columns)
        return pack_rows(plan.experiment, self.data.table.y, selection.sampled, fitted, promotion)

    def evaluate_version(self, plan: BatchPlan, selection: BatchSelection) -> tuple[VersionEvaluation, HeldOutPredictions]:
        """The champion's score and out-of-fold responses, both of the sample."""
        return evaluate_row_version(plan.experiment, selection.sampled.champion, has_all_rows=False)

    def challenge(self, plan: BatchPlan, selection: BatchSelection, serving: ServingModel) -> Challenge:
        """The champion against the model that serves, on the rows of the sample that both have seen held out."""
        sampled = selection.sampled
        return challenge_with_rows(plan.experiment, sampled.champion, find_constant(sampled.leaderboard), serving)

    def collect_evidence(self, plan: BatchPlan, selection: BatchSelection) -> Evidence:
        """The champion's comparisons, audit and assessment on the sample."""
        return collect_row_evidence(plan.experiment, selection.sampled, self.data.suspicions)

    def record(
        self, plan: BatchPlan, selection: BatchSelection, fitted: FittedFold, package: Package[Bundle], version: ModelVersion
    ) -> RowRun:
        """The run, once its model is registered: the board is of all test rows, all else of the sample."""
        data, experiment = self.data, plan.experiment
        champion = next(one for one in selection.board if one.family == selection.sampled.champion.family)
        why_no_prices = "" if data.task.entities is not None else "no second training is done a batch at a time"
        return RowRun(
            **vars(replace(selection.sampled, leaderboard=selection.board, champion=champion)),
            task=experiment.task,
            data_version=data.data_version,
            notes=(*data.notes, *describe_run(data.table, self.setting, self.memory, selection.champion)),
            warnings=experiment.plan.warnings,
            audit=attach_prices(
                experiment.task, (*data.suspicions, *audit_split(data.examples, experiment.plan)), (), why_no_prices
            ),
            plan=experiment.plan,
            examples=data.examples,
            bundle=package.bundle,
            seed=experiment.seed,
            version=version,
            promotion=package.promotion,
            n_table_rows=len(data.table),
        )


def _find_clusters(large_split: LargeFoldPlan, table: LargeTable, examples: Examples) -> Array | None:
    """What is drawn together in the sample: the units that were dealt, else blocks of time, (m,)."""
    clusters = large_split.list_clusters()
    return find_clusters(examples) if clusters is None else encode_values(clusters[table.sample_rows])


def describe_run(table: LargeTable, setting: TrainingResources, memory: MemoryEstimate, best: LargeEvaluation) -> tuple[str, ...]:
    """What was done otherwise than with a table that fits, in words."""
    m = len(table.sample_rows)
    where = "on disk, a page at a time" if is_matrix_on_disk(table, setting) else "in memory"
    notes = [
        f"Trained a batch at a time: {memory.words}.",
        f"{len(table):,} rows were read into {table.matrix_file.n_bytes / 1e9:.2f} GB on disk; boosting saw "
        "all of them, quantised "
        f"{where}, with cuts from the training rows among {m:,} rows drawn at random.",
        f"Scores are of all test rows. The audit, calibration, intervals, verdicts and pictures are of the {m:,} rows "
        "drawn: the intervals are wider than all rows would give. Linear was fitted on some of them.",
        "Not done at this size: tuning beyond three shapes of tree (tried on the rows drawn), engineered columns, ensembles.",
    ]
    if best.best_params is not None:
        notes.append(
            f"All rows were fitted with the last fold's {best.best_params[1]} rounds and depth "
            f"{best.best_params[0]['max_depth']:g}."
        )
    return tuple(notes)


def can_train_in_batches(task: Task) -> bool:
    """Whether a task can be trained a batch at a time; another is trained whole, whatever the cap."""
    target = task.target
    simple = target.loss in ("squared", "absolute", "quantile") and target.log is False
    return (
        simple
        and not target.traits.is_time_to_event
        and len(target.horizons) <= 1
        and set(task.families) <= set(LARGE_FAMILIES)
        and not task.formulas
    )


def build_batched_data(data: TaskData, at: pl.DataFrame, batch_rows: int, scratch: Path, seed: int) -> BatchedTaskData:
    """The rows `at` [entity, cutoff], built a part at a time, without the columns that the audit of their sample withholds."""
    task, version = data.task, data.data_version
    table, examples = build_large_examples(task, data.tables, at, version.id, batch_rows, scratch)
    suspicions = audit_examples(task, examples, data.findings, seed)
    withheld = {suspicion.column for suspicion in suspicions if suspicion.withheld and suspicion.column is not None}
    if withheld:
        table = drop_columns(table, withheld)
        task = replace(task, columns=tuple(replace(c, role="never") if c.name in withheld else c for c in task.columns))
        examples = replace(examples, X=table.sample)
    task, zero_notes = note_zero_labels(task, table.y)
    note = (
        f"{at.height:,} rows were built from the tables, at most {batch_rows:,} at once; the tables themselves stay in memory. "
        f"The rule of today and the fairness gate are evaluated on the {len(examples):,} rows drawn."
    )
    return BatchedTaskData(task, table, examples, version, (*data.suspicions, *suspicions), (*data.notes, note, *zero_notes))
