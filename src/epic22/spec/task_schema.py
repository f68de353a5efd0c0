"""The JSON schema of the task file, from the fields of the specification: editors complete and check with it.

`python -m epic22.spec.task_schema > docs/reference/task.schema.json` writes the page anew.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from epic22.spec.spec_field import COLUMN_FIELDS, SpecField
from epic22.spec.training_spec import SECTION_KEYS, VERSION, list_section

SCALARS = ["string", "number", "boolean"]
"""What YAML may take a text for: the value yes, the column 1."""

TYPES: Mapping[str, list[str]] = {
    "text": SCALARS,
    "path": ["string"],
    "number": ["number"],
    "whole": ["integer"],
    "flag": ["boolean"],
}


def build_task_schema() -> dict[str, Any]:
    """The schema of a whole file."""
    properties: dict[str, Any] = {"version": {"type": "integer", "minimum": 1, "maximum": VERSION}}
    for name, key in SECTION_KEYS.items():
        fields = list_section(name)
        if name == "columns":
            properties[name] = {"type": ["object", "null"], "additionalProperties": _build_record(COLUMN_FIELDS)}
        elif fields[0].section:
            properties[name] = _build_record(fields)
        else:
            properties[name] = _build_value(fields[0])
        properties[name]["description"] = key.comment or key.help
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Epic 22 task file",
        "type": "object",
        "required": ["version"],
        "additionalProperties": False,
        "properties": properties,
    }


def _build_record(fields: Sequence[SpecField]) -> dict[str, Any]:
    """A record of keys, each at most once and among these."""
    values = {field.name: _build_value(field) for field in fields}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": values}


def _build_value(field: SpecField) -> dict[str, Any]:
    """What a key may hold: null says nothing, and one text is a list of one."""
    choices = {"enum": list(field.choices)} if field.choices else {}
    if field.form == "texts":
        item = {"type": SCALARS} | choices
        schema: dict[str, Any] = {"anyOf": [{"type": "array", "items": item}, item, {"type": "null"}]}
    else:
        enum = {"enum": [*field.choices, *([True, False] if {"yes", "no"} & set(field.choices) else []), None]} if choices else {}
        schema = {"type": [*TYPES[field.form], "null"]} | enum
    if field.key.minimum is not None:
        schema["minimum"] = field.key.minimum
    if field.key.maximum is not None:
        schema["maximum"] = field.key.maximum
    if field.default not in (None, ()):
        schema["default"] = field.default
    if field.key.help:
        schema["description"] = field.key.help + (f" Option: {field.key.option}." if field.key.option else "")
    return schema


def format_task_schema() -> str:
    """The schema as it is kept in the documents."""
    return json.dumps(build_task_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(format_task_schema())
