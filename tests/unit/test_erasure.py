"""Whose rows are a person's, and where a text names the person."""

import html
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epic22.core.tables.canonical import LEASES, TENANTS, UNITS, WORK_ORDERS
from epic22.core.tables.erasure import (
    REDACTED,
    TenantIdentity,
    list_owned_tables,
    match_broken_rows,
    match_rows,
    redact_rows,
)

PERSON = TenantIdentity("T-10", {"tenants": frozenset({"T-10"}), "leases": frozenset({"L1"})}, frozenset({"T-10-b", "xT-10"}))


@pytest.mark.parametrize("text", ["T-10", "call T-10.", "exports/T-10.csv", '"T-10"', "(T-10)", "T-10-b and T-10"])
def test_the_id_is_seen_as_a_word(text: str) -> None:
    assert PERSON.has_name_in(text)
    assert "T-10" not in PERSON.redact(text).replace("T-10-b", "")


@pytest.mark.parametrize("text", ["T-100", "T-10-b", "xT-10", "aT-10", "T-10_2", "t-10", ""])
def test_the_id_is_not_seen_within_another(text: str) -> None:
    assert not PERSON.has_name_in(text)
    assert PERSON.redact(text) == text


@pytest.mark.parametrize("tenant", ["12", "T1", "123456"])
def test_no_text_is_searched_for_an_id_that_could_be_anything(tenant: str) -> None:
    person = TenantIdentity(tenant)
    assert not person.has_name_in(f"unit {tenant}")
    assert person.redact(f"unit {tenant}") == f"unit {tenant}"
    rows = pl.DataFrame({"description": [f"unit {tenant}"]})
    assert redact_rows(WORK_ORDERS, rows, person) is rows


@given(tenant=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=4, max_size=12))
def test_an_id_of_any_letters_is_seen_however_it_is_written(tenant: str) -> None:
    person = TenantIdentity(tenant)
    if not person.is_searchable:
        return
    texts = (
        f"<{tenant}>",
        *(json.dumps({"who": tenant}, ensure_ascii=one) for one in (True, False)),
        f"<b>{html.escape(tenant)}</b>",
    )
    for written in texts:
        assert person.has_name_in_bytes(written.encode())
        assert not person.has_name_in(person.redact(written))
    assert json.loads(person.redact(json.dumps({"who": tenant})))["who"] == REDACTED


def test_an_id_with_an_accent_and_a_quote_is_seen_in_json_that_escapes_the_quote_alone() -> None:
    person = TenantIdentity('Ünal "7"')
    rows = pl.DataFrame({"description": [json.dumps({"who": person.tenant}, ensure_ascii=False)]})
    assert person.has_name_in(rows["description"][0])
    assert redact_rows(WORK_ORDERS, rows, person)["description"].to_list() == [None]


def test_a_json_value_loses_the_id_in_keys_and_texts_at_any_depth() -> None:
    value = {"T-10": [1, None, {"a": "of T-10"}], "b": "T-10-b"}
    assert PERSON.redact_json(value) == {REDACTED: [1, None, {"a": f"of {REDACTED}"}], "b": "T-10-b"}


def test_rows_are_the_persons_by_the_references_of_their_table() -> None:
    frame = pl.DataFrame({"lease_id": ["L1", "L2", "L3"], "tenant_id": ["T-10", "T-100", None]})
    assert frame.filter(match_rows(LEASES, PERSON))["lease_id"].to_list() == ["L1"]
    assert pl.DataFrame({"tenant_id": ["T-10", "T-1"]}).filter(match_rows(TENANTS, PERSON)).height == 1
    assert pl.DataFrame({"unit_id": ["T-10", "L1"]}).filter(match_rows(UNITS, PERSON)).height == 0
    assert set(list_owned_tables()) == {"tenants", "leases", "charges", "payments", "messages", "protected"}


def test_a_text_that_names_the_person_goes_as_a_whole_where_it_may() -> None:
    rows = pl.DataFrame({"description": ["ring at T-10", "ring at T-10-b", None], "unit_id": ["T-10", "U1", "U2"]})
    redacted = redact_rows(WORK_ORDERS, rows, PERSON)
    assert redacted["description"].to_list() == [None, "ring at T-10-b", None]
    assert redacted["unit_id"].to_list() == ["T-10", "U1", "U2"]


@pytest.mark.parametrize(
    ("table", "row", "is_own"),
    [
        ("leases", '{"lease_id": "L7", "tenant_id": " T-10 "}', True),
        ("leases", '{"lease_id": "L1", "tenant_id": "T-5"}', True),
        ("charges", '{"charge_id": "C9", "lease_id": "L1"}', True),
        ("charges", '{"charge_id": "L1", "lease_id": "L2"}', False),
        ("units", '{"unit_id": "L1"}', False),
        ("leases", "L9;U1;T-10;torn", True),
        ("leases", "L9;U1;T-100;torn", False),
        ("market", '{"source": "T-10"}', True),
    ],
)
def test_broken_rows_are_the_persons_by_their_keys_or_by_name(table: str, row: str, is_own: bool) -> None:
    frame = pl.DataFrame({"table": [table], "file": ["a.csv"], "line": [2], "reason": ["broken"], "row": [row]})
    assert match_broken_rows(frame, PERSON) == [is_own]


def test_of_a_short_id_broken_rows_are_known_by_their_fields() -> None:
    person = TenantIdentity("12", {"tenants": frozenset({"12"})})
    lines = ['{"tenant_id": "12", "x": "1"}', "L1,12,torn", '{"tenant_id": "112"}', "L1,112,torn"]
    frame = pl.DataFrame({"table": ["leases"] * 4, "reason": ["12"] * 4, "row": lines})
    assert match_broken_rows(frame, person) == [True, True, False, False]
