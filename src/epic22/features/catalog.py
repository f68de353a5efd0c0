"""The features, each a declared task over canonical tables. A new feature is one module beside this one and one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from epic22.core.data.assignment import Assignment, PanelAssignment, assign, assign_panel
from epic22.core.data.tables import Tables
from epic22.core.errors import UnknownTaskError
from epic22.core.lineage import DataVersion
from epic22.core.task import Task
from epic22.features import market_intelligence, predictive_maintenance, reporting_analytics, risk_assessment, tenant_churn

Assigned = Assignment | PanelAssignment
Assign = Callable[[Task, Tables, DataVersion], Assigned]


@dataclass(frozen=True)
class Feature:
    """A task of one of the five capabilities, and how canonical tables become its assignment. `main`: it stands for it."""

    capability: str
    task: Task
    assign: Assign
    main: bool = True

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name


PUBLISHED_AFTER = timedelta(days=15)
"""Market figures of a month are taken for known so long after it."""


def _market(task: Task, tables: Tables, version: DataVersion) -> PanelAssignment:
    return assign_panel(task, tables, "market", market_intelligence.CYCLE, PUBLISHED_AFTER, version)


def _reporting(task: Task, tables: Tables, version: DataVersion) -> PanelAssignment:
    with_figures = reporting_analytics.with_figures(task, tables)
    close = reporting_analytics.BOOKS_CLOSE
    return assign_panel(task, with_figures, reporting_analytics.FIGURES, reporting_analytics.CYCLE, close, version)


def _fair_rent(task: Task, tables: Tables, version: DataVersion) -> Assignment:
    """A row a signing: the unit, the day before; a unit let twice on one day counts once."""
    signed = (
        tables.tables["leases"].frame.select(entity="unit_id", cutoff=pl.col("signed_on") - market_intelligence.SIGNED).unique()
    )
    inside = signed.filter(pl.col("cutoff") + market_intelligence.SIGNED <= tables.end).sort("cutoff", "entity")
    return Assignment(task, tables, inside, version)


FEATURES: tuple[Feature, ...] = (
    Feature("predictive_maintenance", predictive_maintenance.TASK, assign),
    Feature("predictive_maintenance", predictive_maintenance.HAZARD, assign, main=False),
    Feature("tenant_churn", tenant_churn.TASK, assign),
    Feature("tenant_churn", tenant_churn.HAZARD, assign, main=False),
    Feature("market_intelligence", market_intelligence.RENTS, _market),
    Feature("market_intelligence", market_intelligence.VACANCY, _market, main=False),
    Feature("market_intelligence", market_intelligence.FAIR_RENT, _fair_rent, main=False),
    Feature("reporting_analytics", reporting_analytics.INCOME, _reporting),
    Feature("reporting_analytics", reporting_analytics.OCCUPANCY, _reporting, main=False),
    Feature("reporting_analytics", reporting_analytics.COLLECTION, _reporting, main=False),
    Feature("risk_assessment", risk_assessment.TASK, assign),
)


def feature_named(name: str) -> Feature:
    """The feature whose task has that name. Raises UnknownTaskError with the names there are."""
    for feature in FEATURES:
        if feature.task.name == name:
            return feature
    raise UnknownTaskError(f"no feature {name!r}; there are {', '.join(f.task.name for f in FEATURES)}.")
