"""Completed trials a minute of our search beside a plain loop of Optuna and XGBClassifier, and the time to reach its final score.

    nice -n -5 python benchmarks/tuning.py             # quiet machine; about a quarter of an hour
    python benchmarks/tuning.py --set uci-default --question rate --trials 12  # one piece; the rest of the results stays
    python benchmarks/tuning.py --rounds 30 --trials 4 # tries whether it works

First both fit the same configurations, drawn from the family's space, on the same folds, pruning off, in alternating blocks. Then
the plain loop suggests by itself (TPE, as many trials), and our search, with starting points and pruning, is timed until a trial
of its own reaches the plain loop's best score. Writes benchmarks/results/tuning.json and the section of docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost
from page import write_section
from peers.sets import set_named
from peers.systems.columns import encoded, levels_of

from epic22.adapters.studies import StudyFiles
from epic22.core.data.examples import Examples
from epic22.core.data.folds import Fold, FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.inner_folds import split_search_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.budget import Budget
from epic22.core.selection.search import prepare_part
from epic22.core.selection.search import search as search_part
from epic22.core.selection.study import Trial
from epic22.core.selection.trials import SearchConfig
from epic22.core.task import Array, RowMetadata, Task
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA", ROOT.parent / "shared" / "data"))
RESULTS = ROOT / "benchmarks" / "results" / "tuning.json"
BARS = {"give-me-some-credit": 1.2, "uci-default": 1.4}
REACHED = 0.5
"""Our time until the plain loop's final score is at most this share of the plain loop's."""
PATIENCE, BLOCKS = 50, 3
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Table:
    """A set as both sides take it: the product's task and examples, and a pandas frame with categories for the plain loop."""

    task: Task
    examples: Examples
    plan: FoldPlan
    folds: tuple[Fold, ...]
    frame: Any
    y: Array

    @classmethod
    def of(cls, name: str) -> "Table":
        """The set of that name, all its rows as one training part."""
        dataset = set_named(name)
        frame = dataset.frame(DATA)
        return cls.of_frame(frame, dataset.inputs(frame), dataset.label)

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, inputs: list[str], label: str) -> "Table":
        """Rows with a label of two classes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            frame.write_parquet(path)
            assigned = load_task_data(build_spec(csv=path, label=label, keep=tuple(inputs), metric="roc_auc"))
        examples = assigned.examples()
        plan = plan_folds(examples, "binary", SplitRequest(repeats=1))
        folds = split_search_folds(Experiment(assigned.task, examples, plan), np.arange(len(examples)))
        pandas = frame.select(inputs).to_pandas()
        return cls(assigned.task, examples, plan, folds, encoded(pandas, levels_of(pandas)), np.asarray(examples.y))


def configurations(family: Family, count: int) -> list[dict[str, Any]]:
    """So many by chance from the family's space, the same every time."""
    chance = np.random.default_rng(22)
    return [{name: _drawn(range_, chance) for name, range_ in family.space.items()} for _ in range(count)]


def _drawn(range_: tuple[Any, ...], chance: np.random.Generator) -> Any:
    low, high = range_[:2]
    if isinstance(low, int):
        return int(chance.integers(low, high + 1))
    return (
        float(np.exp(chance.uniform(np.log(low), np.log(high)))) if range_[2:] == ("log",) else float(chance.uniform(low, high))
    )


def with_rounds(family: Family, rounds: int, starts: Sequence[Mapping[str, Any]] | None = None) -> Family:
    """The family with at most so many rounds, and with these starting points alone."""

    def build(problem: LearningProblem, **params: Any) -> Any:
        return family.build(problem, **{"rounds": rounds, "patience": PATIENCE, **params})

    return replace(family, build=build, initial_points=family.initial_points if starts is None else tuple(starts))


class ReachedError(Exception):
    """The search has found what it was to find."""


def search(
    table: Table, families: Sequence[Family], trials: int, prune: bool, until: Callable[[float], bool] = lambda best: False
) -> tuple[float, list[float]]:
    """Seconds from the search's begin to its last trial's end, and the trials' scores; it ends early where `until` says so."""
    with tempfile.TemporaryDirectory() as home:
        ended = began = time.perf_counter()
        config = SearchConfig(tuple(families), Budget(trials), prune=prune)
        part = prepare_part(Experiment(table.task, table.examples, table.plan, 0, CORES), np.arange(len(table.y)))
        study = StudyFiles(Path(home)).open("benchmark", "run", part.name, config.build_study_config(part.data.metric, 0))

        def progress() -> None:
            nonlocal ended
            ended = time.perf_counter()
            if len(study.trials) >= trials or until(_best(study.trials)):
                # What follows are the weights and the last fits, which the plain loop has not.
                raise ReachedError

        with suppress(ReachedError):
            search_part(part, config, study, progress=progress)
        return ended - began, [trial.value for trial in study.trials]


def _best(trials: Sequence[Trial]) -> float:
    return max((trial.value for trial in trials if not trial.pruned), default=0.0)


def plain(
    table: Table, space: Family, trials: int, rounds: int, given: Sequence[Mapping[str, Any]] = ()
) -> tuple[float, list[float]]:
    """The loop as most people write it: seconds, and the trials' scores. `given` configurations come before its own."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    metric = table.task.target.metric

    def objective(trial: Any) -> float:
        params = {name: _suggested(trial, name, range_) for name, range_ in space.space.items()}
        scores = []
        for fold in table.folds:
            model = xgboost.XGBClassifier(
                n_estimators=rounds,
                early_stopping_rounds=PATIENCE,
                eval_metric="logloss",
                tree_method="hist",
                enable_categorical=True,
                n_jobs=CORES,
                random_state=trial.number,
                **space.defaults_for(len(table.y)),
                **params,
            )
            watched = table.frame.iloc[fold.test], table.y[fold.test]
            model.fit(table.frame.iloc[fold.train], table.y[fold.train], eval_set=[watched], verbose=False)
            scores.append(metric.score(watched[1], model.predict_proba(watched[0])[:, 1], RowMetadata()))
        return float(np.mean(scores))

    began = time.perf_counter()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    for params in given:
        study.enqueue_trial(dict(params))
    study.optimize(objective, n_trials=trials)
    return time.perf_counter() - began, [float(trial.value or 0.0) for trial in study.trials]


def _suggested(trial: Any, name: str, range_: tuple[Any, ...]) -> Any:
    suggest = trial.suggest_int if isinstance(range_[0], int) else trial.suggest_float
    return suggest(name, range_[0], range_[1], log=range_[2:] == ("log",))


def rate(name: str, table: Table, trials: int, rounds: int) -> dict[str, Any]:
    """Trials a minute on one set."""
    boosting = get_family("boosting")
    blocks = np.array_split(np.arange(trials), min(BLOCKS, trials))
    given = configurations(boosting, trials)
    seconds = {"ours": 0.0, "plain": 0.0}
    worked = {"ours": 0.0, "plain": 0.0}
    apart = 0.0
    for number, block in enumerate(blocks):
        asked = [given[i] for i in block]
        scores: dict[str, list[float]] = {}
        for side in ("ours", "plain") if number % 2 == 0 else ("plain", "ours"):
            before = time.process_time()
            if side == "ours":
                taken, scores[side] = search(table, [with_rounds(boosting, rounds, asked)], len(asked), prune=False)
            else:
                taken, scores[side] = plain(table, boosting, len(asked), rounds, asked)
            seconds[side] += taken
            worked[side] += time.process_time() - before
        apart = max(apart, float(np.abs(np.subtract(scores["ours"], scores["plain"])).max()))
        print(f"{name}: block {number + 1} of {len(blocks)}: {seconds}", flush=True)
    return {
        "rows": len(table.y),
        "columns": table.frame.shape[1],
        "folds": len(table.folds),
        "rounds": rounds,
        "rate_trials": trials,
        "trials_a_minute": {side: round(60 * trials / taken, 2) for side, taken in seconds.items()},
        "ratio": round(seconds["plain"] / seconds["ours"], 3),
        "bar": BARS[name],
        "processor_seconds": {side: round(spent, 1) for side, spent in worked.items()},
        "largest_difference_of_a_trial_score": apart,
        "load_after_rate": round(os.getloadavg()[0], 1),
    }


def reach(name: str, table: Table, trials: int, rounds: int) -> dict[str, Any]:
    """Time to reach the plain loop's final score on one set."""
    boosting = get_family("boosting")
    whole, found = plain(table, boosting, trials, rounds)
    final = max(found)
    families = [with_rounds(boosting, rounds), get_family("linear")]
    reached, tried = search(table, families, 3 * trials, prune=True, until=lambda best: best >= final)
    return {
        "trials": trials,
        "plain_final_score": final,
        "plain_seconds": round(whole, 2),
        "ours_reached": max(tried) >= final,
        "ours_best_score": max(tried),
        "ours_seconds": round(reached, 2),
        "ours_trials": len(tried),
        "share": round(reached / whole, 3),
        "load_after": round(os.getloadavg()[0], 1),
    }


QUESTIONS: Mapping[str, Callable[[str, Table, int, int], dict[str, Any]]] = {"rate": rate, "reach": reach}


def written(found: Mapping[str, Any]) -> str:
    """The section of the page."""
    heads = ("set", "rows × columns", "folds", "trials", "trials a minute, ours", "plain", "ratio (bar)")
    reached = ("plain's final AUC after", "ours has it after", "share (bar)")
    lines = [
        "## Tuning",
        "",
        f"`benchmarks/tuning.py`, {found['machine']}. Pruning off in both, the same configurations, folds, rounds and patience; "
        "blocks of both in turn. Then all on: time until one of our trials has the plain loop's final score.",
        "",
        f"| {' | '.join((*heads, *reached))} |",
        "|---" * len((*heads, *reached)) + "|",
    ]
    for name, one in found["sets"].items():
        each = one["trials_a_minute"]
        after = f"{one['ours_seconds']} s, {one['ours_trials']} trials" if one["ours_reached"] else "not reached"
        final = f"{one['plain_final_score']:.5f}, {one['plain_seconds']} s, {one['trials']} trials"
        done = f"{one['rate_trials']} | {each['ours']} | {each['plain']}"
        lines.append(
            f"| {name} | {one['rows']:,} × {one['columns']} | {one['folds']} | {done} | "
            f"**{one['ratio']}** (≥ {one['bar']}) | {final} | {after} | **{one['share']}** (≤ {REACHED}) |"
        )
    apart = max(one["largest_difference_of_a_trial_score"] for one in found["sets"].values())
    lines += ["", f"AUC of the same configuration differs by at most {apart:.1e} between the two, so the work was the same."]
    return "\n".join(lines)


def main() -> None:
    """Compare on each set, write figures and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1500)
    parser.add_argument("--set", dest="sets", action="append", choices=list(BARS), help="one set alone; both otherwise")
    parser.add_argument("--question", choices=list(QUESTIONS), help="one question alone; both otherwise")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    asked = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f} before"
    machine = f"{platform.system()} {platform.machine()}, {CORES} cores, {load}, XGBoost {xgboost.__version__}"
    found = {"machine": machine, "sets": json.loads(RESULTS.read_text())["sets"] if RESULTS.exists() else {}}
    for name in asked.sets or BARS:
        table = Table.of(name)
        for question in [asked.question] if asked.question else QUESTIONS:
            answer = QUESTIONS[question](name, table, asked.trials, asked.rounds)
            found["sets"][name] = found["sets"].get(name, {}) | answer
    print(json.dumps(found, indent=1))
    if asked.dry:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_section(ROOT / "docs" / "benchmarks.md", "tuning", written(found))


if __name__ == "__main__":
    main()
