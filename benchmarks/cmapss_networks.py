"""NASA C-MAPSS: whether networks on the latest cycles add to boosting on window columns, subset by subset.

    python benchmarks/cmapss_networks.py --choose
    python benchmarks/cmapss_networks.py --sets FD001 FD002

`--choose` scores GRID on unit folds of the training units of CHOSEN_ON alone; what FROZEN names must be what it says, or no test
set is opened. A run then predicts every training unit out of fold, at the cycles at which benchmarks/cmapss.py cuts it: by
boosting, by each frozen network, and by their combination, whose weights in each fold are chosen on the others. The test units
are scored once, afterwards; when, and how often, is kept in benchmarks/results/cmapss_networks.json and told. Any subset whose
three files are in the folder can be named. What an interrupted run has predicted is not predicted again.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cmapss
import cmapss_columns
import cmapss_sequences
import numpy as np
import polars as pl
from cmapss import CUTS, FOLDER, FOLDS, SHORTEST, UNIT, by_units, last_rows, rmse, unit_folds
from cmapss_columns import CAP, Health, Regimes, cut, read_units, remaining
from cmapss_networks_page import write_networks_section
from cmapss_sequences import Window, list_channels, sequence_columns
from page import write_section
from stamp import DATA, ROOT, machine, source_stamp

from epic22.core.evaluation.metrics import ROOT_MEAN_SQUARED_ERROR
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.ensemble import EnsembleSelection, EnsembleWeights
from epic22.core.statistics import Interval
from epic22.core.task import Array

RESULTS = ROOT / "benchmarks" / "results" / "cmapss_networks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PREDICTIONS = ROOT / "benchmarks" / ".cmapss"
"""What an interrupted run has predicted; not committed."""

BOOSTING = "boosting"
TRAINING: Mapping[str, Any] = {
    "default_epochs": 10,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "weight_decay": 0.1,
    "dropout": 0.3,
    "batch_size": 128,
}


WINDOW = Window()


@dataclass(frozen=True)
class NetworkChoice:
    """Networks of a family, one a seed, whose answers are averaged, and the window that they see."""

    family: str
    params: Mapping[str, Any]
    window: Window = WINDOW
    seeds: tuple[int, ...] = (0, 1)


GRID: Mapping[str, NetworkChoice] = {
    "transformer, patches of 5 steps": NetworkChoice("transformer", {**TRAINING, "skip": False}),
    "transformer, single steps": NetworkChoice("transformer", {**TRAINING, "skip": False, "patch": 1}),
    "dilated convolution": NetworkChoice("cnn", TRAINING),
    "gru": NetworkChoice("gru", {**TRAINING, "skip": False}),
}
"""What was tried, all of it; rates and epochs by a look at one unit fold of FD001."""

CHOSEN_ON, N_CHOSEN = "FD001", 2
"""The training set whose unit folds choose, and how many networks: those whose own combination with boosting errs least."""

FROZEN_ON = "2026-11-29"
FROZEN = ("transformer, single steps", "dilated convolution")

LARGE_SET = 30_000
"""Training rows beyond which models learn from every fifth cycle and not from every third; see `cmapss.STRIDE`."""

AIM = 9.8
PROBLEM = LearningProblem("regression", (), ())


@dataclass(frozen=True)
class Subset:
    """A subset's files in a folder: `train_NAME.txt.gz`, `test_NAME.txt.gz`, `RUL_NAME.txt`."""

    name: str
    folder: Path = FOLDER

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """Training units, test units, and what life the test units have left."""
        train, test = (self.folder / f"{part}_{self.name}.txt.gz" for part in ("train", "test"))
        return train, test, self.folder / f"RUL_{self.name}.txt"

    def stamp(self) -> str:
        """Digest of the frozen choice, of all that it depends on, and of the subset's data."""
        chosen = [asdict(GRID[name]) for name in FROZEN]
        settings = (chosen, cmapss.FROZEN, sorted(cmapss.STRIDE.items()), LARGE_SET, FOLDS, CUTS, SHORTEST, cmapss.SEED)
        digest = hashlib.sha256(repr(settings).encode())
        for path in (Path(cmapss_columns.__file__), Path(cmapss_sequences.__file__), *self.paths):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """Units to learn from, others, and the rows of these to predict, with their remaining life (n,), uncapped."""

    name: str
    stride: int
    train: pl.DataFrame
    other: pl.DataFrame
    rows: Array
    life: Array

    @property
    def unit(self) -> Array:
        """The unit of each predicted row, (n,)."""
        return self.other[UNIT].to_numpy()[self.rows]

    @property
    def capped(self) -> Array:
        """Remaining life as it is learned and judged, (n,)."""
        return np.minimum(self.life, CAP)


def split_units(subset: Subset) -> tuple[Part, ...]:
    """A part a fold of training units: the other units to learn from, and the fold's own, cut at random cycles."""
    units = read_units(subset.paths[0])
    fold, stride = unit_folds(units), choose_stride(subset.name, units)
    parts = []
    for number in range(FOLDS):
        held = units.filter(pl.Series(fold == number))
        rows = cut(held, number, SHORTEST, CUTS)
        learned = units.filter(pl.Series(fold != number))
        parts.append(Part(f"{subset.name}-{number}", stride, learned, held, rows, remaining(held).to_numpy()[rows]))
    return tuple(parts)


def open_test(subset: Subset) -> Part:
    """The test units at their last cycle, and all training units to learn from."""
    train, test = (read_units(path) for path in subset.paths[:2])
    return Part(
        f"{subset.name}-test", choose_stride(subset.name, train), train, test, last_rows(test), np.loadtxt(subset.paths[2])
    )


def choose_stride(name: str, units: pl.DataFrame) -> int:
    """Every so-manieth cycle of a unit is learned from."""
    return cmapss.STRIDE.get(name, 5 if units.height > LARGE_SET else 3)


def predict_boosting(part: Part) -> Array:
    """Remaining life by the frozen boosting of benchmarks/cmapss.py, (n,)."""
    return cmapss.predicted(*cmapss.frames(part.train, part.other, part.rows, part.life, part.stride), threads=1)


def predict_network(part: Part, choice: NetworkChoice) -> Array:
    """Remaining life by the mean of a choice's networks, (n,)."""
    life = np.minimum(remaining(part.train).to_numpy(), CAP)
    regimes = Regimes.fit(part.train)
    health = Health.fit(part.train, regimes, life)
    learned = np.flatnonzero((part.train["cycle"] + part.train[UNIT]).to_numpy() % part.stride == 0)
    train = sequence_columns(part.train, regimes, health, choice.window)[learned]
    other = sequence_columns(part.other, regimes, health, choice.window)[part.rows]
    steps = tuple(tuple(map(train.get_column_index, step)) for step in choice.window.name_steps(list_channels(regimes)))
    problem = replace(PROBLEM, columns=tuple(train.columns), categorical=(False,) * train.width, steps=steps)
    answers = [
        get_family(choice.family)
        .build(problem, seed=seed, threads=1, **choice.params)
        .fit(as_matrix(train), life[learned])
        .decision_function(as_matrix(other))
        for seed in choice.seeds
    ]
    return np.asarray(np.clip(np.mean(answers, axis=0), 0.0, CAP))


def as_matrix(columns: pl.DataFrame) -> Array:
    """The columns as float32 (n, p), NaN where a value is missing."""
    return columns.to_numpy().astype(np.float32)


@dataclass(frozen=True)
class Predictions:
    """What models predicted of parts, kept in a folder under a name of all that decides it."""

    folder: Path

    def predict(self, part: Part, model: str, choice: NetworkChoice | None = None) -> Array:
        """The part's rows by boosting, or by a choice of networks."""
        path = self.folder / f"{part.name}-{self._name(part, choice)}.npy"
        if path.is_file():
            return np.asarray(np.load(path, allow_pickle=False))
        began = time.perf_counter()
        response = predict_boosting(part) if choice is None else predict_network(part, choice)
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(path, response)
        print(f"{part.name}, {model}: {time.perf_counter() - began:.0f} s", flush=True)
        return response

    def _name(self, part: Part, choice: NetworkChoice | None) -> str:
        told = cmapss.FROZEN if choice is None else asdict(choice)
        digest = hashlib.sha256(repr((source_stamp(), told, part.stride, part.rows.tolist())).encode())
        for module in (cmapss_columns, *(() if choice is None else (cmapss_sequences,))):
            digest.update(Path(str(module.__file__)).read_bytes())
        for units in (part.train, part.other):
            digest.update(units.hash_rows(seed=0).to_numpy().tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class HeldOut:
    """All training units by models that had not seen them: capped life, unit and fold of each row (n,), predictions by name."""

    life: Array
    unit: Array
    fold: Array
    predicted: Mapping[str, Array]

    def combine(self) -> EnsembleWeights:
        """Boosting and networks by the rule of every ensemble; `raw` by weights that each fold's rows had no part in."""
        selection = EnsembleSelection(PROBLEM, ROOT_MEAN_SQUARED_ERROR)
        return selection.choose_weights(list(self.predicted.values()), self.life, self.fold)


def hold_out(parts: Sequence[Part], predictions: Predictions, networks: Mapping[str, NetworkChoice]) -> HeldOut:
    """Predict every part, by boosting and each network."""
    models: Mapping[str, NetworkChoice | None] = {BOOSTING: None, **networks}
    return HeldOut(
        np.concatenate([part.capped for part in parts]),
        np.concatenate([part.unit for part in parts]),
        np.concatenate([np.full(len(part.rows), number) for number, part in enumerate(parts)]),
        {name: np.concatenate([predictions.predict(part, name, choice) for part in parts]) for name, choice in models.items()},
    )


def compute_gain(errors: Array, base_errors: Array, unit: Array, draws: int = cmapss.DRAWS) -> Interval:
    """How much less the first errors (n,) are than the others, in root mean square, with its 95 % interval: both of the same
    units, drawn whole with replacement."""
    code = np.unique(unit, return_inverse=True)[1]
    count = int(code.max()) + 1
    drawn = np.random.default_rng([cmapss.SEED, 22]).integers(0, count, (draws, count))
    rows = np.bincount(code, minlength=count)[drawn].sum(axis=1)
    ours, base = (np.sqrt(np.bincount(code, e**2, count)[drawn].sum(axis=1) / rows) for e in (errors, base_errors))
    low, high = np.quantile(base - ours, [0.025, 0.975])
    return Interval(rmse(base_errors) - rmse(errors), float(low), float(high))


def serves(gain: Interval, base: float) -> bool:
    """Whether a combination serves instead of the model whose error is `base`, as every ensemble does: its gain is shown, or is
    shown to hold no loss that matters while it matters itself."""
    smallest = DEFAULT_MINIMUM_EFFECT * base
    return gain.low > 0 or (gain.value > smallest and gain.low >= -smallest)


def choose(subset: Subset, predictions: Predictions) -> dict[str, Any]:
    """Every configuration of GRID on the subset's unit folds, alone and with boosting, and the names of the best."""
    held = hold_out(split_units(subset), predictions, GRID)
    scores = {}
    for name in GRID:
        pair = replace(held, predicted={model: held.predicted[model] for model in (BOOSTING, name)}).combine()
        alone = rmse(held.predicted[name] - held.life)
        scores[name] = {"alone": round(alone, 3), "with_boosting": round(rmse(pair.raw - held.life), 3)}
    best = sorted(scores, key=lambda name: scores[name]["with_boosting"])[:N_CHOSEN]
    boosting = round(rmse(held.predicted[BOOSTING] - held.life), 3)
    return {
        "set": subset.name,
        "units": len(np.unique(held.unit)),
        "grid": {name: asdict(choice) for name, choice in GRID.items()},
        BOOSTING: boosting,
        "scores": scores,
        "chosen": best,
    }


def measure_held_out(held: HeldOut) -> dict[str, Any]:
    """The errors of all models on held-out training units, the combination's gain, its weights, and whether it serves."""
    combination = held.combine()
    errors = {name: response - held.life for name, response in held.predicted.items()}
    gain = compute_gain(combination.raw - held.life, errors[BOOSTING], held.unit)
    models = {**errors, "combination": combination.raw - held.life}
    return {
        "units": len(np.unique(held.unit)),
        "rows": len(held.life),
        "capped": {name: write_interval(Interval(*by_units(e, held.unit))) for name, e in models.items()},
        "gain": write_interval(gain),
        "weights": {name: round(float(w), 3) for name, w in zip(held.predicted, combination.weights, strict=True)},
        "serves": serves(gain, rmse(errors[BOOSTING])),
    }


def score_test(part: Part, held_out: Mapping[str, Any], predict: Callable[[Part, str], Array]) -> dict[str, Any]:
    """The test units by boosting, networks and the combination, whose weights come from held-out training units."""
    predicted = {name: predict(part, name) for name in held_out["weights"]}
    predicted["combination"] = np.sum([w * predicted[name] for name, w in held_out["weights"].items()], axis=0)
    served = "combination" if held_out["serves"] else BOOSTING
    errors = {name: response - part.capped for name, response in predicted.items()}
    return {
        "units": len(part.rows),
        "beyond_cap": int((part.life > CAP).sum()),
        "capped": {name: write_interval(Interval(*by_units(e, part.unit))) for name, e in errors.items()},
        "uncapped": {name: round(rmse(response - part.life), 3) for name, response in predicted.items()},
        "gain": write_interval(compute_gain(errors["combination"], errors[BOOSTING], part.unit)),
        "served": served,
        "predictions": [round(float(value), 2) for value in predicted[served]],
    }


def write_interval(interval: Interval) -> dict[str, float]:
    """An interval as it is stored."""
    return {name: round(value, 3) for name, value in asdict(interval).items()}


def run_subset(subset: Subset, stored: dict[str, Any], predictions: Predictions, again: bool) -> None:
    """Bring a subset's results up to date in `stored`: held-out training units, then its test units, once a frozen choice."""
    stamp, networks = subset.stamp(), {name: GRID[name] for name in FROZEN}
    result = stored["sets"].get(subset.name, {})
    if result.get("frozen") != stamp:
        opened = result.get("test_opened", [])
        held = hold_out(split_units(subset), predictions, networks)
        result = {"frozen": stamp, "frozen_on": FROZEN_ON, "held_out": measure_held_out(held), "test_opened": opened}
        stored["sets"][subset.name] = result
        write_results(stored)
    if "test" not in result or again:
        result["test_opened"].append({"at": datetime.now(UTC).isoformat(timespec="seconds"), "frozen": stamp})
        result["test"] = score_test(
            open_test(subset), result["held_out"], lambda part, name: predictions.predict(part, name, networks.get(name))
        )
        result |= {"source": source_stamp(), "machine": machine()}
        write_results(stored)


def read_results() -> dict[str, Any]:
    """What is stored, or nothing yet."""
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"choice": {}, "sets": {}}
    return stored


def write_results(stored: Mapping[str, Any]) -> None:
    """Keep the results."""
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


def main() -> int:
    """Choose, or run the sets that are named, and write the section; says so where the data is absent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--choose", action="store_true", help=f"score the grid on unit folds of {CHOSEN_ON}, training units alone"
    )
    parser.add_argument("--sets", nargs="+", default=["FD001", "FD002"], metavar="NAME")
    parser.add_argument("--again", action="store_true", help="score the test units again, which is counted")
    asked = parser.parse_args()
    if not FOLDER.is_dir():
        print(f"No public data in {DATA}; set EPIC22_PUBLIC_DATA.")
        return 0
    stored, predictions = read_results(), Predictions(PREDICTIONS)
    if asked.choose:
        stored["choice"] = choose(Subset(CHOSEN_ON), predictions)
        write_results(stored)
        print(json.dumps(stored["choice"]["scores"], indent=1), "chosen:", *stored["choice"]["chosen"], sep="\n")
        return 0
    if set(stored["choice"].get("chosen", ())) != set(FROZEN) or not FROZEN:
        found = stored["choice"].get("chosen")
        raise SystemExit(f"FROZEN names {FROZEN}, --choose found {found}: freeze that first; no test set was opened.")
    earlier = {name: held["test"]["capped"]["value"] for name, held in json.loads(cmapss.RESULTS.read_text())["sets"].items()}
    for subset in map(Subset, asked.sets):
        absent = [path.name for path in subset.paths if not path.is_file()]
        if absent:
            raise SystemExit(f"{subset.name}: no {', '.join(absent)} in {subset.folder}.")
        run_subset(subset, stored, predictions, asked.again)
        write_section(PAGE, "cmapss networks", write_networks_section(stored, AIM, earlier))
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
