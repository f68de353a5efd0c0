"""What a database's faults are called: one sentence each, from which nobody learns the address."""

import pytest

from epic22.adapters.sources.base import SourceAddress, SourceRequest
from epic22.adapters.sources.query import strip_query
from epic22.adapters.sources.sql_faults import describe_fault, hide_address
from epic22.core.errors import SourceError
from epic22.core.tables.mapping import TableMapping

ADDRESS = SourceAddress("postgresql://ann%40x:s3cr%2Fet@db.example:5432/erp_main?host=/run/pg&sslmode=require")


@pytest.mark.parametrize(
    ("state", "message", "words"),
    [
        ("28P01", 'password authentication failed for user "ann@x"', "refuses the user or the password"),
        ("3D000", 'database "erp_main" does not exist', "no database of that name"),
        ("57014", "canceling statement due to statement timeout", "stopped at its time-out"),
        ("57P01", "terminating connection due to administrator command", "shut down in the middle"),
        ("25006", "cannot execute INSERT in a read-only transaction", "would change the database"),
        (None, "connection to server at db.example, port 5432 failed: Connection refused", "nothing answers"),
        (None, 'could not translate host name "db.example" to address: Name or service not known', "no machine of the name"),
        (None, "server closed the connection unexpectedly", "broke off in the middle"),
        (None, "connection timeout expired", "does not answer in time"),
        ("42P01", 'relation "leases" does not exist', 'relation "leases" does not exist; mend the query'),
        (
            "42501",
            "permission denied for schema erp_main for ann@x with s3cr/et at /run/pg",
            "permission denied for schema … for …",
        ),
    ],
)
def test_a_fault_is_told_without_any_part_of_the_address(state: str | None, message: str, words: str) -> None:
    sentence = describe_fault(state, message, ADDRESS)
    assert words in sentence
    assert not any(part in sentence for part in ("ann", "s3cr", "db.example", "erp_main", "/run/pg", "require"))


def test_an_address_that_is_none_hides_all() -> None:
    assert "[" not in hide_address("[x", SourceAddress("postgresql://[x"))


def test_neither_an_address_nor_a_request_shows_it() -> None:
    assert "s3cr" not in repr(ADDRESS) + repr(SourceRequest(ADDRESS, TableMapping("erp", {}), {}))


@pytest.mark.parametrize("query", ["DELETE FROM leases", "", "-- only a comment\n", "; SELECT 1", "UPDATE x SET a = 1 -- select"])
def test_what_does_not_begin_as_a_select_is_refused(query: str) -> None:
    with pytest.raises(SourceError, match="expected one SELECT"):
        strip_query(query)


@pytest.mark.parametrize("query", ["select 1", "/* a */ WITH x AS (SELECT 1) TABLE x;", "-- a\n(SELECT 1)", "VALUES (1)"])
def test_a_select_in_any_form_is_taken(query: str) -> None:
    assert strip_query(query) == query.rstrip(";")
