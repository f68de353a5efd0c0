"""The doctor, with what it looks through; what it finds of a device is kept in the home."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec

from epic22 import __version__
from epic22.adapters.device_record import DeviceRecord
from epic22.adapters.machine import list_graphics, list_libraries, read_machine
from epic22.adapters.network_probe import NetworkProbe
from epic22.adapters.openmp import check_openmp
from epic22.adapters.utilisation import UtilisationSampler, sample_utilisation
from epic22.config import Settings
from epic22.core.machine import Library, Machine, OpenmpRuntimes
from epic22.core.models.networks.device import DEVICE_TITLES, DevicePlan
from epic22.core.models.networks.device_use import DeviceUse, use_device
from epic22.core.models.networks.graph_provider import ProviderPlan, plan_provider
from epic22.core.progress import Progress
from epic22.services.doctor import Diagnosis, diagnose_machine, plan_device


@dataclass(frozen=True)
class ThisMachine:
    """The machine that this runs on."""

    def read_machine(self) -> Machine:
        """What it is."""
        return read_machine()

    def list_libraries(self) -> tuple[Library, ...]:
        """The libraries that matter, absent ones too."""
        return list_libraries()

    def check_openmp(self) -> OpenmpRuntimes:
        """The OpenMP runtimes of a process that loads PyTorch and XGBoost."""
        return check_openmp()


def examine_machine(settings: Settings, device: str = "auto", progress: Progress = Progress()) -> Diagnosis:
    """The diagnosis of this machine; an accelerator's plan is kept in the home, where `--device auto` finds it.

    Raises UserError for a device that there is not.
    """
    diagnosis = diagnose_machine(ThisMachine(), NetworkProbe(settings.threads), device, progress)
    if diagnosis.plan is not None and diagnosis.plan.device != "cpu":
        open_device_record(settings).save(diagnosis.plan)
    return replace(diagnosis, providers=read_providers(settings))


def read_providers(settings: Settings) -> ProviderPlan | None:
    """What onnxruntime offers to compute networks that serve, and what the settings choose; None without it."""
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    return plan_provider(settings.onnx_provider, onnxruntime.get_available_providers())


@contextmanager
def train_on_device(settings: Settings, device: str, progress: Progress) -> Iterator[DeviceUse]:
    """Have networks that are trained inside use a device, as far as it computes them right, and look how busy it is.

    `auto` is the one that the doctor found sound here before, else the processor; it is looked for when the first network is
    trained. Raises UserError for a device that there is not.
    """
    with ExitStack() as stack:
        samplers: list[UtilisationSampler] = []

        def sample(plan: DevicePlan | None) -> DevicePlan | None:
            if plan is not None:
                _note_plan(plan, progress)
                samplers.append(stack.enter_context(sample_utilisation(plan.device)))
            return plan

        plan = None if device in ("auto", "cpu") else sample(_plan_device(settings, device, progress))
        find_plan = (lambda: sample(_load_plan(settings, progress))) if device == "auto" else lambda: plan
        yield stack.enter_context(use_device(DeviceUse(find_plan, lambda spans: samplers[0].average(spans))))


def _plan_device(settings: Settings, device: str, progress: Progress) -> DevicePlan:
    """The plan that was kept of a device; where there is none, or the device is another or not there, it is checked now."""
    record = open_device_record(settings)
    plan = record.load()
    if plan is None or plan.device != device or _find_absence(plan) is not None:
        plan = plan_device(ThisMachine(), NetworkProbe(settings.threads), device, progress)
        record.save(plan)
    return plan


def _load_plan(settings: Settings, progress: Progress) -> DevicePlan | None:
    """The plan that was kept of a device; None where there is none, or where the device is not there any more, which is said."""
    plan = open_device_record(settings).load()
    absence = None if plan is None else _find_absence(plan)
    if plan is None or absence is None:
        return plan
    progress.note(
        f"networks train on the processor: {DEVICE_TITLES[plan.device]} was sound before, and is not there now ({absence})"
    )
    return None


def _find_absence(plan: DevicePlan) -> str | None:
    """Why the device of a plan cannot be used now; None where it can."""
    pytorch = NetworkProbe().list_devices()
    reasons = {one.name: one.reason for one in pytorch.devices}
    return pytorch.fault or reasons.get(plan.device, "PyTorch does not know it")


def _note_plan(plan: DevicePlan, progress: Progress) -> None:
    """Say which networks train on the device, and why others do not."""
    title = DEVICE_TITLES[plan.device]
    sound = [one.name for one in plan.architectures if one.fault is None]
    progress.note(f"networks that train on {title}: {', '.join(sound) or 'none'}")
    for one in plan.architectures:
        if one.fault is not None:
            progress.note(f"{one.name} trains on the processor, for on {title} {one.fault}")


def open_device_record(settings: Settings) -> DeviceRecord:
    """Where the plan of this machine's accelerator is kept."""
    versions = {library.name: library.version for library in list_libraries()}
    identity = (f"epic22 {__version__}", f"torch {versions['torch']}", *list_graphics())
    return DeviceRecord(settings.home / "doctor" / "device.json", identity)
