"""Work counted in calls and files, which are the same on every machine; never in seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest


def count_calls(work: Callable[[], object], below: str = "") -> int:
    """How many Python functions are called by the work, of files whose path holds `below`."""
    total = 0

    def watch(frame: FrameType, event: str, argument: object) -> None:
        nonlocal total
        if event == "call" and below in frame.f_code.co_filename:
            total += 1

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return total


@dataclass
class Counter:
    """How often methods were called, by class."""

    by_class: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.by_class.values())

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        """Count calls of a method, which goes on doing what it does."""
        original = getattr(owner, name)

        def counted(this: Any, *args: Any, **kwargs: Any) -> Any:
            self.by_class[type(this).__name__] = self.by_class.get(type(this).__name__, 0) + 1
            return original(this, *args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


_opened: list[Path] | None = None
_is_hooked = False


def _note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str):
        _opened.append(Path(arguments[0]))


@contextmanager
def files_opened(folder: Path) -> Iterator[list[Path]]:
    """The files below the folder that were opened meanwhile, one entry each time; by the interpreter's own audit hook."""
    global _opened, _is_hooked
    if not _is_hooked:
        sys.addaudithook(_note_open)
        _is_hooked = True
    below: list[Path] = []
    _opened = []
    try:
        yield below
    finally:
        below += [path for path in _opened if path.is_relative_to(folder)]
        _opened = None
