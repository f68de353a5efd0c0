"""A task together with the tables it is asked on: what a feature hands to the services."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.data.examples import Examples, build_examples
from epic22.core.data.leakage import Suspicion
from epic22.core.data.panel_examples import PanelExamples, build_panel_examples, forecast_terms, histories_at
from epic22.core.data.tables import Tables
from epic22.core.history import Array, Histories
from epic22.core.lineage import DataVersion
from epic22.core.task import Task


@dataclass(frozen=True)
class Assignment:
    """A declared task, its tables and the cutoffs to learn from.

    `suspicions` are what the audit of the columns found, `notes` what was decided on the way, in plain words. The last
    `test_rows` cutoffs come from a test file of their own.
    """

    task: Task
    tables: Tables
    cutoffs: pl.DataFrame
    data_version: DataVersion
    suspicions: tuple[Suspicion, ...] = ()
    notes: tuple[str, ...] = ()
    test_rows: int = 0

    def examples(self) -> Examples:
        """The examples at the cutoffs."""
        return build_examples(self.task, self.tables, self.cutoffs, self.data_version.id)


@dataclass(frozen=True)
class PanelAssignment:
    """A declared forecasting task and its tables. Its data run from period `first` to `last` (ordinals).

    `entities` are the series' names, ascending; `season` is the number of periods in a cycle. `layout`, `id` and `time` say how
    the file it came from is read, so that a later file can be.
    """

    task: Task
    tables: Tables
    entities: pl.Series
    first: int
    last: int
    season: int
    data_version: DataVersion
    notes: tuple[str, ...] = ()
    layout: str = "long"
    id: tuple[str, ...] = ("entity",)
    time: str = "at"

    def examples(self, origins: Array) -> PanelExamples:
        """The examples at these origins (ordinals)."""
        return build_panel_examples(self.task, self.tables, self._candidates(origins), self.data_version.id)

    def now(self) -> Histories:
        """Every eligible series as known at the end of the data."""
        candidates = self._candidates(np.array([self.last]))
        at = self.task.rows(self.tables.as_of(candidates), candidates).sort("cutoff", "entity")
        return histories_at(self.task, self.tables, at)

    def _candidates(self, origins: Array) -> pl.DataFrame:
        frequency, _ = forecast_terms(self.task)
        cutoffs = pl.DataFrame({"cutoff": frequency.starts(np.sort(origins) + 1)})
        return cutoffs.join(pl.DataFrame({"entity": self.entities}), how="cross").select("entity", "cutoff")
