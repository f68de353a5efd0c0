"""Results gathered: who ranks where on each set, ours against the best peer on each set, and whether the bars are met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from peers.environments import OURS
from peers.runs import Run, Store
from peers.sets import DataSet
from peers.splits import Array
from peers.statistics import METRICS, Difference, mean_rank_intervals, over_rows, over_splits, ranks, win_rates

TOLERANCE = 0.005
"""An interval wholly below the best peer by more than this share of its score fails the bar."""
SHARE_OF_SETS = 2 / 3
PROBABILITY_SCORES = ("log_loss", "brier_score")
Met = Literal["met", "not met", "incomplete"]


@dataclass(frozen=True)
class Results:
    """The stored results of one set, by system, in the order of its splits; absent runs are None.

    A result of the same split and limits is shown also where the system's script or source has changed since: see `stale`.
    """

    dataset: DataSet
    runs: Mapping[str, tuple[Run, ...]]
    found: Mapping[str, tuple[dict[str, Any] | None, ...]]

    @classmethod
    def gather(cls, dataset: DataSet, runs: Sequence[Run], store: Store) -> "Results":
        """From the store, whatever of these runs is there."""
        by_system: dict[str, tuple[Run, ...]] = {}
        for run in runs:
            by_system[run.system.name] = (*by_system.get(run.system.name, ()), run)
        return cls(dataset, by_system, {name: tuple(store.latest(run) for run in of) for name, of in by_system.items()})

    @property
    def ran(self) -> tuple[str, ...]:
        """Systems with at least one run here."""
        return tuple(name for name in self.found if any(r is not None and r["status"] != "not run" for r in self.found[name]))

    def complete(self, system: str) -> bool:
        """Whether every split was run, crashed or not."""
        return all(r is not None and r["status"] != "not run" for r in self.found[system])

    def stale(self, system: str) -> int:
        """How many results come from an earlier script, source or environment."""
        pairs = zip(self.runs[system], self.found[system], strict=True)
        return sum(r is not None and r["digest"] != run.digest() for run, r in pairs)

    def values(self, system: str, metric: str) -> list[float] | None:
        """The score of each split; None where one of them crashed or is absent."""
        stored = [r for r in self.found[system] if r is not None and r["status"] == "ok"]
        if len(stored) < len(self.found[system]) or any(metric not in r["scores"] for r in stored):
            return None
        return [float(r["scores"][metric]) for r in stored]

    def mean(self, system: str, metric: str) -> float | None:
        """The mean over splits; None where one of them crashed or is absent."""
        values = self.values(system, metric)
        return None if values is None else float(np.mean(values))

    def ranks(self, metric: str) -> dict[str, float]:
        """Ranks of the systems that ran; one crash among the splits ranks behind all that have none."""
        return ranks({name: self.mean(name, metric) for name in self.ran}, METRICS[metric].greater_is_better)


@dataclass(frozen=True)
class Comparison:
    """Ours against the best peer on a set by a metric. `difference` None: ours crashed, or is absent, or its predictions are."""

    set: str
    metric: str
    peer: str
    ours: float | None
    theirs: float
    difference: Difference | None
    crashed: bool = False

    @property
    def percent(self) -> tuple[float, float, float] | None:
        """Difference, low and high in % of the peer's score."""
        d = self.difference
        if d is None or not self.theirs:
            return None
        value, low, high = (100 * part / abs(self.theirs) for part in (d.value, d.low, d.high))
        return value, low, high


def against_best(results: Results, metric: str, store: Store) -> Comparison | None:
    """Ours against the peer with the best mean; None where no peer has one."""
    means = {name: results.mean(name, metric) for name in results.ran if name != OURS}
    known = {name: value for name, value in means.items() if value is not None}
    if not known or OURS not in results.found:
        return None
    better = METRICS[metric].greater_is_better
    peer = (max if better else min)(known, key=lambda name: known[name])
    ours = results.mean(OURS, metric)
    difference = None if ours is None else _difference(results, metric, peer, store)
    crashed = ours is None and results.complete(OURS)
    return Comparison(results.dataset.name, metric, peer, ours, known[peer], difference, crashed)


def _difference(results: Results, metric: str, peer: str, store: Store) -> Difference | None:
    mine, theirs = results.values(OURS, metric), results.values(peer, metric)
    if mine is None or theirs is None:
        return None
    if len(mine) > 1:
        sizes = [r["n_test"] / r["n_train"] for r in results.found[OURS] if r is not None]
        return over_splits(mine, theirs, float(np.mean(sizes)), METRICS[metric].greater_is_better)
    run, other = results.runs[OURS][0], results.runs[peer][0]
    first, second = store.predictions(run), store.predictions(other)
    if first is None or second is None or not run.split.truth.exists():
        return None
    truth = pl.read_parquet(run.split.truth)
    return over_rows(METRICS[metric], truth["label"].to_numpy(), first, second, truth["cluster"].to_numpy())


@dataclass(frozen=True)
class Bar:
    """One of the issue's bars, and what was found."""

    text: str
    met: Met
    found: str


@dataclass(frozen=True)
class Standing:
    """The systems by mean rank over the sets that all of them finished: `table` (sets, systems), `means` (systems, 3)."""

    systems: tuple[str, ...]
    sets: tuple[str, ...]
    table: Array
    means: Array
    wins: Array


def standing(gathered: Sequence[Results]) -> Standing | None:
    """Over the sets where every system that ran anywhere was run on all splits; None without any."""
    systems = tuple(dict.fromkeys(name for one in gathered for name in one.ran))
    whole = [one for one in gathered if systems and all(name in one.ran and one.complete(name) for name in systems)]
    if not whole:
        return None
    table = np.array([[one.ranks(one.dataset.metric)[name] for name in systems] for one in whole])
    return Standing(systems, tuple(one.dataset.name for one in whole), table, mean_rank_intervals(table), win_rates(table))


def bars(
    stood: Standing | None, comparisons: Sequence[Comparison], binary: Sequence[str], sets: Sequence[str]
) -> tuple[Bar, ...]:
    """The issue's three bars on peers. Incomplete where a set lacks a run."""
    return (_first(stood, sets), _not_below(comparisons, sets), _probabilities(comparisons, binary))


def _first(stood: Standing | None, sets: Sequence[str]) -> Bar:
    text = "first by mean rank, or the interval of its mean rank contains the first's"
    if stood is None or OURS not in stood.systems:
        return Bar(text, "incomplete", "no set that all systems finished")
    mean, low, high = stood.means[stood.systems.index(OURS)]
    best = int(np.argmin(stood.means[:, 0]))
    first = float(stood.means[best, 0])
    where = f"on {len(stood.sets)} of {len(sets)} sets"
    found = f"{mean:.2f} ({low:.2f} … {high:.2f}) {where}; first {stood.systems[best]}, {first:.2f}"
    if set(stood.sets) != set(sets):
        return Bar(text, "incomplete", found)
    return Bar(text, "met" if mean <= first or low <= first <= high else "not met", found)


def _not_below(comparisons: Sequence[Comparison], sets: Sequence[str]) -> Bar:
    text = f"no paired interval wholly below the best peer by more than {TOLERANCE:.1%} of its score"
    judged = {c.set: c for c in comparisons if c.metric not in PROBABILITY_SCORES and (c.percent or c.crashed)}
    below = [name for name, c in judged.items() if c.crashed or (c.percent is not None and c.percent[2] < -100 * TOLERANCE)]
    found = f"below on {', '.join(below)}" if below else f"none on {len(judged)} of {len(sets)} sets"
    if below:
        return Bar(text, "not met", found)
    return Bar(text, "met" if set(judged) == set(sets) else "incomplete", found)


def _probabilities(comparisons: Sequence[Comparison], binary: Sequence[str]) -> Bar:
    text = "log loss and Brier score the best, or within the interval, on two thirds of the binary sets"
    kept: dict[str, list[bool]] = {}
    for one in comparisons:
        if one.metric in PROBABILITY_SCORES and (one.crashed or one.difference is not None):
            kept.setdefault(one.set, []).append(one.difference is not None and one.difference.high >= 0)
    judged = {name: all(of) for name, of in kept.items() if len(of) == len(PROBABILITY_SCORES)}
    good = sum(judged.values())
    lost = [name for name, fine in judged.items() if not fine]
    found = f"{good} of {len(judged)} sets" + (f"; not on {', '.join(lost)}" if lost else "")
    if set(judged) != set(binary):
        return Bar(text, "incomplete", found)
    return Bar(text, "met" if good >= SHARE_OF_SETS * len(binary) else "not met", found)
