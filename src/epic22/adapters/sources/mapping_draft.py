"""A mapping to be completed, for files whose columns are not the canonical ones.

It guesses by the names, and only where the values could be true: a date stands for a date, a number within its bounds for a
number, a level for a level.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl
import yaml

from epic22.adapters.sources.file_reader import SUFFIXES, read_batches
from epic22.core.column import Column, NumberFormat
from epic22.core.data.number_format import infer_number_format
from epic22.core.data.time_format import infer_time_formats
from epic22.core.errors import FileError
from epic22.core.tables.canonical import CANONICAL, CanonicalTable
from epic22.core.tables.mapping import DECIMAL_MARKS
from epic22.core.tables.parsing import parse_column, parse_times
from epic22.core.tables.row_contract import BROKEN_COLUMN, DTYPE_WORDS

SAMPLE_ROWS = 1000
MIN_LIKENESS = 0.5
"""Of the words of both names, the share that they must have in common."""

MIN_SHARE = 0.5
"""Of numbers under the very words of a column, this share must lie within its bounds; the others are broken rows."""

SYNONYMS = {
    "start": "from begin beginning commence commencement movein",
    "end": "to until thru through expire expires expiration expiry moveout termination",
    "date": "on at day when",
    "id": "no nr number code key ref reference tag",
    "tenant": "resident lessee renter occupant",
    "unit": "apt apartment suite flat",
    "property": "building site complex community",
    "deposit": "dep",
    "sign": "signed signature execution executed",
    "paid": "payment received",
    "area": "size sqft sqfeet surface",
    "bedroom": "bed br bd",
    "bathroom": "bath ba",
    "monthly": "month",
    "zip": "postal postcode zipcode",
    "work_order": "workorder ticket request wo",
    "opened": "created reported",
    "completed": "closed finished",
}
"""Words of foreign headers for those of the canonical columns; a new one is a word in a line."""

WORDS = {word: meant for meant, words in SYNONYMS.items() for word in words.split()}
WEAK = frozenset(("date", "id", "name", "type", "kind", "of"))
"""Words that say nothing alone."""

PHRASES = (
    (r"move[ -]*in\b", "movein"),
    (r"move[ -]*out\b", "moveout"),
    (r"sq\.?[ -]*f(ee)?t\b", "sqft"),
    (r"work[ -]*orders?\b", "workorder"),
)


@dataclass(frozen=True)
class Guess:
    """The foreign column that a canonical one may be made of, one of its values, and how those are written.

    `open_value` is a date that may be another day, as 1/2/2023 is in either order.
    """

    column: str
    value: str
    format: str | None = None
    decimal: str | None = None
    open_value: str | None = None


@dataclass(frozen=True)
class FileDraft:
    """A file that is taken for a table: what its required columns may be made of, None for those not found."""

    file: str
    table: CanonicalTable
    guesses: Mapping[str, Guess | None]
    unused: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The required columns that the file does not have under their own names."""
        return tuple(name for name, guess in self.guesses.items() if guess is None or guess.column != name)

    def describe(self) -> str:
        """What is missing, with the guesses; a file that lacks nothing has another name than its table."""
        if not self.missing:
            return f"{self.file} has the columns of {self.table.name}, and not its name"
        named = [f"{name} (perhaps {guess.column!r})" if (guess := self.guesses[name]) else name for name in self.missing]
        return f"{self.file}: {self.table.name}: no column {', '.join(named)}"


def draft_files(files: Sequence[tuple[Path, str, CanonicalTable]]) -> tuple[FileDraft, ...]:
    """The drafts of those files (path, name, table) that lack a required column."""
    drafts = (_draft_file(path, name, table) for path, name, table in files)
    return tuple(draft for draft in drafts if draft is not None and draft.missing)


def draft_foreign_files(folder: Path, known: Sequence[str]) -> tuple[tuple[FileDraft, ...], tuple[str, ...]]:
    """Of the files in a folder that are not `known`: those that look like a table, and the names of the others."""
    drafts: list[FileDraft] = []
    others: list[str] = []
    for path in sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.name not in known):
        fitting = [draft for table in CANONICAL if (draft := _draft_file(path, path.name, table)) is not None]
        best = max(fitting, key=_compute_share, default=None)
        if best is not None and _compute_share(best) >= MIN_LIKENESS:
            drafts.append(best)
        else:
            others.append(path.name)
    return tuple(drafts), tuple(others)


def _compute_share(draft: FileDraft) -> float:
    return sum(guess is not None for guess in draft.guesses.values()) / len(draft.guesses)


def write_draft(path: Path, drafts: Sequence[FileDraft], others: Sequence[str]) -> None:
    """Write the mapping. Raises FileError where it is there already, or cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(format_draft(path.parent.name or "source", drafts, others))
    except FileExistsError:
        raise FileError(f"{path} is there already; complete it, or remove it for a new draft.") from None
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}).") from None


def format_draft(source: str, drafts: Sequence[FileDraft], others: Sequence[str]) -> str:
    """The mapping as YAML: guesses with a value each, and what is missing, to be filled in."""
    lines = [
        "# Drafted from the files' names and values: check every line, and fill in what is marked with TODO.",
        "# NAME: COLUMN takes a column as it is; {const: TEXT} is the same in every row. All that can be said is described in",
        "# docs/how-to/ingest-your-tables.md, 'A foreign source'.",
        f"source: {_quote(source)}",
        "tables:",
    ]
    for draft in drafts:
        lines += [f"  {draft.table.name}:", f"    file: {_quote(draft.file)}", "    columns:"]
        for column in draft.table.columns:
            if column.name in draft.guesses:
                lines.append(f"      {_format_line(column, draft.guesses[column.name])}")
        lines += [f"    # not used: {', '.join(draft.unused)}"] if draft.unused else []
    return "\n".join([*lines, *(f"# like no table: {name}" for name in others), ""])


def _format_line(column: Column, guess: Guess | None) -> str:
    if guess is None:
        levels = f", one of {', '.join(column.levels)}" if column.levels else ""
        return f"{column.name}:  # TODO: {DTYPE_WORDS[column.dtype]}{levels}"
    written = {"format": guess.format, "decimal": guess.decimal}
    extra = "".join(f", {key}: {_quote(value)}" for key, value in written.items() if value is not None)
    origin = f"{{from: {_quote(guess.column)}{extra}}}" if extra else _quote(guess.column)
    check = "" if guess.open_value is None else f"; TODO: say in which order day and month are, as in {guess.open_value!r}"
    return f"{column.name}: {origin}" + (f"  # such as {guess.value!r}{check}" if guess.value else "")


def _quote(text: str) -> str:
    """A text as a YAML scalar that stays one, also within braces."""
    plain = re.fullmatch(r"[A-Za-z_][\w ./-]*\w|\w", text) is not None
    return text if plain else yaml.safe_dump(text, default_style='"', width=10_000, allow_unicode=True).strip()


def _draft_file(path: Path, name: str, table: CanonicalTable) -> FileDraft | None:
    """What a file's columns may be in a table; None where it has no rows."""
    batch = next(iter(islice(read_batches(path, SAMPLE_ROWS), 1)), None)
    if batch is not None and BROKEN_COLUMN in batch.columns:
        batch = batch.filter(pl.col(BROKEN_COLUMN).is_null())
    if batch is None or table.extra_columns is not None:
        return None
    values = {
        column: text.filter(text != "")
        for column in batch.columns
        if not column.startswith("#")
        for text in (batch[column].cast(pl.String, strict=False).drop_nulls().str.strip_chars(),)
    }
    required = [column for column in table.columns if not column.optional]
    # A column of the very name is there, whatever its rows hold: the check looks at each of them.
    own = {column.name: Guess(column.name, "") for column in required if column.name in values}
    scores = [
        (likeness, column.name, guess)
        for column in required
        for source in values
        if column.name not in own and source not in own
        if (likeness := compute_likeness(column.name, source, table)) >= MIN_LIKENESS
        and (guess := fit_column(column, source, values[source], MIN_SHARE if likeness == 1 else 1.0)) is not None
    ]
    guesses = dict(own)
    for _, column_name, guess in sorted(scores, key=lambda one: -one[0]):
        if column_name not in guesses and guess.column not in {other.column for other in guesses.values()}:
            guesses[column_name] = guess
    used = {guess.column for guess in guesses.values()} | {column.name for column in table.columns}
    return FileDraft(
        name, table, {c.name: guesses.get(c.name) for c in required}, tuple(source for source in values if source not in used)
    )


def fit_column(column: Column, name: str, values: pl.Series, min_share: float = 1.0) -> Guess | None:
    """How the values would be read as this column, None where they cannot be its values: numbers, where less than `min_share` of
    them lie within its bounds.

    >>> fit_column(Column("start_date", "time"), "Status", pl.Series(["Current", "Past"])) is None
    True
    >>> fit_column(Column("start_date", "time"), "From", pl.Series(["1/31/2023"])).format
    '%m/%d/%Y'
    """
    if values.is_empty():
        return None
    value, distinct = str(values[0]), values.unique(maintain_order=True)
    if column.dtype == "time":
        return _fit_times(name, value, distinct)
    if column.dtype in ("int", "float", "money"):
        return _fit_numbers(column, name, distinct, min_share)
    if column.dtype == "bool" or column.levels:
        typed = parse_column(distinct, column)
        fits = not typed.null_count() and (not column.levels or bool(typed.is_in(list(column.levels)).all()))
        return Guess(name, value) if fits else None
    is_other = _fit_times(name, value, distinct) is not None or bool(distinct.str.contains(r"^[^A-Za-z]*[.,]\d").any())
    return None if is_other else Guess(name, value)


def _fit_times(name: str, value: str, distinct: pl.Series) -> Guess | None:
    if not parse_times(distinct).null_count():
        return Guess(name, value)
    reading = infer_time_formats(distinct)
    if reading is None or reading.times.null_count() or len(reading.formats) != 1:
        return None
    # A mapping reads a format to the letter: no quarters, no named zones, no months of other languages.
    try:
        moments = distinct.str.to_datetime(reading.formats[0], strict=False, time_unit="us")
    except pl.exceptions.PolarsError:
        return None
    if moments.null_count():
        return None
    return Guess(name, value, format=reading.formats[0], open_value=reading.open_value)


def _fit_numbers(column: Column, name: str, distinct: pl.Series, min_share: float) -> Guess | None:
    reading = infer_number_format(distinct)
    if reading is None or reading.numbers.null_count():
        return None
    numbers = reading.numbers.cast(pl.Float64)
    fits = numbers.is_between(*column.limits)
    if column.dtype == "int":
        fits &= numbers == numbers.round()
    if fits.sum() < min_share * len(fits):
        return None
    is_plain = reading.format == NumberFormat() and not distinct.str.contains(",").any()
    mark = reading.format.decimal if reading.format.decimal in DECIMAL_MARKS else "."
    return Guess(name, str(distinct[0]), decimal=None if is_plain else mark)


def compute_likeness(canonical: str, foreign: str, table: CanonicalTable) -> float:
    """The share of words that two names have in common, 0 where those say nothing; 1 for the same name.

    >>> from epic22.core.tables.canonical import LEASES
    >>> compute_likeness("end_date", "Lease To", LEASES), compute_likeness("end_date", "Rent", LEASES)
    (0.5, 0.0)
    """
    own, theirs = _list_words(canonical), _list_words(foreign)
    if own == theirs:
        return 1.0
    subject = table.name.removesuffix("s")
    if theirs <= {"id"}:
        theirs = theirs | _list_words(subject)
    elif theirs - _list_words(subject) - WEAK:
        theirs = theirs - (_list_words(subject) - own)
    shared = own & theirs
    return len(shared) / len(own | theirs) if shared - WEAK else 0.0


def _list_words(name: str) -> frozenset[str]:
    """The words of a name in small letters, as the canonical columns have them."""
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower().replace("_", " ")
    for pattern, word in PHRASES:
        text = re.sub(pattern, word, text)
    words = (word if len(word) < 4 else word.removesuffix("s") for word in re.findall(r"[^\W\d]+", text))
    return frozenset(WORDS.get(word, word) for word in words)
