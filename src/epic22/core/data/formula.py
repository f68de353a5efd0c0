"""Declared formulas: `power [W] = torque * speed * 0.10472`, of numbers, columns, + - * / **, comparisons and a few functions.

A formula is read by Python's own grammar and built from a whitelist, never evaluated as code. A name with blanks or signs
stands in backticks or brackets: `Torque [Nm]` or [Torque [Nm]]. Truth values count as 0 and 1, times as days, a comparison
gives 1 or 0.

What is made of a missing value is missing, and so is what has no finite value: a division by zero, the logarithm or a root of
a negative number, anything beyond float32. Values are float64 throughout. A row alone has the bits it has in a batch: all
operations are exactly rounded but log and **, which are done value by value, for a processor's wide ones round otherwise.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from epic22.core.column import MAX_NUMBER
from epic22.core.data.time_format import name_offset
from epic22.core.errors import ColumnError
from epic22.core.task import Array, Column, Formula
from epic22.core.text import find_near_names

MAX_CHARACTERS = 1000
MICROSECONDS_PER_DAY = 86_400_000_000
NAME_AND_UNIT = re.compile(r"(?:`(?P<quoted>[^`]+)`|(?P<bare>[^`\[\]]+?))\s*(?:\[(?P<unit>[^\[\]]+)\])?")
"""What stands before the sign of equality: a name, and its unit in brackets."""

NAN = math.nan
Values = Sequence[Any]
"""Values by position of the columns: floats of one row, or arrays of many."""

Computation = Callable[[Values], Any]


@dataclass(frozen=True)
class Derivation:
    """A formula that is ready to compute: `row` of floats, `batch` of arrays (n,), by position of the columns it was bound to.

    `names` are those of the columns it uses.
    """

    formula: Formula
    names: tuple[str, ...]
    row: Callable[[Values], float]
    batch: Callable[[Values], Array]

    @property
    def column(self) -> Column:
        """The column it makes."""
        return self.formula.column


def parse_formula(text: str) -> Formula:
    """The formula in a text like "power [W] = torque * speed * 0.10472"; its columns are looked up by `bind`.

    Raises ColumnError where there is no name before the sign of equality.
    """
    masked, _ = _mask_quotes(text, text)
    sign = re.search(r"(?<![<>=!])=(?!=)", masked)
    named = NAME_AND_UNIT.fullmatch(text[: sign.start()].strip()) if sign else None
    if sign is None or named is None:
        raise ColumnError(f"formula {text!r}: no name before a sign of equality; write it as 'power [W] = torque * speed'.")
    return Formula(named["quoted"] or named["bare"].strip(), text[sign.end() :].strip(), named["unit"])


def bind_formula(formula: Formula, columns: Sequence[Column]) -> Derivation:
    """The formula over these columns, ready to compute.

    Raises ColumnError naming the position for what is no formula, a column that is not there, and one that holds no numbers.
    """
    names = _Names(formula, {column.name: position for position, column in enumerate(columns)}, columns)
    if formula.name in names.positions:
        raise ColumnError(f"formula {formula.name!r}: there is a column of that name; give the formula another.")
    tree = names.parse_tree()
    try:
        row, batch = _build_computation(tree, names, SCALARS), _build_computation(tree, names, ARRAYS)
    except RecursionError:
        raise ColumnError(f"formula {formula.name!r} is nested too deeply; split it into several.") from None

    if not names.used:
        raise names.build_error(0, "it uses no column")

    def compute_row(values: Values) -> float:
        result = float(row(values))
        return result if -MAX_NUMBER <= result <= MAX_NUMBER else NAN

    def compute_batch(values: Values) -> Array:
        with np.errstate(all="ignore"):
            result = np.asarray(batch(values), dtype=np.float64)
            return np.where(np.abs(result) <= MAX_NUMBER, result, NAN)

    return Derivation(formula, tuple(columns[i].name for i in sorted(names.used)), compute_row, compute_batch)


def bind_formulas(formulas: Sequence[Formula], columns: Sequence[Column]) -> tuple[Derivation, ...]:
    """The formulas in their order; each may use the columns and the formulas before it."""
    bound: list[Derivation] = []
    for formula in formulas:
        bound.append(bind_formula(formula, (*columns, *(derivation.column for derivation in bound))))
    return tuple(bound)


def drop_formulas(formulas: Sequence[Formula], columns: Sequence[Column], removed: Container[str]) -> tuple[Formula, ...]:
    """The formulas that are not gone themselves and use nothing, column or formula, that is."""
    remaining: list[Formula] = []
    dropped: set[str] = set()
    for derivation in bind_formulas(formulas, columns):
        names = {derivation.formula.name, *derivation.names}
        if any(name in removed or name in dropped for name in names):
            dropped.add(derivation.formula.name)
        else:
            remaining.append(derivation.formula)
    return tuple(remaining)


class _Names:
    """A formula's text, and the columns that its names stand for."""

    def __init__(self, formula: Formula, positions: Mapping[str, int], columns: Sequence[Column]) -> None:
        self.formula, self.positions, self.columns = formula, positions, columns
        self.text = formula.expression
        self.masked, self.quoted = _mask_quotes(self.text, self.formula.name)
        self.used: set[int] = set()

    def parse_tree(self) -> ast.expr:
        """The expression's syntax."""
        if not self.text or len(self.text) > MAX_CHARACTERS:
            raise ColumnError(
                f"formula {self.formula.name!r} has {len(self.text):,} characters; write from 1 to {MAX_CHARACTERS:,}."
            )
        if "#" in self.masked:
            raise self.build_error(self.masked.index("#"), "'#' begins nothing here; a name with signs stands in backticks")
        try:
            # In parentheses a blank may stand first; positions are one too high.
            return ast.parse(f"({self.masked})", mode="eval").body
        except SyntaxError as error:
            what = "this cannot be read; a name with blanks or signs stands in backticks"
            raise self.build_error((error.offset or 2) - 2, what) from None
        except (ValueError, MemoryError, RecursionError):
            raise self.build_error(0, "this cannot be read") from None

    def find_offset(self, node: ast.expr) -> int:
        """Where a node begins in the text, in characters; the parser counts bytes, and a parenthesis of ours."""
        return len(f"({self.masked}".encode()[: node.col_offset].decode()) - 1

    def find_position(self, node: ast.Name) -> int:
        """The position of the column that a name stands for."""
        begin = self.find_offset(node)
        # The parser normalises letters, the file's header does not.
        name = self.quoted.get(begin) or re.match(r"\w+", self.masked[begin:])[0]  # type: ignore[index]
        if name not in self.positions:
            near = find_near_names(name, self.positions, 3, cutoff=0.5)
            there = f"there are {', '.join(list(self.positions)[:20])}"
            hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else there
            raise self.build_error(begin, f"no column {name!r}; {hint}")
        column = self.columns[self.positions[name]]
        if column.dtype in ("category", "text"):
            raise self.build_error(begin, f"column {name!r} holds texts, and a formula needs numbers, truth values or times")
        self.used.add(self.positions[name])
        return self.positions[name]

    def build_error(self, position: int, what: str) -> ColumnError:
        """What is wrong at a character of the expression."""
        place = min(max(position, 0), len(self.text))
        return ColumnError(f"formula {self.formula.name!r}, character {place + 1} of {self.text!r}: {what}.")


def _mask_quotes(text: str, name: str) -> tuple[str, dict[int, str]]:
    """The text in one line, each quoted name replaced by a letter between blanks, and those names by the letter's position."""
    masked, quoted = list(re.sub(r"\s", " ", text)), {}
    for begin, end in _find_quotes(text, name):
        quoted[begin + 1] = text[begin + 1 : end - 1].strip()
        masked[begin:end] = " q" + " " * (end - begin - 2)
    return "".join(masked), quoted


def _find_quotes(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where each piece in backticks, or in brackets that match, begins and ends."""
    offset = 0
    while offset < len(text):
        if text[offset] not in "`[":
            offset += 1
            continue
        end = text.find("`", offset + 1) + 1 if text[offset] == "`" else _find_bracket_end(text, offset)
        if end <= offset + 2:
            raise ColumnError(f"formula {name!r}: the {text[offset]!r} at character {offset + 1} of {text!r} closes nowhere.")
        yield offset, end
        offset = end


def _find_bracket_end(text: str, begin: int) -> int:
    depth = 0
    for place in range(begin, len(text)):
        depth += {"[": 1, "]": -1}.get(text[place], 0)
        if not depth:
            return place + 1
    return 0


Operations = Mapping[Any, Callable[..., Any]]


def _build_computation(node: ast.expr, names: _Names, ops: Operations) -> Computation:
    """The computation of a node, of the whitelist alone."""
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) <= MAX_NUMBER:
                raise names.build_error(names.find_offset(node), f"the number is larger than {MAX_NUMBER:g}")
            constant = float(value)
            return lambda values: constant
        case ast.Name():
            return operator.itemgetter(names.find_position(node))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return _apply(ops[type(sign)], _build_computation(operand, names, ops))
        case ast.BinOp(op=op) if type(op) in ops:
            return _combine(ops[type(op)], _build_computation(node.left, names, ops), _build_computation(node.right, names, ops))
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in ops:
            return _combine(ops[type(op)], _build_computation(node.left, names, ops), _build_computation(right, names, ops))
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            return _build_call(node, name, names, ops)
        case ast.Call(func=ast.Name(id=name), args=[ast.Name() as time], keywords=[]) if name in PARTS_OF_TIME:
            if names.columns[names.find_position(time)].dtype != "time":
                raise names.build_error(names.find_offset(time), f"{name} is a part of a time, and this column holds none")
            return _apply(ops[name], _build_clock(names.find_position(time), names))
    raise names.build_error(
        names.find_offset(node),
        f"only numbers, columns, + - * / **, one comparison and {', '.join((*FUNCTIONS, *PARTS_OF_TIME))} may stand here",
    )


FUNCTIONS = ("log", "sqrt", "abs", "min", "max")
PARTS_OF_TIME = ("month", "weekday", "hour")
"""Of a time column: 1 to 12, 1 (Monday) to 7, 0 to 23, local where its stamps state their offset from UTC."""


def _build_clock(position: int, names: _Names) -> Computation:
    """The days of a time column by the clock of the place, where its offsets are a column too, else by UTC's."""
    offset = names.positions.get(name_offset(names.columns[position].name))
    if offset is None:
        return operator.itemgetter(position)
    # To the microsecond, so that midnight there is no moment before it.
    return lambda values: np.rint((values[position] + values[offset] / 24) * MICROSECONDS_PER_DAY) / MICROSECONDS_PER_DAY


def _build_call(node: ast.Call, name: str, names: _Names, ops: Operations) -> Computation:
    parts = [_build_computation(argument, names, ops) for argument in node.args]
    if name not in ("min", "max"):
        if len(parts) != 1:
            raise names.build_error(names.find_offset(node), f"{name} takes one value, not {len(parts)}")
        return _apply(ops[name], parts[0])
    if len(parts) < 2:
        raise names.build_error(names.find_offset(node), f"{name} takes two values or more, not {len(parts)}")
    combined = parts[0]
    for part in parts[1:]:
        combined = _combine(ops[name], combined, part)
    return combined


def _apply(function: Callable[[Any], Any], part: Computation) -> Computation:
    return lambda values: function(part(values))


def _combine(function: Callable[[Any, Any], Any], left: Computation, right: Computation) -> Computation:
    return lambda values: function(left(values), right(values))


def _compute_log(a: float) -> float:
    return math.log(a) if a > 0 else NAN


def _compute_power(a: float, b: float) -> float:
    if a != a or b != b:
        return NAN
    try:
        return math.pow(a, b)
    except (ValueError, OverflowError):
        return NAN


def _build_extreme(second: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Array]:
    """min or max of arrays, the first where they are equal: a zero keeps its sign as it does in a row."""
    return lambda a, b: np.where(np.isnan(a) | np.isnan(b), NAN, np.where(second(a, b), b, a))


FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""The days since 1970 of year 1 and of year 9999, between which there is a calendar."""


def _month(days: float) -> float:
    whole = math.floor(days) if FIRST_DAY <= days <= LAST_DAY else None
    return NAN if whole is None else float(date.fromordinal(whole + 1 - FIRST_DAY).month)


def _weekday(days: float) -> float:
    return float((math.floor(days) + 3) % 7 + 1) if FIRST_DAY <= days <= LAST_DAY else NAN


def _hour(days: float) -> float:
    if not FIRST_DAY <= days <= LAST_DAY:
        return NAN
    # A second is far above what float64 loses of a day.
    return float(min(round((days - math.floor(days)) * 86_400) // 3600, 23))


def _compare_scalars(holds: Callable[[Any, Any], Any]) -> Callable[[float, float], float]:
    return lambda a, b: NAN if a != a or b != b else float(holds(a, b))


def _compare_arrays(holds: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Array]:
    return lambda a, b: np.where(np.isnan(a) | np.isnan(b), NAN, np.asarray(holds(a, b), dtype=np.float64))


COMPARISONS: Mapping[Any, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

EXACT: Operations = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    "abs": abs,
}
"""Operations that are the same for floats and for arrays."""

SCALARS: Operations = {
    **EXACT,
    ast.Div: lambda a, b: a / b if b else NAN,
    ast.Pow: _compute_power,
    "log": _compute_log,
    "sqrt": lambda a: math.sqrt(a) if a >= 0 else NAN,
    "min": lambda a, b: NAN if a != a or b != b else b if b < a else a,
    "max": lambda a, b: NAN if a != a or b != b else b if b > a else a,
    "month": _month,
    "weekday": _weekday,
    "hour": _hour,
    **{op: _compare_scalars(holds) for op, holds in COMPARISONS.items()},
}


def _vectorize(function: Callable[..., float]) -> Callable[..., Array]:
    """A function of floats done value by value."""
    one_by_one = np.frompyfunc(function, function.__code__.co_argcount, 1)
    return lambda *arrays: np.asarray(one_by_one(*arrays), dtype=np.float64)


ARRAYS: Operations = {
    **EXACT,
    ast.Div: lambda a, b: np.where(np.equal(b, 0), NAN, np.divide(a, np.where(np.equal(b, 0), 1.0, b))),
    ast.Pow: _vectorize(_compute_power),
    "log": _vectorize(_compute_log),
    "sqrt": np.sqrt,
    "min": _build_extreme(lambda a, b: b < a),
    "max": _build_extreme(lambda a, b: b > a),
    "month": _vectorize(_month),
    "weekday": _vectorize(_weekday),
    "hour": _vectorize(_hour),
    **{op: _compare_arrays(holds) for op, holds in COMPARISONS.items()},
}
