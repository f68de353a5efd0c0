"""What every file store must do: a folder, and object storage."""

from pathlib import Path

import pytest
from tests.object_storage import new_bucket, storage_environment

from epic22.adapters.artifacts import Artifacts, open_artifacts
from epic22.adapters.file_store import FileStore, open_file_store
from epic22.core.errors import StorageError


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    if request.param == "folder":
        return open_file_store(str(tmp_path / "files"))
    address = new_bucket()
    for name, value in storage_environment().items():
        monkeypatch.setenv(name, value)
    return open_file_store(address)


def test_what_is_written_is_read_and_listed_below_its_prefix(files: FileStore) -> None:
    for name in ("a/b/c.txt", "a/d.txt", "ab/e.txt"):
        files.write(name, name.encode())
    assert list(files.list_files("a")) == ["a/b/c.txt", "a/d.txt"]
    assert files.read("a/d.txt") == b"a/d.txt"
    assert files.read("a/none.txt") is None
    assert files.list_files("none") == {}


def test_a_mark_changes_with_the_content(files: FileStore) -> None:
    files.write("a/b", b"1")
    before = files.list_files("a")
    assert files.list_files("a") == before
    files.write("a/b", b"2")
    assert files.list_files("a") != before


def test_what_is_removed_is_gone_and_its_neighbours_stay(files: FileStore) -> None:
    files.write("a/b", b"1")
    files.write("ab/c", b"2")
    files.remove("a")
    files.remove("none")
    assert files.list_files("a") == {}
    assert files.read("ab/c") == b"2"


def test_a_file_that_is_moved_in_is_there_and_no_longer_here(files: FileStore, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"12345")
    size, moment = files.move_in(tmp_path / "here", "a/there")
    assert (size, files.read("a/there")) == (5, b"12345")
    assert moment > 1_700_000_000_000
    assert not (tmp_path / "here").exists()


@pytest.fixture
def artifacts(files: FileStore, tmp_path: Path) -> Artifacts:
    return open_artifacts(files, tmp_path / "one")


def write_folder(folder: Path) -> Path:
    (folder / "inner").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "inner" / "tree.ubj").write_bytes(b"\0\1")
    (folder / ".hidden").write_text("no")
    return folder


def test_a_folder_that_is_kept_is_fetched_elsewhere(artifacts: Artifacts, files: FileStore, tmp_path: Path) -> None:
    artifacts.add_folder("churn/1", write_folder(tmp_path / "made"), "bundle", ignore=(".*",))
    artifacts.add_file("churn/1", "held_out.npz", b"h")
    other = open_artifacts(files, tmp_path / "two").fetch_folder("churn/1")
    names = {path.relative_to(other).as_posix() for path in other.rglob("*") if path.is_file() and path.name != ".marks.json"}
    assert names == {"bundle/manifest.json", "bundle/inner/tree.ubj", "held_out.npz"}
    assert (other / "bundle/inner/tree.ubj").read_bytes() == b"\0\1"


def test_what_is_written_in_a_fetched_folder_is_kept_once_it_is_saved(
    artifacts: Artifacts, files: FileStore, tmp_path: Path
) -> None:
    artifacts.add_folder("churn/1", write_folder(tmp_path / "made"))
    artifacts.fetch_folder("churn/1").joinpath("report.html").write_text("first")
    artifacts.save_changes("churn/1")
    other = open_artifacts(files, tmp_path / "two")
    assert other.fetch_folder("churn/1").joinpath("report.html").read_text() == "first"
    artifacts.fetch_folder("churn/1").joinpath("report.html").write_text("again")
    artifacts.save_changes("churn/1")
    assert other.fetch_folder("churn/1").joinpath("report.html").read_text() == "again"


def test_a_file_that_is_lost_here_is_fetched_again(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.add_file("churn/1", "a.json", b"{}")
    folder = artifacts.fetch_folder("churn/1")
    if (folder / ".marks.json").exists():
        (folder / "a.json").unlink()
        assert artifacts.fetch_folder("churn/1").joinpath("a.json").read_bytes() == b"{}"
    artifacts.remove("churn/1")
    assert not folder.exists()
    assert not (artifacts.fetch_folder("churn/1") / "a.json").exists()


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(StorageError, match="gs:// is not known"):
        open_file_store("gs://bucket")


@pytest.mark.slow
def test_a_wrong_key_and_a_server_that_is_away_are_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    address = new_bucket()
    for name, value in storage_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(StorageError, match="refused it: it takes none of such keys") as refused:
        open_file_store(address).write("a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match="refused it: nothing answers at its address"):
        open_file_store(address).write("a", b"1")
    assert "another-secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
