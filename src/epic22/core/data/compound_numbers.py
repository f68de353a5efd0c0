"""Numbers that are written in parts: times of day, durations, ages, feet and inches, fractions.

A new notation is an entry of `COMPOUNDS`: its parts, and what each is worth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from epic22.core.data.number_format import MAX_SAMPLE, thin_out

VULGAR_FRACTIONS = {
    "½": " 1/2",
    "⅓": " 1/3",
    "⅔": " 2/3",
    "¼": " 1/4",
    "¾": " 3/4",
    "⅛": " 1/8",
    "⅜": " 3/8",
    "⅝": " 5/8",
    "⅞": " 7/8",
}
"""Signs of one letter for a fraction."""


@dataclass(frozen=True)
class Compound:
    """A notation of numbers in parts.

    `weights` are what one of each named part of the `pattern` is worth; a part that is a word counts as one. What stands at
    `over` divides what stands at `part`. `proof` is what some value has to look like where the pattern alone fits other things.
    """

    example: str
    unit: str
    pattern: str
    weights: Mapping[str, float]
    proof: str = ""

    def parse(self, text: pl.Series) -> pl.Series:
        """The values as numbers; null where they are not written so.

        >>> COMPOUNDS["fraction"].parse(pl.Series(["3 1/4", "-1½", "2", "x"])).to_list()
        [3.25, -1.5, 2.0, None]
        """
        text = text.str.replace_many(VULGAR_FRACTIONS).str.strip_chars()
        parts = text.str.extract_groups(self.pattern).struct.unnest()
        total = pl.repeat(0.0, len(text), eager=True)
        for name, weight in self.weights.items():
            total += weight * _read_part(parts, name)
        if "sign" in parts.columns:
            total = total.zip_with(parts["sign"].is_null(), -total)
        fits = (text.str.contains(self.pattern) & text.str.contains("[0-9]")).fill_null(value=False)
        return total.set(~fits, None).alias(text.name)


def _read_part(parts: pl.DataFrame, name: str) -> pl.Series:
    """The numbers of one part: 0 where it is not there, 1 where it is a word."""
    number = parts[name].str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    number = number.fill_null(1.0).set(parts[name].is_null(), 0.0)
    return number / parts["over"].cast(pl.Float64).fill_null(1.0) if name == "part" else number


HOURS = {"d": 24.0, "h": 1.0, "m": 1 / 60, "s": 1 / 3600}
COUNT = r"[0-9]+(?:[.,][0-9]+)?"
INCHES = r"\s*(?:\"|″|in\.?|inch(?:es)?)?"
COMPOUNDS: Mapping[str, Compound] = {
    "clock": Compound("14:30", "", r"^(?P<sign>-)?(?P<h>[0-9]{1,4}):(?P<m>[0-5][0-9])$", {"h": 1.0, "m": 1 / 60}),
    "clock with seconds": Compound(
        "14:30:00",
        "hours",
        r"^(?P<sign>-)?(?:(?P<d>[0-9]+) days?,? \+?)?(?P<h>[0-9]{1,4}):(?P<m>[0-5][0-9]):(?P<s>[0-5][0-9](?:[.,][0-9]+)?)$",
        HOURS,
    ),
    "clock of twelve hours": Compound(
        "2:30 PM",
        "hours",
        r"(?i)^(?:12|(?P<h>0?[1-9]|1[01]))(?::(?P<m>[0-5][0-9]))?(?::(?P<s>[0-5][0-9]))?\s?(?:a|(?P<pm>p))\.?\s?m\.?$",
        {"h": 1.0, "m": 1 / 60, "s": 1 / 3600, "pm": 12.0},
    ),
    "duration": Compound(
        "2h 30m",
        "hours",
        rf"(?i)^(?P<sign>-)?(?:(?P<d>{COUNT})\s*d(?:ays?|\.)?,?\s*)?(?:(?P<h>{COUNT})\s*(?:h(?:(?:ou)?rs?)?|std)\.?,?\s*)?(?:and\s+)?"
        rf"(?:(?P<m>{COUNT})\s*m(?:in(?:ute)?s?)?\.?,?\s*)?(?:and\s+)?(?:(?P<s>{COUNT})\s*s(?:e[ck](?:ond)?s?)?\.?)?$",
        HOURS,
        proof=r"(?i)[0-9]\s*(?:d|h|m|std)[a-z.,]*\s*(?:and\s+)?[0-9]",
    ),
    "ISO duration": Compound(
        "PT2H30M",
        "hours",
        rf"^(?P<sign>-)?P(?:(?P<d>{COUNT})D)?(?:T(?:(?P<h>{COUNT})H)?(?:(?P<m>{COUNT})M)?(?:(?P<s>{COUNT})S)?)?$",
        HOURS,
    ),
    "years and months": Compound(
        "3 yrs 2 mos",
        "years",
        rf"(?i)^(?:(?P<y>{COUNT})\s*(?:y(?:(?:ea)?rs?)?|jahre?)\.?,?\s*)?(?:and\s+)?(?:(?P<mo>{COUNT})\s*mon?(?:(?:th|at)[es]?|s)?\.?)?$",
        {"y": 1.0, "mo": 1 / 12},
        proof=r"(?i)[0-9]\s*(?:y|jahr)",
    ),
    "feet and inches": Compound(
        "5'11\"",
        "feet",
        rf"(?i)^(?P<ft>[0-9]+)\s*(?:'|′|ft\.?|feet|foot)\s*(?:(?P<inch>{COUNT})\s*(?:\"|″|''|in\.?|inch(?:es)?)?)?$",
        {"ft": 1.0, "inch": 1 / 12},
        proof=r"(?i)^[0-9]+\s*(?:'|′|ft\.?|feet|foot)\s*[0-9]",
    ),
    "fraction": Compound(
        "3 1/4",
        "",
        rf"^(?P<sign>-)?\s*(?:(?P<whole>{COUNT})(?:[ -]+|\b))?(?:(?P<part>[0-9]+)/(?P<over>[1-9][0-9]*))?{INCHES}$",
        {"whole": 1.0, "part": 1.0},
        proof=r"[0-9][ -]+[0-9]+/[0-9]|[½⅓⅔¼¾⅛⅜⅝⅞]",
    ),
    "fraction of a size": Compound(
        "3/4",
        "",
        rf"^(?:(?P<whole>{COUNT})|(?P<part>[0-9]?[13579])/(?P<over>2|4|8|16|32|64)){INCHES}$",
        {"whole": 1.0, "part": 1.0},
        proof="/",
    ),
}
"""Each reads a column only as a whole: 3/4 beside 120/80 is none, 14:30 beside 1:14:30 is either hours or minutes."""


def describe_example(name: str) -> str:
    """A value in a notation, and the number that it is.

    >>> describe_example("clock"), describe_example("years and months")
    ('14:30 is 14.5', '3 yrs 2 mos is 3.16667 years')
    """
    compound = COMPOUNDS[name]
    number = compound.parse(pl.Series([compound.example]))[0]
    return f"{compound.example} is {number:.6g} {compound.unit}".rstrip()


def infer_compound(values: pl.Series) -> tuple[str, pl.Series] | None:
    """The notation that reads most of a column's different values, and their numbers, null where a value is none; None where
    none reads half of them."""
    sample = thin_out(values, MAX_SAMPLE)
    if 2 * sample.str.contains("[0-9]").sum() < len(sample):
        return None
    counts = {
        name: len(sample) - compound.parse(sample).null_count()
        for name, compound in COMPOUNDS.items()
        if not compound.proof or values.str.contains(compound.proof).any()
    }
    best = max(counts, key=lambda name: counts[name])
    return (best, COMPOUNDS[best].parse(values)) if 2 * counts[best] >= len(sample) and len(sample) else None
