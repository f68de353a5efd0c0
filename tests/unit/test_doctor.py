"""The doctor: what it reads of a machine, what it makes of it, and that nothing that dies takes it along."""

import json
import math
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from epic22.adapters.device_record import DeviceRecord
from epic22.adapters.network_probe import NetworkProbe
from epic22.adapters.probe_process import Record, run_probe
from epic22.adapters.utilisation import UtilisationSampler, sample_utilisation
from epic22.cli.doctor import print_diagnosis
from epic22.core.errors import NotInstalledError, UserError
from epic22.core.machine import Library, Limits, Machine, OpenmpRuntimes, Utilisation, read_limits
from epic22.core.models.networks.device import (
    ARCHITECTURE_LAYERS,
    Device,
    DeviceList,
    LayerCheck,
    MeasuredSpeed,
    StepSpeed,
    choose_device,
)
from epic22.core.progress import Progress
from epic22.services.doctor import Diagnosis, diagnose_machine

LINUX = Machine("AMD EPYC (x86_64)", 16, 16, 128 << 30, Limits(), "Debian 12", "3.11.7", ("NVIDIA H200 with driver 570.1",))
MAC = replace(LINUX, system="macOS 15.1", processor="Apple M4", graphics=("Apple M4, macOS 15.1",), is_mac=True)
INSTALLED = (Library("xgboost", "xgboost-cpu", "3.2.0"), Library("torch", "torch", "2.13.0"), Library("tensorflow"))
GPU = Device("cuda", "NVIDIA H200", None, 150 << 30, "GPU-1")
NO_METAL = Device("mps", "", "this build of PyTorch, 2.13.0, has no Metal")
WITH_GPU = DeviceList("2.13.0", (GPU, NO_METAL))
TWO_RUNTIMES = OpenmpRuntimes(("torch/lib/libgomp.so.1", "xgboost.libs/libgomp.so"), None)
LAYERS = sorted({layer for layers in ARCHITECTURE_LAYERS.values() for layer in layers})


def check_all(device: str, *others: LayerCheck) -> tuple[LayerCheck, ...]:
    """Every layer sound on a device, but for others."""
    checks = {layer: LayerCheck(layer, device, 1e-6, 1e-5) for layer in LAYERS}
    return tuple({**checks, **{other.layer: other for other in others}}.values())


@dataclass(frozen=True)
class Reader:
    """A machine as it is given."""

    machine: Machine = LINUX
    libraries: tuple[Library, ...] = INSTALLED
    openmp: OpenmpRuntimes = TWO_RUNTIMES

    def read_machine(self) -> Machine:
        return self.machine

    def list_libraries(self) -> tuple[Library, ...]:
        return self.libraries

    def check_openmp(self) -> OpenmpRuntimes:
        return self.openmp


@dataclass(frozen=True)
class Probe:
    """A PyTorch as it is given; `seconds` a step takes by device."""

    devices: DeviceList = WITH_GPU
    wrong: tuple[LayerCheck, ...] = ()
    seconds: dict[str, float] = field(default_factory=lambda: {"cuda": 0.01, "mps": 0.1, "cpu": 0.2})

    def list_devices(self) -> DeviceList:
        return self.devices

    def check_layers(self, device: str, progress: Progress) -> tuple[LayerCheck, ...]:
        return check_all(device, *self.wrong)

    def measure_speed(self, architecture: str, device: Device, batch: int, seconds: float) -> MeasuredSpeed:
        busy = Utilisation(None, 0, "nobody looks") if device.name == "cpu" else Utilisation(0.93, 20)
        return MeasuredSpeed(StepSpeed(architecture, device.name, batch, 10, self.seconds[device.name]), busy)


def list_problems(diagnosis: Diagnosis) -> Sequence[str]:
    return [problem.what for problem in diagnosis.problems]


def test_a_sound_accelerator_trains_every_architecture_and_is_measured() -> None:
    diagnosis = diagnose_machine(Reader(), Probe())
    assert diagnosis.verdict == "Networks train here: mlp, lstm, gru, transformer, cnn on CUDA."
    assert list_problems(diagnosis) == []
    assert [(one.architecture, one.factor) for one in diagnosis.speeds] == [("lstm", 20.0), ("transformer", 20.0)]


def test_a_wrong_layer_is_named_with_what_trains_on_the_processor_for_it() -> None:
    wrong = LayerCheck("GRU", "cuda", 1e-6, 0.01)
    diagnosis = diagnose_machine(Reader(), Probe(wrong=(wrong,)))
    (problem,) = diagnosis.problems
    assert problem.what == "Wrong on CUDA: GRU: its gradients are wrong by 1 %; up to 0.1 % is rounding."
    assert problem.advice.startswith("gru trains on the processor.")
    assert diagnosis.verdict == "Networks train here: mlp, lstm, transformer, cnn on CUDA; gru on the processor."


def test_what_every_architecture_is_built_of_leaves_none_on_the_accelerator_and_no_speed_to_measure() -> None:
    diagnosis = diagnose_machine(Reader(), Probe(wrong=(LayerCheck("optimiser", "cuda", math.nan, 0.0),)))
    assert diagnosis.verdict == "Networks train here: mlp, lstm, gru, transformer, cnn on the processor."
    assert diagnosis.speeds == ()


def test_what_the_processor_computes_wrong_trains_nowhere() -> None:
    probe = Probe(DeviceList("2.13.0", (NO_METAL,)), (LayerCheck("GRU", "cpu", 1.0, 1.0),))
    diagnosis = diagnose_machine(Reader(replace(LINUX, graphics=())), probe)
    assert diagnosis.verdict == "Networks train here: mlp, lstm, transformer, cnn on the processor; gru nowhere."
    assert diagnosis.problems[0].advice == "gru trains nowhere here. Another version of PyTorch may mend it."


def test_a_slow_accelerator_is_a_problem() -> None:
    diagnosis = diagnose_machine(Reader(), Probe(seconds={"cuda": 0.4, "cpu": 0.2}))
    assert list_problems(diagnosis)[0] == "lstm takes 2.0 times as long on the accelerator as on the processor."


def test_a_graphics_processor_that_pytorch_does_not_see_is_a_problem_with_its_reason() -> None:
    blind = DeviceList("2.13.0", (Device("cuda", "", "this build of PyTorch, 2.13.0+cpu, has no CUDA"), NO_METAL))
    (problem,) = diagnose_machine(Reader(), Probe(blind)).problems
    assert problem.what == "NVIDIA H200 with driver 570.1 is not used: this build of PyTorch, 2.13.0+cpu, has no CUDA."


def test_without_pytorch_there_is_a_report_with_what_to_install() -> None:
    reader = Reader(libraries=(INSTALLED[0], Library("torch")))
    diagnosis = diagnose_machine(reader, Probe())
    assert diagnosis.plan is None
    assert "pip install 'epic22[neural]'" in diagnosis.problems[0].advice
    with pytest.raises(NotInstalledError, match=r"--device cuda: PyTorch is not installed; pip install torch"):
        diagnose_machine(reader, Probe(), "cuda")


def test_a_pytorch_that_cannot_be_imported_is_one_sentence() -> None:
    fault = "ended with ImportError: libcudart.so.12: cannot open shared object file"
    diagnosis = diagnose_machine(Reader(), Probe(DeviceList(None, (), fault)))
    assert list_problems(diagnosis) == [f"PyTorch is installed and cannot be imported: the process that tried {fault}."]
    assert diagnosis.verdict == "Trees and linear models train here; networks do not."


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu", r"--device is 'tpu'; give auto, cpu, cuda, mps\."),
        ("mps", r"--device mps: this build of PyTorch, 2\.13\.0, has no Metal; give cpu or cuda\."),
    ],
)
def test_a_device_that_there_is_not_is_refused_with_those_that_there_are(device: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        diagnose_machine(Reader(), Probe(), device)


def test_the_processor_is_checked_where_it_is_named() -> None:
    assert diagnose_machine(Reader(), Probe(), "cpu").device.name == "cpu"


def test_a_mac_is_told_of_its_two_runtimes_and_of_tensorflow_and_neither_is_a_problem() -> None:
    fault = "was ended by signal 6 (SIGABRT)"
    probe = Probe(DeviceList("2.13.0", (Device("cuda", "", "none"), Device("mps", "Apple M4", None))))
    diagnosis = diagnose_machine(Reader(MAC, openmp=OpenmpRuntimes(("a", "b"), fault)), probe)
    assert list_problems(diagnosis) == []
    own, tensorflow = diagnosis.notes
    assert "process of their own" in own
    assert "January 2025" in tensorflow
    assert "2.18" in tensorflow


def test_two_runtimes_that_end_a_process_elsewhere_are_a_problem() -> None:
    reader = Reader(openmp=OpenmpRuntimes(("a", "b"), "did not end within 90 s"))
    assert list_problems(diagnose_machine(reader, Probe())) == [
        "PyTorch and XGBoost do not work in one process here: it did not end within 90 s."
    ]


def write_group(root: Path, place: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / place
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_the_smallest_limit_of_all_control_groups_above_a_process_holds(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/box/inner\n")
    write_group(tmp_path, "box/inner", memory__max="max\n", cpu__max="max 100000\n")
    (tmp_path / "sys/fs/cgroup/box/memory.max").write_text("4000000000\n")
    (tmp_path / "sys/fs/cgroup/box/cpu.max").write_text("150000 100000\n")
    assert read_limits(tmp_path) == Limits(4_000_000_000, 1.5)


def test_limits_of_the_first_version_of_control_groups_are_read_under_the_name_inside_the_container(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n")
    write_group(tmp_path, "memory", memory__limit_in_bytes="2000000000\n")
    write_group(tmp_path, "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert read_limits(tmp_path) == Limits(2_000_000_000, None)


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by signal 11 (SIGSEGV)"),
        ("import time; time.sleep(60)", "did not end within 1 s"),
        ("raise ImportError('libcudart.so.12 is absent')", "ended with ImportError: libcudart.so.12 is absent"),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("print('{\"a\": 1}')", None),
    ],
)
def test_how_a_process_ends_is_said(script: str, fault: str | None) -> None:
    records: list[Record] = []
    assert run_probe(["-c", script], 1.0 if "sleep" in script else 60.0, records.append).fault == fault
    assert records == ([] if fault else [{"a": 1}])


DYING = """
import json, os, signal, sys
skipped = sys.argv[-1].split(";")
for layer in ("one", "two", "three"):
    if layer in skipped:
        continue
    print("a library says something here")
    print(json.dumps({"begins": layer}), flush=True)
    if layer == "two":
        os.kill(os.getpid(), signal.SIGKILL)
    check = {"layer": layer, "device": "cuda", "forward_error": 0.0, "gradient_error": 0.0}
    print(json.dumps({"check": check}), flush=True)
"""


@pytest.mark.slow
def test_a_process_that_dies_at_a_layer_costs_that_layer_alone() -> None:
    checks = NetworkProbe(program=("-c", DYING)).check_layers("cuda")
    assert [(one.layer, one.reason) for one in checks] == [
        ("one", None),
        ("two", "the process that computed it was ended by signal 9 (SIGKILL)"),
        ("three", None),
    ]


@pytest.mark.slow
def test_a_process_that_dies_before_the_first_layer_is_not_started_for_ever() -> None:
    assert NetworkProbe(program=("-c", "raise SystemExit(1)")).check_layers("cuda") == ()
    speed = NetworkProbe(program=("-c", "raise SystemExit('no memory')")).measure_speed("lstm", GPU, 8, 0.1)
    assert speed == MeasuredSpeed(None, Utilisation(None, 0), "the process ended with no memory")


def write_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool in the place of NVIDIA's: every hundredth of a second the processor is busy for 40, then 60 per cent."""
    tool = folder / "nvidia-smi"
    loop = "import sys, time\nassert '-i' in sys.argv\nwhile True:\n    print('40\\n60', flush=True)\n    time.sleep(0.01)\n"
    tool.write_text(f"#!{sys.executable}\n{loop}")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.slow
def test_an_accelerator_is_looked_at_while_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nvidia_smi(tmp_path, monkeypatch)
    script = (
        "import json, time; time.sleep(1); print(json.dumps({'begins': 'lstm'}), flush=True); time.sleep(1)\n"
        "speed = dict(architecture='lstm', device='cuda', batch=8, steps=1, seconds=1.0)\n"
        "print(json.dumps({'speed': speed}))"
    )
    measured = NetworkProbe(program=("-c", script)).measure_speed("lstm", GPU, 8, 1.0)
    assert measured.utilisation.mean == pytest.approx(0.5, abs=0.05)
    assert measured.utilisation.looks > 10
    assert measured.speed is not None


def test_only_looks_between_two_moments_count() -> None:
    sampler = UtilisationSampler([(1.0, 0.1), (2.0, 0.8), (3.0, 1.0), (9.0, 0.0)])
    assert sampler.average([(2.0, 2.5), (2.9, 3.0)]) == Utilisation(0.9, 2)


def test_where_nothing_says_how_busy_it_is_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for device in ("cuda", "mps", "cpu"):
        with sample_utilisation(device) as sampler:
            pass
        assert sampler.average([(0.0, math.inf)]).reason == "nothing here says how busy the accelerator is"


def test_a_plan_is_found_again_until_a_version_changes(tmp_path: Path) -> None:
    plan = choose_device(check_all("cuda", LayerCheck("GRU", "cuda", 1e-6, 0.5)), "cuda")
    record = DeviceRecord(tmp_path / "doctor" / "device.json", ("torch 2.13.0", "driver 1"))
    assert record.load() is None
    record.save(plan)
    assert record.load() == plan
    assert replace(record, identity=("torch 2.14.0", "driver 1")).load() is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "identity": ["a"], "plan": {"device": "cuda"}}'])
def test_a_damaged_plan_is_no_plan(content: str, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(content)
    assert DeviceRecord(path, ("a",)).load() is None


@pytest.mark.parametrize("columns", [80, 120])
def test_what_is_printed_is_short_and_ends_with_the_verdict(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    limited = replace(LINUX, limits=Limits(8_000_000_000, 1.5))
    diagnosis = diagnose_machine(Reader(limited), Probe(wrong=(LayerCheck("GRU", "cuda", 1e-6, 0.01),)))
    print_diagnosis(diagnosis)
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line[:1] in "┏┃┡│└"]
    assert max(map(len, table)) <= columns
    assert len(table) < 24
    assert lines[-1] == diagnosis.verdict
    text = " ".join(" ".join(lines).replace("│", " ").split())
    for words in ("limited to 8.0 GB", "limited to the time of 1.5", "102,400 rows a second, 20.0 × the processor; 93 % busy"):
        assert words in text


def test_json_of_a_diagnosis_has_no_number_that_is_none() -> None:
    from epic22.core.serialization import to_json

    diagnosis = diagnose_machine(Reader(), Probe(wrong=(LayerCheck("GRU", "cuda", math.nan, math.nan, "it ended"),)))
    assert json.loads(json.dumps(to_json(diagnosis), allow_nan=False))["device"]["uuid"] == "GPU-1"
