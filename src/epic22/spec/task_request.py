"""What a training takes, made of a task as it was asked for; what cannot be is refused by its option, or its place in a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import get_args

import numpy as np

from epic22.core.data.folds import SplitRequest
from epic22.core.data.schema_inference import Roles
from epic22.core.errors import ColumnError, UserError
from epic22.core.models.catalog import get_family
from epic22.core.models.loss import Loss
from epic22.spec.flat_file import FlatFile, LogChoice
from epic22.spec.task_file import KINDS, PERIODS, TaskFile, build_key_path, iterate_keys


def build_flat_file(task_file: TaskFile) -> FlatFile:
    """The table and what is said of it. Raises UserError for what cannot be, or contradicts itself."""
    roles, path, label = task_file.roles, task_file.data.file, task_file.roles.label
    if path is None or label is None:
        raise UserError("name the table with --csv FILE and its label with --label COLUMN, or both in a task file.")
    if roles.kind is not None and roles.kind not in KINDS:
        raise UserError(f"--kind {roles.kind}: give one of {', '.join(KINDS)}.")
    if len(roles.id) > 1:
        raise UserError(f"--id was given {len(roles.id)} times; several columns name a series only with --panel.")
    _refuse_search_with_offset(task_file)
    return FlatFile(
        path=path,
        roles=Roles(
            label, roles.time, roles.group, roles.id[0] if roles.id else None, roles.drop, roles.positive, roles.exposure
        ),
        name=task_file.name,
        keep=roles.keep,
        horizon=task_file.split.horizon,
        kind=roles.kind,  # type: ignore[arg-type]
        test=task_file.data.test,
        formulas=task_file.formulas,
        loss=None if task_file.target.loss is None else parse_loss(task_file.target.loss),
        log=parse_log(task_file.target.log),
        coverage_by=task_file.use.coverage_by,
        costs=_build_costs(task_file),
        prefer_simpler=task_file.use.prefer_simpler,
        learning_curve=task_file.use.learning_curve,
        metric=task_file.target.metric,
        column_overrides=task_file.columns,
        families=task_file.families,
        capacity=task_file.costs.capacity,
        stake_column=task_file.costs.exposure,
        minimum_effect=task_file.use.least,
        non_inferiority_margin=task_file.use.margin,
        notes=task_file.notes,
    )


def _refuse_search_with_offset(task_file: TaskFile) -> None:
    """Raise UserError for a way of searching that would learn from the exposure, or could not add it."""
    name, search = task_file.roles.exposure, task_file.search
    if name is None:
        return
    unable = [family for family in search.families if not get_family(family).supports_offset]
    unsupported = ["--engineer" if search.engineer else "", "--row-ms" if search.row_ms is not None else ""]
    unsupported += [f"--search-family {family}" for family in unable]
    if any(unsupported):
        raise UserError(
            f"{next(o for o in unsupported if o)} cannot go with --exposure {name}: it would be learned from; leave one out."
        )


def _build_costs(task_file: TaskFile) -> dict[str, float]:
    """The costs of a miss and a false alarm, none where neither is stated. Raises UserError for one without the other."""
    miss, false_alarm = task_file.costs.miss, task_file.costs.false_alarm
    if (miss is None) != (false_alarm is None):
        raise UserError("--cost-miss and --cost-false-alarm go together: a threshold needs what both errors cost.")
    if task_file.use.prefer_simpler and miss is None:
        raise UserError("--prefer-simpler needs --cost-miss and --cost-false-alarm: 'as good' is said in money.")
    return {} if miss is None or false_alarm is None else {"miss": miss, "false_alarm": false_alarm}


def build_split_request(task_file: TaskFile) -> SplitRequest:
    """What was asked of the split. Raises UserError where the answers exclude one another."""
    split = task_file.split
    options = (("--test", task_file.data.test), ("--holdout-from", split.holdout_from), ("--holdout-last", split.holdout_last))
    given = [name for name, value in options if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude one another; give one.")
    if given and (split.group_by or split.random_rows_despite_time):
        raise UserError(f"{given[0]} names the test rows already; leave --group-by and --random-rows-despite-time out.")
    if split.group_by is not None and split.group_by not in PERIODS:
        raise UserError(f"--group-by {split.group_by}: give day, week or month.")
    start = None if split.holdout_from is None else np.datetime64(_parse_timestamp(split.holdout_from), "us")
    return SplitRequest(
        separate_groups=task_file.roles.group is not None,
        horizon=split.horizon,
        gap=split.gap,
        group_by=split.group_by,  # type: ignore[arg-type]  # checked above
        holdout_from=start,
        holdout_last=split.holdout_last,
        random_rows_despite_time=split.random_rows_despite_time,
        seed=split.seed,
        n=split.folds,
        repeats=split.repeats or (1 if task_file.search.is_requested else 5),
    )


def _parse_timestamp(text: str) -> datetime:
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--holdout-from {text}: not a date; write it as 2015-03-01.") from None
    return timestamp.astimezone(UTC).replace(tzinfo=None) if timestamp.tzinfo else timestamp


def parse_loss(text: str) -> Loss:
    """The loss of a text such as quantile:0.9.

    Raises UserError with what there is.
    """
    name, _, parameter = text.partition(":")
    try:
        number = float(parameter) if parameter else None
    except ValueError:
        raise UserError(f"--loss {text}: {parameter!r} is no number; write quantile:0.9 or tweedie:1.5.") from None
    if name in ("squared", "absolute", "poisson") and number is None:
        return Loss(name)  # type: ignore[arg-type]
    if name == "quantile" and number is not None and 0 < number < 1:
        return Loss("quantile", number)
    if name == "tweedie" and (number is None or 1 < number < 2):
        return Loss("tweedie", power=number)
    raise UserError(f"--loss {text}: give squared, absolute, quantile:Q (0 < Q < 1), poisson, tweedie or tweedie:P (1 < P < 2).")


def parse_log(text: str | None) -> LogChoice | None:
    """What was said of the logarithm, None for nothing. Raises UserError for another text."""
    if text not in (None, *get_args(LogChoice)):
        raise UserError(f"--log {text}: give yes, no or auto.")
    return text  # type: ignore[return-value]


@contextmanager
def locate_errors(task_file: TaskFile) -> Iterator[None]:
    """Put the file and the line in front of what is wrong with a value that stands in a task file."""
    try:
        yield
    except UserError as error:
        place = _locate_error(task_file, str(error))
        if place is None:
            raise
        error_class = ColumnError if isinstance(error, ColumnError) else UserError
        raise error_class(f"{place}: {error}") from error


def _locate_error(task_file: TaskFile, message: str) -> str | None:
    """Where the value stands that an error begins with, by its option or by its path; None where it is of no file's."""
    if message.startswith("formula ") and ("formulas",) in task_file.places:
        return f"{task_file.origin}, line {task_file.places[('formulas',)]}"
    for section, name, key in iterate_keys():
        path = build_key_path(section, name)
        if path not in task_file.places:
            continue
        dotted, line = ".".join(path), f"{task_file.origin}, line {task_file.places[path]}"
        if message.startswith((f"{dotted}:", f"{dotted} ")):
            return line
        off = key.option.replace("--", "--no-")
        if key.option and message.startswith((f"{key.option} ", f"{key.option}:", f"{off} ")):
            return f"{line}: {dotted}"
    for place, number in sorted(task_file.places.items(), key=lambda item: -len(item[0])):
        dotted = ".".join(place)
        if place[:1] == ("columns",) and len(place) > 1 and message.startswith((f"{dotted}:", f"{dotted}.")):
            return f"{task_file.origin}, line {number}"
    return None
