"""Names that are written in digits or like words for missing: ids, groups and classes stay the text that they were.

A column is read as numbers only where nothing is lost by it. `007` and `7`, `1E2` and `100`, and digits beyond 64 bits are
different names and the same number; so a number is taken for what a name is only where it writes back as the same text.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import polars as pl

CLASS_WORDS = frozenset(("none", "nil", "missing", "unknown", "undefined", "empty", "blank"))
"""Words for missing, in small letters, that may as well be the class of a label: no damage, no garage. They are kept as such."""

NO_CLASS_WORDS = "na n/a n.a. n.a n/d n.d. nan nat <na> null (null) #null! #name? #n/a na() tbd tba tbc k.a. k/a s/d n/v"
NO_CLASSES = frozenset(NO_CLASS_WORDS.split())
"""Words for missing, in small letters, that are no class of a label however they are written."""

NO_CLASS_SIGNS = frozenset(("-", "--", "---", "–", "—", ".", "..", "...", "*"))
"""Signs for missing beside words; beside a "+" a class of their own."""

INVISIBLE = "\\x{AD}\\x{200B}\\x{200E}\\x{200F}\\x{202A}-\\x{202E}\\x{2060}\\x{2066}-\\x{2069}\\x{FEFF}"
"""Marks that web pages and spreadsheets leave around a text and nobody sees; joiners within words are none of them."""

COMBINING = r"[\p{M}\x{1100}-\x{11FF}]"
"""Accents and parts of Korean letters that stand by themselves behind a letter, as macOS writes names."""

WHOLE_NUMBER = re.compile(r"-?[0-9]+(?:\.0)?")

BEGINNING, END = rf"^[\s{INVISIBLE}]+", rf"[\s{INVISIBLE}]+$"

BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""What Unicode calls white space, and the patterns above blanks; `str.strip` takes some controls for it too."""

ENDS = BLANKS + "\xad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Blanks, and the marks that nobody sees."""


def strip_ends(text: pl.Series) -> pl.Series:
    """Text without the blanks and the marks that nobody sees around it, and with accents as parts of their letters (NFC).

    >>> strip_ends(pl.Series(["\\u200b52", "\\ufeff a\\u200e", " b", "Cafe\\u0301"])).to_list()
    ['52', 'a', 'b', 'Café']
    """
    stripped = text.str.strip_chars()
    is_combining = stripped.str.contains(COMBINING)
    if is_combining.any():
        # Each value by itself: what a row says must not depend on the rows beside it.
        stripped = stripped.str.normalize("NFC").zip_with(is_combining, stripped)
    if not stripped.str.contains(f"^[{INVISIBLE}]|[{INVISIBLE}]$").any():
        return stripped
    return stripped.str.replace(BEGINNING, "").str.replace(END, "")


def strip_text_ends(text: str) -> str:
    """One text as `strip_ends` has it: the same, without the cost of a column.

    >>> [strip_text_ends(text) for text in ("\\u200b52", "\\ufeff a\\u200e", " b", "Cafe\\u0301")]
    ['52', 'a', 'b', 'Café']
    """
    stripped = text.strip(BLANKS)
    return stripped if stripped.isascii() else compose_accents(stripped).strip(ENDS)


def compose_accents(text: str) -> str:
    """One text with the accents that stand behind their letters as parts of them, as `strip_ends` has it.

    >>> compose_accents("Gro\u0308\u00dfe")
    'Größe'
    """
    is_composed = text.isascii() or unicodedata.is_normalized("NFC", text) or not any(map(_is_combining, text))
    return text if is_composed else unicodedata.normalize("NFC", text)


def _is_combining(character: str) -> bool:
    """Whether a character is one of `COMBINING`."""
    return unicodedata.category(character).startswith("M") or "\u1100" <= character <= "\u11ff"


def strip_name(series: pl.Series) -> pl.Series:
    """Names without blanks around them; null where nothing is left. "NA" is a name."""
    text = strip_ends(series.cast(pl.String))
    return text.set(text == "", None)


def keeps_names_apart(text: pl.Series, typed: pl.Series) -> bool:
    """Whether values in their type are the names that they were as text: numbers to the letter, times and others as many."""
    if typed.null_count() != text.null_count():
        return False
    if typed.dtype.is_numeric():
        return bool((typed.cast(pl.String) == text).all())
    return typed.n_unique() == text.n_unique()


def null_unlabelled(text: pl.Series) -> pl.Series:
    """A label of words without what says that it is missing: n/a, and - beside two classes or more, none of which is +."""
    small = text.str.to_lowercase()
    label = text.set(small.is_in(list(NO_CLASSES)), None)
    is_sign = label.is_in(list(NO_CLASS_SIGNS))
    names = set(label.filter(~is_sign.fill_null(value=True)).unique())
    return label if len(names) < 2 or "+" in names else label.set(is_sign, None)


def describe_unlabelled(text: pl.Series, label: pl.Series, counts: pl.Series | None = None) -> tuple[str, ...]:
    """The notes on words for missing in a label: those that were read so, and those that stay classes. `counts`: how often each
    comes, where the texts are the different ones."""
    words = _count_words(text, label.is_null() & text.is_not_null(), counts)
    classes = _count_words(label, label.str.to_lowercase().is_in(list(CLASS_WORDS)), counts)
    notes = (f"{text.name}: read as no label: {words}.",) if words else ()
    return (*notes, f"{text.name}: kept as a class: {classes}; leave unknown labels empty.") if classes else notes


def _count_words(text: pl.Series, is_meant: pl.Series, counts: pl.Series | None) -> str:
    rows = pl.DataFrame({"word": text, "n": 1 if counts is None else counts}).filter(is_meant.fill_null(value=False))
    totals = rows.group_by("word", maintain_order=True).agg(pl.col("n").sum()).sort("n", descending=True, maintain_order=True)
    return ", ".join(f"{word!r} ({n:,} rows)" for word, n in totals.iter_rows())


def fold_name(name: str) -> str:
    """The name but for case, blanks and how its accents are stored.

    >>> fold_name("Very  Good") == fold_name("very good\\u00a0")
    True
    """
    visible = unicodedata.normalize("NFKC", name).replace("\u200b", "").replace("\ufeff", "")
    return " ".join(visible.split()).casefold()


def group_variants(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The names by class, in their order; those of one class differ by case or blanks alone.

    >>> group_variants(["no", "No", "yes"])
    (('no', 'No'), ('yes',))
    """
    ways: dict[str, list[str]] = {}
    for name in names:
        ways.setdefault(fold_name(name), []).append(name)
    return tuple(tuple(variants) for variants in ways.values())


def index_variants(names: Sequence[str]) -> Mapping[str, str]:
    """The names by what they are but for case and blanks, those of them that no other name is too; whole numbers with and without
    a decimal, for a gap makes floats of them in pandas and in what it writes.

    >>> dict(index_variants(["Yes", "no", "No", "7"]))
    {'7.0': '7', 'yes': 'Yes', '7': '7'}
    """
    groups = group_variants(names)
    own = {fold_name(variants[0]): variants[0] for variants in groups if len(variants) == 1}
    floats = {_write_as_float(key): name for key, name in own.items() if WHOLE_NUMBER.fullmatch(key)}
    return {**floats, **own} if floats.keys().isdisjoint(fold_name(name) for name in names) else own


def _write_as_float(number: str) -> str:
    """A whole number with a decimal where it has none, and the other way round."""
    return number.removesuffix(".0") if number.endswith(".0") else f"{number}.0"


def merge_variants(values: pl.Series, names: Sequence[str]) -> pl.Series:
    """Text with each value that differs from one of the names by case or blanks alone written as that name is."""
    return spell_as(values, names, {fold_name(name): name for name in names})


def spell_as(values: pl.Series, names: Sequence[str], by_class: Mapping[str, str]) -> pl.Series:
    """Text with each value that is none of the names written as the name of its class, where there is one."""
    known = frozenset(names)
    written = [value for value in values.unique().to_list() if value is not None and value not in known]
    return values.replace(written, [by_class.get(fold_name(value), value) for value in written]) if written else values
