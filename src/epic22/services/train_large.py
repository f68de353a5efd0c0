"""From a table larger than memory to a champion: the way of `train`, with the rows on disk and a sample of them in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from epic22.core.data.examples import Examples
from epic22.core.data.folds import SplitRequest
from epic22.core.data.large_split import LargeFoldPlan, plan_large_folds
from epic22.core.data.large_table import LargeTable
from epic22.core.data.split import encode_values, find_resampling_blocks
from epic22.core.data.task_data import BatchedTaskData
from epic22.core.evaluation.baselines import evaluate_incumbent
from epic22.core.evaluation.calibration import Calibration
from epic22.core.evaluation.coverage import check_groups
from epic22.core.evaluation.crossval_large import (
    LARGE_FAMILIES,
    LargeEvaluation,
    TrainingResources,
    build_fold_plan,
    evaluate,
    fit_all,
    is_matrix_on_disk,
)
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.ports import Registry
from epic22.core.task import Array
from epic22.services.assess import assess
from epic22.services.comparison import compare_in_use
from epic22.services.prediction_intervals import compute_prediction_intervals
from epic22.services.prepare import audit_split
from epic22.services.progress import Progress
from epic22.services.train import (
    PromotionGate,
    TrainingRun,
    choose_champion,
    explain_best,
    pack_bundle,
    register_bundle,
    sort_key,
)


@dataclass(frozen=True)
class MemoryEstimate:
    """Why a table is not read whole: about how much memory it would take, and the cap, in bytes."""

    needed: int
    cap: int

    @property
    def words(self) -> str:
        """The reason in words."""
        return f"read whole it would take about {self.needed / 1e9:.1f} GB of memory, the cap is {self.cap / 1e9:.1f} GB"


def train_large(
    data: BatchedTaskData,
    split: SplitRequest,
    registry: Registry,
    setting: TrainingResources,
    memory: MemoryEstimate,
    progress: Progress = Progress(),
    gate: PromotionGate = PromotionGate(),
) -> TrainingRun:
    """Race constant, linear and boosting on the rows block by block, judge them on the sample, and register the best.

    Raises SplitError where no honest split exists, UserError for what is only done in memory.
    """
    task, table, examples = replace(data.task, families=LARGE_FAMILIES), data.table, data.examples
    check_groups(task.policy.coverage_by, examples.X)
    large_split = plan_large_folds(table, task.target.kind, split, data.group_column, data.group_repeats)
    plan = build_fold_plan(large_split, table, _clusters(large_split, table, examples))
    experiment = Experiment(task, examples, plan, setting.seed, setting.threads)
    measured = evaluate_all_large(experiment, table, large_split, setting, progress)
    incumbent = evaluate_incumbent(experiment)
    incumbents = () if incumbent is None else (incumbent,)
    sample_evaluations = (*(m.sampled for m in measured), *incumbents)
    sample_leaderboard, explanation = explain_best(experiment, sample_evaluations, progress)
    champion, verdicts = choose_champion(experiment, sample_leaderboard)
    best = next(m for m in measured if m.sampled.family == champion.family)
    comparison = compare_in_use(experiment, sample_leaderboard, champion)
    assessment = assess(experiment, champion, sample_leaderboard, None)
    promotion = gate.decide(assessment, first_model=task.name not in registry.list_tasks())
    intervals = compute_prediction_intervals(
        experiment, champion, Calibration() if assessment is None else assessment.calibration
    )
    progress.begin(f"{champion.family}: all rows", 1)
    fitted = fit_all(get_family(champion.family), task, table, best.best_params, setting)
    progress.step()
    bundle = pack_bundle(task, examples, champion, verdicts, assessment, intervals, fitted, setting.seed, promotion)
    if task.target.traits.has_positive_class:
        bundle = replace(bundle, positive_share=float(table.y.mean()))
    version = register_bundle(bundle, examples, registry)
    board = (*(m.full.without_models() for m in measured), *incumbents)
    return TrainingRun(
        task=task,
        data_version=data.data_version,
        columns=task.columns,
        notes=(*data.notes, *describe_run(table, setting, memory, best)),
        warnings=plan.warnings,
        audit=(*data.suspicions, *audit_split(examples, plan)),
        plan=plan,
        examples=examples,
        leaderboard=board,
        champion=next(e for e in board if e.family == champion.family),
        verdicts=verdicts,
        bundle=bundle,
        honest_scores=(),
        seed=setting.seed,
        version=version,
        assessment=assessment,
        promotion=promotion,
        intervals=intervals,
        comparison=comparison,
        explanation=explanation,
        n_table_rows=len(table),
    )


def evaluate_all_large(
    experiment: Experiment,
    table: LargeTable,
    large_split: LargeFoldPlan,
    setting: TrainingResources,
    progress: Progress,
) -> Sequence[LargeEvaluation]:
    """Every family on the same folds, best first by the deciding metric over all test rows."""
    evaluations, task, n_folds = [], experiment.task, len(experiment.plan.folds)
    for name in task.families:
        progress.begin(f"{name}: {n_folds} folds", n_folds)
        evaluations.append(evaluate(experiment, get_family(name), table, large_split, setting, progress.step))
    metric = task.target.metric
    return sorted(evaluations, key=lambda m: sort_key(m.full.score(metric.name).value, metric.greater_is_better))


def _clusters(large_split: LargeFoldPlan, table: LargeTable, examples: Examples) -> Array | None:
    """What is drawn together in the sample: the units that were dealt, else blocks of time, (m,)."""
    units = large_split.list_units()
    return find_resampling_blocks(examples) if units is None else encode_values(units[table.sample_rows])


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
