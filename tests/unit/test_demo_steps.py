"""What the demonstration prints of its features, and its page."""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from epic22.cli.demo_steps import print_results
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import PredictedValue, Prediction, PredictionScore
from epic22.core.statistics import Interval
from epic22.reports.html.portfolio import PortfolioPage, headline, lead, write_portfolio_report
from epic22.services.decide import DecisionList, ListedCase
from epic22.services.portfolio import FeatureResult

UPKEEP = FeatureResult(
    name="predictive_maintenance",
    about="failures of equipment",
    metric="average_precision",
    rows=900,
    constant=0.01754,
    incumbent=0.01826,
    champion=0.08024,
    family="linear",
    status="proven",
    oracle=0.5348,
    gain=Interval(0.062, 0.0447, 0.0793),
    shortfall=Interval(-0.455, -0.49, -0.419),
)


def test_no_word_of_the_features_is_broken_on_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_results([UPKEEP])
    table = capsys.readouterr().out.partition("Champions beside")[0]
    for word in ("predictive_maintenance", "average", "precision", "nothing", "rule", "champion", "best", "0.5348"):
        assert word in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_champion_is_better_or_worse_than_the_rule_and_the_best_by_an_amount_above_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_results([UPKEEP])
    line = (
        "predictive_maintenance: 0.062 better (0.0447 … 0.0793) than the rule; 0.455 worse (0.419 … 0.49) than the best possible."
    )
    assert line in capsys.readouterr().out


def test_a_gain_without_an_interval_is_named_among_those_that_are_not_certain() -> None:
    unknown = replace(UPKEEP, name="market_intelligence", gain=Interval(0.1, math.nan, math.nan))
    assert headline([UPKEEP, unknown]) == "1 of 2 champions are certainly better than the rule of today"
    assert lead([UPKEEP, unknown]).startswith("Not certain: market_intelligence.")
    assert lead([UPKEEP]).startswith("Each by an interval above zero")


def test_the_page_shows_the_probability_that_a_list_is_ranked_by(tmp_path: Path) -> None:
    model = ModelVersion("maintenance_hazard", "1", "hazard", "a" * 64, "b" * 64, "proven", "")
    week, month = (
        PredictedValue("failure", days, p, expected_loss=loss) for days, p, loss in ((7.0, 0.011, None), (30.0, 0.25, 375.0))
    )
    prediction = Prediction("E1", None, (week, month), PredictionScore(0.0, "log-odds"), (), model, "c" * 64)
    listed = DecisionList(
        "maintenance_hazard", model, datetime(2026, 1, 5), 1, 9, (ListedCase(1, prediction, 262.5),), 262.5, False
    )
    page = write_portfolio_report(tmp_path / "page.html", PortfolioPage("Sample", [UPKEEP], [listed], [], [])).read_text()
    assert '<td class="number">25 %</td>' in page
    assert "1.1 %" not in page
