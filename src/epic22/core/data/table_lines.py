"""Which lines of a file are its table: not the title above the header, nor the total and the remarks below the rows.

Reports are exported with both. A line is left out only where its width and its words leave no doubt; a file that this does not
explain is read from its first line to its last, and refused where it is ragged.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

MAX_TITLE_LINES = 10
MAX_FOOTER_LINES = 10
MIN_NUMBER_SHARE = 0.8
"""A column whose cells below the header hold digits in at least this share is one of numbers, whose name is none."""

MIN_CELLS_OF_SUM = 2
SEEN_ROWS = 200
"""Rows above a line that are looked at, to see what its columns hold."""

PERIOD = re.compile(r"(19|20)\d\d([-/. ]?(\d{1,2}|Q[1-4]))?")
MISSING = frozenset(("na", "n/a", "nan", "null", "none", "missing"))
"""Words that a row of values may hold in small letters, and a header does not."""

NAME = re.compile(r"[^\W\d]|_")
TOTAL = re.compile(
    r"(grand|sub|over)?[- ]?(totals?|totaux|totale|totaal|totalt|sum|summe|gesamt|gesamtsumme|insgesamt|somme|suma|summa|soma|"
    r"average|mean|durchschnitt|mittelwert|moyenne|media|promedio|итого|всего|сумма|razem|合計|合计|总计|总和|합계)\b.{0,30}",
    re.IGNORECASE,
)
REMARK = re.compile(
    r"(sources?|quelle|fuente|fonte|notes?|hinweis|anmerkung|stand|as of|generated|created|exported|erstellt|printed|report|"
    r"end of|ende|источник)[:\s].+|(©|\(c\)|\*+) [^\W\d].+|"
    r"\(?\d[\d,. ]* (rows?|records?|zeilen|datens\w+)( affected| selected| returned)?\)?\.?",
    re.IGNORECASE,
)
"""How a line below the rows begins that is about them."""

UNIT = re.compile(
    r"[\[(][^\])]+[\])]|[€$£¥₹%‰°#]|[a-z]{3}/(m2|m²|qm|sqm)|[€$£]/\w+[²³]?|(k?eur|usd|gbp|chf|pln|sek|jpy|inr)|°[cf]|"
    r"[kmcµ]?m[²³23]?|[kmµ]?g|t|ha|[mhkc]?l|qm|sqm|sq\.? ?ft|ft[²2]?|in|inch|mi|lb|oz|[kmg]?wh?(/(m2|m²|a))?|"
    r"kwp|kva|[km]?[va]|[kmg]?hz|"
    r"[hkm]?pa|m?bar|nm|n|rpm|1/min|m/s|km/h|mph|l/(s|h|min)|m[³3]/h|ppm|lux|lx|db|ms|s|sec|seconds|min|minutes|h|hours|std|d|"
    r"days|tage|weeks|months|monate|a|years|jahre|pcs|stk|count|anzahl|kwh/m[²2]a?",
    re.IGNORECASE,
)
"""What stands below a name in a line of units."""

NUMBER_BEGINNING = re.compile(r"[-+(\u2212]?\s*[€$£¥₹]?\s*[.,]?\d")


def find_header(rows: Sequence[Sequence[str]]) -> int:
    """The place of the header among a file's first rows: 0, or below a title of lines that do not fill all columns.

    >>> find_header([["Rents, May"], ["no", "area", "rent"], ["1", "30", "400"], ["2", "31", "410"]])
    1
    """
    width = find_width(rows)
    for place, row in enumerate(trim_row(row, width) for row in rows[: MAX_TITLE_LINES + 1]):
        if len(row) >= width and (2 * _count_filled(row) > width) and not _ends_empty(row):
            is_below_title = place > 0 and len(row) == width and _is_header(row, rows[place + 1 :])
            return place if is_below_title else 0
    return 0


def find_width(rows: Sequence[Sequence[str]]) -> int:
    """How many cells most of a file's first rows have."""
    return Counter(len(row) for row in rows).most_common(1)[0][0] if rows else 0


def trim_row(row: Sequence[str], width: int) -> Sequence[str]:
    """The row without empty cells behind the last column: a separator at its end parts nothing.

    >>> trim_row(["a", "b", "", ""], 2), trim_row(["a", "b", "", "c"], 2)
    (['a', 'b'], ['a', 'b', '', 'c'])
    """
    return row[:width] if not any(cell.strip() for cell in row[width:]) else row


def is_unit_line(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a line holds units alone, each above a column of numbers.

    >>> is_unit_line(["", "kW", "°C"], [["a", "3", "20"], ["b", "4", "21"]]), is_unit_line(["m", "4"], [["a", "3"], ["b", "4"]])
    (True, False)
    """
    places = [place for place, cell in enumerate(row) if cell.strip()]
    few = below[:SEEN_ROWS]
    return bool(places and few) and all(UNIT.fullmatch(row[place].strip()) and _begin_as_numbers(place, few) for place in places)


def list_no_rows() -> Iterable[Sequence[str]]:
    """Nothing: no rows stand above those given."""
    return ()


def count_footer_lines(
    rows: Sequence[Sequence[str]], width: int, list_earlier: Callable[[], Iterable[Sequence[str]]] = list_no_rows
) -> int:
    """How many of the last rows are empty, a total of the others, or a remark on them; `width` is the number of columns.

    `list_earlier` reads the rows above those given, which only a total needs.

    >>> count_footer_lines([["1", "30"], ["2", "31"], ["Total", "61"]], 2)
    1
    """
    end = len(rows)
    while width > 1 and end > 0 and end > len(rows) - MAX_FOOTER_LINES:
        row = rows[end - 1]
        is_remark = _is_remark(row) and (len(row) < width or _lacks_cells(row, rows, end - 1))
        if _count_filled(row) and not is_remark and not (len(row) <= width and _is_total(row, rows, end - 1, list_earlier)):
            break
        end -= 1
    # Empty lines alone are rows whose values are missing.
    return len(rows) - end if end and any(map(_count_filled, rows[end:])) else 0


def are_values(names: Sequence[str]) -> bool:
    """Whether column names look like the values of a row: most are numbers, and they are not the periods of a wide table.

    >>> are_values(["5.1", "3.5", "setosa"]), are_values(["zip", "2019", "2020"])
    (True, False)
    """
    numbers = [name for name in names if _parse(name.strip(), ".") is not None and not NAME.search(name)]
    return 2 * len(numbers) > len(names) and not any(PERIOD.fullmatch(name.strip()) for name in numbers)


def describe_left_out(
    title: Sequence[Sequence[str]], footer: Sequence[Sequence[str]], units: Sequence[Sequence[str]] = ()
) -> tuple[str, ...]:
    """The notes about lines above and below the table, and about one of units below its header."""
    places = ((title, "above the header"), (units, "of units below the header"), (footer, "below the rows"))
    return tuple(
        f"{len(lines)} {'line' if len(lines) == 1 else 'lines'} {place} left out: {_join_lines(lines)}."
        for lines, place in places
        if lines
    )


def _join_lines(lines: Sequence[Sequence[str]]) -> str:
    texts = (" ".join(cell.strip() for cell in line if cell.strip()) for line in lines)
    return "; ".join(repr(text[:60]) for text in texts if text) or "empty"


def _count_filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _ends_empty(row: Sequence[str]) -> bool:
    """Whether the last columns are empty, and the first is not: a table without a name for its first column is a table."""
    return bool(row[0].strip()) and not row[-1].strip()


def _is_header(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether all cells are names, no two alike, and one is the name of a column of numbers."""
    names = [cell.strip() for cell in row if cell.strip()]
    if len(set(names)) < len(names) or not MISSING.isdisjoint(name.lower() for name in names):
        return False
    if not all(NAME.match(name) or PERIOD.fullmatch(name) for name in names):
        return False
    return any(not _has_digit(cell) and _holds_numbers(place, below) for place, cell in enumerate(row)) or any(
        PERIOD.fullmatch(cell.strip()) and _holds_numbers(place, below) and not _holds_periods(place, below)
        for place, cell in enumerate(row)
    )


def _holds_numbers(place: int, rows: Sequence[Sequence[str]]) -> bool:
    cells = [row[place] for row in rows[-SEEN_ROWS:] if len(row) > place and row[place].strip()]
    return bool(cells) and sum(map(_has_digit, cells)) >= MIN_NUMBER_SHARE * len(cells)


def _begin_as_numbers(place: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all cells of a column begin with a digit, or with what stands before one."""
    cells = [row[place].strip() for row in rows if len(row) > place and row[place].strip()]
    return bool(cells) and sum(NUMBER_BEGINNING.match(cell) is not None for cell in cells) >= MIN_NUMBER_SHARE * len(cells)


def _holds_periods(place: int, rows: Sequence[Sequence[str]]) -> bool:
    return all(PERIOD.fullmatch(row[place].strip()) for row in rows if len(row) > place and row[place].strip())


def _has_digit(cell: str) -> bool:
    return any(character.isdigit() for character in cell)


def _is_remark(row: Sequence[str]) -> bool:
    filled = [cell.strip() for cell in row if cell.strip()]
    return len(filled) == 1 and bool(row[0].strip()) and REMARK.fullmatch(filled[0]) is not None


def _is_total(
    row: Sequence[str], rows: Sequence[Sequence[str]], n_above: int, list_earlier: Callable[[], Iterable[Sequence[str]]]
) -> bool:
    """Whether the first cell that is not empty says so, as no other row does, and the row is otherwise unlike a row."""
    place = next(place for place, cell in enumerate(row) if cell.strip())
    word = row[place].strip()
    if not TOTAL.fullmatch(word):
        return False
    is_unlike = _lacks_cells(row, rows, n_above) or _holds_numbers(place, rows[:n_above])
    sums = [] if is_unlike else [_ColumnSum(at, mark) for at in range(place + 1, len(row)) if row[at].strip() for mark in ".,"]
    for one in itertools.chain(list_earlier(), rows[:n_above]):
        if len(one) > place and one[place].strip() == word:
            return False
        for column_sum in sums:
            column_sum.add(one)
    return is_unlike or any(column_sum.is_sum(row) for column_sum in sums)


def _lacks_cells(row: Sequence[str], rows: Sequence[Sequence[str]], n_above: int) -> bool:
    """Whether a cell is empty that most rows above fill."""
    above = rows[max(0, n_above - SEEN_ROWS) : n_above]
    width = max((len(one) for one in above), default=0)
    padded = [*row, *[""] * (width - len(row))]
    return any(not cell.strip() and _is_mostly_filled(at, above) for at, cell in enumerate(padded))


def _is_mostly_filled(place: int, rows: Sequence[Sequence[str]]) -> bool:
    cells = [len(row) > place and bool(row[place].strip()) for row in rows[-SEEN_ROWS:]]
    return bool(cells) and sum(cells) >= MIN_NUMBER_SHARE * len(cells)


@dataclass
class _ColumnSum:
    """The sum of a column's cells, whose decimals have this mark; None once a cell was no number."""

    place: int
    decimal: str
    total: float | None = 0.0
    n_cells: int = 0

    def add(self, row: Sequence[str]) -> None:
        """Take the cell of a row in."""
        if self.total is not None and len(row) > self.place and row[self.place].strip():
            number = _parse(row[self.place], self.decimal)
            self.total = None if number is None else self.total + number
            self.n_cells += 1

    def is_sum(self, row: Sequence[str]) -> bool:
        """Whether the cell of a row is the sum of those above it."""
        number = _parse(row[self.place], self.decimal)
        if self.total is None or number is None or self.n_cells < MIN_CELLS_OF_SUM:
            return False
        return abs(self.total - number) <= 1e-4 * max(1.0, abs(number))


def _parse(cell: str, decimal: str) -> float | None:
    digits = re.sub(rf"[^0-9{re.escape(decimal)}-]", "", cell).replace(decimal, ".")
    try:
        return float(digits)
    except ValueError:
        return None
