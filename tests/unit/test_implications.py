"""A leak is proved, not suspected: values that go with one class are left out only where the other columns come nowhere near.

Broken once on purpose: with MIN_CLASS_SHARE = 0.01 the rare level is taken away; with MIN_OTHERS_ERROR = 0 the leaf's shape is.
"""

import numpy as np
import polars as pl
import pytest

from epic22.core.data.leakage import Suspicion, audit_columns
from epic22.core.task import Array, Column, Dtype, Kind

N = 1200


def build_churn(seed: int = 0) -> tuple[pl.DataFrame, Array]:
    """Two honest columns and a label, one in five, that they explain in part."""
    rng = np.random.default_rng(seed)
    usage, tenure = rng.normal(size=N), rng.normal(size=N)
    left = (usage + tenure + rng.logistic(size=N) > 2.2).astype(int)
    return pl.DataFrame({"usage": usage, "tenure": tenure, "left": left}), left


def audit(frame: pl.DataFrame, label: str = "left", kind: Kind = "binary") -> dict[str | None, Suspicion]:
    def dtype(series: pl.Series) -> Dtype:
        return "category" if series.dtype == pl.String else "int" if series.dtype.is_integer() else "float"

    columns = tuple(Column(c.name, dtype(c), role="label" if c.name == label else "input") for c in frame)
    return {s.column: s for s in audit_columns(frame, columns, frame[label], kind)}


def test_a_rare_level_whose_rows_are_all_of_one_class_is_told_and_kept() -> None:
    frame, left = build_churn()
    products = np.random.default_rng(1).integers(1, 4, N)
    products[np.flatnonzero(left)[:14]] = 4
    finding = audit(frame.with_columns(products=products))["products"]
    assert (finding.suspicion, finding.withheld) == ("implies the label", False)
    assert "4 means left = 1 in 14 of 14 rows" in finding.evidence


def test_a_count_whose_rare_high_values_are_all_of_one_class_is_kept() -> None:
    frame, left = build_churn()
    late = np.random.default_rng(1).poisson(0.4 + 0.6 * left)
    late[np.flatnonzero(left)[:24]] = np.repeat([7, 8], 12)
    assert not [s for s in audit(frame.with_columns(late=late)).values() if s.withheld]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_a_level_of_most_of_a_class_that_nothing_else_tells_is_left_out(share: float) -> None:
    frame, left = build_churn()
    rng = np.random.default_rng(2)
    state = np.where((left == 1) & (rng.random(N) < share), "closed", rng.choice(["open", "new"], N))
    finding = audit(frame.with_columns(state=state))["state"]
    assert finding.withheld
    assert "only the label tells so much" in finding.evidence


def test_parts_of_a_class_that_settle_it_together_are_left_out() -> None:
    frame, left = build_churn()
    part = np.random.default_rng(3).integers(0, 4, N)
    causes = {f"cause_{i}": ((left == 1) & (part == i)).astype(int) for i in range(4)}
    assert [s.column for s in audit(frame.with_columns(**causes)).values() if s.withheld] == list(causes)


@pytest.mark.slow
def test_a_leak_does_not_take_an_honest_level_with_it() -> None:
    frame, left = build_churn()
    rng = np.random.default_rng(4)
    products = rng.integers(1, 4, N)
    products[np.flatnonzero(left)[:40]] = 4
    closed_on = pl.Series([1.0 + i if is_left else None for i, is_left in enumerate(left)], dtype=pl.Float64)
    findings = audit(frame.with_columns(products=products, closed_on=closed_on))
    assert [name for name, s in findings.items() if s.withheld] == ["closed_on"]


def test_a_shape_that_names_a_species_is_kept_where_measures_tell_the_species_too() -> None:
    rng = np.random.default_rng(5)
    species = np.repeat(np.arange(8), 100)
    frame = pl.DataFrame(
        {
            "length": species + rng.normal(scale=0.05, size=800),
            "width": -species + rng.normal(scale=0.05, size=800),
            "shape": np.where(species == 3, "needle", rng.choice(["round", "oval"], 800)),
            "species": [f"species {i}" for i in species],
        }
    )
    finding = audit(frame, "species", "multiclass")["shape"]
    assert not finding.withheld
    assert "they tell it nearly as well" in finding.evidence


@pytest.mark.parametrize(("n_species", "is_kept"), [(32, True), (4, False)])
def test_a_mark_of_one_class_among_very_many_is_kept_and_its_price_told(n_species: int, is_kept: bool) -> None:
    rng = np.random.default_rng(7)
    species = np.repeat(np.arange(n_species), 40)
    frame = pl.DataFrame(
        {
            "area": species + rng.normal(scale=3.0, size=len(species)),
            "margin": np.where(species == 2, "spiny", rng.choice(["smooth", "wavy"], len(species))),
            "species": [f"species {i}" for i in species],
        }
    )
    finding = audit(frame, "species", "multiclass")["margin"]
    assert finding.withheld != is_kept
    assert ("1 of 32 classes may have a mark of their own" in finding.evidence) == is_kept


@pytest.mark.slow
def test_a_copy_of_very_many_classes_is_left_out() -> None:
    rng = np.random.default_rng(8)
    species = np.repeat(np.arange(32), 40)
    frame = pl.DataFrame(
        {
            "area": species + rng.normal(scale=3.0, size=len(species)),
            "code": [f"s{one}" for one in np.where(rng.random(len(species)) < 0.01, rng.permutation(species), species)],
            "species": [f"species {i}" for i in species],
        }
    )
    assert audit(frame, "species", "multiclass")["code"].withheld


def test_a_measure_that_parts_two_classes_is_kept_where_another_does_nearly_too() -> None:
    rng = np.random.default_rng(6)
    setosa = np.repeat([0, 1], 100)
    petal = 4.0 - 3 * setosa + rng.normal(scale=0.2, size=200)
    sepal = 4.0 - 3 * setosa + rng.normal(scale=0.6, size=200)
    assert not any(s.withheld for s in audit(pl.DataFrame({"petal": petal, "sepal": sepal, "left": setosa})).values())


def test_a_copy_of_the_label_with_slips_is_left_out() -> None:
    frame, left = build_churn()
    typed = np.where(np.random.default_rng(7).random(N) < 0.01, 1 - left, left)
    frame = frame.with_columns(state=pl.Series(typed).replace_strict({0: "stays", 1: "goes"}))
    assert audit(frame)["state"].withheld


@pytest.mark.parametrize("decimals", [3, 12])
def test_a_category_encoded_by_the_labels_of_these_rows_is_left_out(decimals: int) -> None:
    frame, left = build_churn()
    group = np.random.default_rng(8).integers(0, N // 6, N)
    means = pl.DataFrame({"group": group, "left": left}).select(pl.col("left").mean().over("group").round(decimals)).to_series()
    assert audit(frame.with_columns(encoded=means))["encoded"].suspicion == "label means"
    values = frame.select("usage", encoded=frame["usage"].mean() + pl.col("usage")).with_columns(left=frame["tenure"])
    assert audit(values, "left", "regression") == {}


@pytest.mark.slow
def test_customer_numbers_that_never_repeat_name_the_row_and_a_measured_amount_does_not() -> None:
    frame, _ = build_churn()
    rng = np.random.default_rng(9)
    customer = 15_600_000 + rng.permutation(10_000)[:N]
    assert audit(frame.with_columns(customer=customer))["customer"].suspicion == "id"
    revenue = pl.Series(rng.lognormal(13, 2, N).astype(int))
    finding = audit(frame.with_columns(revenue=revenue))["revenue"]
    assert (finding.suspicion, finding.withheld) == ("near-key", False)


def test_a_year_that_orders_few_rows_as_the_label_does_is_no_copy_of_it() -> None:
    year = pl.Series(np.arange(1960, 2020).astype(float) + 0.5)
    population = pl.Series(1e6 * 1.02 ** np.arange(60.0))
    findings = audit(pl.DataFrame({"year": year, "left": population}), "left", "regression")
    assert not findings["year"].withheld
    copied = audit(pl.DataFrame({"thousands": population / 1000, "left": population}), "left", "regression")
    assert copied["thousands"].withheld


def build_plant(seed: int = 0) -> pl.DataFrame:
    """Hours of a solar plant, whose power follows the sunshine; both are zero by night."""
    rng = np.random.default_rng(seed)
    at = np.arange(2_000)
    sun = np.maximum(0, 1000 * np.sin((at % 24 - 6) / 12 * np.pi)) * rng.uniform(0.3, 1, len(at))
    temperature = 10 + 8 * np.sin((at % 24 - 9) / 12 * np.pi) + 0.004 * at + rng.normal(0, 2, len(at))
    power = 0.2 * sun * (1 + 0.1 * rng.normal(size=len(at)))
    return pl.DataFrame({"hour": at % 24, "temperature": temperature, "irradiance": sun, "power": power})


@pytest.mark.parametrize("with_stamp", [False, True])
def test_a_cause_that_is_zero_where_the_label_is_is_kept_where_the_hour_tells_the_zeros_as_well(with_stamp: bool) -> None:
    frame = build_plant()
    if with_stamp:
        hours = pl.int_range(pl.len()) * pl.duration(hours=1)
        frame = frame.drop("hour").with_columns(at=pl.datetime(2024, 3, 1) + hours)
    findings = audit(frame, "power", "regression")
    assert {name: (one.suspicion, one.withheld) for name, one in findings.items()} == {"irradiance": ("implies the label", False)}
    assert "it is zero or empty exactly where power is zero (100.00% of rows" in findings["irradiance"].evidence
    assert findings["irradiance"].evidence.endswith("they tell it nearly as well.")


def build_claims(zeros: float) -> pl.DataFrame:
    """Claims of which a share is zero, what was paid for them, a column that half tells which, and two that tell nothing."""
    rng = np.random.default_rng(3)
    claim = np.where(rng.random(N) < zeros, 0.0, rng.gamma(2.0, 500.0, N))
    paid = np.where(claim > 0, rng.gamma(2.0, 50.0, N), 0.0)
    risk = (claim > 0) + rng.normal(0.0, 0.7, N)
    return build_churn()[0].select("usage", "tenure").with_columns(risk=risk, claim=claim, paid=paid)


@pytest.mark.parametrize("zeros", [0.3, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("others", [["usage", "tenure"], ["usage", "risk"]])
def test_a_column_that_alone_is_zero_where_the_label_is_is_left_out(zeros: float, others: list[str]) -> None:
    findings = audit(build_claims(zeros).select(*others, "claim", "paid"), "claim", "regression")
    assert {name: one.withheld for name, one in findings.items()} == {"paid": True}
    assert findings["paid"].evidence.endswith("only the label tells so much.")


@pytest.mark.parametrize("zeros", [0.3, 0.95])
@pytest.mark.parametrize("n_echoes", [1, 2])
def test_columns_that_are_zero_where_the_label_is_are_left_out_where_there_is_no_other(zeros: float, n_echoes: int) -> None:
    frame = build_claims(zeros)
    echoes = {f"paid_{number}": frame["paid"] * (1 + number) for number in range(n_echoes)}
    findings = audit(frame.select("claim").with_columns(**echoes, policy=pl.int_range(N)), "claim", "regression")
    assert {name: one.withheld for name, one in findings.items()} == dict.fromkeys([*echoes, "policy"], True)
    assert findings["paid_0"].evidence.endswith("no other column tells the zeros.")


def test_a_plant_whose_stamps_tell_the_night_keeps_the_sunshine_that_is_its_only_column() -> None:
    hours = pl.int_range(pl.len()) * pl.duration(hours=1)
    frame = build_plant().select("irradiance", "power").with_columns(at=pl.datetime(2024, 3, 1) + hours)
    finding = audit(frame, "power", "regression")["irradiance"]
    assert not finding.withheld
    assert finding.evidence.endswith("they tell it nearly as well.")


@pytest.mark.parametrize("with_temperature", [True, False])
def test_a_plant_whose_rows_follow_one_another_keeps_the_sunshine_though_nothing_tells_the_hour(with_temperature: bool) -> None:
    frame = build_plant().drop("hour") if with_temperature else build_plant().select("irradiance", "power")
    finding = audit(frame, "power", "regression")["irradiance"]
    assert (finding.suspicion, finding.withheld) == ("implies the label", False)
    assert "zeros come in runs" in finding.evidence
    shuffled = audit(frame.sample(fraction=1.0, shuffle=True, seed=0), "power", "regression")["irradiance"]
    assert shuffled.withheld


def test_rows_that_are_sorted_by_the_label_hide_no_leak() -> None:
    findings = audit(build_claims(0.5).sort("claim").select("usage", "tenure", "claim", "paid"), "claim", "regression")
    assert {name: one.withheld for name, one in findings.items()} == {"paid": True}


@pytest.mark.parametrize("zeros", [0.99, 0.01])
def test_a_column_that_is_zero_where_the_label_is_is_left_out_however_rare_that_is(zeros: float) -> None:
    frame = build_claims(zeros).select("usage", "risk", "claim", "paid")
    findings = audit(frame, "claim", "regression")
    assert {name: one.withheld for name, one in findings.items()} == {"paid": True}


def test_a_column_that_is_nearly_always_zero_tells_nothing_of_a_label_that_is_so_too() -> None:
    rng = np.random.default_rng(4)
    n = 40_000
    claim, rare = (np.where(rng.random(n) < 0.9995, 0.0, rng.gamma(2.0, 50.0, n)) for _ in range(2))
    assert float(((claim == 0) == (rare == 0)).mean()) > 0.998
    assert "rare" not in audit(pl.DataFrame({"usage": rng.normal(size=n), "rare": rare, "claim": claim}), "claim", "regression")
