"""The user's own table where it is larger than memory: the same roles and rules, read a batch at a time."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.data.batches import Batches
from epic22.core.data.column_counts import ColumnCounts
from epic22.core.data.examples import Examples
from epic22.core.data.large_table import LabelEncoder, LargeTable, read_large_table
from epic22.core.data.leakage import Suspicion
from epic22.core.data.leakage_tests import find_late_dates
from epic22.core.data.profile import Profile, profile_batches
from epic22.core.data.row_times import describe_single_time
from epic22.core.data.task_data import BatchedTaskData
from epic22.core.data.time_format import name_offset
from epic22.core.data.value_counts import MAX_COUNTED_VALUES
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation.crossval_large import LARGE_FAMILIES
from epic22.core.evaluation.metrics import note_zero_labels
from epic22.core.lineage import file_sha256, sha256_of_sized_file
from epic22.core.tables.table import TIMELESS
from epic22.core.targets import KINDS
from epic22.core.task import Kind, Task
from epic22.spec.classes import (
    MAX_CLASSES,
    RareClass,
    Units,
    describe_rare_classes,
    find_rare_classes,
    format_class,
    list_units,
    may_lack_classes,
)
from epic22.spec.flat_file import (
    audit_table,
    build_task,
    compute_data_version,
    describe_alike_groups,
    describe_repeats,
    encode_label,
    infer_kind,
    list_excluded_columns,
    overrule_suspicions,
    refuse_loss,
    refuse_no_inputs,
    refuse_unknown_keeps,
    select_clusters,
)
from epic22.spec.task_request import build_loss, build_roles, requests_value
from epic22.spec.training_spec import TrainingSpec


def load_batched_task_data(spec: TrainingSpec, batches: Batches, scratch: Path) -> BatchedTaskData:
    """The task a file stands for, its rows spooled into the folder `scratch`.

    Two passes: the first finds types, roles and levels, the second writes the matrix. The audit looks at the sample of rows.

    Raises FileError and ColumnError for broken rows, naming file and row, ColumnError for roles that do not fit.
    """
    refuse_unbatchable(spec)
    spec = spec.model_copy(update={"target": spec.target.model_copy(update={"log": "no"})})
    table_profile = profile_batches(batches, build_roles(spec), {override.name: override for override in spec.columns})
    refuse_unknown_keeps([c.name for c in table_profile.columns], spec.roles.keep)
    label = _Label.read(table_profile, batches, spec)
    refuse_loss(label.values, label.kind, spec)
    table = read_large_table(table_profile, batches, table_profile.columns, label.encoder, scratch)
    rare, units = _find_rare_classes(table, label, spec)
    time_notes = () if table.at is None or np.ptp(table.at) else (describe_single_time(spec.roles.time, table.at[0].item()),)
    rare_notes = (describe_rare_classes(spec.label, rare, units),) if rare else ()
    if rare:
        names = {one.name for one in rare}
        rare_values = [value for value in label.values.unique().to_list() if format_class(value) in names]
        table_profile = table_profile.leave_out_labels(rare_values)
        label = _Label.read(table_profile, batches, spec)
        table = read_large_table(table_profile, batches, table_profile.columns, label.encoder, scratch)
    suspicions = _audit_sample(table_profile, table, label.kind, spec)
    withheld = {s.column for s in suspicions if s.withheld and s.column is not None}
    withheld |= {name_offset(name) for name in withheld}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in table_profile.columns)
    refuse_no_inputs(spec, columns, suspicions, table_profile.notes)
    if withheld:
        table = read_large_table(table_profile, batches, columns, label.encoder, scratch)
    group_column = spec.roles.group or build_roles(spec).id
    has_repeats = group_column is not None and len(np.unique(table.cluster_hash)) < len(table)
    version = compute_data_version(
        [(str(path), file_sha256(path)) for path in batches.paths],
        columns,
        spec,
        [sha256_of_sized_file(path) for path in batches.paths],
    )
    task, zero_notes = note_zero_labels(build_task(spec, columns, label.kind, label.classes), table.y)
    notes = (*spec.origin.notes, *table_profile.notes, *time_notes, *rare_notes, *label.notes)
    notes += _describe_groups(table_profile, table, spec)
    examples = _build_examples(task, table, spec, version.id, group_column if has_repeats else None)
    return BatchedTaskData(task, table, examples, version, suspicions, (*notes, *zero_notes), group_column, has_repeats)


@dataclass(frozen=True)
class _Label:
    """The label's values as far as they decide on the kind, the kind, and how it becomes codes."""

    values: pl.Series
    kind: Kind
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    encoder: LabelEncoder

    @classmethod
    def read(cls, table_profile: Profile, batches: Batches, spec: TrainingSpec) -> "_Label":
        """The label of a table. Raises ColumnError."""
        values, labels = _read_label(table_profile, batches, spec), table_profile.label_values
        rows_of = None if labels is None else {str(value): n for value, n in labels.iter_rows()}
        kind, classes, notes = infer_kind(values, spec, rows_of)
        return cls(values, kind, classes, notes, LabelEncoder(spec.label, _encode_classes(values, classes, kind)))


def _find_rare_classes(table: LargeTable, label: _Label, spec: TrainingSpec) -> tuple[tuple[RareClass, ...], Units]:
    """The classes that occur in too few units to be trained and tested on, and the units."""
    units = list_units(table.cluster_hash if build_roles(spec).id or spec.roles.group else None, table.at, len(table), spec)
    if not may_lack_classes(label.kind, spec):
        return (), units
    return find_rare_classes(pl.Series(list(label.classes)).gather(table.y.astype(np.int64)), units), units


def _describe_groups(table_profile: Profile, table: LargeTable, spec: TrainingSpec) -> tuple[str, ...]:
    """The notes on groups, and on ids that repeat and so are the group."""
    name = build_roles(spec).id
    if spec.roles.group is not None:
        groups = table_profile.counts[spec.roles.group].labelled_values
        return () if groups is None else describe_alike_groups(spec.roles.group, groups["value"].cast(pl.String).to_list())
    n_ids = len(np.unique(table.cluster_hash))
    return () if name is None or n_ids == len(table) else (describe_repeats(name, n_ids, len(table)),)


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


def _read_label(table_profile: Profile, batches: Batches, spec: TrainingSpec) -> pl.Series:
    """The label's values as far as they decide on the kind: every one where they are counted, else numbers of the first rows.

    Raises ColumnError for more classes than can be predicted.
    """
    label = table_profile.counts[spec.label]
    values = table_profile.list_label_values()
    if values is not None:
        return values
    if not label.is_number or not (spec.requested_kind is None or requests_value(spec)):
        raise ColumnError(
            f"label {spec.label!r} has more than {MAX_COUNTED_VALUES:,} different values; up to {MAX_CLASSES} classes, or "
            "numbers (such as the days from one time to another), can be predicted."
        )
    return next(frame for frame, _ in table_profile.iterate_typed_rows(batches) if frame.height)[spec.label]


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
    if times is not None:
        usable = [c.name for c in table_profile.columns if c.role == "input" and c.name not in {s.column for s in suspicions}]
        suspicions = (*suspicions, *find_late_dates(sample.select(usable), times))
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
    if counts.has_missing or rows < 20 or span > 2 * rows or sample.n_unique() < len(sample) or span < rows:
        return None
    evidence = f"{rows:,} whole numbers out of {span:,} in a row, none twice in {len(sample):,} of them: it counts the rows."
    return Suspicion(counts.name, "row number" if counts.only_rises else "id", evidence, True)


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
