"""Values of equipment that know its failures: filled or overwritten after the event under a `known_at` from before it.

Without the tables of an earlier ingest this can only be seen in how a value goes with the number of failures. A cause makes each
failure likelier, so pieces with two failures differ from those with one as those with one from those with none. A value written
because there had been a failure goes with the first and not with the second.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy

from epic22.core.quality.finding import SIGNIFICANCE, DeclaredTables, Finding
from epic22.core.tables.canonical import EQUIPMENT, KNOWN_AT
from epic22.core.task import Array, Column

MIN_PIECES = 60
MIN_FAILED = 20
MIN_AUC = 0.62
MIN_PLAIN_AUC = 0.7
"""With too few second failures to tell a cause from a consequence, only a value as telling as this is mentioned."""

N_AGE_BANDS = 3
MAX_SECOND_SHARE = 0.6
"""A value is hindsight where the second failure adds, with 95 % confidence, less than this share of what the first one did."""


@dataclass(frozen=True)
class FailureSteps:
    """How much a value differs (in its own standard deviations) between pieces with one failure and none, with two and one."""

    first: float
    first_error: float
    second: float
    second_error: float
    area: float
    counts: tuple[int, int, int]


def audit_post_event_values(declared: DeclaredTables) -> tuple[Finding, ...]:
    """Columns of `equipment`, known since its installation, that tell which pieces failed and not how often."""
    needed = ("equipment_id", "kind", "priority", "opened_at")
    if not (
        declared.has_columns("work_orders", *needed) and declared.has_columns("equipment", "equipment_id", "kind", "installed_on")
    ):
        return ()
    rows = _count_failures(declared)
    if rows.height < MIN_PIECES:
        return ()
    own = [c for c in EQUIPMENT.columns if c.role != "id" and c.known_when is None and c.name not in ("kind", "installed_on")]
    columns = [c for c in own if declared.has_columns("equipment", c.name) and rows[c.name].n_unique() > 1]
    strata = _compute_strata(rows)
    findings = [
        _check_column(rows, column, what, values, strata, len(columns))
        for column in columns
        for what, values in _list_column_values(rows, column)
    ]
    return tuple(finding for finding in findings if finding is not None)


def _count_failures(declared: DeclaredTables) -> pl.DataFrame:
    """The newest version of each piece with `failures`, its urgent repairs since that version was known."""
    pieces = declared.select_newest(EQUIPMENT)
    urgent = (pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"])
    orders = (
        declared.frames["work_orders"].filter(urgent).select("work_order_id", "equipment_id", "opened_at").unique("work_order_id")
    )
    repairs = orders.join(pieces.select("equipment_id", KNOWN_AT), on="equipment_id").filter(
        pl.col("opened_at") >= pl.col(KNOWN_AT)
    )
    counts = repairs.group_by("equipment_id").agg(pl.len().alias("failures"))
    return pieces.join(counts, on="equipment_id", how="left", maintain_order="left").with_columns(pl.col("failures").fill_null(0))


def _compute_strata(rows: pl.DataFrame) -> Array:
    """Kind and age band of each piece as a number: both are causes, and go with many other values."""
    age = pl.col("installed_on").rank().over("kind") / pl.len().over("kind")
    band = (age * N_AGE_BANDS).ceil().clip(1, N_AGE_BANDS)
    return rows.select(pl.struct(pl.col("kind"), band.alias("band")).rank("dense")).to_series().to_numpy() - 1


def _list_column_values(rows: pl.DataFrame, column: Column) -> list[tuple[str, Array]]:
    """What a column says, as numbers: whether it is filled, and, where it is, its rank among the pieces of its kind."""
    series, views = rows[column.name], []
    if series.null_count():
        views.append(("being filled", series.is_not_null().cast(pl.Float64).to_numpy()))
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        value = pl.col(column.name)
        ranks = rows.select((value.rank().over("kind") / (value.count().over("kind") + 1)).cast(pl.Float64))
        views.append(("its value", scipy.stats.norm.ppf(ranks.to_series().fill_null(float("nan")).to_numpy())))
    return views


def _check_column(rows: pl.DataFrame, column: Column, what: str, values: Array, strata: Array, n_tests: int) -> Finding | None:
    is_known = np.isfinite(values)
    steps = _compute_steps(values[is_known], rows["failures"].to_numpy()[is_known], strata[is_known])
    if steps is None or steps.area < MIN_AUC:
        return None
    p_value = 2 * scipy.stats.norm.sf(abs(steps.first) / steps.first_error) * n_tests * 2
    if p_value > SIGNIFICANCE:
        return None
    enough = steps.counts[2] >= MIN_FAILED
    upper = steps.second * np.sign(steps.first) + 1.645 * steps.second_error
    if (enough and upper > MAX_SECOND_SHARE * abs(steps.first)) or (not enough and steps.area < MIN_PLAIN_AUC):
        return None
    none, once, often = steps.counts
    evidence = (
        f"{what} tells the {once + often:,} pieces that failed after its known_at from the {none:,} that did not, with a ROC AUC "
        f"of {steps.area:.2f} among pieces of one kind and age (chance {max(p_value, 1e-99):.0e}); a first failure moves it by "
        f"{steps.first:+.2f} standard deviations, a second by {steps.second:+.2f} ± {steps.second_error:.2f} ({often:,} pieces)"
    )
    message = (
        f"{evidence}: it was written because of the failure."
        if enough
        else f"{evidence}, too few to tell a cause from a consequence."
    )
    return Finding("equipment", column.name, "filled after the event", message, grave=enough)


def _compute_steps(values: Array, failures: Array, strata: Array) -> FailureSteps | None:
    """Differences within strata; None where too few pieces failed."""
    if len(values) < MIN_PIECES or min((failures == 0).sum(), (failures > 0).sum()) < MIN_FAILED:
        return None
    stratum_sizes = np.bincount(strata, minlength=strata.max() + 1)
    centred = values - (np.bincount(strata, weights=values) / np.maximum(stratum_sizes, 1))[strata]
    groups = [centred[failures == 0], centred[failures == 1], centred[failures > 1]]
    spread = float(np.sqrt(np.average([g.var() for g in groups if len(g) > 1], weights=[len(g) for g in groups if len(g) > 1])))
    if spread == 0 or len(groups[1]) < 2:
        return None
    first, first_error = _compute_difference(groups[1], groups[0], spread)
    second, second_error = _compute_difference(groups[2], groups[1], spread) if len(groups[2]) > 1 else (0.0, float("inf"))
    ranked = scipy.stats.mannwhitneyu(np.concatenate(groups[1:]), groups[0])
    area = float(ranked.statistic) / (len(groups[0]) * (len(groups[1]) + len(groups[2])))
    counts = (len(groups[0]), len(groups[1]), len(groups[2]))
    return FailureSteps(first, first_error, second, second_error, max(area, 1 - area), counts)


def _compute_difference(a: Array, b: Array, spread: float) -> tuple[float, float]:
    return float(a.mean() - b.mean()) / spread, float(np.sqrt(1 / len(a) + 1 / len(b)))
