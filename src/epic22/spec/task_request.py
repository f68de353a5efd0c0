"""What cannot be asked of a training together, what a split is asked for, and where in a file stands what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from epic22.core.data.folds import SplitRequest
from epic22.core.data.schema_inference import Roles
from epic22.core.errors import ColumnError, UserError
from epic22.core.models.catalog import get_family
from epic22.core.models.loss import SQUARED, Loss
from epic22.core.targets import KINDS
from epic22.core.text import parse_timestamp
from epic22.spec.training_spec import FIELDS, TrainingSpec

CHOICES = {"--log": "yes, no or auto", "--group-by": "day, week or month", "--sampling": "bayesian, random or grid"}
"""The choices of an option, as its refusal puts them."""


def refuse_contradictions(spec: TrainingSpec) -> None:
    """Raise UserError for what cannot be asked of a table, or contradicts itself."""
    spec.require_table()
    _refuse_two_evaluations(spec)
    refuse_other_choice(spec, "--kind")
    if len(spec.roles.id) > 1:
        raise UserError(f"--id was given {len(spec.roles.id)} times; several columns name a series only with --panel.")
    _refuse_search_with_offset(spec)
    if spec.target.loss is not None:
        parse_loss(spec.target.loss)
    refuse_other_choice(spec, "--log")
    if (spec.costs.miss is None) != (spec.costs.false_alarm is None):
        raise UserError("--cost-miss and --cost-false-alarm go together: a threshold needs what both errors cost.")
    if spec.costs.miss == spec.costs.false_alarm == 0:
        raise UserError("--cost-miss 0 and --cost-false-alarm 0: where no error costs anything, there is nothing to decide by.")
    if spec.policy.prefer_simpler and spec.costs.miss is None:
        raise UserError("--prefer-simpler needs --cost-miss and --cost-false-alarm: 'as good' is measured in money.")


def refuse_other_choice(spec: TrainingSpec, option: str) -> None:
    """Raise UserError where an option is none of its choices."""
    field = next(field for field in FIELDS if field.key.option == option)
    value = spec.value(field)
    if value is not None and value not in field.choices:
        raise UserError(f"{option} {value}: give {CHOICES.get(option, 'one of ' + ', '.join(field.choices))}.")


def _refuse_two_evaluations(spec: TrainingSpec) -> None:
    """Raise UserError where the search's own folds are to judge, and rows held out as well."""
    is_holdout = spec.data.test is not None or spec.split.holdout_from is not None or spec.split.holdout_last is not None
    if spec.search.is_requested and not spec.search.nested and is_holdout:
        raise UserError("--no-nested evaluates on the search's own folds; leave --test and the holdout out.")


def _refuse_search_with_offset(spec: TrainingSpec) -> None:
    """Raise UserError for a way of searching that would learn from the offset, or could not add it."""
    name, search = spec.roles.offset, spec.search
    if name is None:
        return
    unable = [family for family in search.families if not get_family(family).supports_offset]
    unsupported = ["--engineer" if search.engineer else "", "--row-ms" if search.row_ms is not None else ""]
    unsupported += [f"--search-family {family}" for family in unable]
    if any(unsupported):
        raise UserError(
            f"{next(o for o in unsupported if o)} cannot go with --offset {name}: it would be learned from; leave one out."
        )


def build_roles(spec: TrainingSpec) -> Roles:
    """The roles as a table is read by them. Raises UserError where no label is named."""
    roles = spec.roles
    row_id = roles.id[0] if roles.id else None
    is_value, missing = requests_value(spec), spec.data.missing
    return Roles(spec.label, roles.time, roles.group, row_id, roles.drop, roles.positive, roles.offset, is_value, missing)


def requests_value(spec: TrainingSpec) -> bool:
    """Whether the label is said to be a value, however few different ones there are."""
    return spec.requested_kind is not None and KINDS[spec.requested_kind].is_regression


def build_loss(spec: TrainingSpec) -> Loss:
    """The loss, squared where none is asked for. Raises UserError for one that there is not."""
    return SQUARED if spec.target.loss is None else parse_loss(spec.target.loss)


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


def build_split_request(spec: TrainingSpec) -> SplitRequest:
    """What was asked of the split. Raises UserError where the answers exclude one another."""
    split = spec.split
    options = (("--test", spec.data.test), ("--holdout-from", split.holdout_from), ("--holdout-last", split.holdout_last))
    given = [name for name, value in options if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude one another; give one.")
    if given and (split.group_by or split.random_rows_despite_time):
        raise UserError(f"{given[0]} names the test rows already; leave --group-by and --random-rows-despite-time out.")
    refuse_other_choice(spec, "--group-by")
    start = None if split.holdout_from is None else np.datetime64(parse_timestamp(split.holdout_from, "--holdout-from"), "us")
    return SplitRequest(
        separate_groups=spec.roles.group is not None,
        horizon=split.horizon,
        label_delay=split.gap,
        group_by=split.group_by,
        holdout_from=start,
        holdout_last=split.holdout_last,
        random_rows_despite_time=split.random_rows_despite_time,
        seed=split.seed,
        n_folds=split.folds,
        repeats=split.repeats or (1 if spec.search.is_requested else 5),
    )


@contextmanager
def locate_errors(spec: TrainingSpec) -> Iterator[None]:
    """Put the file and the line in front of what is wrong with a value that stands in a task file."""
    try:
        yield
    except UserError as error:
        place = _locate_error(spec, str(error))
        if place is None:
            raise
        error_class = ColumnError if isinstance(error, ColumnError) else UserError
        raise error_class(f"{place}: {error}") from error


def _locate_error(spec: TrainingSpec, message: str) -> str | None:
    """Where the value stands that an error begins with, by its option or by its path; None where it is of no file's."""
    places, file = spec.origin.places, spec.origin.file
    if message.startswith("formula ") and ("formulas",) in places:
        return f"{file}, line {places[('formulas',)]}"
    for field in (field for field in FIELDS if field.path in places):
        dotted, line, option = ".".join(field.path), f"{file}, line {places[field.path]}", field.key.option
        if message.startswith((f"{dotted}:", f"{dotted} ")):
            return line
        if option and message.startswith((f"{option} ", f"{option}:", f"{option.replace('--', '--no-')} ")):
            return f"{line}: {dotted}"
    for place, number in sorted(places.items(), key=lambda item: -len(item[0])):
        dotted = ".".join(place)
        if place[:1] == ("columns",) and len(place) > 1 and message.startswith((f"{dotted}:", f"{dotted}.")):
            return f"{file}, line {number}"
    return None
