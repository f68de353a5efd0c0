"""The user's own table as a task: one spec, one label, the same path as every feature.

A row is known at its own time (else all rows are timeless); its cutoff is that time, its entity the id or the row number; the
label is withheld in a table of its own until after the cutoff.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.column_overrides import infer_with_overrides
from epic22.core.data.files import RawTable, read_table
from epic22.core.data.formula import bind_formulas, drop_formulas, parse_formula
from epic22.core.data.leakage import Suspicion, audit_columns
from epic22.core.data.leakage_tests import audit_single_columns, find_late_dates
from epic22.core.data.magnitude import audit_magnitudes
from epic22.core.data.names import fold_name, merge_variants, null_unlabelled
from epic22.core.data.point_in_time import TIMELESS, Table, Tables
from epic22.core.data.preprocess import add_formula_columns
from epic22.core.data.row_times import read_row_times
from epic22.core.data.schema_inference import (
    MAX_INTEGER_CLASSES,
    Roles,
    TypedTable,
    conform_frame,
    spell_names_as,
    suggest_names,
)
from epic22.core.data.sequence_columns import mark_steps, require_steps
from epic22.core.data.task_data import TaskData
from epic22.core.data.time_format import name_offset
from epic22.core.errors import ColumnError
from epic22.core.evaluation.metrics import METRICS, choose_metric
from epic22.core.lineage import DataVersion
from epic22.core.models.catalog import FAMILIES, default_families, refuse_unfit_families
from epic22.core.models.loss import SQUARED
from epic22.core.targets import KINDS
from epic22.core.task import Column, EvaluationPolicy, Formula, Kind, Metric, Target, Task
from epic22.spec.classes import MAX_CLASSES, format_class, leave_out_rare_classes, refuse_variants
from epic22.spec.row_notes import RowNotes
from epic22.spec.task_name import build_task_name
from epic22.spec.task_request import build_loss, build_roles, refuse_contradictions, requests_value
from epic22.spec.training_spec import TrainingSpec

ROWS, LABELS = "rows", "labels"
MAX_SHOWN_REASONS = 5


def load_task_data(spec: TrainingSpec) -> TaskData:
    """The task a file stands for, with its tables.

    Raises FileError for a file that cannot be read whole, ColumnError for roles that do not fit it.
    """
    refuse_contradictions(spec)
    raws = [read_table(spec.path)]
    for pattern in spec.roles.sequence:
        # Told before the rest of the reading, which takes longer than that of the names.
        require_steps(pattern, raws[0].frame.columns)
    raws += [read_table(path) for path in (spec.data.test,) if path is not None]
    table = infer_with_overrides(raws[0], build_roles(spec), spec.columns)
    formulas = _parse_formulas(table, spec)
    refuse_unknown_keeps([*(c.name for c in table.columns), *(f.name for f in formulas)], spec.roles.keep)
    kind, classes, notes = infer_kind(table.frame[spec.label], spec)
    table, rare_notes = leave_out_rare_classes(table, kind, spec)
    if rare_notes:
        kind, classes, notes = infer_kind(table.frame[spec.label], spec)
    tested = _append_test_rows(table, raws, spec)
    whole = tested.table
    label = encode_label(whole.frame[spec.label], classes, kind)
    refuse_loss(label, kind, spec)
    refuse_offset(whole.frame, spec)
    inputs = tuple(column for column in table.columns if column.role == "input")
    frame, derived = add_formula_columns(table.frame, inputs, formulas)
    clusters = select_clusters(table.frame, table.times, spec.roles.group)
    suspicions = audit_table(frame, (*table.columns, *derived), table.frame[spec.label], kind, clusters)
    if table.times is not None:
        usable = [c.name for c in inputs if c.name not in {s.column for s in suspicions}]
        suspicions = (*suspicions, *find_late_dates(table.frame.select(usable), table.times))
    suspicions = tuple(s for s in suspicions if s.column not in list_excluded_columns(spec))
    withheld = {s.column for s in suspicions if s.withheld and s.column is not None} - set(spec.roles.keep)
    withheld |= {name_offset(name) for name in withheld}
    columns = tuple(replace(c, role="never") if c.name in withheld else c for c in table.columns)
    columns = mark_steps(columns, spec.roles.sequence)
    usable_formulas = drop_formulas(formulas, table.columns, withheld)
    refuse_no_inputs(spec, columns, suspicions, table.notes)
    cutoffs, cutoff_notes = _build_cutoffs(whole, build_roles(spec))
    task = replace(build_task(spec, columns, kind, classes), formulas=usable_formulas)
    _refuse_unknown_stake(whole.frame, spec)
    return TaskData(
        task=task,
        tables=_build_tables(whole, cutoffs, label, columns),
        cutoffs=cutoffs,
        data_version=compute_data_version([(raw.path, raw.sha256) for raw in raws], columns, spec, [raw.content for raw in raws]),
        suspicions=overrule_suspicions(suspicions, spec.roles.keep),
        notes=(
            *spec.origin.notes,
            *table.notes,
            *(f"{raw.path}: {note}" for raw in raws[1:] for note in raw.notes),
            *tested.notes,
            *rare_notes,
            *notes,
            *_describe_offset(spec),
            *cutoff_notes,
            *_describe_formulas(formulas, usable_formulas),
        ),
        test_rows=tested.test_rows,
    )


def audit_table(
    frame: pl.DataFrame, columns: tuple[Column, ...], label: pl.Series, kind: Kind, clusters: pl.Series | None
) -> tuple[Suspicion, ...]:
    """What the columns of a table of one's own give away, and what the size of its numbers hides; see `audit_columns`."""
    suspicions, traits = audit_columns(frame, columns, label, kind, clusters), KINDS[kind]
    withheld, named = {s.column for s in suspicions if s.withheld}, {s.column for s in suspicions}
    used = [column for column in columns if column.role == "input" and column.name not in withheld]
    single = audit_single_columns(frame.select(column.name for column in used), label, traits, clusters)
    return (
        *suspicions,
        *(s for s in single if s.column not in named),
        *audit_magnitudes(frame, [*used, *(c for c in columns if c.role == "time")], label, traits.is_regression),
    )


def refuse_no_inputs(
    spec: TrainingSpec, columns: Sequence[Column], suspicions: Sequence[Suspicion], notes: Sequence[str]
) -> None:
    """Raise ColumnError where no column is left to learn from, with why each of the first is none."""
    if any(column.role == "input" and column.name != spec.roles.offset for column in columns):
        return
    evidence = {s.column: f"{s.column} is withheld: {s.evidence}" for s in suspicions if s.withheld}
    reasons = [
        evidence.get(column.name)
        or next((note for note in notes if note.startswith(f"{column.name} is ")), f"{column.name} is left out")
        for column in columns
        if column.role == "never"
    ]
    shown = "; ".join(reason.rstrip(".") for reason in reasons[:MAX_SHOWN_REASONS])
    more = f"; and {len(reasons) - MAX_SHOWN_REASONS:,} more" if len(reasons) > MAX_SHOWN_REASONS else ""
    raise ColumnError(
        f"{spec.path}: no column is left to learn from{': ' if shown else ''}{shown}{more}. Bring a column that tells more, or "
        "--keep COL to keep one that is withheld."
    )


def list_excluded_columns(spec: TrainingSpec) -> set[str]:
    """The columns that the user himself keeps from being inputs."""
    offset = () if spec.roles.offset is None else (spec.roles.offset,)
    return {
        *spec.roles.drop,
        *offset,
        *(override.name for override in spec.columns if override.role in ("never", "protected")),
    }


def read_rows(path: Path, columns: tuple[Column, ...], note: Callable[[str], None] = lambda text: None) -> pl.DataFrame:
    """A file's rows in the types of a trained task's columns, for prediction; `note` hears of lines that are no rows, and of
    categories that training never saw, and of times with and without an offset."""
    raw, notes = read_table(path), RowNotes(columns)
    frame = conform_frame(raw, columns)
    notes.add(raw.frame, frame)
    for text in (*raw.notes, *notes.describe()):
        note(f"{path.name}: {text}")
    return frame


def _parse_formulas(table: TypedTable, spec: TrainingSpec) -> tuple[Formula, ...]:
    """The formulas asked for. Raises ColumnError for one that cannot be read, or uses what is no input."""
    formulas = tuple(parse_formula(text) for text in spec.formulas)
    inputs = {column.name for column in table.columns if column.role == "input"} - {spec.roles.offset}
    for derivation in bind_formulas(formulas, table.columns):
        unusable = next((name for name in derivation.names if name not in inputs), None)
        if unusable is not None:
            role = {column.name: str(column.role) for column in table.columns}[unusable]
            role = "offset" if unusable == spec.roles.offset else role
            what = "left out" if role == "never" else f"the {role}"
            raise ColumnError(f"formula {derivation.formula.name!r} uses {unusable!r}, which is {what}; use inputs alone.")
        inputs.add(derivation.formula.name)
    return formulas


def _describe_formulas(formulas: tuple[Formula, ...], usable: tuple[Formula, ...]) -> tuple[str, ...]:
    notes = [f"{f.name} = {f.expression}" + ("" if f in usable else " is left out, as the audit has it.") for f in formulas]
    return tuple(notes)


def _build_policy(spec: TrainingSpec) -> EvaluationPolicy:
    """How candidates are judged; what the specification leaves open is as the policy has it."""
    specified = {name: value for name, value in dict(spec.policy).items() if value is not None}
    return EvaluationPolicy(capacity=spec.costs.capacity, **specified)


def overrule_suspicions(suspicions: Sequence[Suspicion], keep: Sequence[str]) -> tuple[Suspicion, ...]:
    """The findings, those overruled that would leave out a column that the user keeps."""
    return tuple(replace(s, withheld=False, overruled=True) if s.withheld and s.column in keep else s for s in suspicions)


def refuse_unknown_keeps(names: Sequence[str], keep: Sequence[str]) -> None:
    """Raise ColumnError for a column to keep that is not there."""
    unknown = sorted(set(keep) - set(names))
    if unknown:
        raise ColumnError(f"--keep {', '.join(unknown)}: no such column; there are {', '.join(names)}.")


def select_clusters(frame: pl.DataFrame, times: pl.Series | None, group: str | None) -> pl.Series | None:
    """Rows that are not independent evidence of one another: a group's, else a day's."""
    if group is not None:
        return frame[group].cast(pl.String)
    return None if times is None else times.dt.truncate("1d")


def infer_kind(
    label: pl.Series, spec: TrainingSpec, rows_of: Mapping[str, int] | None = None
) -> tuple[Kind, tuple[str, ...], tuple[str, ...]]:
    """Kind, class names (positive last where there are two), and what was decided. Raises ColumnError.

    `rows_of`: the rows of each class, where the label's values are not those of all rows.
    """
    name, values = spec.label, label.unique().sort()
    if len(values) < 2:
        raise ColumnError(f"label {name!r}: every row has {values[0]!r}; there is nothing to predict, name another label.")
    numeric = label.dtype.is_numeric()
    # A gap makes floats of whole numbers, in pandas and in what it writes.
    is_integer = label.dtype.is_integer() or (numeric and bool((values == values.round()).all()))
    is_regression = requests_value(spec)
    if is_regression and not numeric:
        raise ColumnError(f"label {name!r} holds text; regression needs numbers.")
    if is_regression or (
        spec.roles.kind is None and numeric and not (len(values) == 2 or (is_integer and len(values) <= MAX_INTEGER_CLASSES))
    ):
        _refuse_positive(spec)
        return "regression", (), (f"{name} is predicted as a value (regression){_describe_loss(spec)}.",)
    refuse_variants(label, rows_of)
    if len(values) > MAX_CLASSES:
        raise ColumnError(
            f"label {name!r} has {len(values)} different values{', which are times' if label.dtype.is_temporal() else ''}; up to "
            f"{MAX_CLASSES} classes, or numbers (such as the days from one time to another), can be predicted."
        )
    if len(values) == 2:
        pair = _order_classes(label, spec)
        return "binary", pair, (f"{name} = {pair[1]} is the positive class.",)
    _refuse_positive(spec)
    classes = tuple(format_class(value) for value in values)
    note = f"{name} has {len(classes)} classes" + ("; --kind regression predicts it as a value." if numeric else ".")
    return "multiclass", classes, (note,)


def _describe_loss(spec: TrainingSpec) -> str:
    """What was asked of the loss, in words."""
    loss = build_loss(spec)
    loss_text = {
        "squared": "",
        "absolute": "its median, by absolute error",
        "quantile": f"its {loss.quantile:g} quantile, by the pinball loss",
        "poisson": "its mean as a count, by Poisson deviance",
        "tweedie": "its mean by Tweedie deviance"
        + (f" of power {loss.power:g}" if loss.power else ", the power found on the inner fold"),
    }[loss.name]
    log_text = "by its logarithm" if spec.target.log == "yes" else ""
    return "".join(f", {words}" for words in (loss_text, log_text) if words)


def refuse_loss(label: pl.Series, kind: Kind, spec: TrainingSpec) -> None:
    """Raise ColumnError where the loss or the logarithm does not go with the label's kind or values."""
    loss, name = build_loss(spec), spec.label
    if not KINDS[kind].is_regression:
        if spec.target.is_of_values:
            raise ColumnError(f"--loss and --log go with values; label {name!r} is predicted as classes ({kind}).")
        return
    if loss.log_link and spec.target.log in ("yes", "auto"):
        raise ColumnError(f"--loss {loss.name} predicts the logarithm of the mean already; leave --log out.")
    below, zeros = int((label < 0).sum()), int((label <= 0).sum())
    if loss.log_link and below:
        raise ColumnError(
            f"--loss {loss.name}: label {name!r} has {below:,} values below zero, expected none; "
            "--loss squared or absolute takes them."
        )
    if spec.target.log == "yes" and zeros:
        raise ColumnError(
            f"--log: label {name!r} has {zeros:,} values of 0 or less, which have no logarithm; "
            "--loss tweedie takes zeros, --log auto goes without where it must."
        )


def refuse_offset(frame: pl.DataFrame, spec: TrainingSpec) -> None:
    """Raise ColumnError where the exposure is no number above zero in every row, or goes with no loss that grows with it."""
    name, loss = spec.roles.offset, build_loss(spec)
    if name is None:
        return
    if not loss.log_link:
        raise ColumnError(
            f"--offset {name}: goes with --loss poisson or tweedie, whose values grow with it; {loss.name} does not add it."
        )
    if not frame[name].dtype.is_numeric():
        raise ColumnError(f"--offset {name}: holds no numbers; expected numbers above zero, such as years insured.")
    invalid = ~(frame[name].cast(pl.Float64) > 0).fill_null(value=False)
    if invalid.any():
        row = int(invalid.arg_true()[0])
        raise ColumnError(
            f"--offset {name}: missing, zero or below in {int(invalid.sum()):,} rows, first {frame[name][row]} in labelled row "
            f"{row + 1:,}; expected numbers above zero: mend the rows, or leave them out."
        )


def _describe_offset(spec: TrainingSpec) -> tuple[str, ...]:
    name = spec.roles.offset
    note = f"{spec.label} is predicted for each row's own {name}: its logarithm is added, and no model learns from it."
    return () if name is None else (note,)


def _refuse_positive(spec: TrainingSpec) -> None:
    if spec.roles.positive is not None:
        raise ColumnError(f"--positive {spec.roles.positive}: label {spec.label!r} is not one of two classes.")


def _order_classes(label: pl.Series, spec: TrainingSpec) -> tuple[str, str]:
    """(negative, positive): as stated; else 1, true, yes; else the rarer value."""
    names = [format_class(value) for value in label.unique().sort()]
    positive = spec.roles.positive
    if positive is None:
        obvious = [name for name in names if name.lower() in ("1", "true", "yes", "y")]
        counts = label.alias("value").value_counts().sort(["count", "value"])
        positive = obvious[0] if len(obvious) == 1 else format_class(counts["value"][0])
    if positive not in names:
        raise ColumnError(f"--positive {positive}: label {spec.label!r} has the values {' and '.join(names)}.")
    negative = names[1 - names.index(positive)]
    return negative, positive


def encode_label(label: pl.Series, classes: tuple[str, ...], kind: Kind) -> pl.Series:
    """Class codes or values as floats; a class of a test file that training never saw is refused."""
    if KINDS[kind].is_regression:
        return label.cast(pl.Float64)
    code = {name: float(i) for i, name in enumerate(classes)}
    texts = [format_class(value) for value in label.to_list()]
    unseen = sorted(set(texts) - set(code))
    if unseen:
        raise ColumnError(f"label {label.name!r}: {', '.join(unseen)} occurs in the test file only; training never saw it.")
    return pl.Series(label.name, [code[text] for text in texts], dtype=pl.Float64)


@dataclass(frozen=True)
class _TestedTable:
    """A table with the rows of a test file, so many, below its own, and what is to be said of them."""

    table: TypedTable
    test_rows: int = 0
    notes: tuple[str, ...] = ()


def _append_test_rows(table: TypedTable, raws: Sequence[RawTable], spec: TrainingSpec) -> _TestedTable:
    """The table with the test file's labelled rows below its own."""
    if len(raws) == 1:
        return _TestedTable(table)
    path, names = raws[1].path, _list_names(spec)
    rows = _read_test_rows(table, raws, spec)
    rows = rows.with_columns(_read_test_labels(rows[spec.label], table.frame[spec.label], spec))
    is_labelled = rows[spec.label].is_not_null()
    n_unlabelled = rows.height - int(is_labelled.sum())
    if n_unlabelled == rows.height:
        raise ColumnError(f"{path}: label {spec.label!r} is missing in all {rows.height:,} rows; there is nothing to test on.")
    rows = rows.filter(is_labelled)
    # Names are compared as text, whatever type the rest of their file gives them.
    frame = pl.concat([table.frame.with_columns(pl.col(names).cast(pl.String)), rows], how="diagonal_relaxed")
    times = None
    if table.times is not None:
        times = pl.concat([table.times, _read_test_times(rows, is_labelled.arg_true(), table.columns, spec)])
    notes = (f"{path}: {n_unlabelled:,} rows without a label were left out.",) if n_unlabelled else ()
    return _TestedTable(replace(table, frame=frame, times=times), rows.height, notes)


def _list_names(spec: TrainingSpec) -> list[str]:
    """The columns that name the rows' groups and what they are about."""
    roles = build_roles(spec)
    return [name for name in (roles.group, roles.id) if name is not None]


def _read_test_rows(table: TypedTable, raws: Sequence[RawTable], spec: TrainingSpec) -> pl.DataFrame:
    """The test file's inputs, label, times and names, read as those of training were."""
    raw, names = raws[1], _list_names(spec)
    for name in names:
        if name not in raw.frame.columns:
            raise ColumnError(f"{raw.path}: no column {name!r}{suggest_names(name, raw.frame.columns)}")
    # The parts of a date may be constant, and no inputs.
    read_as_inputs = (spec.label, *spec.roles.time)
    columns = [replace(c, role="input") if c.name in read_as_inputs else c for c in table.columns]
    # A gap makes floats of whole numbers in a file with types: 7.0 is the name 7 of training.
    levels = {name: tuple(table.frame[name].drop_nulls().cast(pl.String).unique()) for name in names}
    columns = [replace(c, levels=levels.get(c.name, c.levels)) for c in columns]
    rows = conform_frame(raw, tuple(columns)).select(c.name for c in columns if c.role == "input" or c.name in names)
    return rows.with_columns(spell_names_as(rows[name], raws[0].frame[name]) for name in names)


def _read_test_labels(label: pl.Series, trained: pl.Series, spec: TrainingSpec) -> pl.Series:
    """The labels of a test file's rows, null where they say that there is none, as they do in training."""
    if label.dtype == pl.String and trained.dtype == pl.String:
        label = null_unlabelled(pl.concat([trained, label])).tail(len(label))
    levels = next((one.levels for one in spec.columns if one.name == spec.label), ())
    return merge_variants(label, levels) if levels else label


def _read_test_times(rows: pl.DataFrame, numbers: pl.Series, columns: Sequence[Column], spec: TrainingSpec) -> pl.Series:
    """The times of a test file's rows, read as those of training were; `numbers` are the rows' own in their file, from 0."""
    by_name = {column.name: column for column in columns}
    whole = [name for name in spec.roles.time if by_name[name].dtype == "int"]
    frame = rows.with_columns(pl.col(name).cast(pl.Int64) for name in whole)
    reading = by_name[spec.roles.time[0]].reading or ColumnReading()
    return read_row_times(frame, spec.roles.time, [], numbers, reading)


def _build_cutoffs(table: TypedTable, roles: Roles) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Frame [entity, cutoff, group?] in the file's order, entity and cutoff together unique."""
    times = table.times if table.times is not None else pl.repeat(TIMELESS, table.frame.height, eager=True)
    number = pl.int_range(1, table.frame.height + 1, eager=True).cast(pl.String)
    entity = number if roles.id is None else table.frame[roles.id].cast(pl.String).fill_null("missing")
    cutoffs = pl.DataFrame({"entity": entity, "cutoff": times.cast(pl.Datetime("us"))})
    group, notes = _infer_group(table, roles, cutoffs)
    is_duplicate = cutoffs.is_duplicated()
    cutoffs = cutoffs.with_columns(
        pl.when(is_duplicate).then(pl.col("entity") + "\x1f" + number).otherwise(pl.col("entity")).alias("entity")
    )
    return (cutoffs if group is None else cutoffs.with_columns(group.alias("group"))), notes


def _infer_group(table: TypedTable, roles: Roles, cutoffs: pl.DataFrame) -> tuple[pl.Series | None, tuple[str, ...]]:
    if roles.group is not None:
        group = table.frame[roles.group].cast(pl.String).fill_null("missing")
        return group, describe_alike_groups(roles.group, group.unique().to_list())
    if roles.id is not None and cutoffs["entity"].n_unique() < cutoffs.height:
        return cutoffs["entity"], (describe_repeats(roles.id, cutoffs["entity"].n_unique(), cutoffs.height),)
    return None, ()


def describe_alike_groups(name: str, groups: Collection[str]) -> tuple[str, ...]:
    """The note on groups whose names differ by case or blanks alone."""
    n_alike = len(groups) - len({fold_name(group) for group in groups})
    note = f"{name}: {n_alike:,} groups differ from others by case or blanks alone, and are groups of their own."
    return (note,) if n_alike else ()


def describe_repeats(name: str, n_ids: int, n_rows: int) -> str:
    """The note on a column of ids that come more than once."""
    return f"{name} repeats ({n_ids:,} ids in {n_rows:,} rows), so it is the group."


def _build_tables(table: TypedTable, cutoffs: pl.DataFrame, label: pl.Series, columns: tuple[Column, ...]) -> Tables:
    inputs = [c.name for c in columns if c.role == "input"]
    keys = {"entity_id": cutoffs["entity"], "known_at": cutoffs["cutoff"]}
    rows = pl.DataFrame({**keys, **{f"column_{i}": table.frame[name] for i, name in enumerate(inputs)}})
    labels = pl.DataFrame({**keys, "label": label})
    end = cutoffs["cutoff"].max()
    return Tables(
        {
            ROWS: Table(ROWS, rows, "entity_id", "entity_id"),
            LABELS: Table(LABELS, labels, "entity_id", "entity_id"),
        },
        end if isinstance(end, datetime) else TIMELESS,
    )


def build_task(spec: TrainingSpec, columns: tuple[Column, ...], kind: Kind, classes: tuple[str, ...]) -> Task:
    """The task that predicts the file's label from the columns that are inputs. Raises ColumnError where none is."""
    inputs = [column.name for column in columns if column.role == "input"]
    learnable = [name for name in inputs if name != spec.roles.offset]
    if spec.error_costs and not KINDS[kind].has_positive_class:
        raise ColumnError(f"label {spec.label!r} is not one of two classes, so there is no miss and no false alarm to cost.")
    if not learnable:
        raise ColumnError(f"{spec.path}: no column is left to learn from; see 'epic22 audit', and --keep to keep one.")
    _refuse_unfit_stake(spec, columns)
    label_column = {column.name: column for column in columns}[spec.label]
    loss = build_loss(spec)
    log = spec.target.log or ("auto" if KINDS[kind].is_regression and loss == SQUARED else "no")
    target = Target(
        name=spec.label,
        kind=kind,
        labels=lambda view, future: future.label_rows(LABELS).select("label"),
        metric=_select_metric(spec, kind),
        classes=classes,
        unit=label_column.unit if KINDS[kind].is_regression else None,
        offset=spec.roles.offset,
        loss=loss.name,
        quantile=loss.quantile,
        power=loss.power,
        log={"no": False, "yes": True, "auto": None}[log],
    )
    return Task(
        name=build_task_name(spec.name, spec.path, spec.label),
        columns=columns,
        targets=(target,),
        rows=lambda view, cutoffs: cutoffs,
        # The user's names could be the table's own (entity, cutoff), so they are put back only here.
        inputs=lambda view: view.latest(ROWS).lazy().select(pl.col(f"column_{i}").alias(n) for i, n in enumerate(inputs)),
        families=_select_families(spec, kind),
        about=spec.data.about or f"{spec.label} from {spec.path.name}",
        costs=spec.error_costs,
        stake_column=spec.costs.stake_column,
        policy=_build_policy(spec),
    )


def _select_families(spec: TrainingSpec, kind: Kind) -> tuple[str, ...]:
    """The families to race, in the catalog's order, baselines always among them. Raises UserError for one that cannot."""
    if not spec.families:
        return default_families(kind)
    refuse_unfit_families(spec.families, kind, spec.roles.offset, bool(spec.roles.sequence))
    return tuple(f.name for f in FAMILIES if f.name in spec.families or (f.is_baseline and kind in f.kinds))


def _refuse_unfit_stake(spec: TrainingSpec, columns: Sequence[Column]) -> None:
    """Raise ColumnError where the money at stake is no number that is known of every row asked about, or costs nothing."""
    if spec.costs.stake_column is None:
        return
    numbers = [c.name for c in columns if c.role == "input" and c.dtype in ("int", "float")]
    if spec.costs.stake_column not in numbers:
        raise ColumnError(
            f"costs.stake_column: {spec.costs.stake_column!r} is no input of numbers; there are {', '.join(numbers) or 'none'}."
        )
    if not spec.error_costs:
        raise ColumnError("costs.stake_column multiplies the cost of a miss; state costs.miss and costs.false_alarm too.")


def _refuse_unknown_stake(frame: pl.DataFrame, spec: TrainingSpec) -> None:
    """Raise ColumnError where a row's money at stake is missing or below zero: what a miss costs there would not be known."""
    if spec.costs.stake_column is None:
        return
    stake = frame[spec.costs.stake_column].cast(pl.Float64)
    unknown = int((stake.is_null() | (stake < 0)).fill_null(value=True).sum())
    if unknown:
        raise ColumnError(
            f"costs.stake_column: {spec.costs.stake_column!r} is missing or below zero in {unknown:,} rows; fill it in."
        )


def _select_metric(spec: TrainingSpec, kind: Kind) -> Metric:
    if spec.target.metric is None:
        return choose_metric(kind, build_loss(spec))
    metrics = {metric.name: metric for metric in METRICS[kind]}
    if spec.target.metric not in metrics:
        raise ColumnError(f"--metric {spec.target.metric}: a label of kind {kind} is scored by {', '.join(metrics)}.")
    return metrics[spec.target.metric]


def compute_data_version(
    sources: Sequence[tuple[str, str]], columns: tuple[Column, ...], spec: TrainingSpec, contents: Sequence[str]
) -> DataVersion:
    """The version of files, given as (path, sha256) and by their contents, read under these roles."""
    settings: list[Any] = [spec.label, list(spec.roles.time), spec.roles.positive, spec.split.horizon, spec.roles.kind]
    settings += [] if spec.roles.offset is None else [{"exposure": spec.roles.offset}]
    roles = {"columns": [[c.name, c.role, c.dtype] for c in columns], "asked": settings}
    return DataVersion.of_files(sources, roles, contents)
