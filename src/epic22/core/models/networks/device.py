"""Where networks are trained: how right each layer is on a device, and what that means for each architecture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epic22.core.machine import Utilisation
from epic22.core.text import format_figure

DEVICE_TITLES: Mapping[str, str] = {"cpu": "the processor", "cuda": "CUDA", "mps": "Metal"}

FORWARD_TOLERANCE = 1e-4
"""How far a layer's outputs may lie from those in float64, as a share of the largest. Rounding of float32 stays below 1e-5 on a
processor; an accelerator adds in another order, and has faster exponentials."""
GRADIENT_TOLERANCE = 1e-3
"""The same for gradients, whose sums are longer. What would change a training, a gradient wrong by 1 %, is ten times as much."""

IN_EVERY_ARCHITECTURE = (
    "piecewise embedding",
    "category embedding",
    "member layer",
    "mean of members",
    "quantiles in order",
    "losses",
    "dropout",
    "optimiser",
)
ARCHITECTURE_LAYERS: Mapping[str, tuple[str, ...]] = {
    "mlp": ("mlp, first steps", *IN_EVERY_ARCHITECTURE),
    "lstm": ("lstm, first steps", "LSTM", "LSTM with dropout", *IN_EVERY_ARCHITECTURE),
    "gru": ("gru, first steps", "GRU", "GRU with dropout", *IN_EVERY_ARCHITECTURE),
    "transformer": (
        "transformer, first steps",
        "patches",
        "attention layer",
        "layer normalisation",
        "linear layer",
        *IN_EVERY_ARCHITECTURE,
    ),
    "cnn": ("cnn, first steps", "dilated convolution", "layer normalisation", "linear layer", *IN_EVERY_ARCHITECTURE),
}
"""What each architecture is built of, by the names of the checks; first of all the first steps of its training."""


@dataclass(frozen=True)
class Device:
    """An accelerator as PyTorch sees it: its title, its memory in bytes, NVIDIA's id of it; `reason` says why it cannot be used,
    None where it can."""

    name: str
    title: str
    reason: str | None
    memory: int | None = None
    uuid: str | None = None


@dataclass(frozen=True)
class DeviceList:
    """PyTorch's version and the accelerators that it knows; `fault` says why it could not be asked, None where it could."""

    version: str | None
    devices: tuple[Device, ...]
    fault: str | None = None


@dataclass(frozen=True)
class LayerCheck:
    """A layer on a device in float32 beside the processor in float64.

    The largest error of its outputs and of its gradients, each as a share of the largest value there; NaN where it was not
    computed. `fault`: what else went wrong, None where nothing did.
    """

    layer: str
    device: str
    forward_error: float
    gradient_error: float
    fault: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the layer must not be used on the device, as the end of a sentence; None where it may."""
        if self.fault is not None:
            return self.fault
        for what, error, tolerance in (
            ("outputs", self.forward_error, FORWARD_TOLERANCE),
            ("gradients", self.gradient_error, GRADIENT_TOLERANCE),
        ):
            if not error <= tolerance:
                if math.isnan(error):
                    return f"some of its {what} are no numbers"
                return f"its {what} are wrong by {_format_share(error)}; up to {_format_share(tolerance)} is rounding"
        return None

    @property
    def is_sound(self) -> bool:
        """Whether the layer computes there what it should."""
        return self.reason is None


def _format_share(share: float) -> str:
    return f"{100 * share:,.0f} %" if share >= 1 else f"{format_figure(100 * share, 2)} %"


@dataclass(frozen=True)
class Placement:
    """On which device a layer runs or an architecture is trained; `fault` says what is wrong on the one that was checked, None
    where nothing is."""

    name: str
    device: str
    fault: str | None = None


@dataclass(frozen=True)
class DevicePlan:
    """What runs where, of the device that was checked."""

    device: str
    layers: tuple[Placement, ...]
    architectures: tuple[Placement, ...]

    @property
    def fallbacks(self) -> tuple[Placement, ...]:
        """The layers that the device computes wrong; they run on the processor."""
        return tuple(one for one in self.layers if one.fault is not None)

    def get_placement(self, architecture: str) -> Placement:
        """Where an architecture is trained; one that nothing is known of on the processor."""
        known = {one.name: one for one in self.architectures}
        return known.get(architecture) or Placement(architecture, "cpu", "its layers were not checked")


def choose_device(checks: Sequence[LayerCheck], device: str) -> DevicePlan:
    """The plan that follows from a device's checks: a layer that is not sound runs on the processor, and with it every
    architecture that is built of it; so does what was not checked."""
    by_layer = {check.layer: check for check in checks if check.device == device}
    layers = tuple(_place_layer(check) for check in by_layer.values())
    return DevicePlan(device, layers, tuple(_place_architecture(name, by_layer, device) for name in ARCHITECTURE_LAYERS))


def _place_layer(check: LayerCheck) -> Placement:
    return Placement(check.layer, check.device if check.is_sound else "cpu", check.reason)


def _place_architecture(name: str, checks: Mapping[str, LayerCheck], device: str) -> Placement:
    for layer in ARCHITECTURE_LAYERS[name]:
        reason = checks[layer].reason if layer in checks else "it was not checked"
        if reason is not None:
            return Placement(name, "cpu", f"{layer}: {reason}")
    return Placement(name, device)


@dataclass(frozen=True)
class StepSpeed:
    """How long a step of training takes: seconds for `batch` rows, by so many steps."""

    architecture: str
    device: str
    batch: int
    steps: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Rows that are learned from in a second."""
        return self.batch / self.seconds


@dataclass(frozen=True)
class MeasuredSpeed:
    """The speed of training on a device and how busy the device was; `fault` says why there is none, None where there is."""

    speed: StepSpeed | None
    utilisation: Utilisation
    fault: str | None = None
