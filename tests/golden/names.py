"""The corrected names, old to new: applied to what a case asks for, and to what it once answered."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

Section = Literal["faces", "stored"]
NAMES = Path(__file__).with_name("names.json")
Json = Any
"""What `json.loads` gives."""


@dataclass(frozen=True)
class Names:
    """The table of corrected names; an empty one changes nothing.

    `texts` are pieces of text of both sections. `faces` are what commands print, what HTTP answers, reports, tracking and task
    files; `stored` are the files of a bundle and of its version. A key is an old name, or a path of parents that ends in it
    ("power/sample"), of which the longest that fits counts; null takes the key out.
    """

    table: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path = NAMES) -> "Names":
        """The committed table."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def empty(cls) -> "Names":
        """A table without entries."""
        return cls({})

    def argument(self, argument: str) -> str:
        """An argument of the command line under its new name: a verb, an option, a family or a metric."""
        for category in (self._top("verbs"), self._top("options"), *self._values("faces")):
            if argument in category:
                return str(category[argument])
        return argument

    def address(self, path: str) -> str:
        """A path of HTTP under its new name."""
        return _substituted(path, self._top("paths"))

    def key(self, key: str, section: Section = "faces") -> str:
        """A key of JSON under its new name, wherever it stands."""
        return self._key(key, section, ()) or key

    def document(self, document: Json) -> Json:
        """A recorded document in new names."""
        return {
            "case": document["case"],
            "faces": self.renamed(document["faces"], "faces"),
            "stored": self.renamed(document["stored"], "stored"),
        }

    def renamed(self, value: Json, section: Section, parents: tuple[str, ...] = ()) -> Json:
        """A value of a section in new names, its keys at every depth."""
        if isinstance(value, dict):
            fresh = {}
            for key, inner in value.items():
                new = self._key(key, section, parents)
                if new is not None:
                    fresh[new] = self.renamed(inner, section, (*parents, key))
            return fresh
        if isinstance(value, list):
            return [self.renamed(inner, section, parents) for inner in value]
        return self._text(value, section) if isinstance(value, str) else value

    def _key(self, key: str, section: Section, parents: tuple[str, ...]) -> str | None:
        keys = self._section(section, "keys")
        path = (*parents, key)
        for begin in range(len(path)):
            joined = "/".join(path[begin:])
            if joined in keys:
                new = keys[joined]
                return None if new is None else str(new)
        return self._text(key, section)

    def _text(self, text: str, section: Section) -> str:
        for values in self._values(section):
            if text in values:
                return str(values[text])
        changed = _substituted(text, self._top("texts") | self._section(section, "texts"))
        for pattern, new in self._option_patterns:
            changed = pattern.sub(new, changed)
        return changed

    @cached_property
    def _option_patterns(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(rf"(?<![\w-]){re.escape(old)}(?![\w-])"), new) for old, new in self._top("options").items()]

    def _values(self, section: Section) -> tuple[dict[str, Any], ...]:
        return self._section(section, "families"), self._section(section, "metrics")

    def _section(self, section: Section, category: str) -> dict[str, Any]:
        return dict(self.table.get(section, {}).get(category, {}))

    def _top(self, category: str) -> dict[str, Any]:
        return dict(self.table.get(category, {}))


def _substituted(text: str, entries: Mapping[str, str]) -> str:
    """The text with each old piece replaced, the longest first; one that is new already stays."""
    for old in sorted(entries, key=len, reverse=True):
        if entries[old] not in text:
            text = text.replace(old, entries[old])
    return text
