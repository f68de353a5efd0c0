"""Ctrl-C during a training: what it leaves to go on from, and how."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from epic22 import bootstrap
from epic22.config import Settings

EXIT_INTERRUPTED = 130


@contextmanager
def explain_interruption() -> Iterator[None]:
    """End with exit code 130 where Ctrl-C is pressed within, after saying what is there to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"epic22: {describe_interruption(str(bootstrap.count_unfinished_work(Settings.read().home)))}\n")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def describe_interruption(work: str) -> str:
    """What is said of a training that was stopped, which left this work, in words; "" where it left none.

    >>> describe_interruption("3 fits of folds")[-80:]
    'There to go on from: 3 fits of folds. The same command does not make them again.'
    """
    left = "stopped; nothing half-written was left, and the champion that served still does."
    if not work:
        return f"{left} No fit, trial or checkpoint was done yet: the same command begins anew."
    return f"{left} There to go on from: {work}. The same command does not make them again."
