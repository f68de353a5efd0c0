"""Which device the networks of a training are trained on, and when they were: what lies around a training, not in its result."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from epic22.core.machine import Utilisation
from epic22.core.models.networks.device import DevicePlan
from epic22.core.models.networks.specification import ConvolutionLayers, Layers, LstmLayers, MlpLayers, TransformerLayers
from epic22.core.progress import DeviceUsed, get_inner_progress

Span = tuple[float, float]
"""From one moment to another, on `time.monotonic`."""


@dataclass
class DeviceUse:
    """A device in use. `find_plan` is called when the first network is trained, None standing for the processor; `measure` says
    how busy the device was in spans of time; `spans` are those in which networks were trained there."""

    find_plan: Callable[[], DevicePlan | None]
    measure: Callable[[Sequence[Span]], Utilisation]
    spans: list[Span] = field(default_factory=list)

    @cached_property
    def plan(self) -> DevicePlan | None:
        """What trains where."""
        return self.find_plan()


_USE: ContextVar[DeviceUse | None] = ContextVar("device of networks", default=None)
_NAMES: Mapping[type[Layers], str] = {MlpLayers: "mlp", TransformerLayers: "transformer", ConvolutionLayers: "cnn"}


@contextmanager
def use_device(use: DeviceUse) -> Iterator[DeviceUse]:
    """Have networks that are trained inside placed by a device's plan."""
    token = _USE.set(use)
    try:
        yield use
    finally:
        _USE.reset(token)


@contextmanager
def occupy_device(layers: Layers) -> Iterator[str]:
    """The device to train a network of these layers on, in use until the block ends; the processor where no plan is."""
    use = _USE.get()
    plan = None if use is None else use.plan
    device = "cpu" if plan is None else plan.get_placement(name_architecture(layers)).device
    get_inner_progress().emit(DeviceUsed(device))
    start = time.monotonic()
    try:
        yield device
    finally:
        if use is not None and device != "cpu":
            use.spans.append((start, time.monotonic()))


def name_architecture(layers: Layers) -> str:
    """The architecture that layers are of.

    >>> name_architecture(LstmLayers(cell="gru")), name_architecture(MlpLayers())
    ('gru', 'mlp')
    """
    return layers.cell if isinstance(layers, LstmLayers) else _NAMES[type(layers)]


@dataclass(frozen=True)
class UsedDevice:
    """A device that networks were trained on, and how busy it was meanwhile."""

    name: str
    utilisation: Utilisation

    @property
    def parameters(self) -> dict[str, str]:
        """The device, and why nobody knows how busy it was, by name."""
        reason = {} if self.utilisation.mean is not None else {"device_utilisation_unknown": str(self.utilisation.reason)}
        return {"device": self.name} | reason

    @property
    def metrics(self) -> dict[str, float]:
        """How busy it was, 0 to 1, by name; nothing where that was not measured."""
        return {} if self.utilisation.mean is None else {"device_utilisation": self.utilisation.mean}


def find_used_device() -> UsedDevice | None:
    """The device that networks were trained on; None where it was the processor."""
    use = _USE.get()
    if use is None or not use.spans or use.plan is None:
        return None
    return UsedDevice(use.plan.device, use.measure(use.spans))
