"""Pages that open offline: nothing is loaded from anywhere, nothing runs, names out of the user's files are escaped."""

import os
import uuid
from pathlib import Path

from markupsafe import Markup, escape

from epic22.core.statistics import Interval
from epic22.core.text import describe_difference, format_figure


def render_page(template: str, **values: object) -> str:
    """The template of that name with the values, in the style of all pages; a value that the template lacks is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = format_figure
    environment.filters["difference"] = describe_difference
    environment.filters["interval"] = _mark_interval
    environment.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template(template).render(**values)


def _mark_interval(interval: Interval) -> Markup:
    """A figure with its ends below it; a dash alone where nothing is known.

    >>> print(_mark_interval(Interval(float("nan"), float("nan"), float("nan"))))
    –
    """
    if not interval.is_defined:
        return Markup(format_figure(None))
    return Markup('{}<span class="interval">{}</span>').format(
        format_figure(interval.value), interval.ends.replace("… ", "…\u00a0")
    )


def write_atomically(path: Path, text: str) -> Path:
    """Write a text beside its place and move it there: a reader never meets half a file."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path
