"""A network of a forecast, for programs other than this one: what it reads of a series, and how its quantiles become values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epic22.core.artifact.bundle import GoldenRows
from epic22.core.artifact.panel_bundle import GOLDEN_SERIES, PanelBundle
from epic22.core.artifact.portable_network import PortableNetwork
from epic22.core.errors import UserError
from epic22.core.lineage import ModelVersion
from epic22.core.models.networks.exportable import ScoringNetwork
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.models.panel.log_growth import FLOOR_SHARE, MIN_LOG_SHARE, MIN_VOLATILITY_SHARE, window_length
from epic22.core.models.panel.naive import DAMPING, DRIFT_SPAN
from epic22.core.models.panel.network import FAMILIES, PooledNetwork
from epic22.core.serialization import to_json
from epic22.core.task import Array
from epic22.core.time_series import Histories


@dataclass(frozen=True)
class PanelNetwork(PortableNetwork):
    """A network for series, by the name of its family in the bundle."""

    bundle: PanelBundle
    member: str
    forecaster: PooledNetwork

    def restore_scores(self, output: Array) -> Array:
        """The output itself: quantiles of the labels, (n, horizons × quantiles)."""
        return output

    def read_golden(self, folder: Path) -> GoldenRows:
        """The first series as last known, whose forecasts were made again when the bundle was opened."""
        X = self.forecaster.build_inputs(self._golden_series)
        session = self.forecaster.network_
        return GoldenRows(X, np.zeros((len(X), 0)) if session is None else session.run(X))

    @property
    def _golden_series(self) -> Histories:
        return self.bundle.history.take(np.arange(min(GOLDEN_SERIES, len(self.bundle.history))))

    def describe_ends(self, golden: GoldenRows) -> Mapping[str, Any]:
        """The way from a series' values to x, and from the output to the family's forecast, a formula a step."""
        schema, forecaster, series = self.bundle.schema, self.forecaster, self._golden_series
        place = tuple(self.bundle.forecasters).index(self.member)
        return {
            "input": {
                "name": "x",
                "dtype": "float32",
                "shape": ["rows", golden.X.shape[1]],
                "missing": "NaN, as before a series' first value",
                "steps": forecaster.n_steps,
                "channels": list(forecaster.channels),
                "frequency": schema.frequency,
                "season": schema.season,
            },
            "output": {
                "name": "score",
                "shape": ["rows", self.network.spec.n_outputs],
                "meaning": self.network.spec.output,
                "target": schema.target,
                "unit": schema.unit,
                "member": self.member,
                "weights": self.bundle.weights[:, place].tolist(),
                "horizons": list(range(1, schema.horizon + 1)),
                "levels": list(QUANTILE_LEVELS),
                "damping": forecaster.damping_.tolist(),
                "scale": forecaster.label_scale_.tolist(),
                "widths": forecaster.widths_.tolist(),
            },
            "steps": describe_panel_steps(forecaster),
            "golden": {
                "values": to_json(series.window(window_length(forecaster.season)).tolist()),
                "period": series.origin.tolist(),
                "quantiles": forecaster.predict_quantiles(series).tolist(),
            },
        }


def describe_panel_steps(forecaster: PooledNetwork) -> list[str]:
    """The way from values to x and from the output to the family's forecast, a formula a step."""
    season, recent = forecaster.season, max(2 * forecaster.season, 12)
    span, damping = (season, DAMPING ** (12 / season)) if season > 1 else (DRIFT_SPAN, DAMPING)
    least = MIN_VOLATILITY_SHARE * (forecaster.typical_volatility_ or 1.0)
    place = f", each followed by sine and cosine of 2π · (period modulo {season}) ÷ {season}" if season > 1 else ""
    return [
        f"values = the last {window_length(season)}, oldest first; a gap holds the value before it, NaN before the first",
        f"level = mean of |values| over the last {recent}, 1 where that is 0",
        f"z = ln(max(values, {FLOOR_SHARE:g} · level) ÷ level) where the least value is above {MIN_LOG_SHARE:g} · level, "
        "else values ÷ level",
        f"volatility = root mean square of the last {recent} changes of z from period to period, at least {least!r}",
        f"x = the last {forecaster.n_steps} changes of z ÷ volatility, oldest first{place}",
        "output = the levels of each horizon, one horizon after another; median = that of level 0.5",
        "label = damping · median + widths · (output − median)",
        f"drift = (z[last] − z[{span} before]) ÷ {span} · (d + d² + … + d^horizon), d = {damping!r}; from the first value where "
        "fewer are known",
        "forecast = level · exp(z[last] + drift + volatility · scale · label), without exp where z is no logarithm, sorted",
    ]


def get_panel_network(version: ModelVersion, bundle: PanelBundle, name: str, member: str | None) -> PanelNetwork:
    """The network of a forecast's member, of its only one where none is named. Raises UserError where there is none to choose."""
    networks: dict[str, tuple[PooledNetwork, ScoringNetwork]] = {}
    for family, forecaster in bundle.forecasters.items():
        if isinstance(forecaster, PooledNetwork) and (network := forecaster.scoring_network) is not None:
            networks[family] = forecaster, network
    if not networks:
        raise _build_refusal(bundle, name)
    names = ", ".join(networks)
    if member is None and len(networks) > 1:
        raise UserError(f"{name} forecasts by several networks: {names}; name one with --member.")
    chosen = next(iter(networks)) if member is None else member
    if chosen not in networks:
        raise UserError(f"--member {chosen}: {name} has no such network; there is {names}.")
    forecaster, network = networks[chosen]
    return PanelNetwork(version, network, bundle, chosen, forecaster)


def _build_refusal(bundle: PanelBundle, name: str) -> UserError:
    """The error of a forecast without a network, and how one comes to have one."""
    damped = [family for family, forecaster in bundle.forecasters.items() if isinstance(forecaster, PooledNetwork)]
    also = ", ".join(family.name for family in FAMILIES)
    why = (
        f"{' and '.join(damped)} kept no network, for none lessened the damped drift's errors"
        if damped
        else f"it forecasts series by {', '.join(bundle.forecasters)}"
    )
    return UserError(f"{name} has no network to export: {why}; train with --also {also} for one.")
