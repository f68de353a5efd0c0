"""Every template of a page: it loads nothing, runs nothing, and escapes what it is given."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from epic22.core.evaluation.metrics import BY_NAME, KS_STATISTIC, TOP_DECILE_LIFT
from epic22.reports.html import page
from epic22.reports.html.page import capitalize_first, render_page, write_atomically
from epic22.reports.html.words import find_words

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


@pytest.mark.parametrize(
    "metric", sorted({*BY_NAME, TOP_DECILE_LIFT.name, KS_STATISTIC.name, "skill", "pinball", "mase", "rmsse", "mape", "coverage"})
)
def test_a_page_with_the_name_of_a_metric_says_in_plain_words_what_that_is(metric: str) -> None:
    meanings = [meaning for word, meaning in find_words(f"<p>{metric}: 0.1</p>") if word.lower() == metric]
    assert len(meanings) == 1
    assert "_" not in meanings[0]


@pytest.mark.parametrize(
    "word", ["SHAP", "odds", "Holm's correction", "jackknife", "cluster", "entity", "quarantine", "the drift"]
)
def test_a_word_of_statistics_that_pages_use_is_explained(word: str) -> None:
    assert [shown for shown, _ in find_words(f"<p>of {word}</p>")] == [word]


def test_only_words_that_a_page_shows_are_explained_and_parts_of_others_are_none() -> None:
    page = "<style>.champion{}</style><p>average_<wbr>precision</p><svg><text>Folds</text></svg> out-of-fold, Brier skill"
    assert [word for word, _ in find_words(page)] == ["average_precision", "brier skill", "fold", "out of fold"]


def test_a_sentence_gets_a_capital_letter_and_a_name_of_code_is_left_as_it_is() -> None:
    assert capitalize_first("no other version serves") == "No other version serves"
    assert capitalize_first("average_precision 0.06 better") == "average_precision 0.06 better"


def test_a_page_is_written_whole_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    assert write_atomically(path, "after <b>").read_text(encoding="utf-8") == "after <b>"
    assert list(tmp_path.iterdir()) == [path]
