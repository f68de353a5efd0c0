"""A folder for what a whole test process shares, gone with the process."""

import atexit
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp


def folder_of_process() -> Path:
    """A new empty folder, removed when the process ends; for what is made once and so has no test's own folder."""
    folder = Path(mkdtemp(prefix="epic22-test-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder
