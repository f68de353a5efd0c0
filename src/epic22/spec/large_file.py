"""The user's own table where it is larger than memory: the same roles and rules, read a batch at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.column import Column, ColumnOverride, ColumnReading
from epic22.core.data.batches import Batches
from epic22.core.data.column_counts import ColumnCounts
from epic22.core.data.column_overrides import refuse_unfit_overrides
from epic22.core.data.examples import Examples
from epic22.core.data.large_table import LabelEncoder, LargeTable, read_large_table
from epic22.core.data.leakage import Suspicion
from epic22.core.data.profile import Profile, list_values, profile_batches
from epic22.core.data.task_data import BatchedTaskData
from epic22.core.data.time_format import DAY_FIRST, MONTH_FIRST
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation.crossval_large import LARGE_FAMILIES
from epic22.core.evaluation.metrics import note_zero_labels
from epic22.core.lineage import file_sha256, sha256_of_sized_file
from epic22.core.tables.table import TIMELESS
from epic22.core.targets import KINDS
from epic22.core.task import Kind, Task
from epic22.spec.classes import MAX_CLASSES, refuse_variants
from epic22.spec.flat_file import (
    audit_table,
    build_task,
    compute_data_version,
    encode_label,
    infer_kind,
    list_excluded_columns,
    overrule_suspicions,
    refuse_loss,
    refuse_unknown_keeps,
    select_clusters,
)
from epic22.spec.task_request import build_loss, build_roles
from epic22.spec.training_spec import TrainingSpec


def load_batched_task_data(spec: TrainingSpec, batches: Batches, scratch: Path) -> BatchedTaskData:
    """The task a file stands for, its rows spooled into the folder `scratch`.

    Two passes: the first finds types, roles and levels, the second writes the matrix. The audit looks at the sample of rows.

    Raises FileError and ColumnError for broken rows, naming file and row, ColumnError for roles that do not fit.
    """
    refuse_unbatchable(spec)
    spec = spec.model_copy(update={"target": spec.target.model_copy(update={"log": "no"})})
    bounded = [one.name for one in spec.columns if one.low is not None or one.high is not None]
    table_profile = _apply_overrides(profile_batches(batches, build_roles(spec), bounded), spec)
    refuse_unknown_keeps([c.name for c in table_profile.columns], spec.roles.keep)
    label = _read_label(table_profile, batches, spec)
    rows_of = table_profile.counts[spec.label].value_counts
    refuse_variants(label, None if rows_of is None else {str(value): n for value, n in rows_of.items()})
    kind, classes, notes = infer_kind(label, spec)
    refuse_loss(label, kind, spec)
    labels = LabelEncoder(spec.label, _encode_classes(label, classes, kind))
    table = read_large_table(table_profile, batches, table_profile.columns, labels, scratch)
    suspicions = _audit_sample(table_profile, table, kind, spec)
    withheld = {s.column for s in suspicions if s.withheld}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in table_profile.columns)
    if withheld:
        table = read_large_table(table_profile, batches, columns, labels, scratch)
    group_column = spec.roles.group or build_roles(spec).id
    has_repeats = group_column is not None and len(np.unique(table.cluster_hash)) < len(table)
    version = compute_data_version(
        [(str(path), file_sha256(path)) for path in batches.paths],
        columns,
        spec,
        [sha256_of_sized_file(path) for path in batches.paths],
    )
    task = build_task(spec, columns, kind, classes)
    target, zero_notes = note_zero_labels(task.target, table.y)
    task, notes = replace(task, targets=(target, *task.targets[1:])), (*notes, *zero_notes)
    examples = _build_examples(task, table, spec, version.id, group_column if has_repeats else None)
    if has_repeats and spec.roles.group is None:
        notes = (*notes, f"{group_column} repeats, so it is the group.")
    return BatchedTaskData(
        task, table, examples, version, suspicions, (*spec.origin.notes, *table_profile.notes, *notes), group_column, has_repeats
    )


def refuse_unbatchable(spec: TrainingSpec) -> None:
    """Raise UserError for what is asked of a table that is only done with one that fits into memory."""
    has_batchable_loss = build_loss(spec).name in ("squared", "absolute", "quantile")
    options = {"--test": spec.data.test is not None, "--formula": bool(spec.formulas)}
    options |= {"--log": spec.target.log in ("yes", "auto")}
    options |= {
        "--sequence": bool(spec.roles.sequence),
        "--offset": spec.roles.offset is not None,
        "--prefer-simpler": spec.policy.prefer_simpler,
        "--learning-curve": spec.policy.learning_curve,
    }
    options |= {"costs.stake_column": spec.costs.stake_column is not None}
    options |= {"these families": bool(set(spec.families) - set(LARGE_FAMILIES))}
    unsupported = [name for name, is_set in (options | {"this --loss": not has_batchable_loss}).items() if is_set]
    if unsupported:
        raise UserError(
            f"{' and '.join(unsupported)}: not done a batch at a time; leave it out"
            f"{', use --holdout-from' if spec.data.test is not None else ''}, or give a greater --memory-cap."
        )


def _apply_overrides(table_profile: Profile, spec: TrainingSpec) -> Profile:
    """The columns with what is stated of them; their types stay those that were found.

    Raises ColumnError for another type or for levels, and for values beyond the bounds.
    """
    refuse_unfit_overrides(list(table_profile.counts), build_roles(spec), spec.columns)
    overrides = {override.name: override for override in spec.columns}
    for column in table_profile.columns:
        override, counts = overrides.get(column.name), table_profile.counts[column.name]
        if override is None:
            continue
        if override.levels or override.dtype not in (None, column.dtype) or _reads_otherwise(override, column):
            raise ColumnError(
                f"columns.{override.name}: types, levels, decimal marks and the order of day and month are not changed a batch "
                f"at a time; it was read as {column.dtype}. "
                "Leave them out, or give a greater --memory-cap."
            )
        low, high = counts.range
        if (override.low is not None and low < override.low) or (override.high is not None and high > override.high):
            raise ColumnError(f"columns.{override.name}: values from {low:g} to {high:g}, beyond low or high; mend one.")
    return replace(
        table_profile, columns=tuple(overrides[c.name].override(c) if c.name in overrides else c for c in table_profile.columns)
    )


def _reads_otherwise(override: ColumnOverride, column: Column) -> bool:
    """Whether the column was read with another decimal mark, or order of day and month, than is stated."""
    reading = column.reading or ColumnReading()
    are_day_first = [form.startswith(DAY_FIRST) for form in reading.times if form.startswith((*DAY_FIRST, *MONTH_FIRST))]
    is_other_order = override.day_first is not None and (not override.day_first) in are_day_first
    return is_other_order or override.decimal not in (None, reading.number.decimal)


def _read_label(table_profile: Profile, batches: Batches, spec: TrainingSpec) -> pl.Series:
    """The label's values as far as they decide on the kind: every one where they are few, else those of the first batch."""
    values = list_values(table_profile.counts[spec.label], MAX_CLASSES)
    if values is not None:
        return values
    return next(iter(table_profile.iterate_typed_rows(batches)))[0][spec.label]


def _encode_classes(label: pl.Series, classes: tuple[str, ...], kind: Kind) -> dict[object, float] | None:
    if KINDS[kind].is_regression:
        return None
    values = label.unique()
    return dict(zip(values.to_list(), encode_label(values, classes, kind).to_list(), strict=True))


def _audit_sample(table_profile: Profile, table: LargeTable, kind: Kind, spec: TrainingSpec) -> tuple[Suspicion, ...]:
    """What the sample of rows gives away, and the columns that count the rows of the whole."""
    sample = table.sample
    times = None if table.at is None else pl.Series(table.at[table.sample_rows])
    clusters = select_clusters(sample, times, spec.roles.group)
    suspicions = audit_table(sample, table_profile.columns, sample[spec.label], kind, clusters)
    suspected = {s.column for s in suspicions if s.withheld}
    inputs = [c for c in table_profile.columns if c.role == "input" and c.dtype == "int" and c.name not in suspected]
    keys = [
        key
        for c in inputs
        if (key := _find_row_counter(table_profile.counts[c.name], sample[c.name], table_profile.rows)) is not None
    ]
    remaining = [s for s in (*suspicions, *keys) if s.column not in list_excluded_columns(spec)]
    return overrule_suspicions(remaining, spec.roles.keep)


def _find_row_counter(counts: ColumnCounts, sample: pl.Series, rows: int) -> Suspicion | None:
    """A row number or an id: whole numbers, none twice in the sample, out of at most twice as many in a row as there are rows."""
    low, high = counts.range
    span = int(high - low) + 1
    if counts.missing or rows < 20 or span > 2 * rows or sample.n_unique() < len(sample) or span < rows:
        return None
    evidence = f"{rows:,} whole numbers out of {span:,} in a row, none twice in {len(sample):,} of them: it counts the rows."
    return Suspicion(counts.name, "row number" if counts.is_increasing else "id", evidence, True)


def _build_examples(task: Task, table: LargeTable, spec: TrainingSpec, version: str, group: str | None) -> Examples:
    """The sample's rows as examples."""
    sample, roles = table.sample, build_roles(spec)
    numbers = pl.Series(table.sample_rows + 1).cast(pl.String)
    entity = numbers if roles.id is None else sample[roles.id].cast(pl.String).fill_null("missing")
    at = np.full(len(numbers), np.datetime64(TIMELESS, "us")) if table.at is None else table.at[table.sample_rows]
    return Examples(
        X=sample.select([column.name for column in task.input_columns]),
        Y=table.y[table.sample_rows][:, None],
        entity=entity.to_numpy(),
        at=at,
        data_version=version,
        group=None if group is None else sample[group].cast(pl.String).fill_null("missing").to_numpy(),
    )
