"""Settings of the environment: a value that cannot be used is one sentence, which shows no secret."""

from pathlib import Path

import pytest

from epic22.config import Settings
from epic22.core.errors import UserError


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("EPIC22_THREADS", "\u00b2", "EPIC22_THREADS is"),
        ("EPIC22_THREADS", "99999", "EPIC22_THREADS is"),
        ("EPIC22_MEMORY_CAP", "9" * 400, "EPIC22_MEMORY_CAP is"),
        ("EPIC22_MEMORY_CAP", "0.1", "EPIC22_MEMORY_CAP is"),
        ("EPIC22_HOME", " /tmp/h", "with a blank at an end"),
        ("EPIC22_HOME", "~nobody-of-this-name/x", "no user of that name"),
        ("EPIC22_DATABASE_URL", "postgresql://epic:pa@secret@localhost:5432/db", "an @ in a password is %40"),
        ("EPIC22_DATABASE_URL", "postgresql://epic:p@s:secret@localhost/db", "an @ in a password is %40"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_sentence_without_a_secret(name: str, value: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as refusal:
        Settings.read({"EPIC22_HOME": str(tmp_path), name: value})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@localhost/epic22",
        "postgres://user:p%40ss@h1:5432/db?sslmode=require",
        "postgresql://postgres:@/postgres?host=/tmp/sockets",
        "postgresql:///epic22",
        "sqlite:////srv/epic22/metadata.sqlite",
    ],
)
def test_addresses_of_databases_are_taken_as_they_are(url: str, tmp_path: Path) -> None:
    assert Settings.read({"EPIC22_HOME": str(tmp_path), "EPIC22_DATABASE_URL": url}).database_url == url
