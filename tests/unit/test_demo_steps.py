"""What the demonstration prints of its features."""

import pytest

from epic22.cli.demo_steps import print_results
from epic22.core.statistics import Interval
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
