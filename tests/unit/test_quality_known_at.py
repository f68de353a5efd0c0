"""Whether `known_at` can be believed, and what is recorded twice: by the smallest tables that show it."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from epic22.core.quality.duplicate_rows import MIN_DUPLICATES, audit_duplicates
from epic22.core.quality.finding import DeclaredTables, Finding
from epic22.core.quality.known_at_checks import MIN_ROWS, audit_known_at
from epic22.core.tables.canonical import KNOWN_AT, get_canonical_table

T0 = datetime(2023, 1, 1)
DAY = timedelta(days=1)


def payments(n: int = 40, apart: int = 7) -> pl.DataFrame:
    """Payments a week apart, each known when it is made."""
    table = get_canonical_table("payments")
    rows = [
        {
            "payment_id": f"Y{i}",
            "charge_id": f"C{i}",
            "paid_on": T0 + i * apart * DAY,
            "amount": 1000 + i,
            "status": "paid",
            "method": "ach",
            KNOWN_AT: T0 + i * apart * DAY,
        }
        for i in range(n)
    ]
    return pl.DataFrame(rows, schema=table.schema)


def told(findings: tuple[Finding, ...]) -> list[tuple[str | None, str, bool]]:
    return [(finding.column, finding.what, finding.grave) for finding in findings]


def audit(frame: pl.DataFrame, before: pl.DataFrame | None = None, absent: str = "") -> tuple[Finding, ...]:
    declared = DeclaredTables({"payments": frame}, frozenset({("payments", absent)}) if absent else frozenset())
    return audit_known_at(declared, None if before is None else {"payments": before})


def test_payments_known_when_they_are_made_are_sound() -> None:
    assert audit(payments()) == ()
    assert audit(payments(), payments()) == ()


def test_a_row_known_before_its_event_is_grave_and_says_by_how_much() -> None:
    early = payments().with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(pl.col(KNOWN_AT) - 36 * timedelta(hours=1)).otherwise(KNOWN_AT).alias(KNOWN_AT)
    )
    (finding,) = audit(early)
    assert told((finding,)) == [(KNOWN_AT, "known_at before the event", True)]
    assert "1 of 40 rows (2.5%) have a known_at before their paid_on, by up to 1.5 days" in finding.evidence


def test_a_row_known_later_than_its_event_is_no_finding() -> None:
    assert audit(payments().with_columns(pl.col(KNOWN_AT) + pl.duration(days=pl.int_range(pl.len()) % 9))) == ()


def loaded(frame: pl.DataFrame) -> pl.DataFrame:
    """All rows known at one moment, years later."""
    return frame.with_columns(pl.lit(datetime(2025, 5, 1)).alias(KNOWN_AT).cast(pl.Datetime("us")))


def test_a_history_known_at_one_moment_was_known_at_load() -> None:
    (finding,) = audit(loaded(payments()))
    assert told((finding,)) == [(KNOWN_AT, "known at load", False)]
    assert "40 of 40 rows (100.0%) have the known_at 2025-05-01 00:00" in finding.evidence


@pytest.mark.parametrize(
    ("n", "apart", "n_findings"),
    [(MIN_ROWS - 1, 30, 0), (MIN_ROWS, 30, 1), (40, 1, 0)],
    ids=["too few rows", "just enough rows", "events of one month"],
)
def test_few_rows_or_a_short_span_say_nothing_of_loading(n: int, apart: int, n_findings: int) -> None:
    assert len(audit(loaded(payments(n, apart)))) == n_findings


def test_nine_in_ten_rows_at_one_moment_are_needed() -> None:
    mixed = pl.concat([loaded(payments()).head(35), payments().tail(5)])
    assert audit(mixed) == ()
    assert len(audit(pl.concat([loaded(payments()).head(36), payments().tail(4)]))) == 1


def test_a_value_that_changed_under_the_same_known_at_was_overwritten() -> None:
    changed = payments().with_columns(
        amount=pl.when(pl.int_range(pl.len()) < 2).then(pl.lit(1).cast(payments().schema["amount"])).otherwise("amount")
    )
    (finding,) = audit(changed, payments())
    assert told((finding,)) == [("amount", "value overwritten", True)]
    assert "amount changed in 2 of 40 rows (5.0%)" in finding.evidence


def test_a_change_with_a_known_at_of_its_own_is_a_version_and_no_fault() -> None:
    later = payments().with_columns(pl.lit("refunded").alias("status"), pl.col(KNOWN_AT) + DAY)
    assert audit(pl.concat([payments(), later]), payments()) == ()


def test_an_absent_column_is_not_judged() -> None:
    frame = payments().with_columns(paid_on=pl.lit(None, dtype=pl.Datetime("us")))
    assert audit(frame, absent="paid_on") == ()
    assert audit(payments(), absent=KNOWN_AT) == ()


def duplicates(frame: pl.DataFrame) -> tuple[Finding, ...]:
    return audit_duplicates(DeclaredTables({"payments": frame}))


def test_rows_that_occur_once_are_sound() -> None:
    assert duplicates(payments(200)) == ()


def test_an_identical_row_is_a_row_twice() -> None:
    (finding,) = duplicates(pl.concat([payments(), payments().head(2)]))
    assert told((finding,)) == [(None, "duplicate row", True)]
    assert "2 of 42 rows (4.8%)" in finding.evidence


def test_versions_that_repeat_the_one_before_are_mentioned_from_three_on() -> None:
    again = payments().with_columns(pl.col(KNOWN_AT) + DAY)
    assert duplicates(pl.concat([payments(), again.head(MIN_DUPLICATES - 1)])) == ()
    assert told(duplicates(pl.concat([payments(), again.head(MIN_DUPLICATES)]))) == [(None, "version without a change", False)]


def test_versions_that_change_something_are_versions() -> None:
    refunded = payments().with_columns(pl.lit("refunded").alias("status"), pl.col(KNOWN_AT) + DAY)
    assert duplicates(pl.concat([payments(), refunded])) == ()


def test_the_same_content_under_new_ids_is_found_where_one_month_holds_it() -> None:
    rows = payments(200, apart=3)
    copied = rows.head(10).with_columns(payment_id=pl.concat_str(pl.lit("Z"), "payment_id"))
    findings = duplicates(pl.concat([rows, copied]))
    assert told(findings) == [(None, "duplicate row under a new id", True)]


def test_one_or_two_twins_may_be_chance() -> None:
    rows = payments(200, apart=3)
    copied = rows.head(MIN_DUPLICATES - 1).with_columns(payment_id=pl.concat_str(pl.lit("Z"), "payment_id"))
    assert duplicates(pl.concat([rows, copied])) == ()
