"""Values and reasons in plain words: units, percentages, dates, yes and no; odds for classes, amounts for values."""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.predictions import predict_rows
from tests.trained import opened, trained

from epic22.core.statistics import UNDEFINED_INTERVAL, Interval
from epic22.core.task import Column, Dtype
from epic22.core.text import describe_amount, describe_difference, describe_odds, format_percent, format_time, format_value

VALUES: list[tuple[Dtype, str | None, Any, str]] = [
    ("int", None, 4, "4"),
    ("int", None, 1987, "1987"),
    ("int", None, 125_193, "125,193"),
    ("int", "year", 1987, "1987"),
    ("float", "year", 1987.0, "1987"),
    ("int", "days", 1, "1 day"),
    ("float", "days", 1.5, "1.5 days"),
    ("float", "months of rent", 1.0, "1 month of rent"),
    ("float", "months", 0.0, "0 months"),
    ("float", "sd", 1.0, "1 standard deviation"),
    ("float", "sd", 2.5, "2.5 standard deviations"),
    ("float", "m/s", 2.34567, "2.346 m/s"),
    ("float", "fraction", 0.384, "38 %"),
    ("int", "fraction", 1, "100 %"),
    ("float", "fraction", -0.0301, "-3.0 %"),
    ("float", "fraction", 0.0004, "0.04 %"),
    ("money", "EUR", 1250.0, "1,250 EUR"),
    ("money", None, 99.5, "99.50"),
    ("bool", None, True, "yes"),
    ("bool", None, 0.0, "no"),
    ("bool", None, "true", "yes"),
    ("category", None, "brook", "brook"),
    ("category", "years", "5", "5"),
    ("time", None, "2019-05-01T00:00:00", "2019-05-01"),
    ("time", None, datetime(2019, 5, 1, 13), "2019-05-01 13:00"),
    ("time", None, 17897.0, "2019-01-01"),
    ("time", None, np.float32(17897.5).item(), "2019-01-01 12:00"),
    ("time", None, None, "missing"),
    ("float", "days", math.nan, "missing"),
    ("category", None, None, "missing"),
    ("bool", None, None, "missing"),
]


@pytest.mark.parametrize(("dtype", "unit", "value", "words"), VALUES)
def test_a_value_is_said_as_people_say_it(dtype: Dtype, unit: str | None, value: Any, words: str) -> None:
    assert format_value(Column("x", dtype, unit), value) == words


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (0.32, "raises the odds of leaving by 38 %"),
        (-0.32, "lowers the odds of leaving by 27 %"),
        (0.0005, "raises the odds of leaving by 0.05 %"),
        (math.log(2.4), "multiplies the odds of leaving by 2.4"),
        (-math.log(2.4), "divides the odds of leaving by 2.4"),
        (8.0, "multiplies the odds of leaving by 2,981"),
        (-900.0, f"divides the odds of leaving by {math.exp(50):,.0f}"),
    ],
)
def test_a_part_of_the_log_odds_is_told_as_odds(part: float, words: str) -> None:
    assert describe_odds(part, "leaving") == words


@pytest.mark.parametrize(
    ("part", "unit", "words"),
    [
        (12.25, None, "adds 12.25"),
        (-125_193.4, "EUR", "takes off 125,193 EUR"),
        (0.02, "fraction", "adds 2 percentage points"),
        (-1.0, "days", "takes off 1 day"),
    ],
)
def test_a_part_of_a_value_is_told_in_its_unit(part: float, unit: str | None, words: str) -> None:
    assert describe_amount(part, unit) == words


def test_a_text_that_is_no_time_stays_as_it_is() -> None:
    assert format_time("soon") == "soon"
    assert format_percent(0.0) == "0 %"


def test_a_rows_reasons_use_about_and_never_the_number_behind_a_date(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    version, bundle = opened(store)
    told = {"wear": ("wear of the pads", "mm"), "fitted on": ("day of fitting", None), "indoors": ("stands indoors", None)}
    columns = tuple(
        replace(c, about=told[c.name][0], unit=told[c.name][1]) if c.name in told else c for c in bundle.schema.columns
    )
    inputs = tuple(column for column in columns if column.role == "input")
    named = replace(
        bundle, schema=replace(bundle.schema, columns=columns), preprocessor=replace(bundle.preprocessor, columns=inputs)
    )
    texts: dict[str, set[str]] = {}
    rows = [
        {"wear": 0.01 * wear, "load <b>$kN$</b>": None, "maker": maker, "indoors": True, "fitted on": datetime(2019, 5, 1)}
        for wear in (-200, 0, 1, 200)
        for maker in ("brook", "zeta", None)
    ]
    for prediction in predict_rows(version, named, rows):
        assert sum(r.contribution for r in prediction.reasons) == pytest.approx(prediction.score.value, abs=1e-9)
        for reason in prediction.reasons:
            texts.setdefault(str(reason.column), set()).add(reason.text.split(":")[0])
    assert "wear of the pads is 2 mm" in texts["wear"]
    assert "load <b>$kN$</b> is missing" in texts["load <b>$kN$</b>"]
    assert texts["maker"] >= {"maker is brook", "maker is missing", "maker is zeta, which training never saw"}
    assert texts.get("fitted on", set()) <= {"day of fitting is 2019-05-01"}
    assert texts.get("indoors", set()) <= {"stands indoors is yes"}
    assert texts.get("fitted on") or texts.get("indoors")


@pytest.mark.slow
def test_what_many_classes_gain_is_not_told_as_a_figure(tmp_path: Path) -> None:
    _, store = trained(tmp_path, "multiclass")
    (prediction,) = predict_rows(*opened(store), [{"wear": 3.0, "load <b>$kN$</b>": -2.0}])
    assert prediction.reasons[1].text.endswith("makes high likelier")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Interval(-0.0261, -0.07, 0.012), "0.0261 worse (-0.012 … 0.07)"),
        (Interval(-0.3, -0.5, -0.1), "0.3 worse (0.1 … 0.5)"),
        (Interval(-0.3, -0.5, 0.0), "0.3 worse (0 … 0.5)"),
        (Interval(0.3, -0.1, 0.7), "0.3 better (-0.1 … 0.7)"),
        (Interval(0.0, 0.0, 0.0), "neither better nor worse (0 … 0)"),
        (UNDEFINED_INTERVAL, "neither known to be better nor worse"),
    ],
)
def test_a_difference_is_said_in_the_direction_that_it_has_with_an_amount_above_zero(difference: Interval, words: str) -> None:
    assert describe_difference(difference) == words
