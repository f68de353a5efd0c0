"""A panel trained on, small and quick."""

from functools import cache
from pathlib import Path

from epic22.adapters.model_store import ModelStore
from epic22.core.time_series import MONTHLY, Array
from epic22.services.pipelines.series import ForecastConfig, SeriesPipeline
from epic22.services.train import train
from epic22.services.training_run import SeriesRun
from epic22.spec.panel_file import PanelFile, load_panel_task_data
from tests.folders import folder_of_process
from tests.panels import lines, wide_file

QUICK = ("naive", "drift", "damped_drift", "pooled_linear", "pooled_boosting", "theta")


def forecast_run(
    folder: Path, values: Array, families: tuple[str, ...] = QUICK, order: Array | None = None, holdout: int = 12
) -> tuple[SeriesRun, ModelStore]:
    """A run of horizon 3 on the values as a wide file, promoted as task `rents` in a store below the folder."""
    store = ModelStore(folder / "models")
    run = train(forecast_pipeline(wide_file(folder, values, order=order), families, holdout), store)
    store.promote("rents", run.version.version, run.verdicts)
    return run, store


def forecast_pipeline(path: Path, families: tuple[str, ...] = QUICK, holdout: int = 12) -> SeriesPipeline:
    """What trains on a wide file with a horizon of 3."""
    file = PanelFile(path, "wide", ("zip",), "month", "rent", MONTHLY, 3, "rents", season=1, families=families)
    return SeriesPipeline(load_panel_task_data(file), ForecastConfig(holdout), threads=1)


@cache
def usual_run() -> tuple[SeriesRun, ModelStore]:
    """The run that tests only look at: made once."""
    return forecast_run(folder_of_process(), lines(series=8, periods=84))
