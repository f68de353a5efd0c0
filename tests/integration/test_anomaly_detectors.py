"""A panel's training with other detectors of anomalies: its own series settle which is used; report and JSON say why."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.panels import wide_file

from epic22.adapters.model_store import ModelStore
from epic22.core.evaluation import window_autoencoder
from epic22.core.serialization import to_json
from epic22.core.time_series import MONTHLY
from epic22.reports.html.forecast import render_forecast_report
from epic22.reports.json import VIEWS
from epic22.services.pipelines.series import ForecastConfig, SeriesPipeline
from epic22.services.recent_anomalies import find_recent_anomalies
from epic22.services.train import train
from epic22.services.training_run import SeriesRun
from epic22.spec.panel_file import PanelFile, load_panel_task_data

pytestmark = pytest.mark.slow

SERIES, PERIODS, ODD = 8, 108, 3
"""A cycle that is not stated, of a sharp shape; the values of one series turn over in their last year."""
SHAPE = np.array([0, 0, 1, 5, 1, 0, 0, 0, -2, -2, 0, 0])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeriesRun]:
    folder, rng = tmp_path_factory.mktemp("detectors"), np.random.default_rng(3)
    values = 100 + 4 * SHAPE[np.arange(PERIODS) % 12] + rng.normal(size=(SERIES, PERIODS))
    values[ODD, -12:] = values[ODD, -12:][::-1]
    path = wide_file(folder, values)
    file = PanelFile(path, "wide", ("zip",), "month", "rent", MONTHLY, 3, "rents", season=1, families=("naive", "drift"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_autoencoder, "STEPS", 150)
        config = ForecastConfig(12, detectors=("autoencoder", "combined"))
        yield train(SeriesPipeline(load_panel_task_data(file), config, threads=1), ModelStore(folder / "models"))


def test_the_detector_that_finds_certainly_more_of_what_is_planted_is_used(run: SeriesRun) -> None:
    residuals, *others = run.detection.evidence
    used = next(one for one in others if one.detector == run.detection.name)
    assert run.detection.tried == ("autoencoder", "combined")
    assert used.gain.low > 0
    assert used.recall > residuals.recall
    assert used.own_rate < 0.02


def test_the_report_and_the_json_say_which_is_used_and_why(run: SeriesRun) -> None:
    page, told = render_forecast_report(run), to_json(run, VIEWS)["anomaly_detector"]
    assert run.detection.reason.partition(" (")[0] in page
    assert told["used"] == run.detection.name
    assert [one["detector"] for one in told["evidence"]] == ["residuals", "autoencoder", "combined"]


def test_an_odd_end_of_a_series_is_among_the_recent_anomalies(run: SeriesRun) -> None:
    assert f"zip {ODD:02d}" in {one.series for one in find_recent_anomalies(run, 50)}
