"""Rents and home values by the combination with networks for panels and without.

    python benchmarks/panel_networks.py [--panel zori] [FAMILY…]

Zillow's metros as benchmarks/panels.py reads them: 25 test origins, h = 1, 3, 12. A family's forecasts are kept in
build/panel_networks/ while the source that decides them has not changed, so that a run that was ended goes on. Networks that
are named take part, else all. Writes benchmarks/results/panel_networks.json and a section of docs/evidence-panels.md.
"""

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from panel_networks_page import PAGE, STORE, insert_networks_section
from panel_sources import DATA, ROOT, digest

from epic22.core.evaluation.backtest import Backtest, backtest
from epic22.core.evaluation.forecast_metrics import FORECAST_METRICS, ScoredRows, classify_trend, compare_forecasts
from epic22.core.models.panel.base import ForecasterSetup
from epic22.core.models.panel.catalog import PANEL_FAMILIES, get_panel_family
from epic22.core.progress import Progress
from epic22.core.time_series import Array
from epic22.services.pipelines.series import ForecastConfig, SeriesPipeline
from epic22.services.pipelines.series_board import SeriesBoard, SeriesPlan, build_board, compute_weights
from epic22.services.training_run import BASELINE, COMBINATION
from epic22.spec.panel_file import load_panel_task_data
from panels import PANELS, Panel, machine

FORECASTS = ROOT / "build" / "panel_networks"
HORIZONS = (1, 3, 12)
TREND_HORIZON = 3
DECIDING = ("core/models/panel", "core/models/networks", "core/data", "core/time_series.py", "core/evaluation/backtest.py")
NETWORKS = tuple(family.name for family in PANEL_FAMILIES if family.needs)
MAPE = next(metric for metric in FORECAST_METRICS if metric.name == "mean_absolute_percentage_error")


PANEL_NAMES = ("zori", "zhvi")


def forecast(panel: str, name: str, pipeline: SeriesPipeline, plan: SeriesPlan, source: str) -> Backtest:
    """A family's forecasts from every origin, from the store where nothing has changed since."""
    path = FORECASTS / f"{panel}-{name}-{source}.npz"
    if path.exists():
        with np.load(path) as stored:
            return Backtest(name, stored["quantiles"], float(stored["fit_seconds"]), float(stored["ms_per_row"]))
    began = time.perf_counter()
    setup = ForecasterSetup(get_panel_family(name), pipeline.data.season, pipeline.config.seed, pipeline.threads)
    made = backtest(setup, plan.examples, plan.origins)
    FORECASTS.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, quantiles=made.quantiles, fit_seconds=made.fit_seconds, ms_per_row=made.ms_per_row)
    print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return made


def measure(panel: Panel, networks: tuple[str, ...]) -> dict[str, Any]:
    """The figures of the combination with these networks beside the one without."""
    source = digest(DECIDING)
    pipeline = SeriesPipeline(load_panel_task_data(panel.file), ForecastConfig(panel.holdout, TREND_HORIZON, 0), 1)
    plan = pipeline.plan(Progress())
    names = [name for name in pipeline.data.task.families if name != "seasonal_naive"]
    plain, added = ([forecast(panel.name, name, pipeline, plan, source) for name in some] for some in (names, networks))
    today, wider = build_board(plan, plain), build_board(plan, [*plain, *added])
    judge = Judge(pipeline, plan, today, wider)
    return {
        "source": source,
        "machine": machine(),
        "panel": panel.name,
        "networks": list(networks),
        "equals": [one.words for one in wider.equals],
        "origins": len(plan.origins.test),
        "fit_seconds": {f.family: round(f.fit_seconds, 1) for f in added},
        "ms_per_row": {f.family: round(f.ms_per_row, 2) for f in added},
        "mape": {f.family: judge.measure_errors(f) for f in wider.forecasts if f.family != COMBINATION},
        "combination": {str(h): judge.compare(h) for h in HORIZONS},
        "trend": judge.measure_trend(),
    }


class Judge:
    """What the test origins say of two boards, the one of today and one with networks."""

    def __init__(self, pipeline: SeriesPipeline, plan: SeriesPlan, today: SeriesBoard, wider: SeriesBoard) -> None:
        self.plan, self.today, self.wider = plan, today, wider
        self.test = np.flatnonzero(np.isin(plan.examples.origin, plan.origins.test))
        drift = next(f for f in today.forecasts if f.family == BASELINE).median[self.test]
        examples = plan.examples.take(self.test)
        self.rows = ScoredRows.of(examples, drift, plan.origins, pipeline.data.season, TREND_HORIZON)

    def measure_errors(self, one: Backtest) -> dict[str, float]:
        """MAPE by horizon, in per cent."""
        return {str(h): round(self._mape(one, h, self.plan.origins.test), 4) for h in HORIZONS}

    def _mape(self, one: Backtest, horizon: int, origins: Array) -> float:
        chosen = np.isin(self.plan.examples.origin[self.test], origins)
        y, median = self.rows.Y[chosen, horizon - 1], one.median[self.test][chosen, horizon - 1]
        is_known = np.isfinite(y) & (y != 0)
        return float(100 * np.abs(median[is_known] / y[is_known] - 1).mean())

    def compare(self, horizon: int) -> dict[str, Any]:
        """The combination with networks beside today's at a horizon, with its weights at the end of the data."""
        before, after = (_find(board, COMBINATION) for board in (self.today, self.wider))
        pair = (after.quantiles[self.test], before.quantiles[self.test])
        verdict = compare_forecasts(("with networks", "today"), pair, MAPE, self.rows, horizon)
        today = self._mape(before, horizon, self.plan.origins.test)
        blocks = [block for block in self.plan.origins.split_blocks() if block[0] >= self.plan.origins.test[0]]
        interval = verdict.difference
        return {
            "today": round(today, 4),
            "with_networks": round(self._mape(after, horizon, self.plan.origins.test), 4),
            "ratio": round(self._mape(after, horizon, self.plan.origins.test) / today, 4),
            "ratio_interval": [max(0.0, round(1 - interval.high / today, 4)), round(1 - interval.low / today, 4)],
            "method": verdict.method,
            "blocks": [self._describe_block(before, after, horizon, block) for block in blocks],
            "weights_first_test_origin": self._weigh(horizon, int(self.plan.origins.test[0])),
            "weights_last_test_origin": self._weigh(horizon, int(self.plan.origins.test[-1])),
        }

    def _describe_block(self, before: Backtest, after: Backtest, horizon: int, block: Array) -> dict[str, Any]:
        label = self.plan.origins.frequency.label
        ratio = self._mape(after, horizon, block) / self._mape(before, horizon, block)
        return {"from": label(int(block[0])), "to": label(int(block[-1])), "origins": len(block), "ratio": round(ratio, 4)}

    def _weigh(self, horizon: int, origin: int) -> dict[str, float]:
        weights = compute_weights(self.plan, self.wider.forecasts, self.wider.members, origin)[horizon - 1]
        return {name: round(float(w), 3) for name, w in zip((*self.wider.members, "naive"), weights, strict=True)}

    def measure_trend(self) -> dict[str, Any]:
        """Accuracy and balanced accuracy of rising, stable and falling by 2 % at three months."""
        column = [TREND_HORIZON - 1]
        truth = classify_trend(self.rows.last, self.rows.Y[:, column])[:, 0]
        is_known = np.isfinite(truth)
        called = {
            name: classify_trend(self.rows.last, one.median[self.test][:, column])[:, 0]
            for name, one in (
                ("combination of today", _find(self.today, COMBINATION)),
                ("combination with networks", _find(self.wider, COMBINATION)),
                *((f.family, f) for f in self.wider.forecasts if f.family != COMBINATION),
            )
        }
        classes, counts = np.unique(truth[is_known], return_counts=True)
        called["constant, the most frequent class"] = np.full(len(truth), classes[counts.argmax()])
        shares = {f"{int(c):+d}": round(float(n / counts.sum()), 4) for c, n in zip(classes, counts, strict=True)}
        return {
            "shares": shares,
            "families": {name: _score_classes(truth[is_known], guess[is_known]) for name, guess in called.items()},
        }


def _find(board: SeriesBoard, name: str) -> Backtest:
    """The board's forecasts of that name, or of the family that equals it."""
    wanted = board.get_representative(name)
    return next(f for f in board.forecasts if f.family == wanted)


def _score_classes(truth: Array, called: Array) -> dict[str, float]:
    recalls = [float((called[truth == kind] == kind).mean()) for kind in np.unique(truth)]
    accuracy = float((called == truth).mean())
    return {"accuracy": round(accuracy, 4), "balanced_accuracy": round(float(np.mean(recalls)), 4)}


def main(arguments: list[str]) -> int:
    """Measure and write; 0 where the data is absent (said)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panel", choices=PANEL_NAMES, default=PANEL_NAMES[0])
    parser.add_argument("families", nargs="*", default=NETWORKS, metavar="FAMILY", help=f"All of {', '.join(NETWORKS)} if none.")
    given = parser.parse_args(arguments)
    if not DATA.is_dir():
        print(f"No public data in {DATA}; set EPIC22_PUBLIC_DATA.")
        return 0
    result = measure(next(panel for panel in PANELS if panel.name == given.panel), tuple(given.families))
    stored = json.loads(STORE.read_text()) | {given.panel: result}
    STORE.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(insert_networks_section(PAGE.read_text()))
    print(json.dumps(result["combination"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
