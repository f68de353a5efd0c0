"""The features, each a declared task over canonical tables. A new feature is one module beside this one and one line here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl

from epic22.core.data.point_in_time import Tables
from epic22.core.data.task_data import (
    PanelTaskData,
    TaskData,
    bind_panel_task,
    bind_task,
    describe_late_tables,
    refuse_late_tables,
    refuse_unmet_requirements,
)
from epic22.core.errors import UnknownTaskError
from epic22.core.lineage import DataVersion
from epic22.core.task import Task
from epic22.core.time_series import MONTHLY
from epic22.features import market_intelligence, predictive_maintenance, reporting_analytics, risk_assessment, tenant_churn

FeatureData = TaskData | PanelTaskData
BindFeature = Callable[[Task, Tables, DataVersion], FeatureData]


@dataclass(frozen=True)
class Feature:
    """A task of one of the five capabilities, and how canonical tables become its assignment. `main`: it stands for it."""

    capability: str
    task: Task
    bind: BindFeature
    main: bool = True

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name


PUBLICATION_DELAY = timedelta(days=15)
"""Market figures of a month are taken for known so long after it."""


def _bind_market(task: Task, tables: Tables, version: DataVersion) -> PanelTaskData:
    return bind_panel_task(task, tables, "market", market_intelligence.CYCLE, PUBLICATION_DELAY, version)


def _bind_reporting(task: Task, tables: Tables, version: DataVersion) -> PanelTaskData:
    refuse_unmet_requirements(task, tables)
    this_month = MONTHLY.ordinals(pl.Series([tables.end], dtype=pl.Datetime("us")))
    refuse_late_tables(task, tables, MONTHLY.start(int(this_month[0])))
    figures = reporting_analytics.add_figures(task, tables)
    close = reporting_analytics.BOOKS_CLOSE
    data = bind_panel_task(task, figures, reporting_analytics.FIGURES, reporting_analytics.CYCLE, close, version)
    return replace(data, notes=(*reporting_analytics.describe_history(task, tables), *data.notes))


def _bind_fair_rent(task: Task, tables: Tables, version: DataVersion) -> TaskData:
    """A row a signing, as it is known at the end: the unit, the day before; a unit let twice on one day counts once."""
    refuse_unmet_requirements(task, tables)
    leases = tables.tables["leases"].select_final(tables.end)
    signings = leases.select("unit_id", entity="lease_id", cutoff=pl.col("signed_on") - market_intelligence.SIGNING_LEAD)
    # One whose day was put later was signed by then, as far as anybody knew.
    seen = tables.as_of(signings).latest("leases")["signed_on"]
    unsigned = signings.filter((seen > signings["cutoff"]).fill_null(value=True)).select("cutoff", entity="unit_id").unique()
    inside = unsigned.filter(pl.col("cutoff") + market_intelligence.SIGNING_LEAD <= tables.end).sort("cutoff", "entity")
    if not inside.height:
        return TaskData(task, tables, inside, version)
    last = inside["cutoff"][-1]
    refuse_late_tables(task, tables, last)
    return TaskData(task, tables, inside, version, notes=describe_late_tables(tables, last))


FEATURES: tuple[Feature, ...] = (
    Feature("predictive_maintenance", predictive_maintenance.TASK, bind_task),
    Feature("predictive_maintenance", predictive_maintenance.HAZARD, bind_task, main=False),
    Feature("tenant_churn", tenant_churn.TASK, bind_task),
    Feature("tenant_churn", tenant_churn.HAZARD, bind_task, main=False),
    Feature("market_intelligence", market_intelligence.RENTS, _bind_market),
    Feature("market_intelligence", market_intelligence.VACANCY, _bind_market, main=False),
    Feature("market_intelligence", market_intelligence.FAIR_RENT, _bind_fair_rent, main=False),
    Feature("reporting_analytics", reporting_analytics.INCOME, _bind_reporting),
    Feature("reporting_analytics", reporting_analytics.OCCUPANCY, _bind_reporting, main=False),
    Feature("reporting_analytics", reporting_analytics.COLLECTION, _bind_reporting, main=False),
    Feature("risk_assessment", risk_assessment.TASK, bind_task),
)


def get_feature(name: str) -> Feature:
    """The feature whose task has that name. Raises UnknownTaskError with the names there are."""
    for feature in FEATURES:
        if feature.task.name == name:
            return feature
    raise UnknownTaskError(f"no feature {name!r}; there are {', '.join(f.task.name for f in FEATURES)}.")
