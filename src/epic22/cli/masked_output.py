"""What this process prints: no control character of a foreign name, text or library ever reaches a terminal.

Both streams mask what is written to them. Only a `TerminalConsole`, which masks the texts that it lays out, writes colours and
bars past that.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from epic22.core.controls import mask_controls


class MaskedStream:
    """A stream in front of another: what is written to it is masked.

    It is no terminal to who asks it, so that no library adds colours, which would be masked too.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """Where consoles of the library Rich write, as that of the help; it looks for this name."""

    def write(self, text: str) -> int:
        """Write a text with its controls masked; says how many characters it has."""
        self.rich_proxied_file.write(mask_controls(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """False: it takes no control characters."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def get_terminal(stream: TextIO) -> TextIO:
    """The stream behind all those that stand in front of it; bars put one of their own there too."""
    while (inner := getattr(stream, "rich_proxied_file", None)) is not None:
        stream = inner
    return stream


@contextmanager
def mask_output() -> Iterator[None]:
    """Have standard output and standard error masked until the block ends."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", MaskedStream(one)) for one in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
