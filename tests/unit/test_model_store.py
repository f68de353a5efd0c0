"""A model store that others write to at the same moment."""

import os
import time
from pathlib import Path

import pytest

from epic22.adapters.model_store import ABANDONED_SECONDS, INCOMING_PREFIX, _remove_abandoned


def test_what_another_process_renames_between_a_listing_and_a_look_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{INCOMING_PREFIX}old").mkdir()
    long_ago = time.time() - 2 * ABANDONED_SECONDS
    os.utime(tmp_path / f"{INCOMING_PREFIX}old", (long_ago, long_ago))
    listed = [tmp_path / f"{INCOMING_PREFIX}renamed", tmp_path / f"{INCOMING_PREFIX}old"]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(listed))
    _remove_abandoned(tmp_path)
    assert list(os.scandir(tmp_path)) == []
