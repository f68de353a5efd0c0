"""Tables of random dialect, notation, markers and sizes, written and read back: what was read equals what was written.

    python benchmarks/fuzz.py --tables 100000        resumable: whole blocks of seeds that stand in the result are not done again

Three properties. A file is a table or one sentence, never a traceback. A column whose notation settles its meaning is read as it
was written; of any other, what was decided is in a note or in the refusal, by the column's name. Some of the rows in a file of
their own are read as they were in the whole.
"""

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from epic22.core.data.files import read_table
from epic22.core.data.schema_inference import Roles, TypedTable, conform_frame, infer_schema
from epic22.core.errors import UserError

RESULT = Path(__file__).parent / "results" / "fuzz.json"
BLOCK = 1000
MAX_SHOWN = 20

SEPARATORS, ENCODINGS, LINE_ENDS = (",", ";", "\t", "|"), ("utf-8", "utf-8-sig", "utf-16", "cp1252"), ("\n", "\r\n")
MARKS = ((".", ""), (".", ","), (",", "."), (",", ""), (",", " "), (",", "\u00a0"), (".", " "), (".", "'"), (",", "'"))
AFFIXES = (("", ""),) * 6 + (
    ("$", ""),
    ("€", ""),
    ("", " €"),
    ("£", ""),
    ("R$", ""),
    ("CHF ", ""),
    ("", "%"),
    ("", " %"),
    ("", " m2"),
    ("", " kg"),
    ("", " reviews"),
    ("", "°C"),
    ("USD ", ""),
    ("", " EUR"),
    ("", " km/h"),
)
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%d-%b-%y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%b %d, %Y",
)
CLOCKS = ("", "", " %H:%M", " %H:%M:%S", "T%H:%M:%S")
PERIOD_FORMATS = ("%Y-%m", "%m/%Y", "%b-%y", "%B %Y", "%G-W%V")
WORDS = (
    "red",
    "green",
    "blue",
    "Straße",
    "naïve café",
    "No 5",
    "A1",
    "B2",
    "x y",
    "None",
    "n/a",
    "-",
    "unknown",
    "yes",
    "no",
    "O'Hara",
)
MISSING = ("", "NA", "NaN", "null", "N/A", "?")
TYPED_MISSING = (*MISSING, "-", "n/a", "None", "none", "Not Available", "unknown", "--", ".")
DAMAGE = ("oops", "1.2.3", "12-34", "?!", "2023-02-30", "99/99/2023", "#", "1,2,3", "5 or 6")


@dataclass(frozen=True)
class WrittenColumn:
    """A column as it was written: its cells and what they mean (None: missing).

    `is_open`: which cells have another meaning in another notation, where none of those that settle the notation is left.
    """

    cells: Sequence[str]
    values: Sequence[object]
    is_open: Sequence[bool] = ()
    settles: Sequence[bool] = ()
    is_damaged: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the notation tells what every cell means."""
        return not self.is_damaged and (any(self.settles) or not any(self.is_open))


def write_number(value: float, decimals: int, marks: tuple[str, str]) -> str:
    """The digits of a number above zero with a decimal and a thousands mark."""
    text = f"{abs(value):,.{decimals}f}"
    return text.replace(",", "\0").replace(".", marks[0]).replace("\0", marks[1])


def write_numbers(draw: random.Random, n: int) -> WrittenColumn:
    """Numbers in one notation: settled where some number has decimals that no mark for thousands could part."""
    marks, (prefix, suffix) = draw.choice(MARKS), draw.choice(AFFIXES)
    decimals, scale = draw.choice((0, 0, 1, 2, 3, 4)), draw.choice((1, 100, 10_000, 5_000_000))
    negative, sign = draw.random() < 0.4, draw.choice(("-{}", "-{}", "({})", "{}-", "\u2212{}"))
    is_bare = draw.random() < 0.2 and "%" not in suffix
    values = [round(draw.uniform(-scale if negative else 0, scale), decimals) + 0.0 for _ in range(n)]
    cells = []
    for value in values:
        digits = write_number(value, decimals, marks)
        text = digits if is_bare and draw.random() < 0.3 else f"{prefix}{digits}{suffix}"
        cells.append(sign.format(text) if value < 0 and round(abs(value), decimals) > 0 else text)
    # A point or comma before one, two or four digits parts no thousands; before three it may. Without decimals a mark for
    # thousands is open but for blanks, apostrophes, and commas, which are the default.
    is_open = [decimals == 3 or (marks[1] == "." and abs(value) >= 1000) for value in values]
    return WrittenColumn(cells, values, is_open, [decimals in (1, 2, 4)] * n)


def write_times(draw: random.Random, n: int) -> WrittenColumn:
    """Times in one format: settled where the year comes first, a month has a name, or some day is past the twelfth."""
    form, clock = draw.choice(DATE_FORMATS), draw.choice(CLOCKS)
    start = datetime(draw.randint(1970, 2060), draw.randint(1, 12), draw.randint(1, 28))
    steps = [draw.randint(0, 1000) for _ in range(n)]
    values = [start + timedelta(days=step, seconds=draw.randint(0, 86_399) if clock else 0) for step in steps]
    if clock.endswith("%M"):
        values = [value.replace(second=0) for value in values]
    if form.endswith("%y"):
        values = [value.replace(year=1970 + value.year % 98) if value.year > 2067 else value for value in values]
    # Some exports mix their own format with the standard one.
    is_mixed = draw.random() < 0.2
    forms = [draw.choice((form, "%Y-%m-%d")) if is_mixed else form for _ in values]
    has_order = [one[:3] in ("%d/", "%m/", "%d-", "%m-") and "%b" not in one for one in forms]
    is_late = [value.day > 12 for value in values]
    return WrittenColumn(
        [value.strftime(one + clock) for value, one in zip(values, forms, strict=True)],
        values,
        [order and not late for order, late in zip(has_order, is_late, strict=True)],
        [order and late for order, late in zip(has_order, is_late, strict=True)],
    )


def write_periods(draw: random.Random, n: int) -> WrittenColumn:
    """Months or weeks, which stand for their first day."""
    form = draw.choice(PERIOD_FORMATS)
    values = [datetime(draw.randint(1970, 2060), draw.randint(1, 12), 1) for _ in range(n)]
    if "%G" in form:
        values = [value - timedelta(days=value.weekday()) for value in values]
    return WrittenColumn([value.strftime(form) for value in values], values)


def write_plain(draw: random.Random, n: int) -> WrittenColumn:
    """Numbers as programs write them."""
    values = [draw.choice((1, 1000, 1e-6, 1e9)) * draw.uniform(-4, 4) for _ in range(n)]
    return WrittenColumn([repr(value) for value in values], values)


def write_codes(draw: random.Random, n: int) -> WrittenColumn:
    """Digits that are names: zip codes with leading zeros."""
    width = draw.randint(3, 8)
    cells = [f"{draw.randint(0, 10 ** (width - 1) - 1):0{width}}" for _ in range(n)]
    return WrittenColumn(cells, cells)


def write_words(draw: random.Random, n: int) -> WrittenColumn:
    """Names, of which some are words for missing elsewhere."""
    words = ["plain", *draw.sample(WORDS, draw.randint(1, 6))]
    cells = [words[0], *(draw.choice(words) for _ in range(n - 1))]
    return WrittenColumn(cells, cells)


def write_truths(draw: random.Random, n: int) -> WrittenColumn:
    """true and false."""
    values = [draw.random() < 0.5 for _ in range(n)]
    form = draw.choice((str, str.lower, str.upper))
    return WrittenColumn([form(str(value)) for value in values], values)


WRITERS: Sequence[Callable[[random.Random, int], WrittenColumn]] = (
    write_numbers,
    write_numbers,
    write_numbers,
    write_times,
    write_times,
    write_periods,
    write_plain,
    write_codes,
    write_words,
    write_truths,
)


def mark_missing(draw: random.Random, column: WrittenColumn, is_typed: bool) -> WrittenColumn:
    """The column with some cells missing, by a word that says so there; one of them always stays."""
    word, share = draw.choice(TYPED_MISSING if is_typed else MISSING), draw.choice((0.0, 0.05, 0.3))
    gone = [draw.random() < share and i > 0 for i in range(len(column.cells))]
    cells = [word if is_gone else cell for cell, is_gone in zip(column.cells, gone, strict=True)]
    values = [None if is_gone else value for value, is_gone in zip(column.values, gone, strict=True)]
    settles = [settle and not is_gone for settle, is_gone in zip(column.settles, gone, strict=False)]
    return replace(column, cells=cells, values=values, settles=settles)


def damage(draw: random.Random, column: WrittenColumn) -> WrittenColumn:
    """The column with a cell that is of no kind that the others are of: to be named, not settled."""
    cells = list(column.cells)
    cells[draw.randrange(len(cells))] = draw.choice(DAMAGE)
    return replace(column, cells=cells, is_damaged=True)


def write_table(draw: random.Random) -> tuple[dict[str, WrittenColumn], Callable[[Sequence[int]], bytes]]:
    """Columns by name, and a function that gives the file's bytes with these rows of them."""
    n = draw.choice((1, 2, 5, 20, 60, 200))
    columns = {}
    for i in range(draw.randint(1, 4)):
        writer = draw.choice(WRITERS)
        is_typed = writer not in (write_codes, write_words)
        column = mark_missing(draw, writer(draw, n), is_typed)
        columns[f"c{i}"] = damage(draw, column) if draw.random() < 0.1 and n > 20 and is_typed else column
    separator, encoding, line_end = draw.choice(SEPARATORS), draw.choice(ENCODINGS), draw.choice(LINE_ENDS)
    quote_all, is_zipped = draw.random() < 0.3, draw.random() < 0.1
    label = ["no", "yes", *(draw.choice(("yes", "no")) for _ in range(n))][:n]

    def quote(cell: str) -> str:
        is_special = any(sign in cell for sign in ',;\t|"\n') or cell != cell.strip()
        return '"' + cell.replace('"', '""') + '"' if quote_all or is_special else cell

    def build(rows: Sequence[int]) -> bytes:
        lines = [[*columns, "label"], *([*(column.cells[i] for column in columns.values()), label[i]] for i in rows)]
        text = line_end.join(separator.join(quote(cell) for cell in line) for line in lines) + line_end
        try:
            content = text.encode(encoding)
        except UnicodeEncodeError:
            content = text.encode("utf-8")
        return gzip.compress(content) if is_zipped else content

    return columns, build


def check_table(draw: random.Random, folder: Path) -> list[str]:
    """What is wrong with the reading of a random table; nothing where all properties hold. Raises what is no UserError."""
    columns, build = write_table(draw)
    n = len(next(iter(columns.values())).cells)
    path = folder / "table.csv"
    path.write_bytes(build(range(n)))
    try:
        raw = read_table(path)
        table = infer_schema(raw, Roles("label"))
    except UserError as error:
        settled = [name for name, column in columns.items() if column.is_settled and f"'{name}'" in str(error)]
        is_named = any(f"'{name}'" in str(error) for name in columns)
        return [f"refused although {settled} are settled: {error}"] if settled or not is_named else []
    notes = " ".join(table.notes)
    wrong = [
        f"{name}: {column.cells[:4]} read as {table.frame[name].to_list()[:4]}"
        for name, column in columns.items()
        if not equals_written(table.frame[name].to_list(), column.values) and (column.is_settled or name not in notes)
    ]
    return [*wrong, *check_later_file(draw, table, build, path)]


def equals_written(values: Sequence[object], written: Sequence[object]) -> bool:
    """Whether what was read is what was written, numbers but for the last bits."""
    return all(
        one == other
        or (isinstance(one, int | float) and isinstance(other, int | float) and abs(one - other) <= 1e-9 * abs(other))
        for one, other in zip(values, written, strict=True)
    )


def check_later_file(draw: random.Random, table: TypedTable, build: Callable[[Sequence[int]], bytes], path: Path) -> list[str]:
    """What is wrong where some of the rows come in a file of their own: they are read as in the whole."""
    rows = [draw.randrange(table.frame.height) for _ in range(draw.randint(1, 3))]
    path.write_bytes(build(rows))
    columns = tuple(column for column in table.columns if column.role == "input")
    try:
        later = conform_frame(read_table(path), columns)
    except UserError as error:
        return [f"rows {rows} of the same file refused: {error}"]
    whole = table.frame[rows]
    return [
        f"{name}: rows {rows} are {whole[name].to_list()} in the whole, {later[name].to_list()} alone"
        for name in later.columns
        if not equals_written(later[name].to_list(), whole[name].to_list())
    ]


def run_block(start: int, folder: Path) -> list[str]:
    """The failures of a block of seeds, each with its seed."""
    failures = []
    for seed in range(start, start + BLOCK):
        try:
            failures += [f"seed {seed}: {what}" for what in check_table(random.Random(seed), folder)]
        except Exception:  # noqa: BLE001 - whatever is raised is what is looked for
            failures.append(f"seed {seed}: {traceback.format_exc(limit=-3)}")
    return failures


def main() -> None:
    """Do blocks of seeds until there are as many tables as asked for, writing the result after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop before the first block after this time")
    parser.add_argument("--again", type=int, help="one seed alone, nothing written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.again is not None:
            sys.exit("\n".join(check_table(random.Random(options.again), folder)) or "nothing is wrong")
        stored: Any = json.loads(RESULT.read_text()) if RESULT.exists() else {"tables": 0, "failures": []}
        tables, failures, begin = int(stored["tables"]), list(stored["failures"]), time.monotonic()
        while tables < options.tables and time.monotonic() - begin < options.seconds:
            new = run_block(tables, folder)
            tables, failures = tables + BLOCK, failures + new[:MAX_SHOWN]
            RESULT.write_text(json.dumps({"tables": tables, "failures": failures}, indent=1, ensure_ascii=False) + "\n")
            print(f"{tables:,} tables, {len(new)} failures in the last {BLOCK:,}", flush=True)


if __name__ == "__main__":
    main()
