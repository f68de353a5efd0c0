"""Where should a search begin? Configurations of each family on public tables, and the few that serve most of them.

    python benchmarks/first_configurations.py run [--tables NAME …] [--minutes N]   # fits what is not fitted yet, about an hour
    python benchmarks/first_configurations.py page                                   # chooses, and writes the page

Each table is the training part of the peers' first split, of that four fifths of at most 5,000 rows: what judges there is not
looked at. Configurations are the families' own starting points, those of earlier versions, and some drawn from their spaces; each
is fitted on the folds that a search has, one thread, seconds of processor. A table's loss is scaled so that its best
configuration has 0 and its median 1. A portfolio is chosen as zero-shot portfolios are (Wistuba et al. 2015): greedily what
lowers the mean of the least loss over tables most, a configuration that is left out losing `MAX_LOSS`; the cheapest begins.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from page import write_section
from peers.folder import read_folder
from peers.sets import SETS, DataSet
from peers.splits import splits_of
from stamp import DATA, machine

from epic22.bootstrap import assemble
from epic22.bootstrap.training import _open_file_pipeline
from epic22.config import Settings
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_search_family
from epic22.core.progress import Progress
from epic22.core.selection.prepared_part import PreparedPart
from epic22.core.selection.racing import build_row_losses
from epic22.core.selection.search import prepare_part
from epic22.core.task import Array
from epic22.spec.training_spec import build_spec

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "first_configurations.json"
PAGE = ROOT / "docs" / "benchmarks.md"
MAX_ROWS, MAX_LOSS, SEED = 5_000, 3.0, 5
N_CHOSEN = 8
BUDGETS = (5, 20, 60)
CORES = 2

EARLIER: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "boosting": (
        {"learning_rate": 0.05, "max_depth": 6, "min_child_weight": 1.0},
        {"learning_rate": 0.05, "max_depth": 9, "min_child_weight": 1.0, "subsample": 0.85},
        {"learning_rate": 0.05, "max_depth": 4, "min_child_weight": 10.0, "colsample_bytree": 0.5},
    ),
    "catboost": ({"depth": 6, "learning_rate": 0.08}, {"depth": 8, "learning_rate": 0.06, "l2_leaf_reg": 6.0}),
    "lightgbm": (
        {"num_leaves": 31, "learning_rate": 0.05},
        {"num_leaves": 31, "learning_rate": 0.05, "extra_trees": True},
        {"num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 40, "feature_fraction": 0.5},
    ),
}
"""Starting points of earlier versions, and some that are usual elsewhere."""

N_DRAWN: Mapping[str, int] = {"boosting": 2, "lightgbm": 2}
FAMILIES = ("linear", "boosting", "lightgbm", "catboost")


@dataclass(frozen=True)
class Configuration:
    """A family's parameters to begin with."""

    family: str
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Equal for equal configurations."""
        return f"{self.family} {json.dumps(dict(self.params), sort_keys=True)}"


def list_configurations() -> list[Configuration]:
    """All that are fitted."""
    rng = np.random.default_rng(SEED)
    configurations = []
    for family in map(get_search_family, FAMILIES):
        points = [*family.initial_points, *EARLIER.get(family.name, ())]
        points += [draw_params(family, rng) for _ in range(N_DRAWN.get(family.name, 0))]
        configurations += [Configuration(family.name, dict(point)) for point in points]
    return list({one.name: one for one in configurations}.values())


def draw_params(family: Family, rng: np.random.Generator) -> dict[str, Any]:
    """Parameters drawn from the family's space."""
    params: dict[str, Any] = {}
    for name, (low, high, *scale) in family.space.items():
        value = np.exp(rng.uniform(np.log(low), np.log(high))) if scale else rng.uniform(low, high)
        params[name] = round(float(value)) if isinstance(low, int) and isinstance(high, int) else round(float(value), 4)
    return params


def list_tables() -> list[tuple[DataSet, Path]]:
    """The shelf's tables and the public sets, each with the folder that it is in."""
    shelf = DATA / "shelf"
    return [*((one, shelf) for one in read_folder(shelf).sets), *((one, DATA) for one in SETS)]


def open_part(dataset: DataSet, folder: Path, scratch: Path) -> PreparedPart:
    """The table's training rows, prepared for a search as `train --time-limit --no-nested` does."""
    split = splits_of(dataset, folder, scratch / "splits")[0]
    frame = pl.read_parquet(split.train)
    if dataset.time is not None and dataset.time in frame.columns:
        frame = frame.sort(dataset.time).tail(MAX_ROWS * 5 // 4)
    else:
        frame = frame.sample(fraction=1.0, shuffle=True, seed=99).head(MAX_ROWS * 5 // 4)
    path = scratch / f"{dataset.name}.parquet"
    frame.head(frame.height * 4 // 5).write_parquet(path)
    spec = build_spec(
        csv=path,
        label=dataset.label,
        time=dataset.time,
        group=dataset.group,
        positive="1" if dataset.kind == "binary" else None,
        kind=dataset.kind,
        metric=dataset.metric,
        repeats=1,
    )
    components = assemble(Settings(home=scratch / "home", threads=CORES))
    with _open_file_pipeline(components, spec, None, Progress()) as pipeline:
        plan = pipeline.plan(Progress())
    preparation = plan.preparation
    return prepare_part(preparation.experiment, preparation.champion_rows)


def fit_configuration(part: PreparedPart, one: Configuration) -> dict[str, list[float]]:
    """The mean loss of each fold's validation rows and the seconds of processor of its fit."""
    data, losses, seconds = part.data, [], []
    for number, fold in enumerate(data.folds):
        began = time.process_time()
        rows = replace(data.get_fold(number), cache={})
        raw = data.build_request(get_search_family(one.family), one.params, data.seed, 1, rows).fit().raw
        seconds.append(round(time.process_time() - began, 3))
        y = data.y[fold.test]
        losses.append(float(build_row_losses(data.problem, y, np.zeros_like(raw) + raw.mean(axis=0))(raw).mean()))
    return {"losses": losses, "seconds": seconds}


def run(names: Sequence[str], minutes: float | None) -> int:
    """Fit what is not fitted yet, table by table; 1 where something is left."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"machine": machine(), "tables": {}}
    until, configurations = float("inf") if minutes is None else time.monotonic() + 60 * minutes, list_configurations()
    for dataset, folder in list_tables():
        stored = results["tables"].setdefault(dataset.name, {"configurations": {}})["configurations"]
        due = [one for one in configurations if one.name not in stored]
        if (names and dataset.name not in names) or not due:
            continue
        if time.monotonic() >= until:
            return 1
        with TemporaryDirectory() as scratch:
            part = open_part(dataset, folder, Path(scratch))
        facts: dict[str, Any] = {"rows": len(part.data.y), "columns": part.data.X.shape[1], "kind": dataset.kind}
        results["tables"][dataset.name] |= facts
        for one in due:
            stored[one.name] = fit_configuration(part, one)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(f"{dataset.name}: {len(due)} configurations", flush=True)
    return 0


@dataclass(frozen=True)
class Repository:
    """Scaled losses and seconds (tables, configurations) of what was fitted on every table."""

    tables: tuple[str, ...]
    configurations: tuple[str, ...]
    losses: Array
    seconds: Array

    @classmethod
    def read(cls, results: Mapping[str, Any]) -> "Repository":
        """Of the tables on which all configurations were fitted that were fitted on most."""
        fitted = {name: table["configurations"] for name, table in results["tables"].items() if table["configurations"]}
        most = max(fitted.values(), key=len)
        names = tuple(sorted(most))
        tables = tuple(sorted(name for name, of in fitted.items() if set(names) <= set(of)))
        losses = np.array([[np.mean(fitted[table][name]["losses"]) for name in names] for table in tables])
        seconds = np.array([[np.sum(fitted[table][name]["seconds"]) for name in names] for table in tables])
        best = losses.min(axis=1, keepdims=True)
        spread = np.maximum(np.median(losses, axis=1, keepdims=True) - best, 1e-12)
        return cls(tables, names, np.minimum((losses - best) / spread, MAX_LOSS), seconds)

    def choose_portfolio(self, rows: Sequence[int], n: int = N_CHOSEN) -> list[int]:
        """Configurations chosen greedily on these tables, best first."""
        least, chosen = np.full(len(rows), MAX_LOSS), list[int]()
        for _ in range(min(n, len(self.configurations))):
            means = np.minimum(least[:, None], self.losses[rows]).mean(axis=0)
            means[chosen] = np.inf
            chosen.append(int(means.argmin()))
            least = np.minimum(least, self.losses[rows][:, chosen[-1]])
        return chosen

    def arrange(self, rows: Sequence[int]) -> list[int]:
        """The portfolio chosen on these tables, its cheapest configuration first, then the others."""
        seconds = np.median(self.seconds[rows], axis=0)
        chosen = sorted(self.choose_portfolio(rows), key=lambda one: seconds[one])
        return [*chosen, *(one for one in range(len(self.configurations)) if one not in chosen)]

    def compute_loss_after(self, table: int, order: Sequence[int], seconds: float) -> float:
        """The least scaled loss of a table after this time on two cores, configurations fitted in this order."""
        ends = np.cumsum(self.seconds[table, list(order)]) / CORES
        done = [one for one, end in zip(order, ends, strict=True) if end <= seconds]
        return float(self.losses[table, done].min()) if done else MAX_LOSS

    def compare_left_out(self, seconds: float) -> Iterator[tuple[float, float]]:
        """Of each table the loss after this time by a portfolio chosen on the others, and by configurations in chance orders."""
        rng = np.random.default_rng(SEED)
        for table in range(len(self.tables)):
            order = self.arrange([other for other in range(len(self.tables)) if other != table])
            orders = [rng.permutation(len(self.configurations)) for _ in range(200)]
            by_chance = float(np.mean([self.compute_loss_after(table, one.tolist(), seconds) for one in orders]))
            yield self.compute_loss_after(table, order, seconds), by_chance


def write_page() -> None:
    """The choice and its gain on tables that it never saw, as a section of the page."""
    results = json.loads(RESULTS.read_text())
    repository = Repository.read(results)
    chosen = repository.choose_portfolio(range(len(repository.tables)))
    lines = [
        "## First configurations",
        "",
        f"`benchmarks/first_configurations.py`, {results['machine']}: {len(repository.configurations)} configurations on "
        f"{len(repository.tables)} tables ({', '.join(repository.tables)}), at most {MAX_ROWS:,} rows of the peers' training "
        f"parts. {results.get('remarks', '')} "
        "Losses are scaled by table: 0 is its best configuration, 1 its median.",
        "",
        "| chosen | mean loss alone | mean least loss so far | seconds of processor, median |",
        "|---|---|---|---|",
    ]
    least = np.full(len(repository.tables), MAX_LOSS)
    for one in chosen:
        least = np.minimum(least, repository.losses[:, one])
        lines.append(
            f"| {repository.configurations[one].replace('|', ' ')} | {repository.losses[:, one].mean():.2f} | {least.mean():.3f} "
            f"| {np.median(repository.seconds[:, one]):.1f} |"
        )
    lines += [
        "",
        "A table left out, the portfolio chosen on the others and fitted on two cores, its cheapest configuration first, beside "
        "the same configurations in 200 chance orders:",
        "",
        "| seconds | portfolio | by chance | difference, 95 % over tables | better on |",
        "|---|---|---|---|---|",
    ]
    for seconds in BUDGETS:
        pairs = np.array(list(repository.compare_left_out(seconds)))
        gain = pairs[:, 1] - pairs[:, 0]
        draws = np.random.default_rng(SEED).choice(gain, (2000, len(gain))).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        lines.append(
            f"| {seconds} | {pairs[:, 0].mean():.2f} | {pairs[:, 1].mean():.2f} | {gain.mean():+.2f} ({low:+.2f} … {high:+.2f}) "
            f"| {int((gain > 0).sum())} of {len(gain)} |"
        )
    write_section(PAGE, "first configurations", "\n".join(lines))


def main(line: Sequence[str] | None = None) -> int:
    """Run or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "page"))
    parser.add_argument("--tables", nargs="+", default=[])
    parser.add_argument("--minutes", type=float, default=None)
    options = parser.parse_args(line)
    if options.what == "run":
        return run(options.tables, options.minutes)
    write_page()
    return 0


if __name__ == "__main__":
    sys.exit(main())
