"""Numbers as people write them: marks, currencies, units, percent signs, brackets for negative ones.

The format is inferred once from a column's different values, and parsed by it ever after. A new notation is a line in `MARKS` or
a word in `CURRENCIES`.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from epic22.core.column import NumberFormat
from epic22.core.serialization import view

MARKS = ((".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"))
"""Decimal and thousands marks, in the order in which they are preferred where several read all numbers of a column."""

CERTAIN_MARKS = (" ", "'")
"""Marks that part nothing but thousands."""

SIGNS = "% $ € £ ¥ ₹ ₽ ₩ ₺ ₪ ₫ ฿ ₦ ₱ ¢ R$ US$ A$ AU$ C$ CA$ NZ$ HK$ NT$ S$ MX$ Rs Rs. kr kr. zł Kč Ft Fr. SFr. R Rp RM"
CODES = "CHF EUR USD GBP JPY INR BRL CAD AUD NZD CNY RMB SEK NOK DKK PLN CZK HUF RUB TRY ZAR MXN SGD HKD THB IDR AED SAR PHP"
CURRENCIES = (*SIGNS.split(), *CODES.split())
"""What may stand before a number; behind it a unit of any name may."""

SCALES = {
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "mio": 1e6,
    "million": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "mrd": 1e9,
}
SCALES |= {"lac": 1e5, "lakh": 1e5, "cr": 1e7, "crore": 1e7}
SCALES |= {"tsd": 1e3, "tys": 1e3, "тыс": 1e3, "mln": 1e6, "mill": 1e6, "млн": 1e6, "mld": 1e9, "млрд": 1e9}
"""What multiplies a number, in small letters without its dot. An m alone is a metre, an M is a million."""

CREDIT_MARKS = ("cr", "dr", "db")
"""Credit and debit, in small letters: beside bare numbers they are a sign, and neither a unit nor ten millions."""

UNIT_SPELLINGS = (
    *("$ USD US$", "€ EUR Euro", "£ GBP", "¥ JPY CNY", "₹ INR", "₽ RUB", "₪ ILS", "CHF SFr", "₺ TL TRY", "zł PLN", "Kč CZK"),
    *("m² m2 qm sqm m^2", "m³ m3 cbm m^3", "ft² ft2 sqft sqf ft^2 sf", "km² km2 qkm", "kWh/m² kWh/m2", "% percent pct"),
)
UNIT_KEYS = {way.lower(): ways.split()[0].lower() for ways in UNIT_SPELLINGS for way in ways.split()}
"""The ways to write one currency or unit, in small letters without blanks and points, and the first of them."""

SCALE = "|".join(sorted({word for one in SCALES for word in (one.upper(), one.title(), one)} - {"m"}, key=len, reverse=True))

NO_BREAK_SPACES, APOSTROPHES, MINUS_SIGNS = "[\u00a0\u2002-\u200a\u202f\u3000]", "[\u2019\u02bc\u00b4`]", "[\u2212\u2013]"
DASHES_FOR_CENTS = r"([0-9][.,])[-\u2013\u2014]{1,2}"
END_OF_PRICE = r"([0-9])\s*/[-=]$"
"""As India and East Africa end a price without cents: Rs. 500/- is no negative one."""

ZEROS = (0x660, 0x6F0, 0xFF10, 0x966, 0x9E6, 0xA66, 0xAE6, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20, 0x1040, 0x17E0)
OTHER_DIGITS = r"[\p{Nd}&&[^0-9]]|[\uff04-\uff1a]"
PLAIN_DIGITS = {chr(zero + i): str(i) for zero in ZEROS for i in range(10)}
PLAIN_DIGITS |= {"\u066b": ".", "\u066c": ",", **{chr(0xFEE0 + ord(sign)): sign for sign in "$%(),-.:"}}
"""Arabic, Persian, fullwidth, Indian and East Asian digits, and the Arabic and fullwidth marks."""

UNIT = r"(?:\p{L}[23]|[%‰°+″\"'/\p{Sc}\p{L}])(?:\p{L}[23]|[^0-9()])*?"
"""A unit of any name: m2, km/h, reviews, €/m²."""

EXPONENT = r"(?:[eE][+-]?[0-9]{1,3})?"
PREFIX = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
BRACKETS_BEHIND_CURRENCY = rf"^({PREFIX})\s*\(([0-9][^()]*)\)$"
BRACKETS_BEFORE_CURRENCY = rf"^\(([0-9][^()]*)\)\s*({PREFIX})$"
DASH_FOR_ZERO = rf"^({PREFIX})\s*-$"
"""As spreadsheets write amounts: $(12.50) and (12,50) € for minus twelve and a half, and $ - for nothing."""

PARTS = (
    rf"^(?P<open>\()?\s*(?P<sign>[+-])?\s*(?P<prefix>{PREFIX})?\s*(?P<inner>[+-])?\s*"
    r"(?P<body>[0-9](?:[0-9.,' ]*[0-9])?[.,]?|[.,][0-9]+)"
    rf"(?P<exponent>{EXPONENT})\s*(?P<suffix>(?:{UNIT})?)\s*(?P<trailing>-)?\s*(?P<close>\))?$"
)
OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
ADDRESS = rf"^(?:{OCTET}\.){{3}}{OCTET}$"
"""An address of a machine, 192.168.100.200, is a name."""

NAME_DIGITS = r"^0[0-9]+$|^[0-9]+[eE][0-9]+$"
"""Whole numbers with leading zeros, or with an exponent as no program writes it: codes, not numbers."""

MAX_WHOLE_DIGITS = 18
"""Of longer whole numbers not all fit 64 bits."""

OPEN_POINTS = r"^[+-]?(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]{1,3})$"
"""Numbers whose points may part thousands, and those that have none."""

MIN_AFFIX_SHARE = 0.05
"""A currency or a unit that fewer of the different numbers have is damage: 1O for 10."""

LOOKALIKES = ("o", "l", "i", "b", "z")
"""Letters that are taken for digits, and digits for them, by people and by scanners."""

HOUSE_LETTERS = ("a", "b", "c", "d", "e")
"""Beside bare numbers 12a is another house than 12, and no twelve of a unit."""

MIN_BARE_NUMBERS = 3
MAX_SAMPLE, MAX_ROUNDS = 1000, 4


NUMBER_FORMAT_KEYS = "decimal thousands affixes brackets scaled notation?"
NUMBER_FORMAT_VIEW = view(NumberFormat, f"{NUMBER_FORMAT_KEYS} grouped?")
HASHED_NUMBER_FORMAT_VIEW = view(NumberFormat, NUMBER_FORMAT_KEYS)
"""What JSON shows of a format, and what of it is hashed with a model."""


class NumberText(str):
    """The text of what a file has as a number, not as a text: 1.103 is never 1103 there."""

    __slots__ = ()


@dataclass(frozen=True)
class NumberReading:
    """A column's number format, and what it makes of the different values.

    `numbers` is null where a value is none in this format. `open_value` is a value that another format would read otherwise,
    where nothing in the column tells which is right. `units` are the affixes of numbers with other units than the format's.
    """

    format: NumberFormat
    numbers: pl.Series
    open_value: str | None = None
    units: tuple[str, ...] = ()


def normalize_signs(text: pl.Series) -> pl.Series:
    """The text with one kind of space, apostrophe and minus sign, digits of ASCII, and 7,00 for 7,- (a price without cents).

    >>> normalize_signs(pl.Series(["٧٫٥", "１２", "1’200.—", "7,- €", "$ (5)", "$ -", "Rs. 500/-"])).to_list()
    ['7.5', '12', "1'200.00", '7,00 €', '($5)', '$0', 'Rs. 500']
    """
    if text.str.contains(f"{BRACKETS_BEHIND_CURRENCY}|{BRACKETS_BEFORE_CURRENCY}|{DASH_FOR_ZERO}").any():
        text = text.str.replace(BRACKETS_BEHIND_CURRENCY, "($1$2)").str.replace(BRACKETS_BEFORE_CURRENCY, "($1 $2)")
        text = text.str.replace(DASH_FOR_ZERO, "${1}0")
    odd_signs = (NO_BREAK_SPACES, APOSTROPHES, MINUS_SIGNS, DASHES_FOR_CENTS, END_OF_PRICE, OTHER_DIGITS)
    if not text.str.contains("|".join(odd_signs)).any():
        return text
    text = text.str.replace_many(PLAIN_DIGITS).str.replace(END_OF_PRICE, "$1")
    text = text.str.replace_all(NO_BREAK_SPACES, " ").str.replace_all(APOSTROPHES, "'")
    return text.str.replace(DASHES_FOR_CENTS, "${1}00").str.replace_all(MINUS_SIGNS, "-")


def parse_plain_numbers(text: pl.Series) -> pl.Series:
    """Integers where all are, else floats; null where a value is no number without marks for thousands."""
    whole = text.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == text.null_count() else text.cast(pl.Float64, strict=False).fill_nan(None)


def parse_numbers_as(text: pl.Series, form: NumberFormat) -> pl.Series:
    """The values as numbers in one format, integers where all are; null where they do not fit.

    >>> parse_numbers_as(pl.Series(["1.234,50 €", "(7)", "1,5 kg"]), NumberFormat(",", ".", ("€",), brackets=True)).to_list()
    [1234.5, -7.0, None]
    """
    if form == NumberFormat():
        number = parse_plain_numbers(text)
        if number.null_count() == text.null_count():
            return number
    part = {
        name: pl.col("parts").struct.field(name) for name in ("open", "sign", "before", "inner", "body", "exponent", "behind")
    }
    part |= {name: pl.col("parts").struct.field(name) for name in ("trailing", "close", "scale")}
    digits = part["body"].str.replace_all(form.thousands, "", literal=True).str.replace(form.decimal, ".", literal=True)
    is_negative = part["sign"].eq_missing("-") | part["inner"].eq_missing("-")
    is_negative = is_negative | part["trailing"].is_not_null() | part["open"].is_not_null()
    # Half a pair of brackets is damage, and two signs are too; 4,539E+00 has no thousands.
    is_odd = (part["open"].is_null() != part["close"].is_null()) | (part["sign"].is_not_null() & part["inner"].is_not_null())
    is_odd = is_odd | ((part["exponent"] != "") & part["body"].str.contains(form.thousands, literal=True))
    if form.needs_affix:
        is_bare = part["before"].is_null() & part["behind"].is_null()
        is_odd = is_odd | (is_bare & part["body"].str.contains("[1-9]"))
    signed = pl.when(is_odd).then(None).when(is_negative).then("-" + digits).otherwise(digits) + part["exponent"]
    parts = normalize_signs(text).str.extract_groups(_build_pattern(form)).to_frame("parts")
    text_numbers = parts.select(signed).to_series()
    number = parse_plain_numbers(text_numbers.alias(text.name))
    if form.scaled:
        scale = parts.select(
            part["scale"].str.to_lowercase().replace_strict(SCALES, default=1.0, return_dtype=pl.Float64)
        ).to_series()
        number = (number * scale).alias(text.name)
    plain = text.cast(pl.Float64, strict=False).fill_nan(None) if form == NumberFormat() else None
    # Infinity is a number of the plain format, which is refused as such.
    return number if plain is None or plain.null_count() >= number.null_count() else plain


def parse_later_numbers(text: pl.Series, form: NumberFormat, is_whole: bool = False) -> pl.Series:
    """The values of a later file as numbers (floats) in the format of the training; where that had no marks of thousands, or
    whole numbers alone, with marks that can be nothing else.

    >>> parse_later_numbers(pl.Series(["1.234,50", "1 234,50", "1'234,5", "1234.5"]), NumberFormat(",", ".")).to_list()
    [1234.5, 1234.5, 1234.5, None]
    >>> parse_later_numbers(pl.Series(["70,5", "70.5", "1,234"]), NumberFormat(), is_whole=True).to_list()
    [70.5, 70.5, 1234.0]
    """
    forms = [] if form.grouped else [replace(form, thousands=mark) for mark in CERTAIN_MARKS]
    forms += [replace(form, decimal=form.thousands, thousands=form.decimal)] if is_whole and form.thousands in ",." else []
    numbers = parse_numbers_as(text, form).cast(pl.Float64)
    for other in forms:
        if numbers.null_count() > text.null_count():
            numbers = numbers.fill_null(parse_numbers_as(text, other).cast(pl.Float64))
    return numbers


def _build_pattern(form: NumberFormat) -> str:
    """The pattern of one number in a format, with its parts as groups."""
    affix = "|".join(re.escape(one) for one in sorted(_list_spellings(form.affixes), key=len, reverse=True)) or "[^\\s\\S]"
    scale = f"(?-i:{SCALE})" if form.scaled else "[^\\s\\S]"
    left, right = (r"\(", r"\)") if form.brackets else ("[^\\s\\S]", "[^\\s\\S]")
    return (
        rf"(?i)^(?P<open>{left})?\s*(?P<sign>[+-])?\s*(?P<before>{affix})?\s*(?P<inner>[+-])?\s*"
        rf"(?P<body>{_build_body(form.decimal, form.thousands)})(?P<exponent>{EXPONENT})\s*(?:(?P<scale>{scale})\.?)?\s*"
        rf"(?:(?P<behind>{affix})\.?)?\s*"
        rf"(?P<trailing>-)?\s*(?P<close>{right})?$"
    )


def _build_body(decimal: str, thousands: str) -> str:
    """The pattern of the digits between sign and unit; a group of thousands never begins with zero."""
    d, t = re.escape(decimal), re.escape(thousands)
    groups = rf"[1-9][0-9]{{0,2}}(?:{t}[0-9]{{3}})+"
    if thousands == ",":
        groups = rf"{groups}|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}}"
    return rf"(?:{groups}|[0-9]+)(?:{d}[0-9]*)?|{d}[0-9]+"


def infer_number_format(values: pl.Series, decimal: str | None = None) -> NumberReading | None:
    """The format that reads most of a column's different values; None where it reads hardly any.

    The whole column decides on the marks: a sample first, then whatever the sample's format could not read. `decimal` is the
    decimal mark where it is known.
    """
    candidates = [marks for marks in MARKS if decimal in (None, marks[0])]
    sample = thin_out(values, MAX_SAMPLE)
    reading = _infer_from_sample(sample, candidates)
    if reading is None:
        return None
    for _ in range(MAX_ROUNDS):
        numbers = parse_numbers_as(values, reading.format)
        left = values.filter(numbers.is_null())
        if left.is_empty() or len(values) <= MAX_SAMPLE:
            break
        wider = pl.concat([sample, thin_out(left, MAX_SAMPLE)]).unique(maintain_order=True)
        again = _infer_from_sample(wider, candidates)
        if len(wider) == len(sample) or again is None or again.format == reading.format:
            break
        sample, reading = wider, again
    grouped = normalize_signs(values).str.contains(rf"[0-9]{re.escape(reading.format.thousands)}[0-9]").any() or None
    return NumberReading(replace(reading.format, grouped=grouped), numbers, reading.open_value, reading.units)


def thin_out(values: pl.Series, n: int) -> pl.Series:
    """At most n values, evenly over the whole."""
    return values if len(values) <= n else values.gather_every(-(-len(values) // n))


def _infer_from_sample(sample: pl.Series, candidates: Sequence[tuple[str, str]]) -> NumberReading | None:
    parts = normalize_signs(sample).str.extract_groups(PARTS).struct.unnest()
    is_number = parts["body"].is_not_null() & (parts["open"].is_null() == parts["close"].is_null())
    if 2 * is_number.sum() < len(sample):
        return None
    # 1. Married, 2. Single are no numbers of married and single.
    is_item = parts["body"].str.contains(r"[.,]$") & (parts["suffix"] != "")
    parts = parts.filter(is_number & ~is_item)
    if parts["body"].str.contains(ADDRESS).all():
        return None
    suffix = parts["suffix"].str.strip_chars()
    # 900 beside 1.2k, and 1.2M beside 900k.
    scaled_suffix = suffix.str.extract(rf"^(?:{SCALE})\.?(\s*(?:{PREFIX})|)$")
    is_scale = scaled_suffix.is_not_null()
    scaled = bool(is_scale.any()) and bool((is_scale | (suffix == "") | suffix.is_in(list(CURRENCIES))).all())
    scaled = scaled and not _are_credit_marks(suffix)
    if scaled:
        parts = parts.with_columns(suffix.zip_with(~is_scale, scaled_suffix.str.strip_chars()).alias("suffix"))
    affixes, others = _choose_affixes(parts)
    fits = pl.select(_affix_fits(parts["prefix"], affixes) & _affix_fits(parts["suffix"], affixes)).to_series()
    parts = parts.filter(fits)
    if parts.is_empty():
        return NumberReading(NumberFormat(), parts["body"], units=others) if others else None
    marks, other = _choose_marks(parts, candidates)
    form = NumberFormat(*marks, affixes=affixes, brackets=parts["open"].is_not_null().any(), scaled=scaled)
    return NumberReading(form, parts["body"], other, others)


def _affix_key(affix: str) -> str:
    """What is the same in review and reviews, or in EUR and Eur."""
    plain = affix.lower().replace(" ", "").replace(".", "")
    if "/" in plain.strip("/") and plain not in UNIT_KEYS:
        return "/".join(_affix_key(part) for part in plain.split("/"))
    # An ms is no plural of m.
    return UNIT_KEYS.get(plain, plain.rstrip("s") if len(plain) > 2 else plain) or plain


def _list_spellings(affixes: Sequence[str]) -> set[str]:
    """The affixes, and the other ways to write the same: a later file may have m2 for the m² of training, and EUR/m2 for €/m².

    >>> sorted(_list_spellings(["zł/h"]))
    ['PLN/h', 'zł/h']
    """
    parts = ([_list_ways(part) for part in affix.split("/")] for affix in affixes)
    return {
        *affixes,
        *(way for affix in affixes for way in _list_ways(affix)),
        *("/".join(p) for ways in parts for p in itertools.product(*ways)),
    }


def _list_ways(unit: str) -> Sequence[str]:
    """The ways to write one currency or unit, this one first: 1 star for stars, kr for kr."""
    key, bare = _affix_key(unit), unit.rstrip(".")
    known = (way for ways in UNIT_SPELLINGS if UNIT_KEYS[ways.split()[0].lower()] == key for way in ways.split())
    is_word = len(bare) > 2 and bare.isalpha() and bare.lower() not in UNIT_KEYS
    number = [bare[:-1] if bare.endswith("s") else f"{bare}s"] if is_word else []
    return list(dict.fromkeys((unit, *known, *([bare] if bare else []), *number)))


def _are_credit_marks(suffix: pl.Series) -> bool:
    """Whether words for credit or debit stand behind some of the numbers and nothing behind others: 500.00 CR beside 120.00."""
    words = suffix.filter(suffix != "").str.to_lowercase().str.strip_chars_end(".")
    return 0 < len(words) < len(suffix) and bool(words.is_in(list(CREDIT_MARKS)).all())


def _choose_affixes(parts: pl.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The affixes of most numbers before and behind them, in all their spellings, and the units that other numbers have."""
    chosen: dict[str, list[str]] = {}
    others: list[str] = []
    for side in ("prefix", "suffix"):
        if _are_credit_marks(parts[side].fill_null("").str.strip_chars()):
            others += sorted({_affix_key(affix) for affix in parts[side].drop_nulls().str.strip_chars() if affix})
            continue
        counts = parts[side].drop_nulls().str.strip_chars().value_counts().rows()
        by_key: dict[str, int] = {}
        for affix, n in counts:
            if affix:
                by_key[_affix_key(affix)] = by_key.get(_affix_key(affix), 0) + n
        if not by_key:
            continue
        best = max(sorted(by_key), key=lambda key: by_key[key])
        # 1O among bare numbers is a misread ten, and 5l among litres is none.
        if by_key[best] < (0.5 if best in (*LOOKALIKES, *HOUSE_LETTERS) else MIN_AFFIX_SHARE) * parts.height:
            others += sorted(by_key) if len(by_key) > 1 else []
            continue
        chosen[side] = sorted({affix for affix, _ in counts if affix and _affix_key(affix) == best})
        others += [key for key in sorted(by_key) if key != best]
    rarer = _find_other_unit(parts, chosen)
    if rarer is not None:
        others.append(_affix_key(chosen.pop(rarer)[0]))
    return tuple(dict.fromkeys(affix for affixes in chosen.values() for affix in affixes)), tuple(others)


def _find_other_unit(parts: pl.DataFrame, affixes: Mapping[str, Sequence[str]]) -> str | None:
    """The side whose affix fewer numbers have, where each side's stands alone at some number: $6 beside 13 €, or 10 %.

    None where both are of one number ($795/mo), or one currency (€ 5 beside 5 EUR).
    """
    if len(affixes) < 2 or len({_affix_key(spellings[0]) for spellings in affixes.values()}) == 1:
        return None
    before, behind = (parts[side].fill_null("").str.strip_chars() for side in affixes)
    alone = {"prefix": int(((before != "") & (behind == "")).sum()), "suffix": int(((before == "") & (behind != "")).sum())}
    return min(alone, key=lambda side: alone[side]) if all(alone.values()) else None


def _affix_fits(side: pl.Series, affixes: Sequence[str]) -> pl.Series:
    stripped = side.fill_null("").str.strip_chars()
    return (stripped == "") | stripped.is_in(list(affixes))


def _choose_marks(parts: pl.DataFrame, candidates: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], str | None]:
    """The marks that read most of the digits, the earlier where several do; and a value that they leave open."""
    bodies, is_whole = parts["body"], pl.col("exponent").fill_null("") == ""
    counts = parts.select(
        (
            pl.col("body").str.contains(f"^(?:{_build_body(*marks)})$")
            & (is_whole | ~pl.col("body").str.contains(marks[1], literal=True))
        )
        .sum()
        .alias(str(i))
        for i, marks in enumerate(candidates)
    )
    fits = dict(zip(candidates, counts.row(0), strict=True))
    best = max(candidates, key=lambda marks: int(fits[marks]))
    rivals = [marks for marks in candidates if marks[0] != best[0] and fits[marks] == fits[best]]
    marked = bodies.filter(bodies.str.contains("[.,]"))
    if not rivals or marked.is_empty():
        return best, None
    if best == MARKS[0] and _has_point_thousands(bodies):
        return MARKS[1], None
    return best, str(marked[0])


def _has_point_thousands(bodies: pl.Series) -> bool:
    """Whether points part thousands: every number with a point is smaller than every one without, if the point were decimal.

    609 beside 1.103 is 609 beside 1103.
    """
    pointed = bodies.filter(bodies.str.contains(".", literal=True)).cast(pl.Float64, strict=False).drop_nulls()
    bare = bodies.filter(bodies.str.contains("^[1-9][0-9]{0,2}$")).cast(pl.Float64, strict=False)
    others = int(bodies.str.contains("^[0-9]+$").sum()) - len(bare)
    if pointed.is_empty() or len(bare) < MIN_BARE_NUMBERS or others:
        return False
    return float(bare.min()) > float(pointed.max())  # type: ignore[arg-type]


def has_name_digits(text: pl.Series, form: NumberFormat = NumberFormat()) -> bool:
    """Whether whole numbers are names: some begin with zero, have an exponent like 1E2, or do not fit 64 bits, and none has
    decimals, a sign, a unit or marks.

    >>> has_name_digits(pl.Series(["007", "7"])), has_name_digits(pl.Series(["0.5", "07"]))
    (True, False)
    """
    if form.affixes or form.brackets:
        return False
    text = normalize_signs(text)
    digits = text.filter(text.str.contains(r"^[+-]?[0-9.,]"))
    whole = digits.str.contains(r"^[0-9]+(?:[eE][0-9]+)?$")
    if not whole.all():
        return False
    is_too_long = (digits.str.len_bytes() > MAX_WHOLE_DIGITS) & digits.cast(pl.Int64, strict=False).is_null()
    return bool((digits.str.contains(NAME_DIGITS) | is_too_long).any())


def is_open_group(text: pl.Series, form: NumberFormat) -> pl.Series:
    """Which numbers have one mark before three digits and no other: 1,234 is a thousand or, for those who write a comma for the
    point, a part of two. Blanks and apostrophes part nothing but thousands."""
    if form.thousands not in ",.":
        return pl.repeat(value=False, n=len(text), eager=True)
    mark = re.escape(form.thousands)
    return text.str.contains(rf"^[^0-9]*[1-9][0-9]{{0,2}}{mark}[0-9]{{3}}(?:[^0-9.,].*)?$").fill_null(value=False)


def has_open_points(text: pl.Series) -> bool:
    """Whether every number with a point has three digits behind it and may be one of thousands: 1.234, and never 0.5."""
    # A few of them say of most columns that they are none.
    if not text.head(50).str.contains(OPEN_POINTS).all() or not text.str.contains(".", literal=True).any():
        return False
    return bool(text.str.contains(OPEN_POINTS).all())
