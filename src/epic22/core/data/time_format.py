"""Times as people write them: formats, tried in a fixed order, and the order of day and month that the whole column decides.

A new format is a line in `DATES`, `PERIODS` or `CLOCK_FORMATS`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import polars as pl

from epic22.core.data.number_format import normalize_signs, thin_out


@cache
def compile_shape(form: str) -> re.Pattern[str]:
    """What every value of a format looks like, to tell quickly which formats need not be tried.

    Compiled when it is looked for: hundreds at once would keep every command waiting that reads no time.

    >>> [bool(compile_shape("%Y-%m-%d").match(text)) for text in ("2024-03-01", "2024-03", "3/1/2024")]
    [True, False, False]
    """
    return re.compile(_build_shape(form) + END)


def _build_shape(form: str) -> str:
    """The pattern of what a format reads, and of a little more."""
    parts = re.split(r"(%y\+1|FY|%\.f|%:z|%[A-Za-z])", form.replace(" %p", "%p"))
    number = r"\s*\d{1,2}(st|nd|rd|th)?" if "%B" in form else r"\s*\d{1,2}"
    return "".join(DIRECTIVES.get(one, number) if one.startswith("%") or one == "FY" else re.escape(one) for one in parts)


WEEKDAYS = ("%A, %d %B %Y", "%A %d %B %Y", "%A, %B %d, %Y", "%A %B %d %Y")
WORDED_DATES = (
    *("%d %B %Y", "%d-%B-%Y", "%d/%B/%Y", "%d. %B %Y", "%B %d, %Y", "%B %d %Y"),
    *("%B-%d-%Y", "%Y-%B-%d", "%Y %B %d"),
)
DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    *WORDED_DATES,
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%m-%d-%y",
    "%d-%m-%y",
    "%d-%B-%y",
    "%d %B %y",
    "%G-W%V-%u",
    "%Y年%m月%d日",
    "%Y. %m. %d.",
    "%d.%B.%Y",
    "%d.%B.%y",
    *WEEKDAYS,
    "%y-%m-%d",
    "%y/%m/%d",
    "%y.%m.%d",
)
CLOCK_FORMATS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
DOTTED_MONTHS = {
    "%m.%Y": (r"^(?:0?[1-9]|1[0-2])\.(?:19|20)[0-9]{2}$", 3),
    "%Y.%m": (r"^(?:19|20)[0-9]{2}\.(?:0[1-9]|1[0-2])$", 5),
}
"""What months look like that are written as numbers are, and from how many different ones on chance explains it no more."""

MONTHS = (
    *("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%B %Y", "%B-%Y", "%B-%y", "%B %y", "%Y-%B", "%Y %B", "%B'%y", "%YM%m"),
    *("%Y-M%m", "%Y年%m月", "%B%Y", "%B%y", "%B/%Y", "%B/%y"),
    *DOTTED_MONTHS,
)
UNPARTED = ("%B%y",)
"""MARCH1 and SEP9 are names of something: a year that nothing parts from its month has two digits."""

MONTH_YEARS = (1600, 2199)
"""Months alone are of these years: flats like 1204-1 and accounts like 4000-10 are none."""

SHORT_YEAR_BEHIND, SHORT_YEAR_BEFORE = r"^[^:]*[^0-9:][0-9]{2}(?:[ T]|$)", r"^[0-9]{2}[^0-9]"
"""A year of two digits has two: Set 1, chapter 1.2.3 and Mar 5 have none."""

LAST_DAYS = (28, 31)
"""Where the numbers behind months and a blank end between these they are days without a year: Feb 28, Mar 31."""

WEEKS = ("%G-W%V", "%GW%V", "%G W%V")
QUARTERS = (
    *("%Y-Q%q", "%Y Q%q", "%YQ%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y", "%qQ%Y", "%qQ %Y"),
    *("Q%q '%y", "Q%q'%y", "Q%q-%y", "Q%q %y", "%qQ%y"),
)
FISCAL_YEARS = ("FY%Y", "FY%y", "%Y/%y+1", "%Y-%y+1")
"""FY2024, FY 24, 2023/24: each stands for the 1 January of the year that names it first."""

PERIODS = (*FISCAL_YEARS, *MONTHS, *WEEKS, *QUARTERS)
"""A month or a quarter alone stands for its first day, a week for its Monday."""

STAMPS = (
    *("%Y%m%dT%H%M%S", "%A %B %d %H:%M:%S %Y", "%d/%B/%Y:%H:%M:%S"),
    *("%Y%m%dT%H%M", "%Y%m%d %H:%M", "%Y%m%d %H:%M:%S%.f"),
)
"""As programs write moments: compact ISO 8601, C, the logs of web servers."""

ZONED_FORMATS = tuple(f"%Y-%m-%d{clock}{zone}" for zone in ("%:z", "%z") for clock in CLOCK_FORMATS[1:5])
ISO_FORMATS = tuple(f"{date}{clock}" for date in ("%Y-%m-%d",) for clock in CLOCK_FORMATS[:5])
TIME_FORMATS = (*ZONED_FORMATS, *(date + clock for date in DATES for clock in CLOCK_FORMATS), *STAMPS, *PERIODS)
"""Tried in this order, the month before the day. %B reads "Jan" as it reads "January"."""

DIRECTIVES = {
    "%Y": r"\s*[+-]?\d+",
    "%G": r"\d+",
    "%y+1": r"\d{2,4}",
    "FY": r"[Ff][Yy][ '-]?",
    "%B": r"\s*(de )?[^\W\d_]+\.?( del?)?",
    "%A": r"[^\W\d_]+\.?",
    "%p": r"\s*[AaPp]\.?\s?[Mm]\.?",
    "%.f": r"(\.\d+)?",
    "%:z": r".*",
    "%z": r".*",
}
ZONE_NAME = r"(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Canada|Etc|Europe|Indian|Pacific|US)/[A-Za-z0-9_/+-]+"
ZONE = rf"\s*\[?\b({ZONE_NAME})\]?$"
"""A named zone behind a local time, as in 2024-03-10 14:30 America/New_York."""

ZONE_OFFSETS = {
    **{"EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00", "MST": "-07:00", "MDT": "-06:00", "PST": "-08:00"},
    **{"PDT": "-07:00", "WET": "+00:00", "WEST": "+01:00", "CET": "+01:00", "CEST": "+02:00", "MEZ": "+01:00"},
    **{"MESZ": "+02:00", "EET": "+02:00", "EEST": "+03:00"},
}
"""What zones are ahead of UTC whose short names mean one thing: those of RFC 822 and of Europe."""

END = rf"([zZ]| UTC| GMT| ?[+-][0-9:]{{2,5}}|\s*\[?{ZONE_NAME}\]?)?$"
OFFSET = re.compile(r"(?:[zZ]|[+\-−]\d{2}:?\d{2}|[+\-−]\d{2})$")
CLOCK_WITH_OFFSET = r"(\d{1,2}:\d{2}\S*?(?: ?[AaPp][Mm])?|T\d{6})\s*([zZ]|[+\-−](?:0\d|1[0-4]):?\d{2}|[+\-−](?:0\d|1[0-4]))$"
"""An offset is one only behind a clock: 2024-03 has none. None is more than 14 hours: 16:00-17:00 is from one hour to another."""

MONTH_FIRST, DAY_FIRST = ("%m/%d", "%m-%d"), ("%d/%m", "%d-%m")
YEAR_LAST, YEAR_FIRST = (*MONTH_FIRST, *DAY_FIRST, "%d.%m"), ("%y",)
SHORT_DATE = r"^[0-9]{2}[-/.][0-9]{1,2}[-/.][0-9]{1,2}\b"
MIN_DATES_TO_COMPARE = 10
"""Of fewer different dates the range says little about whether the year of two digits stands before the month or behind it."""
TIME_SHAPE = r"(?i)[0-9].*[-/.: TQWZ,年]|^[0-9]{4}[M_][0-9]|^[QW][1-4]|^FY|\pL{3}.*[0-9]"
"""What every time has: digits, and something that parts them."""

FIRST_YEAR = 1000
"""The reader takes 1/2/24 for the year 24, or 1: nobody has rows from then, so it is no such year."""

MAX_SAMPLE, N_PROBED, MAX_FORMATS = 1000, 20, 5


@dataclass(frozen=True)
class TimeReading:
    """A column's time formats, and what they make of the different values, null where a value is no time.

    `open_value` is a value whose day and month could be exchanged, where nothing in the column tells which is which.
    """

    formats: tuple[str, ...]
    times: pl.Series
    open_value: str | None = None


def list_clocks(form: str) -> tuple[str, ...]:
    """The formats of the same date with every clock, this one first; a period has none.

    >>> list_clocks("%d.%m.%Y")[:3], list_clocks("%Y-Q%q")
    (('%d.%m.%Y', '%d.%m.%Y %H:%M', '%d.%m.%Y %H:%M:%S%.f'), ('%Y-Q%q',))
    """
    date = next((date for date in DATES for clock in CLOCK_FORMATS if date + clock == form), None)
    return (form,) if date is None else (form, *(date + clock for clock in CLOCK_FORMATS if date + clock != form))


def parse_times_as(text: pl.Series, form: str) -> pl.Series:
    """The values as times (naive UTC) in one format; null where they do not fit."""
    if form in ZONED_FORMATS:
        utc = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC").dt.replace_time_zone(None)
        return utc.set(utc.dt.year() < FIRST_YEAR, None)
    zones, text = split_zones(simplify_stamps(text))
    offsets, text = split_offsets(text.str.replace(r"(Z| UTC| GMT)$", ""))
    ends_day, text = split_midnights(text)
    if form in UNPARTED:
        text = text.set(~text.str.contains(r"[0-9]{2}$"), None)
    text = write_times_in_english(text) if "%B" in form or "%p" in form else text
    if form in MONTHS:
        text, form = ("1 " + text).alias(text.name), f"%d {form}"
    elif form in WEEKS:
        text, form = (text + "-1").alias(text.name), f"{form}-%u"
    elif form in QUARTERS:
        text, form = _write_quarters_as_months(text, form), "%d %Y-%m" if "%Y" in form else "%d %y-%m"
    elif form in FISCAL_YEARS:
        text, form = _write_fiscal_years_as_days(text, form), "%d-%m-%y" if form == "FY%y" else "%d-%m-%Y"
    moment = add_days(text.str.to_datetime(form, strict=False, time_unit="us"), ends_day)
    moment = moment if offsets.null_count() == len(offsets) else moment - offsets.fill_null(0).cast(pl.Duration("us"))
    moment = convert_to_utc(moment, zones)
    return moment.set(moment.dt.year() < FIRST_YEAR, None)


MIDNIGHT = r"([ T])24:00"

DAY_NAMES = (
    "mo|di|mi|do|fr|sa|so|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|sonntag|"
    "lun|mar|mer|jeu|ven|sam|dim|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|"
    "mié|mie|jue|vie|sáb|sab|dom|lunes|martes|miércoles|jueves|viernes|sábado|domingo|"
    "gio|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica|"
    "ma|wo|vr|za|zo|maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag"
)
ENGLISH_DAY_NAMES = r"mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
ANY_DAY_NAME = f"(?:{DAY_NAMES}|{ENGLISH_DAY_NAMES})"
"""Weekdays in German, French, Spanish, Italian and Dutch, and in English."""

REWRITES = (
    (r"(?i)\s+Uhr$", ""),
    (r"(?i)(?:,| at)\s+([0-9]{1,2}:[0-9])", " $1"),
    (r"(:[0-9]{2}:[0-9]{2}),([0-9]{1,9})", "$1.$2"),
    (r"\b(?:GMT|UTC) ?([+-][0-9]{2}:?[0-9]{2})(?: \([^)]*\))?$", "$1"),
    (r"([0-9]) (?:GMT|UTC) ([0-9]{4})$", "$1 $2"),
    (rf"([+-][0-9:]+|Z)\[{ZONE_NAME}\]$", "$1"),
    (r"(:[0-9]{2}) ?\(?(?:GMT|UTC) ?([+-])([0-9])(:[0-9]{2})?\)?$", "${1}${2}0${3}${4}"),
    (r"(:[0-9]{2}) ?\((?:GMT|UTC) ?([+-][0-9]{2}:?[0-9]{2})\)$", "$1$2"),
    (r"(:[0-9]{2}(?:\.[0-9]+)?) [zZ]$", "${1}Z"),
    (r"^([0-9]{4}-[0-9]{2}-[0-9]{2})t", "${1}T"),
    (r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2})h?$", "$1 $2:00"),
    (r"([-./][0-9]{2}|[0-9]{4}) ([0-9]{1,2})[h.]([0-9]{2})$", "$1 $2:$3"),
    (rf"(?i)^{ANY_DAY_NAME}\.?,?\s+([0-9]{{1,4}}[-./][0-9].*)$", "$1"),
    (rf"(?i)^(?:{DAY_NAMES})\.?,?\s+([0-9]{{1,2}}(?:\.|er|º)?\s+\pL{{3,}}.*)$", "$1"),
    (rf"(?i)^([0-9]{{1,4}}[-./][0-9]{{1,2}}[-./][0-9]{{1,4}}),?\s+\(?{ANY_DAY_NAME}\.?\)?$", "$1"),
    (r"^([0-9]{1,4}) ([/-]) ([0-9]{1,2}) ([/-]) ([0-9]{2,4})\b", "$1$2$3$4$5"),
    (r"^([0-9]{4}\.[0-9]{1,2}\.[0-9]{1,2})\.$", "$1"),
    (r"^([0-9]{4})_([0-9]{1,2})_([0-9]{1,2})$", "$1-$2-$3"),
    (r"^([0-9]{4})_([0-9]{1,2})$", "$1-$2"),
    (r"^([0-9]{4})년 ?([0-9]{1,2})월 ?([0-9]{1,2})일$", "$1-$2-$3"),
    (r"^([0-9]{4})년 ?([0-9]{1,2})월$", "$1-$2"),
    (r"^([0-9]{1,2})([A-Za-z]{3})([0-9]{2}|[0-9]{4})$", "$1 $2 $3"),
    (r"^([0-9]{1,2})([A-Za-z]{3})([0-9]{2}|[0-9]{4}):([0-9]{2}:)", "$1 $2 $3 $4"),
    (r"(\pL{3,})\.?, ([0-9]{4})\b", "$1 $2"),
    (r"(?i)^([0-9]{1,2})(?:st|nd|rd|th)? of (\pL)", "$1 $2"),
    (r"\b1\.?(?:er|º|°|ro) ", "1 "),
    (r"(?i)([0-9]{4}) ?(?:г|р|r)\.?$", "$1"),
    (r"^([0-9]{4})\. (\pL{3,}\.?) ([0-9]{1,2})\.?$", "$1 $2 $3"),
    (r"(?i)^(?:KW|CW|W|Wk|Week|Woche) ?([0-9]{1,2})[ ,/-]{1,2}([0-9]{4})$", "$2-W$1"),
    (r"(?i)^([0-9]{4})(?:[ /-]{0,2}(?:KW|CW)|/ ?W) ?([0-9]{1,2})$", "$1-W$2"),
    (r"^([0-9]{4})W([0-9]{2})([1-7])$", "$1-W$2-$3"),
    (r"^([0-9]{4}[ -]?)q([1-4])$", "${1}Q$2"),
    (r"^([0-9]{4})[/.:_] ?[Qq]([1-4])$", "${1}-Q$2"),
    (r"^([0-9]{4}) ([1-4])[Qq]$", "${1}-Q$2"),
    (r"^q([1-4][ /'-]{0,2}[0-9]{2,4})$", "Q$1"),
    (r"^[Qq]([1-4])(?:[.:_]|, ?)([0-9]{4})$", "Q$1 $2"),
    (r"^[Qq]([1-4])/([0-9]{2})$", "Q$1-$2"),
    (r"(?i)^([1-4])\.? ?(?:Quartal|Kwartaal|Kvartal|Kwartał|Trimestre) ([0-9]{4})$", "Q$1 $2"),
    (r"^[FA]Y[ '-]?([0-9]{4})[/-]([0-9]{2}|[0-9]{4})$", "$1/$2"),
)
"""What some programs and countries put around times and write in their own way, and the same as the formats have it: one list
for the times of rows and the periods of panels. What a format reads as it stands is none of these, for stored formats read it."""

ODD_STAMP = "|".join(f"(?:{pattern})" for pattern, _ in REWRITES) + r"|[0-9 ][A-Z]{3,4}$"


def simplify_stamps(text: pl.Series) -> pl.Series:
    """Times without what some programs put around them, in the notations that are read, and with offsets for the short names of
    zones.

    >>> stamps = ["01.02.2024, 13:00 Uhr", "2024-02-01 13:00 CET", "2024-02-01T13:00+01:00[Europe/Berlin]"]
    >>> simplify_stamps(pl.Series([*stamps, "2024-02-01 13:00:05,250"])).to_list()
    ['01.02.2024 13:00', '2024-02-01 13:00+01:00', '2024-02-01T13:00+01:00', '2024-02-01 13:00:05.250']
    >>> simplify_stamps(pl.Series(["KW 5/2024", "Fr, 01.03.2024", "2024_03_01", "1. Quartal 2024"])).to_list()
    ['2024-W5', '01.03.2024', '2024-03-01', 'Q1 2024']
    """
    text = normalize_signs(text)
    if not text.str.contains(ODD_STAMP).any():
        return text
    for pattern, replacement in REWRITES:
        text = text.str.replace(pattern, replacement)
    for name in text.str.extract(r"\b([A-Z]{3,4})$").drop_nulls().unique().to_list():
        if name in ZONE_OFFSETS:
            text = text.str.replace(rf"(:[0-9]{{2}}\S*(?: ?[AaPp][Mm])?) ?{name}$", "${1}" + ZONE_OFFSETS[name])
    return text


def split_zones(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The named zones of the times, null where none is named, and the times without them."""
    zones = text.str.extract(ZONE)
    return zones, text if zones.null_count() == len(zones) else text.str.replace(ZONE, "")


def split_midnights(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Which times are the end of a day, 24:00, and the times with its beginning instead, 00:00."""
    ends_day = text.str.contains(MIDNIGHT).fill_null(value=False)
    return ends_day, text.str.replace(MIDNIGHT, "${1}00:00") if ends_day.any() else text


def add_days(moments: pl.Series, ends_day: pl.Series) -> pl.Series:
    """The moments, a day later where they are the end of one."""
    return moments.zip_with(~ends_day, moments.dt.offset_by("1d")) if ends_day.any() else moments


def convert_to_utc(moments: pl.Series, zones: pl.Series) -> pl.Series:
    """Local times of named zones in UTC; null where the zone has no such hour, or is none. Of an hour that comes twice the first
    is taken."""
    for zone in zones.drop_nulls().unique().to_list():
        try:
            local = moments.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
            utc = local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        except pl.exceptions.ComputeError:
            utc = moments.clear(len(moments))
        moments = moments.zip_with((zones != zone).fill_null(value=True), utc)
    return moments


def _write_fiscal_years_as_days(text: pl.Series, form: str) -> pl.Series:
    """The first day of each fiscal year, as text; null where the value is none in this format."""
    if form.startswith("FY"):
        year = text.str.extract("(?i)^FY[ '-]?([0-9]{4})$" if form == "FY%Y" else "(?i)^FY[ '-]?([0-9]{2})$")
        return ("1-1-" + year).alias(text.name)
    parts = text.str.extract_groups(f"^([0-9]{{4}}){form[2]}([0-9]{{2}}|[0-9]{{4}})$").struct.unnest()
    first, second = parts["1"].cast(pl.Int64), parts["2"].cast(pl.Int64)
    follows = ((second == first + 1) | (second == (first + 1) % 100)).fill_null(value=False)
    return ("1-1-" + parts["1"].set(~follows, None)).alias(text.name)


WESTERN_MONTHS = {
    "January": "januar jänner jän janvier janv enero ene gennaio gen janeiro januari",
    "February": "februar février fevrier févr fevr fév fev febrero febbraio fevereiro februari",
    "March": "märz maerz mär mrz mars marzo março marco maart mrt marts",
    "April": "avril avr abril abr aprile",
    "May": "mai mayo maggio mag maio mei maj",
    "June": "juni juin junio giugno giu junho",
    "July": "juli juillet juil julio luglio lug julho",
    "August": "août aout agosto ago augustus augusti",
    "September": "sept septembre septiembre settembre setembro set",
    "October": "oktober okt octobre octubre ottobre ott outubro out",
    "November": "novembre noviembre novembro",
    "December": "dezember dez décembre decembre déc diciembre dic dicembre dezembro desember",
}
"""Months in German, French, Spanish, Italian, Portuguese, Dutch and the languages of Scandinavia."""

EASTERN_MONTHS = {
    "January": "styczeń stycznia sty leden ledna январь января янв січень січня січ ocak oca január januára ianuarie",
    "February": "luty lutego lut únor února úno февраль февраля фев февр лютий лютого лют şubat şub február februára februarie",
    "March": "marzec marca březen března bře март марта мар березень березня бер mart március marec martie",
    "April": "kwiecień kwietnia kwi duben dubna dub апрель апреля апр квітень квітня квіт nisan nis április apríl apríla aprilie",
    "May": "maja květen května kvě май мая травень травня трав mayıs május máj mája",
    "June": "czerwiec czerwca cze červen června čvn июнь июня июн червень червня черв haziran haz június jún júna iunie",
    "July": "lipiec lipca lip červenec července čvc июль июля июл липень липня лип temmuz tem július júl júla iulie",
    "August": "sierpień sierpnia sie srpen srpna srp август августа авг серпень серпня серп ağustos ağu augusztus augusta",
    "September": "wrzesień września wrz září zář сентябрь сентября сен "
    "сент вересень вересня вер eylül eyl szeptember septembra septembrie",
    "October": "październik października paź říjen října říj октябрь октября "
    "окт жовтень жовтня жовт ekim eki október októbra octombrie",
    "November": "listopad listopada listopadu lis ноябрь ноября ноя нояб листопад листопада лист kasım kas novembra noiembrie",
    "December": "grudzień grudnia gru prosinec prosince декабрь декабря дек грудень грудня груд aralık ara decembra decembrie",
}
"""Months in Polish, Czech, Russian, Ukrainian, Turkish, Hungarian, Slovak and Romanian; those of Croatian have other months."""

MONTH_NAMES = {name: f"{words} {EASTERN_MONTHS[name]}" for name, words in WESTERN_MONTHS.items()}

MONTH_PATTERNS = {name: f"(?i)\\b(?:{words.replace(' ', '|')})\\b\\.?" for name, words in MONTH_NAMES.items()}
ANY_MONTH = f"(?i)\\b(?:{'|'.join(' '.join(MONTH_NAMES.values()).split())})\\b"


def write_times_in_english(text: pl.Series) -> pl.Series:
    """Times with English names of months, without endings of ordinals and dots of abbreviations, a blank before am and pm.

    >>> write_times_in_english(pl.Series(["1. März 2023", "2nd Sept 2023", "3 de oct. de 2023 1:05p.m."])).to_list()
    ['1. March 2023', '2 September 2023', '3 oct 2023 1:05 pm']
    """
    text = text.str.replace(r"(?i)([0-9])\s*([ap])\.?\s?m\.?$", "$1 ${2}m")
    text = text.str.replace(r"(?i)\b([0-9]{1,2})(?:st|nd|rd|th)\b", "$1").str.replace(r"(\pL{3,})\.([^0-9]|$)", "${1}${2}")
    text = text.str.replace_all(r"(?i) del? ", " ")
    if not text.str.contains(ANY_MONTH).any():
        return text
    for name, pattern in MONTH_PATTERNS.items():
        text = text.str.replace(pattern, name)
    return text


def _write_quarters_as_months(text: pl.Series, form: str) -> pl.Series:
    """A day of the first month of each quarter, as text; null where the value is no quarter in this format."""
    pattern = form.replace("%Y", "(?P<year>[0-9]{4})").replace("%y", "(?P<year>[0-9]{2})").replace("%q", "(?P<quarter>[1-4])")
    parts = text.str.extract_groups(f"(?i)^{pattern}$").struct.unnest()
    month = (parts["quarter"].cast(pl.Int64, strict=False) * 3 - 2).cast(pl.String)
    return ("1 " + parts["year"] + "-" + month).alias(text.name)


def parse_times_in(text: pl.Series, formats: Sequence[str]) -> pl.Series:
    """The values as times (naive UTC) in the first of the formats that each fits; null where it fits none."""
    moment = pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("us"))
    for form in formats:
        if moment.null_count() > text.null_count():
            moment = moment.zip_with(moment.is_not_null(), parse_times_as(text, form))
    return moment


def split_offsets(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The offsets from UTC in microseconds, null where none is stated, and the texts without them: the local time."""
    if text.str.contains("(?:UTC|GMT)$").any():
        text = text.str.replace(r"(:[0-9]{2}\S*) ?(?:UTC|GMT)$", "${1}Z")
    has_offset = text.str.contains(CLOCK_WITH_OFFSET).fill_null(value=False)
    if not has_offset.any():
        return pl.Series([None] * len(text), dtype=pl.Int64), text
    bare = text.str.replace(OFFSET.pattern, "").str.strip_chars_end()
    offset_text = text.str.extract(f"({OFFSET.pattern})").str.to_uppercase().str.replace("Z", "+00").str.replace(":", "")
    sign = pl.select(pl.when(offset_text.str.contains("^[-−]")).then(-1).otherwise(1)).to_series()
    minutes = offset_text.str.slice(1, 2).cast(pl.Int64, strict=False) * 60
    minutes = minutes + offset_text.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    offsets = (sign * minutes * 60_000_000).set(~has_offset, None)
    return offsets, bare.zip_with(has_offset, text)


def name_offset(name: str) -> str:
    """The name of the column that holds the offsets from UTC of a column of times."""
    return f"UTC offset of {name}"


def find_offsets(raw: pl.Series) -> pl.Series:
    """Which texts state an offset from UTC or a named zone."""
    zones, text = split_zones(simplify_stamps(raw.str.strip_chars()))
    return zones.is_not_null() | split_offsets(text)[0].is_not_null()


def has_own_clock(raw: pl.Series) -> bool:
    """Whether any stamp states another offset than that of UTC, or a named zone."""
    if raw.dtype == pl.String:
        zones, text = split_zones(simplify_stamps(raw))
        return bool(zones.is_not_null().any() or (split_offsets(text)[0] != 0).any())
    return isinstance(raw.dtype, pl.Datetime) and bool((read_offsets(raw, raw) != 0).any())


def read_offsets(raw: pl.Series, times: pl.Series) -> pl.Series:
    """The hours by which the clock of each stamp is ahead of UTC: 0 where it states no offset, null where there is no time."""
    minutes = pl.repeat(0, len(raw), dtype=pl.Int64, eager=True)
    if raw.dtype == pl.String:
        zones, text = split_zones(simplify_stamps(raw.str.strip_chars()))
        minutes = split_offsets(text)[0].fill_null(0) // 60_000_000
        for zone in zones.drop_nulls().unique().to_list():
            minutes = minutes.zip_with((zones != zone).fill_null(value=True), _read_zone_minutes(times, zone))
    elif isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone is not None:
        minutes = (raw.dt.base_utc_offset() + raw.dt.dst_offset()).dt.total_minutes()
    return (minutes / 60).set(times.is_null(), None).alias(name_offset(raw.name))


def _read_zone_minutes(times: pl.Series, zone: str) -> pl.Series:
    """The minutes that a zone is ahead of UTC at moments in UTC; 0 for a zone that is none."""
    try:
        local = times.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    except pl.exceptions.ComputeError:
        return pl.repeat(0, len(times), dtype=pl.Int64, eager=True)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_minutes()


def infer_time_formats(values: pl.Series, day_first: bool | None = None) -> TimeReading | None:
    """The formats that read most of a column's different values; None where they read hardly any.

    Day and month have one order in the whole column: as `day_first` says, else whichever reads more, else the one in which the
    days are more plausible, else the month first. A year of two digits stands first where that reads as many dates, in less than
    half of the range.
    """
    sample = thin_out(values, MAX_SAMPLE)
    reading = _infer_order(values, sample, day_first)
    if day_first is not None or 2 * sample.str.contains(SHORT_DATE).sum() < len(sample):
        return reading
    year_first = _infer_in_order(values, sample, YEAR_LAST)
    n_unread, n_unread_now = year_first.times.null_count(), len(values) if reading is None else reading.times.null_count()
    if reading is None or n_unread != n_unread_now:
        return year_first if n_unread < n_unread_now and 2 * n_unread <= len(values) else reading
    is_narrow = 2 * _measure_range(year_first.times) < _measure_range(reading.times)
    return year_first if is_narrow and len(values) >= MIN_DATES_TO_COMPARE else reading


def find_dotted_months(values: pl.Series) -> str | None:
    """The format of months that are written as numbers are, 03.2019 or 2019.03; None where the different values are none.

    >>> find_dotted_months(pl.Series(["03.2019", "11.2020", "1.2021"])), find_dotted_months(pl.Series(["3.5", "11.2", "1.1"]))
    ('%m.%Y', None)
    """
    fits = (form for form, (shape, n) in DOTTED_MONTHS.items() if values.str.contains(shape).all() and values.n_unique() >= n)
    # Rates like 1.1952 and 1.2013 are no Januaries.
    has_one_month = bool(values.str.contains(r"^[1-9]\.").all()) and values.str.head(1).n_unique() == 1
    return None if has_one_month else next(fits, None)


def _measure_range(times: pl.Series) -> float:
    present = times.drop_nulls()
    return 0.0 if present.is_empty() else (present.max() - present.min()).total_seconds()  # type: ignore[operator, union-attr]


def _infer_order(values: pl.Series, sample: pl.Series, day_first: bool | None) -> TimeReading | None:
    """The formats that read most of the values in the order of day and month that they show; None where they read hardly any."""
    if 2 * normalize_signs(sample).str.contains(TIME_SHAPE).sum() < len(sample):
        return None
    if day_first is not None:
        known = _infer_in_order(values, sample, (*(MONTH_FIRST if day_first else DAY_FIRST), *YEAR_FIRST))
        return known if 2 * known.times.null_count() <= len(values) else None
    candidates = [_infer_in_order(values, sample, (*unwanted, *YEAR_FIRST)) for unwanted in (DAY_FIRST, MONTH_FIRST)]
    month_first, of_days = candidates
    if month_first.times.null_count() != of_days.times.null_count():
        best = min(candidates, key=lambda one: one.times.null_count())
        return best if 2 * best.times.null_count() <= len(values) else None
    if 2 * month_first.times.null_count() > len(values):
        return None
    if month_first.times.equals(of_days.times):
        return month_first
    if _has_only_firsts(of_days.times) and not _has_only_firsts(month_first.times):
        return of_days
    differing = (month_first.times != of_days.times).fill_null(value=False).arg_true()
    open_value = str(values[differing[0]]) if len(differing) else None
    return TimeReading(month_first.formats, month_first.times, open_value)


def _has_only_firsts(times: pl.Series) -> bool:
    """Whether there are several months, and every day is the first of its month."""
    return bool((times.dt.day() == 1).all()) and times.dt.month().n_unique() > 2


def _infer_in_order(values: pl.Series, sample: pl.Series, unwanted: Sequence[str]) -> TimeReading:
    """The formats, one after another, that read most of what those before leave, without those that begin as unwanted."""
    formats: list[str] = []
    times = pl.Series(values.name, [None] * len(values), dtype=pl.Datetime("us"))
    left, remaining = sample, [form for form in TIME_FORMATS if not form.startswith(tuple(unwanted))]
    while len(formats) < MAX_FORMATS and not left.is_empty():
        form = _choose_format(left, remaining)
        if form is None:
            break
        formats.append(form)
        remaining.remove(form)
        times = times.zip_with(times.is_not_null(), _parse_likely(values, form))
        left = thin_out(values.filter(times.is_null()), MAX_SAMPLE)
    return TimeReading(tuple(formats), times)


def _choose_format(values: pl.Series, forms: Sequence[str]) -> str | None:
    """The format that reads most of the values, the earlier where several do; None where none reads any."""
    few = simplify_stamps(thin_out(values, N_PROBED)).to_list()
    likely = [form for form in forms if any(compile_shape(form).match(value) for value in few)]
    counts = {form: values.len() - _parse_likely(values, form).null_count() for form in likely}
    return max(likely, key=lambda form: counts[form], default=None)


def _parse_likely(values: pl.Series, form: str) -> pl.Series:
    """The values as times in one format where nobody said that they are any; null also where names are written so, and times
    hardly ever are."""
    moments = parse_times_as(values, form)
    if form in MONTHS:
        moments = moments.set(~moments.dt.year().is_between(*MONTH_YEARS), None)
    if "%y" not in form or form in FISCAL_YEARS:
        return moments
    text = simplify_stamps(values)
    moments = moments.set(~text.str.contains(SHORT_YEAR_BEFORE if form.startswith("%y") else SHORT_YEAR_BEHIND), None)
    last = text.str.extract(r"^\pL+\.? ([0-9]{2})$").cast(pl.Int64).max() if form in MONTHS else None
    is_of_days = last is not None and LAST_DAYS[0] <= last <= LAST_DAYS[1]  # type: ignore[operator]
    return moments.clear(len(moments)) if is_of_days else moments
