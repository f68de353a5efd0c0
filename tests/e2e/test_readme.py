"""The README does what it says: every block, in the order in which it stands, as a new user runs it in an empty folder."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SERVERS = {"epic22 serve": 8022, "epic22 mlflow": 5000}
"""Commands that run until they are stopped, and the port that each listens on unless told otherwise."""
COMMANDS = {"epic22": "from epic22.cli.main import run; run()", "mlflow": "from mlflow.cli import cli; cli()"}
"""What installing puts on the path."""
MINUTES = 60


class Reader:
    """A user with an empty folder as home, who types what stands in the README and keeps what serves running."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, {8022: find_free_port(), 5000: find_free_port()}
        self.servers: list[subprocess.Popen[bytes]] = []
        commands = folder / "bin"
        commands.mkdir()
        for name, module in (
            ("epic22", "from epic22.cli.main import run; run()"),
            ("mlflow", "from mlflow.cli import cli; cli()"),
        ):
            script = commands / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{module}" "$@"\n')
            script.chmod(0o755)
        self.work = folder / "work"
        self.work.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EPIC22_")}
        self.environment = {
            **kept,
            "HOME": str(folder),
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(folder / "matplotlib")),
            "COLUMNS": "200",
        }

    def type_command(self, line: str) -> str:
        """Run one line as bash does, and give what it printed. A search that may take a minute is given a sixth of it."""
        line = line.replace("--time-limit 60", "--time-limit 10")
        done = subprocess.run(
            ["bash", "-ec", line], cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=10 * MINUTES
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def serve(self, line: str, port: int) -> None:
        """Start what serves, on a port that is free here, and wait until it answers."""
        server = subprocess.Popen(
            ["bash", "-c", f"exec {line.split('#')[0]} --port {self.ports[port]}"],
            cwd=self.work,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.servers.append(server)
        for _ in range(2 * MINUTES):
            assert server.poll() is None, line
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}/health", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(1)
        raise AssertionError(f"{line} does not answer")

    def run_python(self, code: str) -> str:
        """Run a block of Python, with the last two expressions printed as an interactive session shows them."""
        for port, free in self.ports.items():
            code = code.replace(f":{port}/", f":{free}/")
        *lines, value, total = code.rstrip().splitlines()
        shown = "\n".join([*lines, f"print({value.split('  #')[0]}, {total.split('  #')[0]}, answer['score']['value'])"])
        return subprocess.run(
            [sys.executable, "-c", shown],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """A reader whose servers are stopped at the end."""
    one = Reader(folder)
    try:
        yield one
    finally:
        for server in one.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=MINUTES)


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_every_target_of_make_in_the_readme_exists() -> None:
    targets = re.findall(r"^make ([\w-]+)", "".join(code for _, code in BLOCKS), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test", "setup"} <= set(targets)
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    assert "VENV := .venv\n" in makefile, "what the README activates is what setup makes"


@pytest.mark.slow
def test_every_block_of_the_readme_runs_in_the_order_in_which_it_stands(tmp_path: Path) -> None:
    printed: dict[str, str] = {}
    with reader(tmp_path) as user:
        for language, code in BLOCKS:
            if language == "python":
                probability, total, score = (float(word) for word in user.run_python(code).split())
                assert 0 < probability < 1
                assert total == pytest.approx(score, abs=1e-6)
                continue
            assert language == "", f"a block of {language} has no runner"
            for line in code.splitlines():
                server = next((port for name, port in SERVERS.items() if line.startswith(name)), None)
                if line.startswith("make "):
                    continue  # the demonstration has a test of its own, and the suite cannot run itself
                if server is not None:
                    user.serve(line, server)
                else:
                    printed[line.split("#")[0].strip()] = user.type_command(line)
    trained = next(
        text for line, text in printed.items() if line.startswith("epic22 train --csv churn.csv") and "limit" not in line
    )
    for part in ("Audit", "Folds: ", "against constant", "Champion: ", "Report: ", "Task file"):
        assert part in trained, f"the README says that train prints it: {part}"
    assert "churn-searched" in next(text for line, text in printed.items() if "--time-limit" in line)
    assert "late_payments" in printed["epic22 explain churn-churned"]
    assert (tmp_path / ".epic22" / "mlflow.db").is_file()
