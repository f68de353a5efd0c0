"""A task together with the tables it is asked on: what a feature hands to the services."""

from dataclasses import dataclass

import polars as pl

from epic22.core.data.examples import Examples, build_examples
from epic22.core.data.leakage import Suspicion
from epic22.core.data.tables import Tables
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
