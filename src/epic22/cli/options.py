"""Options of the command line: those of `train` and `audit` are made from the fields of the specification."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from epic22.spec.spec_field import SpecField

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
TYPES: Mapping[str, Any] = {"text": str, "texts": list[str], "path": Path, "number": float, "whole": int, "flag": bool}


def with_spec_options(
    fields: Sequence[SpecField], hidden: Sequence[SpecField] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that adds an option for each field to a verb, after the verb's own; `hidden` ones are not in its help.

    The verb gets as `given` the values of those on the command line, by parameter.
    """
    names = [field.parameter for field in fields]

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @wraps(verb)
        def command(context: typer.Context, **values: Any) -> None:
            given = {name: values[name] for name in list_given(context, names)}
            verb(given, **{name: value for name, value in values.items() if name not in names})

        hints = get_type_hints(verb, include_extras=True)
        own = [p.replace(annotation=hints[n]) for n, p in signature(verb).parameters.items() if n != "given"]
        context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *own, *(_build_parameter(field, field in hidden) for field in fields)]
        command.__signature__ = Signature([p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def list_given(context: typer.Context, names: Sequence[str]) -> list[str]:
    """Those of the parameters that are on the command line."""
    return [name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]


def _build_parameter(field: SpecField, hidden: bool) -> Parameter:
    """A field as a parameter for Typer; a flag that is not off by default has a --no- form."""
    key, default = field.key, None if field.form == "texts" else field.default
    can_turn_off = field.form == "flag" and field.default is not False
    option = typer.Option(
        f"{key.option}/--no-{key.option.removeprefix('--')}" if can_turn_off else key.option,
        min=key.minimum,
        max=key.maximum,
        help=key.help,
        rich_help_panel=key.panel,
        hidden=hidden,
    )
    kind = TYPES[field.form] if default is not None else TYPES[field.form] | None
    return Parameter(field.parameter, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])
