"""The audit of a portfolio: its tables, and the examples made of them."""

from dataclasses import replace
from functools import singledispatch

import numpy as np
import polars as pl

from epic22.core.data.examples import Examples
from epic22.core.data.leakage import Suspicion, audit_columns
from epic22.core.data.leakage_tests import audit_target_leakage
from epic22.core.data.preprocess import add_formula_columns
from epic22.core.data.task_data import TaskData, TrainableTask
from epic22.core.evaluation.survival import label_at_horizon
from epic22.core.quality import Finding, Frames, audit_tables
from epic22.core.targets import KINDS
from epic22.core.task import Task

KNOWN_AT_FINDINGS = ("known_at before the event", "value overwritten", "filled after the event")
"""Findings of tables that make a view of the past show what nobody knew."""


def audit_portfolio(frames: Frames, before: Frames | None = None) -> tuple[Finding, ...]:
    """All that is wrong in the tables (canonical name to frame of versions), the grave first.

    `before`: the tables as of the ingest before, where there is one.
    """
    return tuple(sorted(audit_tables(frames, before), key=lambda finding: not finding.grave))


def audit_examples(task: Task, examples: Examples, findings: tuple[Finding, ...] = (), seed: int = 0) -> tuple[Suspicion, ...]:
    """What the inputs of these examples give away; at most one finding a column. Rows of one entity are one piece of evidence.

    A value that always came with one class is told, not withheld: inputs made of what was known at the cutoff may well settle
    some rows, as a rent that is unpaid does.

    The tests of columns filled after the event, and of implausible single columns, are for binary targets. `findings` are
    those of the tables that the examples were made of: those that put `known_at` in doubt are told again, for the run's report.
    """
    return (*find_known_at_violations(findings), *_audit_inputs(task, examples, seed))


@singledispatch
def audit_inputs(data: TrainableTask) -> tuple[Suspicion, ...]:
    """What the inputs of a task's examples give away; a series' own past gives nothing away."""
    return ()


@audit_inputs.register
def _audit_rows(data: TaskData) -> tuple[Suspicion, ...]:
    return audit_examples(data.task, data.examples())


def find_known_at_violations(findings: tuple[Finding, ...]) -> tuple[Suspicion, ...]:
    """The findings by which a model could have seen more than was known, under the name `table.column`."""
    return tuple(
        Suspicion(f"{finding.table}.{finding.column}", "known_at violation", f"{finding.what}: {finding.evidence}", False)
        for finding in findings
        if finding.what in KNOWN_AT_FINDINGS
    )


def _audit_inputs(task: Task, examples: Examples, seed: int) -> tuple[Suspicion, ...]:
    kind, y = task.target.traits, examples.y
    if kind.is_time_to_event:
        # Judged as two classes at the deciding horizon, by the rows whose outcome there is known.
        happened, weight = label_at_horizon(examples.Y, task.target.horizon or max(task.target.horizons))
        known = np.flatnonzero(weight > 0)
        examples, y, kind = examples.take(known), happened[known], KINDS["binary"]
    label = pl.Series(task.target.name, y)
    coded = label.cast(pl.Int64) if kind.is_classification else label
    X, derived = add_formula_columns(examples.X, task.input_columns, task.formulas)
    columns = audit_columns(X, (*task.columns, *derived), coded, kind.stored_name, pl.Series(examples.entity))
    suspicions = tuple(replace(s, withheld=s.withheld and s.suspicion != "implies the label") for s in columns)
    if not kind.has_positive_class:
        return suspicions
    remaining = tuple(column for column in (*task.input_columns, *derived) if column.name not in {s.column for s in suspicions})
    at = examples.at if task.target.horizons else None
    return (*suspicions, *audit_target_leakage(X, remaining, y, examples.entity, at, seed))
