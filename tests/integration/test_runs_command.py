"""Trainings that are written down travel in one file, wait where the store is away, and are seen on MLflow's own page."""

import errno
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from tests.contract.test_every_tracker import build_run
from tests.integration.test_home import drop_right_to_everything
from tests.postgres import new_database
from tests.shell import Shell

from epic22.adapters.file_store import FolderFiles, open_file_store
from epic22.adapters.metadata.database import Database
from epic22.adapters.tracking.mlflow import WAITING, MlflowTracker
from epic22.adapters.tracking.mlflow_database import MlflowDatabase
from epic22.adapters.tracking.mlflow_runs import MlflowRuns
from epic22.adapters.tracking.mlflow_store import MlflowStore
from epic22.adapters.tracking.run_archive import read_archive, write_archive
from epic22.adapters.tracking.run_tree import build_run_tree
from epic22.adapters.tracking.stored_run import read_content
from epic22.core.errors import FileError

pytestmark = pytest.mark.slow
SECRET = "a-word-that-nobody-else-says"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two trainings of one task written down."""
    folder = tmp_path_factory.mktemp("runs")
    tracker = MlflowTracker(MlflowStore(folder / "home"))
    for number in ("1", "2"):
        tracker.log_run(build_run(folder, number))
    return folder / "home"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


def test_runs_are_listed_shown_and_carried_to_another_home_once(home: Path, tmp_path: Path, shell: Shell) -> None:
    file = tmp_path / "runs.zip"
    shell.home.symlink_to(home)
    listed = shell.json("runs", "list", "toy")
    assert [one["version"] for one in listed] == ["2", "1"]
    shown = shell.json("runs", "show", "toy/1")
    assert [run["name"] for run in shown[:2]] == ["toy v1", "boosting"]
    assert len(shown) == 5, "the training, two families, two trials"
    assert shell("runs", "list", "other")[1] == "No runs of task other yet; every 'epic22 train' writes one.\n"
    assert "boosting" in shell("runs", "show", listed[0]["id"][:8])[1]
    assert shell.json("runs", "export", "--to", str(file)) == {"exported": 2, "file": str(file)}
    assert "it is there already" in shell("runs", "export", "--to", str(file))[2]
    assert "means no run" in shell("runs", "show", "toy/9")[2]
    shell.home.unlink()
    assert shell.json("runs", "import", str(file)) == {"imported": 2, "present": 0}
    assert shell.json("runs", "import", str(file)) == {"imported": 0, "present": 2}
    assert shell.json("runs", "show", "toy/1") == shown, "with its ids, times and figures"
    assert shell.json("runs", "list") == listed
    ours, theirs = (MlflowStore(one).files.list_files("toy") for one in (home, shell.home))
    assert list(ours) == list(theirs)
    assert not shell.home.is_symlink()


def type_without_rights(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from epic22.cli.main import run; run()", *words],
        env={**os.environ, "EPIC22_HOME": str(home)},
        preexec_fn=drop_right_to_everything,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="root can only be kept from files on Linux")
def test_a_home_that_cannot_be_written_is_read_and_a_change_says_so(home: Path, shell: Shell) -> None:
    shutil.copytree(home, shell.home)
    shell("submit", "train", "tenant_churn")
    listed, places = shell.json("runs", "list"), [shell.home, *shell.home.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        read = type_without_rights(shell.home, "runs", "list", "--json")
        refused = type_without_rights(shell.home, "jobs", "cancel", "1")
    finally:
        for place in places:
            place.chmod(0o755 if place.is_dir() else 0o644)
    assert (read.returncode, read.stderr) == (0, "")
    assert json.loads(read.stdout) == listed
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"epic22: EPIC22_HOME: {shell.home}/jobs/jobs.sqlite cannot be written: attempt to write")


def write_entries(path: Path, document: Any, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("runs.json", json.dumps(document))
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a file of one training says."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder / "runs.zip", [build_run_tree(build_run(folder, "1"))])
    with zipfile.ZipFile(folder / "runs.zip") as archive:
        return dict(json.loads(archive.read("runs.json")))


Change = Callable[[dict[str, Any]], Any]


def change_run(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The document with other values in the training's own run."""
    tree = document["trees"][0]
    return document | {"trees": [tree | {"runs": [tree["runs"][0] | fields, *tree["runs"][1:]]}]}


def change_metric(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return change_run(document, metrics=[document["trees"][0]["runs"][0]["metrics"][0] | fields])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d | {"format_version": 2}, "version 2 of its form, this program reads 1"),
        (lambda d: d | {"format": "other"}, "a 'other', not 'epic22-runs'"),
        (lambda d: {"format": "epic22-runs"}, "is not as it was written"),
        (lambda d: d | {"trees": [d["trees"][0] | {"task": "../up"}]}, "is no name of a task"),
        (lambda d: d | {"trees": [d["trees"][0] | {"runs": []}]}, "has no run"),
        (lambda d: d | {"trees": [d["trees"][0] | {"runs": d["trees"][0]["runs"][1:]}]}, "is in no place of the tree"),
        (lambda d: d | {"trees": d["trees"] * 2}, "it has a run twice"),
        (lambda d: change_run(d, status="x"), "'x' is no state of a run"),
        (lambda d: change_run(d, start=10**17), r"1e\+17 is no time in milliseconds since 1970"),
        (lambda d: change_run(d, start=-1), "-1 is no time"),
        (lambda d: change_run(d, end=10**30), r"1e\+30 is no time"),
        (lambda d: change_metric(d, at=10**20), r"1e\+20 is no time"),
        (lambda d: change_metric(d, step=10**20), "a figure that is no number"),
        (lambda d: change_run(d, name="a\0b"), "its name has 3 characters of at most 250, or the character 0"),
        (lambda d: change_run(d, tags={"epic22.version": "1", "a\0": ""}), "its name of a value has 2 characters"),
        (lambda d: change_run(d, tags={"a": "b"}), "has no tag epic22.version"),
        (lambda d: change_run(d, datasets=d["trees"][0]["runs"][0]["datasets"] * 2), "names its data twice"),
        (lambda d: change_run(d, datasets=[{**d["trees"][0]["runs"][0]["datasets"][0], "context": "x" * 501}]), "501 char"),
    ],
)
def test_a_document_that_is_not_ours_is_refused_in_a_sentence(
    change: Change, reason: str, document: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=reason):
        read_archive(write_entries(tmp_path / "runs.zip", change(document), {}))


def test_a_training_on_a_column_with_the_character_0_can_be_carried(tmp_path: Path) -> None:
    record = build_run(tmp_path, "1")
    record = replace(record, parameters={**record.parameters, "label": "a\0b"})
    write_archive(tmp_path / "runs.zip", [build_run_tree(record)])
    (tree,) = read_archive(tmp_path / "runs.zip")
    assert tree.runs[0].parameters["label"] == "a\ufffdb"


def test_a_run_of_another_program_that_began_at_no_time_is_listed(home: Path, shell: Shell) -> None:
    shutil.copytree(home, shell.home)
    with sqlite3.connect(MlflowStore(shell.home).database) as connection:
        connection.execute("UPDATE runs SET start_time = ?", (10**17,))
    code, out, err = shell("runs", "list")
    assert (code, err) == (0, "")
    assert out.count("no time (1e+17)") == 2


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "files/{id}/../../x", "files/{id}/a\\b", "files/{id}/", "files/other/x", "x"]
)
def test_a_file_that_leads_elsewhere_is_refused_before_anything_is_written(
    name: str, document: dict[str, Any], tmp_path: Path
) -> None:
    name = name.replace("{id}", document["trees"][0]["runs"][0]["id"])
    store = MlflowStore(tmp_path / "home")
    with pytest.raises(FileError, match="belongs to no run of it"):
        MlflowRuns(store).import_file(write_entries(tmp_path / "runs.zip", document, {name: b"x"}))
    assert not store.home.exists()


def test_a_file_that_swells_or_is_none_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    name = f"files/{document['trees'][0]['runs'][0]['id']}/big"
    with pytest.raises(FileError, match=r"it would swell to 9\d MB"):
        read_archive(write_entries(tmp_path / "runs.zip", document, {name: b"\0" * (90 << 20)}))
    (tmp_path / "text.zip").write_text("text")
    for path, reason in (("text.zip", "File is not a zip file"), ("absent.zip", "No such file or directory")):
        with pytest.raises(FileError, match=rf"{path}: no file of runs \({reason}\); give one"):
            read_archive(tmp_path / path)


def test_a_file_that_is_damaged_at_any_byte_is_one_sentence_or_has_what_it_had(document: dict[str, Any], tmp_path: Path) -> None:
    name = f"files/{document['trees'][0]['runs'][0]['id']}/text"
    content = write_entries(tmp_path / "runs.zip", document, {name: b"words " * 50}).read_bytes()
    n_refused = 0
    for place in range(0, len(content), 3):
        (tmp_path / "runs.zip").write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            for tree in read_archive(tmp_path / "runs.zip"):
                for file in tree.files.values():
                    assert read_content(file) == b"words " * 50
        except FileError:
            n_refused += 1
    assert n_refused > len(content) // 6


def test_a_home_without_runs_exports_no_file(shell: Shell) -> None:
    code, out, err = shell("runs", "export", "--to", "runs.zip")
    assert (code, out) == (2, "")
    assert err == "epic22: no training is written down yet, so there is none to export; 'epic22 train' writes one.\n"
    assert not (shell.folder / "runs.zip").exists()


def test_a_run_whose_store_is_away_waits_in_a_file_and_is_written_down_with_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MlflowStore(tmp_path / "home")
    tracker = MlflowTracker(store, store.home / WAITING)
    tracker.log_run(build_run(tmp_path, "1"))
    with store.lock():
        tables = store.database.with_name("away")
        tracker._cached_client = None
        store.database.rename(tables)
        store.database.mkdir()
    id = tracker.log_run(build_run(tmp_path, "2"))
    tracker.mark_versions("toy", "2", None)
    (waiting,) = (store.home / WAITING).iterdir()
    said = capsys.readouterr().err
    assert "the training is whole, and only its tracking waits" in said
    assert "aliases of toy stay as they were" in said
    store.database.rmdir()
    tables.rename(store.database)
    tracker.log_run(build_run(tmp_path, "3"))
    assert not waiting.exists()
    assert id in {one.id for one in MlflowRuns(store).list_all()}
    tracker.mark_versions("toy", "2", "3")
    client = tracker._client()
    assert client.get_model_version_by_alias("toy", "champion").run_id == id
    assert set(client.get_registered_model("toy").aliases) == {"champion", "challenger"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_run_whose_files_the_disk_refuses_waits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    store = MlflowStore(tmp_path / "home")
    tracker = MlflowTracker(store, tmp_path / "other disk")

    def refuse(files: FolderFiles, name: str, content: bytes) -> None:
        raise OSError(number, os.strerror(number), str(files.root / name))

    with monkeypatch.context() as patch:
        patch.setattr(FolderFiles, "write", refuse)
        id = tracker.log_run(build_run(tmp_path, "1"))
    assert len(list((tmp_path / "other disk").iterdir())) == 1
    tracker.log_run(build_run(tmp_path, "2"))
    assert id in {one.id for one in MlflowRuns(store).list_all()}


def list_arguments() -> str:
    """The arguments of all processes of this machine."""
    return "\n".join(path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())


def test_the_page_answers_and_no_password_stands_among_the_arguments(tmp_path: Path) -> None:
    # The test server trusts whoever comes, with whatever password.
    url = make_url(new_database()).set(password=SECRET).render_as_string(hide_password=False)
    MlflowTracker(MlflowDatabase(Database(url), open_file_store(str(tmp_path / "disk" / "mlflow")))).log_run(
        build_run(tmp_path, "1")
    )
    environment = {
        **os.environ,
        "EPIC22_DATABASE_URL": url,
        "EPIC22_ARTIFACTS": str(tmp_path / "disk"),
        "EPIC22_HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", "from epic22.cli.main import run; run()", "mlflow", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = next(text for text in process.stdout if text.startswith("http://"))
        page = line.split()[0]
        query = f"{page}/ajax-api/2.0/mlflow/experiments/search?max_results=10"
        with urllib.request.urlopen(query, timeout=30) as answer:
            assert "toy" in {one["name"] for one in json.load(answer)["experiments"]}
        with urllib.request.urlopen(page, timeout=30) as answer:
            assert b"MLflow" in answer.read()
        assert SECRET not in list_arguments()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert not is_listening(int(page.rpartition(":")[2])), "nothing of it goes on"


WAITING_PAGE = """
import signal, subprocess, sys
from epic22.adapters.tracking.mlflow_page import MlflowPage
signal.siginterrupt(signal.SIGINT, False)
process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("it waits", flush=True)
try:
    MlflowPage("", "", process).wait()
except KeyboardInterrupt:
    print("it was stopped")
finally:
    process.kill()
"""


def test_ctrl_c_ends_the_page_though_a_library_has_it_interrupt_no_wait() -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITING_PAGE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "it waits\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        assert process.communicate(timeout=20)[0] == "it was stopped\n"
    finally:
        process.kill()


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
