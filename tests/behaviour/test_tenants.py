"""What a property manager expects of a model of tenants, asked of each family after it has learned from three years.

Only one thing is changed and all else stays as it is, so these are no laws: the portfolio is small, and what a model cannot tell
from chance it may bend a little. Where the direction is clear it must be right, and nowhere may it be wrong by much.

Broken once on purpose: learned from columns whose signs are turned, the linear family fails seven of these.
"""

from itertools import pairwise

import numpy as np
import pytest
from tests.behaviour.managed_portfolio import FeatureModel, fit_feature

pytestmark = pytest.mark.slow

BY_MUCH = 0.15
"""A risk may fall by this share of itself where it ought to rise, for want of evidence; by more is a wrong model."""

FAMILIES = pytest.mark.parametrize("family", ["linear", "boosting"])
HAZARDS = pytest.mark.parametrize("family", ["hazard_linear", "hazard"])


def assert_rises(risks: list[float]) -> None:
    """No step falls by much, and the last is above the first."""
    assert all(after > (1 - BY_MUCH) * before for before, after in pairwise(risks)), risks
    assert risks[-1] > risks[0], risks


def late(model: FeatureModel, share: float) -> float:
    """The mean risk if every tenant paid this share of the rents late, each by twenty days."""
    days = 20.0 * share
    return model.mean_if(late_share=share, late_share_3=share, days_late=days, days_late_last=days)


@FAMILIES
def test_more_late_payments_never_lower_the_risk_of_a_default(family: str) -> None:
    model = fit_feature("risk_assessment", family)
    risks = [late(model, share) for share in (0.0, 0.25, 0.5, 1.0)]
    assert_rises(risks)
    assert risks[-1] > 2 * risks[0]


@FAMILIES
def test_more_late_payments_never_lower_churn_by_much(family: str) -> None:
    model = fit_feature("tenant_churn", family)
    assert_rises([late(model, share) for share in (0.0, 0.25, 0.5, 1.0)])


@FAMILIES
def test_a_tenant_who_owes_more_never_risks_less(family: str) -> None:
    model = fit_feature("risk_assessment", family)
    risks = [model.mean_if(arrears_months=owed, oldest_unpaid_days=25.0 * owed) for owed in (0.0, 0.25, 0.5, 1.0)]
    assert all(after >= (1 - BY_MUCH) * before for before, after in pairwise(risks)), risks


@FAMILIES
def test_a_worse_screening_is_a_greater_risk(family: str) -> None:
    model = fit_feature("risk_assessment", family)
    low, medium, high = (model.mean_if(screening_risk=level) for level in ("low", "medium", "high"))
    assert low < medium < 1.2 * high
    assert high > 1.3 * low


@FAMILIES
def test_a_rent_that_weighs_more_on_the_income_is_a_greater_risk(family: str) -> None:
    model = fit_feature("risk_assessment", family)
    assert_rises([model.mean_if(rent_to_income=share) for share in (0.15, 0.25, 0.4)])


@FAMILIES
def test_more_complaints_never_lower_churn(family: str) -> None:
    model = fit_feature("tenant_churn", family)
    risks = [model.mean_if(complaints_90d=n, complaints_year=n) for n in (0, 1, 3)]
    assert_rises(risks)
    assert risks[-1] > 1.2 * risks[0]


@FAMILIES
def test_a_rent_above_the_market_s_never_lowers_churn_by_much(family: str) -> None:
    """The market falls and the rent stays: from a fifth below the market to a fifth above it."""
    model = fit_feature("tenant_churn", family)
    risks = [model.mean_if(rent_to_market=above) for above in (-0.2, -0.1, 0.0, 0.1, 0.2)]
    assert all(after > (1 - BY_MUCH) * before for before, after in pairwise(risks)), risks
    assert risks[-1] > (1 - BY_MUCH) * risks[0]


@FAMILIES
def test_who_may_leave_within_the_horizon_leaves_rather_than_who_may_not_for_ten_months(family: str) -> None:
    model = fit_feature("tenant_churn", family)
    assert model.mean_if(days_to_end=75.0) > 1.5 * model.mean_if(days_to_end=300.0)


@FAMILIES
@pytest.mark.parametrize("feature", ["tenant_churn", "risk_assessment"])
def test_the_mean_of_all_answers_is_about_how_often_it_happens(feature: str, family: str) -> None:
    model = fit_feature(feature, family)
    assert 0.02 < model.respond(model.rows).mean() < 0.07


@FAMILIES
@pytest.mark.parametrize("feature", ["tenant_churn", "risk_assessment"])
def test_a_month_that_nobody_paid_late_is_no_month_without_risk(feature: str, family: str) -> None:
    """Nothing is certain: no answer is 0 or 1, whatever the row says."""
    model = fit_feature(feature, family)
    extremes = [model.respond_if({"late_share": share, "arrears_months": owed}) for share in (0.0, 1.0) for owed in (0.0, 6.0)]
    assert (np.concatenate(extremes) > 0).all()
    assert (np.concatenate(extremes) < 1).all()


@HAZARDS
def test_a_longer_horizon_never_lowers_the_probability_that_a_tenant_leaves(family: str) -> None:
    model = fit_feature("churn_hazard", family)
    for changes in ({}, {"complaints_90d": 5}, {"late_share": 1.0}, {"days_to_end": 20.0}):
        response = model.respond_if(changes)
        assert response.shape == (len(model.rows), len(model.task.target.horizons))
        assert (np.diff(response, axis=1) >= 0).all()
        assert (response[:, -1] <= 1).all()


@HAZARDS
def test_complaints_hasten_the_move_out_at_every_horizon(family: str) -> None:
    model = fit_feature("churn_hazard", family)
    none, many = (model.respond_if({"complaints_90d": n, "complaints_year": n}).mean(axis=0) for n in (0, 3))
    assert (many[2:] > (1 - BY_MUCH) * none[2:]).all()
    assert many[2] > none[2]


def test_whom_the_plain_model_expects_to_leave_the_hazard_expects_to_leave_too() -> None:
    plain, hazard = fit_feature("tenant_churn", "linear"), fit_feature("churn_hazard", "hazard_linear")
    within = hazard.respond(plain.rows)[:, hazard.task.target.horizons.index(90.0)]
    likeliest = np.argsort(-plain.respond(plain.rows))[: len(within) // 10]
    assert within[likeliest].mean() > 1.5 * within.mean()


@FAMILIES
def test_whoever_is_asked_about_first_the_answers_are_the_same(family: str) -> None:
    model = fit_feature("tenant_churn", family)
    turned = model.rows.reverse()
    assert model.respond(turned)[::-1].tobytes() == np.ascontiguousarray(model.respond(model.rows)).tobytes()
