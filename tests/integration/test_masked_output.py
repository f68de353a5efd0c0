"""Foreign names and texts at a terminal: whatever they hold, no control character of theirs is ever written there."""

import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.shell import Shell

from epic22 import bootstrap
from epic22.adapters.metadata.job_events import JobEventTable
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.cli.masked_output import MaskedStream, mask_output
from epic22.cli.progress_bars import ProgressBars
from epic22.cli.terminal import TerminalConsole, print_json, print_line, print_table
from epic22.config import Settings
from epic22.core.job import AttemptId, JobRequest, NextStep
from epic22.core.progress import AttemptStarted, Noted, ProgressEvent, WorkStarted

SOURCE = Path(__file__).parents[2] / "src" / "epic22"
EVIL = "na\x1b[2Jme\x1b]0;title\x07\x9b5mx\x7f\r\u202ey"
SHOWN = "na\ufffd[2Jme\ufffd]0;title\ufffd\ufffd5mx\ufffd\ufffd\ufffdy"
OWN = re.compile(r"\x1b\[(\d{1,3}(;\d{1,3})*)?m|\x1b\[\?25[lh]|\x1b\[\d?[AK]|\r|\x1b\[1A")
"""Colours, and what bars move the cursor by."""
FOREIGN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def read_terminal(program: list[str], home: Path) -> tuple[int, str]:
    """The exit code of a program at a terminal, and all that it writes there."""
    master, terminal = pty.openpty()
    environment = {**os.environ, "EPIC22_HOME": str(home), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    parts = []
    while part := _read_part(master):
        parts.append(part)
    os.close(master)
    return process.wait(), b"".join(parts).decode()


def _read_part(master: int) -> bytes:
    try:
        return os.read(master, 1 << 16)
    except OSError:
        # So Linux says that nobody has the other end any more.
        return b""


def list_foreign(written: str) -> list[str]:
    """The control characters that are none of the colours and bars."""
    return FOREIGN.findall(OWN.sub("", written))


@pytest.mark.slow
def test_a_training_on_a_table_with_evil_names_writes_its_own_controls_alone(tmp_path: Path) -> None:
    n = range(160)
    columns = {
        f"{EVIL}1": [i % 7 for i in n],
        f"{EVIL}2": [f"{EVIL}{i % 3}" for i in n],
        "churned": [int(i % 7 + i * 37 % 11 / 2 > 5) for i in n],
    }
    table = tmp_path / f"{EVIL}.parquet"
    pl.DataFrame(columns).write_parquet(table)
    command = [sys.executable, "-m", "epic22"]
    file, home = (str(table), "--label", "churned"), tmp_path / "home"
    for words in (
        ("audit", "--csv", *file),
        ("train", "--csv", *file, "--task", "toy", "--families", "constant,linear", "--folds", "2"),
        ("explain", "toy"),
        ("predict", "toy", str(table)),
        ("predict", "toy", str(table), "--json"),
        ("train", "--csv", str(table), "--label", EVIL),
    ):
        code, written = read_terminal([*command, *words], home)
        assert code == (2 if words[-1] == EVIL else 0), written
        assert "me" in written
        assert list_foreign(written) == [], (words, written)


def test_a_job_that_failed_by_a_reason_with_controls_shows_them_masked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    stores = bootstrap.open_job_stores(Settings.read())
    job = stores.records.add(JobRequest("train", ("--csv", f"/{EVIL}.csv"), tmp_path, 1))
    assert stores.records.claim(attempt := AttemptId(job.id, 1), EVIL) is not None
    events: list[ProgressEvent] = [AttemptStarted(1), WorkStarted("reading …", 1, about=EVIL), Noted(EVIL)]
    database = open_jobs_database(Settings.read())
    assert JobEventTable(database).append(attempt, [(datetime(2026, 1, 1, tzinfo=UTC), one) for one in events])
    assert stores.records.settle(attempt, NextStep("dead", f"column {EVIL} is not there", 1))
    for words in (("list",), ("show", "1"), ("watch", "1"), ("show", "1", "--json")):
        _, out, err = shell("jobs", *words)
        assert "our mistake" not in err
        assert FOREIGN.findall(out + err) == [], words
        assert "title" in out + err
    assert f"column {EVIL}" in shell.json("jobs", "show", "1")["job"]["reason"]


def test_bars_tables_and_lines_mask_what_they_lay_out_and_keep_their_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(EVIL, "bold")
    print_table(EVIL, ["name", EVIL], [[EVIL, "1"], ["other", "2"]])
    out = capsys.readouterr().out
    assert FOREIGN.findall(out) == []
    assert out.startswith(f"{SHOWN}\n")
    assert len({len(line.rstrip()) for line in out.splitlines() if line.startswith(("│", "┏", "┡", "└"))}) == 1
    console = TerminalConsole(stderr=True)
    with ProgressBars(console) as bars:
        bars.show(WorkStarted("reading …", 1, about=EVIL))
        bars.show(Noted(EVIL))
    assert FOREIGN.findall(capsys.readouterr().err) == []


def test_json_escapes_what_it_may_not_write_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    with mask_output():
        print_json({EVIL: [EVIL, "\udcff"]})
    out = capsys.readouterr().out
    assert FOREIGN.findall(out) == []
    assert json.loads(out) == {EVIL: [EVIL, "\udcff"]}


def test_whoever_writes_to_the_streams_is_masked_and_what_he_wrote_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with mask_output():
        assert not sys.stdout.isatty()
        assert sys.stdout.write(EVIL) == len(EVIL)
        sys.stderr.writelines([EVIL, "\n", EVIL, "\r\n"])
        with mask_output():
            TerminalConsole().print(EVIL, markup=False)
    assert not isinstance(sys.stdout, MaskedStream)
    printed = capsys.readouterr()
    assert printed.err == f"{SHOWN}\n{SHOWN}\r\n"
    assert FOREIGN.findall(printed.out) == []


def test_no_part_of_the_program_has_a_console_of_another_kind() -> None:
    makers = {path.name for path in SOURCE.rglob("*.py") if re.search(r"\bConsole\(", path.read_text())}
    assert makers == set()
