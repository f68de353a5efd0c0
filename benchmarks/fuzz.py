"""Tables of random dialect, notation, markers and sizes, written and read back: what was read equals what was written.

    python benchmarks/fuzz.py --tables 100000        resumable: whole blocks of seeds that stand in the result are not done again
                              --processes 2          blocks side by side; the result is the same

Five properties. A file is a table or one sentence, never a traceback. A column whose notation settles its meaning is read as it
was written; of any other, what was decided is in a note or in the refusal, by the column's name. Some of the rows in a file of
their own are read as they were in the whole. What is refused on reading is refused by a training in the same words, which leaves
no file behind. One table in some 500 is trained: some of its rows in a file of their own get the answers that they get in the
whole, and a damaged file of rows is refused and changes no file of the home.
"""

import argparse
import gzip
import hashlib
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import epic22
from epic22.bootstrap.python_api import Run
from epic22.core.data.files import read_table
from epic22.core.data.schema_inference import Roles, TypedTable, conform_frame, infer_schema
from epic22.core.errors import UserError

RESULT = Path(__file__).parent / "results" / "fuzz.json"
BLOCK = 1000
MAX_SHOWN = 20
TABLES_PER_TRAINING = 500
MIN_ROWS_TO_TRAIN = 60

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
    # 2007-08 alone may be August, or the year that begins in 2007.
    may_be_years = [form == "%Y-%m" and value.month == value.year % 100 + 1 for value in values]
    return WrittenColumn([value.strftime(form) for value in values], values, may_be_years, [not one for one in may_be_years])


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


@dataclass(frozen=True)
class WrittenTable:
    """Columns by name, a label of two classes, and the dialect that they are written in."""

    columns: Mapping[str, WrittenColumn]
    label: Sequence[str]
    separator: str
    encoding: str
    line_end: str
    quote_all: bool
    is_zipped: bool

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.label)

    def build(self, rows: Sequence[int]) -> bytes:
        """The bytes of a file with these rows."""
        lines = [[*self.columns, "label"]]
        lines += [[*(column.cells[i] for column in self.columns.values()), self.label[i]] for i in rows]
        text = self.line_end.join(self.separator.join(map(self._quote, line)) for line in lines) + self.line_end
        try:
            content = text.encode(self.encoding)
        except UnicodeEncodeError:
            content = text.encode("utf-8")
        return gzip.compress(content) if self.is_zipped else content

    def _quote(self, cell: str) -> str:
        is_special = any(sign in cell for sign in ',;\t|"\n') or cell != cell.strip()
        return '"' + cell.replace('"', '""') + '"' if self.quote_all or is_special else cell


def write_table(draw: random.Random) -> WrittenTable:
    """A random table."""
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
    return WrittenTable(columns, label, separator, encoding, line_end, quote_all, is_zipped)


@dataclass(frozen=True)
class TableCheck:
    """What is wrong with a table, and what a training was asked: "refused", "trained", or nothing."""

    failures: Sequence[str]
    asked: str = ""


def check_table(draw: random.Random, folder: Path, trains: bool = False) -> TableCheck:
    """What is wrong with the reading of a random table, and with its training where it `trains` and has rows enough.

    Raises what is no UserError.
    """
    written, path = write_table(draw), folder / "table.csv"
    path.write_bytes(written.build(range(written.n)))
    try:
        table = infer_schema(read_table(path), Roles("label"))
    except UserError as error:
        settled = [name for name, column in written.columns.items() if column.is_settled and f"'{name}'" in str(error)]
        is_named = any(f"'{name}'" in str(error) for name in written.columns)
        failures = [f"refused although {settled} are settled: {error}"] if settled or not is_named else []
        return TableCheck([*failures, *check_refusal(path, error)], "refused")
    notes = " ".join(table.notes)
    failures = [
        f"{name}: {column.cells[:4]} read as {table.frame[name].to_list()[:4]}"
        for name, column in written.columns.items()
        if not equals_written(table.frame[name].to_list(), column.values) and (column.is_settled or name not in notes)
    ]
    failures += check_later_file(draw, table, written, path)
    if not trains or written.n < MIN_ROWS_TO_TRAIN:
        return TableCheck(failures)
    answers = check_training(draw, written, path)
    return TableCheck(failures if answers is None else [*failures, *answers], "" if answers is None else "trained")


def equals_written(values: Sequence[object], written: Sequence[object]) -> bool:
    """Whether what was read is what was written, numbers but for the last bits."""
    return all(
        one == other
        or (isinstance(one, int | float) and isinstance(other, int | float) and abs(one - other) <= 1e-9 * abs(other))
        for one, other in zip(values, written, strict=True)
    )


def check_later_file(draw: random.Random, table: TypedTable, written: WrittenTable, path: Path) -> list[str]:
    """What is wrong where some of the rows come in a file of their own: they are read as in the whole."""
    rows = [draw.randrange(table.frame.height) for _ in range(draw.randint(1, 3))]
    path.write_bytes(written.build(rows))
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


def check_refusal(path: Path, error: UserError) -> list[str]:
    """What is wrong where a training is asked of a file that was refused on reading: the same fault, and no file is left."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            epic22.train(path, label="label", home=home)
        except UserError as again:
            # The way out that follows names keywords there, options here.
            is_same = type(again) is type(error) and str(again).split(";")[0] == str(error).split(";")[0]
            wrong = [] if is_same else [f"refused on reading: {error}, by a training: {again}"]
        else:
            wrong = [f"trained although the reading refused it: {error}"]
        return wrong + [f"the refused training left {name}" for name in hash_files(home)]


def check_training(draw: random.Random, written: WrittenTable, path: Path) -> list[str] | None:
    """What is wrong with the answers of a model of the table; None where a training refuses it, which leaves no file."""
    path.write_bytes(written.build(range(written.n)))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            run = epic22.train(path, label="label", home=home, families=("constant", "linear"))
        except UserError as error:
            left = [f"a training refused it ({error}) and left {name}" for name in hash_files(home)]
            return left or None
        whole = run.predict(path).to_dicts()
        rows = [draw.randrange(written.n) for _ in range(draw.randint(1, 5))]
        path.write_bytes(written.build(rows))
        alone = run.predict(path).to_dicts()
        wrong = [
            f"row {row} is answered {whole[row]} in the whole, {answer} alone"
            for row, answer in zip(rows, alone, strict=True)
            if not equals_written(list_answers(answer), list_answers(whole[row]))
        ]
        path.write_bytes(damage_input(run, written).build(rows))
        return wrong + check_damaged_rows(run, path, home)


def damage_input(run: Run, written: WrittenTable) -> WrittenTable:
    """The table with its first input full of a word that is no number and no time; without it where that is of names."""
    column = run.result.run.task.input_columns[0]
    if column.dtype == "category":
        return replace(written, columns={name: other for name, other in written.columns.items() if name != column.name})
    damaged = replace(written.columns[column.name], cells=["oops"] * written.n)
    return replace(written, columns={**written.columns, column.name: damaged})


def check_damaged_rows(run: Run, path: Path, home: Path) -> list[str]:
    """What is wrong where a damaged file of rows is to be predicted: it is refused, and the home stays as it is."""
    before = hash_files(home)
    try:
        run.predict(path)
    except UserError:
        wrong = []
    else:
        wrong = [f"a damaged file was answered: {path.read_bytes()[:200]!r}"]
    after = hash_files(home)
    return wrong + [
        f"a damaged file changed {name}" for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    ]


def list_answers(answer: Mapping[str, Any]) -> list[object]:
    """The values of an answer, without what names the row."""
    return [answer["value"], *(answer.get("probabilities") or {}).values()]


def hash_files(folder: Path) -> dict[str, str]:
    """The digest of each file of a folder, by its path there."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run_block(start: int) -> tuple[list[str], Counter[str]]:
    """The failures of a block of seeds, each with its seed, and how many trainings were refused and done."""
    failures: list[str] = []
    counts: Counter[str] = Counter()
    is_due = False
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(start, start + BLOCK):
            is_due = is_due or seed % TABLES_PER_TRAINING == 0
            try:
                check = check_table(random.Random(seed), Path(folder), is_due)
            except Exception:  # noqa: BLE001 - whatever is raised is what is looked for
                failures.append(f"seed {seed}: {traceback.format_exc(limit=-3)}")
                continue
            failures += [f"seed {seed}: {what}" for what in check.failures]
            counts[check.asked] += 1
            is_due = is_due and check.asked != "trained"
    return failures, counts


def run_blocks(first: int, end: int, n_processes: int, until: float) -> Iterator[tuple[list[str], Counter[str]]]:
    """The blocks of seeds in their order, as many at a time as there are processes; none is begun after a moment of the clock."""
    starts = iter(range(first, end, BLOCK))
    with ProcessPoolExecutor(n_processes, get_context("spawn")) as pool:
        pending: deque[Future[tuple[list[str], Counter[str]]]] = deque()
        while True:
            while len(pending) < n_processes and time.monotonic() < until and (start := next(starts, None)) is not None:
                pending.append(pool.submit(run_block, start))
            if not pending:
                return
            yield pending.popleft().result()


def main() -> None:
    """Do blocks of seeds until there are as many tables as asked for, writing the result after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop before the first block after this time")
    parser.add_argument("--processes", type=int, default=1, help="blocks that run side by side")
    parser.add_argument("--again", type=int, help="one seed alone, nothing written")
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.again is not None:
        with tempfile.TemporaryDirectory() as name:
            check = check_table(random.Random(options.again), Path(name), trains=True)
        sys.exit("\n".join(check.failures) or "nothing is wrong")
    stored: Any = json.loads(options.result.read_text()) if options.result.exists() else {"tables": 0, "failures": []}
    tables, failures = int(stored["tables"]), list(stored["failures"])
    # Results of before have no trainings: each check says of how many tables it was asked.
    checks = Counter({"read": tables, **stored.get("checks", {})})
    for new, counts in run_blocks(tables, options.tables, options.processes, time.monotonic() + options.seconds):
        tables, failures = tables + BLOCK, failures + new[:MAX_SHOWN]
        checks += Counter(
            {"read": BLOCK, "no half-written state": BLOCK, "refused": counts["refused"], "trained": counts["trained"]}
        )
        result = {"tables": tables, "checks": dict(checks), "failures": failures}
        options.result.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print(f"{tables:,} tables, {len(new)} failures in the last {BLOCK:,}", flush=True)


if __name__ == "__main__":
    main()
