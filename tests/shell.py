"""The command line in this process, for tests of what a user types."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from epic22.cli.main import run


def type_command(folder: Path, home: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code and what was printed in a folder and a home: without the fixtures of one test, for what tests share."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("EPIC22_HOME", str(home))
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["epic22", *arguments])
        try:
            run()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return code, out.getvalue(), err.getvalue()


class Shell:
    """Runs the command line in this process, in a folder and a home of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.home, self.capsys, self.monkeypatch = folder, folder / "home", capsys, monkeypatch
        monkeypatch.setenv("EPIC22_HOME", str(self.home))
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["epic22", *arguments])
        self.capsys.readouterr()
        code = 0
        try:
            run()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)
