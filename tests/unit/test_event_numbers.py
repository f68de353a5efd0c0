"""Numbers of events: their digits are those that were sent, however many there are."""

import pytest

from epic22.api.events import read_events
from epic22.core.errors import EventError
from epic22.core.tables.events import read_event

LONG, NEXT = "12345678901234567890123", "12345678901234567890124"


def build_event(payment: str, amount: str = "5") -> str:
    return f'{{"id": {payment}, "row": {{"payment_id": {payment}, "amount": {amount}}}}}'


def test_payments_whose_numbers_differ_in_the_last_of_23_digits_are_two() -> None:
    events = [read_event(build_event(number).encode(), "payments") for number in (LONG, NEXT)]
    assert [event.row["payment_id"] for event in events] == [LONG, NEXT]
    assert [event.id for event in events] == [LONG, NEXT]
    assert events[0].content != events[1].content


def test_the_api_lays_down_the_digits_that_were_sent() -> None:
    body = f'{{"events": [{build_event(LONG, "1234567890123456.78")}]}}'
    content, *_ = read_events("payments", body.encode())
    row = read_event(content, "payments").row
    assert row == {"payment_id": LONG, "amount": "1234567890123456.78"}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("90071992547409.93", "90071992547409.93"),
        ("0.1", "0.1"),
        ("5e4", "50000.0"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1" * 300, "1" * 300),
    ],
)
def test_a_number_is_written_with_its_own_digits(number: str, text: str) -> None:
    assert read_event(build_event("7", number).encode(), "payments").row["amount"] == text


def test_a_number_beside_a_long_one_is_read_as_it_is_alone() -> None:
    assert read_event(build_event(LONG, "5.0").encode(), "payments").row["amount"] == "5.0"


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_an_event_that_is_nested_too_deeply_is_no_json(depth: int) -> None:
    text = f'{{"id": {LONG}, "row": {"[" * depth}{"]" * depth}}}'
    with pytest.raises(EventError):
        read_event(text.encode(), "payments")
