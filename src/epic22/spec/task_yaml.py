"""The text of a task file: YAML of records, lists and plain values, read strictly; comments above keys are kept.

Only YAML's plain parts are taken, and nothing is constructed but text and numbers. A key decides how its value is read, so that
the column `no` stays a name and the value `yes` a text. What is wrong is reported with the file, the line and the key's path.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from epic22.core.column import ColumnOverride
from epic22.core.errors import FileError
from epic22.core.tables.mapping import suggest_name
from epic22.spec.key import clean_texts
from epic22.spec.spec_field import COLUMN_FIELDS, KeyPath, SpecField
from epic22.spec.training_spec import SECTION_KEYS, VERSION, Origin, TrainingSpec, apply_options, list_section

MAX_CHARACTERS = 2_000_000
MAX_KEY_LENGTH = 500
"""YAML takes longer keys only after a question mark."""

OLD_KEYS: Mapping[KeyPath, str] = {
    ("roles", "exposure"): "offset",
    ("costs", "exposure"): "stake_column",
    ("use",): "policy",
    ("use", "least"): "minimum_effect",
    ("use", "margin"): "non_inferiority_margin",
}
"""Keys that had another name in 0.1."""

TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
NULL = "tag:yaml.org,2002:null"
FLAGS = {"true": True, "false": False, "yes": True, "no": False}
PLAIN_SCALAR = re.compile(r"[^\W\d](?:[\w ./()-]*[\w./()-])?")
"""What needs no quotes, where YAML does not take it for something else."""

RESERVED_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


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
            name = clean_texts(key.value)
            entry = _YamlValue(self.file, (*self.path, name), value, line)
            if allowed is not None and name not in allowed:
                raise entry.build_error(f"not known here{suggest_name(name, allowed)}; there are {', '.join(allowed)}.")
            if name in entries:
                raise entry.build_error(f"given twice, in line {entries[name].line} too; leave one out.")
            entries[name] = entry
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


def read_spec(given: Mapping[str, Any]) -> TrainingSpec:
    """What is asked by the task file, where one is given, and the options. Raises FileError for one that cannot be read."""
    path = given.get("task_file")
    return apply_options(TrainingSpec() if path is None else read_task_file(path), given)


def read_task_file(path: Path) -> TrainingSpec:
    """The task in a file. Raises FileError, which says where in it the mistake is."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); name the task file.") from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: no text in UTF-8; name a task file, or save it as UTF-8.") from None
    return read_task(path.name, text, path.parent)


def read_task(name: str, text: str, folder: Path) -> TrainingSpec:
    """The task in a file's text; `name` is the file's, for messages, `folder` the one its paths start from.

    Raises FileError with the line and the key for what is not known, of another type, or given twice.
    """
    root = _YamlValue(name, (), _compose(name, text), 1)
    _rename_old_keys(root.node)
    top = root.record(("version", *SECTION_KEYS))
    _refuse_version(root, top.pop("version", None))
    origin = Origin(name, dict(_iterate_lines(root)), _collect_comments(root, text.splitlines()))
    spec = TrainingSpec(origin=origin)
    for section in (section for section in SECTION_KEYS if section in top and section != "columns"):
        fields = {field.name: field for field in list_section(section)}
        entries = {section: top[section]} if section in fields else top[section].record(tuple(fields))
        for key, entry in entries.items():
            spec = spec.with_value(fields[key], _read_value(entry, fields[key], folder))
    columns = top["columns"].record(None) if "columns" in top else {}
    return spec.model_copy(update={"columns": tuple(_read_column(column, entry) for column, entry in columns.items())})


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


def _rename_old_keys(node: yaml.Node, path: KeyPath = ()) -> None:
    """Give keys that had another name once their names of today."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            within = (*path, key.value)
            key.value = OLD_KEYS.get(within, key.value)
            if within in (("roles",), ("costs",), ("use",)):
                _rename_old_keys(value, within)


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


def _read_value(entry: _YamlValue, field: SpecField, folder: Path) -> Any:
    """The value of a key; what it has by default where nothing is said."""
    if entry.is_null:
        return field.default
    value = _convert_value(entry, field)
    return folder / value if field.form == "path" else value


def _convert_value(entry: _YamlValue, field: SpecField) -> Any:
    """A value in its form, within its bounds, and one of the choices."""
    if field.form == "texts":
        texts = [(item, item.text()) for item in entry.each()]
        for item, text in texts:
            _refuse_other_choice(item, text, field)
        return tuple(text for _, text in texts)
    if field.form in ("text", "path"):
        _refuse_other_choice(entry, entry.text(), field)
        if field.form == "path" and "\0" in entry.text():
            raise entry.build_error(f"expected a path without the sign NUL, found {entry.summary}.")
        return entry.text()
    if field.form == "flag":
        text = entry.text().lower()
        if text not in FLAGS:
            raise entry.build_error(f"expected true or false, found {entry.summary}.")
        return FLAGS[text]
    number = entry.number()
    if field.form == "whole" and number != int(number):
        raise entry.build_error(f"expected a whole number, found {entry.summary}.")
    try:
        field.key.check_number(number)
    except ValueError as error:
        raise entry.build_error(f"found {entry.summary}, {error}.") from None
    return int(number) if field.form == "whole" else number


def _refuse_other_choice(entry: _YamlValue, text: str, field: SpecField) -> None:
    choices = field.choices
    if choices and text not in choices:
        raise entry.build_error(f"found {entry.summary}{suggest_name(text, choices)}; expected one of {', '.join(choices)}.")


def _read_column(name: str, entry: _YamlValue) -> ColumnOverride:
    fields = {field.name: field for field in COLUMN_FIELDS}
    entries = entry.record(tuple(fields)).items()
    values = {key: clean_texts(_convert_value(value, fields[key])) for key, value in entries if not value.is_null}
    return ColumnOverride(name, **values)


def refuse_unwritable(path: Path | None) -> None:
    """Raise FileError where a task file cannot be written to its place: better now than after the training."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise FileError(f"--write-task {path}: there is no folder {path.parent}; make it, or name another.")
    if path.is_dir():
        raise FileError(f"--write-task {path}: this is a folder; name a file.")
    is_new = not os.path.lexists(path)
    if not is_new and not path.is_file():
        return  # a pipe or a device, which opening would use up
    try:
        with path.open("ab"):
            pass
        if is_new:
            path.unlink()
    except OSError as error:
        raise FileError(f"--write-task {path} cannot be written ({error.strerror}); name another place.") from None


def write_task_file(spec: TrainingSpec, path: Path) -> None:
    """Write the task; its paths start from the file's folder. Raises FileError where it cannot be written."""
    try:
        path.write_text(format_task_file(spec, path.parent), encoding="utf-8", newline="\n")
    except OSError as error:
        raise FileError(f"{path} cannot be written ({error.strerror}); name another place.") from None


def format_task_file(spec: TrainingSpec, folder: Path) -> str:
    """The file's text, its paths from `folder`. What is not said is left out; reading the text gives the same task again."""
    remarks = spec.origin.remarks
    parts = [_format_comments(remarks.get((), ()), "")]
    parts.append([*_format_comments(remarks.get(("version",), ()), ""), f"version: {VERSION}"])
    for section in SECTION_KEYS:
        fields = list_section(section)
        if section == "columns":
            parts.append(list(_format_columns(spec)))
        elif fields[0].section:
            parts.append(_format_section(section, list(_format_fields(spec, fields, folder)), remarks.get((section,), ())))
        else:
            parts.append(list(_format_fields(spec, fields, folder)))
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _format_section(section: str, lines: Sequence[str], remark: Sequence[str]) -> list[str]:
    """A section's comments and lines; nothing where it has neither."""
    comments = _format_comments(remark, "")
    if not lines:
        return [*comments, f"{section}: {{}}"] if comments else []
    return [*comments, f"{section}:", *lines]


def _format_fields(spec: TrainingSpec, fields: Sequence[SpecField], folder: Path) -> Iterator[str]:
    for field in fields:
        indent, name, value = "  " if field.section else "", field.name, spec.value(field)
        remark = spec.origin.remarks.get(field.path, ())
        if value is None or value == ():
            if field.section or not remark:
                continue
            value = () if field.form == "texts" else None
        yield from _format_comments(remark, indent)
        if field.form == "path":
            value = Path(os.path.relpath(value, folder)).as_posix()
        if name == "formulas" and value:
            yield from (f"{name}:", *(f"  - {_format_scalar(one)}" for one in value))
        else:
            yield f"{indent}{name}: {_format_value(value)}"


def _format_columns(spec: TrainingSpec) -> Iterator[str]:
    if not spec.columns:
        return
    remarks = spec.origin.remarks
    yield from _format_comments(remarks.get(("columns",), ()), "")
    yield "columns:"
    for column in spec.columns:
        yield from _format_comments(remarks.get(("columns", column.name), ()), "  ")
        values = [(field.name, getattr(column, field.name)) for field in COLUMN_FIELDS]
        settings = [(key, value) for key, value in values if value not in (None, ())]
        name = _format_scalar(column.name)
        head = f"  {name}:" if len(name) < MAX_KEY_LENGTH else f"  ? {name}\n  :"
        yield head if settings else f"{head} {{}}"
        for key, value in settings:
            yield from _format_comments(remarks.get(("columns", column.name, key), ()), "    ")
            yield f"    {key}: {_format_value(value)}"


def _format_comments(remark: Sequence[str], indent: str) -> list[str]:
    printable = ("".join(sign if sign.isprintable() else " " for sign in text) for text in remark)
    return [f"{indent}# {text}".rstrip() for text in printable]


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
