"""The page of pictures opens offline, and `epic22 sample` writes a whole folder."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from epic22.cli.main import app
from epic22.core.errors import UserError
from epic22.reports.figures.simulation import FIGURES
from epic22.reports.html.simulation import render_simulation_page
from epic22.simulator.portfolio import Portfolio, PortfolioSize, simulate

TINY = PortfolioSize(
    "tiny", properties=6, metros=2, zips=3, units=110, reading_days=9, years_of_ledger=4, years_of_burn_in=1, replicates=2
)


@pytest.fixture(scope="module")
def portfolio() -> Portfolio:
    return simulate(TINY, seed=1)


@pytest.mark.slow
def test_the_page_loads_nothing_and_is_the_same_text_each_time(portfolio: Portfolio) -> None:
    page = render_simulation_page(portfolio, "A tiny portfolio")
    few = FIGURES[3:5]
    assert render_simulation_page(portfolio, "Twice", few) == render_simulation_page(portfolio, "Twice", few)
    assert page.count("<svg") == len(FIGURES)
    assert "Simulated." in page
    assert not re.search(r"(src|href)=\"(?!#)", re.sub(r"xlink:href=\"#[^\"]*\"", "", page))
    assert "<script" not in page


def test_a_title_is_text_and_never_markup(portfolio: Portfolio) -> None:
    assert "<b>" not in render_simulation_page(portfolio, "<b>bold</b>", pictures=())


@pytest.mark.slow
def test_sample_writes_tables_truth_pictures_and_a_word_on_what_they_are(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sample", "--folder", str(tmp_path), "--layout", "parquet", "--seed", "1"])
    assert done.exit_code == 0
    assert len(list((tmp_path / "tables").glob("*.parquet"))) == 13
    assert len(list((tmp_path / "truth").glob("*.parquet"))) == 9
    assert (tmp_path / "portfolio.html").stat().st_size > 50_000
    assert "simulated" in (tmp_path / "README.txt").read_text()


def test_unknown_faults_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sample", "--folder", str(tmp_path / "new"), "--fault", "echo"])
    assert isinstance(done.exception, UserError)
    assert not (tmp_path / "new").exists()
