"""Bodies of requests, read by a model's request model: what does not fit is refused with a JSON pointer to it."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from epic22.api.problems import MAX_ERRORS, Fault, Problem, build_pointer, build_refusal
from epic22.core.artifact.request_model import MAX_ROWS, MAX_TEXT_LENGTH, RequestModel
from epic22.core.text import find_near_names

MAX_OBJECTS = 10 * MAX_ROWS
MAX_EXTRA_NAMES = 100
MAX_HINTS, MAX_HINT_NAMES = 3, 20
"""So many unknown names of a body are answered with the column that may be meant, each after a look at so many columns: names are
compared while no other request is answered."""

MAX_NAME_LENGTH = 100
BODY_HINT = 'send {"rows": [{…}]}'
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _JsonObject(dict[str, Any]):
    """A JSON object that remembers a name it was given twice."""

    duplicate: str | None = None


class _ObjectFactory:
    """Builds the objects of one body, and stops where there are far more of them than rows."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> _JsonObject:
        self.count += 1
        if self.count > MAX_OBJECTS:
            raise Problem(422, f"The body has more than {MAX_OBJECTS:,} objects; send 1 to {MAX_ROWS:,} rows.")
        json_object = _JsonObject(pairs)
        if len(json_object) < len(pairs):
            json_object.duplicate = Counter(name for name, _ in pairs).most_common(1)[0][0]
        return json_object


def read_rows(body: RequestModel, content: bytes) -> list[dict[str, Any]]:
    """The rows of a body, by column name; times are naive UTC.

    Raises Problem 400 for what is no JSON, 422 for rows that do not fit, with a JSON pointer each.
    """
    values: list[dict[str, Any]] = []
    faults: list[Fault] = []
    rows = _extract_rows(_parse_json(content), body.max_rows)
    _refuse_many_values(body, rows)
    for i, row in enumerate(rows):
        result = _validate_row(body, row, i, MAX_HINTS - len(faults))
        if isinstance(result, list):
            faults += result
        else:
            values.append(result)
        if len(faults) >= MAX_ERRORS:
            break
    if faults:
        raise build_refusal(faults)
    return values


def _parse_json(content: bytes) -> Any:
    if not content.strip():
        raise Problem(400, f"The body is empty; {BODY_HINT}.")
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_ObjectFactory())
        if SURROGATE.search(text):
            # Half of a surrogate pair is no character: no answer could be written with it.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Problem(400, "The body is not JSON that can be read: it is nested too deeply.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Problem(400, f"The body is not JSON: {error.msg} at {where}.") from None
    except UnicodeError:
        raise Problem(400, "The body is not JSON: it holds bytes or escapes that are no UTF-8 text.") from None
    except ValueError:
        raise Problem(400, "The body is not JSON that can be read: a number in it has too many digits.") from None
    return value


def _extract_rows(value: Any, max_rows: int) -> list[Any]:
    if not isinstance(value, _JsonObject):
        raise Problem(422, f"The body is {_describe_value(value)}, not an object; {BODY_HINT}.", [("", "must be an object")])
    if "rows" not in value:
        raise Problem(422, f'The body has no "rows"; {BODY_HINT}.', [("/rows", "is absent")])
    if value.duplicate is not None or len(value) > 1:
        faults = [
            (build_pointer(name), f'is not asked for; "rows" is all a body has: {BODY_HINT}') for name in value if name != "rows"
        ]
        raise build_refusal(faults or [("/rows", "is given twice")])
    rows = value["rows"]
    if not isinstance(rows, list):
        raise build_refusal([("/rows", f"must be a list of rows, not {_describe_value(rows)}")])
    if not 1 <= len(rows) <= max_rows:
        raise build_refusal([("/rows", f"has {len(rows):,} rows; send 1 to {max_rows:,}")])
    return rows


def _refuse_many_values(body: RequestModel, rows: list[Any]) -> None:
    """Raise Problem 422 where the lists of all rows are longer together than a request may cost."""
    total = 0
    for i, row in enumerate(rows if body.max_values else ()):
        for name, value in row.items() if isinstance(row, _JsonObject) else ():
            total += len(value) if isinstance(value, list) else 0
            if total > body.max_values:
                what = f"brings the request to more than {body.max_values:,} values; send the rows in several requests"
                raise build_refusal([(build_pointer("rows", i, name), what)])


def _validate_row(body: RequestModel, row: Any, i: int, n_hints: int) -> dict[str, Any] | list[Fault]:
    """The row's values, or what is wrong with it; the first `n_hints` faults may name the column that is meant."""
    if not isinstance(row, _JsonObject):
        return [(build_pointer("rows", i), f"must be an object with a value a column, not {_describe_value(row)}")]
    if len(row) > len(body.columns) + MAX_EXTRA_NAMES:
        return [(build_pointer("rows", i), f"has {len(row):,} names; the task has {len(body.columns):,} columns")]
    if row.duplicate is not None:
        return [(build_pointer("rows", i, row.duplicate), "is given twice")]
    try:
        return body.row.model_validate(row).model_dump(by_alias=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
    # A misspelt name comes first: the absent column is its consequence.
    details.sort(key=lambda item: item["type"] != "extra_forbidden")
    del details[MAX_ERRORS:]
    return [
        (build_pointer("rows", i, *item["loc"]), _describe_error(item, body, number <= n_hints))
        for number, item in enumerate(details, start=1)
    ]


EXPECTATIONS: Mapping[str, str] = {
    "float_type": "must be a number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "list_type": "must be a list of numbers",
    "name_type": f"must be a text of at most {MAX_TEXT_LENGTH:,} characters or a number of at most 64 bits",
}


def _describe_error(item: ErrorDetails, body: RequestModel, with_hint: bool) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "missing":
        column = str(item["loc"][0])
        return f"is absent; send {'null where the value is missing' if body.takes_null(column) else 'it with every row'}"
    if kind == "extra_forbidden":
        near = find_near_name(str(item["loc"][0]), [column.name for column in body.columns]) if with_hint else None
        return "is no column of this task" + (f"; did you mean {near!r}?" if near else "")
    if _is_infinite(kind, value):
        return "must be a finite number; send null where the value is missing"
    if kind == "greater_than":
        return f"must be above {context['gt']:g}, not {_describe_value(value)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']:g}" if "ge" in context else f"at most {context['le']:g}"
        return f"must be {bound}, not {_describe_value(value)}"
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']:,}"
        return f"must have {bound} values, not {len(value):,}"
    if kind == "string_too_long":
        return f"must have at most {MAX_TEXT_LENGTH:,} characters, not {len(value):,}"
    expectation = (
        "must be a time such as 2024-03-01T13:00:00Z" if kind.startswith("datetime") else EXPECTATIONS.get(kind, "does not fit")
    )
    return f"{expectation}, not {_describe_value(value)}"


def find_near_name(name: str, names: Sequence[str]) -> str | None:
    """The name that a misspelt one may mean, of those that begin and end as it does the longest; None where none is near."""
    name = name[:MAX_NAME_LENGTH]
    nearest = nlargest(MAX_HINT_NAMES, names, key=lambda other: _measure_shared_ends(name, other))
    candidates = {other[:MAX_NAME_LENGTH]: other for other in nearest}
    return next((candidates[near] for near in find_near_names(name, candidates)), None)


def _measure_shared_ends(one: str, other: str) -> int:
    """How many characters two names share at their beginning and at their end, large and small ones alike."""
    one, other = one.casefold(), other.casefold()
    return _measure_shared_beginning(one, other) + _measure_shared_beginning(one[::-1], other[::-1])


def _measure_shared_beginning(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((position for position, (a, b) in pairs if a != b), min(len(one), len(other)))


def _is_infinite(kind: str, value: Any) -> bool:
    """NaN, infinite, or an integer beyond every float."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return kind == "float_type" and isinstance(value, int) and not isinstance(value, bool)


def _describe_value(value: Any) -> str:
    """A value in a few words, however large it is."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" + ("…" if len(value) > 40 else "")
    text = "null" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"a number of {len(text):,} digits"
