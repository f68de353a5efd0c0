"""How a field of a training's options is declared: help, option, bounds, and which job uses it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Form = Literal["text", "texts", "path", "number", "whole", "flag"]

TABLE, USE, SEARCH, SPLIT, PANEL = "The table", "The use", "Search for parameters", "The split", "The panel"
"""The panels of the help, in their order."""

Job = Literal["table", "panel", "feature"]
"""What can be trained: a table of one's own, a panel of series, a feature of the stored tables."""

TABLE_OR_PANEL: tuple[Job, ...] = ("table", "panel")
TABLE_OR_FEATURE: tuple[Job, ...] = ("table", "feature")
PANEL_JOBS: Mapping[str | None, tuple[Job, ...]] = {SEARCH: TABLE_OR_FEATURE, PANEL: ("panel",)}
"""The jobs that use the options of a panel of the help; of another panel a table alone."""


def clean_texts(value: Any) -> Any:
    """A text, or each of a tuple, as names and cells of a file are read: without what surrounds it and is not seen, in NFC.

    >>> clean_texts(("Gro\u0308\u00dfe", "area ")), clean_texts(3)
    (('Größe', 'area'), 3)
    """
    if isinstance(value, tuple):
        return tuple(map(clean_texts, value))
    if not isinstance(value, str) or (value.isascii() and value == value.strip()):
        return value
    from epic22.core.data.names import strip_text_ends  # Polars is loaded only where it is needed

    return strip_text_ends(value)


@dataclass(frozen=True)
class Key:
    """The declaration of a field, beside its type and its default.

    `option` names it on the command line, in the `panel` of the help; a field without one is set in a file or in Python only.
    `list_choices` gives the values allowed, where the type does not say them. `jobs` are those that use it, where they are
    not those of its panel. `in_audit`: `audit` takes it too. `comment` stands above it in a written file.
    """

    help: str
    option: str = ""
    panel: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    list_choices: Callable[[], tuple[str, ...]] = tuple
    jobs: tuple[Job, ...] = ()
    in_audit: bool = False
    comment: str = ""

    def is_used_by(self, job: Job) -> bool:
        """Whether the job uses it; another one refuses it."""
        return job in (self.jobs or PANEL_JOBS.get(self.panel, ("table",)))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema that checks values from Python: one text is a list of one; bounds and choices hold."""
        schema = core_schema.no_info_after_validator_function(self.check_value, handler(source))
        if get_origin(source) is not tuple:
            return schema
        return core_schema.no_info_before_validator_function(self.read_texts, schema)

    def read_texts(self, value: Any) -> Any:
        """Texts as a list: one text is a list of one, nothing a list of none; names to choose from may stand between commas.

        Raises ValueError for texts without a name in them.
        """
        texts = () if value is None else (value,) if isinstance(value, str) else value
        if self.list_choices is tuple or not isinstance(texts, tuple | list) or not all(isinstance(t, str) for t in texts):
            return texts
        names = tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
        if texts and not names:
            raise ValueError(f"names none; expected some of {', '.join(self.list_choices())}, or leave it out")
        return names

    def check_number(self, number: float) -> None:
        """Raise ValueError for a number that is not finite, or out of bounds."""
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError("expected a finite number")
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"expected at least {self.minimum:.12g}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"expected at most {self.maximum:.12g}")

    def check_value(self, value: Any) -> Any:
        """The value, text as `clean_texts` has it. Raises ValueError where it is out of bounds, or none of the choices."""
        value = clean_texts(value)
        if isinstance(value, Path) and "\0" in str(value):
            raise ValueError("expected a path without the sign NUL")
        if isinstance(value, int | float):
            self.check_number(value)
        choices = self.list_choices() if value else ()
        if choices and not set(value) <= set(choices):
            raise ValueError(f"expected some of {', '.join(choices)}")
        return value
