"""JSON of frozen records: a view declares which keys are shown of each; all other values follow one rule."""

import math
from collections.abc import Callable, Mapping
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
    """One key of a view and how its value is read from the record.

    `is_optional`: left out where the value is None. `is_merged`: the value is itself an object, whose keys stand here.
    """

    name: str
    read: Callable[[Any], object]
    is_optional: bool = False
    is_merged: bool = False


@dataclass(frozen=True)
class View:
    """What JSON shows of a record of a class: its keys, in their order."""

    record: type
    keys: tuple[ViewKey, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that always stand in the object by themselves."""
        return tuple(key.name for key in self.keys if not (key.is_optional or key.is_merged))


Views = Mapping[type, View]
"""Views by the class of the record."""

NO_VIEWS: Views = {}


def view(record: type[Record], keys: str, **computed: Callable[[Record], object]) -> View:
    """The view with these keys, in this order.

    A key is an attribute of the record (`rows`), an attribute under another name (`folds=plan`, `unit=sample.unit`) or one of
    `computed`. With `?` behind the name it is left out where it is None; with `*` before it its own keys stand in its place.
    Raises TypeError for a key that the record has no attribute for, and for a computed value without a key.

    >>> from fractions import Fraction
    >>> half = view(Fraction, "over=numerator under? percent", under=lambda f: None, percent=lambda f: 100 * float(f))
    >>> to_json(Fraction(1, 2), {Fraction: half})
    {'over': 1, 'percent': 50.0}
    """
    parsed = tuple(_parse_key(record, text, computed) for text in keys.split())
    unused = set(computed) - {key.name for key in parsed}
    if unused:
        raise TypeError(f"the view of {record.__name__} computes {sorted(unused)} and shows no such key.")
    return View(record, parsed)


def collect_views(*views: View) -> dict[type, View]:
    """Views by the class of their record. Raises TypeError where a class has two."""
    by_class = {one.record: one for one in views}
    if len(by_class) < len(views):
        raise TypeError("a class has two views.")
    return by_class


def _parse_key(record: type, text: str, computed: Mapping[str, Callable[[Any], object]]) -> ViewKey:
    key, _, path = text.partition("=")
    name = key.strip("*?")
    read = computed.get(name)
    if read is None:
        attribute = (path or name).split(".")[0]
        if attribute not in getattr(record, "__dataclass_fields__", ()) and not hasattr(record, attribute):
            raise TypeError(f"the view of {record.__name__} shows {attribute!r}, which it does not have.")
        read = attrgetter(path or name)
    return ViewKey(name, read, is_optional=key.endswith("?"), is_merged=key.startswith("*"))


@cache
def _view_fields(record: type) -> View:
    """All fields of a dataclass under their names."""
    return View(record, tuple(ViewKey(field.name, attrgetter(field.name)) for field in fields(record)))


def to_json(value: object, views: Views = NO_VIEWS) -> Any:
    """The value in JSON's own types: records by their view (all fields where there is none), tuples and arrays as lists, times as
    ISO 8601, enumerations by their value, numpy's numbers as numbers, NaN and infinity as None.

    Raises TypeError for what has no JSON form, sets among them, whose order is not defined.

    >>> to_json({"a": (1, float("nan")), "b": PurePath("x")})
    {'a': [1, None], 'b': 'x'}
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    shown = views.get(kind)
    if shown is not None:
        return _show(value, shown, views)
    if isinstance(value, list | tuple):
        return [to_json(one, views) for one in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(one, views) for key, one in value.items()}
    if is_dataclass(kind):
        return _show(value, _view_fields(kind), views)
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
    for key in shown.keys:
        value = key.read(record)
        if value is None and (key.is_optional or key.is_merged):
            continue
        if key.is_merged:
            content |= to_json(value, views)
        else:
            content[key.name] = to_json(value, views)
    return content
