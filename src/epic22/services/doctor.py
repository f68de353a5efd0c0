"""Look at the machine that this runs on: what networks may be trained on, what is wrong, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from epic22.core.errors import NotInstalledError, UserError
from epic22.core.machine import Library, Machine, OpenmpRuntimes
from epic22.core.models.networks.device import (
    ARCHITECTURE_LAYERS,
    DEVICE_TITLES,
    Device,
    DeviceList,
    DevicePlan,
    LayerCheck,
    MeasuredSpeed,
    choose_device,
)
from epic22.core.models.networks.graph_provider import ProviderPlan
from epic22.core.progress import Progress

CPU = Device("cpu", DEVICE_TITLES["cpu"], None)
SPEED_ARCHITECTURES = ("lstm", "transformer")
BATCH = 1024
SECONDS, PROCESSOR_SECONDS = 4.0, 2.0
"""How long training is timed: long enough for some twenty looks at how busy an accelerator is; and on the processor."""
INSTALL = "pip install torch, then pip install 'epic22[neural]'"


@dataclass(frozen=True)
class MachineProblem:
    """What is wrong, and what to do about it, a sentence each."""

    what: str
    advice: str


@dataclass(frozen=True)
class SpeedUp:
    """Training of an architecture on a device and on the processor."""

    architecture: str
    device: MeasuredSpeed
    processor: MeasuredSpeed

    @property
    def factor(self) -> float | None:
        """How many times as many rows a second the device trains on; None where one of both could not be measured."""
        speed, other = self.device.speed, self.processor.speed
        return None if speed is None or other is None else speed.rows_per_second / other.rows_per_second


@dataclass(frozen=True)
class Diagnosis:
    """What was found of a machine. Without PyTorch there are no devices, checks and plan; without onnxruntime no `providers` of
    answers."""

    machine: Machine
    libraries: tuple[Library, ...]
    pytorch: DeviceList | None
    openmp: OpenmpRuntimes | None
    device: Device
    checks: tuple[LayerCheck, ...]
    plan: DevicePlan | None
    speeds: tuple[SpeedUp, ...]
    problems: tuple[MachineProblem, ...]
    notes: tuple[str, ...]
    providers: ProviderPlan | None = None

    @property
    def verdict(self) -> str:
        """What networks are trained on here, in a sentence."""
        if self.plan is None:
            return "Trees and linear models train here; networks do not."
        by_device: dict[str, list[str]] = {}
        for one in self.plan.architectures:
            is_wrong = one.fault is not None and self.plan.device == one.device
            by_device.setdefault("nowhere" if is_wrong else f"on {DEVICE_TITLES[one.device]}", []).append(one.name)
        places = [f"{', '.join(names)} {place}" for place, names in by_device.items()]
        return f"Networks train here: {'; '.join(places)}."


class MachineReader(Protocol):
    """What reads a machine without importing a library that must not share a process with others."""

    def read_machine(self) -> Machine:
        """The machine."""

    def list_libraries(self) -> tuple[Library, ...]:
        """The libraries that matter, absent ones too."""

    def check_openmp(self) -> OpenmpRuntimes:
        """The OpenMP runtimes of a process that loads PyTorch and XGBoost."""


class DeviceProbe(Protocol):
    """What asks PyTorch, in processes of its own."""

    def list_devices(self) -> DeviceList:
        """PyTorch's version and accelerators."""

    def check_layers(self, device: str, progress: Progress) -> tuple[LayerCheck, ...]:
        """Every check on a device."""

    def measure_speed(self, architecture: str, device: Device, batch: int, seconds: float) -> MeasuredSpeed:
        """How long a step of training takes there."""


def diagnose_machine(
    reader: MachineReader, probe: DeviceProbe, device: str = "auto", progress: Progress = Progress()
) -> Diagnosis:
    """What a machine is, whether a device computes what it should, and how fast; `auto` is the accelerator that there is, else
    the processor.

    Raises UserError for a device that there is not, and NotInstalledError for one where PyTorch is not installed.
    """
    _refuse_unknown(device)
    progress.begin("machine", 1)
    machine, libraries = reader.read_machine(), reader.list_libraries()
    if not _is_installed(libraries, "torch"):
        if device != "auto":
            raise NotInstalledError(f"--device {device}: PyTorch is not installed; {INSTALL}.")
        problem = MachineProblem(
            "PyTorch is not installed, so no network can be trained.", f"Where you want networks: {INSTALL}."
        )
        return Diagnosis(machine, libraries, None, None, CPU, (), None, (), (problem,), _list_notes(machine, libraries))
    pytorch = probe.list_devices()
    chosen = _select_device(pytorch, device)
    openmp = reader.check_openmp() if _is_installed(libraries, "xgboost") and pytorch.fault is None else None
    checks, plan, speeds = _check_device(probe, pytorch, chosen, progress)
    problems = (
        *_find_device_problems(machine, pytorch),
        *_find_layer_problems(plan),
        *_find_speed_problems(speeds),
        *_find_openmp_problems(machine, openmp),
    )
    notes = _list_notes(machine, libraries)
    return Diagnosis(machine, libraries, pytorch, openmp, chosen, checks, plan, speeds, problems, notes)


def plan_device(reader: MachineReader, probe: DeviceProbe, device: str, progress: Progress = Progress()) -> DevicePlan:
    """The plan of a device by its checks alone.

    Raises UserError for a device that there is not, and NotInstalledError where PyTorch is not installed or cannot be imported.
    """
    _refuse_unknown(device)
    if not _is_installed(reader.list_libraries(), "torch"):
        raise NotInstalledError(f"--device {device}: PyTorch is not installed; {INSTALL}.")
    pytorch = probe.list_devices()
    if pytorch.fault is not None:
        raise NotInstalledError(f"--device {device}: {_describe_broken_pytorch(pytorch)}")
    chosen = _select_device(pytorch, device)
    progress.begin(f"layers on {DEVICE_TITLES[chosen.name]}", 0)
    return choose_device(probe.check_layers(chosen.name, progress), chosen.name)


def _refuse_unknown(device: str) -> None:
    if device not in ("auto", *DEVICE_TITLES):
        raise UserError(f"--device is {device!r}; give auto, {', '.join(DEVICE_TITLES)}.")


def _is_installed(libraries: Sequence[Library], name: str) -> bool:
    return any(one.name == name and one.version is not None for one in libraries)


def _select_device(pytorch: DeviceList, name: str) -> Device:
    """The device of that name. Raises UserError where it cannot be used."""
    if name == "cpu" or pytorch.fault is not None:
        return CPU
    usable = [one for one in pytorch.devices if one.reason is None]
    if name == "auto":
        return usable[0] if usable else CPU
    for one in pytorch.devices:
        if one.name == name and one.reason is not None:
            raise UserError(f"--device {name}: {one.reason}; give {' or '.join(['cpu', *(other.name for other in usable)])}.")
    return next(one for one in pytorch.devices if one.name == name)


def _check_device(
    probe: DeviceProbe, pytorch: DeviceList, device: Device, progress: Progress
) -> tuple[tuple[LayerCheck, ...], DevicePlan | None, tuple[SpeedUp, ...]]:
    """What each layer does on the device, what follows, and how much faster it is than the processor."""
    if pytorch.fault is not None:
        return (), None, ()
    progress.begin(f"layers on {DEVICE_TITLES[device.name]}", 0)
    checks = probe.check_layers(device.name, progress)
    plan = choose_device(checks, device.name)
    trained = [name for name in SPEED_ARCHITECTURES if device != CPU and plan.get_placement(name).device == device.name]
    if trained:
        progress.begin("speed", len(trained))
    return checks, plan, tuple(_measure_speed_up(probe, name, device, progress) for name in trained)


def _measure_speed_up(probe: DeviceProbe, architecture: str, device: Device, progress: Progress) -> SpeedUp:
    speed = probe.measure_speed(architecture, device, BATCH, SECONDS)
    other = probe.measure_speed(architecture, CPU, BATCH, PROCESSOR_SECONDS)
    progress.step()
    return SpeedUp(architecture, speed, other)


def _describe_broken_pytorch(pytorch: DeviceList) -> str:
    return f"PyTorch is installed and cannot be imported: the process that tried {pytorch.fault}."


def _find_device_problems(machine: Machine, pytorch: DeviceList) -> list[MachineProblem]:
    if pytorch.fault is not None:
        return [MachineProblem(_describe_broken_pytorch(pytorch), "Install it anew: pip install --force-reinstall torch.")]
    if not machine.graphics or any(one.reason is None for one in pytorch.devices):
        return []
    name = "mps" if machine.is_mac else "cuda"
    reason = next((one.reason for one in pytorch.devices if one.name == name), "it is not among PyTorch's devices")
    advice = "Install PyTorch's own build for it (pytorch.org, Get started), and its driver where that is missing."
    return [MachineProblem(f"{machine.graphics[0]} is not used: {reason}.", advice)]


def _find_layer_problems(plan: DevicePlan | None) -> list[MachineProblem]:
    """One problem for all layers of which the same is wrong."""
    by_fault: dict[str, list[str]] = {}
    for one in () if plan is None else plan.fallbacks:
        by_fault.setdefault(str(one.fault), []).append(one.name)
    return [] if plan is None else [_describe_wrong_layers(plan.device, layers, fault) for fault, layers in by_fault.items()]


def _describe_wrong_layers(device: str, layers: Sequence[str], fault: str) -> MachineProblem:
    affected = [name for name, parts in ARCHITECTURE_LAYERS.items() if not set(parts).isdisjoint(layers)]
    where = "nowhere here" if device == "cpu" else "on the processor"
    verb = "trains" if len(affected) == 1 else "train"
    others = "Another version of PyTorch" if device == "cpu" else "Another version of PyTorch or of the driver"
    advice = f"{', '.join(affected)} {verb} {where}. {others} may mend it."
    return MachineProblem(f"Wrong on {DEVICE_TITLES[device]}: {', '.join(layers)}: {fault}.", advice)


def _find_speed_problems(speeds: Sequence[SpeedUp]) -> list[MachineProblem]:
    problems = []
    for one in speeds:
        fault = one.device.fault or one.processor.fault
        if fault is not None:
            problems.append(
                MachineProblem(f"The speed of {one.architecture} was not measured: {fault}.", "Train with --device cpu.")
            )
        elif one.factor is not None and one.factor < 1:
            what = f"{one.architecture} takes {1 / one.factor:.1f} times as long on the accelerator as on the processor."
            problems.append(MachineProblem(what, "Train with --device cpu where batches are small."))
    return problems


def _find_openmp_problems(machine: Machine, openmp: OpenmpRuntimes | None) -> list[MachineProblem]:
    """On a Mac it is expected that a process does not survive both: networks never share one with trees there."""
    if openmp is None or openmp.fault is None or machine.is_mac:
        return []
    what = f"PyTorch and XGBoost do not work in one process here: it {openmp.fault}."
    return [MachineProblem(what, "Set OMP_NUM_THREADS=1 before a training with networks and trees, or train them apart.")]


def _list_notes(machine: Machine, libraries: Sequence[Library]) -> tuple[str, ...]:
    """What is no problem and good to know."""
    notes = []
    if machine.is_mac:
        notes.append("Networks train in a process of their own here, for PyTorch and XGBoost bring an OpenMP runtime each.")
    if machine.is_mac or _is_installed(libraries, "tensorflow"):
        notes.append(
            "TensorFlow computes on no Mac's graphics processor: the last release of its Metal plugin is of January 2025, and "
            "breaks from TensorFlow 2.18 on. PyTorch does."
        )
    return tuple(notes)
