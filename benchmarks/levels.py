"""The level of what is called certain, and the coverage of 95 % intervals, by simulation; resumable, outside the suite.

    nice -n 15 python benchmarks/levels.py verdicts                # verdicts and intervals alone, on drawn fold predictions
    nice -n 15 python benchmarks/levels.py verdicts --name before  # with PYTHONPATH set to another tree's src
    nice -n 15 python benchmarks/levels.py choices                 # the interval of the best of several, on drawn predictions
    nice -n 15 python benchmarks/levels.py trainings               # whole trainings on tables of noise; --kinds, --sizes: some
    nice -n 15 python benchmarks/levels.py trainings --trials 8 --sizes 60 300    # the same tables with searches of 8 trials
    nice -n 15 python benchmarks/levels.py uncovered               # those again whose interval did not hold one half
    python benchmarks/levels.py page                               # summary and page of what there is

Each table's figures are kept in benchmarks/.levels, so that a run goes on where it was stopped, and what came of each training
in benchmarks/results/levels/NAME-trainings.json, so that another clone goes on too; a cell's table i is the same
table under every name. Writes benchmarks/results/levels/NAME.json and docs/evidence-levels.md.
"""

import argparse
import json
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from level_components import ESTIMATORS, RATIOS, judge_means
from level_draws import AREAS, Cell, PanelDraw, draw_panel, draw_rows
from level_page import write_page
from level_trainings import OUTCOMES, train_on_noise
from stamp import machine

from epic22.core.evaluation.crossval import Evaluation, build_evaluation, compute_scores, widen_scores
from epic22.core.evaluation.forecast_metrics import SKILL, compare_forecasts, compute_score_with_interval
from epic22.core.evaluation.metrics import ROC_AUC
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare
from epic22.core.selection.budget import Budget
from epic22.core.statistics import Interval
from epic22.core.task import Array, Metric
from epic22.services.tune import Tuning

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "benchmarks" / ".levels"
RESULTS = ROOT / "benchmarks" / "results" / "levels"
PAGE = ROOT / "docs" / "evidence-levels.md"

SIZES = (20, 60, 300, 1000, 10_000)
CHUNK = 100
"""Tables between two writes."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "average_precision": (0.0, 1.0),
    "roc_auc": (0.0, 1.0),
    "log_loss": (0.0, math.inf),
    "root_mean_squared_error": (0.0, math.inf),
    "skill": (-math.inf, 1.0),
}
MAX_FACTOR = 30.0
"""Of the rows that are drawn to check what was asked for: beyond it a table is left out, and counted."""

PANEL_SIZES = (3, 6, 20, 60, 300)
"""Independent stretches of the panels that are trained on."""

ROW_KINDS = ("binary", "rare", "multiclass", "regression", "groups", "time")

CELLS: tuple[Cell, ...] = (
    *(Cell(kind, effect, n) for n in SIZES for effect in ("noise", "moderate") for kind in ROW_KINDS),
    *(Cell("panel", effect, n) for n in (3, 6, *SIZES) for effect in ("noise", "moderate")),
    *(Cell(kind, "strong", n) for n in SIZES for kind in ("binary", "rare")),
)
TRAINING_CELLS: tuple[Cell, ...] = (
    *(Cell(kind, "noise", n) for n in SIZES for kind in ROW_KINDS),
    *(Cell("panel", "noise", n) for n in PANEL_SIZES),
)
FEW_TRAININGS = 20
"""Tables a cell of 1,000 rows and more."""

ADVICE_CELLS: tuple[Cell, ...] = tuple(Cell(kind, "weak", n) for n in (60, 300) for kind in ROW_KINDS)
"""Where what was asked for is drawn next."""


CHOICE_CELLS: tuple[Cell, ...] = tuple(
    Cell(kind, effect, n) for n in (60, 300, 1000) for effect in ("noise", "moderate") for kind in ("binary", "rare", "groups")
)
CHOICES = (2, 3)
"""Of how many models the best is taken, in the cells above."""

TABLES, TRAININGS = 2000, 200
PLANNED = {cell.name: TABLES for cell in CELLS} | {
    f"training {cell.name}": TRAININGS if cell.n < SIZES[3] else FEW_TRAININGS for cell in TRAINING_CELLS
}
"""Tables of each cell."""


@dataclass(frozen=True)
class Finding:
    """What is kept of a table: the verdict's difference, whether it is certain, by how many times as much data it would be, and
    the model's scores."""

    difference: Interval
    p: float
    certain: bool
    data_factor: float
    scores: tuple[Interval, ...]

    def to_row(self) -> list[float]:
        """The figures in a row: five of the verdict, then three a score."""
        verdict = [self.difference.value, self.difference.low, self.difference.high, self.p, float(self.certain)]
        return [*verdict, self.data_factor, *(x for s in self.scores for x in (s.value, s.low, s.high))]


HEAD = 6
"""Figures before those of the scores."""


def judge_table(cell: Cell, rng: np.random.Generator) -> Finding:
    """One table of a cell, judged as a training judges it."""
    return _judge_panel(draw_panel(cell, rng)) if cell.kind == "panel" else _judge_rows(cell, rng)


def _judge_rows(cell: Cell, rng: np.random.Generator) -> Finding:
    draw = draw_rows(cell, rng)

    def evaluate(name: str, predictions: tuple[FoldPredictions, ...], metrics: tuple[Metric, ...]) -> Evaluation:
        scores = compute_scores(draw.experiment, metrics, predictions)
        return build_evaluation(draw.experiment, name, scores, predictions)

    model, rival = evaluate("model", draw.model, draw.scored), evaluate("rival", draw.rival, (draw.metric,))
    return _build_finding(compare(draw.experiment, model, rival, draw.metric), model.scores)


def _judge_panel(draw: PanelDraw) -> Finding:
    verdict = compare_forecasts(("model", "rival"), (draw.model, draw.rival), SKILL, draw.rows, "all")
    return _build_finding(verdict, (compute_score_with_interval(SKILL, draw.rows, draw.model, "all"),))


def _build_finding(verdict: Verdict, scores: Sequence[Interval]) -> Finding:
    factor = math.nan if verdict.power is None else verdict.power.seen_data_factor
    return Finding(verdict.difference, verdict.p, verdict.certain, factor, tuple(scores))


def score_names(cell: Cell) -> tuple[str, ...]:
    """The metrics whose intervals a cell keeps, in their order."""
    names = {"multiclass": ("log_loss", "roc_auc"), "regression": ("root_mean_squared_error",), "panel": ("skill",)}
    return names.get(cell.kind, ("average_precision", "roc_auc"))


def seed_of(cell: Cell, table: int) -> list[int]:
    """The same for a cell's table whatever the code that judges it."""
    return [zlib.crc32(cell.name.encode()), table]


def _load(path: Path) -> Array:
    return np.load(path) if path.exists() else np.empty((0, 0))


def _save(path: Path, rows: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, rows)
    part.replace(path)


def run_verdicts(name: str, tables: int, deadline: float, largest: int, effects: Sequence[str]) -> None:
    """Judge tables of every cell until there are so many, or the time is up; small cells first."""
    cells = sorted((c for c in CELLS if c.n <= largest and c.effect in effects), key=lambda c: c.n)
    for cell in cells:
        run_cell(CACHE / name / f"{cell.name}.npy", tables, deadline, partial(_judge, cell))


def _judge(cell: Cell, table: int) -> list[float]:
    return judge_table(cell, np.random.default_rng(seed_of(cell, table))).to_row()


def check_advice(cell: Cell, table: int) -> list[float]:
    """A table's verdict, how many times as much data it asks for, and whether a table of that size was then certain (NaN where
    it was certain at once, or asked for too much)."""
    first = judge_table(cell, np.random.default_rng(seed_of(cell, table)))
    row = [first.difference.value, float(first.certain), first.data_factor]
    if first.certain or not first.data_factor <= MAX_FACTOR:
        return [*row, math.nan]
    more = Cell(cell.kind, cell.effect, math.ceil(cell.n * first.data_factor))
    return [*row, float(judge_table(more, np.random.default_rng([*seed_of(cell, table), 1])).certain)]


def run_advice(name: str, tables: int, deadline: float) -> None:
    """Draw what was asked for, and see what it shows."""
    for cell in ADVICE_CELLS:
        run_cell(CACHE / name / f"advice {cell.name}.npy", tables, deadline, partial(check_advice, cell))


def run_trainings(
    name: str, tables: int, deadline: float, kinds: Sequence[str], sizes: Sequence[int], tuning: Tuning | None
) -> None:
    """Train on tables of noise, after those whose outcomes are committed; small cells first."""
    take_committed_trainings(name)
    for cell in sorted(TRAINING_CELLS, key=lambda cell: sizes.index(cell.n) if cell.n in sizes else -1):
        if cell.n in sizes and cell.kind in kinds:
            planned = min(tables, PLANNED[f"training {cell.name}"])
            run_cell(CACHE / name / f"training {cell.name}.npy", planned, deadline, partial(_train, cell, tuning))


def run_uncovered(name: str, kinds: Sequence[str], sizes: Sequence[int]) -> None:
    """Train again on the tables whose interval did not hold the truth: enough where the code of today has an interval that holds
    whatever the former one held, as the one that allows for the choice."""
    take_committed_trainings(name)
    for cell in sorted(TRAINING_CELLS, key=lambda cell: cell.n):
        path = CACHE / name / f"training {cell.name}.npy"
        rows = _load(path)
        if cell.n not in sizes or cell.kind not in kinds or not len(rows):
            continue
        for table in np.flatnonzero(rows[:, OUTCOMES.index("covered")] == 0):
            rows[table] = _train(cell, None, int(table))
            _save(path, rows)
            print(f"{cell.name}, table {table}: {dict(zip(OUTCOMES, rows[table].tolist(), strict=True))}", flush=True)


def take_committed_trainings(name: str) -> None:
    """Put the committed outcomes where a run goes on from, unless there are more already: a training takes seconds."""
    path = RESULTS / f"{name}-trainings.json"
    for cell, lines in (json.loads(path.read_text()) if path.exists() else {}).items():
        place = CACHE / name / f"training {cell}.npy"
        if len(_load(place)) < len(lines):
            _save(place, np.array([[math.nan if mark == "-" else float(mark) for mark in line] for line in lines]))


def write_trainings(name: str) -> None:
    """Commit the outcomes of each training, a digit each of OUTCOMES."""
    take_committed_trainings(name)
    rows = {cell.name: _load(CACHE / name / f"training {cell.name}.npy") for cell in TRAINING_CELLS}
    lines = {
        cell: ["".join("-" if math.isnan(value) else str(int(value)) for value in row) for row in outcomes]
        for cell, outcomes in rows.items()
        if len(outcomes)
    }
    if lines:
        (RESULTS / f"{name}-trainings.json").write_text(json.dumps(lines, indent=1) + "\n")


def _train(cell: Cell, tuning: Tuning | None, table: int) -> list[float]:
    return train_on_noise(cell, np.random.default_rng(seed_of(cell, table)), tuning)


def judge_choice(cell: Cell, table: int) -> list[float]:
    """Of the best of each count of models: whether its own 95 % interval holds the true area, and the one that allows for the
    choice; and among how many it was chosen."""
    rng = np.random.default_rng(seed_of(cell, table))
    draw = draw_rows(cell, rng)
    assert draw.draw_model is not None
    drawn = [draw.model, *(draw.draw_model() for _ in range(max(CHOICES) - 1))]
    models = [
        build_evaluation(draw.experiment, f"model {i}", compute_scores(draw.experiment, draw.scored, parts), parts)
        for i, parts in enumerate(drawn)
    ]
    row: list[float] = []
    for count in CHOICES:
        best = max(models[:count], key=lambda one: one.score(draw.metric.name).value)
        others = [one for one in models[:count] if one is not best]
        verdicts = adjust_for_multiple_comparisons([compare(draw.experiment, best, one, draw.metric) for one in others])
        n_choices = 1 + sum(not one.better for one in verdicts)
        pair = (best, widen_scores(draw.experiment, best, n_choices))
        areas = [one.score(ROC_AUC.name) for one in pair]
        row += [*(float(area.low <= AREAS[cell.effect] <= area.high) for area in areas), float(n_choices)]
    return row


def run_choices(name: str, tables: int, deadline: float) -> None:
    """The best of several on drawn predictions."""
    for cell in CHOICE_CELLS:
        run_cell(CACHE / name / f"choice {cell.name}.npy", tables, deadline, partial(judge_choice, cell))


def summarise_choices(rows: Array) -> dict[str, Any]:
    """By the count of models: shares covered by the best one's own interval and by the one that allows for the choice."""
    summary: dict[str, Any] = {"tables": len(rows)}
    for number, count in enumerate(CHOICES):
        own, allowed, among = rows[:, 3 * number : 3 * number + 3].T
        shares = {"own": _share(int(own.sum()), len(rows)), "allowed": _share(int(allowed.sum()), len(rows))}
        summary[str(count)] = shares | {"among": round(float(among.mean()), 2)}
    return summary


def run_components(name: str, tables: int, deadline: float) -> None:
    """Means over folds with the luck of training in them."""
    for ratio in RATIOS:
        run_cell(CACHE / name / f"components {ratio:g}.npy", tables, deadline, partial(_judge_means, ratio))


def _judge_means(ratio: float, number: int) -> list[float]:
    return judge_means(ratio, np.random.default_rng([zlib.crc32(f"{ratio:g}".encode()), number]))


def run_cell(path: Path, tables: int, deadline: float, judge: Callable[[int], list[float]]) -> None:
    """Judge tables of a cell, by number, until there are so many or the time is up; what there is goes on."""
    rows = _load(path)
    while len(rows) < tables and time.monotonic() < deadline:
        new = np.array([judge(number) for number in range(len(rows), min(len(rows) + CHUNK, tables))])
        rows = np.concatenate([rows, new]) if len(rows) else new
        _save(path, rows)
        print(f"{path.parent.name} {path.stem}: {len(rows)} tables", flush=True)


def _share(hits: int, n: int) -> dict[str, float]:
    """A share with its 95 % Monte-Carlo interval (Wilson)."""
    z, p = 1.959963984540054, hits / n
    middle, scale, spread = p + z * z / (2 * n), 1 + z * z / n, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return {"share": round(p, 4), "low": round((middle - spread) / scale, 4), "high": round((middle + spread) / scale, 4)}


def summarise_cell(cell: Cell, rows: Array) -> dict[str, Any]:
    """Shares of tables: certain, better; and of each score, covered, outside its bounds, of no width, and the median width."""
    certain, value = rows[:, 4] == 1, rows[:, 0]
    truth = 0.0 if cell.effect == "noise" else float(value.mean())
    summary: dict[str, Any] = {
        "tables": len(rows),
        "certain": _share(int(certain.sum()), len(rows)),
        "better": _share(int((certain & (value > 0)).sum()), len(rows)),
        "difference": _summarise_interval(rows[:, 0:3], truth, (-math.inf, math.inf)),
        "scores": {},
    }
    for number, name in enumerate(score_names(cell)):
        figures = rows[:, HEAD + 3 * number : HEAD + 3 * number + 3]
        known = name == "roc_auc" and cell.kind != "multiclass"
        truth = AREAS[cell.effect] if known else float(np.nanmean(figures[:, 0]))
        summary["scores"][name] = _summarise_interval(figures, truth, BOUNDS[name])
    return summary


def _summarise_interval(figures: Array, truth: float, bounds: tuple[float, float]) -> dict[str, Any]:
    known = figures[~np.isnan(figures).any(axis=1)]
    if not len(known):
        return {"truth": round(truth, 5), "undefined": len(figures)}
    low, high = known[:, 1], known[:, 2]
    return {
        "truth": round(truth, 5),
        "undefined": len(figures) - len(known),
        "covered": _share(int(((low <= truth) & (truth <= high)).sum()), len(known)),
        "outside": int(((low < bounds[0] - 1e-12) | (high > bounds[1] + 1e-12)).sum()),
        "no_width": int((high <= low).sum()),
        "width": float(f"{np.median(high - low):.4g}"),
    }


def summarise_advice(rows: Array) -> dict[str, Any]:
    """Of tables that asked for more: the share certain then; the same of those whose difference was near the true one."""
    asked = rows[~np.isnan(rows[:, 3])]
    near = asked[np.abs(asked[:, 0] / rows[:, 0].mean() - 1) < 0.25]
    summary: dict[str, Any] = {"tables": len(rows), "asked": len(asked), "asked_nothing": int((asked[:, 2] <= 1).sum())}
    if len(asked):
        summary |= {"factor": float(f"{np.median(asked[:, 2]):.3g}"), "certain_then": _share(int(asked[:, 3].sum()), len(asked))}
    if len(near):
        summary |= {"near": len(near), "certain_then_near": _share(int(near[:, 3].sum()), len(near))}
    return summary


def write_results(name: str) -> None:
    """The summary of every cell that has tables."""
    cells = {c.name: summarise_cell(c, rows) for c in CELLS if len(rows := _load(CACHE / name / f"{c.name}.npy"))}
    advice = {c.name: summarise_advice(rows) for c in ADVICE_CELLS if len(rows := _load(CACHE / name / f"advice {c.name}.npy"))}
    trainings = {
        c.name: {"tables": len(rows)}
        | {outcome: _share(int(rows[:, number].sum()), len(rows)) for number, outcome in enumerate(OUTCOMES)}
        for c in TRAINING_CELLS
        if len(rows := _load(CACHE / name / f"training {c.name}.npy"))
    }
    components = {
        f"{ratio:g}": {e.__name__: _share(int(rows[:, number].sum()), len(rows)) for number, e in enumerate(ESTIMATORS)}
        | {"tables": len(rows)}
        for ratio in RATIOS
        if len(rows := _load(CACHE / name / f"components {ratio:g}.npy"))
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    choices = {c.name: summarise_choices(rows) for c in CHOICE_CELLS if len(rows := _load(CACHE / name / f"choice {c.name}.npy"))}
    sections = {"cells": cells, "advice": advice, "trainings": trainings, "components": components, "choices": choices}
    record = {"machine": machine()} | {key: keep_larger(stored.get(key, {}), new) for key, new in sections.items()}
    path.write_text(json.dumps(record, indent=1) + "\n")


def keep_larger(stored: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """By name the summary of more tables, the new one of equal many: a clone without the cache loses nothing committed."""
    names = [*stored, *(name for name in new if name not in stored)]
    return {n: max((r[n] for r in (new, stored) if n in r), key=lambda record: int(record["tables"])) for n in names}


def main() -> None:
    """The layer that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layer", choices=("verdicts", "advice", "choices", "trainings", "uncovered", "components", "page"))
    parser.add_argument("--name")
    parser.add_argument("--trials", type=int, help="of a search in each training; kept by a name of its own")
    parser.add_argument("--tables", type=int, default=TABLES)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--kinds", nargs="+", choices=(*ROW_KINDS, "panel"), default=(*ROW_KINDS, "panel"))
    parser.add_argument("--sizes", nargs="+", type=int, default=sorted({cell.n for cell in TRAINING_CELLS}))
    parser.add_argument("--effects", nargs="+", choices=tuple(AREAS), default=tuple(AREAS))
    options = parser.parse_args()
    tuning = None if options.trials is None else Tuning(Budget(options.trials))
    name = options.name or ("after" if tuning is None else f"searched-{options.trials}")
    deadline = time.monotonic() + 60 * options.minutes
    if options.layer == "verdicts":
        run_verdicts(name, options.tables, deadline, options.largest, options.effects)
    if options.layer == "advice":
        run_advice(name, options.tables, deadline)
    if options.layer == "choices":
        run_choices(name, options.tables, deadline)
    if options.layer == "components":
        run_components(name, options.tables, deadline)
    if options.layer == "trainings":
        run_trainings(name, options.tables, deadline, options.kinds, options.sizes, tuning)
    if options.layer == "uncovered":
        run_uncovered(name, options.kinds, options.sizes)
    write_trainings(name)
    write_results(name)
    write_page(RESULTS, PAGE, PLANNED)


if __name__ == "__main__":
    main()
