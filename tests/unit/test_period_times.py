"""How the times of a panel are written: one notation for a file, chosen by the frequency, stored, and applied to later files."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.artifact.panel_bundle import PanelSchema
from epic22.core.artifact.request_model import build_panel_request_model
from epic22.core.column import ColumnReading
from epic22.core.data.period_times import PanelReading, PeriodReading
from epic22.core.data.sentinels import is_nines
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import ColumnError
from epic22.core.time_series import BUSINESS_DAILY, WEEKLY_FROM, get_frequency
from epic22.spec.panel_file import PanelFile, load_panel_task_data

MONTHS = [(2018 + m // 12, m % 12 + 1) for m in range(30)]
NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec"]
GERMAN = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"]
GERMAN_DAYS = ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"]
SPANISH = ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"]

MONTHLY_NOTATIONS: dict[str, Callable[[int, int], str]] = {
    "Jan-18": lambda y, m: f"{NAMES[m - 1]}-{y % 100}",
    "18-Jan": lambda y, m: f"{y % 100}-{NAMES[m - 1]}",
    "Jan. 2018": lambda y, m: f"{NAMES[m - 1]}. {y}",
    "Mär 18": lambda y, m: f"{GERMAN[m - 1][:3]} {y % 100}",
    "1. März 2018": lambda y, m: f"1. {GERMAN[m - 1]} {y}",
    "1 de mar de 2018": lambda y, m: f"1 de {SPANISH[m - 1]} de {y}",
    "1/31/18 1:00 p.m.": lambda y, m: f"{m}/28/{y % 100} 1:00 p.m.",
    "1/31/18": lambda y, m: f"{m}/{(date(y + m // 12, m % 12 + 1, 1) - timedelta(1)).day}/{y % 100}",
    "31-12-2023": lambda y, m: f"{(date(y + m // 12, m % 12 + 1, 1) - timedelta(1)).day}-{m:02}-{y}",
    "the first of the month, day first": lambda y, m: f"01/{m:02}/{y}",
    "the first of the month, month first": lambda y, m: f"{m:02}/01/{y}",
    "X2018.01, as R writes it": lambda y, m: f"X{y}.{m:02}",
    "201801": lambda y, m: f"{y}{m:02}",
    "20180101": lambda y, m: f"{y}{m:02}01",
    "2018M01": lambda y, m: f"{y}M{m:02}",
    "Jan, 2018": lambda y, m: f'"{NAMES[m - 1]}, {y}"',
    "Jan 1 2018": lambda y, m: f"{NAMES[m - 1]} 1 {y}",
    "01/18": lambda y, m: f"{m:02}/{y % 100}",
    "18/01": lambda y, m: f"{y % 100}/{m:02}",
    "2018_01": lambda y, m: f"{y}_{m:02}",
    "Mon, 01 Jan 2018": lambda y, m: f'"{date(y, m, 1):%a, %d %b %Y}"',
    "Mo 01.01.2018": lambda y, m: f"{GERMAN_DAYS[date(y, m, 1).weekday()]} {date(y, m, 1):%d.%m.%Y}",
    "2018년 1월": lambda y, m: f"{y}년 {m}월",
    "2018年1月1日": lambda y, m: f"{y}年{m}月1日",
    "2018. 1. 1.": lambda y, m: f"{y}. {m}. 1.",
    "01JAN2018": lambda y, m: f"01{NAMES[m - 1][:3].upper()}{y}",
    "a stamp with an offset": lambda y, m: f"{y}-{m:02}-01T00:00:00+01:00",
    "a stamp of the end in UTC": lambda y, m: f"{y}-{m:02}-28T23:59:59Z",
}


def load(folder: Path, layout: str, times: list[str], frequency: str, reading: PanelReading | None = None) -> PanelTaskData:
    """A panel of two series with values at these times."""
    path = folder / f"{layout}.csv"
    if layout == "wide":
        rows = [",".join(["zip", *times]), *(",".join([name, *map(str, range(len(times)))]) for name in "ab")]
    else:
        rows = ["zip,at,rent", *(f"{name},{time},{i}" for name in "ab" for i, time in enumerate(times))]
    path.write_text("\n".join(rows))
    kind: Literal["wide", "long"] = "wide" if layout == "wide" else "long"
    return load_panel_task_data(PanelFile(path, kind, ("zip",), "at", "rent", get_frequency(frequency), 2, reading=reading))


def span(panel: PanelTaskData) -> tuple[str, str, str]:
    """The frequency with the first and the last period."""
    frequency = panel.task.frequency
    assert frequency is not None
    return frequency.name, frequency.label(panel.first), frequency.label(panel.last)


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("name", MONTHLY_NOTATIONS)
def test_months_are_read_in_every_usual_notation(tmp_path: Path, name: str, layout: str) -> None:
    panel = load(tmp_path, layout, [MONTHLY_NOTATIONS[name](y, m) for y, m in MONTHS], "M")
    assert span(panel) == ("M", "2018-01", "2020-06")
    assert not any("missing" in note or "left out" in note for note in panel.notes)


OTHERS = {
    "quarters": ("Q", [f"{2018 + q // 4}Q{q % 4 + 1}" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "quarters with short years": ("Q", [f"Q{q % 4 + 1} '{18 + q // 4}" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "numbered quarters": ("Q", [f"{q % 4 + 1}-{2018 + q // 4}" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "fiscal quarters": ("Q", [f"FY{18 + q // 4} Q{q % 4 + 1}" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "years": ("Y", [str(2000 + y) for y in range(9)], ("Y", "2000", "2008")),
    "fiscal years": ("Y", [f"{2000 + y}/{y + 1:02}" for y in range(14)], ("Y", "2000", "2013")),
    "short fiscal years": ("Y", [f"FY{y:02}" for y in range(9)], ("Y", "2000", "2008")),
    "Japanese months": ("M", [f"2018年{m}月" for m in range(1, 10)], ("M", "2018-01", "2018-09")),
    "German weeks": ("W", ["KW 52/2020", "KW 53/2020", "KW 01/2021", "KW 02/2021"], ("W", "2020-12-21", "2021-01-11")),
    "French quarters": ("Q", [f"{2018 + q // 4}T{q % 4 + 1}" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "short German weeks": ("W", ["KW52 2020", "KW53 2020", "KW1 2021", "KW2 2021"], ("W", "2020-12-21", "2021-01-11")),
    "weeks behind years": ("W", ["2020 KW 52", "2020/W53", "2021/W01", "2021 KW02"], ("W", "2020-12-21", "2021-01-11")),
    "compact days of weeks": ("W", ["2020W522", "2020W532", "2021W012", "2021W022"], ("W-TUE", "2020-12-22", "2021-01-12")),
    "German quarters": ("Q", [f"{q % 4 + 1}. Quartal {2018 + q // 4}" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "quarters before their letter": ("Q", [f"{2018 + q // 4} {q % 4 + 1}Q" for q in range(9)], ("Q", "2018 Q1", "2020 Q1")),
    "hours alone": ("H", [f"2018-01-01 {h:02}" for h in range(8, 17)], ("H", "2018-01-01 08:00", "2018-01-01 16:00")),
    "hours of a spreadsheet": (
        "H",
        [f"{43_101 + h / 24:.6f}" for h in range(30)],
        ("H", "2018-01-01 00:00", "2018-01-02 05:00"),
    ),
    "hours of a named zone": (
        "H",
        [f"2024-03-10 {h:02}:00 America/New_York" for h in (0, 1, 3, 4, 5, 6, 7, 8)],
        ("H", "2024-03-10 05:00", "2024-03-10 12:00"),
    ),
    "ends of hours": ("H", [f"2018-01-01 {h:02}:00" for h in range(17, 25)], ("H", "2018-01-01 17:00", "2018-01-02 00:00")),
    "months in UTC": ("M", [f"2018-{m:02}-01 00:00:00 UTC" for m in range(1, 10)], ("M", "2018-01", "2018-09")),
    "weeks over a year of 53": ("W", ["2020-W52", "2020-W53", "2021-W01", "2021-W02"], ("W", "2020-12-21", "2021-01-11")),
    "days of weeks": ("W", ["2020-W52-2", "2020-W53-2", "2021-W01-2", "2021-W02-2"], ("W-TUE", "2020-12-22", "2021-01-12")),
    "days of a spreadsheet": ("D", [str(43_101 + d) for d in range(14)], ("D", "2018-01-01", "2018-01-14")),
    "seconds": ("D", [str(1_514_764_800 + 86_400 * d) for d in range(14)], ("D", "2018-01-01", "2018-01-14")),
}


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_periods_are_read_as_people_write_them(tmp_path: Path, name: str, layout: str) -> None:
    frequency, times, expected = OTHERS[name]
    assert span(load(tmp_path, layout, times, frequency)) == expected


def test_a_week_53_of_a_year_without_one_is_refused_by_its_row(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="first '2021-W53' in row 3"):
        load(tmp_path, "long", ["2021-W51", "2021-W52", "2021-W53"], "W")


def test_the_order_of_day_and_month_is_the_one_that_makes_days_follow_each_other(tmp_path: Path) -> None:
    days = [date(2024, 3, 1) + timedelta(d) for d in range(9)]
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        assert span(load(tmp_path, "long", [day.strftime(form) for day in days], "D")) == ("D", "2024-03-01", "2024-03-09")


def test_two_readings_that_are_as_regular_are_told(tmp_path: Path) -> None:
    panel = load(tmp_path, "wide", ["01/02/2018", "02/03/2018", "03/04/2018", "04/05/2018"], "M")
    assert "at: month/day/year, though day/month/year would fit too." in panel.notes


def test_a_later_file_is_read_by_the_notation_of_the_training(tmp_path: Path) -> None:
    trained = load(tmp_path, "long", [f"{d:02}/01/2023" for d in range(1, 31)], "D")
    assert trained.reading == PanelReading(PeriodReading("%d/%m/%Y", zoned=False), ColumnReading())
    later = load(tmp_path, "long", ["01/03/2024", "02/03/2024", "03/03/2024"], "D", trained.reading)
    assert span(later) == ("D", "2024-03-01", "2024-03-03")
    iso = load(tmp_path, "long", ["2024-03-01", "2024-03-02", "2024-03-03"], "D", trained.reading)
    assert span(iso) == span(later)
    with pytest.raises(ColumnError, match="first '03/31/2024' in row 1; the model was trained on times like day/month/year"):
        load(tmp_path, "long", ["03/31/2024", "04/01/2024", "04/02/2024"], "D", trained.reading)


def test_a_later_file_may_have_a_clock_behind_the_dates_of_the_training(tmp_path: Path) -> None:
    trained = load(tmp_path, "long", [f"{day:02}/01/2018" for day in range(1, 29)], "D")
    later = load(tmp_path, "long", [f"0{day}/02/2018 00:00" for day in range(1, 5)], "D", trained.reading)
    assert span(later) == ("D", "2018-02-01", "2018-02-04")


def test_a_later_text_that_is_two_days_is_refused_where_the_training_had_typed_times(tmp_path: Path) -> None:
    typed = PanelReading(PeriodReading("typed", zoned=False))
    with pytest.raises(ColumnError, match=r"'01/03/2024' is month/day/year or day/month/year, .* write them as 2024-03-01"):
        load(tmp_path, "long", ["01/03/2024", "02/03/2024", "03/03/2024"], "D", typed)
    assert span(load(tmp_path, "long", ["2024-03-01", "2024-03-02", "2024-03-03"], "D", typed))[1] == "2024-03-01"


def test_typed_months_with_a_zone_are_those_of_the_zone(tmp_path: Path) -> None:
    starts = pl.Series([datetime(y, m, 1) for y, m in MONTHS]).dt.replace_time_zone("Europe/Berlin")
    frame = pl.DataFrame({"zip": ["a"] * len(MONTHS), "at": starts, "rent": range(len(MONTHS))})
    frame.write_parquet(tmp_path / "panel.parquet")
    file = PanelFile(tmp_path / "panel.parquet", "long", ("zip",), "at", "rent", get_frequency("M"), 2)
    assert span(load_panel_task_data(file)) == ("M", "2018-01", "2020-06")


def test_hours_of_two_series_centuries_apart_are_refused_before_a_table_of_them_is_made(tmp_path: Path) -> None:
    rows = [
        "zip,at,rent",
        *(f"{name},{year}-01-01 {h:02}:00,{h}" for name, year in (("a", 1002), ("b", 2990)) for h in range(24)),
    ]
    (tmp_path / "panel.csv").write_text("\n".join(rows))
    with pytest.raises(ColumnError, match=r"from 1002-01-01 00:00 to 2990-01-01 23:00: .* nearly all of them empty"):
        load_panel_task_data(PanelFile(tmp_path / "panel.csv", "long", ("zip",), "at", "rent", get_frequency("H"), 2))


def test_a_column_name_that_is_nearly_a_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="column 'Otk-18' is written as the times are, such as 'Aug-18', but is none"):
        load(tmp_path, "wide", ["Aug-18", "Sep-18", "Otk-18", "Nov-18"], "M")
    with pytest.raises(ColumnError, match="most column names are times like year-month, but 'Apr-18' is one like month-year"):
        load(tmp_path, "wide", ["2018-01", "2018-02", "2018-03", "Apr-18"], "M")


@pytest.mark.parametrize("weekday", range(7))
def test_weeks_keep_their_own_weekday(tmp_path: Path, weekday: int) -> None:
    days = [date(2023, 1, 2) + timedelta(weekday + 7 * w) for w in range(12)]
    panel = load(tmp_path, "long", list(map(str, days)), "W")
    frequency, first, last = span(panel)
    assert (first, last) == (str(days[0]), str(days[-1]))
    assert frequency == ("W" if weekday == 0 else WEEKLY_FROM[weekday].name)


def test_weeks_with_a_day_moved_by_a_holiday_keep_the_weekday_of_most(tmp_path: Path) -> None:
    days = [date(2023, 1, 1) + timedelta(7 * w + (w == 5)) for w in range(12)]
    assert span(load(tmp_path, "long", list(map(str, days)), "W")) == ("W-SUN", "2023-01-01", "2023-03-19")


def test_days_without_weekends_are_business_days(tmp_path: Path) -> None:
    days = [day for d in range(21) if (day := date(2023, 1, 2) + timedelta(d)).weekday() < 5]
    panel = load(tmp_path, "long", list(map(str, days)), "D")
    assert span(panel) == ("B", "2023-01-02", "2023-01-20")
    assert panel.latest_histories().lines.shape == (2, 15)
    with pytest.raises(ColumnError, match="2 values lie on a Saturday or Sunday, first 'a' on 2023-01-07; give --frequency D"):
        load(tmp_path, "long", [*map(str, days), "2023-01-07"], "B")


def test_a_friday_lasts_until_monday_where_there_are_no_weekends() -> None:
    moments = pl.Series([datetime(2023, 1, 6), datetime(2023, 1, 7), datetime(2023, 1, 8, 23), datetime(2023, 1, 9)])
    friday = int(BUSINESS_DAILY.ordinals(moments)[0])
    assert BUSINESS_DAILY.ordinals(moments).tolist() == [friday, friday, friday, friday + 1]
    assert [BUSINESS_DAILY.start(friday + k) for k in range(2)] == [datetime(2023, 1, 6), datetime(2023, 1, 9)]


HOURS = [datetime(2023, 10, 28) + timedelta(hours=h) for h in range(60)]


def test_an_hour_that_comes_twice_is_the_clock_change(tmp_path: Path) -> None:
    doubled = [*map(str, HOURS), "2023-10-29 02:00:00"]
    with pytest.raises(ColumnError, match=r"the hour 2023-10-29 02:00 comes twice, as when the clock is set back .*offset"):
        load(tmp_path, "long", doubled, "H")


def test_an_hour_that_is_skipped_is_told_with_what_to_do(tmp_path: Path) -> None:
    hours = [datetime(2024, 3, 30) + timedelta(hours=h) for h in range(60)]
    panel = load(tmp_path, "long", [str(hour) for hour in hours if hour != datetime(2024, 3, 31, 2)], "H")
    assert any("no series has a value at 2024-03-31 02:00, as when the clock is set forward" in note for note in panel.notes)


def test_hours_with_offsets_are_those_of_utc_and_a_later_file_without_them_is_refused(tmp_path: Path) -> None:
    change = datetime(2023, 10, 29, 1)
    local = [f"{hour + timedelta(hours=2 if hour < change else 1)}{'+02:00' if hour < change else '+01:00'}" for hour in HOURS]
    panel = load(tmp_path, "long", local, "H")
    assert span(panel) == ("H", "2023-10-28 00:00", "2023-10-30 11:00")
    assert not any("missing" in note for note in panel.notes)
    with pytest.raises(ColumnError, match="trained on times with an offset from UTC, these are without one"):
        load(tmp_path, "long", list(map(str, HOURS)), "H", panel.reading)
    with pytest.raises(ColumnError, match=r"60 times state an offset .* do not"):
        load(tmp_path, "long", [text if i % 2 else str(HOURS[i]) for i, text in enumerate(local)], "H")


@pytest.mark.parametrize(
    ("frequency", "expected"), [("M", datetime(2024, 1, 1)), ("D", datetime(2024, 1, 1)), ("H", datetime(2023, 12, 31, 10))]
)
def test_the_last_period_of_a_request_is_that_of_the_clock_of_the_place(frequency: str, expected: datetime) -> None:
    schema = PanelSchema("rents", "", "rent", None, frequency, 12, 3, "long", ("zip",), "at")
    row = build_panel_request_model(schema).row.model_validate({"series": "a", "last": "2024-01-01T00:00:00+14:00"})
    assert row.model_dump()["last"] == expected


DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d-%B-%Y", "%B %d, %Y", "%Y%m%d", "%Y-%m-%dT%H:%M:%S+02:00")
FORMS = {
    "D": DAYS,
    "W": (*DAYS, "%G-W%V"),
    "M": (*DAYS, "%Y-%m", "%B-%y", "%b %Y", "%m/%Y", "%YM%m"),
    "Y": (*DAYS, "%Y"),
}
NAMES_OF_SERIES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_read_of_a_panel_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    frequency = data.draw(st.sampled_from([get_frequency(name) for name in FORMS]))
    form = data.draw(st.sampled_from(FORMS[frequency.name]))
    # Years whose two digits are read as they are meant; enough periods that days are not taken for business days.
    first = int(
        frequency.ordinals(pl.Series([datetime(data.draw(st.integers(1970, 2040)), data.draw(st.integers(1, 12)), 1)]))[0]
    )
    times = [frequency.start(first + k) for k in range(data.draw(st.integers(8, 20)))]
    names = data.draw(st.lists(NAMES_OF_SERIES, min_size=1, max_size=4, unique=True))
    # Numbers in nines may stand for missing, which is noted.
    numbers = st.integers(-1000, 1000).filter(lambda n: not is_nines(n))
    values = data.draw(st.lists(numbers, min_size=len(times), max_size=len(times)))
    path = tmp_path_factory.mktemp("panel") / "panel.parquet"
    layout: Literal["wide", "long"] = data.draw(st.sampled_from(["wide", "long"]))
    texts = [time.strftime(form) for time in times]
    if layout == "wide":
        frame = pl.DataFrame({"zip": names, **{text: [value] * len(names) for text, value in zip(texts, values, strict=True)}})
    else:
        frame = pl.DataFrame({"zip": [n for n in names for _ in texts], "at": texts * len(names), "rent": values * len(names)})
    frame.write_parquet(path)
    panel = load_panel_task_data(PanelFile(path, layout, ("zip",), "at", "rent", frequency, 1))
    assert panel.entities.to_list() == sorted(names)
    histories = panel.latest_histories()
    assert (histories.first, histories.lines.shape[1]) == (first, len(times))
    assert all(line.tolist() == values for line in histories.iterate_series())


@pytest.mark.parametrize(
    "write",
    [
        lambda y, q: f"{y}/{q}",
        lambda y, q: f"{y}-{q}",
        lambda y, q: f"{y}.{q}",
        lambda y, q: f"{y}{q}",
        lambda y, q: f"{q}/{y}",
    ],
)
def test_numbers_behind_years_are_quarters_where_the_panel_is_quarterly(tmp_path: Path, write: Callable[[int, int], str]) -> None:
    data = load(tmp_path, "long", [write(2012 + n // 4, 1 + n % 4) for n in range(40)], "Q")
    assert (data.first, data.last) == (42 * 4, 42 * 4 + 39)


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("form", ["%G-%V", "%G%V", "%V/%G", "%G/%V"])
def test_numbers_beside_years_are_weeks_where_the_panel_is_weekly(tmp_path: Path, layout: str, form: str) -> None:
    mondays = [date(2019, 12, 2) + timedelta(weeks=n) for n in range(80)]
    data = load(tmp_path, layout, [monday.strftime(form) for monday in mondays], "W")
    assert data.task.frequency is not None
    assert data.task.frequency.start(data.first) == datetime(2019, 12, 2)
    assert data.last - data.first == 79


def test_months_at_the_ends_of_quarters_are_no_weeks(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="every 3 months"):
        load(tmp_path, "long", [f"{2010 + n // 4}-{3 + 3 * (n % 4):02}" for n in range(40)], "M")


@pytest.mark.parametrize("form", ["%y/%m/%d", "%y-%m-%d", "%d/%m/%y", "%m/%d/%y"])
def test_the_year_of_two_digits_stands_where_the_panel_is_regular(tmp_path: Path, form: str) -> None:
    days = [date(2022, 1, 1) + timedelta(days=n) for n in range(100)]
    data = load(tmp_path, "long", [day.strftime(form) for day in days], "D")
    assert data.task.frequency is not None
    assert data.task.frequency.label(data.first) == "2022-01-01"
    assert data.last - data.first == 99


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo", "America/New_York", "UTC"])
def test_midnights_of_a_place_that_are_written_in_utc_are_of_the_month_that_begins_there(
    tmp_path: Path, zone: str, layout: str
) -> None:
    firsts = [datetime(y, m, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for y, m in MONTHS]
    data = load(tmp_path, layout, [f"{first:%Y-%m-%dT%H:%M:%SZ}" for first in firsts], "M")
    assert (data.first, data.last) == (48 * 12, 48 * 12 + 29)
    assert data.reading is not None
    winter = [f"{datetime(2020, m, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for m in (1, 2, 3)]
    later = load(tmp_path, layout, winter, "M", data.reading)
    assert (later.first, later.last) == (50 * 12, 50 * 12 + 2)


def test_the_days_of_a_place_with_summer_time_that_are_written_in_utc_are_its_own(tmp_path: Path) -> None:
    days = [datetime(2022, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")) + timedelta(days=n) for n in range(150)]
    data = load(tmp_path, "long", [f"{day.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for day in days], "D")
    assert data.task.frequency is not None
    assert data.task.frequency.label(data.first) == "2022-01-01"
    assert any("midnights of a place" in note for note in data.notes)
    evenings = [datetime(2022, 1, 1, 21) + timedelta(days=n) for n in range(150)]
    told = load(tmp_path, "long", [f"{evening:%Y-%m-%dT%H:%M:%SZ}" for evening in evenings], "D")
    assert any("every time is 21:00" in note for note in told.notes)


def test_midnights_of_a_place_in_a_file_with_types_are_of_the_month_that_begins_there(tmp_path: Path) -> None:
    firsts = [datetime(y, m, 1, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC) for y, m in MONTHS]
    path = tmp_path / "t.parquet"
    at = pl.Series(firsts, dtype=pl.Datetime("us", "UTC"))
    pl.DataFrame({"zip": ["a"] * len(at), "at": at, "rent": list(range(len(at)))}).write_parquet(path)
    data = load_panel_task_data(PanelFile(path, "long", ("zip",), "at", "rent", get_frequency("M"), 2))
    assert (data.first, data.last) == (48 * 12, 48 * 12 + 29)


@pytest.mark.parametrize(
    ("last", "day"),
    [
        ("2022-05-30T22:00:00Z", datetime(2022, 5, 31)),
        ("2022-05-30T20:00:00+02:00", datetime(2022, 5, 30, 20)),
        ("2022-05-30T20:00:00", datetime(2022, 5, 30, 20)),
        ("2022-05-30", datetime(2022, 5, 30)),
    ],
)
def test_the_last_moment_of_a_request_is_read_as_training_read_the_midnights_of_a_place(last: str, day: datetime) -> None:
    reading = PanelReading(PeriodReading("%Y-%m-%dT%H:%M:%S%.f", zoned=True, midnights=True))
    schema = PanelSchema("rents", "", "rent", None, "D", 7, 7, "long", ("zip",), "at", reading)
    row = build_panel_request_model(schema).row.model_validate({"series": "a", "values": [1, 2, 3], "last": last})
    assert row.model_dump()["last"] == day


@pytest.mark.parametrize("frequency", ["D", "W", "M", "Y"])
@pytest.mark.parametrize("odd", [date(9999, 12, 31), date(1, 1, 1)])
def test_a_day_of_no_sensible_year_in_a_file_with_types_is_refused_by_its_row(tmp_path: Path, frequency: str, odd: date) -> None:
    days = [date(2000, 1, 1) + timedelta(days=366 * n) for n in range(20)]
    at = pl.Series([*days, *days[:7], odd, *days[8:]])
    path = tmp_path / "t.parquet"
    pl.DataFrame({"zip": ["a"] * 20 + ["b"] * 20, "at": at, "rent": list(range(40))}).write_parquet(path)
    with pytest.raises(ColumnError, match=rf"years 1000 to 3000, first one of the year {odd.year} in row 28;"):
        load_panel_task_data(PanelFile(path, "long", ("zip",), "at", "rent", get_frequency(frequency), 2))


@pytest.mark.parametrize(
    ("name", "odd", "said"),
    [
        ("at", time(13, 30), "9 of 9 values are no times, first"),
        ("at", timedelta(days=3), "'at' holds Duration.*expected times"),
        ("zip", timedelta(days=3), "'zip' holds Duration.*expected names"),
        ("rent", timedelta(days=3), "'rent' holds Duration.*expected numbers"),
        ("rent", date(2020, 1, 1), "'rent' holds Date, expected numbers"),
        ("rent", datetime(2020, 1, 1), "'rent' holds Datetime.*expected numbers"),
    ],
)
def test_a_column_of_another_type_than_its_role_is_refused_by_name(
    tmp_path: Path, name: str, odd: date | time | timedelta, said: str
) -> None:
    columns = {"zip": ["a"] * 9, "at": [date(2020, month, 1) for month in range(1, 10)], "rent": list(range(9))}
    path = tmp_path / "t.parquet"
    pl.DataFrame(columns | {name: [odd] * 9}).write_parquet(path)
    with pytest.raises(ColumnError, match=said):
        load_panel_task_data(PanelFile(path, "long", ("zip",), "at", "rent", get_frequency("M"), 2))


@pytest.mark.parametrize("layout", ["wide", "long"])
def test_midnights_of_a_place_in_utc_are_of_their_month_though_training_had_plain_days(tmp_path: Path, layout: str) -> None:
    data = load(tmp_path, layout, [f"{y}-{m:02}-01" for y, m in MONTHS], "M")
    firsts = [datetime(2020, m, 1, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC) for m in range(1, 7)]
    later = load(tmp_path, layout, [f"{first:%Y-%m-%dT%H:%M:%SZ}" for first in firsts], "M", data.reading)
    assert span(later) == ("M", "2020-01", "2020-06")
    evenings = [f"2020-{m:02}-03T20:30:00Z" for m in range(1, 7)]
    assert span(load(tmp_path, layout, evenings, "M", data.reading)) == ("M", "2020-01", "2020-06")
