"""Codes for missing, labels far from all others and values that float32 merges are asked about by name and value."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from epic22.core.data.leakage import Suspicion
from epic22.core.data.leakage_tests import audit_single_columns
from epic22.core.data.magnitude import audit_magnitudes, find_codes
from epic22.core.targets import KINDS
from epic22.core.task import Column, Dtype

RNG = np.random.default_rng(0)
AGES = np.round(RNG.normal(50, 12, 200), 1)
DAYS = [date(2020, 1, 1) + timedelta(days=int(i)) for i in RNG.integers(0, 1500, 200)]


def audit(x: pl.Series, dtype: Dtype = "float") -> tuple[Suspicion, ...]:
    label = pl.Series("y", RNG.normal(size=len(x)))
    return audit_magnitudes(pl.DataFrame({"x": x}), [Column("x", dtype)], label, is_regression=True)


@pytest.mark.parametrize("code", [-999.0, 9999.0, -1e6, 99999.0])
def test_a_frequent_number_far_outside_all_others_is_asked_about_with_the_way_out(code: float) -> None:
    (finding,) = audit(pl.Series(np.r_[AGES, [code] * 20]))
    assert (finding.column, finding.suspicion, finding.withheld) == ("x", "code for missing", False)
    assert f"{code:.12g} in 20 of 220 rows" in finding.evidence
    assert f"--missing {code:.12g} says so" in finding.evidence


def test_two_codes_and_codes_at_both_ends_are_asked_about_together() -> None:
    assert find_codes(np.r_[RNG.integers(0, 14, 500), [96.0] * 5, [98.0] * 20]) == [96.0, 98.0]
    assert find_codes(np.r_[AGES, [-99.0] * 9, [999.0] * 9]) == [-99.0, 999.0]


def test_codes_beside_the_steps_of_a_scale_are_asked_about_and_other_large_counts_are_not() -> None:
    scale = RNG.integers(1, 8, 300)
    assert find_codes(np.r_[scale, [97.0] * 9, [98.0] * 5, [99.0] * 20]) == [97.0, 98.0, 99.0]
    assert find_codes(np.r_[scale, [50.0] * 9]) == []
    assert find_codes(np.r_[RNG.choice([2.0, 4.0, 6.0], 300), [99.0] * 9]) == []


@pytest.mark.parametrize("day", [date(1900, 1, 1), date(1970, 1, 1), date(9999, 12, 31)])
def test_a_date_that_stands_for_none_is_asked_about(day: date) -> None:
    (finding,) = audit(pl.Series([*DAYS, *[day] * 12]), "time")
    assert f"--missing {day}" in finding.evidence


def test_a_date_that_stands_for_none_is_asked_about_among_the_rows_own_times() -> None:
    """It made the last stretch of a split by time."""
    times = pl.Series("x", [*DAYS, *[date(9999, 12, 31)] * 12])
    label = pl.Series("y", RNG.normal(size=len(times)))
    (finding,) = audit_magnitudes(pl.DataFrame([times]), [Column("x", "time", role="time")], label, is_regression=True)
    assert "--missing 9999-12-31" in finding.evidence


@pytest.mark.parametrize(
    "values",
    [
        np.r_[AGES, [-999.0]],
        np.r_[np.zeros(100), RNG.lognormal(5, 1, 100)],
        RNG.lognormal(8, 2, 300),
        np.r_[RNG.uniform(0, 500_000, 300), [500_001.0] * 30],
        RNG.choice([100.0, 250.0, 500.0, 100_000.0], 200),
        RNG.standard_t(2, 500),
    ],
    ids=["once only", "a pile of zeros", "a long tail", "a cap", "a list of sizes", "heavy tails"],
)
def test_honest_numbers_are_not_asked_about(values: np.ndarray) -> None:
    assert audit(pl.Series(values)) == ()


def test_values_that_no_centre_keeps_apart_are_named() -> None:
    (finding,) = audit(pl.Series(np.r_[np.arange(100.0), 1e9 + np.arange(100.0), 3e9 + np.arange(100.0)]))
    assert finding.suspicion == "merged values"
    assert "of its 300 different values" in finding.evidence
    assert audit(pl.Series(1e9 + np.arange(100.0))) == ()


def test_whole_numbers_that_not_even_float64_tells_apart_are_named() -> None:
    (finding,) = audit(pl.Series([900_719_925_474_099_300 + i % 32 for i in range(400)]), "int")
    assert finding.suspicion == "merged values"
    assert "one of 31 of its 32 different values" in finding.evidence
    assert audit(pl.Series([900_719_925 + i % 32 for i in range(400)]), "int") == ()


def test_a_label_far_from_all_others_and_a_code_among_labels_are_named() -> None:
    def about(label: np.ndarray) -> list[str]:
        frame = pl.DataFrame({"x": np.zeros(len(label))})
        return [s.evidence for s in audit_magnitudes(frame, [], pl.Series("rent", label), is_regression=True)]

    rents = RNG.lognormal(9.7, 0.8, 500).round()
    assert about(rents) == []
    assert about(np.r_[6.4, 6.93, 7.1, 7.3, 7.7, RNG.normal(11.0, 0.8, 900)]) == [], "a label in logarithms has a long end"
    assert about(np.r_[rents, 9e8])[0].startswith("900000000 in 1 of 501 rows, far from all others")
    assert about(np.r_[rents - 20_000, -5e7])[0].startswith("-50000000 in 1 of 501 rows")
    assert "--missing -999999999" in about(np.r_[rents, [-999_999_999.0] * 6])[0]


@pytest.mark.slow
def test_a_number_that_is_nearly_the_label_is_told_where_the_others_say_little() -> None:
    x, noise = RNG.normal(size=(400, 3)), RNG.normal(size=400)
    y = pl.Series("y", np.exp(x[:, 0] + noise))
    inputs = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "copied": y * (1 + 0.01 * RNG.normal(size=400))})
    assert [s.column for s in audit_single_columns(inputs, y, KINDS["regression"], None)] == ["copied"]
    assert audit_single_columns(inputs.drop("copied"), y, KINDS["regression"], None) == ()
    plain = pl.DataFrame({"carat": np.exp(x[:, 0]), "length": x[:, 0], "cut": x[:, 1]})
    assert audit_single_columns(plain, pl.Series("y", np.exp(x[:, 0])), KINDS["regression"], None) == ()


@pytest.mark.parametrize(
    ("steps", "codes"),
    [([1, 2, 3], [99]), ([0, 1, 2], [99]), ([1, 2, 3], [98, 99]), ([1, 2, 3, 4], [99]), ([0, 1], [99]), ([1, 2], [77, 88])],
)
def test_a_code_beside_few_steps_of_a_scale_is_asked_about(steps: list[int], codes: list[int]) -> None:
    values = np.array([*steps, *steps, *codes] * 12, dtype=float)
    (finding,) = audit(pl.Series(values), "int")
    assert finding.suspicion == "code for missing"
    assert all(f"{code} in 12 " in finding.evidence for code in codes)
    assert finding.evidence.endswith(f"{' '.join(f'--missing {code}' for code in codes)} says so.")


@pytest.mark.parametrize("values", [[96, 97, 98, 99], [97, 98, 99], [95, 96, 99], [76, 77], [0, 1], [1, 2, 3], [0, 99]])
def test_steps_that_go_on_to_a_number_like_a_code_are_not_asked_about(values: list[int]) -> None:
    assert find_codes(np.array(values * 20, dtype=float)) == []
