"""A person's events: those that wait and those that were set apart go with the person, however they write an id."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.erasures import list_contents
from tests.folders import folder_of_process
from tests.lakes import take_in
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.adapters.streams.spool import EventSpool

DIGITS = "123456"
"""The id of a person that no text is searched for; the person has lease L1."""


@cache
def ingest_once() -> Path:
    """A lake with the small portfolio, in which the tenant of lease L1 has a number for an id, and lease L2 that number; to be
    copied."""
    folder, tables = folder_of_process(), small_tables()
    for name in ("tenants", "leases", "protected"):
        tables[name] = tables[name].with_columns(pl.col("tenant_id").replace("T1", DIGITS))
    for name in ("leases", "charges", "messages"):
        tables[name] = tables[name].with_columns(pl.col("lease_id").replace("L2", DIGITS))
    take_in(Lake(folder / "lake"), write_tables(folder / "tables", tables))
    return folder / "lake"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path, capsys, monkeypatch)
    shutil.copytree(ingest_once(), shell.home / "lake")
    return shell


def post(shell: Shell, table: str, *rows: dict[str, Any]) -> None:
    """Lay events down as the API does."""
    events = [json.dumps({"id": f"{sorted(row.items())}"[:99], "row": row}).encode() for row in rows]
    EventSpool(shell.home / "events.sqlite").add(table, events)


def read_waiting(shell: Shell) -> list[Any]:
    return [json.loads(event.content)["row"] for event in EventSpool(shell.home / "events.sqlite").read(100, 0.0)]


@pytest.mark.parametrize("tenant", [int(DIGITS), f"{DIGITS} ", f"\t{DIGITS}", DIGITS])
def test_an_erased_person_does_not_come_back_by_an_event_that_waits(shell: Shell, tenant: Any) -> None:
    post(shell, "tenants", {"tenant_id": tenant, "created_at": "2021-01-01"})
    code, _, err = shell("data", "erase", "--tenant", DIGITS, "--yes")
    assert (code, err) == (0, "")
    shell("consume", "--once")
    assert DIGITS not in Lake(shell.home / "lake").scan("tenants").collect()["tenant_id"].to_list()
    assert read_waiting(shell) == []


def test_what_waits_about_others_stays_where_a_lease_has_the_number_of_the_person(shell: Shell) -> None:
    other = {"message_id": "M90", "lease_id": int(DIGITS), "sent_at": "2021-03-01"}
    own = {"message_id": "M91", "lease_id": "L1", "sent_at": "2021-03-01"}
    post(shell, "messages", other, own)
    shell.json("data", "erase", "--tenant", DIGITS, "--yes")
    assert read_waiting(shell) == [other]


BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "of a lease": ("messages", {"message_id": "M91", "lease_id": "L1", "sent_at": "when?"}),
    "of a number": ("tenants", {"tenant_id": int(DIGITS), "created_at": "when?"}),
    "of a text": ("tenants", {"tenant_id": f" {DIGITS}", "created_at": "when?"}),
    "that is cut": ("tenants", {"tenant_id": int(DIGITS), "created_at": "x" * 2_000}),
    "that is cut, of a lease": ("messages", {"message_id": "M91", "lease_id": "L1", "text": "x" * 2_000}),
    "within a value": ("tenants", {"tenant_id": {"tenant_id": int(DIGITS)}}),
    "with a foreign field": ("tenants", {"tenant_id": int(DIGITS), "shoe": 1}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_events_of_an_erased_person_that_were_set_apart_go_too(shell: Shell, kind: str) -> None:
    table, row = BROKEN[kind]
    other = {"tenant_id": "T5", "created_at": "when?"}
    post(shell, table, row)
    post(shell, "tenants", other)
    code, out, _ = shell("consume", "--once")
    assert "2 quarantined" in out, (code, out)
    shell.json("data", "erase", "--tenant", DIGITS, "--yes")
    left = [text for name, text in list_contents(shell.home / "lake" / "quarantine") if name.endswith(" rows")]
    assert len(left) == 1
    assert b"T5" in left[0]
    assert b"L1" not in left[0]
    assert DIGITS.encode() not in left[0]
