"""The folder of EPIC22_HOME in which trainings of networks keep how far they are; what nobody went on with is removed by age."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from epic22.adapters.abandoned import remove_abandoned
from epic22.core.models.networks.checkpoint import Pace, keep_checkpoints

CHECKPOINTS = "checkpoints"
"""The folder's name below EPIC22_HOME."""


@contextmanager
def open_checkpoints(folder: Path, pace: Pace = Pace()) -> Iterator[None]:
    """Have trainings of networks within keep checkpoints in this folder, which is gone where nothing is left in it."""
    remove_abandoned(folder)
    with keep_checkpoints(folder, pace):
        yield
    with suppress(OSError):  # it is not there, or another training keeps its own in it
        folder.rmdir()
