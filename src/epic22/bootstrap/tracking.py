"""What is written down of a training at the tracker: parameters, figures, files, and what it ran on and in."""

import os
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

import epic22
from epic22 import __version__
from epic22.adapters.machine import ask
from epic22.adapters.resource_use import ResourceMeter
from epic22.core.artifact.model import Model
from epic22.core.artifact.panel_model import PanelModel
from epic22.core.artifact.row_model import RowModel
from epic22.core.models.networks.device_use import find_used_device
from epic22.core.run_record import InputRecord, RunRecord
from epic22.services.training_run import RowRun, SeriesRun, TrainingRun

DISTRIBUTIONS = (
    *("numpy", "scipy", "polars", "scikit-learn", "statsforecast", "optuna", "mlflow"),
    *("xgboost-cpu", "xgboost", "lightgbm", "catboost", "torch", "onnxruntime", "onnxruntime-gpu"),
)
"""What a model's figures may depend on: the versions of those that are installed are kept."""


def build_run_record(
    run: TrainingRun, folder: Path, figures: Mapping[str, bytes], meter: ResourceMeter, task_file: Path | None, origin: str = ""
) -> RunRecord:
    """The record of a run whose version, report included, lies in a folder. `origin` is the job that trained it: another attempt
    at it makes a record of the same id."""
    device = find_used_device()
    return RunRecord(
        version=run.version,
        data_version=run.data_version,
        parameters={**run.describe_parameters(), **({} if device is None else device.parameters)},
        leaderboard=run.record_families(),
        bundle=folder / "bundle",
        report=folder / "report.html",
        figures=figures,
        metrics={**meter.read(), **({} if device is None else device.metrics)},
        environment={**describe_environment(), "epic22.environment.device": "cpu" if device is None else device.name},
        started_at=meter.started_at,
        task_file=task_file,
        inputs=_describe_inputs(run),
        id=name_run(origin, run.version.task),
    )


def name_run(origin: str, task: str) -> str:
    """The id of the run of a task's training by a job; another at every call without a job."""
    return sha256(f"{origin}/{task}".encode()).hexdigest()[:32] if origin else uuid.uuid4().hex


def describe_environment() -> dict[str, str]:
    """By name, with which code, Python and libraries this process works, and on what system."""
    commit = read_commit(Path(epic22.__file__).parent)
    return {
        "epic22.code_version": __version__,
        **({} if commit is None else {"mlflow.source.git.commit": commit}),
        "epic22.environment.python": platform.python_version(),
        "epic22.environment.platform": platform.platform(),
        "epic22.environment.cores": str(os.cpu_count() or 1),
        **{f"epic22.environment.{name}": number for name, number in _list_versions()},
    }


def _list_versions() -> Iterator[tuple[str, str]]:
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            yield name, version_of(name)


def read_commit(package: Path) -> str | None:
    """The commit that a package's source is of, with "-dirty" behind it where it was changed since; None where it is no checkout.

    A checkout is one only where the package lies in its folder `src`: an environment within another project's is not of it.
    """
    root = package.parents[1]
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    return ask("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None


def _describe_inputs(run: TrainingRun) -> InputRecord | None:
    """What the version is asked, and an example; None for a kind of run that answers nothing."""
    model = _open_run(run)
    if model is None:
        return None
    request = model.request_model()
    names = [] if model.capabilities.needs_sequences else [column.name for column in request.columns]
    return InputRecord({name: request.must_name(name) for name in names}, model.example_row())


def _open_run(run: TrainingRun) -> Model | None:
    match run:
        case RowRun():
            return RowModel(run.version, run.bundle)
        case SeriesRun():
            return PanelModel(run.version, run.bundle)
    return None
