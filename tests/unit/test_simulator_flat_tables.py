"""The two flat tables of a simulated company: what a row knows, by hand, and that they end where their labels are complete."""

from datetime import date, datetime, timedelta

import polars as pl
from tests.portfolios import tiny_portfolio

from epic22.simulator.flat_tables import build_churn_table, build_rents_table

START = datetime(2023, 1, 1)


def company() -> dict[str, pl.DataFrame]:
    """Two leases: the tenant of one gives notice and moves out, the other is renewed; rent is due monthly, and once paid late."""
    leases = pl.DataFrame(
        {
            "lease_id": ["a", "b"],
            "tenant_id": ["t1", "t2"],
            "lease_type": ["month_to_month", "fixed"],
            "monthly_rent": [900.0, 1200.0],
            "start_date": [START, START],
            "end_date": [datetime(2024, 6, 30)] * 2,
            "notice_on": [datetime(2024, 5, 1), None],
            "ended_on": [datetime(2024, 6, 15), datetime(2024, 6, 30)],
            "end_reason": ["moved_out", "renewed"],
        }
    )
    due = pl.datetime_range(START, datetime(2024, 12, 1), "1mo", eager=True)
    charges = pl.DataFrame({"charge_id": [f"c{i}" for i in range(len(due))], "lease_id": "a", "due_on": due})
    days = [timedelta(days=10 if i == 13 else 5) for i in range(len(due))]
    payments = charges.select("charge_id", paid_on=pl.col("due_on") + pl.Series(days))
    return {"leases": leases, "charges": charges, "payments": payments}


def test_a_lease_has_a_row_a_quarter_until_its_tenant_gives_notice() -> None:
    table = build_churn_table(company())
    assert table.filter(pl.col("tenant") == "t1")["month"].to_list() == [date(2024, 1, 1), date(2024, 4, 1)]
    assert table.filter(pl.col("tenant") == "t2")["month"].to_list() == [date(2024, 1, 1), date(2024, 4, 1)]


def test_churned_says_whether_the_tenant_moved_out_within_90_days() -> None:
    table = build_churn_table(company())
    assert table.select("tenant", "month", "churned").rows() == [
        ("t1", date(2024, 1, 1), 0),
        ("t2", date(2024, 1, 1), 0),
        ("t1", date(2024, 4, 1), 1),
        ("t2", date(2024, 4, 1), 0),
    ]


def test_a_payment_is_late_after_five_days_and_counts_once_it_is_known() -> None:
    table = build_churn_table(company()).filter(pl.col("tenant") == "t1")
    assert table["late_payments"].to_list() == [0, 1]
    assert table["plan"].to_list() == ["monthly", "monthly"]
    assert table["tenure_months"].to_list() == [12, 15]
    assert table["months_left"].to_list() == [6, 3]


def test_no_row_is_younger_than_its_label_needs() -> None:
    tables = tiny_portfolio().tables
    table = build_churn_table(tables)
    last = tables["payments"]["paid_on"].max()
    assert isinstance(last, datetime)
    assert table["month"].max() <= (last - timedelta(days=90)).date()  # type: ignore[operator]
    assert 0.0 < table["churned"].mean() < 0.2  # type: ignore[operator]
    assert table["months_left"].null_count() == 0


def test_the_rents_have_a_row_per_zip_code_and_the_last_published_figure() -> None:
    def row(
        zip_code: str, month: int, rent: float, known: int, source: str = "public_survey", bedrooms: int = 2
    ) -> dict[str, object]:
        at = datetime(2024, month, 1)
        known_at = at + timedelta(days=known)
        return {
            "zip_code": zip_code,
            "month": at,
            "average_rent": rent,
            "known_at": known_at,
            "source": source,
            "bedrooms": bedrooms,
        }

    market = pl.DataFrame(
        [row("2", 1, 5.0, 40), row("1", 1, 7.0, 40), row("1", 1, 8.0, 70), row("1", 2, 9.0, 40), row("1", 2, 1.0, 40, "own_book")]
    )
    assert build_rents_table(market).rows(named=True) == [
        {"zip": "1", "2024-01": 8.0, "2024-02": 9.0},
        {"zip": "2", "2024-01": 5.0, "2024-02": None},
    ]
