"""What a property manager expects of models of machines and of rents: the old fail more, the large cost more.

Broken once on purpose: learned from columns whose signs are turned, the older fail less and the larger cost less.
"""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from tests.behaviour.managed_portfolio import fit_feature

pytestmark = pytest.mark.slow

BY_MUCH = 0.2
"""A risk may dip by this share between two ages, for want of evidence."""

AGES = (1.0, 4.0, 8.0, 12.0, 16.0, 20.0)
CLASSIFIERS = pytest.mark.parametrize("family", ["linear", "boosting"])
HAZARDS = pytest.mark.parametrize("family", ["hazard_linear", "hazard"])


@pytest.mark.parametrize(
    ("feature", "family"),
    [
        ("predictive_maintenance", "linear"),
        ("predictive_maintenance", "boosting"),
        ("maintenance_hazard", "hazard_linear"),
        ("maintenance_hazard", "hazard"),
    ],
)
def test_an_older_machine_never_fails_less_by_much(feature: str, family: str) -> None:
    model = fit_feature(feature, family)
    risks = [model.mean_if(age_years=age) for age in AGES]
    assert all(after > (1 - BY_MUCH) * before for before, after in pairwise(risks)), risks
    assert min(risks[1:]) > (1 - BY_MUCH) * risks[0]
    if family != "hazard":
        assert max(risks[3:]) > 1.2 * risks[0], risks


@CLASSIFIERS
def test_a_machine_that_vibrates_more_than_usual_never_fails_less(family: str) -> None:
    model = fit_feature("predictive_maintenance", family)
    risks = [model.mean_if(vibration_change=change, largest_change=change) for change in (0.0, 1.0, 2.0, 4.0)]
    assert all(after > (1 - BY_MUCH) * before for before, after in pairwise(risks)), risks
    assert risks[-1] > 1.5 * risks[0], risks


@CLASSIFIERS
def test_an_unfinished_repair_never_makes_a_machine_sounder_by_much(family: str) -> None:
    model = fit_feature("predictive_maintenance", family)
    assert model.mean_if(unfinished_repairs=1) > (1 - BY_MUCH) * model.mean_if(unfinished_repairs=0)


@HAZARDS
def test_a_longer_horizon_never_lowers_the_probability_of_a_failure(family: str) -> None:
    model = fit_feature("maintenance_hazard", family)
    for changes in ({}, {"age_years": 25.0}, {"vibration_change": 5.0, "largest_change": 5.0}):
        response = model.respond_if(changes)
        assert (np.diff(response, axis=1) >= 0).all()
        assert ((response > 0) & (response < 1)).all()


@CLASSIFIERS
def test_a_kind_of_machine_never_seen_is_given_an_answer_within_those_of_the_known_kinds(family: str) -> None:
    model = fit_feature("predictive_maintenance", family)
    known = [model.mean_if(kind=kind) for kind in model.rows["kind"].unique().sort()]
    unknown = model.mean_if(kind="robot")
    assert np.isfinite(unknown)
    assert 0.5 * min(known) < unknown < 2 * max(known)


@CLASSIFIERS
def test_a_machine_without_sensors_is_given_an_answer(family: str) -> None:
    model = fit_feature("predictive_maintenance", family)
    names = [name for name in model.rows.columns if name.endswith(("_week", "_change", "_slope"))]
    blind = model.respond(model.rows.with_columns(pl.lit(None, dtype=model.rows.schema[name]).alias(name) for name in names))
    assert ((blind > 0) & (blind < 1)).all()


@CLASSIFIERS
def test_a_larger_flat_is_never_let_for_less(family: str) -> None:
    model = fit_feature("fair_rent", family)
    rents = [model.mean_if(area_sqft=area) for area in (500.0, 700.0, 900.0, 1200.0)]
    assert all(larger > smaller for smaller, larger in pairwise(rents)), rents


@CLASSIFIERS
def test_a_dearer_market_never_makes_a_flat_cheaper(family: str) -> None:
    model = fit_feature("fair_rent", family)
    rents = [model.mean_if(market_rent=rent) for rent in (900.0, 1200.0, 1500.0, 1800.0)]
    assert all(dearer > 0.99 * cheaper for cheaper, dearer in pairwise(rents)), rents
    assert rents[-1] > 1.05 * rents[0]


@CLASSIFIERS
def test_a_rent_that_was_higher_before_never_makes_the_next_one_lower_by_much(family: str) -> None:
    model = fit_feature("fair_rent", family)
    lower, higher = (model.mean_if(rent_before=rent) for rent in (1200.0, 2000.0))
    assert higher > 0.98 * lower


@CLASSIFIERS
def test_rents_are_rents(family: str) -> None:
    """Every answer lies in the range that rents are in, and most within a tenth of what was paid."""
    model = fit_feature("fair_rent", family)
    response = model.respond(model.rows)
    assert ((response > 300) & (response < 10_000)).all()
    assert np.mean(np.abs(response / response.mean() - 1) < 0.5) > 0.5
