"""`epic22 doctor` as a user meets it: on this machine, with a fake accelerator, without PyTorch, and with a broken PyTorch."""

import importlib.util
import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from tests import fake_accelerator
from tests.shell import Shell

from epic22.adapters.device_record import DeviceRecord
from epic22.adapters.network_probe import NetworkProbe
from epic22.bootstrap.doctor import ThisMachine
from epic22.cli.doctor import print_diagnosis
from epic22.core.machine import Library
from epic22.services.doctor import diagnose_machine

pytest.importorskip("torch")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


class TorchAlone(ThisMachine):
    """This machine; XGBoost is left out, so that no OpenMP runtimes are looked for."""

    def list_libraries(self) -> tuple[Library, ...]:
        return tuple(library for library in super().list_libraries() if library.name == "torch")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("EPIC22_THREADS", "1")
    return Shell(tmp_path, capsys, monkeypatch)


def test_the_processor_of_this_machine_is_sound(shell: Shell) -> None:
    answer = shell.json("doctor", "--device", "cpu")
    assert answer["verdict"] == "Networks train here: mlp, lstm, gru, transformer, cnn on the processor."
    assert answer["problems"] == []
    assert max(check["gradient_error"] for check in answer["checks"]) < 1e-5
    assert {library["name"] for library in answer["libraries"]} >= {
        "xgboost",
        "torch",
        "onnxruntime",
        "tensorflow",
        "jax",
        "keras",
    }
    assert answer["machine"]["memory"] > 1e8
    # Both libraries were loaded, and the process that loaded them came to its end.
    assert any("torch" in path for path in answer["openmp"]["files"])
    assert answer["openmp"]["fault"] is None
    # Of a processor nothing is kept: it needs no permission.
    assert not (shell.home / "doctor").exists()


def test_an_accelerator_with_a_wrong_layer_and_one_that_kills_trains_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    probe = NetworkProbe(program=("-m", "tests.fake_accelerator", "LSTM=gradient;GRU=kill;dilated convolution=raise"))
    diagnosis = diagnose_machine(TorchAlone(), probe)
    assert diagnosis.device.title == fake_accelerator.TITLE
    assert diagnosis.verdict == "Networks train here: mlp, transformer on CUDA; lstm, gru, cnn on the processor."
    assert [problem.what for problem in diagnosis.problems] == [
        "Wrong on CUDA: LSTM: its gradients are wrong by 1 %; up to 0.1 % is rounding.",
        "Wrong on CUDA: GRU: the process that computed it was ended by signal 11 (SIGSEGV).",
        "Wrong on CUDA: dilated convolution: it cannot be computed there (no kernel of that name).",
    ]
    # What is not trained there is not timed there.
    assert [one.architecture for one in diagnosis.speeds] == ["transformer"]
    assert diagnosis.plan is not None
    record = DeviceRecord(tmp_path / "device.json", ("here",))
    record.save(diagnosis.plan)
    assert record.load() == diagnosis.plan
    print_diagnosis(diagnosis)
    assert f"{fake_accelerator.TITLE} by cuda, 9 GB" in capsys.readouterr().out


def test_a_device_that_is_none_is_refused_in_one_sentence(shell: Shell) -> None:
    code, out, err = shell("doctor", "--device", "tpu")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "epic22: --device is 'tpu'; give auto, cpu, cuda, mps."


def test_without_pytorch_what_to_install_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def find_all_but_torch(name: str) -> ModuleSpec | None:
        return None if name == "torch" else find(name)

    monkeypatch.setattr("epic22.adapters.machine.find_spec", find_all_but_torch)
    code, out, _ = shell("doctor")
    assert code == 0
    assert out.splitlines()[-1] == "Trees and linear models train here; networks do not."
    assert "pip install 'epic22[neural]'" in out
    code, _, err = shell("doctor", "--device", "cuda")
    assert code == 2
    assert err.splitlines()[-1].startswith("epic22: --device cuda: PyTorch is not installed; pip install torch")


def test_a_pytorch_that_cannot_be_imported_is_one_sentence(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text("raise ImportError('libtorch.so is absent')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}:{ROOT / 'src'}")
    answer = json.loads(json.dumps(shell.json("doctor")))
    assert [problem["what"] for problem in answer["problems"]] == [
        "PyTorch is installed and cannot be imported: the process that tried ended with ImportError: libtorch.so is absent."
    ]
    assert answer["plan"] is None
