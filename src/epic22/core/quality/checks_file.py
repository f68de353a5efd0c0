"""Reading a YAML record of checks: what it may say, and where in it a mistake is."""

import math

from epic22.core.errors import FileError
from epic22.core.quality.checks import CHECKS, LEVELS, Check, Level, QualityRules
from epic22.core.tables.canonical import CANONICAL
from epic22.core.tables.mapping import suggest_name
from epic22.core.tables.mapping_record import check_record

MAX_ALPHA = 0.2
CHECK_KEYS, TOP_KEYS = ("level", "limit"), ("alpha", "ignore", "checks")


def read_rules(place: str, content: object) -> QualityRules:
    """The rules that a parsed YAML record holds; what it does not say stays as it is by default.

    `place` is the file's name, or where in it the record stands, for the errors. Raises FileError.
    """
    if content is None:
        return QualityRules()
    top = check_record(place, content, TOP_KEYS)
    rules = QualityRules()
    if "alpha" in top:
        rules = QualityRules(alpha=_read_number(f"{place}: alpha", top["alpha"], MAX_ALPHA))
    rules = QualityRules(alpha=rules.alpha, ignored=frozenset(_read_ignored(f"{place}: ignore", top.get("ignore"))))
    names = [check.name for check in CHECKS]
    for name, value in check_record(f"{place}: checks", top.get("checks") or {}, names).items():
        check = next(check for check in CHECKS if check.name == name)
        level, limit = _read_check(f"{place}: checks.{name}", check, value)
        rules = rules.with_check(name, level, limit)
    return rules


def _read_check(place: str, check: Check, content: object) -> tuple[Level | None, float | None]:
    """A level alone, or a record of level and limit."""
    if not isinstance(content, dict):
        return _read_level(place, check, content), None
    record = check_record(place, content, CHECK_KEYS)
    level = _read_level(f"{place}.level", check, record["level"]) if "level" in record else None
    if "limit" not in record:
        return level, None
    if check.limit is None:
        raise FileError(f"{place}.limit: {check.name} has none; give a level alone.")
    return level, _read_number(f"{place}.limit", record["limit"], math.inf)


def _read_level(place: str, check: Check, content: object) -> Level:
    # YAML takes the bare word off for the value false.
    text = "off" if content is False else str(content)
    levels = [level for level in LEVELS if level != "quarantine" or check.names_rows]
    for level in levels:
        if level == text:
            return level
    if text == "quarantine":
        raise FileError(f"{place}: {check.name} names no rows that could be set apart; there are {', '.join(levels)}.")
    raise FileError(f"{place}: {text!r} is no level{suggest_name(text, levels)}; there are {', '.join(levels)}.")


def _read_number(place: str, content: object, most: float) -> float:
    try:
        number = float(str(content))
    except ValueError:
        number = math.nan
    if isinstance(content, bool) or not 0 < number < most:
        expected = "a number above 0" + ("" if math.isinf(most) else f" and below {most}")
        raise FileError(f"{place}: expected {expected}, found {content!r}.")
    return number


def _read_ignored(place: str, content: object) -> list[str]:
    """Tables and table.columns, each of which has to exist."""
    listed = [] if content is None else content if isinstance(content, list) else [content]
    known = [name for table in CANONICAL for name in (table.name, *(f"{table.name}.{c.name}" for c in table.columns))]
    for one in listed:
        if one not in known:
            raise FileError(f"{place}: {one!r} is no table and no table.column{suggest_name(str(one), known)}.")
    return [str(one) for one in listed]
