"""From versions of values to histories: what each row's own cutoff knew of a series, period by period."""

import numpy as np
import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.time_series import Array, Frequency, Histories, forward_fill


def build_histories(versions: pl.DataFrame, at: pl.DataFrame, frequency: Frequency) -> Histories:
    """The histories known at each row of `at` [entity, cutoff], from `versions` [entity, at, value, known_at].

    A cutoff's origin is the last period that is over by then. Where every value was known when its period was over, and never
    revised, all rows of a series share one line; else each row has a line of its own, of the versions known at its cutoff.

    Raises ColumnError for a row whose entity has no values.
    """
    values = versions.with_columns(pl.Series("period", frequency.ordinals(versions["at"]), dtype=pl.Int64))
    first, last = _find_period_range(values)
    end = frequency.ordinals(at["cutoff"]) - first
    if _is_unrevised(values, frequency):
        entities, lines = _build_matrix(values, first, last)
        line = _locate_entities(entities, at["entity"])
        late = int(end.max(initial=0)) - lines.shape[1]
        if late > 0:
            raise ColumnError(
                f"a cutoff lies {frequency.format_periods(late)} after the last value; the values between are not there."
            )
    else:
        lines, line = _build_lines_by_cutoff(values, at, first, last), np.arange(at.height)
    # Values of periods that are not over were published ahead; an origin ends before them.
    end, names = np.minimum(end, lines.shape[1]), at["entity"].to_numpy()
    return Histories(forward_fill(lines), np.isfinite(lines), line, end, names, first, frequency)


def extract_future_values(versions: pl.DataFrame, at: pl.DataFrame, frequency: Frequency, horizon: int) -> Array:
    """The values of the `horizon` periods after each row's origin, (n, horizon), by their final version; NaN where none is."""
    final = versions.sort("known_at", maintain_order=True).unique(["entity", "at"], keep="last")
    values = final.with_columns(pl.Series("period", frequency.ordinals(final["at"]), dtype=pl.Int64))
    first, last = _find_period_range(values)
    entities, lines = _build_matrix(values, first, last)
    line = _locate_entities(entities, at["entity"])
    place = (frequency.ordinals(at["cutoff"]) - first)[:, None] + np.arange(horizon)[None, :]
    inside = (place >= 0) & (place < lines.shape[1])
    return np.where(inside, lines[line[:, None], np.clip(place, 0, lines.shape[1] - 1)], np.nan)


def _find_period_range(values: pl.DataFrame) -> tuple[int, int]:
    periods = values["period"].to_numpy()
    return (int(periods.min()), int(periods.max())) if len(periods) else (0, 0)


def _is_unrevised(values: pl.DataFrame, frequency: Frequency) -> bool:
    if values.select("entity", "period").is_duplicated().any():
        return False
    over = frequency.starts(values["period"].to_numpy() + 1)
    return bool((values["known_at"] <= over).all())


def _build_matrix(values: pl.DataFrame, first: int, last: int) -> tuple[pl.Series, Array]:
    """Entities by name, and their values by period, (k, T)."""
    entities = values["entity"].unique().sort()
    lines = np.full((len(entities), last - first + 1), np.nan)
    lines[_locate_entities(entities, values["entity"]), values["period"].to_numpy() - first] = values["value"].to_numpy()
    return entities, lines


def _locate_entities(entities: pl.Series, names: pl.Series) -> Array:
    place = entities.search_sorted(names).to_numpy()
    is_present = entities[np.minimum(place, len(entities) - 1)] == names
    if not is_present.all():
        raise ColumnError(f"no values of {names.filter(~is_present)[0]!r}; name a series that is in the table.")
    return np.asarray(place)


def _build_lines_by_cutoff(values: pl.DataFrame, at: pl.DataFrame, first: int, last: int) -> Array:
    """The values by period as each row's own cutoff knew them, (n, T)."""
    lines = np.full((at.height, last - first + 1), np.nan)
    ordered = values.sort("known_at", maintain_order=True)
    rows = at.select("entity", "cutoff").with_row_index("row")
    for (cutoff,), of_cutoff in rows.group_by("cutoff", maintain_order=True):
        latest = ordered.filter(pl.col("known_at") <= cutoff).unique(["entity", "period"], keep="last")
        matches = of_cutoff.join(latest, on="entity", how="inner")
        lines[matches["row"].to_numpy(), matches["period"].to_numpy() - first] = matches["value"].to_numpy()
    return lines
