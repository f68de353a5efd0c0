"""What PyTorch can do here, asked of processes of its own: one that dies is the answer, not the end."""

import time
from dataclasses import dataclass
from math import nan

from epic22.adapters.probe_process import ProbeEnd, Record, run_probe
from epic22.adapters.utilisation import sample_utilisation
from epic22.core.machine import Utilisation
from epic22.core.models.networks.device import Device, DeviceList, LayerCheck, MeasuredSpeed, StepSpeed
from epic22.core.progress import Progress

PROGRAM = ("-m", "epic22.core.models.networks.device_probe")
START_SECONDS, CHECK_SECONDS = 120.0, 300.0
"""How long is waited for PyTorch to be imported, and for all checks."""


@dataclass(frozen=True)
class NetworkProbe:
    """Processes that run `program` on so many threads."""

    threads: int = 1
    program: tuple[str, ...] = PROGRAM

    def list_devices(self) -> DeviceList:
        """PyTorch's version and accelerators, or why it cannot be imported."""
        records: list[Record] = []
        end = run_probe([*self.program, "devices"], START_SECONDS, records.append)
        devices = tuple(Device(**record["device"]) for record in records if "device" in record)
        version = next((record["torch"] for record in records if "torch" in record), None)
        return DeviceList(version, devices, end.fault)

    def check_layers(self, device: str, progress: Progress = Progress()) -> tuple[LayerCheck, ...]:
        """Every check on a device. What a process died of is the fault of the layer it was at; another goes on behind it."""
        checks: dict[str, LayerCheck] = {}
        while True:
            begun: list[str] = []

            def note(record: Record, begun: list[str] = begun) -> None:
                if "begins" in record:
                    begun.append(record["begins"])
                if "check" in record:
                    progress.step()
                    checks[record["check"]["layer"]] = LayerCheck(**record["check"])

            arguments = [*self.program, "layers", device, "--threads", str(self.threads), "--skip", ";".join(checks)]
            end = run_probe(arguments, CHECK_SECONDS, note)
            if end.fault is None or not begun or begun[-1] in checks:
                return tuple(checks.values())
            checks[begun[-1]] = LayerCheck(begun[-1], device, nan, nan, f"the process that computed it {end.fault}")

    def measure_speed(self, architecture: str, device: Device, batch: int, seconds: float) -> MeasuredSpeed:
        """How long a step of training takes on a device, and how busy that is meanwhile."""
        speeds: list[StepSpeed] = []
        moments: list[float] = []

        def note(record: Record) -> None:
            moments.append(time.monotonic())
            if "speed" in record:
                speeds.append(StepSpeed(**record["speed"]))

        arguments = [*self.program, "speed", device.name, architecture, "--threads", str(self.threads)]
        arguments += ["--batch", str(batch), "--seconds", str(seconds)]
        with sample_utilisation(device.name, device.uuid) as sampler:
            end = run_probe(arguments, START_SECONDS + 10 * seconds, note)
        if not speeds:
            return MeasuredSpeed(None, Utilisation(None, 0), _describe_end(end))
        return MeasuredSpeed(speeds[-1], sampler.average([(moments[0], moments[-1])]))


def _describe_end(end: ProbeEnd) -> str:
    return f"the process {end.fault or 'ended without an answer'}"
