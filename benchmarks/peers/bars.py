"""What was to be reached, and whether it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from peers.compare import PROBABILITY_SCORES, Comparison, Results, Standing
from peers.environments import OURS

TOLERANCE = 0.005
"""An interval wholly below the best peer by more than this share of its score fails the bar."""
SHARE_OF_SETS = 2 / 3
ROW_MS = 5.0
MEMORY_PEER = "autogluon-medium"
Met = Literal["met", "not met", "incomplete"]


@dataclass(frozen=True)
class Bar:
    """One of the issue's bars, and what was found."""

    text: str
    met: Met
    found: str


def bars(
    stood: Standing | None, comparisons: Sequence[Comparison], binary: Sequence[str], sets: Sequence[str]
) -> tuple[Bar, ...]:
    """The issue's three bars on peers. Incomplete where a set lacks a run."""
    return (_first(stood, sets), _not_below(comparisons, sets), _probabilities(comparisons, binary))


def cost_bars(gathered: Sequence[Results], sets: Sequence[str]) -> tuple[Bar, ...]:
    """The bars on what an answer and a training take. Incomplete where ours, or the system beside it, lacks a run of a set."""
    return (_latency(gathered, sets), _memory(gathered, sets))


def _latency(gathered: Sequence[Results], sets: Sequence[str]) -> Bar:
    text = f"one row with its reasons in at most {ROW_MS:g} ms on every set"
    longest = {one.dataset.name: max(r["row_ms"]["row"] for r in one.finished(OURS)) for one in gathered if one.finished(OURS)}
    if not longest:
        return Bar(text, "incomplete", "no run of ours")
    slow = [name for name, taken in longest.items() if taken > ROW_MS]
    found = f"at most {max(longest.values()):.2f} ms on {len(longest)} of {len(sets)} sets" + (
        f"; longer on {', '.join(slow)}" if slow else ""
    )
    return Bar(text, _met(not slow, gathered, sets, (OURS,)), found)


def _memory(gathered: Sequence[Results], sets: Sequence[str]) -> Bar:
    text = "the most memory at most that of AutoGluon, medium_quality"
    both: dict[str, tuple[float, float]] = {}
    for one in gathered:
        ours, theirs = (
            [r["peak_rss_mb"] for r in one.finished(name) if r["peak_rss_mb"] is not None] for name in (OURS, MEMORY_PEER)
        )
        if ours and theirs:
            both[one.dataset.name] = max(ours), max(theirs)
    if not both:
        return Bar(text, "incomplete", "no set that both finished")
    most, allowed = (max(pair[turn] for pair in both.values()) for turn in (0, 1))
    more = [name for name, (ours, theirs) in both.items() if ours > theirs]
    found = f"{most:,.0f} MB beside {allowed:,.0f} MB on {len(both)} of {len(sets)} sets" + (
        f"; more on {', '.join(more)}" if more else ""
    )
    return Bar(text, _met(most <= allowed, gathered, sets, (OURS, MEMORY_PEER)), found)


def _met(fulfilled: bool, gathered: Sequence[Results], sets: Sequence[str], systems: Sequence[str]) -> Met:
    """Not met as soon as one run says so, met only once these systems ran on every split of every set."""
    if not fulfilled:
        return "not met"
    whole = {one.dataset.name for one in gathered if all(one.complete(system) for system in systems)}
    return "met" if whole == set(sets) else "incomplete"


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
