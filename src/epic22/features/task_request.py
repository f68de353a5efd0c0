"""What a training takes, made of a task as it was asked for; what cannot be is refused by its option, or its place in a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import get_args

import numpy as np

from epic22.core.data.contract import Roles
from epic22.core.data.split import SplitRequest
from epic22.core.errors import ColumnError, UserError
from epic22.core.models.catalog import family_named
from epic22.core.models.loss import Loss
from epic22.features.flat_file import FlatFile, Log
from epic22.features.task_file import KINDS, PERIODS, TaskFile, keys, path_of


def flat_file(asked: TaskFile) -> FlatFile:
    """The table and what is said of it. Raises UserError for what cannot be, or contradicts itself."""
    roles, path, label = asked.roles, asked.data.file, asked.roles.label
    if path is None or label is None:
        raise UserError("name the table with --csv FILE and its label with --label COLUMN, or both in a task file.")
    if roles.kind is not None and roles.kind not in KINDS:
        raise UserError(f"--kind {roles.kind}: give one of {', '.join(KINDS)}.")
    if len(roles.id) > 1:
        raise UserError(f"--id was given {len(roles.id)} times; several columns name a series only with --panel.")
    _refuse_exposed_search(asked)
    return FlatFile(
        path=path,
        roles=Roles(
            label, roles.time, roles.group, roles.id[0] if roles.id else None, roles.drop, roles.positive, roles.exposure
        ),
        name=asked.name,
        keep=roles.keep,
        horizon=asked.split.horizon,
        kind=roles.kind,  # type: ignore[arg-type]
        test=asked.data.test,
        formulas=asked.formulas,
        loss=None if asked.target.loss is None else loss_named(asked.target.loss),
        log=log_named(asked.target.log),
        coverage_by=asked.use.coverage_by,
        costs=_costs(asked),
        prefer_simpler=asked.use.prefer_simpler,
        learning_curve=asked.use.learning_curve,
        metric=asked.target.metric,
        columns=asked.columns,
        families=asked.families,
        capacity=asked.costs.capacity,
        exposure=asked.costs.exposure,
        least=asked.use.least,
        margin=asked.use.margin,
        notes=asked.notes,
    )


def _refuse_exposed_search(asked: TaskFile) -> None:
    """Raise UserError for a way of searching that would learn from the exposure, or could not add it."""
    name, search = asked.roles.exposure, asked.search
    if name is None:
        return
    unable = [family for family in search.families if not family_named(family).exposed]
    odd = ["--engineer" if search.engineer else "", "--row-ms" if search.row_ms is not None else ""]
    odd += [f"--search-family {family}" for family in unable]
    if any(odd):
        raise UserError(f"{next(o for o in odd if o)} cannot go with --exposure {name}: it would be learned from; leave one out.")


def _costs(asked: TaskFile) -> dict[str, float]:
    """The costs of a miss and a false alarm, none where neither is stated. Raises UserError for one without the other."""
    miss, false_alarm = asked.costs.miss, asked.costs.false_alarm
    if (miss is None) != (false_alarm is None):
        raise UserError("--cost-miss and --cost-false-alarm go together: a threshold needs what both errors cost.")
    if asked.use.prefer_simpler and miss is None:
        raise UserError("--prefer-simpler needs --cost-miss and --cost-false-alarm: 'as good' is said in money.")
    return {} if miss is None or false_alarm is None else {"miss": miss, "false_alarm": false_alarm}


def split_request(asked: TaskFile) -> SplitRequest:
    """What was asked of the split. Raises UserError where the answers exclude one another."""
    split = asked.split
    named = (("--test", asked.data.test), ("--holdout-from", split.holdout_from), ("--holdout-last", split.holdout_last))
    given = [name for name, value in named if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude one another; give one.")
    if given and (split.group_by or split.random_rows_despite_time):
        raise UserError(f"{given[0]} names the test rows already; leave --group-by and --random-rows-despite-time out.")
    if split.group_by is not None and split.group_by not in PERIODS:
        raise UserError(f"--group-by {split.group_by}: give day, week or month.")
    start = None if split.holdout_from is None else np.datetime64(_moment(split.holdout_from), "us")
    return SplitRequest(
        horizon=split.horizon,
        gap=split.gap,
        group_by=split.group_by,  # type: ignore[arg-type]  # checked above
        holdout_from=start,
        holdout_last=split.holdout_last,
        random_rows_despite_time=split.random_rows_despite_time,
        seed=split.seed,
        n=split.folds,
        repeats=split.repeats or (1 if asked.search.asked else 5),
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--holdout-from {text}: not a date; write it as 2015-03-01.") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def loss_named(text: str) -> Loss:
    """The loss of a text such as quantile:0.9.

    Raises UserError with what there is.
    """
    name, _, figure = text.partition(":")
    try:
        stated = float(figure) if figure else None
    except ValueError:
        raise UserError(f"--loss {text}: {figure!r} is no number; write quantile:0.9 or tweedie:1.5.") from None
    if name in ("squared", "absolute", "poisson") and stated is None:
        return Loss(name)  # type: ignore[arg-type]
    if name == "quantile" and stated is not None and 0 < stated < 1:
        return Loss("quantile", stated)
    if name == "tweedie" and (stated is None or 1 < stated < 2):
        return Loss("tweedie", power=stated)
    raise UserError(f"--loss {text}: give squared, absolute, quantile:Q (0 < Q < 1), poisson, tweedie or tweedie:P (1 < P < 2).")


def log_named(text: str | None) -> Log | None:
    """What was said of the logarithm, None for nothing. Raises UserError for another text."""
    if text not in (None, *get_args(Log)):
        raise UserError(f"--log {text}: give yes, no or auto.")
    return text  # type: ignore[return-value]


@contextmanager
def told_by_place(asked: TaskFile) -> Iterator[None]:
    """Put the file and the line in front of what is wrong with a value that stands in a task file."""
    try:
        yield
    except UserError as error:
        place = _place(asked, str(error))
        if place is None:
            raise
        told = ColumnError if isinstance(error, ColumnError) else UserError
        raise told(f"{place}: {error}") from error


def _place(asked: TaskFile, message: str) -> str | None:
    """Where the value stands that an error begins with, by its option or by its path; None where it is of no file's."""
    if message.startswith("formula ") and ("formulas",) in asked.places:
        return f"{asked.origin}, line {asked.places[('formulas',)]}"
    for section, name, key in keys():
        path = path_of(section, name)
        if path not in asked.places:
            continue
        dotted, line = ".".join(path), f"{asked.origin}, line {asked.places[path]}"
        if message.startswith((f"{dotted}:", f"{dotted} ")):
            return line
        off = key.option.replace("--", "--no-")
        if key.option and message.startswith((f"{key.option} ", f"{key.option}:", f"{off} ")):
            return f"{line}: {dotted}"
    for place, number in sorted(asked.places.items(), key=lambda item: -len(item[0])):
        dotted = ".".join(place)
        if place[:1] == ("columns",) and len(place) > 1 and message.startswith((f"{dotted}:", f"{dotted}.")):
            return f"{asked.origin}, line {number}"
    return None
