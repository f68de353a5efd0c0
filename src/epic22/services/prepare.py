"""What a training is run on: audited examples, the folds that judge, and the rows that the champion is fitted on."""

from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.formula import drop_formulas
from epic22.core.data.leakage import Suspicion, audit_folds
from epic22.core.data.split import convert_days, plan_folds
from epic22.core.data.task_data import TaskData
from epic22.core.evaluation.coverage import check_groups
from epic22.core.evaluation.metrics import note_zero_labels
from epic22.core.experiment import Experiment
from epic22.core.selection.target_transform import choose_label_scale, choose_log_target
from epic22.core.task import Array, Task
from epic22.services.audit import audit_examples


@dataclass(frozen=True)
class Preparation:
    """What is trained on: the data as the audit left them, the experiment that judges, and the rows (positions) that the champion
    is fitted on: all that may train, but for those of a test file."""

    data: TaskData
    experiment: Experiment
    audit: tuple[Suspicion, ...]
    champion_rows: Array

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes on the data and what the audit suspects, in sentences."""
        fates = {True: " (left out)", False: ""}
        remarks = (f"audit: {one.column or 'rows'}, {one.suspicion}{fates[one.withheld]}: {one.words}" for one in self.audit)
        return (*self.data.notes, *remarks)


def prepare(data: TaskData, split: SplitRequest, threads: int) -> Preparation:
    """The examples, audited and cut into folds; the label's logarithm where that is settled to be better.

    Raises SplitError where no honest split exists, ColumnError where the tables do not give what the task declares, or a column
    of `coverage_by` makes no groups.
    """
    task, examples, suspicions = withhold_columns(data, split.seed)
    check_groups(task.policy.coverage_by, examples.X)
    plan = plan_folds(examples, task.target.kind, replace(split, classes=task.target.classes))
    task, zero_notes = note_zero_labels(task, examples.y)
    experiment = Experiment(task, examples, plan, split.seed, threads)
    task, notes = choose_log_target(experiment)
    task = choose_label_scale(task, examples.y)
    data = replace(data, task=task, suspicions=suspicions, notes=(*data.notes, *notes, *zero_notes))
    audit = (*suspicions, *audit_split(examples, plan))
    rows = np.arange(len(examples) - data.test_rows)
    trainable = rows if examples.trainable is None else rows[examples.trainable[rows]]
    return Preparation(data, replace(experiment, task=task), audit, trainable)


def withhold_columns(data: TaskData, seed: int) -> tuple[Task, Examples, tuple[Suspicion, ...]]:
    """The examples of a task on canonical tables without the columns that the audit withholds; a file's were audited before."""
    task, examples = data.task, data.examples()
    if task.entities is None:
        return task, examples, data.suspicions
    suspicions = audit_examples(task, examples, data.findings, seed)
    withheld = {suspicion.column for suspicion in suspicions if suspicion.withheld and suspicion.column is not None}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in task.columns)
    remaining = replace(task, columns=columns, formulas=drop_formulas(task.formulas, task.input_columns, withheld))
    inputs = examples.X.select([column.name for column in remaining.input_columns])
    return remaining, replace(examples, X=inputs), (*data.suspicions, *suspicions)


def audit_split(examples: Examples, plan: FoldPlan) -> tuple[Suspicion, ...]:
    """What the audit finds in the folds themselves."""
    pairs = [(fold.train, fold.test) for fold in plan.folds if fold.repeat == 0]
    at = examples.at if examples.has_times else None
    embargo = convert_days(plan.embargo).astype(object)
    return audit_folds(examples.X, pairs, at, embargo, examples.group)
