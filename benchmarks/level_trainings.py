"""Whole trainings on tables of noise: how often the champion is called certain or proven, by the default folds and families."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from level_draws import GROUP_ROWS, Cell

import epic22

COLUMNS = 5
"""Columns of noise beside the label: four numbers and a category."""

MIN_RARE = 7
OUTCOMES = ("better", "worse", "proven", "covered")
"""What is counted of a training: the champion certainly better or worse than the constant, its status, and whether the
interval of its area holds one half (1 where the label has no two classes)."""


def draw_table(cell: Cell, rng: np.random.Generator) -> pl.DataFrame:
    """A table of n rows whose columns say nothing of `y`."""
    n = cell.n
    columns = {f"x{i}": rng.normal(size=n) for i in range(COLUMNS - 1)}
    columns["kind"] = rng.choice(np.array(["arden", "brook", "calder"]), n)
    return pl.DataFrame(columns | LABELS[cell.kind](n, rng))


def _draw_binary(n: int, rng: np.random.Generator) -> dict[str, object]:
    return {"y": rng.permutation(np.arange(n) % 2)}


def _draw_rare(n: int, rng: np.random.Generator) -> dict[str, object]:
    return {"y": rng.permutation((np.arange(n) < max(MIN_RARE, round(0.05 * n))).astype(int))}


def _draw_groups(n: int, rng: np.random.Generator) -> dict[str, object]:
    group = np.repeat(np.arange(n // GROUP_ROWS), GROUP_ROWS)
    shared = rng.normal(size=n // GROUP_ROWS)[group]
    return {"y": (shared + rng.normal(size=n) > 0).astype(int), "g": [f"g{code:05d}" for code in group]}


def _draw_time(n: int, rng: np.random.Generator) -> dict[str, object]:
    day = np.datetime64("2020-01-01", "D") + np.arange(n)
    return {"y": rng.permutation(np.arange(n) % 2), "day": day}


LABELS: Mapping[str, Callable[[int, np.random.Generator], dict[str, object]]] = {
    "binary": _draw_binary,
    "rare": _draw_rare,
    "multiclass": lambda n, rng: {"y": rng.permutation(np.array(["a", "b", "c"])[np.arange(n) % 3])},
    "regression": lambda n, rng: {"y": rng.normal(size=n)},
    "groups": _draw_groups,
    "time": _draw_time,
}
ROLES: Mapping[str, Mapping[str, str]] = {"groups": {"group": "g"}, "time": {"time": "day"}}


def train_on_noise(cell: Cell, rng: np.random.Generator) -> list[float]:
    """The OUTCOMES of one training; a table that is refused is drawn again."""
    with tempfile.TemporaryDirectory(prefix="levels-") as home:
        run = epic22.train(draw_table(cell, rng), label="y", task="noise", home=Path(home), **ROLES.get(cell.kind, {}))
        constant = [v for v in run.result.run.verdicts if v.against == "constant"]
        areas = [s for s in run.result.run.champion.scores if s.metric == "roc_auc"]
        covered = all(s.low <= 0.5 <= s.high for s in areas)
        certain = [v for v in constant if v.certain]
        better = [v for v in certain if v.better]
        return [float(bool(better)), float(len(certain) > len(better)), float(run.version.status == "proven"), float(covered)]
