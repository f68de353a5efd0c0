"""From versions of values to histories: what each row's own cutoff knew of a series, period by period."""

import numpy as np
import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.history import Array, Frequency, Histories, carried_forward


def known_histories(versions: pl.DataFrame, at: pl.DataFrame, frequency: Frequency) -> Histories:
    """The histories known at each row of `at` [entity, cutoff], from `versions` [entity, at, value, known_at].

    A cutoff's origin is the last period that is over by then. Where every value was known when its period was over, and never
    revised, all rows of a series share one line; else each row has a line of its own, of the versions known at its cutoff.

    Raises ColumnError for a row whose entity has no values.
    """
    placed = versions.with_columns(pl.Series("period", frequency.ordinals(versions["at"]), dtype=pl.Int64))
    first, last = _ends(placed)
    end = frequency.ordinals(at["cutoff"]) - first
    if _never_revised(placed, frequency):
        entities, lines = _matrix(placed, first, last)
        line = _places(entities, at["entity"])
        return Histories(
            carried_forward(lines),
            np.isfinite(lines),
            line,
            np.minimum(end, lines.shape[1]) if len(end) and end.max() <= lines.shape[1] else _refuse_late(end, lines, frequency),
            at["entity"].to_numpy(),
            first,
            frequency,
        )
    return _of_vintages(placed, at, end, first, last, frequency)


def _refuse_late(end: Array, lines: Array, frequency: Frequency) -> Array:
    late = int(end.max()) - lines.shape[1]
    raise ColumnError(f"a cutoff lies {frequency.noun_of(late)} after the last value; the values between are not there.")


def later_values(versions: pl.DataFrame, at: pl.DataFrame, frequency: Frequency, horizon: int) -> Array:
    """The values of the `horizon` periods after each row's origin, (n, horizon), by their final version; NaN where none is."""
    final = versions.sort("known_at", maintain_order=True).unique(["entity", "at"], keep="last")
    placed = final.with_columns(pl.Series("period", frequency.ordinals(final["at"]), dtype=pl.Int64))
    first, last = _ends(placed)
    entities, lines = _matrix(placed, first, last)
    line = _places(entities, at["entity"])
    place = (frequency.ordinals(at["cutoff"]) - first)[:, None] + np.arange(horizon)[None, :]
    inside = (place >= 0) & (place < lines.shape[1])
    return np.where(inside, lines[line[:, None], np.clip(place, 0, lines.shape[1] - 1)], np.nan)


def _ends(placed: pl.DataFrame) -> tuple[int, int]:
    periods = placed["period"].to_numpy()
    return (int(periods.min()), int(periods.max())) if len(periods) else (0, 0)


def _never_revised(placed: pl.DataFrame, frequency: Frequency) -> bool:
    if placed.select("entity", "period").is_duplicated().any():
        return False
    over = frequency.starts(placed["period"].to_numpy() + 1)
    return bool((placed["known_at"] <= over).all())


def _matrix(placed: pl.DataFrame, first: int, last: int) -> tuple[pl.Series, Array]:
    """Entities by name, and their values by period, (k, T)."""
    entities = placed["entity"].unique().sort()
    lines = np.full((len(entities), last - first + 1), np.nan)
    lines[_places(entities, placed["entity"]), placed["period"].to_numpy() - first] = placed["value"].to_numpy()
    return entities, lines


def _places(entities: pl.Series, wanted: pl.Series) -> Array:
    place = entities.search_sorted(wanted).to_numpy()
    found = entities[np.minimum(place, len(entities) - 1)] == wanted
    if not found.all():
        raise ColumnError(f"no values of {wanted.filter(~found)[0]!r}; name a series that is in the table.")
    return np.asarray(place)


def _of_vintages(placed: pl.DataFrame, at: pl.DataFrame, end: Array, first: int, last: int, frequency: Frequency) -> Histories:
    lines = np.full((at.height, last - first + 1), np.nan)
    ordered = placed.sort("known_at", maintain_order=True)
    rows = at.select("entity", "cutoff").with_row_index("row")
    for (cutoff,), of_cutoff in rows.group_by("cutoff", maintain_order=True):
        known = ordered.filter(pl.col("known_at") <= cutoff).unique(["entity", "period"], keep="last")
        seen = of_cutoff.join(known, on="entity", how="inner")
        lines[seen["row"].to_numpy(), seen["period"].to_numpy() - first] = seen["value"].to_numpy()
    # Values of periods that are not over were published ahead; an origin ends before them.
    return Histories(
        carried_forward(lines),
        np.isfinite(lines),
        np.arange(at.height),
        np.minimum(end, lines.shape[1]),
        at["entity"].to_numpy(),
        first,
        frequency,
    )
