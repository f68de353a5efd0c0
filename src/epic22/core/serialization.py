"""JSON of frozen records: a view declares which keys are shown of each; all other values follow one rule.

>>> from dataclasses import make_dataclass
>>> Trip = make_dataclass("Trip", ["km", "hours"])
>>> trip = Trip(30.0, 0.5)
>>> to_json(trip)
{'km': 30.0, 'hours': 0.5}
>>> speed = view(Trip, "length=km speed", speed=lambda trip: trip.km / trip.hours)
>>> to_json([trip], collect_views(speed))
[{'length': 30.0, 'speed': 60.0}]
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import Enum
from functools import cache
from operator import attrgetter
from pathlib import PurePath
from typing import Any, TypeVar

Record = TypeVar("Record")


@dataclass(frozen=True)
class ViewKey:
    """One key of a view. `is_optional`: left out where the value is None. `is_merged`: the value is itself an object, whose keys
    stand here."""

    name: str
    is_optional: bool = False
    is_merged: bool = False


@dataclass(frozen=True)
class View:
    """What JSON shows of a record of a class: its keys, in their order; `read` gives the value of each."""

    record: type
    keys: tuple[ViewKey, ...]
    paths: tuple[str, ...]
    read: Callable[[Any], Sequence[object]]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that always stand in the object by themselves."""
        return tuple(key.name for key in self.keys if not (key.is_optional or key.is_merged))


Views = Mapping[type, View]
"""Views by the class of the record."""

NO_VIEWS: Views = {}

PLAIN_TYPES = frozenset((str, int, bool, type(None)))


def view(record: type[Record], keys: str, **computed: Callable[[Record], object]) -> View:
    """The view with these keys, in this order.

    A key is an attribute of the record (`rows`), an attribute under another name (`folds=plan`, `unit=sample.unit`) or one of
    `computed`. With `?` behind the name it is left out where it is None; with `*` before it its own keys stand in its place.
    Raises TypeError for a key that the record has no attribute for, and for a computed value without a key.
    """
    named = [_parse_key(text) for text in keys.split()]
    unused = set(computed) - {key.name for key, _ in named}
    if unused:
        raise TypeError(f"the view of {record.__name__} computes {sorted(unused)} and shows no such key.")
    paths = tuple(path for key, path in named if key.name not in computed)
    for path in paths:
        attribute = path.split(".")[0]
        if attribute not in getattr(record, "__dataclass_fields__", ()) and not hasattr(record, attribute):
            raise TypeError(f"the view of {record.__name__} shows {attribute!r}, which it does not have.")
    readers = [computed.get(key.name) or attrgetter(path) for key, path in named]
    read = attrgetter(*paths) if len(paths) == len(named) > 1 else lambda one: [reader(one) for reader in readers]
    return View(record, tuple(key for key, _ in named), paths, read)


def collect_views(*views: View) -> dict[type, View]:
    """Views by the class of their record. Raises TypeError where a class has two."""
    by_class = {one.record: one for one in views}
    if len(by_class) < len(views):
        raise TypeError("a class has two views.")
    return by_class


def _parse_key(text: str) -> tuple[ViewKey, str]:
    """A key and the attribute that it shows."""
    key, _, path = text.partition("=")
    name = key.strip("*?")
    return ViewKey(name, is_optional=key.endswith("?"), is_merged=key.startswith("*")), path or name


@cache
def _view_fields(record: type) -> View | None:
    """All fields of a dataclass under their names; None for another class."""
    return view(record, " ".join(field.name for field in fields(record))) if is_dataclass(record) else None


def to_json(value: object, views: Views = NO_VIEWS) -> Any:
    """The value in JSON's own types: records by their view (all fields where there is none), tuples and arrays as lists, times as
    ISO 8601, enumerations by their value, numpy's numbers as numbers, NaN and infinity as None.

    Raises TypeError for what has no JSON form, sets among them, whose order is not defined.

    >>> to_json({"a": (1, float("nan")), "b": PurePath("x")})
    {'a': [1, None], 'b': 'x'}
    """
    kind: type = type(value)
    if kind in PLAIN_TYPES:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    shown = views.get(kind) or _view_fields(kind)
    if shown is not None:
        return _show(value, shown, views)
    if isinstance(value, (list, tuple)):
        return [to_json(one, views) for one in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(one, views) for key, one in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return to_json(value.value, views)
    if isinstance(value, PurePath):
        return str(value)
    tolist = getattr(value, "tolist", None)  # arrays and numbers of numpy, which need not be imported for this
    if tolist is not None:
        return to_json(tolist(), views)
    raise TypeError(f"a {kind.__name__} has no JSON form.")


def _show(record: object, shown: View, views: Views) -> dict[str, object]:
    content: dict[str, object] = {}
    for key, value in zip(shown.keys, shown.read(record), strict=True):
        if value is None and (key.is_optional or key.is_merged):
            continue
        if type(value) in PLAIN_TYPES:
            content[key.name] = value
        elif key.is_merged:
            content |= to_json(value, views)
        else:
            content[key.name] = to_json(value, views)
    return content
