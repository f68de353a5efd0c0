"""Columns as people write them: read by one rule in training, stored, and read alike ever after."""

import math
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.request_model import build_request_model
from epic22.core.column import Column, ColumnOverride, ColumnReading, NumberFormat
from epic22.core.data.column_overrides import infer_with_overrides
from epic22.core.data.column_reading import ReadColumn, ReadingRules, infer_text_column, read_text
from epic22.core.data.column_remarks import MIXED_UNITS, MOSTLY, NEARLY, UNREAD
from epic22.core.data.files import RawTable, read_table
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.schema_inference import Roles, conform_frame, infer_schema
from epic22.core.errors import ColumnError, RowError
from epic22.core.serialization import to_json
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec


def read(values: list[str | None]) -> ReadColumn:
    return infer_text_column(pl.Series("x", values, dtype=pl.String))


def raw(**columns: list[str]) -> RawTable:
    return RawTable("t.csv", pl.DataFrame(columns), "0", "csv", ",", "utf-8")


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["$57,506.86", "-$28,305", "33,730.2"], [57506.86, -28305.0, 33730.2]),
        (["57.506,86 €", "1.234 €", "5 €"], [57506.86, 1234.0, 5.0]),
        (["R$57,507", "R$1"], [57507, 1]),
        (["(57,507)", "28,305", "(1)"], [-57507, 28305, -1]),
        (["51,5", "54,0"], [51.5, 54.0]),
        (["1.234", "1.234,56"], [1234.0, 1234.56]),
        (["1,234", "0,5"], [1.234, 0.5]),
        (["6%", "0.5 %"], [6.0, 0.5]),
        (["20 m2", "106.5 m2"], [20.0, 106.5]),
        (["389 reviews", "1 review"], [389, 1]),
        (["3 BHK", "2 BHK"], [3, 2]),
        (["23\u00a0159,35", "1\u202f200\u202f300,5"], [23159.35, 1200300.5]),
        (["1'234.50", "12\u2019345.5"], [1234.5, 12345.5]),
        (["12,34,567.5", "1,00,000"], [1234567.5, 100000.0]),
        (["\u22123", "4", "5-"], [-3, 4, -5]),
        (["CHF 1'200", "CHF 300"], [1200, 300]),
        (["5 kg", "7.5kg", "8"], [5.0, 7.5, 8.0]),
        (["1.103", "1.246", "609", "712", "840"], [1103, 1246, 609, 712, 840]),
        (["1e-05", "2.5E+3"], [1e-05, 2500.0]),
        (["10,000+", "500+"], [10000, 500]),
        (["12 °C", "-3 °C"], [12, -3]),
        (["1.2M", "900K", "15"], [1_200_000.0, 900_000.0, 15.0]),
        (["₹ 42 Lac", "₹ 1.40 Cr"], [4_200_000.0, 14_000_000.0]),
        (["45%", "0", "12%"], [45, 0, 12]),
        (["1,200 sq ft", "900 sqft"], [1200, 900]),
        (["-5 €", "7.5 €-"], [-5.0, -7.5]),
        (["100,-", "7,50", "1.250,\u2013 €"], [100.0, 7.5, 1250.0]),
        (["CHF 1'200.\u2014", "CHF 9.50"], [1200.0, 9.5]),
        (["\u0661\u0662", "\u0667\u066b\u0665"], [12.0, 7.5]),
        (["\uff11\uff12", "\uff13"], [12, 3]),
        (["\uff11\uff0e\uff15"], [1.5]),
        (["$1,200.00", "$(900.00)", "$ -"], [1200.0, -900.0, 0.0]),
        (["14:30", "09:15", "-0:30"], [14.5, 9.25, -0.5]),
        (["2:15 PM", "12:30 a.m.", "12 pm"], [14.25, 0.5, 12.0]),
        (["100:30:00", "0 days 01:15:00", "1 day, 0:00:00"], [100.5, 1.25, 24.0]),
        (["1h 30m", "45 min", "2 days 1 hr"], [1.5, 0.75, 49.0]),
        (["PT1H30M", "P1D"], [1.5, 24.0]),
        (["1yrs 6mon", "0yrs 3mon"], [1.5, 0.25]),
        (["5'6\"", "6'"], [5.5, 6.0]),
        (["3 1/4", "1/2", "2\u00bd", "5"], [3.25, 0.5, 2.5, 5.0]),
        (['3/4"', '1/8"', "2"], [0.75, 0.125, 2.0]),
        (["1,2 Mio.", "3,5 Mio."], [1_200_000.0, 3_500_000.0]),
        (["900 Tsd. €", "1,2 Mio. €", "950 €"], [900_000.0, 1_200_000.0, 950.0]),
        (["%45,5", "%7"], [45.5, 7.0]),
        (["12 €/m²", "15,50 €/m²", "9 EUR/qm"], [12.0, 15.5, 9.0]),
    ],
)
def test_numbers_are_read_as_people_write_them(texts: list[str | None], numbers: list[float]) -> None:
    column = read(texts)
    assert column.values.to_list() == numbers
    again = read_text(pl.Series("x", texts), "float", column.reading)
    assert again.to_list() == numbers


@pytest.mark.parametrize(
    "texts",
    [
        ["02138", "2138"],
        ["007", "7"],
        ["1E2", "2E3", "100"],
        ["123456789012345678901", "1"],
        ["12-34", "56-78"],
        ["120/80", "130/85"],
        ["1:50", "1:100"],
        ["3:2", "1:0"],
        ["14:30", "1:14:30"],
        ["192.168.0.1", "10.0.0.1"],
        ["5 km", "300 m", "2 days"],
        ["$5", "€7", "£9"],
        ["1.2.3", "2.0.1"],
        ["1-2", "3-4"],
        ["1. Married", "2. Single"],
        ["2. Middle Atlantic"],
        ["\uff10\uff10\uff17", "7"],
    ],
)
def test_names_with_digits_are_no_numbers(texts: list[str | None]) -> None:
    assert read(texts).values.to_list() == texts


@pytest.mark.parametrize(
    ("texts", "times"),
    [
        (["31-12-2023", "01-02-2023"], [datetime(2023, 12, 31), datetime(2023, 2, 1)]),
        (["12/31/23", "1/2/23"], [datetime(2023, 12, 31), datetime(2023, 1, 2)]),
        (["31-Dec-23", "1-Jan-24"], [datetime(2023, 12, 31), datetime(2024, 1, 1)]),
        (["Jan-18", "Feb-19"], [datetime(2018, 1, 1), datetime(2019, 2, 1)]),
        (["2024-W05", "2024-W06"], [datetime(2024, 1, 29), datetime(2024, 2, 5)]),
        (["2024-Q2", "2023-Q4"], [datetime(2024, 4, 1), datetime(2023, 10, 1)]),
        (["13/01/2023", "2023-01-02", "03/01/2023"], [datetime(2023, 1, 13), datetime(2023, 1, 2), datetime(2023, 1, 3)]),
        (["01/01/2018", "01/02/2018", "01/03/2018"], [datetime(2018, 1, 1), datetime(2018, 2, 1), datetime(2018, 3, 1)]),
        (["03/11/2023", "04/11/2023"], [datetime(2023, 3, 11), datetime(2023, 4, 11)]),
        (["1. März 2023", "15. Dez. 2023"], [datetime(2023, 3, 1), datetime(2023, 12, 15)]),
        (["2nd Sept 2023"], [datetime(2023, 9, 2)]),
        (["Mon, 02 Jan 2023", "Tue, 03 Jan 2023"], [datetime(2023, 1, 2), datetime(2023, 1, 3)]),
        (["2023-03-26 01:00:00 UTC", "2023-03-27 01:00:00 UTC"], [datetime(2023, 3, 26, 1), datetime(2023, 3, 27, 1)]),
        (["2024-W05-2", "2024-W06-7"], [datetime(2024, 1, 30), datetime(2024, 2, 11)]),
        (["Mär 24", "Dez. 23"], [datetime(2024, 3, 1), datetime(2023, 12, 1)]),
        (["12-ene-2024", "3-dic-2023"], [datetime(2024, 1, 12), datetime(2023, 12, 3)]),
        (["12 de mar de 2024"], [datetime(2024, 3, 12)]),
        (["3 févr. 2024", "4 juil. 2024"], [datetime(2024, 2, 3), datetime(2024, 7, 4)]),
        (["Q1'24", "Q3'24"], [datetime(2024, 1, 1), datetime(2024, 7, 1)]),
        (["3/1/2024 1:05 p.m.", "3/2/2024 1:05AM"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 2, 1, 5)]),
        (["01.03.2024 00:30 +02:00"], [datetime(2024, 2, 29, 22, 30)]),
        (["2024-03-01 00:30:00-05"], [datetime(2024, 3, 1, 5, 30)]),
        (["25.12.2023 10:30", "1.2.2024 9:05"], [datetime(2023, 12, 25, 10, 30), datetime(2024, 2, 1, 9, 5)]),
        (["2024-07-01 02:30 America/New_York"], [datetime(2024, 7, 1, 6, 30)]),
        (["2024-01-01T00:30+01:00[Europe/Berlin]"], [datetime(2023, 12, 31, 23, 30)]),
        (["3/14/24 2:05 PM EST", "7/14/24 2:05 PM EDT"], [datetime(2024, 3, 14, 19, 5), datetime(2024, 7, 14, 18, 5)]),
        (["Mon Jan 01 2024 00:30:00 GMT+0100 (CET)"], [datetime(2023, 12, 31, 23, 30)]),
        (["Mon Jan 01 00:30:00 UTC 2024"], [datetime(2024, 1, 1, 0, 30)]),
        (["01/Jan/2024:05:00:00 +0200"], [datetime(2024, 1, 1, 3)]),
        (["31.12.2023, 13:00 Uhr"], [datetime(2023, 12, 31, 13)]),
        (["2024\u5e743\u67085\u65e5"], [datetime(2024, 3, 5)]),
        (["2024-02-29 24:00", "2024-02-29T24:00:00+01:00"], [datetime(2024, 3, 1), datetime(2024, 2, 29, 23)]),
        (["FY24", "FY 25"], [datetime(2024, 1, 1), datetime(2025, 1, 1)]),
        (["2010/11", "2011/12", "1999/00"], [datetime(2010, 1, 1), datetime(2011, 1, 1), datetime(1999, 1, 1)]),
        (["2010-11", "2010-12"], [datetime(2010, 11, 1), datetime(2010, 12, 1)]),
        (["Jan18", "Feb18"], [datetime(2018, 1, 1), datetime(2018, 2, 1)]),
        (["May 01", "Sep 24"], [datetime(2001, 5, 1), datetime(2024, 9, 1)]),
        (["1749-01", "2150-12"], [datetime(1749, 1, 1), datetime(2150, 12, 1)]),
        (["1.3.24 13.05", "13.3.24 9.30"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 13, 9, 30)]),
        (["2024-03-01 13.05", "2024-03-13 9h30"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 13, 9, 30)]),
        (["January, 2018", "Feb., 2018"], [datetime(2018, 1, 1), datetime(2018, 2, 1)]),
        (["févr.-18", "août-18", "mai-18"], [datetime(2018, 2, 1), datetime(2018, 8, 1), datetime(2018, 5, 1)]),
        (["01JAN2018", "15FEB2018"], [datetime(2018, 1, 1), datetime(2018, 2, 15)]),
        (["01JAN2018:13:00:00"], [datetime(2018, 1, 1, 13)]),
        (["2018-Jan-01", "2018-Feb-15"], [datetime(2018, 1, 1), datetime(2018, 2, 15)]),
        (["Mar-01-2024", "Apr-15-2024"], [datetime(2024, 3, 1), datetime(2024, 4, 15)]),
        (["1 March, 2024", "15 April, 2024"], [datetime(2024, 3, 1), datetime(2024, 4, 15)]),
        (["1st of March 2024", "22nd of April 2024"], [datetime(2024, 3, 1), datetime(2024, 4, 22)]),
        (["1er mars 2024", "15 avril 2024"], [datetime(2024, 3, 1), datetime(2024, 4, 15)]),
        (["1º de março de 2024", "15 de abril de 2024"], [datetime(2024, 3, 1), datetime(2024, 4, 15)]),
        (["Fr, 01.03.2024", "Sa 02.03.2024"], [datetime(2024, 3, 1), datetime(2024, 3, 2)]),
        (["Fri 01/03/2024", "Wed 13/03/2024"], [datetime(2024, 3, 1), datetime(2024, 3, 13)]),
        (["01.03.2024 (Fr)", "02.03.2024 (Sa)"], [datetime(2024, 3, 1), datetime(2024, 3, 2)]),
        (["Freitag, 1. März 2024", "Samstag, 2. März 2024"], [datetime(2024, 3, 1), datetime(2024, 3, 2)]),
        (["mar. 12 mars 2024", "vendredi 1er mars 2024"], [datetime(2024, 3, 12), datetime(2024, 3, 1)]),
        (["1.3.2024 13.05", "13.3.2024 9.30"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 13, 9, 30)]),
        (["01/03/2024 13h05", "13/03/2024 9h30"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 13, 9, 30)]),
        (["20240301T1305", "20240313T1405"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 13, 14, 5)]),
        (["20240301 13:05", "20240313 14:05"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 13, 14, 5)]),
        (["2024-03-01t13:05:00z", "2024-03-02t13:05:00z"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 2, 13, 5)]),
        (["2024-03-01 13:05:00 Z", "2024-03-02 13:05:00 Z"], [datetime(2024, 3, 1, 13, 5), datetime(2024, 3, 2, 13, 5)]),
        (["2024-03-01 13:05 UTC+1", "2024-03-01 13:05 (UTC+01:00)"], [datetime(2024, 3, 1, 12, 5)] * 2),
        (["2024W053", "2024W061"], [datetime(2024, 1, 31), datetime(2024, 2, 5)]),
        (["KW 5/2024", "KW06 2024"], [datetime(2024, 1, 29), datetime(2024, 2, 5)]),
        (["W05-2024", "2024/W06", "2024 KW 7"], [datetime(2024, 1, 29), datetime(2024, 2, 5), datetime(2024, 2, 12)]),
        (["2024q1", "2024q2"], [datetime(2024, 1, 1), datetime(2024, 4, 1)]),
        (["2024/Q1", "2024.Q2", "2024:Q3"], [datetime(2024, 1, 1), datetime(2024, 4, 1), datetime(2024, 7, 1)]),
        (["Q1/24", "Q2/24"], [datetime(2024, 1, 1), datetime(2024, 4, 1)]),
        (["Q1.2024", "Q2, 2024"], [datetime(2024, 1, 1), datetime(2024, 4, 1)]),
        (["1. Quartal 2024", "2. Quartal 2024"], [datetime(2024, 1, 1), datetime(2024, 4, 1)]),
        (["FY2023-24", "FY2024-25"], [datetime(2023, 1, 1), datetime(2024, 1, 1)]),
        (["2024年3月", "2024年4月"], [datetime(2024, 3, 1), datetime(2024, 4, 1)]),
        (["2024년 3월 1일", "2024년 3월 15일"], [datetime(2024, 3, 1), datetime(2024, 3, 15)]),
        (["2024_03_01", "2024_03_15"], [datetime(2024, 3, 1), datetime(2024, 3, 15)]),
        (["1\u00a0March\u00a02024", "15\u00a0April\u00a02024"], [datetime(2024, 3, 1), datetime(2024, 4, 15)]),
        (["2024\u201303\u201301", "2024\u201303\u201315"], [datetime(2024, 3, 1), datetime(2024, 3, 15)]),
        (["\u0662\u0660\u0662\u0664-\u0660\u0663-\u0660\u0661"], [datetime(2024, 3, 1)]),
        (["01 / 03 / 2024", "13 / 03 / 2024"], [datetime(2024, 3, 1), datetime(2024, 3, 13)]),
        (["2024.03.01.", "2024.03.15."], [datetime(2024, 3, 1), datetime(2024, 3, 15)]),
        (["1 stycznia 2024", "15 marca 2024 r."], [datetime(2024, 1, 1), datetime(2024, 3, 15)]),
        (["paź 2024", "gru 2024"], [datetime(2024, 10, 1), datetime(2024, 12, 1)]),
        (["5 ЯНВАРЯ 2024 г.", "15 марта 2024"], [datetime(2024, 1, 5), datetime(2024, 3, 15)]),
        (["1. ledna 2024", "15. října 2024"], [datetime(2024, 1, 1), datetime(2024, 10, 15)]),
        (["Ağustos 2024", "ŞUBAT 2024"], [datetime(2024, 8, 1), datetime(2024, 2, 1)]),
        (["2024. január 1.", "2024. május 15."], [datetime(2024, 1, 1), datetime(2024, 5, 15)]),
    ],
)
def test_times_are_read_as_people_write_them(texts: list[str | None], times: list[datetime]) -> None:
    column = read(texts)
    assert column.values.to_list() == times
    # One value alone is read as the whole column was.
    assert [read_text(pl.Series("x", [text]), "time", column.reading)[0] for text in texts] == times


@pytest.mark.parametrize("word", ["-", "n/a", "None", "Not Available", "unknown", ".", "N/A", "--"])
def test_a_word_for_missing_among_numbers_or_times_is_missing(word: str) -> None:
    assert read(["5", word, "4"]).values.to_list() == [5, None, 4]
    assert read(["2024-01-05", word]).values.to_list() == [datetime(2024, 1, 5), None]


def test_the_offset_of_a_named_zone_is_an_input_and_an_hour_that_it_skips_is_named_by_its_row() -> None:
    days = [f"2024-{month:02d}-{day:02d} 12:30 America/New_York" for month in range(1, 5) for day in range(1, 26)]
    table = infer_schema(raw(at=days, y=["a", "b"] * 50), Roles("y"))
    assert table.frame["UTC offset of at"].unique().sort().to_list() == [-5.0, -4.0]
    assert any("named zones" in note for note in table.notes)
    with pytest.raises(ColumnError, match=r"'2024-03-10 02:30 America/New_York' in row 3 \(when its clock changes"):
        infer_schema(raw(at=[*days[:2], "2024-03-10 02:30 America/New_York", *days[3:]], y=["a", "b"] * 50), Roles("y"))


@pytest.mark.parametrize(
    "texts",
    [
        ["3.2 \u00b1 0.1", "2.9 \u00b1 0.2"],
        ["2.5\u00d710^4", "1.1\u00d710^5"],
        ["1200 - 1500", "900 - 1000"],
        ["$10k to $20k", "$5k to $9k"],
        ["Jan 01 13:05:10", "Jan 02 13:05:10"],
        ["H1 2024", "H2 2024"],
        ["1. Halbjahr 2024", "2. Halbjahr 2024"],
        ["4/5", "3/5"],
        ["4.5/5", "3/5"],
        ["ca. 80 m²", "ca. 65 m²"],
        ["from $100", "from $200"],
        ["52,5200; 13,4050", "48,1351; 11,5820"],
        ["1.3.", "13.3."],
        ["8x10.5", "6x9"],
        ["14:30", "1:14:30"],
        ["1 kesäkuuta 2024", "3 toukokuuta 2024"],
        ["kesäkuu 2024", "toukokuu 2024"],
    ],
)
def test_numbers_and_times_that_are_not_read_are_told_by_name_and_value(texts: list[str | None]) -> None:
    column = read(texts)
    assert column.values.to_list() == texts
    assert column.remarks == ((UNREAD, f"x ({texts[0]!r})"),)


@pytest.mark.parametrize("texts", [["A12", "B7"], ["555-1234"], ["v1.2.3"], ["T1001", "S2003"], ["MARCH1", "SEP9"]])
def test_codes_and_addresses_are_names_without_a_word(texts: list[str | None]) -> None:
    assert read(texts).remarks == ()


@pytest.mark.parametrize(
    "texts",
    [
        [f"Set {n}" for n in range(1, 13)],
        ["Mar 5", "Apr 12", "Mar 31"],
        [f"{month} {day:02}" for month in ("Jan", "Feb") for day in range(1, 29)],
        ["1.2.3", "1.10.0", "2.0.1"],
        ["1204-1", "1204-2", "3305-12"],
        ["1204_01", "3305_12"],
        ["12-1204", "03-3305"],
        ["4000-10", "5100-02"],
        ["1204/1", "3305/12"],
    ],
)
def test_products_chapters_flats_accounts_and_days_without_a_year_are_no_months(texts: list[str | None]) -> None:
    """They were the Septembers of 2001 to 2012, days of 2003, and months of the years 1204 and 4000, in silence."""
    assert read(texts).values.to_list() == texts


def test_rates_just_above_one_are_no_januaries() -> None:
    assert read(["1.1952", "1.2013", "1.1987", "1.2045"]).values.to_list() == [1.1952, 1.2013, 1.1987, 1.2045]
    assert read(["01.1952", "01.2013", "01.1987"]).values.to_list()[0] == datetime(1952, 1, 1)


def test_points_in_a_column_whose_decimal_mark_is_said_to_be_a_comma_are_refused_by_column_and_value() -> None:
    """Where the first number had a point it was a fault of ours, and elsewhere each such number was missing in silence."""
    for first in ("1.5", "2"):
        table = raw(x=[first, "0.5", "3.25"] * 10, y=["a", "b"] * 15)
        with pytest.raises(ColumnError, match=r"'x' holds numbers with '\.', such as '.*\.5', though columns.x.decimal says ','"):
            infer_with_overrides(table, Roles("y"), [ColumnOverride("x", decimal=",")])


def test_yes_and_no_in_more_than_two_words_are_asked_about_in_a_label_and_told_of_an_input() -> None:
    words = ["TRUE", "FALSE", "1", "0"] * 5
    table = infer_schema(raw(x=words, y=["a", "b"] * 10), Roles("y"))
    assert any("x ('TRUE', 'FALSE', '1', '0')" in note for note in table.notes)
    with pytest.raises(ColumnError, match="yes and no in more than two words: '0', '1', 'FALSE', 'TRUE'"):
        infer_schema(raw(x=words, y=words), Roles("y"))


def test_names_that_differ_by_case_or_may_mean_missing_are_told() -> None:
    notes = infer_schema(raw(city=["Berlin", "berlin", "Paris", "n/a"] * 5, y=["a", "b"] * 10), Roles("y")).notes
    assert any("by case or blanks alone" in note and "city ('Berlin', 'berlin')" in note for note in notes)
    assert any("may mean missing" in note and "city ('n/a')" in note for note in notes)


def test_days_of_a_spreadsheet_are_asked_about_where_they_are_more_than_the_dates_beside_them() -> None:
    cells = [f"{m}/{d}/2023" for m in range(1, 9) for d in (14, 15)] + [str(45_000 + d) for d in range(20)]
    assert read([*cells]).problem is not None


def test_none_is_a_level_among_names() -> None:
    assert read(["Detached", "None", "Attached"]).values.to_list() == ["Detached", "None", "Attached"]


def test_what_was_inferred_is_said_once_for_all_columns() -> None:
    table = infer_schema(raw(y=["0", "1"], a=["$5", "$6"], b=["7%", "8%"], c=["1", "-"], d=["2", "n/a"]), Roles("y"))
    assert "read as numbers: a ('$5' is 5); b ('7%' is 7)." in table.notes
    assert "read as missing: c ('-'); d ('n/a')." in table.notes


def test_columns_nearly_all_numbers_or_times_are_asked_about_in_one_message() -> None:
    days = [f"2023-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(84)]
    table = raw(y=["0", "1"] * 42, n=[*map(str, range(83)), "oops"], t=[*days[:83], "soon"])
    with pytest.raises(ColumnError, match=r"'n' holds numbers.*'oops' in row 84; column 't' holds times.*'soon' in row 84; mend"):
        infer_schema(table, Roles("y"))


def test_a_letter_for_a_digit_is_damage_and_no_unit() -> None:
    with pytest.raises(ColumnError, match="'1O' in row 100"):
        infer_schema(raw(y=["0", "1"] * 50, x=[*map(str, range(99)), "1O"]), Roles("y"))


def test_percentages_beside_bare_numbers_are_asked_about() -> None:
    with pytest.raises(ColumnError, match=r"'x' holds percentages, but not in 20 of its rows: '0\.45' in row 2"):
        infer_schema(raw(y=["0", "1"] * 20, x=["45%", "0.45"] * 20), Roles("y"))


def test_few_values_that_are_nearly_all_numbers_are_names_and_it_is_said() -> None:
    table = infer_schema(raw(y=["0", "1"] * 50, x=[*(str(i % 4) for i in range(98)), "many", "many"]), Roles("y"))
    assert table.frame["x"].dtype == pl.String
    assert any("x ('many' in row 99)" in note for note in table.notes)


def test_a_word_that_the_user_names_is_missing_in_every_column() -> None:
    table = infer_schema(raw(y=["0", "1"], n=["1", "n.b."], c=["a", "n.b."]), Roles("y", missing=("n.b.",)))
    assert table.frame.rows() == [(0, 1, "a"), (1, None, None)]


AGES = [str(20 + i % 37) for i in range(60)]


def test_a_number_in_nines_far_from_all_others_is_missing_and_it_is_said() -> None:
    raw_table = raw(y=["0", "1"] * 32, age=[*AGES, "-999", "-999", "-999", "31"], cap=[*AGES, "99", "9", "9", "99"])
    table = infer_schema(raw_table, Roles("y"))
    assert table.frame["age"].null_count() == 3
    assert table.frame["cap"].null_count() == 0
    assert any("age (-999 in 3 rows)" in note for note in table.notes)
    assert conform_frame(raw(age=["-999", "40"], cap=["99", "1"]), table.columns)["age"].to_list() == [None, 40.0]
    typed = RawTable("t.parquet", pl.DataFrame({"age": [-999, 40], "cap": [99, 1]}), "0", "parquet", None, None)
    assert conform_frame(typed, table.columns)["age"].to_list() == [None, 40.0]


def test_bounds_that_are_stated_keep_a_number_in_nines() -> None:
    raw_table = raw(y=["0", "1"] * 31, age=[*AGES, "-999", "-999"])
    table = infer_with_overrides(raw_table, Roles("y"), [ColumnOverride("age", low=-999)])
    assert table.frame["age"].null_count() == 0


def test_a_request_has_missing_what_stands_for_missing() -> None:
    column = Column("age", "int", reading=ColumnReading(sentinels=(-999.0,)))
    preprocessor = Preprocessor.fit((column,), pl.DataFrame({"age": [1.0, 2.0]}))
    assert math.isnan(preprocessor.transform_row({"age": -999})[0, 0])
    assert preprocessor.transform_row({"age": 5})[0, 0] == 5


def test_the_user_settles_what_a_column_leaves_open() -> None:
    raw_table = raw(y=["0", "1"], price=["1.234", "5.678"], when=["03/11/2023", "04/11/2023"])
    overrides = [ColumnOverride("price", decimal=","), ColumnOverride("when", day_first=True)]
    table = infer_with_overrides(raw_table, Roles("y"), overrides)
    assert table.frame.rows()[0] == (0, 1234, datetime(2023, 11, 3))
    assert conform_frame(raw(price=["1.234"], when=["03/11/2023"]), table.columns).rows() == [(1234.0, datetime(2023, 11, 3))]


DAY_FIRST = Column("when", "time", reading=ColumnReading(times=("%d/%m/%Y",)))


def test_a_later_file_is_read_as_training_was_whichever_rows_it_holds() -> None:
    for texts in (["03/11/2023"], ["03/11/2023", "25/02/2023"]):
        assert conform_frame(raw(when=texts), (DAY_FIRST,))["when"][0] == datetime(2023, 11, 3)
    assert conform_frame(raw(when=["2023-11-03"]), (DAY_FIRST,))["when"][0] == datetime(2023, 11, 3)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (DAY_FIRST, "11/25/2023", "'11/25/2023' is not a time like .* written %d/%m/%Y"),
        (Column("p", "float", reading=ColumnReading(NumberFormat(affixes=("%",)))), "0.45", "'0.45' is not a finite number .*%"),
        (Column("e", "float", reading=ColumnReading(NumberFormat(",", "."))), "1234.5", "with ',' as the decimal mark"),
        (Column("n", "int", reading=ColumnReading()), "-", "'-' is not a finite number"),
        (Column("u", "int", reading=ColumnReading(NumberFormat(affixes=("kg",)))), "5 lb", "'5 lb' is not"),
    ],
)
def test_what_does_not_fit_the_stored_reading_is_refused_by_row(column: Column, value: str, expected: str) -> None:
    with pytest.raises(RowError, match=rf"row 1, column '{column.name}': .*{expected}"):
        conform_frame(raw(**{column.name: [value]}), (column,))


def test_a_comma_before_three_digits_is_a_thousand_later_only_where_training_had_some() -> None:
    later = pl.Series("x", ["1,234"])
    assert read_text(later, "float", read(["12.345", "0.5"]).reading)[0] is None
    assert read_text(later, "float", read(["12,345.5", "0.5"]).reading)[0] == 1234
    assert read_text(later, "int", read(["12345", "7"]).reading)[0] == 1234
    assert read_text(pl.Series(["1.234"]), "float", read(["0,5", "12,25"]).reading)[0] is None
    assert read_text(pl.Series(["1.234,5"]), "float", read(["0,5", "12,25"]).reading)[0] == 1234.5
    assert read_text(pl.Series(["$1,234,567"]), "float", read(["$0.5", "$7"]).reading)[0] == 1234567


def test_the_dates_of_training_are_read_later_with_any_clock_and_in_their_order() -> None:
    later = pl.Series(["03.04.2024", "03.04.2024 13:05", "03.04.2024 13:05:09"])
    moments = [datetime(2024, 4, 3), datetime(2024, 4, 3, 13, 5), datetime(2024, 4, 3, 13, 5, 9)]
    for form in ("%d.%m.%Y", "%d.%m.%Y %H:%M"):
        assert read_text(later, "time", ColumnReading(times=(form,))).to_list() == moments
    assert read_text(pl.Series(["03/04/2024 9:00"]), "time", ColumnReading(times=("%d/%m/%Y",))).to_list() == [
        datetime(2024, 4, 3, 9)
    ]


def test_marks_that_part_nothing_but_thousands_do_so_later_though_training_had_no_thousands() -> None:
    later = pl.Series(["1 250,50 €", "1\u00a0250,50 €", "1'250,50 €", "1.250,50 €", "1250,50 €"])
    assert read_text(later, "float", read(["850,50 €", "12,25 €"]).reading).to_list() == [1250.5] * 5
    # Training had points there: others may be damage.
    assert read_text(pl.Series(["1 250,50"]), "float", read(["1.850,50", "12,25"]).reading).to_list() == [None]


def test_a_decimal_comma_is_read_later_where_training_had_whole_numbers_alone() -> None:
    assert read_text(pl.Series(["70,5", "70.5", "1,234"]), "int", read(["70", "65"]).reading).to_list() == [70.5, 70.5, 1234]
    assert read_text(pl.Series(["70,5 m²"]), "int", read(["70 m²", "65 m²"]).reading).to_list() == [70.5]
    assert read_text(pl.Series(["1.234"]), "int", read(["70", "65"]).reading).to_list() == [None]


@pytest.mark.parametrize(
    ("texts", "open_number", "clear_number"),
    [
        (["$7,041", "$623", "$12,345,678"], "$1.234", "$1.234,5"),
        (["7.041", "623", "12.345.678"], "1,234", "1,234.5"),
        (["7,041", "623", "12,345,678"], "1.234", "1.234,5"),
        (["7041 €", "623 €"], "1.234 €", "1.234,5 €"),
    ],
)
def test_one_mark_before_three_digits_is_open_later_where_training_had_whole_numbers_alone(
    texts: list[str | None], open_number: str, clear_number: str
) -> None:
    """With a currency, or where points part thousands, it was a part of two: wrong by a factor of a thousand, in silence."""
    column = read(texts)
    assert read_text(pl.Series([open_number, clear_number]), "int", column.reading).to_list() == [None, 1234.5]
    with pytest.raises(RowError, match="whole in training, with no"):
        conform_frame(raw(x=[open_number]), (Column("x", "int", reading=column.reading),))


def test_one_of_many_is_the_same_unit_later_and_a_millisecond_is_no_metre() -> None:
    later = pl.Series(["1 star", "3 Stars", "2 stars."])
    assert read_text(later, "int", read(["4 stars", "5 stars"]).reading).to_list() == [1, 3, 2]
    assert read_text(pl.Series(["3 reviews"]), "int", read(["1 review"]).reading).to_list() == [3]
    assert read(["5 m", "6 m", "7 ms", "8 ms"]).remarks[0][0] == MIXED_UNITS


def test_one_is_true_and_zero_is_not_in_a_later_file_of_text_as_in_one_with_types() -> None:
    reading = read(["True", "False"]).reading
    assert read_text(pl.Series(["1", "0", "TRUE", "0.0", "2", "yes"]), "bool", reading).to_list() == [
        True,
        False,
        True,
        False,
        None,
        None,
    ]


def test_a_unit_is_one_however_it_is_written() -> None:
    column = read(["70 m²", "65 m2", "80 qm", "91 sqm"])
    assert column.values.to_list() == [70, 65, 80, 91]
    assert read_text(pl.Series(["70 m2", "65 qm"]), "int", read(["70 m²", "65 m²"]).reading).to_list() == [70, 65]
    assert read_text(pl.Series(["USD 70", "70 US$"]), "int", read(["$70", "$65"]).reading).to_list() == [70, 65 + 5]
    assert read(["1.250,50 ₺", "900,00 TL"]).values.to_list() == [1250.5, 900]


def test_a_house_with_a_letter_is_another_than_that_without() -> None:
    column = read(["12", "12a", "14", "16", "3", "18a", "20"] * 5)
    assert column.values.to_list()[:3] == ["12", "12a", "14"]
    assert column.remarks[0][0] in (MOSTLY, MIXED_UNITS)


def test_numbers_of_a_small_table_with_a_word_among_them_are_asked_about_where_they_do_not_come_again() -> None:
    numbers = [f"{10 + n / 7:.2f}" for n in range(39)]
    column = read([*numbers, "see note"])
    assert column.problem is not None
    assert "'see note' in row 40" in column.problem
    # What comes again may be levels.
    assert read([*numbers, "see note"] * 2).problem is None


def test_days_that_programs_write_for_none_are_missing_among_times() -> None:
    for zero in ("01.01.0001 00:00:00", "0001-01-01T00:00:00Z", "0000-00-00 00:00:00"):
        assert read(["2024-03-01T00:00:00Z", zero]).values.to_list() == [datetime(2024, 3, 1), None], zero


def test_what_lasts_from_one_hour_to_another_is_no_time_with_an_offset() -> None:
    column = read([f"2024-03-01 {hour:02}:00-{hour + 1:02}:00" for hour in range(24)])
    assert column.values.dtype == pl.String


def test_what_is_no_time_of_day_is_refused_by_row_with_an_example() -> None:
    columns = infer_schema(raw(at=["14:30", "09:15"] * 10, y=["a", "b"] * 10), Roles("y")).columns
    with pytest.raises(RowError, match=r"row 2, column 'at': '2.5' is not written as in training, like 14:30"):
        conform_frame(raw(at=["10:00", "2.5"]), columns)


def test_a_request_is_told_which_number_a_time_of_day_is() -> None:
    reading = ColumnReading(NumberFormat(notation="clock"))
    schema = Schema("t", "", "y", (Column("at", "float", reading=reading),), "binary", ("no", "yes"), None, None)
    (field,) = build_request_model(schema).row.model_fields.values()
    assert "14:30 is 14.5" in str(field.description)


def test_a_word_for_missing_that_training_saw_is_missing_later() -> None:
    column = Column("n", "int", reading=ColumnReading(missing=("-",)))
    assert conform_frame(raw(n=["-", "5", ""]), (column,))["n"].to_list() == [None, 5.0, None]


def test_a_reading_comes_back_from_its_json() -> None:
    reading = ColumnReading(NumberFormat(",", ".", ("€",), brackets=True), ("%d.%m.%Y",), ("-",))
    assert ColumnReading.restore(to_json(reading)) == reading


def write(path: Path, **columns: list[str]) -> Path:
    pl.DataFrame(columns).write_csv(path)
    return path


def test_a_test_file_is_read_as_the_training_file(tmp_path: Path) -> None:
    n = 60
    days = [f"{1 + i % 28:02}/{1 + i % 12:02}/2023" for i in range(n)]
    columns = {"when": days, "a": [str(i % 7) for i in range(n)], "y": [str(i % 2) for i in range(n)]}
    path = write(tmp_path / "t.csv", **columns)
    test = write(tmp_path / "test.csv", when=["03/11/2023", "05/02/2023"], a=["1", "2"], y=["0", "1"])
    data = load_task_data(build_spec(csv=path, test=test, label="y", time="when"))
    assert data.cutoffs["cutoff"].to_list()[-2:] == [datetime(2023, 11, 3), datetime(2023, 2, 5)]


def test_a_label_in_dollars_is_a_regression(tmp_path: Path) -> None:
    n = 60
    path = write(tmp_path / "t.csv", a=[str(i % 7) for i in range(n)], rent=[f"$1,{300 + i}" for i in range(n)])
    assert load_task_data(build_spec(csv=path, label="rent")).task.target.kind == "regression"


def test_none_is_a_class(tmp_path: Path) -> None:
    n = 60
    path = write(
        tmp_path / "t.csv", a=[str(i % 7) for i in range(n)], damage=[("None", "Minor", "Severe")[i % 3] for i in range(n)]
    )
    assert load_task_data(build_spec(csv=path, label="damage")).task.target.classes == ("Minor", "None", "Severe")


def test_days_of_a_spreadsheet_beside_dates_are_asked_about() -> None:
    column = read(["01.03.2024", "15.03.2024", "45363"])
    assert column.problem is not None
    assert "'45363' in row 3" in column.problem


def test_years_of_two_digits_are_told() -> None:
    assert read(["31.12.45", "01.02.73"]).notes[-1] == "x: years of two digits are those of 1970 to 2069."


def test_a_word_for_missing_in_a_label_of_words_is_named() -> None:
    table = infer_schema(raw(x=["1", "2", "3"] * 4, y=["N/A", "A", "B"] * 4), Roles("y"))
    assert "y: read as no label: 'N/A' (4 rows)." in table.notes


def test_whole_numbers_of_a_typed_file_beyond_64_bits_stay_apart(tmp_path: Path) -> None:
    keys = [12345678901234567890 + i % 6 for i in range(12)]
    decimals = pl.Series(keys, dtype=pl.Decimal(38, 0))
    small = pl.Series([i % 2 for i in range(12)], dtype=pl.Decimal(38, 0))
    pl.DataFrame({"u": pl.Series(keys, dtype=pl.UInt64), "d": decimals, "y": small}).write_parquet(tmp_path / "t.parquet")
    frame = infer_schema(read_table(tmp_path / "t.parquet"), Roles("y")).frame
    assert [frame[name].n_unique() for name in frame.columns] == [6, 6, 2]
    assert frame["y"].dtype == pl.Int64


@pytest.mark.parametrize("odd", ["1O", "5l", "7I"])
def test_a_letter_for_a_digit_among_few_numbers_is_no_unit(odd: str) -> None:
    column = read([*["10", "11", "12", "13"] * 30, odd])
    assert column.values.dtype == pl.String
    assert column.remarks == ((NEARLY, f"x ({odd!r} in row 121)"),)


def test_litres_are_a_unit() -> None:
    assert read(["10 l", "7.5 l", "3"]).values.to_list() == [10.0, 7.5, 3.0]


@pytest.mark.parametrize(
    ("texts", "odd"),
    [
        (["1,234.50", "2,345.75", "3.456,50"] * 30, "3.456,50"),
        (["31/12/2023", "30/12/2023", "12/31/2023"] * 30, "12/31/2023"),
    ],
)
def test_two_notations_that_exclude_each_other_are_asked_about(texts: list[str | None], odd: str) -> None:
    column = read(texts)
    assert column.problem is not None
    assert f"{odd!r} in row 3" in column.problem


def test_few_numbers_with_a_word_among_them_are_told_to_be_names() -> None:
    column = read(["1", "2", "3", "4", "fehlt"] * 4)
    assert column.values.dtype == pl.String
    assert column.remarks == ((MOSTLY, "x ('fehlt')"),)


def test_words_that_spreadsheets_of_other_languages_write_for_missing_are_missing_among_numbers() -> None:
    for word in (
        "#NV",
        "#WERT!",
        "\\N",
        "[null]",
        "k. A.",
        "ohne Angabe",
        "нет данных",
        "なし",
        "./.",
        ":",
        "n. v. t.",
        "不明",
        "-nan",
        "(NA)",
    ):
        assert read(["1", "2", "3", word]).values.to_list() == [1, 2, 3, None], word


def test_a_price_that_ends_in_a_stroke_and_a_dash_is_not_negative() -> None:
    assert read(["Rs.8,578/-", "Rs.4,313/-", "Rs.950/-"]).values.to_list() == [8578, 4313, 950]
    assert read(["500/=", "1,200/="]).values.to_list() == [500, 1200]


@pytest.mark.parametrize("side", ["CR", "DR", "Dr."])
def test_credit_and_debit_beside_bare_amounts_are_neither_a_scale_nor_a_unit(side: str) -> None:
    column = read([f"{number}.50 {side}" if number % 3 else f"{number}.50" for number in range(10, 40)])
    assert column.values.dtype == pl.String
    assert column.remarks[0][0] == MIXED_UNITS


def test_crores_beside_lakhs_are_amounts() -> None:
    assert read(["₹1.5 Cr", "₹85 Lac", "₹2 Cr"]).values.to_list() == [15_000_000, 8_500_000, 20_000_000]


@pytest.mark.parametrize("texts", [["$17", "89 €"], ["13¢", "$6.50"], ["$5", "10%"], ["£ 4", "4 kg"]])
def test_amounts_of_two_units_one_before_and_one_behind_are_no_numbers_of_one_column(texts: list[str | None]) -> None:
    column = read(texts * 10)
    assert column.values.dtype == pl.String
    assert column.remarks[0][0] == MIXED_UNITS


def test_one_currency_may_stand_before_and_behind_and_as_sign_and_code() -> None:
    assert read(["€ 5", "6 EUR", "7 €"]).values.to_list() == [5, 6, 7]
    assert read(["$795/mo", "$700", "650"]).values.to_list() == [795, 700, 650]


def test_a_number_with_an_exponent_has_a_decimal_comma_and_no_thousands() -> None:
    assert read(["4,539E+00", "7,682E+01"]).values.to_list() == [4.539, 76.82]


def test_sizes_in_bytes_of_different_units_are_told_to_be_names() -> None:
    column = read([f"{number} {unit}" for number in range(1, 30) for unit in ("B", "KB", "MB")])
    assert column.remarks == ((MIXED_UNITS, "x (b, kb, mb)"),)


def test_digits_of_other_scripts_are_digits() -> None:
    assert read(["๖๔", "๕๒"]).values.to_list() == [64, 52]
    assert read(["৩৪", "৫"]).values.to_list() == [34, 5]


def test_an_address_of_a_machine_is_a_name() -> None:
    texts: list[str | None] = [f"192.168.{part}.{part + 3}" for part in range(100, 150)]
    assert read(texts).values.to_list() == texts


def test_marks_that_nobody_sees_are_no_part_of_a_value() -> None:
    assert read(["\u200b52", "97\u200e", "\ufeff 3"]).values.to_list() == [52, 97, 3]
    assert read(["yes", "\u200byes"]).values.to_list() == ["yes", "yes"]


def test_an_accent_is_part_of_its_letter_however_it_is_stored() -> None:
    assert read(["Caf\u00e9", "Cafe\u0301", "\u1112\u1161\u11ab"]).values.to_list() == ["Caf\u00e9", "Caf\u00e9", "\ud55c"]


@pytest.mark.parametrize(
    "texts",
    [
        ["03.2019", "11.2020", "01.2021", "10.2019"],
        ["3.2019", "11.2020", "1.2021"],
        ["2019.03", "2020.11", "2021.01", "2019.10", "2020.02"],
    ],
)
def test_months_that_are_written_as_numbers_are_times(texts: list[str | None]) -> None:
    column = read(texts)
    assert column.values.dtype == pl.Datetime("us")
    assert column.values.dt.strftime("%Y-%m")[0] == "2019-03"
    assert "months like" in column.notes[0]
    assert read_text(pl.Series(["12.2022" if texts[0] != "2019.03" else "2022.12"]), "time", column.reading)[0] == datetime(
        2022, 12, 1
    )


def test_numbers_beside_which_no_month_stands_stay_numbers() -> None:
    assert read(["3.2019", "11.2", "1.2021", "13.1999"]).values.to_list() == [3.2019, 11.2, 1.2021, 13.1999]


def test_a_decimal_mark_that_is_stated_keeps_numbers_that_look_like_months() -> None:
    column = infer_text_column(pl.Series("x", ["3.2019", "11.2020", "1.2021"]), ReadingRules(decimal="."))
    assert column.values.to_list() == [3.2019, 11.2020, 1.2021]


def test_the_year_of_two_digits_stands_first_where_the_dates_lie_closer_then() -> None:
    days = [datetime(2019, 1, 1) + timedelta(days=37 * step) for step in range(45)]
    for form in ("%y/%m/%d", "%y-%m-%d", "%y.%m.%d", "%d/%m/%y", "%d.%m.%y", "%m/%d/%y"):
        assert read([day.strftime(form) for day in days]).values.to_list() == days, form


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-11-25 01:05:05,250", datetime(2023, 11, 25, 1, 5, 5, 250_000)),
        ("Nov 25, 2023 at 01:05 PM", datetime(2023, 11, 25, 13, 5)),
        ("25.Nov.2023", datetime(2023, 11, 25)),
        ("2023. 11. 25.", datetime(2023, 11, 25)),
        ("25. maj 2023", datetime(2023, 5, 25)),
        ("2023M11", datetime(2023, 11, 1)),
    ],
)
def test_times_as_logs_phones_and_other_countries_write_them_are_read(text: str, moment: datetime) -> None:
    assert read([text]).values.to_list() == [moment]


@pytest.mark.parametrize("form", ["%Y-%d-%m", "%d %m %Y", "%Y %m %d", "%Y-%j", "%d-%b", "%Hh%M"])
def test_times_that_are_not_read_are_told_and_never_names_in_silence(form: str) -> None:
    days = [datetime(2019, 1, 1) + timedelta(days=37 * step, minutes=97 * step) for step in range(45)]
    column = read([day.strftime(form) for day in days])
    assert column.values.dtype == pl.String
    assert column.problem is not None or column.remarks[0][0] == UNREAD


@pytest.mark.parametrize(
    ("levels", "later", "expected"),
    [
        (["1", "2", "other"], [1.0, None, 2.0], ["1", None, "2"]),
        (["1.0", "2.0", "other"], [1, 2, None], ["1.0", "2.0", None]),
        (["True", "False", "Maybe"], [True, False, None], ["True", "False", None]),
        (["1", "2", "other"], [1.5, 3.0, 2.0], ["1.5", "3.0", "2"]),
    ],
)
def test_numbers_and_truth_values_of_a_file_with_types_are_the_levels_that_training_saw(
    levels: list[str], later: list[float | None], expected: list[str | None]
) -> None:
    table = infer_schema(raw(a=levels * 10, y=["0", "1", "0"] * 10), Roles("y"))
    typed = RawTable("t.parquet", pl.DataFrame({"a": later}), "0", "parquet", None, None)
    assert conform_frame(typed, table.columns)["a"].to_list() == expected


def test_brackets_before_a_currency_are_a_minus_sign() -> None:
    assert read(["15,50 €", "(30,50) €", "(1.200,00) EUR"]).values.to_list() == [15.5, -30.5, -1200.0]


def test_points_that_part_thousands_are_seen_behind_many_numbers_without_any() -> None:
    texts: list[str | None] = [*(str(300 + i) for i in range(60)), "1.103", "1.246"]
    assert read(texts).values.to_list()[-2:] == [1103, 1246]
