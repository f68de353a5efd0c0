"""What an erasure under way has done, so that a run after a kill goes on; and the entry that stays of one that is done.

erasures/pending.json     the person and how far the work is; there only while it lasts
erasures/00000003.json    when, by whom, how much, which ids of data versions were superseded: nothing of the person
"""

import json

from pydantic import TypeAdapter

from epic22.adapters.file_store import FileStore
from epic22.core.errors import LakeError
from epic22.core.serialization import to_json
from epic22.core.tables.erasure import ErasureEntry, ErasureJournal

ERASURES = "erasures"
PENDING = f"{ERASURES}/pending.json"
STORED_ENTRY, STORED_JOURNAL = TypeAdapter(ErasureEntry), TypeAdapter(ErasureJournal)


def has_pending_erasure(files: FileStore) -> bool:
    """Whether an erasure was begun and is not done."""
    return files.read(PENDING) is not None


def refuse_pending_erasure(files: FileStore) -> None:
    """Raise LakeError where an erasure was begun and is not done."""
    if has_pending_erasure(files):
        raise LakeError(
            f"{files.place}: an erasure was cut off in the middle, and nothing may be added or copied before it is done; run "
            "'epic22 data erase', which completes it."
        )


def read_journal(files: FileStore) -> ErasureJournal | None:
    """The erasure that was begun and is not done; None without one. Raises LakeError where its journal is damaged."""
    content = files.read(PENDING)
    if content is None:
        return None
    try:
        return STORED_JOURNAL.validate_json(content)
    except ValueError:
        raise LakeError(f"{files.locate(PENDING)}: does not describe an erasure; remove it and erase again.") from None


def write_journal(files: FileStore, journal: ErasureJournal) -> None:
    """Keep how far the work is."""
    files.write(PENDING, json.dumps(to_json(journal)).encode())


def complete_journal(files: FileStore, entry: ErasureEntry) -> None:
    """Leave the entry, and remove the journal with the person's id."""
    files.write(f"{ERASURES}/{entry.number:08d}.json", json.dumps(to_json(entry), indent=1).encode())
    files.remove_file(PENDING)


def list_entries(files: FileStore) -> tuple[ErasureEntry, ...]:
    """The entries of all erasures that are done, oldest first."""
    names = [name for name in files.list_files(ERASURES) if name != PENDING]
    return tuple(STORED_ENTRY.validate_json(files.read(name) or b"") for name in names)


def next_number(files: FileStore) -> int:
    """The number of the next erasure."""
    return max((entry.number for entry in list_entries(files)), default=0) + 1
