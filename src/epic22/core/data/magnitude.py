"""Numbers whose size is the matter: codes for missing, labels far from all others, values that models would not tell apart."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl

from epic22.core.data.leakage import Suspicion
from epic22.core.data.preprocess import MICROSECONDS_PER_DAY, choose_center, days_since_1970
from epic22.core.task import Array, Column
from epic22.core.text import format_value

MIN_ROWS = 20
MIN_COUNT = 5
MIN_SHARE = 0.001
"""A code for missing stands in at least this many rows, and this share of them."""

MAX_CODES = 3
"""At either end of a column up to this many values may be codes, as 96 and 98 are."""

MIN_OTHERS = 10
"""A column with fewer other values is a list of sizes, where one may be far from the rest."""

MIN_STEPS, MIN_STEPS_TO_CODE = 2, 10.0
SURVEY_CODE = re.compile(r"9*[6-9]|7+|8+")
"""Unless they are the steps of a scale, 1 to 5 or no and yes, and the code is one of surveys, 97, 98, 99, 77, 888, so many steps
away at least: 99 is one more year after 98."""

MIN_GAP, MIN_GAP_OF_CODE = 3.0, 1.0
"""How far from the nearest other value a code lies, in ranges of the other values; less for what is often written for missing."""

CODE_DATES = frozenset(
    days_since_1970(datetime(*day))
    for day in (
        *((1, 1, 1), (1753, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1), (1901, 1, 1), (1970, 1, 1)),
        *((2099, 12, 31), (2199, 12, 31), (2999, 12, 31), (9999, 12, 31)),
    )
)
"""Dates that stand for none, as days since 1970."""

MAX_MERGED = 0.1
"""More of a column's different values than this share must not become one as float32."""

MAX_LOG_DISTANCE = 6.0
"""Logarithms of labels lie within this many robust standard deviations of their median: beyond is one row in 500 million."""

MIN_FACTOR = 2.0
"""And they are this many times the next value, or one part of it: labels that are logarithms have long ends without a gap."""

MIN_DISTANCE_RATIO = 5.0
"""Labels of both signs are far out where they are this many times as far from the median as the next."""


def audit_magnitudes(
    frame: pl.DataFrame, columns: Sequence[Column], label: pl.Series, is_regression: bool
) -> tuple[Suspicion, ...]:
    """Codes for missing among the numbers and times of inputs, and the rows' own; values that float32 merges; labels that are
    codes or far out."""
    findings: list[Suspicion | None] = []
    for column in columns:
        is_read = column.role == "input" or (column.role == "time" and column.dtype == "time" and column.name in frame.columns)
        if not is_read or column.dtype not in ("int", "float", "time") or frame.height < MIN_ROWS:
            continue
        values = _list_numbers(frame[column.name])
        n_distinct = frame[column.name].drop_nulls().n_unique() if frame[column.name].dtype.is_integer() else None
        findings += [_ask_about_codes(column, values), _find_merged_values(column.name, values, n_distinct)]
    if is_regression and len(label) >= MIN_ROWS:
        values = _list_numbers(label)
        findings.append(_ask_about_codes(Column(label.name, "float"), values) or _find_far_labels(label.name, values))
    return tuple(finding for finding in findings if finding is not None)


def _list_numbers(series: pl.Series) -> Array:
    """The values that are there, in days for times, (m,)."""
    present = series.drop_nulls()
    if present.dtype.is_temporal():
        present = present.cast(pl.Datetime("us")).dt.epoch("us") / MICROSECONDS_PER_DAY
    numbers = present.cast(pl.Float64).to_numpy()
    return np.asarray(numbers[np.isfinite(numbers)])


def find_codes(values: Array, is_time: bool = False) -> list[float]:
    """Values that are frequent and lie far outside all others, at either end: numbers that stand for missing. 0 is none, but for
    a date.

    >>> find_codes(np.array([*range(20, 90), *[-999.0] * 8]))
    [-999.0]
    >>> find_codes(np.array([*range(20, 90), -999.0]))
    []
    """
    distinct, counts = np.unique(values, return_counts=True)
    codes: list[float] = []
    for sign in (1, -1):
        ends, end_counts = distinct[::sign], counts[::sign]
        for k in range(min(MAX_CODES, len(ends) - MIN_STEPS), 0, -1):
            candidates, others, gap = ends[:k], ends[k:], abs(ends[k] - ends[k - 1])
            if len(others) < MIN_OTHERS:
                is_far = _are_survey_codes(candidates, others) and gap >= max(MIN_STEPS_TO_CODE, MIN_GAP * np.ptp(others))
            else:
                # At the other end there may be codes as well.
                spread = float(np.ptp(others[:-MAX_CODES]))
                least = MIN_GAP_OF_CODE if all(map(_is_written_for_missing, candidates)) else MIN_GAP
                is_far = spread > 0 and gap >= least * spread
            is_frequent = end_counts[:k].max() >= max(MIN_COUNT, MIN_SHARE * len(values))
            if is_far and is_frequent and (is_time or (candidates != 0).all()):
                codes += candidates.tolist()
                break
    return sorted(codes)


def _are_survey_codes(candidates: Array, others: Array) -> bool:
    """Whether the others are the steps of a scale, and the candidates what surveys write for no answer."""
    is_scale = bool((np.abs(np.diff(others)) == 1).all() and (others == others.round()).all())
    texts = [f"{abs(code):.12g}" for code in candidates]
    return is_scale and all(len(text) > 1 and SURVEY_CODE.fullmatch(text) for text in texts)


def _is_written_for_missing(value: float) -> bool:
    """Nines, as in -999 and 9999, and dates that stand for none."""
    return value in CODE_DATES or (value == int(value) and len(str(abs(int(value)))) > 1 and set(str(abs(int(value)))) == {"9"})


def _ask_about_codes(column: Column, values: Array) -> Suspicion | None:
    codes = find_codes(values, column.dtype == "time") if len(values) >= MIN_ROWS else []
    if not codes:
        return None
    others = values[~np.isin(values, codes)]
    names = [_write_value(column, code) for code in codes]
    counts = " and ".join(f"{name} in {int((values == code).sum()):,}" for name, code in zip(names, codes, strict=True))
    ends = " to ".join(_write_value(column, float(end)) for end in (others.min(), others.max()))
    way_out = " ".join(f"--missing {name}" for name in names)
    evidence = (
        f"{counts} of {len(values):,} rows, far outside all other values ({ends}): does it mean missing? {way_out} says so."
    )
    return Suspicion(column.name, "code for missing", evidence, False)


def _write_value(column: Column, value: float) -> str:
    """A number or a date as files have it."""
    return str(format_value(column, value)) if column.dtype == "time" else f"{value:.12g}"


def _find_merged_values(name: str, values: Array, n_integers: int | None) -> Suspicion | None:
    """Values that stay one as float32 even when a centre is subtracted first. `n_integers` are the different values of a column
    of whole numbers, of which float64 may merge some already."""
    distinct = np.unique(values)
    n_distinct = len(distinct) if n_integers is None else n_integers
    merged = n_distinct - len(np.unique((distinct - choose_center(values)).astype(np.float32)))
    if merged <= MAX_MERGED * n_distinct:
        return None
    way_out = "or its distance from a round number by --formula" if len(distinct) == n_distinct else "or --drop it"
    evidence = (
        f"models hold numbers with 24 bits, which makes one of {merged:,} of its {n_distinct:,} different values and others: "
        f"give its parts as columns of their own, {way_out}."
    )
    return Suspicion(name, "merged values", evidence, False)


def _find_far_labels(name: str, values: Array) -> Suspicion | None:
    is_far = _are_far_logs(values) if (values > 0).all() else _are_far_values(values)
    n_far = int(is_far.sum())
    if not n_far or n_far > MAX_CODES:
        return None
    shown = ", ".join(f"{value:.12g}" for value in np.sort(values[is_far]))
    rest = values[~is_far]
    evidence = (
        f"{shown} in {n_far} of {len(values):,} rows, far from all others ({rest.min():.6g} to {rest.max():.6g}): "
        "squared errors are made by such rows; mend them, leave them out, or decide by --loss absolute."
    )
    return Suspicion(name, "far label", evidence, False)


def _are_far_logs(values: Array) -> Array:
    logs = np.log(values)
    low, middle, high = np.quantile(logs, (0.25, 0.5, 0.75))
    reach = MAX_LOG_DISTANCE * (high - low) / 1.349
    rest = logs[np.abs(logs - middle) <= reach]
    gap = np.log(MIN_FACTOR)
    return np.asarray(
        (high > low)
        & (((logs < middle - reach) & (logs <= rest.min() - gap)) | ((logs > middle + reach) & (logs >= rest.max() + gap)))
    )


def _are_far_values(values: Array) -> Array:
    distance = np.abs(values - np.median(values))
    ordered = np.sort(distance)[::-1]
    ends = [k for k in range(1, MAX_CODES + 1) if ordered[k] > 0 and ordered[k - 1] >= MIN_DISTANCE_RATIO * ordered[k]]
    return np.asarray(distance >= ordered[ends[0] - 1]) if ends else np.zeros(len(values), dtype=bool)
