"""From a table larger than memory to a champion: the way of `train`, with the rows on disk and a sample of them in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from epic22.core.data.assignment import LargeAssignment
from epic22.core.data.examples import Examples
from epic22.core.data.large_table import LargeTable
from epic22.core.data.sides import SidesPlan, plan_sides
from epic22.core.data.split import FoldPlan, SplitRequest, blocks_of, codes
from epic22.core.evaluation.calibrate import Calibration
from epic22.core.evaluation.coverage import refuse_groups
from epic22.core.evaluation.crossval_large import RACED, Measured, Setting, evaluate, fit_all, on_disk, plan_of
from epic22.core.evaluation.yardsticks import incumbent_evaluation
from epic22.core.models.catalog import family_named
from epic22.core.ports import Registry
from epic22.core.task import Array, Task
from epic22.services.comparison import compare_in_use
from epic22.services.course import audit_split
from epic22.services.promise import promised
from epic22.services.train import Gate, TrainingRun, explained, judge, packed, ranked, register
from epic22.services.watch import Watch
from epic22.services.worth import assess


@dataclass(frozen=True)
class Size:
    """Why a table is not read whole: about how much memory it would take, and the cap, in bytes."""

    needed: int
    cap: int

    @property
    def words(self) -> str:
        """The reason in words."""
        return f"read whole it would take about {self.needed / 1e9:.1f} GB of memory, the cap is {self.cap / 1e9:.1f} GB"


def train_large(
    assignment: LargeAssignment,
    split: SplitRequest,
    registry: Registry,
    setting: Setting,
    size: Size,
    watch: Watch = Watch(),
    gate: Gate = Gate(),
) -> TrainingRun:
    """Race constant, linear and boosting on the rows block by block, judge them on the sample, and register the best.

    Raises SplitError where no honest split exists, UserError for what is only done in memory.
    """
    task, table, examples = replace(assignment.task, families=RACED), assignment.table, assignment.examples
    refuse_groups(task.coverage_by, examples.X)
    sides = plan_sides(table, task.target.kind, split, assignment.whom, assignment.repeats)
    plan = plan_of(sides, table, _clusters(sides, table, examples))
    measured = race_large(task, table, sides, examples, plan, setting, watch)
    rule = incumbent_evaluation(task, examples, plan, setting.seed)
    rules = () if rule is None else (rule,)
    raced = (*(m.drawn for m in measured), *rules)
    drawn, explanation = explained(task, examples, plan, raced, setting.seed, watch)
    champion, verdicts = judge(task, examples, plan, drawn, setting.seed)
    best = next(m for m in measured if m.drawn.family == champion.family)
    comparison = compare_in_use(task, examples, plan, drawn, champion, setting.seed)
    worth = assess(task, examples, plan, champion, drawn, None, setting.seed)
    promotion = gate.decide(worth, first_model=task.name not in registry.tasks())
    promise = promised(task, examples, plan, champion, Calibration() if worth is None else worth.calibration)
    watch.begin(f"{champion.family}: all rows", 1)
    fitted = fit_all(family_named(champion.family), task, table, best.chosen, setting)
    watch.step()
    bundle = packed(task, examples, champion, verdicts, worth, promise, fitted, setting.seed, promotion)
    if task.target.kind == "binary":
        bundle = replace(bundle, positive_share=float(table.y.mean()))
    version = register(bundle, examples, registry)
    board = (*(m.whole.without_models() for m in measured), *rules)
    return TrainingRun(
        task=task,
        data_version=assignment.data_version,
        columns=task.columns,
        notes=(*assignment.notes, *notes_on(table, setting, size, best)),
        warnings=plan.warnings,
        audit=(*assignment.suspicions, *audit_split(examples, plan)),
        plan=plan,
        examples=examples,
        leaderboard=board,
        champion=next(e for e in board if e.family == champion.family),
        verdicts=verdicts,
        bundle=bundle,
        honest=(),
        seed=setting.seed,
        version=version,
        worth=worth,
        promotion=promotion,
        promise=promise,
        comparison=comparison,
        explanation=explanation,
        rows=len(table),
    )


def race_large(
    task: Task,
    table: LargeTable,
    sides: SidesPlan,
    examples: Examples,
    plan: FoldPlan,
    setting: Setting,
    watch: Watch,
) -> Sequence[Measured]:
    """Every family on the same folds, best first by the deciding metric over all test rows."""
    found = []
    for name in task.families:
        watch.begin(f"{name}: {len(plan.folds)} folds", len(plan.folds))
        found.append(evaluate(family_named(name), task, table, sides, examples, plan, setting, watch.step))
    metric = task.target.metric
    return sorted(found, key=lambda m: ranked(m.whole.score(metric.name).value, metric.greater_is_better))


def _clusters(sides: SidesPlan, table: LargeTable, examples: Examples) -> Array | None:
    """What is drawn together in the sample: the units that were dealt, else blocks of time, (m,)."""
    units = sides.units()
    return blocks_of(examples) if units is None else codes(units[table.places])


def notes_on(table: LargeTable, setting: Setting, size: Size, best: Measured) -> tuple[str, ...]:
    """What was done otherwise than with a table that fits, in words."""
    m = len(table.places)
    where = "on disk, a page at a time" if on_disk(table, setting) else "in memory"
    told = [
        f"Trained a batch at a time: {size.words}.",
        f"{len(table):,} rows were read into {table.spool.size / 1e9:.2f} GB on disk; boosting saw all of them, quantised "
        f"{where}, with cuts from the training rows among {m:,} rows drawn at random.",
        f"Scores are of all test rows. The audit, calibration, intervals, verdicts and pictures are of the {m:,} rows "
        "drawn: the intervals are wider than all rows would give. Linear was fitted on some of them.",
        "Not done at this size: tuning beyond three shapes of tree (tried on the rows drawn), engineered columns, ensembles.",
    ]
    if best.chosen is not None:
        told.append(
            f"All rows were fitted with the last fold's {best.chosen[1]} rounds and depth {best.chosen[0]['max_depth']:g}."
        )
    return tuple(told)
