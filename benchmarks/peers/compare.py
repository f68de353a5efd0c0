"""Results gathered: who ranks where on each set, and ours against the best peer, or every peer, on each set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from peers.environments import OURS
from peers.runs import Run, Store
from peers.sets import DataSet
from peers.splits import Array
from peers.statistics import METRICS, Difference, mean_rank_intervals, over_rows, over_splits, ranks, win_rates

PROBABILITY_SCORES = ("log_loss", "brier_score")


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

    def finished(self, system: str) -> list[dict[str, Any]]:
        """The results of the splits that did not crash."""
        return [r for r in self.found[system] if r is not None and r["status"] == "ok"]

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
    def is_behind(self) -> bool:
        """Whether the peer's score is better, certainly or not."""
        return self.crashed or (self.difference is not None and self.difference.value < 0)

    @property
    def is_lost(self) -> bool:
        """Whether the whole interval is in favour of the peer."""
        return self.crashed or (self.difference is not None and self.difference.high < 0)

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
    return against(results, metric, peer, store)


def against(results: Results, metric: str, peer: str, store: Store) -> Comparison | None:
    """Ours against one peer; None where the peer has no score, or ours was never to run."""
    theirs = results.mean(peer, metric)
    if theirs is None or OURS not in results.found:
        return None
    ours = results.mean(OURS, metric)
    difference = None if ours is None else _difference(results, metric, peer, store)
    crashed = ours is None and results.complete(OURS)
    return Comparison(results.dataset.name, metric, peer, ours, theirs, difference, crashed)


def against_each(results: Results, store: Store) -> tuple[Comparison, ...]:
    """Ours against every peer by the metric that decides on the set."""
    pairs = [against(results, results.dataset.metric, name, store) for name in results.ran if name != OURS]
    return tuple(pair for pair in pairs if pair is not None)


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
