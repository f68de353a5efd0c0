"""Whole trainings on tables of noise: how often the champion is called certain or proven, by the default folds and families.

A training is the pipeline's: the file is read and audited, families are fitted in folds, the model is packed, opened, registered
and answers its golden rows. Only the pages and the tracking run, which change no figure, are left out.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from level_draws import GROUP_ROWS, MAX_DRAWS, PANEL_HORIZON, Cell

from epic22.adapters.model_store import ModelStore
from epic22.core.errors import SplitError
from epic22.core.evaluation.forecast_metrics import SKILL
from epic22.core.evaluation.significance import Verdict
from epic22.core.time_series import MONTHLY
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.pipelines.series import ForecastConfig, SeriesPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun, SeriesRun
from epic22.services.tune import Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.panel_file import PanelFile, load_panel_task_data
from epic22.spec.task_request import build_split_request
from epic22.spec.training_spec import build_spec

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


PANEL_SERIES, PANEL_HISTORY = 3, 60
"""Series of a panel, and periods before its test."""

LONG_PANEL = 300
"""Stretches from which on a panel is forecast one period ahead: three times as many would take a minute and a half a training."""


def train_on_noise(cell: Cell, rng: np.random.Generator, tuning: Tuning | None = None) -> list[float]:
    """The OUTCOMES of one training, with a search of rows where one is given; a table that the folds refuse is drawn again."""
    with tempfile.TemporaryDirectory(prefix="levels-") as folder:
        if cell.kind == "panel":
            return _summarise_panel(_train_panel(cell, rng, Path(folder)))
        for _ in range(MAX_DRAWS):
            with suppress(SplitError):
                return _summarise_rows(_train_rows(cell, rng, Path(folder), tuning))
    raise ValueError(f"{cell.name}: none of {MAX_DRAWS} tables can be split.")


def _train_rows(cell: Cell, rng: np.random.Generator, folder: Path, tuning: Tuning | None) -> RowRun:
    path = folder / "noise.csv"
    draw_table(cell, rng).write_csv(path)
    spec = build_spec(csv=path, label="y", task="noise", **ROLES.get(cell.kind, {}))
    data = load_task_data(spec)
    split = replace(build_split_request(spec), test_rows=data.test_rows)
    return train(RowPipeline(data, split, threads=1, tuning=tuning), ModelStore(folder / "models"))


def _train_panel(cell: Cell, rng: np.random.Generator, folder: Path) -> SeriesRun:
    """Random walks, of which the naive forecast is the best that there is, over n independent stretches of a test."""
    horizon = 1 if cell.n >= LONG_PANEL else PANEL_HORIZON
    holdout = cell.n * horizon + horizon - 1
    n = PANEL_HISTORY + holdout
    months = pl.date_range(date(1900, 1, 1), date(2100, 1, 1), "1mo", eager=True)[:n].to_list()
    shared = rng.normal(size=n)
    table = pl.concat(
        pl.DataFrame({"series": f"s{i}", "month": months, "value": 100 + np.cumsum(shared + rng.normal(size=n))})
        for i in range(PANEL_SERIES)
    )
    path = folder / "noise.csv"
    table.write_csv(path)
    data = load_panel_task_data(PanelFile(path, "long", ("series",), "month", "value", MONTHLY, horizon, "noise"))
    return train(SeriesPipeline(data, ForecastConfig(holdout), 1), ModelStore(folder / "models"))


def _summarise_rows(run: RowRun) -> list[float]:
    areas = [s for s in run.champion.scores if s.metric == "roc_auc"]
    covered = all(s.low <= 0.5 <= s.high for s in areas)
    return [*_count_certain(run.verdicts, "constant"), float(run.version.status == "proven"), float(covered)]


def _summarise_panel(run: SeriesRun) -> list[float]:
    pooled = [verdict for verdict in run.verdicts if verdict.horizon == "all" and verdict.metric == SKILL.name]
    return [*_count_certain(pooled, "naive"), float(run.version.status == "proven"), 1.0]


def _count_certain(verdicts: Sequence[Verdict], against: str) -> tuple[float, float]:
    certain = [verdict for verdict in verdicts if verdict.against == against and verdict.certain]
    better = [verdict for verdict in certain if verdict.better]
    return float(bool(better)), float(len(certain) > len(better))
