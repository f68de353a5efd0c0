"""The user's own table where it is larger than memory: the same roles and rules, read a batch at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.data.assignment import LargeAssignment
from epic22.core.data.batches import Batches
from epic22.core.data.examples import Examples
from epic22.core.data.large_table import Labels, LargeTable, read_large
from epic22.core.data.leakage import Suspicion, audit_columns
from epic22.core.data.profile import Counts, Profile, profile, values_of
from epic22.core.data.stated import refuse_unfit_statements
from epic22.core.data.table import TIMELESS
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation.crossval_large import RACED
from epic22.core.lineage import file_sha256, framed_sha256
from epic22.core.task import Kind, Task
from epic22.features.flat_file import (
    MOST_CLASSES,
    FlatFile,
    coded,
    data_version_of,
    kind_of,
    put_aside,
    refuse_loss,
    refuse_unknown_keeps,
    task_of,
)


def declare_large(file: FlatFile, batches: Batches, scratch: Path) -> LargeAssignment:
    """The task a file stands for, its rows spooled into the folder `scratch`.

    Two passes: the first finds types, roles and levels, the second writes the matrix. The audit looks at the sample of rows.

    Raises FileError and ColumnError for broken rows, naming file and row, ColumnError for roles that do not fit.
    """
    refuse_unfit(file)
    file = replace(file, log="no")
    found = _as_stated(profile(batches, file.roles), file)
    refuse_unknown_keeps([c.name for c in found.columns], file.keep)
    label = _label(found, batches, file)
    kind, classes, notes = kind_of(label, file)
    refuse_loss(label, kind, file)
    labels = Labels(file.roles.label, _codes(label, classes, kind))
    table = read_large(found, batches, found.columns, labels, scratch)
    suspicions = _audited(found, table, kind, file)
    withheld = {s.column for s in suspicions if s.withheld}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in found.columns)
    if withheld:
        table = read_large(found, batches, columns, labels, scratch)
    whom = file.roles.group or file.roles.id
    repeats = whom is not None and len(np.unique(table.unit)) < len(table)
    version = data_version_of(
        [(str(path), file_sha256(path)) for path in batches.paths],
        columns,
        file,
        [framed_sha256(path) for path in batches.paths],
    )
    task = task_of(file, columns, kind, classes)
    examples = _examples(task, table, file, version.id, whom if repeats else None)
    if repeats and file.roles.group is None:
        notes = (*notes, f"{whom} repeats, so it is the group.")
    return LargeAssignment(task, table, examples, version, suspicions, (*file.notes, *found.notes, *notes), whom, repeats)


def refuse_unfit(file: FlatFile) -> None:
    """Raise UserError for what is asked of a table that is only done with one that fits into memory."""
    simple = file.loss is None or file.loss.name in ("squared", "absolute", "quantile")
    asked = {"--test": file.test is not None, "--formula": bool(file.formulas), "--log": file.log in ("yes", "auto")}
    asked |= {
        "--exposure": file.roles.exposure is not None,
        "--prefer-simpler": file.prefer_simpler,
        "--learning-curve": file.learning_curve,
    }
    asked |= {"costs.exposure": file.exposure is not None, "these families": bool(set(file.families) - set(RACED))}
    odd = [name for name, stated in (asked | {"this --loss": not simple}).items() if stated]
    if odd:
        raise UserError(
            f"{' and '.join(odd)}: not done a batch at a time; leave it out"
            f"{', use --holdout-from' if file.test is not None else ''}, or give a greater --memory-cap."
        )


def _as_stated(found: Profile, file: FlatFile) -> Profile:
    """The columns with what is stated of them; their types stay those that were found.

    Raises ColumnError for another type or for levels, and for values beyond the bounds.
    """
    refuse_unfit_statements(list(found.counts), file.roles, file.columns)
    stated = {one.name: one for one in file.columns}
    for column in found.columns:
        one, seen = stated.get(column.name), found.counts[column.name]
        if one is None:
            continue
        if one.levels or one.dtype not in (None, column.dtype):
            raise ColumnError(
                f"columns.{one.name}: types and levels are not changed a batch at a time; it was read as {column.dtype}. "
                "Leave them out, or give a greater --memory-cap."
            )
        if (one.low is not None and seen.low < one.low) or (one.high is not None and seen.high > one.high):
            raise ColumnError(f"columns.{one.name}: values from {seen.low:g} to {seen.high:g}, beyond low or high; mend one.")
    return replace(found, columns=tuple(stated[c.name].described(c) if c.name in stated else c for c in found.columns))


def _label(found: Profile, batches: Batches, file: FlatFile) -> pl.Series:
    """The label's values as far as they decide on the kind: every one where they are few, else those of the first batch."""
    few = values_of(found.counts[file.roles.label], MOST_CLASSES)
    if few is not None:
        return few
    return next(iter(found.typed(batches)))[0][file.roles.label]


def _codes(label: pl.Series, classes: tuple[str, ...], kind: Kind) -> dict[object, float] | None:
    if kind == "regression":
        return None
    values = label.unique()
    return dict(zip(values.to_list(), coded(values, classes, kind).to_list(), strict=True))


def _audited(found: Profile, table: LargeTable, kind: Kind, file: FlatFile) -> tuple[Suspicion, ...]:
    """What the sample of rows gives away, and the columns that count the rows of the whole."""
    sample = table.sample
    clusters = sample[file.roles.group].cast(pl.String) if file.roles.group is not None else None
    if clusters is None and table.at is not None:
        clusters = pl.Series(table.at[table.places]).dt.truncate("1d")
    suspicions = audit_columns(sample, found.columns, sample[file.roles.label], kind, clusters)
    known = {s.column for s in suspicions}
    inputs = [c for c in found.columns if c.role == "input" and c.dtype == "int" and c.name not in known]
    keys = [key for c in inputs if (key := _counts_rows(found.counts[c.name], sample[c.name], found.rows)) is not None]
    kept = (s for s in (*suspicions, *keys) if s.column not in put_aside(file))
    return tuple(replace(s, withheld=s.withheld and s.column not in file.keep) for s in kept)


def _counts_rows(seen: Counts, sample: pl.Series, rows: int) -> Suspicion | None:
    """A row number or an id: whole numbers, none twice in the sample, out of at most twice as many in a row as there are rows."""
    span = int(seen.high - seen.low) + 1
    if seen.missing or rows < 20 or span > 2 * rows or sample.n_unique() < len(sample) or span < rows:
        return None
    evidence = f"{rows:,} whole numbers out of {span:,} in a row, none twice in {len(sample):,} of them: it counts the rows."
    return Suspicion(seen.name, "row number" if seen.rising else "id", evidence, True)


def _examples(task: Task, table: LargeTable, file: FlatFile, version: str, group: str | None) -> Examples:
    """The sample's rows as examples."""
    sample, roles = table.sample, file.roles
    numbers = pl.Series(table.places + 1).cast(pl.String)
    entity = numbers if roles.id is None else sample[roles.id].cast(pl.String).fill_null("missing")
    at = np.full(len(numbers), np.datetime64(TIMELESS, "us")) if table.at is None else table.at[table.places]
    return Examples(
        X=sample.select([column.name for column in task.input_columns]),
        Y=table.y[table.places][:, None],
        entity=entity.to_numpy(),
        at=at,
        data_version=version,
        group=None if group is None else sample[group].cast(pl.String).fill_null("missing").to_numpy(),
    )
