"""What a training is run on: audited examples, the folds that judge, and the rows that the champion is fitted on."""

from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.assignment import Assignment
from epic22.core.data.examples import Examples
from epic22.core.data.formula import without
from epic22.core.data.leakage import Suspicion, audit_folds
from epic22.core.data.split import MICROSECONDS_A_DAY, FoldPlan, SplitRequest, plan_folds
from epic22.core.evaluation.coverage import refuse_groups
from epic22.core.selection.log_target import settle_log
from epic22.core.task import Array, Task
from epic22.services.audit import audit_examples


@dataclass(frozen=True)
class Course:
    """What is raced on: the assignment as audit and folds left it, its examples and folds, and the rows (positions) that the
    champion is fitted on."""

    assignment: Assignment
    examples: Examples
    audit: tuple[Suspicion, ...]
    plan: FoldPlan
    rows: Array

    @property
    def task(self) -> Task:
        """The declared task."""
        return self.assignment.task


def laid_out(assignment: Assignment, split: SplitRequest, threads: int) -> Course:
    """The examples, audited and cut into folds; the label's logarithm where that is settled to be better.

    Raises SplitError where no honest split exists, ColumnError where the tables do not give what the task declares, or a column
    of `coverage_by` makes no groups.
    """
    task, examples, suspicions = audited(assignment, split.seed)
    refuse_groups(task.coverage_by, examples.X)
    plan = plan_folds(examples, task.target.kind, split)
    task, found = settle_log(task, examples, plan, split.seed, threads)
    assignment = replace(assignment, task=task, suspicions=suspicions, notes=(*assignment.notes, *found))
    audit = (*suspicions, *audit_split(examples, plan))
    return Course(assignment, examples, audit, plan, champion_rows(assignment, examples))


def audited(assignment: Assignment, seed: int) -> tuple[Task, Examples, tuple[Suspicion, ...]]:
    """The examples of a task on canonical tables without the columns that the audit withholds; a file's were audited before."""
    task, examples = assignment.task, assignment.examples()
    if task.entities is None:
        return task, examples, assignment.suspicions
    found = audit_examples(task, examples, assignment.findings, seed)
    withheld = {suspicion.column for suspicion in found if suspicion.withheld and suspicion.column is not None}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in task.columns)
    kept = replace(task, columns=columns, formulas=without(task.formulas, task.input_columns, withheld))
    inputs = examples.X.select([column.name for column in kept.input_columns])
    return kept, replace(examples, X=inputs), (*assignment.suspicions, *found)


def audit_split(examples: Examples, plan: FoldPlan) -> tuple[Suspicion, ...]:
    """What the audit finds in the folds themselves."""
    pairs = [(fold.train, fold.test) for fold in plan.folds if fold.repeat == 0]
    at = examples.at if examples.timed else None
    gap = np.timedelta64(round(plan.gap * MICROSECONDS_A_DAY), "us").astype(object)
    return audit_folds(examples.X, pairs, at, gap, examples.group)


def champion_rows(assignment: Assignment, examples: Examples) -> Array:
    """The rows that the champion is fitted on: all but those of a test file that may train."""
    rows = np.arange(len(examples) - assignment.test_rows)
    return rows if examples.learned is None else rows[examples.learned[rows]]
