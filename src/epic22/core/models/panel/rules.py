"""What a forecast must beat: naive, drift, damped drift, seasonal naive."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from epic22.core.history import Array, Histories
from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import Forecaster, PanelFamily
from epic22.core.models.panel.growth import Growth
from epic22.core.models.panel.scattered import Scattered

DAMPING = 0.9
"""What is left of a month's growth in the next month (Gardner and McKenzie 1985 recommend damping, not one value)."""

DRIFT_SPAN = 12
"""Periods whose growth drift carries on where there is no cycle."""


def naive(window: Array, season: int, horizon: int) -> Array:
    """No change, (n, horizon)."""
    return np.zeros((len(window), horizon))


def _growth(window: Array, season: int) -> Array:
    """Mean change a period over the last cycle, or since the first value where that is later, (n,)."""
    span = season if season > 1 else DRIFT_SPAN
    recent = window[:, -(span + 1) :]
    known = np.isfinite(recent).sum(axis=1)
    first = recent[np.arange(len(recent)), np.minimum(recent.shape[1] - known, recent.shape[1] - 1)]
    return np.where(known > 1, (recent[:, -1] - first) / np.maximum(known - 1, 1), 0.0)


def drift(window: Array, season: int, horizon: int) -> Array:
    """The last cycle's growth carried on: x·(x/x₋₁₂)^(h/12) for months, (n, horizon)."""
    return np.asarray(_growth(window, season)[:, None] * np.arange(1, horizon + 1)[None, :])


def damped_drift(window: Array, season: int, horizon: int) -> Array:
    """The last cycle's growth, fading by DAMPING a twelfth of a cycle, (n, horizon)."""
    kept = DAMPING ** (12 / season if season > 1 else 1.0)
    return np.asarray(_growth(window, season)[:, None] * np.cumsum(kept ** np.arange(1, horizon + 1))[None, :])


def seasonal_naive(window: Array, season: int, horizon: int) -> Array:
    """The value of the same place in the last cycle, (n, horizon); no change where a cycle is not known."""
    steps = window.shape[1]
    out = np.zeros((len(window), horizon))
    for h in range(1, horizon + 1):
        place = steps - 1 + h - -(-h // season) * season
        if 0 <= place < steps:
            out[:, h - 1] = np.nan_to_num(window[:, place] - window[:, -1])
    return out


RULES: Mapping[str, tuple[Callable[[Array, int, int], Array], str]] = {
    "naive": (naive, "the last value"),
    "drift": (drift, "the last cycle's growth goes on"),
    "damped_drift": (damped_drift, "the last cycle's growth goes on and fades"),
    "seasonal_naive": (seasonal_naive, "the value of the same season last time"),
}


@dataclass
class Rule(Scattered):
    """One of RULES.

    >>> from epic22.core.history import QUARTERLY
    >>> line = Histories.of_lines(np.array([[1.0, 2.0, 3.0, 4.0] * 6]), np.array(["a"]), 0, QUARTERLY)
    >>> Rule("seasonal_naive", season=4).fit(line, 2).predict(line).round(6).tolist()
    [[1.0, 2.0]]
    """

    rule: str
    season: int

    def fit(self, past: Histories, horizon: int) -> Self:
        """Learn the scatter; the path needs no learning."""
        self._begin(past, horizon)
        self._learn_scatter(past)
        return self

    def path(self, growth: Growth) -> Array:
        """The rule's path, (n, horizon)."""
        return RULES[self.rule][0](growth.z, self.season, self.horizon_)

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        return {"rule.json": canonical_json({"rule": self.rule, **self.scatter_state()})}


def _restore(files: Mapping[str, bytes]) -> Forecaster:
    state = json.loads(files["rule.json"])
    return Rule(state["rule"], state["season"]).with_scatter(state)


def _family(name: str, member: bool) -> PanelFamily:
    def build(season: int, seed: int, threads: int) -> Forecaster:
        return Rule(name, season)

    return PanelFamily(name, RULES[name][1], build, _restore, per_series=True, is_baseline=True, member=member)


FAMILIES: tuple[PanelFamily, ...] = (
    _family("naive", member=False),
    _family("drift", member=False),
    _family("damped_drift", member=True),
    _family("seasonal_naive", member=False),
)
