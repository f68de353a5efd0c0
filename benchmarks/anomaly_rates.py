"""Whether the detectors of anomalies keep their false-alarm rate on series without any: white, remembering, seasonal, heavy.

Writes benchmarks/results/anomaly_rates.json and prints the table; `benchmarks/panels.py` shows it. Each kind of noise is drawn
PANELS times, ROWS rows of SERIES series; alarms are counted from the row on from which all detectors can alarm. Intervals are
Student's over the panels. "every row": p ≤ rate as the detector gives it; "told once": an event is alarmed once in a window, as
in the report.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from epic22.core.evaluation.anomaly_detectors import DetectorData, combine_p_values, drop_repeats, score_residuals
from epic22.core.task import Array

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "anomaly_rates.json"
PANELS, SERIES, ROWS = 8, 16, 240
RATES = (0.01, 0.05)
MEMORY_OF_NOISE = 0.7
SEASON = 12


def draw_white(rng: np.random.Generator) -> Array:
    """Independent normal values."""
    return rng.normal(size=(SERIES, ROWS))


def draw_remembering(rng: np.random.Generator) -> Array:
    """A first-order autoregression."""
    values = rng.normal(size=(SERIES, ROWS))
    values[:, 0] /= np.sqrt(1 - MEMORY_OF_NOISE**2)
    for t in range(1, ROWS):
        values[:, t] += MEMORY_OF_NOISE * values[:, t - 1]
    return values


def draw_seasonal(rng: np.random.Generator) -> Array:
    """A season of its own in each series, three times as large as the noise."""
    season = 3 * rng.normal(size=(SERIES, SEASON))
    return np.asarray(season[:, np.arange(ROWS) % SEASON] + rng.normal(size=(SERIES, ROWS)))


def draw_heavy(rng: np.random.Generator) -> Array:
    """Independent values of Student's distribution of three degrees."""
    return rng.standard_t(3, size=(SERIES, ROWS))


NOISES: dict[str, tuple[Callable[[np.random.Generator], Array], int | None]] = {
    "white": (draw_white, None),
    "AR(1), 0.7": (draw_remembering, None),
    "seasonal": (draw_seasonal, SEASON),
    "heavy tails": (draw_heavy, None),
}
"""How a panel is drawn, and its season."""


def compute_p_values(values: Array, season: int | None) -> dict[str, Array]:
    """p-values of each detector in the rows where all can alarm, (s, t)."""
    data = DetectorData(values, season)
    model = data.autoencoder
    residuals, errors = score_residuals(values, season), model.compute_p_values(values)
    combined = combine_p_values(residuals, errors)
    quiet, first = data.window - 1, int(model.first_row)
    whole = {
        "residuals": residuals,
        "autoencoder, every row": errors,
        "autoencoder, told once": drop_repeats(errors, quiet),
        "combined, every row": combined,
        "combined, told once": drop_repeats(combined, quiet),
    }
    return {name: p_values[:, first:] for name, p_values in whole.items()}


def measure(draw: Callable[[np.random.Generator], Array], season: int | None, number: int) -> dict[str, Any]:
    """Each detector's share of alarms at each rate, with its interval over the panels."""
    shares: dict[str, list[list[float]]] = {}
    for panel in range(PANELS):
        p_values = compute_p_values(draw(np.random.default_rng([number, panel])), season)
        for name, p in p_values.items():
            shares.setdefault(name, []).append([float((p <= rate).mean()) for rate in RATES])
    quantile = float(scipy.stats.t.ppf(0.975, PANELS - 1))
    result = {}
    for name, rows in shares.items():
        mean, error = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / np.sqrt(PANELS)
        result[name] = {
            f"{rate:g}": {"share": float(m), "low": float(m - quantile * e), "high": float(m + quantile * e)}
            for rate, m, e in zip(RATES, mean, error, strict=True)
        }
    return result


def table(result: dict[str, Any]) -> str:
    """The shares of alarms in per cent, a line a kind of noise and detector."""
    lines = [f"{'noise':14}{'detector':26}" + "".join(f"{f'at {100 * rate:g} %':>22}" for rate in RATES)]
    for noise, detectors in result["noises"].items():
        for name, by_rate in detectors.items():
            cells = [f"{100 * one['share']:.2f} ({100 * one['low']:.2f} … {100 * one['high']:.2f})" for one in by_rate.values()]
            lines.append(f"{noise:14}{name:26}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def main() -> int:
    """Measure all kinds of noise."""
    began = time.process_time()
    noises = {name: measure(draw, season, number) for number, (name, (draw, season)) in enumerate(NOISES.items())}
    result = {
        "panels": PANELS,
        "series": SERIES,
        "rows": ROWS,
        "noises": noises,
        "processor_seconds": round(time.process_time() - began, 1),
        "machine": {
            "cpus": os.cpu_count(),
            "platform": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
