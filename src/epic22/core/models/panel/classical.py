"""ETS, Theta and ARIMA by statsforecast: each series by itself, orders and parameters estimated once and rolled forward.

Each method decides by its own criterion whether a series has a season. A series too short for the method,
or that the method gives up on, is forecast by the damped drift, and counted in `n_failed_`.
"""

import json
import math
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Literal, Self

import numpy as np
from scipy.special import ndtri

from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import QUANTILE_LEVELS, Forecaster, PanelFamily, sort_quantiles
from epic22.core.models.panel.estimation import run_estimate
from epic22.core.models.panel.hidden_script import hide_script
from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.models.panel.naive import forecast_damped_drift
from epic22.core.time_series import Array, Histories

Method = Literal["ets", "theta", "arima"]
State = dict[str, Any]
MIN_VALUES = 12
NORMAL_QUANTILES = ndtri(QUANTILE_LEVELS)
MIN_SERIES_FOR_PROCESSES = 150
"""Series; fewer are fitted sooner than another process has started."""

MAX_QUICK_VALUES = 120
"""Of a series that is estimated while a server answers others: more take longer than others should wait."""

MAX_CYCLE = 24
"""ETS and ARIMA with longer seasons take minutes a series; such a panel's season is for the pooled families."""


@dataclass
class ClassicalForecaster:
    """One method for all series. `states_` maps a series' name to what was estimated for it."""

    method: Method
    season: int
    threads: int = 1

    def fit(self, past: Histories, horizon: int) -> Self:
        """Estimate each series from its own known values."""
        self.horizon_ = horizon
        jobs = [(self.method, values, self.season) for values in past.iterate_series()]
        if self.threads > 1 and len(jobs) >= MIN_SERIES_FOR_PROCESSES:
            # Processes, for the methods hold the interpreter's lock; spawned, for a fork may hang beside other threads.
            with hide_script(), ProcessPoolExecutor(self.threads, mp_context=get_context("spawn")) as pool:
                states = list(pool.map(_estimate, jobs, chunksize=16))
        else:
            states = [_estimate(job) for job in jobs]
        begins = past.first_periods()
        self.states_: dict[str, State] = {
            str(name): state | {"begins": int(begin)}
            for name, state, begin in zip(past.entity, states, begins, strict=True)
            if state is not None
        }
        self.n_failed_ = sum(state is None for state in states)
        return self

    def predict_quantiles(self, histories: Histories) -> Array:
        """Normal quantiles by each method's own forecast variance, (n, horizon, q)."""
        out = np.empty((len(histories), self.horizon_, len(QUANTILE_LEVELS)))
        begins = histories.first_periods()
        for row, values in enumerate(histories.iterate_series()):
            mean, deviation = self._forecast(str(histories.entity[row]), values, int(begins[row]))
            out[row] = mean[:, None] + deviation[:, None] * NORMAL_QUANTILES[None, :]
        failed = np.flatnonzero(~np.isfinite(out).all(axis=(1, 2)))
        if len(failed):
            out[failed] = self._forecast_fallback(histories.take(failed))
        return sort_quantiles(out)

    def _forecast(self, name: str, values: Array, begins: int) -> tuple[Array, Array]:
        """Mean and standard deviation by horizon; NaN where the method has nothing to say."""
        state = self.states_.get(name)
        if state is None or state["begins"] != begins:
            # States roll forward from a series' own first value; another beginning is estimated now, as a new series is.
            state = run_estimate(_estimate, (self.method, values, self.season), is_long=len(values) > MAX_QUICK_VALUES)
        if state is None:
            return np.full(self.horizon_, np.nan), np.full(self.horizon_, np.nan)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                return METHODS[self.method][1](state, values, self.horizon_)
            except Exception:  # noqa: BLE001  as in _estimate; the row is then forecast by the damped drift
                return np.full(self.horizon_, np.nan), np.full(self.horizon_, np.nan)

    def _forecast_fallback(self, histories: Histories) -> Array:
        growth = LogGrowth(histories, self.season)
        z = growth.z[:, -1:] + forecast_damped_drift(growth.z, self.season, self.horizon_)
        wide = growth.volatility[:, None] * np.sqrt(np.arange(1, self.horizon_ + 1))[None, :]
        return growth.inverse_transform(z[:, :, None] + wide[:, :, None] * NORMAL_QUANTILES[None, None, :])

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        state = {"method": self.method, "season": self.season, "horizon": self.horizon_, "states": self.states_}
        return {f"{self.method}.json": canonical_json(state)}


def _estimate(job: tuple[Method, Array, int]) -> State | None:
    """The parameters of one series as plain values, None where the method gives up."""
    method, values, season = job
    if len(values) < MIN_VALUES:
        return None
    cycle = season if season <= MAX_CYCLE and len(values) >= 2 * season + MIN_VALUES // 2 else 1
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return METHODS[method][0](values, cycle)
        except Exception:  # noqa: BLE001  the library raises bare exceptions for series it cannot fit
            return None


def _fit_ets(values: Array, cycle: int) -> State:
    from statsforecast.ets import ets_f

    model = ets_f(values, m=cycle)
    parameters = [None if math.isnan(p) else float(p) for p in np.asarray(model["par"], dtype=np.float64)]
    return {"components": str(model["components"]), "par": parameters, "m": int(model["m"]), "n": int(model["n_params"])}


def _roll_ets(state: State, values: Array, horizon: int) -> tuple[Array, Array]:
    from statsforecast.ets import ets_f, forecast_ets

    parameters = np.array([math.nan if p is None else p for p in state["par"]])
    stored = {"components": state["components"], "par": parameters, "m": state["m"], "n_params": state["n"], "fit": None}
    if float(np.ptp(values)) == 0.0:
        return np.full(horizon, values[-1]), np.zeros(horizon)
    model = ets_f(values, m=state["m"], model=stored)
    mean = np.asarray(forecast_ets(model, h=horizon)["mean"])
    return mean, _compute_ets_deviation(state, mean, float(model["sigma2"]), horizon)


def _compute_ets_deviation(state: State, mean: Array, sigma2: float, horizon: int) -> Array:
    """The deviation of Hyndman et al. (2008), table 6.1; a multiplicative error's is taken in shares of the mean.

    The library would simulate the multiplicative forms, other numbers each time.
    """
    alpha, beta, gamma, phi = (0.0 if p is None else p for p in state["par"][:4])
    error, trend, season, trend_type = state["components"]
    ahead = np.arange(1, horizon)
    reach = np.cumsum((phi if trend_type == "D" else 1.0) ** np.arange(1, horizon)) if trend != "N" else 0.0 * ahead
    effect = alpha + beta * reach + (gamma * (ahead % state["m"] == 0) if season != "N" else 0.0)
    deviation = np.sqrt(sigma2 * (1 + np.concatenate([[0.0], np.cumsum(effect**2)])))
    return np.asarray(deviation * np.abs(mean) if error == "M" else deviation)


def _fit_theta(values: Array, cycle: int) -> State:
    from statsforecast.theta import auto_theta

    model = auto_theta(values, m=cycle)
    parameters = {name: float(value) for name, value in model["par"].items()}
    return {"modeltype": str(getattr(model["modeltype"], "name", model["modeltype"])), "par": parameters, "m": cycle}


def _roll_theta(state: State, values: Array, horizon: int) -> tuple[Array, Array]:
    from statsforecast.theta import auto_theta, forecast_theta

    par = state["par"]
    model = auto_theta(
        values,
        m=state["m"],
        model=state["modeltype"],
        initial_smoothed=par["initial_smoothed"],
        alpha=par["alpha"],
        theta=par["theta"],
    )
    mean = np.asarray(forecast_theta(model, h=horizon)["mean"])
    residuals = np.asarray(model["residuals"])[3:]
    sigma = float(np.std(residuals, ddof=1)) if len(residuals) > 1 else 0.0
    # Theta is simple exponential smoothing with drift (Hyndman and Billah 2003): its variance grows by alpha² a period.
    return mean, sigma * np.sqrt(1 + np.arange(horizon) * par["alpha"] ** 2)


def _fit_arima(values: Array, cycle: int) -> State:
    from statsforecast.arima import auto_arima_f

    model = auto_arima_f(values, period=cycle, seasonal=cycle > 1)
    arma = [int(a) for a in model["arma"]]
    return {"arma": arma, "coef": [[str(k), float(v)] for k, v in model["coef"].items()], "sigma2": float(model["sigma2"])}


def _roll_arima(state: State, values: Array, horizon: int) -> tuple[Array, Array]:
    from statsforecast.arima import forecast_arima, forward_arima

    # The library finds the time axis again from the regressor it was fitted with: 1, 2, 3, …
    coef = dict(state["coef"])
    axis = np.arange(1, len(values) + 1, dtype=np.float64).reshape(-1, 1) if "drift" in coef else None
    stored = {**state, "coef": coef, "xreg": axis, "x": values, "lambda": None}
    forecast = forecast_arima(forward_arima(stored, values), horizon, level=[80])
    high, low = np.asarray(forecast["upper"])[:, 0], np.asarray(forecast["lower"])[:, 0]
    return np.asarray(forecast["mean"]), np.maximum(high - low, 0.0) / (NORMAL_QUANTILES[-1] - NORMAL_QUANTILES[0])


METHODS: Mapping[str, tuple[Callable[[Array, int], State], Callable[[State, Array, int], tuple[Array, Array]]]] = {
    "ets": (_fit_ets, _roll_ets),
    "theta": (_fit_theta, _roll_theta),
    "arima": (_fit_arima, _roll_arima),
}


def _restore(files: Mapping[str, bytes]) -> Forecaster:
    ((_, content),) = files.items()
    state = json.loads(content)
    model = ClassicalForecaster(state["method"], state["season"])
    model.horizon_, model.states_ = state["horizon"], state["states"]
    return model


def _family(method: Method, description: str, slow: bool = False) -> PanelFamily:
    return PanelFamily(
        method,
        description,
        lambda season, seed, threads: ClassicalForecaster(method, season, threads),
        _restore,
        per_series=True,
        slow=slow,
    )


FAMILIES: tuple[PanelFamily, ...] = (
    _family("ets", "exponential smoothing, its form chosen a series (Hyndman et al. 2002)"),
    _family("theta", "half the trend and smoothing (Assimakopoulos and Nikolopoulos 2000; Fiorucci et al. 2016)"),
    _family("arima", "ARIMA, its order chosen a series (Hyndman and Khandakar 2008)", slow=True),
)
