"""What the doctor found of a device, kept in the home for trainings to come, while machine and versions stay what they were."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from epic22.adapters.home import write_atomically
from epic22.core.models.networks.device import DevicePlan, Placement

FORMAT = 1


@dataclass(frozen=True)
class DeviceRecord:
    """A file with the plan of the device that was checked last; it holds for an `identity`: versions, driver, machine."""

    path: Path
    identity: tuple[str, ...]

    def save(self, plan: DevicePlan) -> None:
        """Keep a plan."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "identity": list(self.identity), "plan": asdict(plan)}
        write_atomically(self.path, json.dumps(content, indent=1).encode() + b"\n")

    def load(self) -> DevicePlan | None:
        """The plan that holds for this identity; None where none was kept, or for another."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if (content["format"], tuple(content["identity"])) != (FORMAT, self.identity):
                return None
            plan = content["plan"]
            layers, architectures = (tuple(Placement(**one) for one in plan[key]) for key in ("layers", "architectures"))
            return DevicePlan(plan["device"], layers, architectures)
        except (OSError, ValueError, KeyError, TypeError):
            # What cannot be read was not found by the doctor; the processor is always right.
            return None
