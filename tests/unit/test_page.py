"""Every template of a page: it loads nothing, runs nothing, and escapes what it is given."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from epic22.reports.html import page
from epic22.reports.html.page import render_page, write_atomically

TEMPLATES = sorted(Path(page.__file__).parent.glob("*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
class TestEveryTemplate:
    def test_it_loads_nothing_and_runs_nothing(self, template: Path) -> None:
        text = template.read_text(encoding="utf-8")
        assert re.findall(r"https?://|<script|<link|@import|url\((?!#)|\bsrc=|\bon\w+=", text) == []

    def test_only_style_and_pictures_are_not_escaped(self, template: Path) -> None:
        text = template.read_text(encoding="utf-8")
        assert set(re.findall(r"(\w+) *\| *safe\b", text)) <= {"style", "drawn"}
        assert "autoescape" not in text


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="is undefined"):
        render_page("portfolio.html", title="no results")


def test_a_page_is_written_whole_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    assert write_atomically(path, "after <b>").read_text(encoding="utf-8") == "after <b>"
    assert list(tmp_path.iterdir()) == [path]
