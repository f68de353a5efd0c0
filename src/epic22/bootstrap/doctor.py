"""The doctor, with what it looks through; what it finds of a device is kept in the home."""

from dataclasses import dataclass

from epic22 import __version__
from epic22.adapters.device_record import DeviceRecord
from epic22.adapters.machine import list_graphics, list_libraries, read_machine
from epic22.adapters.network_probe import NetworkProbe
from epic22.adapters.openmp import check_openmp
from epic22.config import Settings
from epic22.core.machine import Library, Machine, OpenmpRuntimes
from epic22.core.progress import Progress
from epic22.services.doctor import Diagnosis, diagnose_machine


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
    return diagnosis


def open_device_record(settings: Settings) -> DeviceRecord:
    """Where the plan of this machine's accelerator is kept."""
    versions = {library.name: library.version for library in list_libraries()}
    identity = (f"epic22 {__version__}", f"torch {versions['torch']}", *list_graphics())
    return DeviceRecord(settings.home / "doctor" / "device.json", identity)
