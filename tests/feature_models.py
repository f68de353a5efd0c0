"""A portfolio large enough for a feature, and a model for it that is fitted to chance: for what predicts from stored tables."""

from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, write_bundle
from epic22.core.data.point_in_time import Tables
from epic22.core.data.preprocess import Preprocessor
from epic22.core.lineage import ModelVersion
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.ports import Registry
from epic22.features.catalog import get_feature
from tests.small_tables import small_tables

UNITS, FIRST_ENDED, N_ENDED = 160, 40, 32
"""Leases, of which 32 have ended, the first at the beginning of March."""
N_ACTIVE = UNITS - N_ENDED
MOMENT, EARLIER, LATER = datetime(2021, 7, 1), datetime(2021, 3, 1), datetime(2021, 7, 10)


@cache
def feature_tables() -> dict[str, pl.DataFrame]:
    """The small portfolio with enough leases for churn; its tenants are `tenant-000` to `tenant-159`."""
    tables = small_tables(units=UNITS)
    for name in ("tenants", "leases", "protected"):
        tables[name] = tables[name].with_columns(("tenant-" + pl.col("tenant_id").str.slice(1).str.zfill(3)).alias("tenant_id"))
    number = pl.col("lease_id").str.slice(1).cast(pl.Int64)
    has_ended = number.is_between(FIRST_ENDED, FIRST_ENDED + N_ENDED - 1)
    ends = [pl.when(has_ended).then(pl.col("start_date") + pl.duration(days=2)).cast(pl.Datetime("us")).alias("ended_on")]
    ends.append(pl.when(has_ended).then(pl.lit("moved_out")).alias("end_reason"))
    return tables | {"leases": tables["leases"].with_columns(ends)}


def register_model(registry: Registry, tables: Tables, folder: Path, name: str = "tenant_churn", seed: int = 0) -> ModelVersion:
    """The champion of a feature: linear, fitted to coins thrown for all leases."""
    task = get_feature(name).task
    at = pl.DataFrame({"entity": [f"L{n}" for n in range(UNITS)], "cutoff": [MOMENT] * UNITS})
    X = task.compute_inputs(tables.as_of(at))
    preprocessor = Preprocessor.fit(task.input_columns, X)
    y = np.random.default_rng(seed).integers(0, 2, UNITS).astype(np.float64)
    estimator = get_family("linear").build(LearningProblem.of(task)).fit(preprocessor.transform(X), y)
    bundle = Bundle(Schema.of(task), "linear", "proven", "", "d" * 64, seed, preprocessor, estimator, None, costs=task.costs)
    bundle = replace(bundle, model_hash=compute_model_hash(bundle))
    write_bundle(folder / f"bundle-{seed}", bundle, X.head(4))
    version = registry.save(name, "linear", bundle.model_hash, "d" * 64, "proven", folder / f"bundle-{seed}")
    registry.promote(name, version.version, ())
    return version
