"""Options in groups: a verb takes one record of options for each concern, while the command line sees each option by itself."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def flatten_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as Typer wants it: the fields of every record among its parameters are parameters of their own."""
    hints = get_type_hints(verb, include_extras=True)
    records: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    flat: list[Parameter] = []
    for name, parameter in signature(verb).parameters.items():
        flat += _list_options(records[name]) if name in records else [parameter.replace(annotation=hints[name])]

    @wraps(verb)
    def command(**given: Any) -> None:
        groups = {name: record(**{f.name: given.pop(f.name) for f in fields(record)}) for name, record in records.items()}
        verb(**given, **groups)

    command.__signature__ = Signature([p.replace(kind=Parameter.KEYWORD_ONLY) for p in flat])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return command


def _list_options(record: Any) -> list[Parameter]:
    """A parameter for each field, with its default."""
    hints = get_type_hints(record, include_extras=True)
    return [Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]) for f in fields(record)]
