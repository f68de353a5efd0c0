"""A field of a training's options as command line, files and keywords need it, and the settings of a single column."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from epic22.core.column import ColumnOverride
from epic22.core.errors import UserError
from epic22.spec.key import Form, Key, clean_texts

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class SpecField:
    """A field as options, files and keywords need it: its place, the form of its value, its choices."""

    section: str
    name: str
    key: Key
    form: Form
    list_choices: Callable[[], tuple[str, ...]]
    default: Any

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices there are; none where any text is valid."""
        return self.list_choices()

    @property
    def path(self) -> KeyPath:
        """The key's path in the file."""
        return (self.section, self.name) if self.section else (self.name,)

    @property
    def parameter(self) -> str:
        """The keyword of the Python call: the option's name, the field's where there is no option."""
        return self.key.option.removeprefix("--").replace("-", "_") or self.name


def describe_field(section: str, name: str, annotation: Any, key: Key, default: Any) -> SpecField:
    """A field with the form and the choices that its type says."""
    kinds = [part for part in get_args(annotation) if part is not NoneType]
    kind = kinds[0] if NoneType in get_args(annotation) else annotation
    if get_origin(kind) is Literal:
        return SpecField(section, name, key, "text", partial(get_args, kind), default)
    forms: dict[Any, Form] = {Path: "path", bool: "flag", int: "whole", float: "number", str: "text"}
    form = "texts" if get_origin(kind) is tuple else forms[kind]
    return SpecField(section, name, key, form, key.list_choices, default)


COLUMN_FIELDS = tuple(
    describe_field("columns", name, get_type_hints(ColumnOverride)[name], Key(""), getattr(ColumnOverride, name))
    for name in ("dtype", "unit", "about", "low", "high", "levels", "role", "decimal", "day_first")
)
"""The settings of a column, in the order of the file."""


def read_column(name: Any, settings: Any) -> ColumnOverride:
    """The record of a column. Raises UserError where the name is no text, and for a setting that is unknown or does not fit."""
    place, keys = f"columns.{name}", [one.name for one in COLUMN_FIELDS]
    if not isinstance(name, str):
        raise UserError(f"{place}: expected the name of a column, found {name!r}.")
    if not isinstance(settings, Mapping):
        raise UserError(f"{place}: expected a record of {', '.join(keys)}, found {settings!r}.")
    types, values = get_type_hints(ColumnOverride), dict[str, Any]()
    for key, value in settings.items():
        if key not in keys:
            raise UserError(f"{place}.{key}: not known here; there are {', '.join(keys)}.")
        kind: Any = Annotated[types[key], Key("")]
        try:
            values[key] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{place}.{key}: found {value!r}; {message}.") from None
    return ColumnOverride(clean_texts(name), **values)
