"""The text of a task file: YAML of records, lists and plain values, read strictly; comments above keys are kept.

Only YAML's plain parts are taken, and nothing is constructed but text and numbers. A key decides how its value is read, so that
the column `no` stays a name and the value `yes` a text. What is wrong is told with the file, the line and the key's path.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from epic22.core.data.mapping import near
from epic22.core.data.stated import StatedColumn
from epic22.core.errors import FileError
from epic22.features.task_file import COLUMN_KEYS, KEYS, LISTS, VERSION, Key, KeyPath, TaskFile, path_of

MOST_CHARACTERS = 2_000_000
LONGEST_KEY = 500
"""YAML takes longer keys only after a question mark."""

TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
NULL = "tag:yaml.org,2002:null"
FLAGS = {"true": True, "false": False, "yes": True, "no": False}
PLAIN = re.compile(r"[^\W\d](?:[\w ./()-]*[\w./()-])?")
"""What needs no quotes, where YAML does not take it for something else."""

WORDS_OF_YAML = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
SECTIONS = ("version", *(name for section, known in KEYS.items() for name in (known if not section else (section,))))


@dataclass(frozen=True)
class _Found:
    """A value in the file, with its path and its line."""

    file: str
    path: KeyPath
    node: yaml.Node
    line: int

    def error(self, what: str) -> FileError:
        """What is wrong here."""
        return FileError(f"{self.file}, line {self.line}: {'.'.join(self.path) or 'the file'}: {what}")

    @property
    def is_null(self) -> bool:
        """Whether nothing is said."""
        return self.node.tag == NULL

    @property
    def said(self) -> str:
        """What stands here, for messages."""
        if isinstance(self.node, yaml.ScalarNode):
            return "nothing" if self.is_null else repr(self.node.value[:60])
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a record of keys"

    def record(self, known: Sequence[str] | None) -> dict[str, "_Found"]:
        """The keys of a record, each once and among the known ones."""
        if self.is_null:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"expected a record of keys and values, found {self.said}.")
        made: dict[str, _Found] = {}
        for key, value in self.node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _Found(self.file, self.path, key, line).error("a key must be a plain name.")
            found = _Found(self.file, (*self.path, key.value), value, line)
            if known is not None and key.value not in known:
                raise found.error(f"not known here{near(key.value, known)}; there are {', '.join(known)}.")
            if key.value in made:
                raise found.error(f"given twice, in line {made[key.value].line} too; leave one out.")
            made[key.value] = found
        return made

    def each(self) -> list["_Found"]:
        """The entries of a list; one value alone is a list of one."""
        if isinstance(self.node, yaml.SequenceNode):
            return [_Found(self.file, self.path, one, one.start_mark.line + 1) for one in self.node.value]
        return [] if self.is_null else [self]

    def text(self) -> str:
        """A plain value as it is written."""
        if not isinstance(self.node, yaml.ScalarNode) or self.is_null:
            raise self.error(f"expected a text, found {self.said}; put it in quotes if that is meant.")
        return str(self.node.value)

    def number(self) -> float:
        """A finite number."""
        text = self.text()
        quoted = isinstance(self.node, yaml.ScalarNode) and self.node.style is not None
        try:
            value = math.nan if quoted else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"expected a number, found {self.said}.")
        return value


def read_task_file(path: Path) -> TaskFile:
    """The task in a file. Raises FileError, which says where in it the mistake is."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); name the task file.") from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: no text in UTF-8; name a task file, or save it as UTF-8.") from None
    return read_task(path.name, text, path.parent)


def read_task(name: str, text: str, folder: Path) -> TaskFile:
    """The task in a file's text; `name` is the file's, for messages, `folder` the one its paths start from.

    Raises FileError with the line and the key for what is not known, of another type, or given twice.
    """
    root = _Found(name, (), _composed(name, text), 1)
    top = root.record(SECTIONS)
    _refuse_version(root, top.pop("version", None))
    lines = text.splitlines()
    asked = TaskFile(origin=name, places=dict(_places(root)), remarks=_remarks(root, lines))
    for section, known in KEYS.items():
        if section == "columns":
            continue
        within = {n: top[n] for n in known if n in top} if not section or section in LISTS else {}
        if section in top and section not in LISTS:
            within = top[section].record(tuple(known))
        for key, found in within.items():
            asked = asked.with_value("" if section in LISTS else section, key, _value(found, known[key], folder, asked, section))
    columns = top["columns"].record(None) if "columns" in top else {}
    return asked.with_value("", "columns", tuple(_column(column, found) for column, found in columns.items()))


def _composed(name: str, text: str) -> yaml.Node:
    if len(text) > MOST_CHARACTERS:
        raise FileError(f"{name}: {len(text):,} characters are no task file; it has at most {MOST_CHARACTERS:,}.")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise FileError(f"{name}: empty; write one with 'epic22 train --csv FILE --label COLUMN --write-task {name}'.")
        _refuse_odd(name, node, set())
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = name if mark is None else f"{name}, line {mark.line + 1}"
        why = getattr(error, "problem", None) or "nested too deeply, or no text of YAML"
        raise FileError(f"{place}: not readable as YAML: {' '.join(str(why).split())}; mend the line.") from None
    return node


def _refuse_odd(name: str, node: yaml.Node, seen: set[int]) -> None:
    """Raise FileError for anchors, which could unfold without end, and for tags, which could construct things."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise FileError(f"{name}, line {line}: an anchor (&) is used again; write the value out in each place.")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.tag not in TAGS:
            raise FileError(f"{name}, line {line}: the tag {node.tag} is not taken; write the plain value.")
        return
    if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise FileError(f"{name}, line {line}: the tag {node.tag} is not taken; write a plain record or list.")
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    for part in parts:
        _refuse_odd(name, part, seen)


def _refuse_version(root: _Found, found: _Found | None) -> None:
    if found is None:
        raise root.error(f"no version; write 'version: {VERSION}' at its top.")
    version = found.number()
    if version not in range(1, VERSION + 1):
        raise found.error(f"found {version:g}, this program reads 1 to {VERSION}; a newer file needs a newer epic22.")


def _places(found: _Found) -> Iterator[tuple[KeyPath, int]]:
    """The line of each key, by its path."""
    if isinstance(found.node, yaml.MappingNode):
        for one in found.record(None).values():
            yield one.path, one.line
            yield from _places(one)


def _remarks(root: _Found, lines: Sequence[str]) -> dict[KeyPath, tuple[str, ...]]:
    """The comments right above each key, by its path; those above a blank line at the top are the file's own."""
    made: dict[KeyPath, tuple[str, ...]] = {}
    taken: set[int] = set()
    for path, line in _places(root):
        if line not in taken:  # of several keys in a line, the outermost has the comment
            made[path] = _above(lines, line - 1)
        taken.add(line)
    end = next((n for n, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))
    if end and end < len(lines) and not lines[end].strip():
        made[()] = _above(lines, end)
    return {path: remark for path, remark in made.items() if remark}


def _above(lines: Sequence[str], end: int) -> tuple[str, ...]:
    start = end
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return tuple(line.strip()[1:].removeprefix(" ") for line in lines[start:end])


def _value(found: _Found, key: Key, folder: Path, default: TaskFile, section: str) -> Any:
    """The value of a key; what it has by default where nothing is said."""
    if found.is_null:
        return default.value("" if section in LISTS else section, found.path[-1])
    value = _formed(found, key)
    return folder / value if key.form == "path" else value


def _formed(found: _Found, key: Key) -> Any:
    """A value in its form, not below the least it may be, and one of the words there are."""
    if key.form == "texts":
        texts = [(one, one.text()) for one in found.each()]
        for one, text in texts:
            _refuse_other_word(one, text, key)
        return tuple(text for _, text in texts)
    if key.form in ("text", "path"):
        _refuse_other_word(found, found.text(), key)
        return found.text()
    if key.form == "flag":
        text = found.text().lower()
        if text not in FLAGS:
            raise found.error(f"expected true or false, found {found.said}.")
        return FLAGS[text]
    number = found.number()
    if key.form == "whole" and number != int(number):
        raise found.error(f"expected a whole number, found {found.said}.")
    if key.least is not None and number < key.least:
        raise found.error(f"found {found.said}, expected at least {key.least:g}.")
    if key.form != "whole":
        return number
    text = found.text()
    return int(text) if text.isdecimal() else int(number)  # a long one is no float


def _refuse_other_word(found: _Found, text: str, key: Key) -> None:
    if key.words and text not in key.words:
        raise found.error(f"found {found.said}{near(text, key.words)}; expected one of {', '.join(key.words)}.")


def _column(name: str, found: _Found) -> StatedColumn:
    within = {key: one for key, one in found.record(tuple(COLUMN_KEYS)).items() if not one.is_null}
    return StatedColumn(name, **{key: _formed(one, COLUMN_KEYS[key]) for key, one in within.items()})


def write_task_file(asked: TaskFile, path: Path) -> None:
    """Write the task; its paths start from the file's folder. Raises FileError where it cannot be written."""
    try:
        path.write_text(task_text(asked, path.parent), encoding="utf-8", newline="\n")
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}); name another place.") from None


def task_text(asked: TaskFile, folder: Path) -> str:
    """The file's text, its paths from `folder`. What is not said is left out; reading the text gives the same task again."""
    version = [*_comments(asked.remarks.get(("version",), ()), ""), f"version: {VERSION}"]
    parts = ["\n".join(_comments(asked.remarks.get((), ()), "")), "\n".join(version)]
    for section, known in KEYS.items():
        if section == "columns":
            parts.append("\n".join(_columns(asked)))
        elif section in LISTS or not section:
            parts += ["\n".join(_lines(asked, "", known, folder))]
        else:
            within = list(_lines(asked, section, known, folder))
            parts.append("\n".join(_section(asked, section, within)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(asked: TaskFile, section: str, within: Sequence[str]) -> list[str]:
    """A section's comments and lines; nothing where it has neither."""
    remark = _comments(asked.remarks.get((section,), ()), "")
    if not within:
        return [*remark, f"{section}: {{}}"] if remark else []
    return [*remark, f"{section}:", *within]


def _lines(asked: TaskFile, section: str, known: Mapping[str, Key], folder: Path) -> Iterator[str]:
    indent = "  " if section else ""
    for name, key in known.items():
        value = asked.value(section, name)
        remark = asked.remarks.get(path_of(section, name), ())
        if value is None or value == ():
            if section or not remark:
                continue
            value = () if key.form == "texts" else None
        yield from _comments(remark, indent)
        if key.form == "path":
            value = _relative(value, folder)
        if name == "formulas" and value:
            yield from (f"{name}:", *(f"  - {_scalar(one)}" for one in value))
        else:
            yield f"{indent}{name}: {_written(value)}"


def _columns(asked: TaskFile) -> Iterator[str]:
    if not asked.columns:
        return
    yield from _comments(asked.remarks.get(("columns",), ()), "")
    yield "columns:"
    for column in asked.columns:
        yield from _comments(asked.remarks.get(("columns", column.name), ()), "  ")
        said = [(key, getattr(column, key)) for key in COLUMN_KEYS if getattr(column, key) not in (None, ())]
        name = _scalar(column.name)
        head = f"  {name}:" if len(name) < LONGEST_KEY else f"  ? {name}\n  :"
        yield head if said else f"{head} {{}}"
        for key, value in said:
            yield from _comments(asked.remarks.get(("columns", column.name, key), ()), "    ")
            yield f"    {key}: {_written(value)}"


def _comments(remark: Sequence[str], indent: str) -> list[str]:
    return [f"{indent}# {_one_line(text)}".rstrip() for text in remark]


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _relative(path: Path, folder: Path) -> str:
    """The path as seen from a folder; as it stands where no way leads there, as to another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_scalar(one) for one in value)}]"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """The text as it is where YAML reads it as text, else in double quotes."""
    if PLAIN.fullmatch(text) and text.isprintable() and text.lower() not in WORDS_OF_YAML:
        return text
    return f'"{"".join(_escaped(sign) for sign in text)}"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"
