"""Classes that no split can both train and test on: they fill too few of the units that stay whole (groups, periods, rows)."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from epic22.core.targets import Array

MAX_SHARE = 0.05
"""Rare classes with more of the rows than this together are not left out: the user has to say what is to become of them."""

MIN_CLASSES = 2


@dataclass(frozen=True)
class Units:
    """The unit of each row, codes (n,), what it is called, and in how many of them a class must occur."""

    codes: Array
    noun: str
    min_units: int


@dataclass(frozen=True)
class RareClass:
    """A class, its rows, and the units that it occurs in."""

    name: str
    n_rows: int
    n_units: int


def find_rare_classes(names: pl.Series, units: Units) -> tuple[RareClass, ...]:
    """The classes that occur in too few units to be trained and tested on, the rarest first.

    Empty where they have too many of the rows to be left out, or fewer than two classes would remain.

    >>> import numpy as np
    >>> names = pl.Series(["a", "b"] * 30 + ["c"])
    >>> find_rare_classes(names, Units(np.arange(61), "row", 5))
    (RareClass(name='c', n_rows=1, n_units=1),)
    """
    frame = pl.DataFrame({"name": names, "unit": units.codes})
    counts = frame.group_by("name").agg(n_rows=pl.len(), n_units=pl.col("unit").n_unique()).sort("n_rows", "name")
    rare = counts.filter(pl.col("n_units") < units.min_units)
    if counts.height - rare.height < MIN_CLASSES or rare["n_rows"].sum() > MAX_SHARE * len(names):
        return ()
    return tuple(RareClass(str(name), int(n_rows), int(n_units)) for name, n_rows, n_units in rare.iter_rows())


def describe_rare_classes(label: str, rare: Sequence[RareClass], units: Units) -> str:
    """The note about classes that were left out, and what it takes to keep them."""
    places = ("" if units.noun == "row" else f" in {_count(one.n_units, units.noun)}" for one in rare)
    listed = ", ".join(f"{one.name!r} ({_count(one.n_rows, 'row')}{place})" for one, place in zip(rare, places, strict=True))
    return (
        f"{label}: too rare to be trained and tested on, so left out: {listed}. That takes {units.min_units} {units.noun}s with "
        "the class; bring more of it, or give its rows another class."
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
