"""The benchmark of accelerators: what it says where there is none, what it measures, and what it calls missed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.benchmark_modules import benchmark_module

from epic22.core.models.networks.device import Device, DeviceList

accelerator = benchmark_module("accelerator")
NO_CUDA = Device("cuda", "", "this build of PyTorch has no CUDA")
METAL = Device("mps", "Apple M4", None)


@dataclass(frozen=True)
class Probe:
    devices: DeviceList

    def list_devices(self) -> DeviceList:
        return self.devices


def test_the_first_accelerator_that_can_be_used_is_chosen() -> None:
    probe = Probe(DeviceList("2.13.0", (NO_CUDA, METAL)))
    assert accelerator.select_device(probe, "auto") == METAL
    assert accelerator.select_device(probe, "cpu").name == "cpu"
    assert accelerator.select_device(probe, "cuda").startswith("No accelerator is here that PyTorch can use (cuda: this build")


def test_where_pytorch_cannot_be_asked_that_is_said() -> None:
    probe = Probe(DeviceList(None, (), "ended with ImportError: libtorch.so is absent"))
    assert "ImportError: libtorch.so is absent" in accelerator.select_device(probe, "auto")


def test_without_an_accelerator_one_sentence_is_printed_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "NetworkProbe", lambda threads: Probe(DeviceList("2.13.0", (NO_CUDA,))))
    accelerator.main(["--results", str(tmp_path / "results.json")])
    assert capsys.readouterr().out.endswith("nothing was measured.\n")
    assert list(tmp_path.iterdir()) == []


def describe_speed(architecture: str, busy: float | None, factor: float | None) -> dict[str, Any]:
    speed = {"architecture": architecture, "device": "cuda", "batch": 4096, "steps": 10, "seconds": 0.01}
    device = {"speed": speed, "utilisation": {"mean": busy, "looks": 20, "reason": None}, "fault": None}
    return {"architecture": architecture, "device": device, "processor": {"fault": None}, "factor": factor}


def describe_family(way: str, loss: float) -> dict[str, Any]:
    training = {"architecture": "mlp", "way": way, "loss": loss, "processor_loss": 0.41, "weights": 1e-4, "fault": None}
    return training | {"difference": abs(loss - 0.41) / 0.41}


def collect_results(busy: float | None, factor: float, difference: float) -> dict[str, Any]:
    loss = {"architecture": "lstm", "steps": 100, "device_loss": 0.5, "processor_loss": 0.5, "difference": difference}
    return {
        "machine": "here",
        "device": {"name": "cuda", "title": "NVIDIA H200"},
        "size": {"windows": 1_000_000},
        "seconds": 300,
        "checks": [{"reason": None}, {"reason": "its gradients are wrong by 1 %"}],
        "fallbacks": [{"name": "GRU", "fault": "its gradients are wrong by 1 %"}],
        "speeds": [describe_speed("lstm", busy, factor)],
        "losses": [loss],
        "families": [describe_family("float32", 0.41), describe_family("bfloat16", 0.42)],
        "skipped": ["transformer: no time was left"],
    }


def test_the_page_says_what_was_measured_and_what_was_wrong() -> None:
    page = accelerator.describe_results(collect_results(0.93, 20.0, 0.0))
    assert "NVIDIA H200 (cuda). 1,000,000 windows" in page
    assert "Layers: 1 of 2 right" in page
    assert "| lstm | 4,096 | 409,600 | 20.0 | 93 % | 0.50000 | 0.50000 |" in page
    assert "| family | processor | float32 | bfloat16 |" in page
    assert "| mlp | 0.41000 | 0.41000 (0.0001) | 0.42000 (0.0001) |" in page
    assert "* GRU: its gradients are wrong by 1 %" in page


@pytest.mark.parametrize(
    ("busy", "factor", "difference", "missed"),
    [
        (0.93, 20.0, 0.001, None),
        (0.42, 20.0, 0.001, "lstm by batches of 4,096 keeps the device busy for 42 % of the time, less than 80 %."),
        (None, 20.0, 0.001, "How busy lstm keeps the device is not known."),
        (0.93, 0.5, 0.001, "lstm is slower there than on the processor."),
        (0.93, 20.0, 0.05, "lstm came to another loss: 5.0 % apart."),
        (0.93, 20.0, float("nan"), "lstm came to another loss: nan % apart."),
    ],
)
def test_what_is_missed_is_a_sentence_each(busy: float | None, factor: float, difference: float, missed: str | None) -> None:
    always = ["GRU is wrong: its gradients are wrong by 1 %.", "Not trained there: transformer: no time was left."]
    assert accelerator.judge(collect_results(busy, factor, difference)) == always + ([] if missed is None else [missed])


def test_a_family_that_comes_to_another_loss_or_is_not_trained_is_missed() -> None:
    results = collect_results(0.93, 20.0, 0.0)
    results["families"] = [
        describe_family("float16", 0.45),
        {"architecture": "cnn", "way": "all", "loss": None, "fault": "the process was ended by signal 9 (SIGKILL)"},
    ]
    assert accelerator.judge(results)[2:] == [
        "mlp (float16) came to another loss: 9.8 % apart.",
        "cnn (all) was not trained: the process was ended by signal 9 (SIGKILL).",
    ]
    assert "| cnn | – | – | the process was ended by signal 9 (SIGKILL) |" in accelerator.describe_results(results)


@pytest.mark.slow
def test_every_way_of_training_comes_to_one_loss_on_the_processor() -> None:
    pytest.importorskip("torch")
    families = benchmark_module("accelerator_families")
    sample = families.build_sample("mlp", 600, 200)
    trained = {one.way: one for one in families.train_ways("mlp", "cpu", 1, sample)}
    assert list(trained) == list(families.WAYS)
    assert trained["float32 again"].weights == trained["stopped and gone on"].weights == 0
    assert all(one.difference < accelerator.MAX_WAY_DIFFERENCE for one in trained.values())
    assert trained["bfloat16"].weights > 0


@pytest.mark.slow
def test_windows_are_trained_on_and_both_places_come_to_one_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    training = benchmark_module("accelerator_training")
    starts: list[int] = []
    speed = training.measure_training("transformer", "cpu", 200, 64, 0.05, lambda: starts.append(1))
    assert starts == [1]
    assert speed.steps >= 1
    for name, value in (("TRAINED", 200), ("HELD_OUT", 50), ("BATCH", 32)):
        monkeypatch.setattr(training, name, value)
    first, second = training.train_both("transformer", "cpu", 3)
    assert first == second > 0
    assert training.train_both("transformer", "cpu", 6)[0] < first
