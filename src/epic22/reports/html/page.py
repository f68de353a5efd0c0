"""Pages that open offline: nothing is loaded from anywhere, nothing runs, names out of the user's files are escaped."""

import os
import uuid
from pathlib import Path

from markupsafe import Markup, escape

from epic22.core.statistics import Interval
from epic22.core.text import describe_difference, format_figure, format_percent, format_quantity
from epic22.reports.html.words import find_words


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
    environment.filters["percentage"] = format_percent
    environment.filters["quantity"] = format_quantity
    environment.filters["difference"] = describe_difference
    environment.filters["interval"] = _mark_interval
    environment.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    environment.filters["capitalize_first"] = capitalize_first
    environment.filters["find_words"] = find_words
    return environment.get_template(template).render(**values)


def capitalize_first(text: str) -> str:
    """The text with a capital letter, where it does not begin with the name of a metric or column.

    >>> capitalize_first("no other version serves"), capitalize_first("average_precision 0.06 better")
    ('No other version serves', 'average_precision 0.06 better')
    """
    return text if "_" in text.partition(" ")[0] else text[:1].upper() + text[1:]


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
