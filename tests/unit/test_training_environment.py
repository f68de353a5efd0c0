"""What a run says of the code that made it and of what it took."""

import shutil
import subprocess
from pathlib import Path

import pytest

from epic22.adapters.resource_use import ResourceMeter
from epic22.bootstrap.tracking import describe_environment, read_commit


def make_checkout(folder: Path) -> Path:
    """A package in a repository with one commit."""
    package = folder / "src" / "epic22"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return package


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_checkout_names_its_commit_and_whether_it_was_changed_since(tmp_path: Path) -> None:
    package = make_checkout(tmp_path)
    commit = read_commit(package)
    assert commit is not None
    assert len(commit) == 40
    (package / "__init__.py").write_text("changed = True\n")
    assert read_commit(package) == f"{commit}-dirty"


def test_an_environment_within_the_checkout_of_another_project_is_not_of_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    package = tmp_path / ".venv" / "lib" / "site-packages" / "epic22"
    package.mkdir(parents=True)
    assert read_commit(package) is None


def test_the_environment_names_python_and_the_libraries_that_are_there() -> None:
    environment = describe_environment()
    assert {"epic22.code_version", "epic22.environment.python", "epic22.environment.polars"} <= set(environment)
    assert all(value and isinstance(value, str) for value in environment.values())


def test_a_meter_reads_what_was_used_since_it_was_started() -> None:
    meter = ResourceMeter.start()
    sum(range(2_000_000))
    use = meter.read()
    assert 0 < use["processor_seconds"] < 60
    assert use["elapsed_seconds"] > 0
    assert use["peak_memory_mb"] > 1
