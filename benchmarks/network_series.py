"""The forecasting features trained with networks taking part, for `network_features.py`: who wins, by how much, at what cost."""

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stamp import source_stamp

from epic22.bootstrap.components import Components, assemble
from epic22.bootstrap.training import FeatureConfig, train_feature
from epic22.config import Settings
from epic22.core.evaluation.forecast_metrics import SKILL, compare_forecasts
from epic22.core.models.panel.catalog import PANEL_FAMILIES
from epic22.features.catalog import FEATURES
from epic22.services.training_run import ForecastEvaluation, SeriesRun

SERIES_FEATURES = tuple(feature.name for feature in FEATURES if feature.task.frequency is not None)
NETWORKS = tuple(family.name for family in PANEL_FAMILIES if family.needs)
REFERENCES = ("pooled_boosting", "pooled_linear")
"""What the others are compared with: the first of them that forecasts something of its own."""


def measure_series(components: Components, name: str) -> dict[str, Any]:
    """What is kept of a feature's training, which is done in a process of its own so that its memory can be told."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(train_alone, components.settings.home, name).result()


def train_alone(home: Path, name: str) -> dict[str, Any]:
    """The feature trained with all networks, on one thread."""
    began = time.perf_counter()
    run: SeriesRun = train_feature(assemble(Settings(home, threads=1)), name, config=FeatureConfig(also=NETWORKS)).run
    families = {one.family for one in run.leaderboard}
    reference = next(one for one in run.leaderboard if one.family == next(name for name in REFERENCES if name in families))
    return {
        "source": source_stamp(),
        "rows": len(run.test),
        "series": len(set(run.examples.entity)),
        "metric": SKILL.name,
        "reference": reference.family,
        "champion": run.champion.family,
        "conclusion": f"Champion: {run.champion.family}; {run.selection_reason}.",
        "equals": [one.words for one in run.equals],
        "weights": {
            member: [round(float(weight[0]), 2), round(float(weight[-1]), 2)]
            for member, weight in zip((*run.members, "naive"), run.weights.T, strict=True)
        },
        "seconds": round(time.perf_counter() - began, 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        "families": {one.family: describe_family(run, one, reference) for one in run.leaderboard},
    }


def describe_family(run: SeriesRun, one: ForecastEvaluation, reference: ForecastEvaluation) -> dict[str, Any]:
    """Skill with its interval, the paired difference to the reference, and what it costs."""
    skill = one.score(SKILL.name)
    costs = {"fit_seconds": round(one.forecasts.fit_seconds, 2), "ms_alone": round(one.forecasts.ms_per_row, 3)}
    own = {"score": [skill.value, skill.low, skill.high], **costs}
    if one is reference:
        return own
    quantiles = tuple(each.forecasts.quantiles[run.test] for each in (one, reference))
    verdict = compare_forecasts((one.family, reference.family), (quantiles[0], quantiles[1]), SKILL, run.rows, "all")
    difference = verdict.difference
    return own | {"difference": [difference.value, difference.low, difference.high], "certain": verdict.certain}


def describe_weights(outcome: dict[str, Any]) -> str:
    """Of each member that has any, its weight in the combination at the first and the last horizon."""
    weights = outcome["weights"].items()
    return ", ".join(f"{name} {first:.0%} → {last:.0%}" for name, (first, last) in weights if max(first, last) > 0)
