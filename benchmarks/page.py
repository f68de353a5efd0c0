"""A page with a section for each script: what a script writes stands between its own two marks, the rest is left alone."""

import re
from pathlib import Path

TITLE = "# Benchmarks\n\nEach section is written by the script that it names; do not edit between the marks.\n"


def write_section(page: Path, name: str, text: str) -> None:
    """Put `text` between the marks of section `name`; a new section goes to the end, a new page gets a title.

    Raises ValueError for a page with one of the two marks only, or with a section twice.
    """
    old = page.read_text() if page.exists() else TITLE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(with_section(old, name, text))


def with_section(page: str, name: str, text: str) -> str:
    """The page's text with the section replaced or added.

    >>> with_section("# Title\\n", "a", "new")
    '# Title\\n\\n<!-- begin: a -->\\nnew\\n<!-- end: a -->\\n'
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    if "<!-- begin: " in text or "<!-- end: " in text:
        raise ValueError(f"section {name}: its text holds a mark of a section; leave marks to the page.")
    section = f"{begin}\n{text.strip()}\n{end}"
    counts = page.count(begin), page.count(end)
    if counts == (0, 0):
        return f"{page.rstrip()}\n\n{section}\n"
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", page, flags=re.DOTALL)
    if counts != (1, 1) or found is None:
        raise ValueError(f"section {name}: expected {begin} and then {end} once each, found {counts[0]} and {counts[1]}.")
    return page[: found.start()] + section + page[found.end() :]
