"""kill -9 in the middle of an erasure: nobody sees half of it, and the next run completes it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.erasures import TENANT, fill_home_once, list_contents, list_naming
from tests.shell import type_command

SCRIPT = """
import os, signal, sys
from epic22.adapters import file_store
from epic22.cli.main import run

remaining = [int(sys.argv.pop())]

def limit(act):
    def change(*arguments):
        remaining[0] -= 1
        if not remaining[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments)
    return change

for name in ("write", "copy", "remove", "remove_file"):
    setattr(file_store.FolderFiles, name, limit(getattr(file_store.FolderFiles, name)))
run()
"""
N_NEVER = 1_000_000


def erase_in_child(home: Path, *arguments: str) -> int:
    """The exit code of the command in a process of its own; the last argument says at which change of a file it kills itself."""
    command = [sys.executable, "-c", SCRIPT, "data", "erase", *arguments]
    return subprocess.run(command, env={**os.environ, "EPIC22_HOME": str(home)}, capture_output=True, timeout=120).returncode


def erase(home: Path, *arguments: str) -> int:
    """The exit code of the command in this process, which needs seconds less."""
    return type_command(home.parent, home, "data", "erase", *arguments)[0]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_an_erasure_killed_in_the_middle_is_completed_by_the_next_run(
    tmp_path: Path, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epic22.bootstrap.stores import open_stores
    from epic22.config import Settings

    base, home = fill_home_once(shared) / "home", tmp_path / "home"
    monkeypatch.setenv("EPIC22_HOME", str(home))
    if shared:
        monkeypatch.setenv("EPIC22_DATABASE_URL", f"sqlite:///{home}/data.sqlite")
    shutil.copytree(base, home)
    assert erase(home, "--tenant", TENANT, "--yes") == 0
    wanted = [version.id for version in open_stores(Settings.read()).table_store.log()]
    for n in (2, 30, 45, 50):
        shutil.rmtree(home)
        shutil.copytree(base, home)
        assert erase_in_child(home, "--tenant", TENANT, "--yes", str(n)) == -signal.SIGKILL, n
        # Most of what a process of its own takes is to begin; that one completes what another left is shown once.
        assert (erase_in_child(home, str(N_NEVER)) if n == 50 else erase(home)) == 0
        assert [version.id for version in open_stores(Settings.read()).table_store.log()] == wanted
        assert list_naming(list_contents(home)) == []
