"""Text that holds numbers or times in a notation that is not read: it becomes names, and the user is told by name and value.

A new notation that is looked for is a line in `NOTATIONS`; one that is read is none of these.
"""

import polars as pl

from epic22.core.data.number_format import MAX_SAMPLE, thin_out

NEARLY_ALL = 0.95
"""From this share of numbers or times on, other text in a column is taken for damage rather than for categories."""

MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|"
    r"dec(?:ember)?)"
)
NOTATIONS = (
    r"\b[0-9]{1,2}:[0-5][0-9]\b",
    r"\b[0-9]{4}([-/.])[01]?[0-9][-/.][0-3]?[0-9]\b|\b[0-3]?[0-9][-/.][0-3]?[0-9][-/.](?:19|20)[0-9]{2}\b",
    r"^[0-3]?[0-9]\.? \p{L}{3,}\.?,? (?:19|20)[0-9]{2}|^(?:19|20)[0-9]{2}[年년]|^(?:令和|平成)[0-9]",
    r"^\p{L}{3,}\.?,? (?:19|20)[0-9]{2}$",
    r"(?i)^(?:FY|AY|CY|KW|WK|week|period)[ .'/-]?[0-9]{1,4}\b|^[HST][1-4][ /'-](?:19|20)?[0-9]{2}$",
    r"(?i)^(?:19|20)[0-9]{2}[ /-]?[HSTP][0-9]{1,2}$|^[0-9]\. ?(?:quartal|halbjahr|trimestre|kwartaal)",
    r"^(?:19|20)[0-9]{2}[-/. ]{1,2}[0-3]?[0-9][-/. ]{1,2}[0-3]?[0-9]\b|^(?:19|20)[0-9]{2}-[0-3][0-9]{2}$",
    r"^[0-3]?[0-9][-/. ]{1,2}[0-3]?[0-9][-/. ]{1,2}(?:19|20)[0-9]{2}\b",
    rf"(?i)\b[0-9]{{1,4}}(?:st|nd|rd|th)?[-/. ']{{0,2}}(?:of )?\b{MONTH}\b|\b{MONTH}\b[-/. ']{{0,2}}[0-9]",
    r"^[0-9]{1,2}h[0-5][0-9]$|^[+-]?[0-9.]+[dD][+-][0-9]{1,3}$|^'[0-9]|^[0-9]{1,3}(?:_[0-9]{3})+$",
    r"^[+-]?[0-9]+(?:[ -][0-9]+|[.,][0-9]+)?/[0-9]+$",
    r"[0-9] ?(?:±|\+/-) ?[0-9]|[0-9] ?[x×*·] ?10(?:\^|\*\*)?[-−+]?[0-9⁰¹²³⁴⁵⁶⁷⁸⁹]",
    r"^[0-9.,]+ ?(?:cm|mm|m|in|\")? ?[x×] ?[0-9.,]+",
    r"(?i)^\D{0,3}[0-9][0-9.,]*k?\s?(?: - |–|—| to | bis |\.\.)\s?\D{0,3}[0-9][0-9.,]*k?\b",
    r"^[0-9]{1,3}° ?[0-9]{1,2}['′]",
    r"(?i)^[0-9.,]+ (?:out of|von|of) [0-9]",
    r"^[<>≤≥~≈] ?\p{Sc}?[0-9]",
    r"^[+-]?[0-9]+[.,][0-9]+ ?[,; /] ?[+-]?[0-9]+[.,][0-9]+$",
    r"^[0-3]?[0-9]\.[01]?[0-9]\.$",
    r"(?i)^(?:ca|circa|approx|about|around|etwa|rund|env|environ|ab|from|bis|up to|over|under|über|unter)\.? ?\p{Sc}? ?[0-9]",
)
"""Clocks and dates among other words, fiscal and other periods, fractions, powers, sizes, ranges, degrees, bounds, places."""


def is_unread_notation(values: pl.Series) -> bool:
    """Whether nearly all of a column's different values are numbers or times in such a notation.

    >>> is_unread_notation(pl.Series(["3.2 ± 0.1", "2.9 ± 0.2"])), is_unread_notation(pl.Series(["A12", "555-1234"]))
    (True, False)
    """
    sample = thin_out(values, MAX_SAMPLE)
    return len(sample) > 1 and int(sample.str.contains("|".join(f"(?:{one})" for one in NOTATIONS)).sum()) >= NEARLY_ALL * len(
        sample
    )
