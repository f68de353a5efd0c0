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

from epic22.core.data.column_overrides import ColumnOverride
from epic22.core.errors import FileError
from epic22.core.tables.mapping import suggest_name
from epic22.spec.task_file import COLUMN_KEYS, KEYS, LISTS, VERSION, Key, KeyPath, TaskFile, build_key_path

MAX_CHARACTERS = 2_000_000
MAX_KEY_LENGTH = 500
"""YAML takes longer keys only after a question mark."""

TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
NULL = "tag:yaml.org,2002:null"
FLAGS = {"true": True, "false": False, "yes": True, "no": False}
PLAIN_SCALAR = re.compile(r"[^\W\d](?:[\w ./()-]*[\w./()-])?")
"""What needs no quotes, where YAML does not take it for something else."""

RESERVED_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
SECTIONS = ("version", *(name for section, known in KEYS.items() for name in (known if not section else (section,))))


@dataclass(frozen=True)
class _YamlValue:
    """A value in the file, with its path and its line."""

    file: str
    path: KeyPath
    node: yaml.Node
    line: int

    def build_error(self, what: str) -> FileError:
        """What is wrong here."""
        return FileError(f"{self.file}, line {self.line}: {'.'.join(self.path) or 'the file'}: {what}")

    @property
    def is_null(self) -> bool:
        """Whether nothing is said."""
        return self.node.tag == NULL

    @property
    def summary(self) -> str:
        """What stands here, for messages."""
        if isinstance(self.node, yaml.ScalarNode):
            return "nothing" if self.is_null else repr(self.node.value[:60])
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a record of keys"

    def record(self, allowed: Sequence[str] | None) -> dict[str, "_YamlValue"]:
        """The keys of a record, each once and among the known ones."""
        if self.is_null:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.build_error(f"expected a record of keys and values, found {self.summary}.")
        entries: dict[str, _YamlValue] = {}
        for key, value in self.node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _YamlValue(self.file, self.path, key, line).build_error("a key must be a plain name.")
            entry = _YamlValue(self.file, (*self.path, key.value), value, line)
            if allowed is not None and key.value not in allowed:
                raise entry.build_error(f"not known here{suggest_name(key.value, allowed)}; there are {', '.join(allowed)}.")
            if key.value in entries:
                raise entry.build_error(f"given twice, in line {entries[key.value].line} too; leave one out.")
            entries[key.value] = entry
        return entries

    def each(self) -> list["_YamlValue"]:
        """The entries of a list; one value alone is a list of one."""
        if isinstance(self.node, yaml.SequenceNode):
            return [_YamlValue(self.file, self.path, item, item.start_mark.line + 1) for item in self.node.value]
        return [] if self.is_null else [self]

    def text(self) -> str:
        """A plain value as it is written."""
        if not isinstance(self.node, yaml.ScalarNode) or self.is_null:
            raise self.build_error(f"expected a text, found {self.summary}; put it in quotes if that is meant.")
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
            raise self.build_error(f"expected a number, found {self.summary}.")
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
    root = _YamlValue(name, (), _compose(name, text), 1)
    top = root.record(SECTIONS)
    _refuse_version(root, top.pop("version", None))
    lines = text.splitlines()
    task_file = TaskFile(origin=name, places=dict(_iterate_lines(root)), remarks=_collect_comments(root, lines))
    for section, section_keys in KEYS.items():
        if section == "columns":
            continue
        within = {n: top[n] for n in section_keys if n in top} if not section or section in LISTS else {}
        if section in top and section not in LISTS:
            within = top[section].record(tuple(section_keys))
        for key, entry in within.items():
            task_file = task_file.with_value(
                "" if section in LISTS else section, key, _read_value(entry, section_keys[key], folder, task_file, section)
            )
    columns = top["columns"].record(None) if "columns" in top else {}
    return task_file.with_value("", "columns", tuple(_read_column(column, entry) for column, entry in columns.items()))


def _compose(name: str, text: str) -> yaml.Node:
    if len(text) > MAX_CHARACTERS:
        raise FileError(f"{name}: {len(text):,} characters are no task file; it has at most {MAX_CHARACTERS:,}.")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise FileError(f"{name}: empty; write one with 'epic22 train --csv FILE --label COLUMN --write-task {name}'.")
        _refuse_unsafe(name, node, set())
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = name if mark is None else f"{name}, line {mark.line + 1}"
        why = getattr(error, "problem", None) or "nested too deeply, or no text of YAML"
        raise FileError(f"{place}: not readable as YAML: {' '.join(str(why).split())}; mend the line.") from None
    return node


def _refuse_unsafe(name: str, node: yaml.Node, visited: set[int]) -> None:
    """Raise FileError for anchors, which could unfold without end, and for tags, which could construct things."""
    line = node.start_mark.line + 1
    if id(node) in visited:
        raise FileError(f"{name}, line {line}: an anchor (&) is used again; write the value out in each place.")
    visited.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.tag not in TAGS:
            raise FileError(f"{name}, line {line}: the tag {node.tag} is not taken; write the plain value.")
        return
    if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise FileError(f"{name}, line {line}: the tag {node.tag} is not taken; write a plain record or list.")
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    for part in parts:
        _refuse_unsafe(name, part, visited)


def _refuse_version(root: _YamlValue, entry: _YamlValue | None) -> None:
    if entry is None:
        raise root.build_error(f"no version; write 'version: {VERSION}' at its top.")
    version = entry.number()
    if version not in range(1, VERSION + 1):
        raise entry.build_error(f"found {version:g}, this program reads 1 to {VERSION}; a newer file needs a newer epic22.")


def _iterate_lines(value: _YamlValue) -> Iterator[tuple[KeyPath, int]]:
    """The line of each key, by its path."""
    if isinstance(value.node, yaml.MappingNode):
        for entry in value.record(None).values():
            yield entry.path, entry.line
            yield from _iterate_lines(entry)


def _collect_comments(root: _YamlValue, lines: Sequence[str]) -> dict[KeyPath, tuple[str, ...]]:
    """The comments right above each key, by its path; those above a blank line at the top are the file's own."""
    comments: dict[KeyPath, tuple[str, ...]] = {}
    used_lines: set[int] = set()
    for path, line in _iterate_lines(root):
        if line not in used_lines:  # of several keys in a line, the outermost has the comment
            comments[path] = _read_comment_above(lines, line - 1)
        used_lines.add(line)
    end = next((n for n, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))
    if end and end < len(lines) and not lines[end].strip():
        comments[()] = _read_comment_above(lines, end)
    return {path: remark for path, remark in comments.items() if remark}


def _read_comment_above(lines: Sequence[str], end: int) -> tuple[str, ...]:
    start = end
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return tuple(line.strip()[1:].removeprefix(" ") for line in lines[start:end])


def _read_value(entry: _YamlValue, key: Key, folder: Path, default: TaskFile, section: str) -> Any:
    """The value of a key; what it has by default where nothing is said."""
    if entry.is_null:
        return default.value("" if section in LISTS else section, entry.path[-1])
    value = _convert_value(entry, key)
    return folder / value if key.form == "path" else value


def _convert_value(entry: _YamlValue, key: Key) -> Any:
    """A value in its form, not below the least it may be, and one of the words there are."""
    if key.form == "texts":
        texts = [(item, item.text()) for item in entry.each()]
        for item, text in texts:
            _refuse_other_word(item, text, key)
        return tuple(text for _, text in texts)
    if key.form in ("text", "path"):
        _refuse_other_word(entry, entry.text(), key)
        return entry.text()
    if key.form == "flag":
        text = entry.text().lower()
        if text not in FLAGS:
            raise entry.build_error(f"expected true or false, found {entry.summary}.")
        return FLAGS[text]
    number = entry.number()
    if key.form == "whole" and number != int(number):
        raise entry.build_error(f"expected a whole number, found {entry.summary}.")
    if key.minimum is not None and number < key.minimum:
        raise entry.build_error(f"found {entry.summary}, expected at least {key.minimum:g}.")
    if key.form != "whole":
        return number
    text = entry.text()
    return int(text) if text.isdecimal() else int(number)  # a long one is no float


def _refuse_other_word(entry: _YamlValue, text: str, key: Key) -> None:
    if key.words and text not in key.words:
        raise entry.build_error(f"found {entry.summary}{suggest_name(text, key.words)}; expected one of {', '.join(key.words)}.")


def _read_column(name: str, entry: _YamlValue) -> ColumnOverride:
    within = {key: value for key, value in entry.record(tuple(COLUMN_KEYS)).items() if not value.is_null}
    return ColumnOverride(name, **{key: _convert_value(value, COLUMN_KEYS[key]) for key, value in within.items()})


def write_task_file(task_file: TaskFile, path: Path) -> None:
    """Write the task; its paths start from the file's folder. Raises FileError where it cannot be written."""
    try:
        path.write_text(format_task_file(task_file, path.parent), encoding="utf-8", newline="\n")
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}); name another place.") from None


def format_task_file(task_file: TaskFile, folder: Path) -> str:
    """The file's text, its paths from `folder`. What is not said is left out; reading the text gives the same task again."""
    version = [*_format_comments(task_file.remarks.get(("version",), ()), ""), f"version: {VERSION}"]
    parts = ["\n".join(_format_comments(task_file.remarks.get((), ()), "")), "\n".join(version)]
    for section, section_keys in KEYS.items():
        if section == "columns":
            parts.append("\n".join(_format_columns(task_file)))
        elif section in LISTS or not section:
            parts += ["\n".join(_format_lines(task_file, "", section_keys, folder))]
        else:
            within = list(_format_lines(task_file, section, section_keys, folder))
            parts.append("\n".join(_format_section(task_file, section, within)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _format_section(task_file: TaskFile, section: str, within: Sequence[str]) -> list[str]:
    """A section's comments and lines; nothing where it has neither."""
    remark = _format_comments(task_file.remarks.get((section,), ()), "")
    if not within:
        return [*remark, f"{section}: {{}}"] if remark else []
    return [*remark, f"{section}:", *within]


def _format_lines(task_file: TaskFile, section: str, section_keys: Mapping[str, Key], folder: Path) -> Iterator[str]:
    indent = "  " if section else ""
    for name, key in section_keys.items():
        value = task_file.value(section, name)
        remark = task_file.remarks.get(build_key_path(section, name), ())
        if value is None or value == ():
            if section or not remark:
                continue
            value = () if key.form == "texts" else None
        yield from _format_comments(remark, indent)
        if key.form == "path":
            value = _make_relative(value, folder)
        if name == "formulas" and value:
            yield from (f"{name}:", *(f"  - {_format_scalar(one)}" for one in value))
        else:
            yield f"{indent}{name}: {_format_value(value)}"


def _format_columns(task_file: TaskFile) -> Iterator[str]:
    if not task_file.columns:
        return
    yield from _format_comments(task_file.remarks.get(("columns",), ()), "")
    yield "columns:"
    for column in task_file.columns:
        yield from _format_comments(task_file.remarks.get(("columns", column.name), ()), "  ")
        settings = [(key, getattr(column, key)) for key in COLUMN_KEYS if getattr(column, key) not in (None, ())]
        name = _format_scalar(column.name)
        head = f"  {name}:" if len(name) < MAX_KEY_LENGTH else f"  ? {name}\n  :"
        yield head if settings else f"{head} {{}}"
        for key, value in settings:
            yield from _format_comments(task_file.remarks.get(("columns", column.name, key), ()), "    ")
            yield f"    {key}: {_format_value(value)}"


def _format_comments(remark: Sequence[str], indent: str) -> list[str]:
    return [f"{indent}# {_replace_unprintable(text)}".rstrip() for text in remark]


def _replace_unprintable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _make_relative(path: Path, folder: Path) -> str:
    """The path as seen from a folder; as it stands where no way leads there, as to another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()


def _format_value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_format_scalar(one) for one in value)}]"
    return _format_scalar(str(value))


def _format_scalar(text: str) -> str:
    """The text as it is where YAML reads it as text, else in double quotes."""
    if PLAIN_SCALAR.fullmatch(text) and text.isprintable() and text.lower() not in RESERVED_WORDS:
        return text
    return f'"{"".join(_escape(sign) for sign in text)}"'


def _escape(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"
