"""Records of a parsed mapping file: what each may say, and where in it a mistake is."""

from collections.abc import Sequence
from typing import Any

from epic22.core.errors import FileError
from epic22.core.tables.mapping import suggest_name


def check_record(place: str, content: object, keys: Sequence[str] | None) -> dict[str, Any]:
    """A record with no other keys than these. Raises FileError."""
    if not isinstance(content, dict):
        kind = "nothing" if content in (None, "") else type(content).__name__
        raise FileError(f"{place}: expected a record of names and values, found {kind}.")
    for key in content:
        if keys is not None and key not in keys:
            raise FileError(f"{place}: {key!r} is not known here{suggest_name(str(key), keys)}; there are {', '.join(keys)}.")
    return content


def read_choice(place: str, content: object, choices: Sequence[str]) -> str:
    """One of these words. Raises FileError."""
    if content not in choices:
        raise FileError(f"{place}: {content!r} is not known here; there are {', '.join(choices)}.")
    return str(content)


def read_names(place: str, content: object) -> tuple[str, ...]:
    """A text, or a list of texts. Raises FileError."""
    listed = content if isinstance(content, list) else [content]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise FileError(f"{place}: expected a name, or a list of names.")
    return tuple(listed)


def read_number(place: str, content: object, low: float) -> float:
    """A number of at least `low`. Raises FileError."""
    try:
        number = float(str(content))
    except ValueError:
        number = float("nan")
    if not low <= number < float("inf"):
        raise FileError(f"{place}: {content!r} is no number of at least {low:g}.")
    return number


def to_text(value: object) -> str:
    """A YAML scalar as the text that a file would hold: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)
