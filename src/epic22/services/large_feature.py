"""A feature of the versioned tables whose rows together would exceed the memory cap, as `train_large` takes it."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from epic22.core.data.assignment import Assignment, LargeAssignment
from epic22.core.data.large_examples import spool_examples, without_columns
from epic22.core.evaluation.crossval_large import RACED
from epic22.core.task import Task
from epic22.services.audit import audit_examples


def goes_in_batches(task: Task) -> bool:
    """Whether a task can be trained a batch at a time; another is trained whole, whatever the cap."""
    target = task.target
    simple = target.loss in ("squared", "absolute", "quantile") and target.log is False
    return (
        simple
        and target.kind != "hazard"
        and len(target.horizons) <= 1
        and set(task.families) <= set(RACED)
        and not task.formulas
    )


def large_feature(assignment: Assignment, at: pl.DataFrame, rows: int, scratch: Path, seed: int) -> LargeAssignment:
    """The rows `at` [entity, cutoff], built so many at once, without the columns that the audit of their sample withholds."""
    task, version = assignment.task, assignment.data_version
    table, examples = spool_examples(task, assignment.tables, at, version.id, rows, scratch)
    found = audit_examples(task, examples, assignment.findings, seed)
    withheld = {suspicion.column for suspicion in found if suspicion.withheld and suspicion.column is not None}
    if withheld:
        table = without_columns(table, withheld)
        task = replace(task, columns=tuple(replace(c, role="never") if c.name in withheld else c for c in task.columns))
        examples = replace(examples, X=table.sample)
    told = (
        f"{at.height:,} rows were built from the tables, at most {rows:,} at once; the tables themselves stay in memory. "
        f"The rule of today and the fairness gate are judged on the {len(examples):,} rows drawn."
    )
    return LargeAssignment(task, table, examples, version, (*assignment.suspicions, *found), (*assignment.notes, told))
