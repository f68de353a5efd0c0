"""A feature of the versioned tables whose rows together would exceed the memory cap, as `train_large` takes it."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from epic22.core.data.large_examples import build_large_examples, drop_columns
from epic22.core.data.task_data import BatchedTaskData, TaskData
from epic22.core.evaluation.crossval_large import LARGE_FAMILIES
from epic22.core.task import Task
from epic22.services.audit import audit_examples


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
    """The rows `at` [entity, cutoff], built so many at once, without the columns that the audit of their sample withholds."""
    task, version = data.task, data.data_version
    table, examples = build_large_examples(task, data.tables, at, version.id, batch_rows, scratch)
    suspicions = audit_examples(task, examples, data.findings, seed)
    withheld = {suspicion.column for suspicion in suspicions if suspicion.withheld and suspicion.column is not None}
    if withheld:
        table = drop_columns(table, withheld)
        task = replace(task, columns=tuple(replace(c, role="never") if c.name in withheld else c for c in task.columns))
        examples = replace(examples, X=table.sample)
    note = (
        f"{at.height:,} rows were built from the tables, at most {batch_rows:,} at once; the tables themselves stay in memory. "
        f"The rule of today and the fairness gate are judged on the {len(examples):,} rows drawn."
    )
    return BatchedTaskData(task, table, examples, version, (*data.suspicions, *suspicions), (*data.notes, note))
