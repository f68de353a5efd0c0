"""Where networks of a training are trained: by the plan of a device, which is looked for when the first one is."""

from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tests.toy import toy

from epic22.bootstrap.doctor import open_device_record, train_on_device
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.machine import Utilisation
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.networks.device import ARCHITECTURE_LAYERS, Device, DeviceList, DevicePlan, Placement
from epic22.core.models.networks.device_use import DeviceUse, UsedDevice, find_used_device, occupy_device, use_device
from epic22.core.models.networks.jobs import TrainingJob
from epic22.core.models.networks.specification import ConvolutionLayers, Layers, LstmLayers, MlpLayers, TransformerLayers
from epic22.core.progress import Noted, Progress, ProgressEvent

WRONG = Placement("gru", "cpu", "GRU: its gradients are wrong by 1 %; up to 0.1 % is rounding")
PLAN = DevicePlan("cuda", (), tuple(WRONG if name == "gru" else Placement(name, "cuda") for name in ARCHITECTURE_LAYERS))


def find_device(layers: Layers) -> str:
    with occupy_device(layers) as device:
        return device


def test_without_a_device_in_use_networks_are_trained_on_the_processor() -> None:
    assert find_device(MlpLayers()) == "cpu"
    assert find_used_device() is None


@pytest.mark.parametrize(
    ("layers", "device"),
    [
        (MlpLayers(), "cuda"),
        (LstmLayers(), "cuda"),
        (LstmLayers(cell="gru"), "cpu"),
        (TransformerLayers(), "cuda"),
        (ConvolutionLayers(), "cuda"),
    ],
)
def test_a_plan_places_each_architecture(layers: Layers, device: str) -> None:
    with use_device(DeviceUse(lambda: PLAN, lambda spans: Utilisation(0.87, 10))):
        assert find_device(layers) == device
        used = find_used_device()
        assert used == (None if device == "cpu" else UsedDevice("cuda", Utilisation(0.87, 10)))
    assert find_device(layers) == "cpu"


def test_how_busy_a_device_was_is_a_figure_where_it_was_measured_and_a_reason_elsewhere() -> None:
    measured, unknown = (UsedDevice("cuda", one) for one in (Utilisation(0.87, 10), Utilisation(None, 0, "nothing says so")))
    assert (measured.parameters, measured.metrics) == ({"device": "cuda"}, {"device_utilisation": 0.87})
    assert unknown.parameters == {"device": "cuda", "device_utilisation_unknown": "nothing says so"}
    assert unknown.metrics == {}


def test_the_plan_is_looked_for_once_and_not_before_the_first_network() -> None:
    searches: list[int] = []

    def find_plan() -> DevicePlan:
        searches.append(1)
        return PLAN

    with use_device(DeviceUse(find_plan, lambda spans: Utilisation(None, 0, "nothing says so"))):
        assert find_used_device() is None
        assert searches == []
        find_device(MlpLayers())
        find_device(LstmLayers())
        assert find_used_device() is not None
    assert searches == [1]


def test_a_thread_that_takes_the_context_along_trains_on_the_same_device() -> None:
    devices: list[str] = []
    with use_device(DeviceUse(lambda: PLAN, lambda spans: Utilisation(0.5, 1))) as use:
        context = copy_context()
        thread = Thread(target=lambda: devices.append(context.run(find_device, MlpLayers())))
        thread.start()
        thread.join()
    assert devices == ["cuda"]
    assert len(use.spans) == 1


@dataclass(frozen=True)
class Probe:
    """A PyTorch whose only accelerator is, or is not, there."""

    reason: str | None = None

    def list_devices(self) -> DeviceList:
        return DeviceList("2.13.0", (Device("cuda", "NVIDIA H200", self.reason),))


def use_probe(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    monkeypatch.setattr("epic22.bootstrap.doctor.NetworkProbe", lambda threads=1: probe)


def collect_notes(settings: Settings, device: str) -> tuple[str, list[str]]:
    """Where a perceptron is trained, and what is said of it."""
    events: list[ProgressEvent] = []
    with train_on_device(settings, device, Progress(events.append)):
        place = find_device(MlpLayers())
    return place, [event.text for event in events if isinstance(event, Noted)]


def test_auto_is_the_processor_until_the_doctor_found_a_device_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_probe(monkeypatch, Probe())
    settings = Settings(tmp_path, 1)
    assert collect_notes(settings, "auto") == ("cpu", [])
    open_device_record(settings).save(PLAN)
    assert collect_notes(settings, "cpu") == ("cpu", [])
    assert collect_notes(settings, "auto") == (
        "cuda",
        [
            "networks that train on CUDA: mlp, lstm, transformer, cnn",
            "gru trains on the processor, for on CUDA GRU: its gradients are wrong by 1 %; up to 0.1 % is rounding",
        ],
    )


def test_a_device_that_is_not_there_any_more_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_probe(monkeypatch, Probe("PyTorch sees no driver"))
    settings = Settings(tmp_path, 1)
    open_device_record(settings).save(PLAN)
    note = "networks train on the processor: CUDA was sound before, and is not there now (PyTorch sees no driver)"
    assert collect_notes(settings, "auto") == ("cpu", [note])
    with pytest.raises(UserError, match="--device cuda: PyTorch sees no driver; give cpu"):
        collect_notes(settings, "cuda")


def test_a_named_device_is_the_one_that_was_found_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_probe(monkeypatch, Probe())
    settings = Settings(tmp_path, 1)
    open_device_record(settings).save(PLAN)
    assert collect_notes(settings, "cuda")[0] == "cuda"


@pytest.mark.slow
def test_a_named_device_that_there_is_not_is_refused_before_the_training(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with (
        pytest.raises(UserError, match=r"--device cuda: .*; give cpu"),
        train_on_device(Settings(tmp_path, 1), "cuda", Progress()),
    ):
        raise AssertionError("a training began")


class NotTrainedError(Exception):
    """Raised in the place of a training, with the job."""


@pytest.mark.slow
@pytest.mark.parametrize(("family", "device"), [("mlp", "cuda"), ("gru", "cpu")])
def test_a_family_is_trained_where_the_plan_says(family: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")

    def refuse(job: TrainingJob, *rest: Any) -> None:
        raise NotTrainedError(job)

    monkeypatch.setattr("epic22.core.models.networks.estimator.train_network_rows", refuse)
    problem = LearningProblem.of(toy("binary", 60).task)
    X, y = np.zeros((60, len(problem.categorical)), np.float32), np.arange(60) % 2.0
    with use_device(DeviceUse(lambda: PLAN, lambda spans: Utilisation(0.5, 1))), pytest.raises(NotTrainedError) as raised:
        get_family(family).build(problem, 0, 1).fit(X, y)
    assert raised.value.args[0].device == device
