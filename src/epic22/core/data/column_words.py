"""Words that columns of text have beside their values: for missing, and for yes and no in more than one way."""

from collections.abc import Callable, Sequence

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.names import fold_name, index_variants, strip_ends, strip_text_ends
from epic22.core.data.number_format import parse_plain_numbers

MISSING_WORDS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "?", "#VALUE!", "#DIV/0!", "#REF!", "#NUM!")
"""Words for missing in every column."""

MISSING_SIGNS = (
    "- -- --- – — . .. ... … * ? ./. -/- --/-- na n/a n.a. n.a n/d n.d. nd none nil nan nat <na> null (null) [null] <null> \\n "
    "0000-00-00 00/00/0000 00.00.0000 missing unknown unk undefined blank (blank) empty (empty) (leer) tbd tba tbc k.a. k.a "
    "k/a s/d s.d. s/i s/o n/v n.v. n/r n.r. n.c. o.a. н/д 无 無 なし 不详 不詳 不明 未知 없음 : / // ____ \u2010 "
    "nvt n.v.t. n.b. n.k. (x) (na) (d) (missing) [missing] <none> (none) unavailable unspecified undef saknas mangler "
    "desconocido sconosciuto desconhecido ukjent okänd ukendt -nan +nan nan(ind) -nan(ind) -1.#ind 1.#qnan "
    "0001-01-01 01.01.0001 1/1/0001 0000-00-00t00:00:00 0001-01-01t00:00:00 0001-01-01t00:00:00z "
    "#null! #name? #n/a na() #nv #wert! #bezug! #zahl! #div/0 #¡valor! #¡div/0! #¡ref! #¿nombre? #valeur! #nom? #n/d "
    "#calc! #spill! #error! #n/v"
)
MISSING_PHRASES = (
    "not available, not applicable, not known, not provided, not reported, not recorded, not specified, no data, no "
    "value, 0000-00-00 00:00:00, no answer, no response, keine angabe, keine angaben, nicht bekannt, unbekannt, sin "
    "dato, sin datos, no disponible, non disponible, inconnu, onbekend, ohne angabe, nicht verfügbar, nicht vorhanden, keine "
    "daten, non renseigné, non applicable, no aplica, não disponível, não informado, non disponibile, niet bekend, ej angivet, "
    "not stated, not given, not measured, not collected, no info, no information, no reading, none given, missing value, "
    "nicht erfasst, nicht erhoben, kein wert, keine information, sin información, pas de données, pas de réponse, "
    "0001-01-01 00:00:00, 01.01.0001 00:00:00, 1/1/0001 12:00:00 am, 1/1/0001 0:00:00, "
    "brak danych, нет данных, не указано, неизвестно"
)
TYPED_MISSING_WORDS = frozenset((*MISSING_SIGNS.split(), *MISSING_PHRASES.split(", ")))
"""Words for missing, in small letters, among numbers, times and truth values; elsewhere they may be the name of something."""

BLANK_BEHIND_POINT = r"\. (\pL)"
"""As in k. A. and n. a., which are k.A. and n.a."""

ALWAYS_TYPED = "None"
"""As Python writes a missing value: missing among numbers, times and truth values, and the name of a level elsewhere."""

YES = frozenset(("true", "t", "yes", "y", "1", "1.0", "ja", "j", "wahr", "oui", "si", "sí", "sim", "да", "tak", "on"))
NO = frozenset(("false", "f", "no", "n", "0", "0.0", "nein", "falsch", "non", "não", "нет", "nie", "off"))
"""Words for yes and no, in small letters."""


def null_missing_words(series: pl.Series, words: Sequence[str] = ()) -> pl.Series:
    """Text without blanks around it; null where it is a word for missing in every column, or one of `words`."""
    text = strip_ends(series)
    return text.set(text.is_in([*MISSING_WORDS, *words]), None)


def build_name_reader(reading: ColumnReading | None, levels: Sequence[str] = ()) -> Callable[[str], str | None]:
    """What reads one text of a column of names as that of a file: without blanks around it, None where it is a word for missing,
    as the level that it is but for case and blanks.

    >>> read = build_name_reader(ColumnReading(missing=("unknown",)), ["Red"])
    >>> [read(text) for text in ("red ", "unknown", " NA", "None")]
    ['Red', None, None, 'None']
    """
    known, by_class = frozenset(levels), index_variants(levels)
    words = frozenset((*MISSING_WORDS, *((ALWAYS_TYPED,) if reading is None else reading.missing)))

    def read_name(text: str) -> str | None:
        stripped = strip_text_ends(text)
        if stripped in words:
            return None
        return stripped if stripped in known else by_class.get(fold_name(stripped), stripped)

    return read_name


def are_typed_words(text: pl.Series) -> pl.Series:
    """Which texts mean missing among numbers, times and truth values; a missing one is none.

    >>> are_typed_words(pl.Series(["k. A.", "12", None])).to_list()
    [True, False, False]
    """
    words = text.str.to_lowercase().str.replace_all(BLANK_BEHIND_POINT, ".$1")
    return words.is_in(list(TYPED_MISSING_WORDS)).fill_null(value=False)


def mixes_truth_words(values: pl.Series) -> bool:
    """Whether the different values are words for yes and no, and more than one for one of them; letters alone are codes.

    >>> [mixes_truth_words(pl.Series(words)) for words in (["TRUE", "0", "1"], ["yes", "No"], ["t", "f", "n"])]
    [True, False, False]
    """
    if not 2 < len(values) <= len(YES) + len(NO):
        return False
    words = set(values.str.to_lowercase().to_list())
    yes, no = words & YES, words & NO
    are_letters = all(len(word) == 1 and word.isalpha() for word in words)
    return words == yes | no and bool(yes) and bool(no) and len(words) > 2 and not are_letters


def list_numbers(words: Sequence[str]) -> list[float]:
    """The words that are numbers: files with types have them as such."""
    return parse_plain_numbers(pl.Series(words, dtype=pl.String)).cast(pl.Float64).drop_nulls().to_list()
